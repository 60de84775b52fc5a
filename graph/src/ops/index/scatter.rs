use super::gather::{index_value, outside, position};
use crate::onnx::{Edge, Emit, Forms, NoForm, Size, machine, no_form};
use crate::op::{Case, Effect, Ints, Late, Lowers, Number as Factor, Operand, Pure, Rule};
use crate::ops::kit::indices::{each_index, flat, rearrange_many, size, sizes};
use crate::ops::kit::number::{Number, with_number};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, ScatterKind, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, ensure, op};

/// What happens to an element that an update meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Combine {
    Replace,
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

impl Combine {
    /// The operator that returns what others write.
    const fn pure(self) -> &'static str {
        match self {
            Combine::Replace => "TensorScatterUpdate",
            Combine::Add => "TensorScatterAdd",
            Combine::Sub => "TensorScatterSub",
            Combine::Mul => "TensorScatterMul",
            Combine::Div => "TensorScatterDiv",
            Combine::Max => "TensorScatterMax",
            Combine::Min => "TensorScatterMin",
        }
    }

    /// ONNX's reduction and the updates for it, of type `d`.
    fn onnx(self, e: &mut Emit, updates: Edge, d: DType) -> Result<(&'static str, Edge), NoForm> {
        Ok(match self {
            Combine::Replace => ("none", updates),
            Combine::Add => ("add", updates),
            Combine::Sub => ("add", e.op("Neg", &[updates])),
            Combine::Mul => ("mul", updates),
            Combine::Div if d.is_float() => ("mul", e.op("Reciprocal", &[updates])),
            Combine::Div => return no_form("updates that divide integers"),
            Combine::Max | Combine::Min if e.opset() < 18 => {
                return no_form("updates that keep an extreme need operator set 18");
            }
            Combine::Max => ("max", updates),
            Combine::Min => ("min", updates),
        })
    }
}

/// `x` with slices at the coordinates `index` updated.
fn scatter_nd(e: &mut Emit, x: Edge, index: Edge, updates: Edge, how: Combine, d: DType) -> Result<Edge, NoForm> {
    let wide = if how == Combine::Replace { d } else { machine(d) };
    let (x, updates) = (e.cast(x, d, wide), e.cast(updates, d, wide));
    let (reduction, updates) = how.onnx(e, updates, wide)?;
    let y = e.op_with("ScatterND", &[x, index, updates], vec![("reduction", reduction.into())]);
    Ok(e.cast(y, wide, d))
}

/// `x` with slices at the coordinates `index` updated; `None` for updates that no task makes.
fn lower_nd(b: &mut Lowering, x: V, index: V, updates: V, how: Combine) -> Option<V> {
    if b.fact(updates).count() == 0 {
        return Some(x);
    }
    let (kind, updates) = match how {
        Combine::Replace => (ScatterKind::Replace, updates),
        Combine::Add => (ScatterKind::Add, updates),
        Combine::Sub => (ScatterKind::Add, b.unary(Unary::Neg, updates)),
        _ => return None,
    };
    let index = index_value(b, index);
    Some(b.scatter(kind, x, index, updates))
}

/// Integers and `bool` that stay exact, floats in `f64`.
trait Combined: Number {
    fn combine(self, other: Self, how: Combine) -> Self;
}

impl Combined for f64 {
    fn combine(self, other: f64, how: Combine) -> f64 {
        match how {
            Combine::Replace => other,
            Combine::Add => self + other,
            Combine::Sub => self - other,
            Combine::Mul => self * other,
            Combine::Div => self / other,
            Combine::Max => {
                if other > self || other.is_nan() {
                    other
                } else {
                    self
                }
            }
            Combine::Min => {
                if other < self || other.is_nan() {
                    other
                } else {
                    self
                }
            }
        }
    }
}

impl Combined for i64 {
    fn combine(self, other: i64, how: Combine) -> i64 {
        match how {
            Combine::Replace => other,
            Combine::Add => self.wrapping_add(other),
            Combine::Sub => self.wrapping_sub(other),
            Combine::Mul => self.wrapping_mul(other),
            Combine::Div => {
                if other == 0 {
                    0
                } else {
                    self.wrapping_div(other)
                }
            }
            Combine::Max => self.max(other),
            Combine::Min => self.min(other),
        }
    }
}

