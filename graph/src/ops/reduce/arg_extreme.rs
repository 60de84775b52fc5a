//! Positions of the largest and smallest elements.

use super::reduction::{axes_of, first_extreme, reduced};
use crate::onnx::{Edge, Emit, Forms, NoForm, reduce};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, fact, number_of, scalars, tensor_of};
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Lowering, ReduceKind, Scalar};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The position and the element.
type Found<T> = [T; 2];

/// What is asked of an extreme.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Position,
    Element,
}

/// Which extreme, along which axis, the type of its position, and which parts are results.
struct Extreme<'a> {
    x: &'a Operand,
    axis: i64,
    keep: bool,
    smallest: bool,
    index: DType,
    results: &'static [Part],
}

impl Extreme<'_> {
    fn kinds(&self) -> Found<ReduceKind> {
        if self.smallest { [ReduceKind::ArgMin, ReduceKind::Min] } else { [ReduceKind::ArgMax, ReduceKind::Max] }
    }

    /// The axis, along which there must be an element.
    fn axes(&self) -> Result<Vec<usize>, OpError> {
        let (x, axes) = (self.x, axes_of(self.x, self.axis)?);
        let some = axes.iter().all(|&d| x.dims().get(d) != Some(&Some(0)));
        ensure!(some, "expected at least one element along axis {}, found {}", self.axis, x.fact);
        Ok(axes)
    }

    fn results<T: Clone>(&self, [position, element]: &Found<T>) -> Vec<T> {
        let part = |part: &Part| if *part == Part::Position { position } else { element };
        self.results.iter().map(part).cloned().collect()
    }

    /// The form for `x`, of which only the element type counts.
    fn of(&self, e: &mut Emit, x: Edge) -> Result<Found<Edge>, NoForm> {
        let (d, axes) = (self.x.dtype(), self.axes()?);
        if axes.is_empty() {
            return Ok([e.constant(Tensor::from_i64s(self.index, &[], &[0])?), x]);
        }
        let [at, of] = self.kinds();
        Ok([reduce(e, at, x, &axes, self.keep, d, self.index), reduce(e, of, x, &axes, self.keep, d, d)])
    }
}

impl Rule for Extreme<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[self.x], self.index)?;
        ensure!(matches!(self.index, DType::I32 | DType::I64), "expected i32 or i64 positions, found {}", self.index);
        let shape = reduced(self.x.shape(), &self.axes()?, self.keep);
        Ok(self.results(&[self.index, self.x.dtype()].map(|dtype| Fact { dtype, shape: shape.clone() })))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (axes, d) = (self.axes()?, self.x.dtype());
        let shape = reduced(self.x.shape(), &axes, self.keep);
        let data = scalars(self.x.tensor()?, d)?;
        let groups = Groups::new(self.x.shape(), &axes);
        let found = groups.map(&data, |g| first_extreme(g, self.smallest))?.into_iter().flatten();
        let (index, value): (Vec<i64>, Vec<Scalar>) = found.map(|(i, x)| (i as i64, x)).unzip();
        Ok(self.results(&[Tensor::from_i64s(self.index, &shape, &index)?, tensor_of(d, &shape, &value)?]))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (axes, [at, of]) = (self.axes()?, self.kinds());
        let x = b.cast(self.x.v, number_of(self.x.dtype()));
        let index = b.reduce(at, x, &axes, self.keep, self.index)?;
        if !self.results.contains(&Part::Element) {
            return Ok(Some(vec![index]));
        }
        let value = b.reduce(of, x, &axes, self.keep, self.index)?;
        Ok(Some(self.results(&[index, b.cast(value, self.x.dtype())])))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(self.x)?;
        Ok(Some(self.results(&self.of(e, x)?)))
    }
}

macro_rules! position {
    ($($(#[doc = $doc:literal])+ $name:ident($x:ident) = $smallest:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $x: Operand, axis: i64 = -1, output_type: DType = DType::I32 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, axis, index) = (&self.$x, self.axis, self.output_type);
                Ok(Extreme { x, axis, keep: false, smallest: $smallest, index, results: &[Part::Position] })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).exact("last"),
                    sample().arg(wave(DType::F32, &[5, 3, 2])).int(0).exact("first"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).dtype(DType::I64).exact("i64 positions"),
                    sample().arg(wave(DType::I32, &[4, 9])).int(-1).exact("ties of i32"),
                    sample().arg(wave(DType::F16, &[4, 9])).int(-1).exact("f16"),
                ]
            }
        }
    )*};
}

