use crate::DType;

/// What a [`Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Σ x.
    Sum,
    /// Σ x / len.
    Mean,
    /// Π x.
    Prod,
    /// Largest element; NaN if there is one.
    Max,
    /// Smallest element; NaN if there is one.
    Min,
    /// Whether every element is true (`bool`).
    All,
    /// Whether any element is true (`bool`).
    Any,
    /// Position of the first largest element.
    ArgMax,
    /// Position of the first smallest element.
    ArgMin,
}

/// Reduction of the middle axis of `[outer, len, inner]` to `[outer, inner]`.
///
/// Input: `x`. Output: the element type of `x`, or `out` for positions. Integer sums and products wrap.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What to compute.
    pub kind: ReduceKind,
    /// Elements before the reduced axis.
    pub outer: usize,
    /// Length of the reduced axis.
    pub len: usize,
    /// Elements after the reduced axis.
    pub inner: usize,
    /// Element type of `x`.
    pub dtype: DType,
    /// Element type of the result.
    pub out: DType,
}
