//! Updates of elements whose coordinate along one dimension is looked up.

use super::combine::{Combine, apply, check_operands};
use super::gather::{all_places, flat_index};
use super::scatter_nd::lower_nd;
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Effect, Lowers, Number, Operand, Operator, Pure, Rule, Writes};
use crate::ops::kit::border::element;
use crate::ops::kit::indices::{dim, each_index, flat, rearrange, replaced};
use crate::ops::kit::sample::{Sample, sample};
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

op_enum! {
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
fn along(dims: &[usize], axis: usize, index: &Operand) -> Result<Vec<usize>, OpError> {
    let (mut places, mut out) = (all_places(&index.i64s()?, dim(dims, axis)?)?.into_iter(), Vec::new());
    each_index(index.shape(), |at| out.extend(places.next().map(|place| flat(dims, &replaced(at, axis, place)))))?;
    Ok(out)
}

fn check_along(x: &Operand, axis: usize, index: &Operand, updates: &Operand) -> Result<(), OpError> {
    let mut pairs = index.shape().iter().zip(updates.shape()).zip(x.shape()).enumerate();
    let fits = x.rank() == index.rank()
        && updates.rank() == index.rank()
        && pairs.all(|(d, ((i, update), x))| i <= update && (d == axis || i <= x));
    ensure!(fits, "indices {} do not fit {} and {}", index.fact, x.fact, updates.fact);
    Ok(())
}

/// `x` with elements updated whose coordinate `axis` an index gives; `None` for updates that no task makes.
fn lower_along(b: &mut Lowering, x: &Operand, axis: i64, index: &Operand, updates: V, how: Combine) -> Lowers {
    let (dims, axis) = (x.shape(), x.axis(axis)?);
    if index.count() == 0 || x.count() == 0 {
        return Ok(None);
    }
    let places = flat_index(b, index, dims, axis)?;
    let places = b.reshape(places, &[index.count(), 1])?;
    let (flat, updates) = (b.reshape(x.v, &[x.count()])?, b.reshape(updates, &[index.count()])?);
    let Some(y) = lower_nd(b, flat, places, updates, how) else { return Ok(None) };
    Ok(Some(vec![b.reshape(y, dims)?]))
}

/// The part of `updates` that `index` covers.
fn covered(updates: &Operand, index: &Operand) -> Result<Tensor, OpError> {
    let dims = updates.shape();
    rearrange(updates.tensor()?, index.shape(), |at| Some(flat(dims, at)))
}

/// Updates of elements whose coordinate `axis` an index gives; the other coordinates are the index's own.
pub(super) struct Along<'a> {
    pub x: &'a Operand,
    pub axis: i64,
    pub index: &'a Operand,
    pub updates: &'a Operand,
    pub how: Combine,
}

impl Rule for Along<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        check_operands(self.x, self.index, self.updates, self.how)?;
        check_along(self.x, self.x.axis(self.axis)?, self.index, self.updates)?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let places = along(self.x.shape(), self.x.axis(self.axis)?, self.index)?;
        Ok(vec![apply(self.x.tensor()?, &places, &covered(self.updates, self.index)?, self.how)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let dims = self.index.shape();
        let starts = vec![0; dims.len()];
        let updates = b.slice(self.updates.v, &starts, dims, &vec![1; dims.len()])?;
        lower_along(b, self.x, self.axis, self.index, updates, self.how)
    }

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

impl Operator for TensorScatterElements {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let how = self.reduce.combine();
        Ok(Along { x: &self.data, axis: self.axis, index: &self.indices, updates: &self.updates, how })
    }

    fn cases() -> Vec<Case> {
        let s =
            sample().tensor(DType::F32, &[3, 3]).index(DType::I32, &[2, 2], &[0, 0, 2, -2]).tensor(DType::F32, &[2, 2]);
        vec![s.clone().int(0).text("add").case("added"), s.int(1).text("none").exact("replaced")]
    }
}

op! {
    /// As `TensorScatterElements`, with the arguments in another order.
    Scatter { input: Operand, dim: i64, index: Operand, src: Operand, reduce: Reduction = Reduction::None }
}

impl Operator for Scatter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Along { x: &self.input, axis: self.dim, index: &self.index, updates: &self.src, how: self.reduce.combine() })
    }

    fn cases() -> Vec<Case> {
        let s =
            sample().tensor(DType::F32, &[3, 3]).int(0).index(DType::I64, &[1, 2], &[2, 0]).tensor(DType::F32, &[2, 3]);
        vec![s.clone().exact("replaced"), s.text("add").case("added")]
    }
}

op! {
    /// As `Scatter`, with `src` added.
    ScatterAddExt { input: Operand, dim: i64, index: Operand, src: Operand }
}

impl Operator for ScatterAddExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Along { x: &self.input, axis: self.dim, index: &self.index, updates: &self.src, how: Combine::Add })
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[3, 3]).int(1).index(DType::I64, &[2, 2], &[1, 1, 0, 2]);
        vec![s.tensor(DType::F32, &[2, 2]).case("added")]
    }
}

op! {
    /// As `TensorScatterElements`, with `updates` added.
    classic ScatterAddWithAxis { input_x: Operand, indices: Operand, updates: Operand, axis: i64 = 0 }
}

