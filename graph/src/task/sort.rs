use crate::DType;

/// Which of equal elements come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ties {
    /// Those that came first.
    Stable,
    /// As [`Ties::Stable`] if more than half of the elements are kept, else as [`select`](crate::order::select) leaves them.
    Selected,
}

/// The first `k` elements along the middle axis of `[outer, len, inner]`, in order.
///
/// Input: `x`. Outputs: `[outer, k, inner]`, with `values` the elements as they are, then their positions along the axis.
///
/// NaN counts as larger than every number, and all NaN as equal; so do zeros of both signs.
#[derive(Clone, Debug)]
pub struct Sort {
    /// Elements before the axis.
    pub outer: usize,
    /// Length of the axis.
    pub len: usize,
    /// Elements after the axis.
    pub inner: usize,
    /// How many are kept, at most `len`.
    pub k: usize,
    /// From the largest to the smallest.
    pub descending: bool,
    /// Which of equal elements come first.
    pub ties: Ties,
    /// Whether the elements are a result, and not only their positions.
    pub values: bool,
    /// Element type of `x`.
    pub dtype: DType,
    /// Element type of the positions: `i32` or `i64`.
    pub index: DType,
}

impl Sort {
    /// Whether equal elements stand as [`select`](crate::order::select) leaves them.
    pub fn selects(&self) -> bool {
        self.ties == Ties::Selected && self.k <= self.len / 2
    }
}
