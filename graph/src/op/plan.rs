//! Rules that follow from a plan.

use super::{Case, Effect, Lowers, Pure, Rule, Signature, Undo};
use crate::onnx::{Emit, Forms};
use crate::task::Lowering;
use crate::{Fact, OpError, Tensor};

/// The usual way to write a [`Rule`]: the arguments make a [`Plan`], from which all else follows. Operators that differ in
/// their arguments only share one.
pub trait Planned: Signature {
    /// As [`Rule::EFFECT`].
    const EFFECT: Effect = Effect::Pure;
    /// As [`Rule::PURE`].
    const PURE: Option<Pure> = None;
    /// As [`Rule::UNDO`].
    const UNDO: Option<Undo> = None;

    /// What it computes. Wrong arguments are refused here or by [`Plan::infer`].
    ///
    /// # Errors
    /// As [`Rule::infer`].
    fn plan(&self) -> Result<impl Plan, OpError>;

    /// As [`Rule::onnx`].
    ///
    /// # Errors
    /// As [`Rule::onnx`].
    fn onnx(&self, e: &mut Emit) -> Forms {
        self.plan()?.onnx(e)
    }

    /// As [`Rule::cases`].
    fn cases() -> Vec<Case> {
        Vec::new()
    }
}

/// What operators compute, whatever they call their arguments. The methods are those of [`Rule`].
pub trait Plan {
    /// As [`Rule::infer`].
    ///
    /// # Errors
    /// As [`Rule::infer`].
    fn infer(&self) -> Result<Vec<Fact>, OpError>;

    /// As [`Rule::reference`].
    ///
    /// # Errors
    /// As [`Rule::reference`].
    fn reference(&self) -> Result<Vec<Tensor>, OpError>;

    /// As [`Rule::lower`].
    ///
    /// # Errors
    /// As [`Rule::lower`].
    fn lower(&self, _b: &mut Lowering) -> Lowers {
        Ok(None)
    }

    /// As [`Rule::onnx`].
    ///
    /// # Errors
    /// As [`Rule::onnx`].
    fn onnx(&self, _e: &mut Emit) -> Forms {
        Ok(None)
    }
}

impl<T: Planned> Rule for T {
    const EFFECT: Effect = T::EFFECT;
    const PURE: Option<Pure> = T::PURE;
    const UNDO: Option<Undo> = T::UNDO;

    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.plan()?.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.plan()?.reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.plan()?.lower(b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Planned::onnx(self, e)
    }

    fn cases() -> Vec<Case> {
        <T as Planned>::cases()
    }
}

/// What is known before the model runs.
impl Plan for Tensor {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.clone()])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.constant(self.clone())]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Ok(Some(vec![e.constant(self.clone())]))
    }
}

/// The values of one plan after the other.
impl<P: Plan> Plan for Vec<P> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        joined(self.iter().map(P::infer))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        joined(self.iter().map(P::reference))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let values: Option<Vec<_>> = self.iter().map(|plan| plan.lower(b)).collect::<Result<_, _>>()?;
        Ok(values.map(|values| values.concat()))
    }
}

fn joined<T>(parts: impl Iterator<Item = Result<Vec<T>, OpError>>) -> Result<Vec<T>, OpError> {
    Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