/// Updates `x` at `places`: element `i` of `updates` meets element `places[i]`, in order.
fn apply(x: &Tensor, places: &[usize], updates: &Tensor, how: Combine) -> Result<Tensor, OpError> {
    if how == Combine::Replace {
        let mut last: Vec<Option<usize>> = vec![None; x.count()];
        places.iter().enumerate().for_each(|(i, &p)| last[p] = Some(i));
        let fill = vec![0; x.dtype().size()];
        return rearrange_many(&[x, updates], x.shape(), &fill, |index| {
            let at = flat(x.shape(), index);
            Some(last[at].map_or((0, at), |i| (1, i)))
        });
    }
    with_number!(x.dtype(), N => {
        let (mut y, u) = (N::read(x)?, N::read(updates)?);
        places.iter().zip(u).for_each(|(&p, u)| y[p] = y[p].combine(u, how));
        Ok(N::write(x.dtype(), x.shape(), &y)?)
    })
}

fn check_operands(x: &Operand, index: &Operand, updates: &Operand, how: Combine) -> Result<(), OpError> {
    ensure!(index.dtype().is_int(), "expected integer indices, found {}", index.fact);
    ensure!(x.dtype() == updates.dtype(), "expected updates of {}, found {}", x.dtype(), updates.fact);
    let numbers = how == Combine::Replace || x.dtype().is_float() || x.dtype().is_int();
    ensure!(numbers, "expected numbers, found {}", x.fact);
    Ok(())
}

/// Slices of a tensor `dims`, addressed by the coordinates in the last dimension of `index`.
struct Slices<'a> {
    dims: &'a [usize],
    index: &'a Operand,
}

impl Slices<'_> {
    /// Number of coordinates; checks that `updates` has one slice for each row of coordinates.
    fn depth(&self, updates: &Operand) -> Result<usize, OpError> {
        let [lead @ .., depth] = self.index.shape() else {
            return Err(OpError::Invalid("expected indices of rank 1 or more, found a scalar".into()));
        };
        let depth = *depth;
        ensure!(depth <= self.dims.len(), "{depth} coordinates for {:?}", self.dims);
        let want: Shape = lead.iter().chain(&self.dims[depth..]).copied().collect();
        ensure!(
            updates.shape() == want.as_slice(),
            "expected updates of {:?}, found {}",
            want.as_slice(),
            updates.fact
        );
        Ok(depth)
    }

    /// The position that each element of `updates` meets.
    fn places(&self, depth: usize) -> Result<Vec<usize>, OpError> {
        let picks = self.index.i64s()?;
        let inner = count(&self.dims[depth..]);
        let mut out = Vec::new();
        for row in picks.chunks(depth.max(1)) {
            let mut at = 0;
            for (&i, &len) in row.iter().zip(&self.dims[..depth]) {
                at = at * len + position(i, len).ok_or_else(|| outside(i, len))?;
            }
            out.extend(at * inner..(at + 1) * inner);
        }
        Ok(out)
    }
}

