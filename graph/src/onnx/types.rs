//! What is known of the values of a written graph, by the definitions of ONNX's operators.
//!
//! Nothing is guessed: a length is fixed only if it follows from lengths that the model declares. What cannot be told is open,
//! and a value whose rank cannot be told has no dimensions at all.

use super::{Attr, from_data_type};
use crate::{DType, Dim, Fact, Spec, Tensor, normalize_axis};

/// Vectors with at most this many elements keep what is known of them.
const MOST_CONTENTS: usize = 64;

/// A length, or an element of a vector of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// This number.
    Fixed(i64),
    /// The open dimension with this number, which is as long wherever it stands.
    Named(usize),
    /// Any.
    Open,
}

use Length::{Fixed, Named, Open};

impl Length {
    /// The number, if it is fixed.
    pub fn fixed(self) -> Option<i64> {
        if let Fixed(n) = self { Some(n) } else { None }
    }

    /// The number, if it is fixed and no negative one.
    pub fn size(self) -> Option<usize> {
        usize::try_from(self.fixed()?).ok()
    }

    /// What `f` makes of the number; open if it is not fixed.
    pub fn map(self, f: impl FnOnce(i64) -> Option<i64>) -> Length {
        self.fixed().and_then(f).map_or(Open, Fixed)
    }

    /// What holds whichever of two lengths it is.
    pub fn either(self, other: Length) -> Length {
        if self == other { self } else { Open }
    }

    /// A length that is both: the one that says more.
    fn both(self, other: Length) -> Length {
        match (self, other) {
            (Fixed(_), _) | (Named(_), Open) => self,
            _ => other,
        }
    }
}

/// Lengths of dimensions.
pub type Dims = Vec<Length>;

/// What is known of a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Type {
    /// Element type.
    pub dtype: Option<DType>,
    /// Dimensions, if their number is known.
    pub dims: Option<Dims>,
    /// The elements of a short vector or a number.
    pub contents: Option<Dims>,
}

impl Type {
    fn new(dtype: Option<DType>, dims: Option<Dims>) -> Type {
        Type { dtype, dims, contents: None }
    }

    /// The type of a constant.
    pub fn of(tensor: &Tensor) -> Type {
        let dims: Dims = tensor.shape().iter().map(|&d| Fixed(d as i64)).collect();
        let short = tensor.dtype().is_int() && dims.len() <= 1 && tensor.fact().count() <= MOST_CONTENTS;
        let contents = if short { tensor.to_i64s().ok() } else { None };
        let contents = contents.map(|values| values.into_iter().map(Fixed).collect());
        Type { dtype: Some(tensor.dtype()), dims: Some(dims), contents }
    }
}

/// Element type and dimensions of a value of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub dtype: DType,
    pub dims: Dims,
}

impl Kind {
    /// A single number or truth value.
    pub fn number(dtype: DType) -> Kind {
        Kind { dtype, dims: Vec::new() }
    }

    /// Every dimension as declared; those that are open, open.
    pub fn declared(spec: &Spec) -> Option<Kind> {
        let dim = |d: &Dim| d.size().map_or(Open, |n| Fixed(n as i64));
        Some(Kind { dtype: spec.dtype?, dims: spec.dims.as_ref()?.iter().map(dim).collect() })
    }

    /// A fact with this rank and element type, with single elements along open dimensions.
    pub fn stand_in(&self) -> Fact {
        Fact { dtype: self.dtype, shape: self.dims.iter().map(|d| d.size().unwrap_or(1)).collect() }
    }

    pub fn is_fixed(&self) -> bool {
        self.dims.iter().all(|d| d.size().is_some())
    }

    pub fn lengths(&self) -> Vec<Option<usize>> {
        self.dims.iter().map(|d| d.size()).collect()
    }

