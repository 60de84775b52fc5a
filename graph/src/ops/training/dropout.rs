use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Rule};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Keeps every element, as inference does whatever `keep_prob`. Results: `x`, and a mask of ones of its type and shape.
    Dropout { x: Operand, keep_prob: f64 = 0.5, seed0 ["Seed0"]: i64 = 0, seed1 ["Seed1"]: i64 = 0 }
}

impl Dropout {
    fn mask(&self) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(self.x.dtype(), self.x.shape(), &vec![1.0; self.x.count()])?)
    }
}

impl Rule for Dropout {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.x.dtype().is_float(), "expected floats, found {}", self.x.fact);
        ensure!(
            self.keep_prob > 0.0 && self.keep_prob <= 1.0,
            "expected a keep_prob from 0 to 1, found {}",
            self.keep_prob
        );
        Ok(vec![self.x.fact.clone(); 2])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.x.tensor()?.clone(), self.mask()?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let one = b.scalar(self.x.dtype(), 1.0)?;
        Ok(Some(vec![self.x.v, b.broadcast_to(one, self.x.shape())?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, one) = (e.edge(&self.x)?, e.number(self.x.dtype(), 1.0)?);
        let sizes = e.sizes_of(&self.x);
        Ok(Some(vec![x, e.expand(one, &sizes)?]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3]).real(0.9).int(0).int(0).exact("kept")]
    }
}