macro_rules! scatter_nd_op {
    ($(#[doc = $doc:literal])+ $effect:ident $name:ident [$($kind:ident)?] $how:expr) => {
        op! {
            $(#[doc = $doc])+
            $($kind)? $name {
                input_x ["x", "var"]: Operand,
                indices: Operand,
                updates: Operand,
                use_locking: bool as Attribute = false,
            }
        }

        impl Rule for $name {
            const EFFECT: Effect = scatter_nd_op!(@ $effect effect);
            const PURE: Option<Pure> = scatter_nd_op!(@ $effect operator $how);

            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                check_operands(&self.input_x, &self.indices, &self.updates, $how)?;
                Slices { dims: self.input_x.shape(), index: &self.indices }.depth(&self.updates)?;
                Ok(vec![self.input_x.fact.clone(); scatter_nd_op!(@ $effect count)])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let slices = Slices { dims: self.input_x.shape(), index: &self.indices };
                let places = slices.places(slices.depth(&self.updates)?)?;
                let y = apply(self.input_x.tensor()?, &places, self.updates.tensor()?, $how)?;
                Ok(vec![y; scatter_nd_op!(@ $effect count)])
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let y = lower_nd(b, self.input_x.v, self.indices.v, self.updates.v, $how);
                Ok(y.map(|y| vec![y; scatter_nd_op!(@ $effect count)]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let (x, index) = (e.edge(&self.input_x)?, e.as_type(&self.indices, DType::I64)?);
                let updates = e.edge(&self.updates)?;
                Ok(Some(vec![scatter_nd(e, x, index, updates, $how, self.input_x.dtype())?; 1]))
            }

            fn cases() -> Vec<Case> {
                let rows = sample().tensor(DType::F32, &[4, 3]).index(DType::I32, &[3, 1], &[2, 0, 2]);
                let elements = sample().tensor(DType::I32, &[2, 3]).index(DType::I64, &[2, 2], &[0, 1, 1, 2]);
                vec![
                    rows.tensor(DType::F32, &[3, 3]).case("rows"),
                    elements.positive(DType::I32, &[2]).exact("elements"),
                ]
            }
        }
    };
    (@ pure effect) => { Effect::Pure };
    (@ pure operator $how:expr) => { None };
    (@ pure count) => { 1 };
    (@ writes effect) => { Effect::Writes(&[0]) };
    (@ writes operator $how:expr) => { Some(Pure::As($how.pure())) };
    (@ writes count) => { 2 };
}

scatter_nd_op! {
    /// `input_x` with slices replaced: the last dimension of `indices` holds the first coordinates of a slice, `updates` one
    /// slice for each. The last of several updates of a slice counts. Any type; an index out of range is an error.
    pure TensorScatterUpdate [object] Combine::Replace
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, with updates added. Numbers.
    pure TensorScatterAdd [] Combine::Add
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, with updates subtracted. Numbers.
    pure TensorScatterSub [object] Combine::Sub
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, with elements multiplied by updates. Numbers.
    pure TensorScatterMul [object] Combine::Mul
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, with elements divided by updates. Numbers; integers truncate, division by zero gives 0.
    pure TensorScatterDiv [object] Combine::Div
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, keeping the larger of element and update. Numbers.
    pure TensorScatterMax [object] Combine::Max
}
scatter_nd_op! {
    /// As `TensorScatterUpdate`, keeping the smaller of element and update. Numbers.
    pure TensorScatterMin [object] Combine::Min
}
scatter_nd_op! {
    /// Writes variable `input_x`, with slices replaced as by `TensorScatterUpdate`, and returns it.
    writes ScatterNdUpdate [object] Combine::Replace
}
scatter_nd_op! {
    /// Writes variable `input_x`, with updates added to slices as by `TensorScatterAdd`, and returns it.
    writes ScatterNdAdd [object] Combine::Add
}
scatter_nd_op! {
    /// Writes variable `input_x`, with updates subtracted from slices as by `TensorScatterSub`, and returns it.
    writes ScatterNdSub [object] Combine::Sub
}
scatter_nd_op! {
    /// Writes variable `input_x`, with slices multiplied as by `TensorScatterMul`, and returns it.
    writes ScatterNdMul [object] Combine::Mul
}
scatter_nd_op! {
    /// Writes variable `input_x`, with slices divided as by `TensorScatterDiv`, and returns it.
    writes ScatterNdDiv [object] Combine::Div
}
scatter_nd_op! {
    /// Writes variable `input_x`, keeping the larger of element and update as `TensorScatterMax`, and returns it.
    writes ScatterNdMax [object] Combine::Max
}
scatter_nd_op! {
    /// Writes variable `input_x`, keeping the smaller of element and update as `TensorScatterMin`, and returns it.
    writes ScatterNdMin [object] Combine::Min
}

macro_rules! scatter_rows_op {
    ($(#[doc = $doc:literal])+ $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name {
                input_x ["x", "var"]: Operand,
                indices: Operand,
                updates: Operand,
                use_locking: bool = false,
            }
        }

        impl $name {
            /// The indices as coordinates of slices along the first dimension.
            fn index(&self) -> Result<Operand, OpError> {
                let mut dims = self.indices.fact.shape.clone();
                dims.push(1);
                crate::ops::linear::product::reshaped(&self.indices, self.indices.v, &dims)
            }
        }

        impl Rule for $name {
            const EFFECT: Effect = Effect::Writes(&[0]);
            const PURE: Option<Pure> = Some(Pure::Rows($how.pure()));

            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                check_operands(&self.input_x, &self.indices, &self.updates, $how)?;
                Slices { dims: self.input_x.shape(), index: &self.index()? }.depth(&self.updates)?;
                Ok(vec![self.input_x.fact.clone(); 2])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let places = Slices { dims: self.input_x.shape(), index: &self.index()? }.places(1)?;
                let y = apply(self.input_x.tensor()?, &places, self.updates.tensor()?, $how)?;
                Ok(vec![y; 2])
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let index = b.reshape(self.indices.v, &self.index()?.fact.shape)?;
                Ok(lower_nd(b, self.input_x.v, index, self.updates.v, $how).map(|y| vec![y; 2]))
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[4, 3]).index(DType::I32, &[1, 3], &[2, 0, 2]);
                vec![s.tensor(DType::F32, &[1, 3, 3]).case("rows")]
            }
        }
    };
}

