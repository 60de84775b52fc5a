//! Updates of elements whose coordinate along one dimension is looked up.

use super::combine::{Combine, apply, check_operands};
use super::gather::all_places;
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::indices::{dim, each_index, flat, rearrange, replaced};
use crate::ops::kit::sample::sample;
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
