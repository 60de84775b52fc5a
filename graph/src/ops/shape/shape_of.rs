use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, op};

fn shapes() -> Vec<Case> {
    vec![sample().tensor(DType::F32, &[2, 3, 4]).exact("rank 3"), sample().tensor(DType::I32, &[]).exact("scalar")]
}

op! {
    /// The dimensions as a vector of `i64`, whatever the contents. Any type.
    Shape, aliases ["TensorShape", "DynamicShape"] { input_x ["input", "x"]: Operand } -> Numbers
}

impl Operator for Shape {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Tensor::vector(&self.input_x.shape().iter().map(|&d| d as i64).collect::<Vec<_>>()))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.op("Shape", &[x])]))
    }

    fn cases() -> Vec<Case> {
        shapes()
    }
}

op! {
    /// The number of elements as an `i64` of rank 0. Any type.
    object Size { input_x ["input", "x"]: Operand } -> Number
}

impl Operator for Size {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Tensor::scalar(self.input_x.count() as i64))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.op("Size", &[x])]))
    }

    fn cases() -> Vec<Case> {
        shapes()
    }
}

op! {
    /// The number of dimensions as an `i64` of rank 0. Any type.
    Rank { input_x ["input", "x"]: Operand } -> Number
}

impl Operator for Rank {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Tensor::scalar(self.input_x.rank() as i64))
    }

    fn cases() -> Vec<Case> {
        shapes()
    }
}
