use super::{Epilogue, times};
use crate::DType;

/// Order of the dimensions of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Images, channels, rows, columns.
    Nchw,
    /// Images, rows, columns, channels.
    Nhwc,
}

impl Layout {
    /// The dimensions `[n, c, h, w]` in this order.
    pub fn dims(self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        match self {
            Layout::Nchw => [n, c, h, w],
            Layout::Nhwc => [n, h, w, c],
        }
    }
}

/// Two-dimensional cross-correlation with groups:
/// `y[n, o, y, x] = epilogue(Σ x[n, i, y·sy + ky·dy − top, x·sx + kx·dx − left] · w[o, i, ky, kx])`.
///
/// Inputs: `x` in `layout`; `w` as `[c_out, c_in / groups, kh, kw]` whatever the layout; `scale` (`[c_out]` of `out`, when
/// `scaled`), which multiplies every output channel before the epilogue and may be folded into the weights; then the
/// epilogue's. Output: `y` in `layout`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Images.
    pub n: usize,
    /// Input channels, all groups together.
    pub c_in: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Output channels, all groups together.
    pub c_out: usize,
    /// Output rows.
    pub out_h: usize,
    /// Output columns.
    pub out_w: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Steps between outputs, rows and columns.
    pub stride: [usize; 2],
    /// Steps between kernel taps, rows and columns.
    pub dilation: [usize; 2],
    /// Zeros around the input, which are multiplied as its elements are: top, bottom, left, right.
    pub pads: [usize; 4],
    /// Number of groups; divides `c_in` and `c_out`.
    pub groups: usize,
    /// Order of the dimensions of `x` and `y`.
    pub layout: Layout,
    /// Element type of `x` and `w`.
    pub dtype: DType,
    /// Element type of `y` before the epilogue: `dtype`, or `f32` for `f16` and `bf16` too.
    pub out: DType,
    /// Whether a device may round `x` and `w` of `f32` to the 10 bits of mantissa that its units for products take.
    pub tf32: bool,
    /// Whether a `scale` operand follows the weights.
    pub scaled: bool,
    /// Applied to every element of `y`.
    pub epilogue: Option<Epilogue>,
}

impl Conv {
    /// Whether every channel is convolved on its own with one filter.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.c_in && self.c_out == self.c_in
    }

    /// Multiply-adds, counted twice, padding included.
    pub fn flops(&self) -> u64 {
        let [kh, kw] = self.kernel;
        times([2, self.n, self.out_h, self.out_w, self.c_out, self.c_in / self.groups, kh, kw])
    }

    pub(super) fn epilogue_flops(&self, elements: u64) -> u64 {
        self.epilogue.as_ref().map_or(0, |e| e.program.flops().saturating_mul(elements))
    }
}