scatter_rows_op! {
    /// Writes variable `input_x`, with slices `indices` along the first dimension replaced by those of `updates`, and
    /// returns it. Any type; an index out of range is an error.
    ScatterUpdate Combine::Replace
}
scatter_rows_op! {
    /// As `ScatterUpdate`, with updates added. Numbers.
    ScatterAdd Combine::Add
}
scatter_rows_op! {
    /// As `ScatterUpdate`, with updates subtracted. Numbers.
    ScatterSub Combine::Sub
}
scatter_rows_op! {
    /// As `ScatterUpdate`, with elements multiplied by updates. Numbers.
    ScatterMul Combine::Mul
}
scatter_rows_op! {
    /// As `ScatterUpdate`, with elements divided by updates. Numbers; integers truncate, division by zero gives 0.
    ScatterDiv Combine::Div
}
scatter_rows_op! {
    /// As `ScatterUpdate`, keeping the larger of element and update. Numbers.
    ScatterMax Combine::Max
}
scatter_rows_op! {
    /// As `ScatterUpdate`, keeping the smaller of element and update. Numbers.
    ScatterMin Combine::Min
}

op! {
    /// A tensor of dimensions `shape`, zero but for slices: the last dimension of `indices` holds the first coordinates of a
    /// slice, to which the slice of `updates` is added. Numbers; an index out of range is an error.
    ScatterNd { indices: Operand, updates: Operand, shape: Late<Ints> }
}

impl ScatterNd {
    fn dims(&self) -> Result<Vec<usize>, OpError> {
        let dims = sizes(self.shape.get()?, "shape")?;
        ensure!(crate::checked_count(&dims).is_some(), "the result {dims:?} is too large");
        Ok(dims)
    }
}

