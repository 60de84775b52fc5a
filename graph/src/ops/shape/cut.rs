//! Regular selections: what slices, splits and reversals have in common.

use crate::op::Operand;
use crate::ops::kit::indices::{flat, rearrange};
use crate::task::{Lowering, V};
use crate::{OpError, Shape, Tensor, checked_count, ensure};

/// `size[d]` elements along each dimension, from `begin[d]` in steps of `step[d]`.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Cut {
    pub begin: Shape,
    pub size: Shape,
    pub step: Vec<isize>,
}

impl Cut {
    /// Everything.
    pub fn whole(x: &Operand) -> Cut {
        Cut { begin: Shape::from_elem(0, x.rank()), size: x.fact.shape.clone(), step: vec![1; x.rank()] }
    }

    /// Elements `begin` to `begin + size` of one dimension.
    pub fn range(x: &Operand, axis: usize, begin: usize, size: usize) -> Result<Cut, OpError> {
        let mut cut = Cut::whole(x);
        let fits = begin.checked_add(size).is_some_and(|end| end <= x.shape()[axis]);
        ensure!(fits, "{size} elements from {begin} reach beyond dimension {axis} of {}", x.fact);
        (cut.begin[axis], cut.size[axis]) = (begin, size);
        Ok(cut)
    }

    pub fn reference(&self, x: &Operand) -> Result<Tensor, OpError> {
        rearrange(x.tensor()?, &self.size, |index| {
            let place = |d: usize| (self.begin[d] as isize + index[d] as isize * self.step[d]) as usize;
            let from: Shape = (0..index.len()).map(place).collect();
            Some(flat(x.shape(), &from))
        })
    }

    pub fn lower(&self, b: &mut Lowering, x: &Operand) -> Result<V, OpError> {
        if checked_count(&self.size) == Some(0) {
            return Ok(b.constant(Tensor::zeros(x.dtype(), &self.size)?));
        }
        b.slice(x.v, &self.begin, &self.size, &self.step)
    }
}