    /// What holds for both; `None` if element type or rank differ.
    pub fn either(&self, other: &Kind) -> Option<Kind> {
        let alike = self.dtype == other.dtype && self.dims.len() == other.dims.len();
        let dims = self.dims.iter().zip(&other.dims).map(|(a, b)| a.either(*b)).collect();
        alike.then_some(Kind { dtype: self.dtype, dims })
    }
}

impl From<&Fact> for Kind {
    fn from(fact: &Fact) -> Kind {
        Kind { dtype: fact.dtype, dims: fact.shape.iter().map(|&d| Fixed(d as i64)).collect() }
    }
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Type {
        Type::new(Some(kind.dtype), Some(kind.dims))
    }
}

/// The length that two lengths broadcast to.
fn common(a: Length, b: Length) -> Length {
    match (a, b) {
        (a, b) if a == b => a,
        (Fixed(1), other) | (other, Fixed(1)) => other,
        // What is neither 1 nor this does not broadcast with it.
        (Fixed(n), _) | (_, Fixed(n)) => Fixed(n),
        _ => Open,
    }
}

/// The dimensions that two shapes broadcast to.
pub fn broadcast(a: &[Length], b: &[Length]) -> Dims {
    let rank = a.len().max(b.len());
    wide(a, rank).into_iter().zip(wide(b, rank)).map(|(a, b)| common(a, b)).collect()
}

/// These dimensions behind as many of 1 as make `rank`.
fn wide(dims: &[Length], rank: usize) -> Dims {
    [&vec![Fixed(1); rank.saturating_sub(dims.len())], dims].concat()
}

fn product(dims: &[Length]) -> Length {
    let all = dims.iter().try_fold(1i64, |n, d| n.checked_mul(d.fixed()?));
    match (all, dims) {
        (Some(n), _) => Fixed(n),
        (None, dims) => {
            let mut rest = dims.iter().filter(|d| **d != Fixed(1));
            match (rest.next(), rest.next()) {
                (Some(one), None) => *one,
                _ => Open,
            }
        }
    }
}

/// The types of the `n` results of a node.
pub fn results(op: &str, ins: &[Option<&Type>], attrs: &[(&'static str, Attr)], n: usize) -> Vec<Type> {
    let node = Node { ins, attrs };
    let mut types = node.results(op, n).unwrap_or_default();
    types.resize(n, Type::default());
    types
}

struct Node<'a> {
    ins: &'a [Option<&'a Type>],
    attrs: &'a [(&'static str, Attr)],
}

