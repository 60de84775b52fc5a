use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Rule};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, op};

/// Implements [`Rule`] for an operator whose `answer()` depends on the operand's dimensions only.
macro_rules! about_shape {
    ($name:ident) => {
        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                Ok(vec![self.answer().fact()])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                Ok(vec![self.answer()])
            }

            fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
                let answer = self.answer();
                Ok(Some(vec![b.constant(answer)]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                self.form(e)
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensor(DType::F32, &[2, 3, 4]).exact("rank 3"),
                    sample().tensor(DType::I32, &[]).exact("scalar"),
                ]
            }
        }
    };
}

op! {
    /// The dimensions as a vector of `i64`, whatever the contents. Any type.
    Shape, aliases ["TensorShape", "DynamicShape"] { input_x ["input", "x"]: Operand } -> Numbers
}

impl Shape {
    fn answer(&self) -> Tensor {
        Tensor::vector(&self.input_x.shape().iter().map(|&d| d as i64).collect::<Vec<_>>())
    }

    fn form(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.op("Shape", &[x])]))
    }
}

about_shape!(Shape);

op! {
    /// The number of elements as an `i64` of rank 0. Any type.
    object Size { input_x ["input", "x"]: Operand } -> Number
}

impl Size {
    fn answer(&self) -> Tensor {
        Tensor::scalar(self.input_x.count() as i64)
    }

    fn form(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.op("Size", &[x])]))
    }
}

about_shape!(Size);

op! {
    /// The number of dimensions as an `i64` of rank 0. Any type.
    Rank { input_x ["input", "x"]: Operand } -> Number
}

impl Rank {
    fn answer(&self) -> Tensor {
        Tensor::scalar(self.input_x.rank() as i64)
    }

    fn form(&self, e: &mut Emit) -> Forms {
        Ok(Some(vec![e.constant(self.answer())]))
    }
}

about_shape!(Rank);
