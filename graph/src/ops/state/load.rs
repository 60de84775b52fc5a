use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::elementwise::identity::Same;
use crate::ops::kit::sample::sample;
use crate::{OpError, Tensor, op};

op! {
    /// What a parameter holds when the node runs.
    ///
    /// `x`: any type. Later writes to the parameter do not change the result.
    Load { x: Operand }
}

impl Operator for Load {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Same(&self.x))
    }

    fn cases() -> Vec<Case> {
        let vector = Tensor::vector(&[1.0f32, -2.0, 3.5]);
        vec![sample().data(vector).exact("vector"), sample().data(Tensor::scalar(7i64)).exact("number")]
    }
}