position! {
    /// Position of the first largest element along `axis`; the first NaN if there is one.
    Argmax(input_x) = false;
    /// Position of the first smallest element along `axis`; the first NaN if there is one.
    Argmin(x) = true;
}

/// The position of an extreme along `dim`, or in the flattened operand.
struct Position<'a> {
    x: &'a Operand,
    dim: Option<i64>,
    keep: bool,
    smallest: bool,
}

impl Position<'_> {
    /// The operand, flattened for all dimensions.
    fn flat(&self) -> Result<Operand, OpError> {
        let mut x = self.x.clone();
        if self.dim.is_none() {
            x.fact = Fact::new(x.dtype(), &[x.count()]).into();
            x.known = x.known.map(|t| t.reshape(&x.fact.shape)).transpose()?;
        }
        Ok(x)
    }

    fn shape(&self, found: &Fact) -> Vec<usize> {
        if self.dim.is_none() && self.keep { vec![1; self.x.rank()] } else { found.shape.to_vec() }
    }

    fn extreme<'a>(&self, x: &'a Operand) -> Extreme<'a> {
        let (axis, keep) = (self.dim.unwrap_or(0), self.keep && self.dim.is_some());
        Extreme { x, axis, keep, smallest: self.smallest, index: DType::I64, results: &[Part::Position] }
    }
}

impl Rule for Position<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let found = only(self.extreme(&self.flat()?).infer()?)?;
        Ok(vec![Fact::new(DType::I64, &self.shape(&found))])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let found = only(self.extreme(&self.flat()?).reference()?)?;
        Ok(vec![found.reshape(&self.shape(&found.fact()))?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let mut x = self.flat()?;
        x.v = b.reshape(x.v, &x.fact.shape)?;
        let Some(found) = self.extreme(&x).lower(b)? else { return Ok(None) };
        let found = only(found)?;
        let dims = self.shape(&b.fact(found).clone());
        Ok(Some(vec![b.reshape(found, &dims)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let mut x = e.edge(self.x)?;
        if self.dim.is_none() {
            x = e.reshape(x, &[-1]);
        }
        let [mut index, _] = self.extreme(self.x).of(e, x)?;
        if self.dim.is_none() && self.keep {
            index = e.unsqueeze(index, &(0..self.x.rank() as i64).collect::<Vec<_>>());
        }
        Ok(Some(vec![index]))
    }
}

macro_rules! position_of_all {
    ($($(#[doc = $doc:literal])+ $name:ident = $smallest:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, dim: Option<i64> = None, keepdim: bool = false }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Position { x: &self.input, dim: self.dim, keep: self.keepdim, smallest: $smallest })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).exact("last"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).flag(true).exact("kept"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).none().exact("all"),
                    sample().arg(wave(DType::I32, &[3, 5])).none().flag(true).exact("all kept"),
                ]
            }
        }
    )*};
}

position_of_all! {
    /// Position of the first largest element along `dim`, as `i64`; `None` means of the flattened tensor.
    ArgMaxExt = false;
    /// Position of the first smallest element along `dim`, as `i64`; `None` means of the flattened tensor.
    ArgMinExt = true;
}

macro_rules! extreme {
    ($($(#[doc = $doc:literal])+ $name:ident($axis:ident = $default:literal, $keep:ident) = $smallest:literal, $results:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, $axis: i64 = $default, $keep: bool = false }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, axis, keep) = (&self.input, self.$axis, self.$keep);
                Ok(Extreme { x, axis, keep, smallest: $smallest, index: DType::I64, results: &$results })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).exact("last"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).flag(true).exact("kept"),
                    sample().arg(wave(DType::I32, &[3, 5])).int(0).exact("i32"),
                ]
            }
        }
    )*};
}

extreme! {
    /// Position (`i64`) and value of the first largest element along `axis`.
    ArgMaxWithValue(axis = 0, keep_dims) = false, [Part::Position, Part::Element];
    /// Position (`i64`) and value of the first smallest element along `axis`.
    ArgMinWithValue(axis = 0, keep_dims) = true, [Part::Position, Part::Element];
    /// Value and position (`i64`) of the first largest element along `dim`.
    MaxDim(dim = 0, keepdim) = false, [Part::Element, Part::Position];
    /// Value and position (`i64`) of the first smallest element along `dim`.
    MinDim(dim = 0, keepdim) = true, [Part::Element, Part::Position];
}
