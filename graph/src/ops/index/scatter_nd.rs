//! Updates of slices at coordinates.

use super::combine::{Combine, apply, check_operands};
use super::gather::{Place, index_value, place, slices, strict_place};
use crate::onnx::{Edge, Emit, Forms, NoForm, machine};
use crate::op::{Case, Effect, Ints, Late, Lowers, Operand, Operator, Pure, Rule, Writes};
use crate::ops::kit::indices::{sizes, slices_at};
use crate::ops::kit::sample::sample;
use crate::ops::linear::product::reshaped;
use crate::task::{Binary, Instr, Lowering, Program, ScatterKind, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, checked_count, count, ensure, op};

/// `x` with slices at the coordinates `index` updated.
pub(super) fn scatter_nd(
    e: &mut Emit,
    x: Edge,
    index: Edge,
    updates: Edge,
    how: Combine,
    d: DType,
) -> Result<Edge, NoForm> {
    let wide = if how == Combine::Replace { d } else { machine(d) };
    let (x, updates) = (e.cast(x, d, wide), e.cast(updates, d, wide));
    let (reduction, updates) = how.onnx(e, updates, wide)?;
    let y = e.op_with("ScatterND", &[x, index, updates], vec![("reduction", reduction.into())]);
    Ok(e.cast(y, wide, d))
}

/// `x` with slices at the coordinates `index` updated; `None` for updates that no task makes.
pub(super) fn lower_nd(b: &mut Lowering, x: V, index: V, updates: V, how: Combine) -> Option<V> {
    if b.fact(updates).count() == 0 {
        return Some(x);
    }
    let (kind, updates) = match how {
        Combine::Replace => (ScatterKind::Replace, updates),
        Combine::Add => (ScatterKind::Add, updates),
        Combine::Sub => (ScatterKind::Add, b.unary(Unary::Neg, updates)),
        Combine::Mul => (ScatterKind::Mul, updates),
        Combine::Max => (ScatterKind::Max, updates),
        Combine::Min => (ScatterKind::Min, updates),
        Combine::Div => return None,
    };
    let index = index_value(b, index);
    b.scatter(kind, x, index, updates).ok()
}

/// Indices of which those below 0 name no element, where others count from the end.
fn strict(b: &mut Lowering, index: V) -> V {
    let index = index_value(b, index);
    let Fact { dtype, shape } = b.fact(index).clone();
    let mut p = Program::new();
    let i = p.input(0, dtype);
    let (zero, none) = (
        p.push(Instr::Int(0), dtype),
        p.push(Instr::Int(if dtype == DType::I32 { i32::MIN.into() } else { i64::MIN }), dtype),
    );
    let below = p.binary(Binary::Lt, i, zero);
    p.select(below, none, i);
    b.map(p, &[index], &shape)
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
        let (depth, slice) = (*depth, self.dims.get(*depth..));
        let slice = slice.ok_or_else(|| OpError::Invalid(format!("{depth} coordinates for {:?}", self.dims)))?;
        let want: Shape = lead.iter().chain(slice).copied().collect();
        ensure!(
            updates.shape() == want.as_slice(),
            "expected updates of {:?}, found {}",
            want.as_slice(),
            updates.fact
        );
        Ok(depth)
    }

    /// The position that each element of `updates` meets.
    fn places(&self, depth: usize, place: Place) -> Result<Vec<usize>, OpError> {
        let (lead, slice) = self.dims.split_at_checked(depth).unwrap_or((self.dims, &[]));
        Ok(slices_at([1, count(lead), count(slice)], &slices(&self.index.i64s()?, lead, place)?).collect())
    }
}

/// Slices of `x` that meet those of `updates` at the coordinates `index`.
struct Scattered<'a> {
    x: &'a Operand,
    index: Operand,
    updates: &'a Operand,
    how: Combine,
    /// Whether no index counts from the end.
    strict: bool,
}

impl<'a> Scattered<'a> {
    fn new(x: &'a Operand, index: Operand, updates: &'a Operand, how: Combine, strict: bool) -> Result<Self, OpError> {
        check_operands(x, &index, updates, how)?;
        Slices { dims: x.shape(), index: &index }.depth(updates)?;
        Ok(Scattered { x, index, updates, how, strict })
    }
}

impl Rule for Scattered<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let slices = Slices { dims: self.x.shape(), index: &self.index };
        let place = if self.strict { strict_place } else { place };
        let places = slices.places(slices.depth(self.updates)?, place)?;
        Ok(vec![apply(self.x.tensor()?, &places, self.updates.tensor()?, self.how)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let index = b.reshape(self.index.v, &self.index.fact.shape)?;
        let index = if self.strict { strict(b, index) } else { index };
        Ok(lower_nd(b, self.x.v, index, self.updates.v, self.how).map(|y| vec![y]))
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

        impl Operator for $name {
            const EFFECT: Effect = scatter_nd_op!(@ $effect effect);
            const PURE: Option<Pure> = scatter_nd_op!(@ $effect operator $how);

            fn rule(&self) -> Result<impl Rule, OpError> {
                Scattered::new(&self.input_x, self.indices.clone(), &self.updates, $how, scatter_nd_op!(@ $effect strict))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let (x, index) = (e.edge(&self.input_x)?, e.as_type(&self.indices, DType::I64)?);
                let updates = e.edge(&self.updates)?;
                Ok(Some(vec![scatter_nd(e, x, index, updates, $how, self.input_x.dtype())?]))
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
    (@ pure strict) => { false };
    (@ writes strict) => { true };
    (@ pure effect) => { Effect::Pure };
    (@ pure operator $how:expr) => { None };
    (@ writes effect) => { Effect::Writes(Writes::results(&[0])) };
    (@ writes operator $how:expr) => { Some(Pure::As($how.pure())) };
}

scatter_nd_op! {
    /// `input_x` with slices replaced: the last dimension of `indices` holds the first coordinates of a slice, `updates` one
    /// slice for each; one below 0 counts from the end. The last of several updates of a slice counts. Any type; an index out of
    /// range is an error.
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
    /// Writes variable `input_x`, with slices replaced as by `TensorScatterUpdate`, and returns it. An index below 0 is an error.
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

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
            const PURE: Option<Pure> = Some(Pure::Rows($how.pure()));

            fn rule(&self) -> Result<impl Rule, OpError> {
                // The indices as coordinates of slices along the first dimension.
                let mut dims = self.indices.fact.shape.clone();
                dims.push(1);
                let index = reshaped(&self.indices, self.indices.v, &dims)?;
                Scattered::new(&self.input_x, index, &self.updates, $how, true)
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
    /// returns it. Any type; an index out of range or below 0 is an error.
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
    /// slice, to which the slice of `updates` is added. Numbers; an index out of range or below 0 is an error.
    ScatterNd { indices: Operand, updates: Operand, shape: Late<Ints> }
}

impl ScatterNd {
    fn dims(&self) -> Result<Vec<usize>, OpError> {
        let dims = sizes(self.shape.get()?, "shape")?;
        ensure!(checked_count(&dims).is_some(), "the result {dims:?} is too large");
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
        let places = slices.places(slices.depth(&self.updates)?, strict_place)?;
        let zeros = Tensor::zeros(self.updates.dtype(), &dims)?;
        Ok(vec![apply(&zeros, &places, self.updates.tensor()?, Combine::Add)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let zeros = b.constant(Tensor::zeros(self.updates.dtype(), &self.dims()?)?);
        let index = strict(b, self.indices.v);
        Ok(lower_nd(b, zeros, index, self.updates.v, Combine::Add).map(|y| vec![y]))
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