impl Node<'_> {
    fn results(&self, op: &str, n: usize) -> Option<Vec<Type>> {
        let first = self.dtype(0);
        let like = |dims: Option<Dims>| vec![Type::new(first, dims)];
        Some(match op {
            "Identity" => vec![(*self.input(0)?).clone()],
            "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BatchNormalization" | "BitwiseNot"
            | "Ceil" | "Clip" | "Cos" | "Cosh" | "CumSum" | "Erf" | "Exp" | "Floor" | "Gelu" | "HardSigmoid"
            | "HardSwish" | "Log" | "LogSoftmax" | "Mish" | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round"
            | "ScatterElements" | "ScatterND" | "Sigmoid" | "Sign" | "Sin" | "Sinh" | "Softmax" | "Softplus"
            | "Sqrt" | "Tan" | "Tanh" | "Trilu" => like(self.dims(0)),
            "Add" | "And" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Max" | "Min" | "Mod" | "Mul"
            | "Or" | "Pow" | "Sub" | "Xor" => like(self.common(&[0, 1])),
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
                vec![Type::new(Some(DType::Bool), self.common(&[0, 1]))]
            }
            "IsInf" | "IsNaN" => vec![Type::new(Some(DType::Bool), self.dims(0))],
            "Where" => vec![Type::new(self.dtype(1), self.common(&[0, 1, 2]))],
            "Cast" => vec![self.cast()?],
            "Shape" => vec![self.shape()?],
            "Size" => vec![Type::new(Some(DType::I64), Some(Vec::new()))],
            "Reshape" => vec![self.carrying(self.reshaped())],
            "Unsqueeze" => vec![self.carrying(self.unsqueezed())],
            "Squeeze" => vec![self.carrying(self.squeezed())],
            "Transpose" => like(self.transposed()),
            "Concat" => vec![self.concat()],
            "Split" => self.split(n).into_iter().map(|dims| Type::new(first, dims)).collect(),
            "Slice" => vec![self.slice()],
            "Gather" => vec![self.gather()],
            "GatherElements" => like(self.dims(1)),
            "GatherND" => like(self.picked()),
            "Expand" => like(self.expanded()),
            "Tile" => like(self.tiled()),
            "Pad" => like(self.padded()),
            "Flatten" => like(self.flattened()),
            "ArgMax" | "ArgMin" => {
                let axis = self.int("axis", 0);
                vec![Type::new(Some(DType::I64), self.reduced(Some(vec![Fixed(axis)])))]
            }
            op if op.starts_with("Reduce") => like(self.reduced(self.axes())),
            "TopK" => {
                let dims = self.top();
                vec![Type::new(first, dims.clone()), Type::new(Some(DType::I64), dims)]
            }
            "MatMul" => like(self.product()),
            "Det" => like(self.dims(0).and_then(|dims| Some(dims.split_last_chunk::<2>()?.0.to_vec()))),
            "Gemm" => like(self.gemm()),
            "Conv" => like(self.images(self.dims(1)?.first().copied())),
            "ConvTranspose" => like(self.spread()),
            "AveragePool" | "MaxPool" => {
                let dims = self.images(self.dims(0).and_then(|d| d.get(1).copied()));
                vec![Type::new(first, dims.clone()), Type::new(Some(DType::I64), dims)]
            }
            "Resize" => like(self.resized()),
            "GridSample" => like(self.sampled(&[(0, 0), (0, 1), (1, 1), (1, 2)])),
            "RoiAlign" => {
                let size = |name| Fixed(self.int(name, 1));
                let dims = self.sampled(&[(1, 0), (0, 1)]);
                like(dims.map(|dims| [dims, vec![size("output_height"), size("output_width")]].concat()))
            }
            "Range" => like(Some(vec![self.counted()])),
            "LayerNormalization" => self.normalised(),
            "LSTM" => self.lstm(),
            _ => return None,
        })
    }

    fn input(&self, i: usize) -> Option<&Type> {
        self.ins.get(i).copied().flatten()
    }

    fn dtype(&self, i: usize) -> Option<DType> {
        self.input(i)?.dtype
    }

    fn dims(&self, i: usize) -> Option<Dims> {
        self.input(i)?.dims.clone()
    }

    /// The elements of a vector; open ones if only their number is known.
    fn contents(&self, i: usize) -> Option<Dims> {
        let ty = self.input(i)?;
        let open = || {
            let [n] = ty.dims.as_deref()? else { return None };
            Some(vec![Open; n.size().filter(|&n| n <= MOST_CONTENTS)?])
        };
        ty.contents.clone().or_else(open)
    }

    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.input(i)?.contents.as_ref()?.iter().map(|d| d.fixed()).collect()
    }

    fn attr(&self, name: &str) -> Option<&Attr> {
        self.attrs.iter().find(|a| a.0 == name).map(|a| &a.1)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        if let Some(Attr::Int(i)) = self.attr(name) { *i } else { default }
    }

    fn list(&self, name: &str) -> Option<Vec<i64>> {
        if let Some(Attr::Ints(values)) = self.attr(name) { Some(values.clone()) } else { None }
    }

    fn common(&self, which: &[usize]) -> Option<Dims> {
        let all = which.iter().map(|&i| self.dims(i)).collect::<Option<Vec<_>>>()?;
        Some(all.iter().fold(Vec::new(), |dims, own| broadcast(&dims, own)))
    }

    fn cast(&self) -> Option<Type> {
        let to = i32::try_from(self.int("to", 0)).ok().and_then(from_data_type);
        let mut ty = Type::new(to, self.dims(0));
        let fits = |d: &Length| d.fixed().is_none_or(|n| to == Some(DType::I64) || i32::try_from(n).is_ok());
        let whole = self.dtype(0).is_some_and(DType::is_int) && matches!(to, Some(DType::I64 | DType::I32));
        ty.contents = self.input(0)?.contents.clone().filter(|c| whole && c.iter().all(fits));
        Some(ty)
    }

    fn shape(&self) -> Option<Type> {
        let Some(dims) = self.dims(0) else {
            return Some(Type::new(Some(DType::I64), Some(vec![Open])));
        };
        let bound = |i: i64| (if i < 0 { i.saturating_add(dims.len() as i64) } else { i }).clamp(0, dims.len() as i64);
        let (start, end) = (bound(self.int("start", 0)), bound(self.int("end", i64::MAX)));
        let contents = dims.get(start as usize..end.max(start) as usize)?.to_vec();
        let own = Some(vec![Fixed(contents.len() as i64)]);
        Some(Type { dtype: Some(DType::I64), dims: own, contents: Some(contents) })
    }

    /// The first operand with other dimensions and the same elements.
    fn carrying(&self, dims: Option<Dims>) -> Type {
        let flat = dims.as_ref().is_some_and(|d| d.len() <= 1);
        let contents = self.input(0).and_then(|ty| ty.contents.clone()).filter(|_| flat);
        Type { dtype: self.dtype(0), dims, contents }
    }

    fn reshaped(&self) -> Option<Dims> {
        let (target, from) = (self.contents(1)?, self.dims(0));
        let zeros = self.int("allowzero", 0) != 0;
        let place = |(i, d): (usize, &Length)| {
            let own = from.as_ref().and_then(|f| f.get(i).copied()).unwrap_or(Open);
            match d {
                Fixed(0) if !zeros => own,
                Fixed(n) if *n >= 0 => *d,
                // A length of 0 would keep the operand's dimension, and −1 takes what is left.
                Named(_) if zeros || own == *d => *d,
                _ => Open,
            }
        };
        let mut dims: Dims = target.iter().enumerate().map(place).collect();
        if let Some(at) = target.iter().position(|d| *d == Fixed(-1)) {
            let mut others = dims.clone();
            others.remove(at);
            *dims.get_mut(at)? = from.map_or(Open, |from| quotient(&from, &others));
        }
        Some(dims)
    }

    fn places(&self, axes: &[i64], rank: usize) -> Option<Vec<usize>> {
        axes.iter().map(|&a| normalize_axis(a, rank)).collect()
    }

    fn unsqueezed(&self) -> Option<Dims> {
        let (dims, axes) = (self.dims(0)?, self.ints(1)?);
        let rank = dims.len() + axes.len();
        let new = self.places(&axes, rank)?;
        let mut old = dims.into_iter();
        (0..rank).map(|d| if new.contains(&d) { Some(Fixed(1)) } else { old.next() }).collect()
    }

    fn squeezed(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        let gone = match self.input(1) {
            Some(_) => self.places(&self.ints(1)?, dims.len())?,
            None if dims.iter().all(|d| d.fixed().is_some()) => {
                dims.iter().enumerate().filter(|(_, len)| **len == Fixed(1)).map(|(d, _)| d).collect()
            }
            None => return None,
        };
        let kept = dims.into_iter().enumerate().filter(|(d, _)| !gone.contains(d));
        Some(kept.map(|(_, len)| len).collect())
    }

    fn transposed(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        match self.list("perm") {
            Some(perm) => perm.iter().map(|&p| dims.get(usize::try_from(p).ok()?).copied()).collect(),
            None => Some(dims.into_iter().rev().collect()),
        }
    }

    fn concat(&self) -> Type {
        let contents: Option<Vec<Dims>> = (0..self.ins.len()).map(|i| self.contents(i)).collect();
        let dims = self.concatenated();
        let flat = dims.as_ref().is_some_and(|d| d.len() == 1);
        let contents = contents.map(|parts| parts.concat()).filter(|all| flat && all.len() <= MOST_CONTENTS);
        Type { dtype: self.dtype(0), dims, contents }
    }

    fn concatenated(&self) -> Option<Dims> {
        let all = (0..self.ins.len()).map(|i| self.dims(i)).collect::<Option<Vec<_>>>()?;
        let [first, others @ ..] = all.as_slice() else { return None };
        let mut dims = first.clone();
        let axis = normalize_axis(self.int("axis", 0), dims.len())?;
        for other in others {
            if other.len() != dims.len() {
                return None;
            }
            for (d, (own, other)) in dims.iter_mut().zip(other).enumerate() {
                *own = if d == axis { sum(*own, *other) } else { own.both(*other) };
            }
        }
        Some(dims)
    }

    fn split(&self, n: usize) -> Vec<Option<Dims>> {
        let Some(dims) = self.dims(0) else { return vec![None; n] };
        let Some(axis) = normalize_axis(self.int("axis", 0), dims.len()) else { return vec![None; n] };
        let parts = n as i64;
        let even = |d: i64| (parts > 0 && d % parts == 0).then(|| d / parts);
        let equal = dims.get(axis).map_or(Open, |d| d.map(even));
        let lengths = if self.input(1).is_some() { self.contents(1) } else { None };
        let part = |i: usize| {
            let mut dims = dims.clone();
            *dims.get_mut(axis)? = lengths.as_ref().map_or(equal, |l| l.get(i).copied().unwrap_or(Open));
            Some(dims)
        };
        (0..n).map(part).collect()
    }

    fn slice(&self) -> Type {
        let mut ty = Type::new(self.dtype(0), self.dims(0));
        let Some(dims) = &mut ty.dims else { return ty };
        let starts = self.contents(1);
        let given = if self.input(3).is_some() { self.ints(3) } else { Some((0..dims.len() as i64).collect()) };
        let axes = given.as_ref().and_then(|axes| self.places(axes, dims.len()));
        let (Some(starts), Some(ends), Some(axes)) = (starts, self.contents(2), axes) else {
            dims.fill(Open);
            return ty;
        };
        let steps = if self.input(4).is_some() { self.contents(4) } else { Some(vec![Fixed(1); axes.len()]) };
        let at = |list: &Dims, i: usize| list.get(i).copied().unwrap_or(Open);
        let mut range = None;
        for (i, &axis) in axes.iter().enumerate() {
            let step = steps.as_ref().map_or(Open, |s| at(s, i));
            let bounds = [at(&starts, i), at(&ends, i), step];
            range = Some(bounds);
            let Some(len) = dims.get_mut(axis) else { continue };
            *len = match bounds {
                [Fixed(0), Fixed(i64::MAX), Fixed(1)] | [Fixed(-1), Fixed(i64::MIN), Fixed(-1)] => *len,
                [Fixed(start), Fixed(end), Fixed(step)] => len.map(|n| taken(n, start, end, step)),
                _ => Open,
            };
        }
        if let (Some(all), Some([Fixed(start), Fixed(end), Fixed(1)]), 1) = (self.known(0), range, dims.len()) {
            let n = all.len() as i64;
            let bound = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(0, n) as usize;
            ty.contents = all.get(bound(start)..bound(end).max(bound(start))).map(<[Length]>::to_vec);
        }
        ty
    }

    fn known(&self, i: usize) -> Option<Dims> {
        self.input(i)?.contents.clone()
    }

    fn gather(&self) -> Type {
        let (x, index) = (self.dims(0), self.dims(1));
        let axis = x.as_ref().and_then(|x| normalize_axis(self.int("axis", 0), x.len()));
        let dims = || {
            let (x, axis) = (x.as_ref()?, axis?);
            Some([x.get(..axis)?, index.as_ref()?, x.get(axis + 1..)?].concat())
        };
        let dims = dims();
        let picked = || {
            let (all, at) = (self.known(0)?, self.ints(1)?);
            at.into_iter().map(|i| all.get(normalize_axis(i, all.len())?).copied()).collect()
        };
        let flat = x.is_some_and(|x| x.len() == 1) && index.is_some_and(|i| i.len() <= 1);
        Type { dtype: self.dtype(0), dims, contents: if flat { picked() } else { None } }
    }

    fn picked(&self) -> Option<Dims> {
        let (x, index) = (self.dims(0)?, self.dims(1)?);
        let (depth, lead) = index.split_last()?;
        Some([lead, x.get(depth.size()?..)?].concat())
    }

    fn expanded(&self) -> Option<Dims> {
        Some(broadcast(&self.dims(0)?, &self.contents(1)?))
    }

    fn tiled(&self) -> Option<Dims> {
        let (dims, times) = (self.dims(0)?, self.contents(1)?);
        let rank = dims.len().max(times.len());
        let one = |(d, n): (Length, Length)| match (d, n) {
            (d, Fixed(1)) => d,
            (d, n) => d.map(|d| n.fixed()?.checked_mul(d)),
        };
        Some(wide(&dims, rank).into_iter().zip(wide(&times, rank)).map(one).collect())
    }

    fn padded(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        let pads = self.contents(1).unwrap_or_else(|| vec![Open; 2 * dims.len()]);
        let at = |i: usize| pads.get(i).copied().unwrap_or(Open);
        let one = |(i, d): (usize, &Length)| sum(sum(*d, at(i)), at(i + dims.len()));
        Some(dims.iter().enumerate().map(one).collect())
    }

    fn flattened(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        let axis = self.int("axis", 1);
        let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok()?;
        Some(vec![product(dims.get(..axis)?), product(dims.get(axis..)?)])
    }

    /// The axes of a reduction; an empty list means all.
    fn axes(&self) -> Option<Dims> {
        match self.list("axes") {
            Some(axes) => Some(axes.into_iter().map(Fixed).collect()),
            None if self.input(1).is_some() => self.contents(1),
            None => Some(Vec::new()),
        }
    }

    fn reduced(&self, axes: Option<Dims>) -> Option<Dims> {
        let (dims, keep) = (self.dims(0)?, self.int("keepdims", 1) != 0);
        let known = axes.as_ref().and_then(|axes| axes.iter().map(|a| a.fixed()).collect::<Option<Vec<_>>>());
        let Some(known) = known else {
            let left = if keep { dims.len() } else { dims.len().saturating_sub(axes?.len()) };
            return Some(vec![Open; left]);
        };
        let mut gone = self.places(&known, dims.len())?;
        if gone.is_empty() {
            gone = (0..dims.len()).collect();
        }
        let one = |(d, len): (usize, &Length)| if gone.contains(&d) { keep.then_some(Fixed(1)) } else { Some(*len) };
        Some(dims.iter().enumerate().filter_map(one).collect())
    }

    fn top(&self) -> Option<Dims> {
        let mut dims = self.dims(0)?;
        let axis = normalize_axis(self.int("axis", -1), dims.len())?;
        *dims.get_mut(axis)? = self.known(1).and_then(|k| k.first().copied()).unwrap_or(Open);
        Some(dims)
    }

    fn product(&self) -> Option<Dims> {
        let (a, b) = (self.dims(0)?, self.dims(1)?);
        let (lead, rows) = match a.as_slice() {
            [] => return None,
            [_] => (&[][..], None),
            [lead @ .., rows, _] => (lead, Some(*rows)),
        };
        let (others, columns) = match b.as_slice() {
            [] => return None,
            [_] => (&[][..], None),
            [others @ .., _, columns] => (others, Some(*columns)),
        };
        Some(broadcast(lead, others).into_iter().chain(rows).chain(columns).collect())
    }

    fn gemm(&self) -> Option<Dims> {
        let (a, b) = (self.dims(0)?, self.dims(1)?);
        let rows = a.get(usize::from(self.int("transA", 0) != 0))?;
        let columns = b.get(usize::from(self.int("transB", 0) == 0))?;
        Some(vec![*rows, *columns])
    }

    /// Windows over images with this many channels afterwards.
    fn images(&self, channels: Option<Length>) -> Option<Dims> {
        let dims = self.dims(0)?;
        let [images, _, sizes @ ..] = dims.as_slice() else { return None };
        let n = sizes.len();
        let filters = self.dims(1).filter(|w| w.len() == dims.len());
        let number = |list: &Option<Vec<i64>>, d: usize| list.as_ref().map_or(Some(1), |l| l.get(d).copied());
        let [kernels, strides, dilations] = ["kernel_shape", "strides", "dilations"].map(|name| self.list(name));
        let pads = self.list("pads");
        let same = matches!(self.attr("auto_pad"), Some(Attr::Text("SAME_UPPER")));
        let one = |(d, &size): (usize, &Length)| {
            let kernel = match &kernels {
                Some(list) => list.get(d).copied(),
                None => filters.as_ref().and_then(|w| w.get(d + 2)?.fixed()),
            };
            let (Some(stride), Some(dilation)) = (number(&strides, d), number(&dilations, d)) else { return Open };
            if same {
                return if stride == 1 { size } else { size.map(|s| rounded_up(s, stride)) };
            }
            let pad = pads.as_ref().map_or(Some(0), |p| p.get(d)?.checked_add(*p.get(d + n)?));
            let (Some(kernel), Some(pad)) = (kernel, pad) else { return Open };
            let reach = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
            let past = |s: i64| s.checked_add(pad)?.checked_sub(reach);
            match size {
                size if stride == 1 && pad == reach - 1 => size,
                Fixed(s) if self.int("ceil_mode", 0) == 0 || past(s).is_some_and(|p| stride > 0 && p % stride == 0) => {
                    past(s)
                        .filter(|_| stride > 0)
                        .and_then(|p| p.checked_div(stride)?.checked_add(1))
                        .map_or(Open, Fixed)
                }
                _ => Open,
            }
        };
        let lead = [*images, channels.unwrap_or(Open)];
        Some(lead.into_iter().chain(sizes.iter().enumerate().map(one)).collect())
    }

    fn spread(&self) -> Option<Dims> {
        let (dims, w) = (self.dims(0)?, self.dims(1)?);
        let [images, _, sizes @ ..] = dims.as_slice() else { return None };
        let n = sizes.len();
        let [kernels, strides, dilations, beyond, pads] =
            ["kernel_shape", "strides", "dilations", "output_padding", "pads"].map(|name| self.list(name));
        let at = |list: &Option<Vec<i64>>, d: usize, default: i64| {
            list.as_ref().map_or(Some(default), |l| l.get(d).copied())
        };
        let one = |(d, size): (usize, &Length)| {
            let grown = |s: i64| {
                let kernel = if kernels.is_some() { at(&kernels, d, 1)? } else { w.get(d + 2)?.fixed()? };
                let reach = kernel.checked_sub(1)?.checked_mul(at(&dilations, d, 1)?)?.checked_add(1)?;
                let full = s.checked_sub(1)?.checked_mul(at(&strides, d, 1)?)?.checked_add(reach)?;
                full.checked_add(at(&beyond, d, 0)?)?.checked_sub(at(&pads, d, 0)?.checked_add(at(&pads, d + n, 0)?)?)
            };
            size.map(grown)
        };
        let channels = w.get(1)?.map(|c| c.checked_mul(self.int("group", 1)));
        Some([*images, channels].into_iter().chain(sizes.iter().enumerate().map(one)).collect())
    }

    fn resized(&self) -> Option<Dims> {
        if self.input(3).is_some() {
            return self.contents(3);
        }
        let dims = self.dims(0)?;
        // The factors are floats, whose contents are not followed.
        Some(vec![Open; dims.len()])
    }

    /// Dimensions of operands, by operand and place.
    fn sampled(&self, which: &[(usize, usize)]) -> Option<Dims> {
        which.iter().map(|&(i, d)| self.dims(i)?.get(d).copied()).collect()
    }

    fn counted(&self) -> Length {
        let number = |i: usize| self.known(i).and_then(|c| c.first().copied());
        match (number(0), number(1), number(2)) {
            (Some(Fixed(0)), Some(Named(n)), Some(Fixed(1))) => Named(n),
            _ => Open,
        }
    }

    fn normalised(&self) -> Vec<Type> {
        let (dims, dtype) = (self.dims(0), self.dtype(0));
        let stats = if dtype == Some(DType::F64) { dtype } else { Some(DType::F32) };
        let rows = dims.clone().and_then(|mut rows| {
            let axis = normalize_axis(self.int("axis", -1), rows.len())?;
            rows.iter_mut().skip(axis).for_each(|len| *len = Fixed(1));
            Some(rows)
        });
        vec![Type::new(dtype, dims), Type::new(stats, rows.clone()), Type::new(stats, rows)]
    }

    fn lstm(&self) -> Vec<Type> {
        let lengths = || {
            let (x, w) = (self.dims(0)?, self.dims(1)?);
            Some([*x.first()?, *w.first()?, *x.get(1)?, Fixed(self.int("hidden_size", 0))])
        };
        let all = lengths();
        let ty = |dims: Option<Dims>| Type::new(self.dtype(0), dims);
        let state = all.map(|[_, state @ ..]| state.to_vec());
        vec![ty(all.map(|all| all.to_vec())), ty(state.clone()), ty(state)]
    }
}

