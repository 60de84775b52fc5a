//! Values of the model under construction, and what operators take.

use mindir_graph::graph::ValueId;
use mindir_graph::op::Const;
use mindir_graph::{DType, Tensor, onnx};

use super::narrow::Narrow;
use super::types::{Dims, Length, Type};

/// Results with at most this many elements are computed while reading when all operands are known.
pub(super) const FOLD_LIMIT: usize = 4096;

/// What went wrong with a node.
pub(super) type Step = Result<Val, String>;
/// The results of a node, or what went wrong.
pub(super) type Steps = Result<Vec<Val>, String>;

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Val {
    pub source: Source,
    pub ty: Type,
    /// Its contents, if they are constant.
    pub known: Option<Tensor>,
    /// Of a vector or number of integers, the elements as far as they are known.
    pub elements: Option<Dims>,
    /// What the file has its elements as, if it is a type of few bits.
    pub narrow: Option<Narrow>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Value(ValueId),
    Constant(usize),
}

impl Val {
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// The number of dimensions, which must be known.
    pub fn rank(&self) -> Result<usize, String> {
        let dims = self.ty.dims.as_ref();
        dims.map(Vec::len).ok_or_else(|| "the number of dimensions of an operand is not known".into())
    }

    /// The dimensions, whose number must be known.
    pub fn dims(&self) -> Result<&Dims, String> {
        self.ty.dims.as_ref().ok_or_else(|| "the number of dimensions of an operand is not known".into())
    }

    /// The contents, if they are constant.
    pub fn constant(&self) -> Option<&Tensor> {
        self.known.as_ref()
    }

    /// The length of dimension `d`, if it is fixed.
    pub fn length(&self, d: usize) -> Option<i64> {
        self.ty.dims.as_ref()?.get(d)?.fixed()
    }

    /// Dimension `d`, which must be fixed.
    pub fn dim(&self, d: usize) -> Result<i64, String> {
        self.length(d).ok_or_else(|| format!("dimension {d} of an operand is open or missing"))
    }

    /// All dimensions, which must be fixed.
    pub fn fixed(&self) -> Result<Vec<i64>, String> {
        (0..self.rank()?).map(|d| self.dim(d)).collect()
    }

    /// The contents as integers, which must be known.
    pub fn ints(&self) -> Result<Vec<i64>, String> {
        let t = self.constant().ok_or("an operand that must be constant is computed")?;
        t.to_i64s().map_err(|e| e.to_string())
    }

    /// The contents as numbers, which must be known.
    pub fn numbers(&self) -> Result<Vec<f64>, String> {
        let t = self.constant().ok_or("an operand that must be constant is computed")?;
        t.to_f64s().map_err(|e| e.to_string())
    }

    /// The only number.
    pub fn number(&self) -> Result<f64, String> {
        match self.numbers()?.as_slice() {
            [one] => Ok(*one),
            many => Err(format!("expected one number, found {}", many.len())),
        }
    }

    /// The elements of a vector or number of integers as far as they are known; `None` if not even their number is.
    pub fn elements(&self) -> Option<Dims> {
        let count = match self.ty.dims.as_deref()? {
            [] => 1,
            [n] => usize::try_from(n.fixed()?).ok()?,
            _ => return None,
        };
        let integers = |t: &Tensor| t.to_i64s().ok().filter(|_| t.dtype().is_int());
        if let Some(values) = self.known.as_ref().and_then(integers) {
            return Some(values.into_iter().map(Length::Fixed).collect());
        }
        Some(self.elements.clone().unwrap_or_else(|| vec![Length::Open; count.min(FOLD_LIMIT)]))
            .filter(|e| e.len() == count)
    }

    /// `axis` counted from the front; as it is where the number of dimensions is not known.
    pub fn place(&self, axis: i64) -> Result<i64, String> {
        match &self.ty.dims {
            Some(dims) => Ok(axis_of(axis, dims.len())? as i64),
            None => Ok(axis),
        }
    }

    /// `axis` counted from the front.
    pub fn axis(&self, axis: i64) -> Result<usize, String> {
        axis_of(axis, self.rank()?)
    }
}

/// `axis` counted from the front, for `rank` dimensions.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    mindir_graph::normalize_axis(axis, rank).ok_or_else(|| format!("axis {axis} is out of range for rank {rank}"))
}

impl From<&Val> for onnx::Type {
    fn from(v: &Val) -> onnx::Type {
        onnx::Type { dtype: Some(v.dtype()), dims: v.ty.dims.clone(), contents: v.elements() }
    }
}

/// An argument of an operator.
#[derive(Clone, Debug)]
pub(super) enum In {
    Val(Val),
    Const(Const),
    List(Vec<In>),
}

impl From<Val> for In {
    fn from(v: Val) -> In {
        In::Val(v)
    }
}

impl From<&Val> for In {
    fn from(v: &Val) -> In {
        In::Val(v.clone())
    }
}

impl From<Option<Val>> for In {
    fn from(v: Option<Val>) -> In {
        v.map_or(In::Const(Const::None), In::Val)
    }
}

macro_rules! constants {
    ($($t:ty),*) => {$(
        impl From<$t> for In {
            fn from(c: $t) -> In {
                In::Const(c.into())
            }
        }
    )*};
}
constants!(bool, i64, f32, &str, DType, &[i64]);

impl From<f64> for In {
    fn from(x: f64) -> In {
        (x as f32).into()
    }
}

impl From<Vec<i64>> for In {
    fn from(values: Vec<i64>) -> In {
        values.as_slice().into()
    }
}

impl From<Vec<Val>> for In {
    fn from(values: Vec<Val>) -> In {
        In::List(values.into_iter().map(In::Val).collect())
    }
}