impl Rule for ScatterNd {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let dims = self.dims()?;
        check_operands(&self.updates, &self.indices, &self.updates, Combine::Add)?;
        Slices { dims: &dims, index: &self.indices }.depth(&self.updates)?;
        Ok(vec![Fact::new(self.updates.dtype(), &dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let dims = self.dims()?;
        let slices = Slices { dims: &dims, index: &self.indices };
        let places = slices.places(slices.depth(&self.updates)?)?;
        let zeros = Tensor::zeros(self.updates.dtype(), &dims)?;
        Ok(vec![apply(&zeros, &places, self.updates.tensor()?, Combine::Add)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let zeros = b.constant(Tensor::zeros(self.updates.dtype(), &self.dims()?)?);
        Ok(lower_nd(b, zeros, self.indices.v, self.updates.v, Combine::Add).map(|y| vec![y]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.updates.dtype();
        let (zero, shape) = (e.number(d, 0.0)?, e.ints(2, self.shape.known().map(|s| &s[..]))?);
        let x = e.op("Expand", &[zero, shape]);
        let (index, updates) = (e.as_type(&self.indices, DType::I64)?, e.edge(&self.updates)?);
        Ok(Some(vec![scatter_nd(e, x, index, updates, Combine::Add, d)?]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I32, &[3, 1], &[1, 1, 0]);
        vec![
            s.clone().tensor(DType::F32, &[3]).ints(&[4]).case("elements"),
            s.tensor(DType::I64, &[3, 2]).ints(&[2, 2]).exact("rows"),
        ]
    }
}

crate::op_enum! {
    /// What an update does to an element.
    Reduction {
        /// Replaces it.
        None = 0, "none";
        /// Is added to it.
        Add = 1, "add";
        /// Multiplies it.
        Mul = 2, "mul";
        /// Replaces it if larger.
        Max = 3, "max";
        /// Replaces it if smaller.
        Min = 4, "min";
    }
}

impl Reduction {
    fn combine(self) -> Combine {
        match self {
            Reduction::None => Combine::Replace,
            Reduction::Add => Combine::Add,
            Reduction::Mul => Combine::Mul,
            Reduction::Max => Combine::Max,
            Reduction::Min => Combine::Min,
        }
    }
}

/// Positions in a tensor of `dims` where coordinate `axis` of each element of `index` is replaced by the index.
fn along(dims: &[usize], axis: usize, index: &Operand, limit: &[usize]) -> Result<Vec<usize>, OpError> {
    let picks = index.i64s()?;
    let (mut out, mut bad) = (Vec::new(), None);
    each_index(limit, |at| {
        let pick = picks[flat(index.shape(), at)];
        let mut to = Shape::from_slice(at);
        match position(pick, dims[axis]) {
            Some(p) => to[axis] = p,
            None => bad = Some(pick),
        }
        out.push(flat(dims, &to));
    })?;
    bad.map_or(Ok(out), |i| Err(outside(i, dims[axis])))
}

fn check_along(x: &Operand, axis: usize, index: &Operand, updates: &Operand) -> Result<(), OpError> {
    let fits = x.rank() == index.rank()
        && updates.rank() == index.rank()
        && (0..x.rank())
            .all(|d| index.shape()[d] <= updates.shape()[d] && (d == axis || index.shape()[d] <= x.shape()[d]));
    ensure!(fits, "indices {} do not fit {} and {}", index.fact, x.fact, updates.fact);
    Ok(())
}

/// The part of `updates` that `index` covers.
fn covered(updates: &Operand, index: &Operand) -> Result<Tensor, OpError> {
    let dims = updates.shape();
    crate::ops::kit::indices::rearrange(updates.tensor()?, index.shape(), |at| Some(flat(dims, at)))
}

/// Updates of elements whose coordinate `axis` an index gives; the other coordinates are the index's own.
struct Along<'a> {
    x: &'a Operand,
    axis: i64,
    index: &'a Operand,
    updates: &'a Operand,
    how: Combine,
}

impl Along<'_> {
    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.x.dtype();
        let wide = if self.how == Combine::Replace { d } else { machine(d) };
        let (x, index) = (e.as_type(self.x, wide)?, e.as_type(self.index, DType::I64)?);
        let mut updates = e.as_type(self.updates, wide)?;
        let (have, want) = (self.updates.dims(), self.index.dims());
        if have != want || want.iter().any(Option::is_none) {
            let sizes = e.sizes_of(self.index);
            let (start, end) = (e.vector(&vec![0; want.len()]), e.sizes(&sizes)?);
            updates = e.op("Slice", &[updates, start, end]);
        }
        let (reduction, updates) = self.how.onnx(e, updates, wide)?;
        let attrs = vec![("axis", (self.x.axis(self.axis)? as i64).into()), ("reduction", reduction.into())];
        let y = e.op_with("ScatterElements", &[x, index, updates], attrs);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn infer(&self) -> Result<Fact, OpError> {
        check_operands(self.x, self.index, self.updates, self.how)?;
        check_along(self.x, self.x.axis(self.axis)?, self.index, self.updates)?;
        Ok(self.x.fact.clone())
    }

    fn reference(&self) -> Result<Tensor, OpError> {
        let places = along(self.x.shape(), self.x.axis(self.axis)?, self.index, self.index.shape())?;
        apply(self.x.tensor()?, &places, &covered(self.updates, self.index)?, self.how)
    }
}

/// Implements [`Rule`] for an operator whose `plan()` infers and computes one result.
macro_rules! ruled {
    ($name:ident, $cases:expr) => {
        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                Ok(vec![self.plan().infer()?])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                Ok(vec![self.plan().reference()?])
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                self.plan().onnx(e)
            }

            fn cases() -> Vec<Case> {
                $cases
            }
        }
    };
}

op! {
    /// `data` with elements updated: element `i` of `updates` meets the element at the coordinates of `i` with coordinate
    /// `axis` replaced by `indices[i]`. Negative indices count from the end; one out of range is an error.
    TensorScatterElements {
        data: Operand,
        indices: Operand,
        updates: Operand,
        axis: i64 = 0,
        reduce ["reduction"]: Reduction = Reduction::None,
    }
}

impl TensorScatterElements {
    fn plan(&self) -> Along<'_> {
        let how = self.reduce.combine();
        Along { x: &self.data, axis: self.axis, index: &self.indices, updates: &self.updates, how }
    }
}

ruled!(TensorScatterElements, {
    let s = sample().tensor(DType::F32, &[3, 3]).index(DType::I32, &[2, 2], &[0, 0, 2, -2]).tensor(DType::F32, &[2, 2]);
    vec![s.clone().int(0).text("add").case("added"), s.int(1).text("none").exact("replaced")]
});

op! {
    /// As `TensorScatterElements`, with the arguments in another order.
    Scatter { input: Operand, dim: i64, index: Operand, src: Operand, reduce: Reduction = Reduction::None }
}

impl Scatter {
    fn plan(&self) -> Along<'_> {
        Along { x: &self.input, axis: self.dim, index: &self.index, updates: &self.src, how: self.reduce.combine() }
    }
}

ruled!(Scatter, {
    let s = sample().tensor(DType::F32, &[3, 3]).int(0).index(DType::I64, &[1, 2], &[2, 0]).tensor(DType::F32, &[2, 3]);
    vec![s.clone().exact("replaced"), s.text("add").case("added")]
});

op! {
    /// As `Scatter`, with `src` added.
    ScatterAddExt { input: Operand, dim: i64, index: Operand, src: Operand }
}

impl ScatterAddExt {
    fn plan(&self) -> Along<'_> {
        Along { x: &self.input, axis: self.dim, index: &self.index, updates: &self.src, how: Combine::Add }
    }
}

