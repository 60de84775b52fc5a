use crate::op::{Case, Operand, Rule};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{Fact, OpError, Tensor, op};

op! {
    /// What a parameter holds when the node runs.
    ///
    /// `x`: any type. Later writes to the parameter do not change the result.
    Load { x: Operand }
}

impl Rule for Load {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.x.tensor()?.clone()])
    }

    fn lower(&self, _b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        Ok(Some(vec![self.x.v]))
    }

    fn cases() -> Vec<Case> {
        let vector = Tensor::vector(&[1.0f32, -2.0, 3.5]);
        vec![sample().data(vector).exact("vector"), sample().data(Tensor::scalar(7i64)).exact("number")]
    }
}
