use crate::DType;

/// Slices picked along one axis: `y[o, i, :] = x[o, index[i], :]`, with `x` as `[outer, axis, inner]`.
///
/// Inputs: `x`, `index` (`i32` or `i64`, `count` elements; with `batch`, `outer · count` elements and `index[o, i]`).
/// Output: `[outer, count, inner]`. Negative indices count from the end; a slice whose index is out of range is zeros.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Elements before the axis.
    pub outer: usize,
    /// Length of the axis.
    pub axis: usize,
    /// Elements after the axis.
    pub inner: usize,
    /// Number of slices picked, for each `outer` position.
    pub count: usize,
    /// Whether every `outer` position has indices of its own.
    pub batch: bool,
    /// Element type of `x`.
    pub dtype: DType,
    /// Element type of `index`.
    pub index: DType,
}
