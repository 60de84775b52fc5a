//! Tensor arguments, as far as they are known.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::task::V;
use crate::{DType, Dim, Fact, OpError, Spec, Tensor};

/// Notes that somebody asked for a length that is open.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Element type and shape of an operand, which reads as a [`Fact`].
///
/// Where a dimension is open, as it may be while a model is written as ONNX, the lengths of the fact mean nothing. Reading
/// them is noted, and what was derived from them is thrown away. Element type, rank and [`dims`](Self::dims) are free.
#[derive(Debug)]
pub struct Watched {
    /// Element type.
    pub dtype: DType,
    fact: Fact,
    open: Option<(Vec<Option<usize>>, Watch)>,
}

impl Watched {
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.fact.rank()
    }

    /// The dimensions, `None` for those that are open.
    pub fn dims(&self) -> Vec<Option<usize>> {
        match &self.open {
            Some((dims, _)) => dims.clone(),
            None => self.fact.shape.iter().copied().map(Some).collect(),
        }
    }

    fn again(&self) -> Watched {
        Watched { dtype: self.dtype, fact: self.fact.clone(), open: self.open.clone() }
    }
}

impl From<Fact> for Watched {
    fn from(fact: Fact) -> Watched {
        Watched { dtype: fact.dtype, fact, open: None }
    }
}

impl Deref for Watched {
    type Target = Fact;

    fn deref(&self) -> &Fact {
        if let Some((_, watch)) = &self.open {
            watch.note();
        }
        &self.fact
    }
}

impl PartialEq<Fact> for Watched {
    fn eq(&self, other: &Fact) -> bool {
        **self == *other
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            None => self.fact.fmt(f),
            Some((dims, _)) => {
                let dims = dims.iter().map(|d| Dim::from(*d)).collect();
                Spec { dtype: Some(self.dtype), dims: Some(dims) }.fmt(f)
            }
        }
    }
}

/// A tensor argument during planning or reference evaluation.
#[derive(Debug)]
pub struct Operand {
    /// The value in the task graph under construction.
    pub v: V,
    /// Element type and shape.
    pub fact: Watched,
    /// Contents, where known.
    pub known: Option<Tensor>,
}

impl Clone for Operand {
    fn clone(&self) -> Operand {
        Operand { v: self.v, fact: self.fact.again(), known: self.known.clone() }
    }
}

impl Operand {
    /// The dimensions, `None` for those that are open; see [`Watched`].
    pub fn dims(&self) -> Vec<Option<usize>> {
        self.fact.dims()
    }

    /// Whether a dimension is open.
    pub fn is_open(&self) -> bool {
        self.fact.open.is_some()
    }

    /// From here on only these dimensions are known; `watch` notes who asks for another.
    pub(crate) fn open(&mut self, dims: Vec<Option<usize>>, watch: &Watch) {
        self.fact.open = Some((dims, watch.clone()));
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.fact.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.fact.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.fact.rank()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.fact.count()
    }

    /// The contents.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`] if they are not known yet.
    pub fn tensor(&self) -> Result<&Tensor, OpError> {
        self.known.as_ref().ok_or(OpError::NeedsValue(self.v))
    }

    /// The contents as `f64`.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`]; [`OpError::Invalid`] for complex types.
    pub fn f64s(&self) -> Result<Vec<f64>, OpError> {
        Ok(self.tensor()?.to_f64s()?)
    }

    /// The contents as `i64`.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`]; [`OpError::Invalid`] for complex types.
    pub fn i64s(&self) -> Result<Vec<i64>, OpError> {
        Ok(self.tensor()?.to_i64s()?)
    }

    /// `axis` counted from the front.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if it is out of range.
    pub fn axis(&self, axis: i64) -> Result<usize, OpError> {
        crate::normalize_axis(axis, self.rank())
            .ok_or_else(|| OpError::Invalid(format!("axis {axis} is out of range for rank {}", self.rank())))
    }

    /// `axes` counted from the front, sorted and checked for repetition; an empty list means all axes.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if one is out of range or appears twice.
    pub fn axes(&self, axes: &[i64]) -> Result<Vec<usize>, OpError> {
        if axes.is_empty() {
            return Ok((0..self.rank()).collect());
        }
        let mut out = axes.iter().map(|&a| self.axis(a)).collect::<Result<Vec<_>, _>>()?;
        out.sort_unstable();
        crate::ensure!(out.is_sorted_by(|a, b| a < b), "axes {axes:?} name a dimension twice");
        Ok(out)
    }
}
