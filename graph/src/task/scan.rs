use crate::DType;

/// What a [`Scan`] accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanKind {
    /// Running sums.
    Sum,
    /// Running products.
    Prod,
}

/// Running sums or products along the middle axis of `[outer, len, inner]`.
///
/// Input: `x`. Output: the same shape and type.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Sum or product.
    pub kind: ScanKind,
    /// Elements before the axis.
    pub outer: usize,
    /// Length of the axis.
    pub len: usize,
    /// Elements after the axis.
    pub inner: usize,
    /// Element `i` leaves out `x[i]` itself.
    pub exclusive: bool,
    /// From the end to the front.
    pub reverse: bool,
    /// Element type.
    pub dtype: DType,
}