ruled!(ScatterAddExt, {
    let s = sample().tensor(DType::F32, &[3, 3]).int(1).index(DType::I64, &[2, 2], &[1, 1, 0, 2]);
    vec![s.tensor(DType::F32, &[2, 2]).case("added")]
});

op! {
    /// `input` plus `alpha` times the slices of `source` along `dim`, each added to the slice that `index` names. Numbers.
    IndexAddExt {
        input: Operand,
        dim: i64,
        index: Operand,
        source: Operand,
        alpha: Factor = Factor::Int(1),
    }
}

impl IndexAddExt {
    fn axis(&self) -> Result<usize, OpError> {
        let (x, source) = (&self.input, &self.source);
        check_operands(x, &self.index, source, Combine::Add)?;
        let axis = x.axis(self.dim)?;
        let mut want = x.fact.shape.clone();
        want[axis] = self.index.count();
        ensure!(self.index.rank() <= 1, "expected a vector of indices, found {}", self.index.fact);
        let fits = source.shape() == want.as_slice()
            || source.rank() == 1 && crate::broadcast(source.shape(), &want).is_some();
        ensure!(fits, "expected a source of {:?}, found {}", want.as_slice(), source.fact);
        Ok(axis)
    }
}

impl Rule for IndexAddExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, axis, picks) = (&self.input, self.axis()?, self.index.i64s()?);
        let mut dims = x.fact.shape.clone();
        dims[axis] = picks.len();
        let strides = crate::broadcast_strides(self.source.shape(), &dims).unwrap_or_default();
        let rows = picks.iter().map(|&i| position(i, x.shape()[axis]).ok_or_else(|| outside(i, x.shape()[axis])));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        with_number!(x.dtype(), N => {
            let (mut y, s) = (N::read(x.tensor()?)?, N::read(self.source.tensor()?)?);
            let alpha = N::read(&Tensor::scalar(self.alpha.as_f64()))?[0];
            each_index(&dims, |at| {
                let mut to = Shape::from_slice(at);
                to[axis] = rows[at[axis]];
                let from: usize = at.iter().zip(&strides).map(|(&i, &s)| i * s as usize).sum();
                let to = flat(x.shape(), &to);
                y[to] = y[to].add(s[from].mul(alpha));
            })?;
            Ok(vec![N::write(x.dtype(), x.shape(), &y)?])
        })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (d, axis) = (self.input.dtype(), self.axis()?);
        let wide = machine(d);
        let mut perm: Vec<usize> = (0..self.input.rank()).collect();
        perm.swap(0, axis);
        let x = e.as_type(&self.input, wide)?;
        let x = e.transpose(x, &perm);
        let mut source = e.as_type(&self.source, wide)?;
        if self.source.rank() != self.input.rank() {
            return no_form("a source of another rank");
        }
        source = e.transpose(source, &perm);
        if self.alpha.as_f64() != 1.0 {
            let alpha = e.number(wide, self.alpha.as_f64())?;
            source = e.op("Mul", &[source, alpha]);
        }
        let index = e.as_type(&self.index, DType::I64)?;
        let index = e.reshape(index, &[-1, 1]);
        let y = scatter_nd(e, x, index, source, Combine::Add, wide)?;
        let y = e.transpose(y, &perm);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[4, 3]).int(0).index(DType::I32, &[2], &[1, 1]);
        vec![
            s.clone().tensor(DType::F32, &[2, 3]).int(1).case("rows"),
            s.tensor(DType::F32, &[3]).real(0.5).case("one row for all"),
        ]
    }
}

