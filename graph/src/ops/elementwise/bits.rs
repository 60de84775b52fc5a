//! Numbers that are checked, compared and packed.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{real, scalars, single};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{only, replaced};
use crate::ops::kit::sample::{sample, wave};
use crate::ops::reduce::order::compare;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Whether each element is above `threshold`, eight to a byte (`u8`), the first in the highest bit. The last dimension is a
    /// multiple of 8. Real numbers of one type.
    object CompareAndBitpack { x: Operand, threshold: Operand }
}

impl CompareAndBitpack {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (x, threshold) = (&self.x, &self.threshold);
        single(threshold)?;
        ensure!(real(x)? == threshold.dtype(), "expected a threshold of {}, found {}", x.dtype(), threshold.fact);
        match x.shape().last() {
            Some(last) if last % 8 == 0 => Ok(vec![Fact::new(DType::U8, &replaced(x.shape(), x.rank() - 1, last / 8))]),
            _ => Err(OpError::Invalid(format!("expected a last dimension that 8 divides, found {}", x.fact))),
        }
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, d) = (only(facts)?, self.x.dtype());
        let threshold = only(scalars(self.threshold.tensor()?, d)?)?;
        let above = |x| compare(x, threshold, d).is_gt() && !f64::is_nan(crate::task::Scalar::as_f64(x));
        let x = scalars(self.x.tensor()?, d)?;
        let byte = |bits: &[_]| bits.iter().fold(0, |byte, x| byte << 1 | i64::from(above(*x)));
        let y: Vec<i64> = x.chunks_exact(8).map(byte).collect();
        Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for CompareAndBitpack {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 16])).real(0.5).exact("floats"),
            sample().arg(wave(DType::I32, &[8])).index(DType::I32, &[], &[0]).exact("integers"),
        ]
    }
}

op! {
    /// `x` as it is; it is an error if an element is infinite or NaN. Floats.
    object CheckNumerics { x: Operand }
}

impl Operator for CheckNumerics {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let facts = move || {
            ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
            Ok(vec![x.fact.clone()])
        };
        let results = move |_| {
            if let Some(bad) = x.f64s()?.into_iter().find(|x| !x.is_finite()) {
                return Err(OpError::Invalid(format!("expected finite numbers, found {bad}")));
            }
            Ok(vec![x.tensor()?.clone()])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(wave(DType::F32, &[3, 5])).exact("finite")]
    }
}
