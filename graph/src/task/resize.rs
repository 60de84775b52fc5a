use super::Layout;
use crate::DType;

/// Interpolation of a [`Resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// The element at the source coordinate rounded down (`AlignCorners`: rounded half away from zero).
    Nearest,
    /// Linear in rows and columns, edges clamped. No element is read beyond the one that an output lies on.
    Bilinear,
}

/// How an output coordinate maps to a source coordinate, with `scale = in / out` unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `i · scale`.
    Asymmetric,
    /// `i · (in − 1) / (out − 1)`; 0 when `out` is 1.
    AlignCorners,
    /// `(i + 0.5) · scale − 0.5`, not below 0 for bilinear; for nearest `floor((i + 0.5) · scale)`.
    HalfPixel,
}

/// Two-dimensional resizing.
///
/// Input: `x` in `layout`. Output: `y` in `layout`.
#[derive(Clone, Debug)]
pub struct Resize {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate mapping.
    pub coordinates: Coordinates,
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Output rows.
    pub out_h: usize,
    /// Output columns.
    pub out_w: usize,
    /// Order of the dimensions.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
}
