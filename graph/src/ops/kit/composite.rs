//! Rules that are compositions of others: of their references, or of their tasks.

use super::broadcasting::wide;
use super::formula::{Formula, Num};
use super::indices::only;
use crate::op::{Lowers, Operand, Rule};
use crate::ops::linear::product::{computed, reshaped};
use crate::ops::reduce::reduction::{Reduction, operand};
use crate::task::{Lowering, ReduceKind};
use crate::{DType, Fact, OpError, Tensor};

/// Results with these facts, put together of other rules by `compose`; they are converted to the facts' types.
pub(in crate::ops) struct Composite<F> {
    facts: Vec<Fact>,
    compose: F,
}

/// The results that `compose` gives, one for each fact.
pub(in crate::ops) fn composite<F: Fn(&mut At) -> Result<Vec<Operand>, OpError>>(
    facts: Vec<Fact>,
    compose: F,
) -> Composite<F> {
    Composite { facts, compose }
}

impl<F: Fn(&mut At) -> Result<Vec<Operand>, OpError>> Composite<F> {
    fn results(&self, at: &mut At) -> Result<Vec<Operand>, OpError> {
        let values = (self.compose)(at)?;
        values.iter().zip(&self.facts).map(|(y, fact)| at.cast(y, fact.dtype)).collect()
    }
}

impl<F: Fn(&mut At) -> Result<Vec<Operand>, OpError>> Rule for Composite<F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(self.facts.clone())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.results(&mut At::Reference)?.iter().map(|y| y.tensor().cloned()).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let mut at = At::Tasks { b, complete: true };
        let values = self.results(&mut at);
        match at {
            At::Tasks { complete: false, .. } => Ok(None),
            _ => Ok(Some(values?.into_iter().map(|y| y.v).collect())),
        }
    }
}

/// Where the parts of a composition are computed.
pub(in crate::ops) enum At<'b> {
    /// By their references, floats as `f64`.
    Reference,
    /// By tasks.
    Tasks {
        b: &'b mut Lowering,
        /// Whether all parts had some so far.
        complete: bool,
    },
}

impl At<'_> {
    /// The first result of a rule whose operands were computed here; `like` is one of them.
    pub fn run(&mut self, like: &Operand, rule: &impl Rule) -> Result<Operand, OpError> {
        match self {
            At::Reference => Ok(computed(like, only(rule.reference()?)?)),
            At::Tasks { b, complete } => match rule.lower(b)? {
                Some(values) => Ok(operand(b, only(values)?)),
                None => {
                    *complete = false;
                    Err(OpError::Invalid("expected tasks for every part, found none".into()))
                }
            },
        }
    }

    /// `x` as `dtype`.
    pub fn cast(&mut self, x: &Operand, dtype: DType) -> Result<Operand, OpError> {
        match self {
            At::Reference => Ok(computed(x, x.tensor()?.cast(dtype)?)),
            At::Tasks { b, .. } => {
                let y = b.cast(x.v, dtype);
                Ok(operand(b, y))
            }
        }
    }

    /// `x` in the type in which `dtype` is computed here.
    pub fn wide(&mut self, x: &Operand, dtype: DType) -> Result<Operand, OpError> {
        let exact = matches!(self, At::Reference) && dtype.is_float();
        self.cast(x, if exact { DType::F64 } else { wide(dtype) })
    }

    /// `x` with other dimensions.
    pub fn reshape(&mut self, x: &Operand, dims: &[usize]) -> Result<Operand, OpError> {
        match self {
            At::Reference => reshaped(x, x.v, dims),
            At::Tasks { b, .. } => {
                let y = b.reshape(x.v, dims)?;
                Ok(operand(b, y))
            }
        }
    }

    /// A tensor that is known; `like` is any operand.
    pub fn constant(&mut self, like: &Operand, tensor: Tensor) -> Operand {
        match self {
            At::Reference => computed(like, tensor),
            At::Tasks { b, .. } => {
                let y = b.constant(tensor);
                operand(b, y)
            }
        }
    }

    /// `formula` of operands of one type, in this type.
    pub fn formula<const N: usize>(
        &mut self,
        ins: [&Operand; N],
        formula: impl for<'p> Fn([Num<'p>; N]) -> Num<'p>,
    ) -> Result<Operand, OpError> {
        let Some(first) = ins.first() else { return Err(OpError::Invalid("expected operands, found none".into())) };
        self.run(first, &Formula::one(ins, first.dtype(), formula))
    }

    /// Sums along `axes`, which stay as dimensions of 1.
    pub fn sum(&mut self, x: &Operand, axes: &[usize]) -> Result<Operand, OpError> {
        let d = x.dtype();
        let rule = Reduction { x, axes: axes.to_vec(), keep: true, compute: d, out: d }.by(ReduceKind::Sum);
        self.run(x, &rule)
    }

    /// `x` summed where broadcasting repeated elements of a tensor of these dimensions.
    pub fn sum_to(&mut self, x: &Operand, dims: &[usize]) -> Result<Operand, OpError> {
        let more = x.rank().saturating_sub(dims.len());
        let repeated = |(d, len): (usize, &usize)| {
            let once = d.checked_sub(more).is_none_or(|d| dims.get(d) == Some(&1));
            (once && *len != 1).then_some(d)
        };
        let axes: Vec<usize> = x.shape().iter().enumerate().filter_map(repeated).collect();
        let sum = if axes.is_empty() { x.clone() } else { self.sum(x, &axes)? };
        self.reshape(&sum, dims)
    }
}
