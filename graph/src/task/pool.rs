use super::Layout;
use crate::DType;

/// What a [`Pool`] computes of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest element; padding does not take part.
    Max,
    /// Mean of the elements.
    Avg {
        /// Whether padding counts as zeros in the divisor.
        count_pads: bool,
    },
}

/// Two-dimensional pooling.
///
/// Input: `x` in `layout`. Output: `y` in `layout`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Maximum or mean.
    pub kind: PoolKind,
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
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Steps between windows, rows and columns.
    pub stride: [usize; 2],
    /// Steps between the elements of a window, rows and columns.
    pub dilation: [usize; 2],
    /// Padding: top, bottom, left, right. The last windows may reach beyond it.
    pub pads: [usize; 4],
    /// Order of the dimensions of `x` and `y`.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
}
