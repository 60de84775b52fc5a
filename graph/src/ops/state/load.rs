use crate::op::{Case, CaseArg, Operand, Rule};
use crate::task::Lowering;
use crate::task::V;
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
        let case = |name, x| Case { name, args: vec![Some(CaseArg::Tensor(x))], tolerance: 0.0 };
        vec![case("vector", Tensor::vector(&[1.0f32, -2.0, 3.5])), case("number", Tensor::scalar(7i64))]
    }
}
