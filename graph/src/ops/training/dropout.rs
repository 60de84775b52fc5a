use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::composite::composite;
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

op! {
    /// Keeps every channel, as inference does whatever `keep_prob`. Results: `x`, and a mask of its shape that is true. Real numbers.
    classic Dropout2D, aliases [classic "Dropout3D"] { x: Operand, keep_prob: f64 = 0.5 }
}

impl Operator for Dropout2D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        ensure!(!x.dtype().is_complex() && x.dtype() != DType::Bool, "expected numbers, found {}", x.fact);
        let chance = (0.0..=1.0).contains(&self.keep_prob);
        ensure!(chance, "expected a keep_prob from 0 to 1, found {}", self.keep_prob);
        let mask = Fact::new(DType::Bool, x.shape());
        Ok(composite(vec![x.fact.clone(), mask], move |at| {
            let mask = Tensor::from_bools(x.shape(), &vec![true; x.count()])?;
            Ok(vec![x.clone(), at.constant(x, mask)])
        }))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[1, 2, 2, 3]);
        vec![x().exact("default"), x().real(0.9).exact("kept"), sample().tensor(DType::I32, &[1, 2, 2]).exact("i32")]
    }
}