macro_rules! segment_op {
    ($(#[doc = $doc:literal])+ ($($kind:ident)?) $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { input_x ["x"]: Operand, segment_ids: Operand, num_segments: i64 }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                Ok(vec![Segments { x: &self.input_x, ids: &self.segment_ids, n: self.num_segments, how: $how }.infer()?])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let segments = Segments { x: &self.input_x, ids: &self.segment_ids, n: self.num_segments, how: $how };
                Ok(vec![segments.reference()?])
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                Segments { x: &self.input_x, ids: &self.segment_ids, n: self.num_segments, how: $how }.onnx(e)
            }

            fn cases() -> Vec<Case> {
                let ids = |s: crate::ops::kit::sample::Sample| s.index(DType::I32, &[4], &[0, 2, 0, -1]).int(4);
                vec![
                    ids(sample().tensor(DType::F32, &[4, 2])).case("rows"),
                    ids(sample().tensor(DType::I32, &[4])).exact("elements"),
                ]
            }
        }
    };
}

/// Slices of `x` combined by the segment that `ids` names.
struct Segments<'a> {
    x: &'a Operand,
    ids: &'a Operand,
    n: i64,
    how: Combine,
}

impl Segments<'_> {
    /// `ScatterND` into one segment more, which takes what belongs to none.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, lead) = (self.x.dtype(), self.ids.rank());
        let wide = machine(dtype);
        let n = e.number(DType::I64, self.n as f64)?;
        let ids = e.as_type(self.ids, DType::I64)?;
        let zero = e.number(DType::I64, 0.0)?;
        let (below, above) = (e.op("Less", &[ids, zero]), e.op("Greater", &[ids, n]));
        let outside = e.op("Or", &[below, above]);
        let ids = e.op("Where", &[outside, n, ids]);
        let ids = e.unsqueeze(ids, &[lead as i64]);
        let start = match self.how {
            Combine::Mul => 1.0,
            Combine::Max | Combine::Min => return no_form("ONNX has no extreme of segments that may be empty"),
            _ => 0.0,
        };
        let rest = (lead..self.x.rank()).map(|d| Size::Of(self.x.clone(), d));
        let sizes: Vec<Size> = std::iter::once(Size::Fixed(self.n + 1)).chain(rest).collect();
        let start = e.number(wide, start)?;
        let base = e.expand(start, &sizes)?;
        let x = e.as_type(self.x, wide)?;
        let y = scatter_nd(e, base, ids, x, self.how, wide)?;
        let y = e.slice(y, 0, 0, self.n);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn infer(&self) -> Result<Fact, OpError> {
        check_operands(self.x, self.ids, self.x, self.how)?;
        let n = size(self.n, "num_segments")?;
        let lead = self.ids.rank();
        let fits = lead > 0 && self.x.shape().starts_with(self.ids.shape());
        ensure!(fits, "{} does not start with the dimensions of {}", self.x.fact, self.ids.fact);
        let shape: Shape = std::iter::once(n).chain(self.x.shape()[lead..].iter().copied()).collect();
        ensure!(crate::checked_count(&shape).is_some(), "the result {:?} is too large", shape.as_slice());
        Ok(Fact { dtype: self.x.dtype(), shape })
    }

    fn reference(&self) -> Result<Tensor, OpError> {
        let fact = self.infer()?;
        with_number!(fact.dtype, N => Ok(N::write(fact.dtype, &fact.shape, &self.combined::<N>(&fact)?)?))
    }

    fn combined<N: Combined>(&self, fact: &Fact) -> Result<Vec<N>, OpError> {
        let limits = match self.how {
            Combine::Max => Tensor::from_f64s(fact.dtype, &[], &[f64::MIN])?,
            Combine::Min => Tensor::from_f64s(fact.dtype, &[], &[f64::MAX])?,
            Combine::Mul => Tensor::from_f64s(fact.dtype, &[], &[1.0])?,
            _ => Tensor::zeros(fact.dtype, &[])?,
        };
        let start = finite_limit(fact.dtype, N::read(&limits)?[0], self.how);
        let (x, ids, inner) = (N::read(self.x.tensor()?)?, self.ids.i64s()?, count(&fact.shape[1..]));
        let mut y = vec![start; fact.count()];
        for (row, &id) in ids.iter().enumerate() {
            let Some(segment) = usize::try_from(id).ok().filter(|&s| s < fact.shape[0]) else { continue };
            for j in 0..inner {
                let at = segment * inner + j;
                y[at] = y[at].combine(x[row * inner + j], self.how);
            }
        }
        Ok(y)
    }
}

