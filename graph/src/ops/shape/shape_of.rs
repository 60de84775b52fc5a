use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Plan, Planned};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, op};

fn shapes() -> Vec<Case> {
    vec![sample().tensor(DType::F32, &[2, 3, 4]).exact("rank 3"), sample().tensor(DType::I32, &[]).exact("scalar")]
}

op! {
    /// The dimensions as a vector of `i64`, whatever the contents. Any type.
    Shape, aliases ["TensorShape", "DynamicShape"] { input_x ["input", "x"]: Operand } -> Numbers
}

impl Planned for Shape {
    fn plan(&self) -> Result<impl Plan, OpError> {
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

impl Planned for Size {
    fn plan(&self) -> Result<impl Plan, OpError> {
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

impl Planned for Rank {
    fn plan(&self) -> Result<impl Plan, OpError> {
        Ok(Tensor::scalar(self.input_x.rank() as i64))
    }

    fn cases() -> Vec<Case> {
        shapes()
    }
}
