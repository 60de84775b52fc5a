//! Regular selections: what slices, splits and reversals have in common.

use crate::op::{Lowers, Operand, Plan};
use crate::ops::kit::indices::{flat, rearrange};
use crate::task::{Lowering, V};
use crate::{Fact, OpError, Shape, Tensor, checked_count, ensure};

/// `size[d]` elements along each dimension of `x`, from `begin[d]` in steps of `step[d]`.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Cut<'a> {
    x: &'a Operand,
    pub begin: Shape,
    pub size: Shape,
    pub step: Vec<isize>,
    /// The dimensions that the result gets, if not `size`.
    pub dims: Option<Shape>,
}

impl<'a> Cut<'a> {
    /// Everything.
    pub fn whole(x: &'a Operand) -> Cut<'a> {
        let (begin, step) = (Shape::from_elem(0, x.rank()), vec![1; x.rank()]);
        Cut { x, begin, size: x.fact.shape.clone(), step, dims: None }
    }

    /// Elements `begin` to `begin + size` of one dimension.
    pub fn range(x: &'a Operand, axis: usize, begin: usize, size: usize) -> Result<Cut<'a>, OpError> {
        let mut cut = Cut::whole(x);
        let fits = begin.checked_add(size).is_some_and(|end| end <= x.shape()[axis]);
        ensure!(fits, "{size} elements from {begin} reach beyond dimension {axis} of {}", x.fact);
        (cut.begin[axis], cut.size[axis]) = (begin, size);
        Ok(cut)
    }

    /// Element `at` of one dimension, which disappears.
    pub fn single(x: &'a Operand, axis: usize, at: usize) -> Result<Cut<'a>, OpError> {
        let mut cut = Cut::range(x, axis, at, 1)?;
        let mut dims = x.fact.shape.clone();
        dims.remove(axis);
        cut.dims = Some(dims);
        Ok(cut)
    }

    /// What is cut out, as a value.
    pub fn value(&self, b: &mut Lowering) -> Result<V, OpError> {
        let dims = self.dims.as_ref().unwrap_or(&self.size);
        if checked_count(dims) == Some(0) {
            return Ok(b.constant(Tensor::zeros(self.x.dtype(), dims)?));
        }
        let y = b.slice(self.x.v, &self.begin, &self.size, &self.step)?;
        b.reshape(y, dims)
    }
}

impl Plan for Cut<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.dims.as_ref().unwrap_or(&self.size).clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = rearrange(self.x.tensor()?, &self.size, |index| {
            let place = |d: usize| (self.begin[d] as isize + index[d] as isize * self.step[d]) as usize;
            let from: Shape = (0..index.len()).map(place).collect();
            Some(flat(self.x.shape(), &from))
        })?;
        Ok(vec![match &self.dims {
            Some(dims) => y.reshape(dims)?,
            None => y,
        }])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![self.value(b)?]))
    }
}
