//! What operators compute that keep the elements and change the dimensions.

use crate::op::{Lowers, Operand, Rule};
use crate::task::Lowering;
use crate::{Fact, OpError, Shape, Tensor, checked_count, ensure};

/// The elements of `x` with other dimensions.
pub(in crate::ops) struct SameElements<'a> {
    x: &'a Operand,
    dims: Shape,
}

impl<'a> SameElements<'a> {
    pub fn new(x: &'a Operand, dims: Shape) -> Result<Self, OpError> {
        let fits = checked_count(&dims) == Some(x.count());
        ensure!(fits, "cannot give {} the dimensions {:?}", x.fact, dims.as_slice());
        Ok(SameElements { x, dims })
    }
}

impl Rule for SameElements<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.dims.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.x.tensor()?.reshape(&self.dims)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.reshape(self.x.v, &self.dims)?]))
    }
}