fn sum(a: Length, b: Length) -> Length {
    match (a, b) {
        (Fixed(0), other) | (other, Fixed(0)) => other,
        (a, b) => a.map(|a| a.checked_add(b.fixed()?)),
    }
}

fn rounded_up(size: i64, step: i64) -> Option<i64> {
    let all = size.checked_add(step.checked_sub(1)?)?;
    all.checked_div(step)
}

/// What is left of the elements of `from` for one dimension beside `others`.
fn quotient(from: &[Length], others: &[Length]) -> Length {
    let mut names: Vec<Length> = from.iter().copied().filter(|d| d.fixed().is_none()).collect();
    let fixed = |dims: &[Length]| dims.iter().filter_map(|d| d.fixed()).try_fold(1i64, i64::checked_mul);
    let (Some(all), Some(own)) = (fixed(from), fixed(others)) else { return Open };
    for d in others.iter().filter(|d| d.fixed().is_none()) {
        match names.iter().position(|n| n == d) {
            Some(at) if *d != Open => names.swap_remove(at),
            _ => return Open,
        };
    }
    match names.as_slice() {
        _ if own == 0 => Open,
        [] if all % own == 0 => Fixed(all / own),
        [name] if all == own => *name,
        _ => Open,
    }
}

/// Number of elements that a range of `n` takes.
fn taken(n: i64, start: i64, end: i64, step: i64) -> Option<i64> {
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(low, high);
    let start = if step > 0 { bound(start) } else { bound(start).min(n - 1) };
    let span = if step > 0 { bound(end) - start } else { start - bound(end) };
    rounded_up(span.max(0), i64::try_from(step.unsigned_abs()).ok().filter(|s| *s > 0)?)
}