impl Operator for ScatterAddWithAxis {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let how = Combine::Add;
        Ok(Along { x: &self.input_x, axis: self.axis, index: &self.indices, updates: &self.updates, how })
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[3, 3]).index(DType::I32, &[2, 2], &[0, 0, 2, -2]);
        vec![s.tensor(DType::F32, &[2, 2]).int(0).case("added")]
    }
}

/// As [`Along`], with one number for all updates.
struct Valued<'a> {
    x: &'a Operand,
    axis: i64,
    index: &'a Operand,
    value: Number,
    how: Combine,
}

impl Rule for Valued<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        check_operands(self.x, self.index, self.x, self.how)?;
        check_along(self.x, self.x.axis(self.axis)?, self.index, self.index)?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let places = along(self.x.shape(), self.x.axis(self.axis)?, self.index)?;
        let updates = Tensor::filled(self.x.dtype(), self.index.shape(), &element(self.x.dtype(), self.value)?)?;
        Ok(vec![apply(self.x.tensor()?, &places, &updates, self.how)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let value = element(self.x.dtype(), self.value)?;
        let updates = b.constant(Tensor::filled(self.x.dtype(), self.index.shape(), &value)?);
        lower_along(b, self.x, self.axis, self.index, updates, self.how)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.x.dtype();
        let wide = if self.how == Combine::Replace { d } else { machine(d) };
        let (x, index) = (e.as_type(self.x, wide)?, e.as_type(self.index, DType::I64)?);
        let value = e.constant(Tensor::from_bytes(d, &[], element(d, self.value)?.into())?.cast(wide)?);
        let sizes = e.sizes_of(self.index);
        let updates = e.expand(value, &sizes)?;
        let (reduction, updates) = self.how.onnx(e, updates, wide)?;
        let attrs = vec![("axis", (self.x.axis(self.axis)? as i64).into()), ("reduction", reduction.into())];
        let y = e.op_with("ScatterElements", &[x, index, updates], attrs);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }
}

op! {
    /// As `Scatter`, with the number `src` for all updates. MindSpore's CPU back end replaces elements whatever `reduce` says.
    ScatterValue { input: Operand, dim: i64, index: Operand, src: Number, reduce: Reduction = Reduction::None }
}

impl Operator for ScatterValue {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let how = self.reduce.combine();
        Ok(Valued { x: &self.input, axis: self.dim, index: &self.index, value: self.src, how })
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[3, 3]).int(1).index(DType::I64, &[2, 2], &[2, 0, 1, 1]).real(2.5);
        vec![s.clone().exact("replaced"), s.text("add").case("added")]
    }
}

macro_rules! inplace {
    ($($(#[doc = $doc:literal])+ $name:ident = $pure:literal { $($more:tt)* } |$op:ident| $rule:expr, $last:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, dim: i64, index: Operand, $($more)* }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
            const PURE: Option<Pure> = Some(Pure::As($pure));

            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                Ok($rule)
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[3, 3]).int(1).index(DType::I64, &[2, 2], &[2, 0, 1, 1]);
                let finish: fn(Sample) -> Case = $last;
                vec![finish(s)]
            }
        }
    )*};
}

fn updates<'a>(x: &'a Operand, axis: i64, index: &'a Operand, updates: &'a Operand, how: Combine) -> Along<'a> {
    Along { x, axis, index, updates, how }
}

inplace! {
    /// Writes variable `input`, with elements replaced as by `Scatter`, and returns it.
    InplaceScatterSrc = "Scatter" { src: Operand }
        |op| updates(&op.input, op.dim, &op.index, &op.src, Combine::Replace),
        |s| s.tensor(DType::F32, &[2, 3]).exact("replaced");
    /// Writes variable `input`, with elements updated as by `Scatter`, and returns it.
    InplaceScatterSrcReduce = "Scatter" { src: Operand, reduce: Reduction = Reduction::None }
        |op| updates(&op.input, op.dim, &op.index, &op.src, op.reduce.combine()),
        |s| s.tensor(DType::F32, &[2, 3]).text("add").case("added");
    /// Writes variable `input`, with `src` added as by `ScatterAddExt`, and returns it.
    InplaceScatterAdd = "ScatterAddExt" { src: Operand }
        |op| updates(&op.input, op.dim, &op.index, &op.src, Combine::Add),
        |s| s.tensor(DType::F32, &[2, 3]).case("added");
    /// Writes variable `input`, with elements replaced by a number as by `ScatterValue`, and returns it.
    InplaceScatterValue = "ScatterValue" { value: Number }
        |op| Valued { x: &op.input, axis: op.dim, index: &op.index, value: op.value, how: Combine::Replace },
        |s| s.real(2.5).exact("replaced");
    /// Writes variable `input`, with elements updated by a number as by `ScatterValue`, and returns it.
    InplaceScatterValueReduce = "ScatterValue" { value: Number, reduce: Reduction = Reduction::None }
        |op| Valued { x: &op.input, axis: op.dim, index: &op.index, value: op.value, how: op.reduce.combine() },
        |s| s.real(2.5).text("add").case("added");
}
