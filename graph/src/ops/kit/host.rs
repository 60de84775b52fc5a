//! Rules of operators that the host computes.

use super::broadcasting::real;
use crate::bounds;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Operand, Rule};
use crate::{Fact, OpError, Tensor};

/// Results of `operands`, all real, whose shapes depend on their contents.
pub(in crate::ops) struct ByData<'a, F> {
    pub operands: Vec<&'a Operand>,
    pub results: F,
}

impl<F: Fn() -> Result<Vec<Tensor>, OpError>> Rule for ByData<'_, F> {
    /// What the results are where the operands are known.
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.operands.iter().try_for_each(|x| real(x).map(drop))?;
        if self.operands.iter().any(|x| x.known.is_none()) {
            return Err(OpError::Dynamic);
        }
        let count = self.operands.iter().map(|x| x.count()).fold(0, usize::saturating_add);
        let _room = bounds::room(count.saturating_mul(bounds::NUMBERS))?;
        Ok((self.results)()?.iter().map(Tensor::fact).collect())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        (self.results)()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(BY_DATA)
    }
}

pub(in crate::ops) const BY_DATA: &str = "the shape of its result depends on data";

/// What the host computes and ONNX has no operator for: what is known of the results, and what they are.
pub(in crate::ops) struct Host<F, R> {
    facts: F,
    results: R,
}

/// Results of these `facts`; `results` relies on them.
pub(in crate::ops) fn host<F, R>(facts: F, results: R) -> Host<F, R>
where
    F: Fn() -> Result<Vec<Fact>, OpError>,
    R: Fn(Vec<Fact>) -> Result<Vec<Tensor>, OpError>,
{
    Host { facts, results }
}

impl<F, R> Rule for Host<F, R>
where
    F: Fn() -> Result<Vec<Fact>, OpError>,
    R: Fn(Vec<Fact>) -> Result<Vec<Tensor>, OpError>,
{
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        (self.facts)()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        (self.results)((self.facts)()?)
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no such operator")
    }
}
