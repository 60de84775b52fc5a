use super::grouped::{Convolution, extent, filters};
use crate::op::Operand;
use crate::ops::kit::indices::size;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::{OpError, ensure};

/// Arguments that MindSpore's classic convolutions have in common.
pub(in crate::ops) struct Classic<'a> {
    pub kernel_size: &'a [i64],
    pub pad_mode: PadMode,
    pub pad: &'a [i64],
    pub pad_list: &'a [i64],
    pub stride: &'a [i64],
    pub dilation: &'a [i64],
    pub group: i64,
    pub format: Format,
}

impl Classic<'_> {
    /// The windows over spatial dimensions of the given extents, for filters with this kernel.
    pub fn windows<const N: usize>(
        &self,
        extent: [Option<usize>; N],
        kernel: [usize; N],
    ) -> Result<[Window; N], OpError> {
        if !self.kernel_size.is_empty() {
            let stated = spatial::<N>(self.kernel_size, Format::Nchw, "kernel_size")?;
            ensure!(stated == kernel, "kernel_size {stated:?} differs from the filters' {kernel:?}");
        }
        let stride = spatial(self.stride, self.format, "stride")?;
        let dilation = spatial(self.dilation, self.format, "dilation")?;
        let listed = self.pad_list.len() == 2 * N && self.pad_list.iter().all(|&p| p >= 0);
        let pads = match self.pad_mode {
            PadMode::Pad | PadMode::Calculated if listed => pads(self.pad_list, "pad_list")?,
            PadMode::Pad | PadMode::Calculated => pads(self.pad, "pad")?,
            _ => [[0; 2]; N],
        };
        Window::over(false, self.pad_mode, extent, kernel, stride, dilation, pads)
    }

    /// The convolution of `x` with filters `w` over `N` spatial dimensions.
    pub fn over<'a, const N: usize>(&self, x: &'a Operand, w: &'a Operand) -> Result<Convolution<'a, N>, OpError> {
        let (extent, (_, kernel)) = (extent(x, self.format)?, filters(w, self.format)?);
        let windows = self.windows(extent, kernel)?;
        Ok(Convolution { x, w, bias: None, windows, groups: self.groups()?, format: self.format })
    }

    /// `group` as a count.
    pub fn groups(&self) -> Result<usize, OpError> {
        size(self.group, "group")
    }
}

/// [`op!`] for a classic convolution over `$n` spatial dimensions: after the arguments of its own it has those that they have in
/// common, with the given default of `format` and letters of `pad_mode`; `classic()` gives them.
macro_rules! classic_convolution {
    ($(#[doc = $doc:literal])+ $name:ident $(, aliases $aliases:tt)?, copies $copies:tt { $($own:tt)* }
        $n:literal $format:ident $($small:ident)?) => {
        $crate::op! {
            $(#[doc = $doc])+
            classic $name $(, aliases $aliases)?, copies $copies {
                $($own)*
                mode: i64 = 1,
                pad_mode: PadMode $(as $small)? = PadMode::Valid,
                pad: Ints as Sides($n) = ints(&[0]),
                pad_list: Ints as Sides($n) = Ints::new(),
                stride ["strides"]: Ints as Whole($n) = ints(&[1]),
                dilation ["dilations"]: Ints as Whole($n) = ints(&[1]),
                group ["groups"]: i64 = 1,
                format ["data_format"]: Format = Format::$format,
            }
        }

        impl $name {
            fn classic(&self) -> Classic<'_> {
                Classic {
                    kernel_size: &self.kernel_size,
                    pad_mode: self.pad_mode,
                    pad: &self.pad,
                    pad_list: &self.pad_list,
                    stride: &self.stride,
                    dilation: &self.dilation,
                    group: self.group,
                    format: self.format,
                }
            }
        }
    };
}
pub(in crate::ops) use classic_convolution;
