use std::fmt;
use std::sync::Arc;

use crate::bounds;
use crate::{Fact, OpError, Tensor};

type Function = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>, OpError> + Send + Sync;

/// A computation on whole tensors in host memory: an operator without a lowering, run by its own reference.
///
/// Inputs and outputs: as the operator has them.
#[derive(Clone)]
pub struct Host {
    /// Operator.
    pub name: Arc<str>,
    /// Results that `run` promises.
    pub outs: Vec<Fact>,
    run: Arc<Function>,
}

impl Host {
    /// A host task that calls `run`.
    pub fn new(
        name: &str,
        outs: Vec<Fact>,
        run: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, OpError> + Send + Sync + 'static,
    ) -> Host {
        Host { name: name.into(), outs, run: Arc::new(run) }
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// Whatever the operator reports; [`OpError::Invalid`] if its results are not what it promised.
    pub fn run(&self, ins: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let outs = (self.run)(ins)?;
        bounds::check()?;
        let kept = outs.len() == self.outs.len() && outs.iter().zip(&self.outs).all(|(t, f)| t.fact() == *f);
        if kept {
            return Ok(outs);
        }
        let found: Vec<Fact> = outs.iter().map(Tensor::fact).collect();
        Err(OpError::Invalid(format!("{} promised {:?} and computed {found:?}", self.name, self.outs)))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.name)
    }
}