/// The start value of a segment: for maxima and minima the extreme finite number of the type.
fn finite_limit<N: Combined>(dtype: DType, start: N, how: Combine) -> N {
    let extreme = match (dtype, how) {
        (DType::F16, Combine::Max) => Some(-65504.0),
        (DType::F16, Combine::Min) => Some(65504.0),
        (DType::BF16 | DType::F32, Combine::Max) => Some(f64::from(f32::MIN)),
        (DType::BF16 | DType::F32, Combine::Min) => Some(f64::from(f32::MAX)),
        _ => None,
    };
    match extreme.and_then(|x| N::read(&Tensor::scalar(x)).ok()) {
        Some(v) => v.first().copied().unwrap_or(start),
        None => start,
    }
}

segment_op! {
    /// Sums of the slices of `input_x` whose `segment_ids` agree: result slice `s` adds those with id `s`, negative ids are
    /// left out. `segment_ids`: integers with the first dimensions of `input_x`. Numbers.
    () UnsortedSegmentSum Combine::Add
}
segment_op! {
    /// As `UnsortedSegmentSum`, with the largest element; the lowest number of the type where there is none.
    (object) UnsortedSegmentMax Combine::Max
}
segment_op! {
    /// As `UnsortedSegmentSum`, with the smallest element; the highest number of the type where there is none.
    (object) UnsortedSegmentMin Combine::Min
}
segment_op! {
    /// As `UnsortedSegmentSum`, with products; 1 where there is no element.
    (object) UnsortedSegmentProd Combine::Mul
}
