use crate::DType;

/// Slices picked along one axis: `y[o, i, :] = x[o, index[i], :]`, with `x` as `[outer, axis, inner]`.
///
/// Inputs: `x`, `index` (`i32` or `i64`, `count` elements; with `batch`, `outer · count` elements and `index[o, i]`).
/// Output: `[outer, count, inner]`. Negative indices count from the end. An index out of range is an error, or its slice is
/// zeros.
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
    /// Whether a slice whose index is out of range is zeros.
    pub zeros: bool,
    /// Element type of `x`.
    pub dtype: DType,
    /// Element type of `index`.
    pub index: DType,
}

impl Gather {
    /// What computed indices are, at most, where one of those that they were computed from is out of range.
    pub const OUTSIDE: i64 = -(1 << 57);

    /// What is wrong with an index out of range.
    pub fn outside(&self, index: i64) -> String {
        match index {
            ..=Gather::OUTSIDE => "an index is out of range".into(),
            _ => format!("index {index} is out of range for {} elements", self.axis),
        }
    }
}
