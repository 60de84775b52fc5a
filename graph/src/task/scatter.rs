use smallvec::SmallVec;

use crate::DType;

/// Slices of a tensor updated: `y = x`, and then in the order of `c`, `y[index[c], :]` becomes what `kind` makes of it and `u[c, :]`,
/// where a row of `index` holds one coordinate for each of the dimensions `axes`.
///
/// Inputs: `x` (`[axes…, inner]`), `index` (`i32` or `i64`, `[count, axes.len()]`), `u` (`[count, inner]`). Output: as `x`.
/// Negative coordinates count from the end; one that is out of range is an error.
#[derive(Clone, Debug)]
pub struct Scatter {
    /// What an update does to the slice that it meets.
    pub kind: ScatterKind,
    /// Lengths of the dimensions that the coordinates address.
    pub axes: SmallVec<[usize; 4]>,
    /// Elements of a slice.
    pub inner: usize,
    /// Number of updates.
    pub count: usize,
    /// Element type of `x` and `u`. A type that is not numeric can only be replaced.
    pub dtype: DType,
    /// Element type of `index`.
    pub index: DType,
}

/// What an update of a [`Scatter`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterKind {
    /// Takes the place of what was there; the last one counts.
    Replace,
    /// Is added; integers wrap.
    Add,
    /// Is multiplied with; integers wrap.
    Mul,
    /// Takes its place if it is larger, or NaN.
    Max,
    /// Takes its place if it is smaller, or NaN.
    Min,
}
