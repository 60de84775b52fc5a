//! Dropout of exported inference graphs.

use super::elementwise::float_of;
use super::samples::{case, float, int, wave};
use crate::lower::Lowering;
use crate::op::{Case, Effect, Lowers, Operand, Rule};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `x` with elements kept with probability `keep_prob` and divided by it, and the mask of those kept. Only `keep_prob` = 1 is
    /// implemented: `x` and ones.
    Dropout { x: Operand, keep_prob: f64 = 0.5, seed0 ["Seed0"]: i64 = 0, seed1 ["Seed1"]: i64 = 0 }
}

impl Rule for Dropout {
    const EFFECT: Effect = Effect::Random;

    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.x.dtype().is_float(), "expected a float type, found {}", self.x.dtype());
        if self.keep_prob != 1.0 {
            return Err(OpError::Unsupported(format!("random dropout (keep_prob = {})", self.keep_prob)));
        }
        Ok(vec![self.x.fact.clone(); 2])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let ones = Tensor::from_f64s(float_of(self.x.dtype()), self.x.shape(), &vec![1.0; self.x.count()])?;
        Ok(vec![self.x.tensor()?.clone(), ones])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let ones = b.scalar(self.x.dtype(), 1.0)?;
        if self.x.count() == 0 {
            return Ok(None);
        }
        Ok(Some(vec![self.x.v, b.broadcast_to(ones, self.x.shape())?]))
    }

    fn cases() -> Vec<Case> {
        vec![case("all kept", [wave(DType::F32, &[3, 5]), float(1.0), int(0), int(0)], 0.0)]
    }
}
