use crate::lower::Lowering;
use crate::op::{Lowers, Operand, Rule};
use crate::task::Unary;
use crate::{Fact, OpError, Tensor, op};

op! {
    /// `max(x, 0)`. Any real number type; the result has the type and shape of `x`.
    ReLU { input: Operand }
}

impl Rule for ReLU {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y: Vec<f64> = self.input.f64s()?.into_iter().map(|x| x.max(0.0)).collect();
        Ok(vec![Tensor::from_f64s(self.input.dtype(), self.input.shape(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.unary(Unary::Relu, self.input.v)]))
    }
}
