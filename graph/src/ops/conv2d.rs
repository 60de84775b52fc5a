use super::convolving::{Convolution, extent};
use super::elements::size;
use super::product::{add_bias, check_bias, lower_bias, reshaped};
use super::sample::sample;
use super::window::{Format, PadMode, Window, pads, spatial};
use crate::lower::Lowering;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::task::V;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, op_enum};

/// Arguments of MindSpore's classic convolutions, before the shapes are known.
pub(super) struct Classic<'a> {
    pub kernel_size: &'a [i64],
    pub pad_mode: PadMode,
    pub pad: &'a [i64],
    pub pad_list: &'a [i64],
    pub stride: &'a [i64],
    pub dilation: &'a [i64],
    pub format: Format,
}

impl Classic<'_> {
    /// The windows over `N` spatial dimensions of the given extents, for filters with this kernel.
    pub fn windows<const N: usize>(&self, extent: &[usize], kernel: &[usize]) -> Result<Vec<Window>, OpError> {
        if !self.kernel_size.is_empty() {
            let stated = spatial::<N>(self.kernel_size, Format::Nchw, "kernel_size")?;
            ensure!(stated == kernel, "kernel_size {stated:?} differs from the filters' {kernel:?}");
        }
        let stride = spatial::<N>(self.stride, self.format, "stride")?;
        let dilation = spatial::<N>(self.dilation, self.format, "dilation")?;
        let listed = self.pad_list.len() == 2 * N && self.pad_list.iter().all(|&p| p >= 0);
        let pads = match self.pad_mode {
            PadMode::Pad | PadMode::Calculated if listed => pads::<N>(self.pad_list, "pad_list")?,
            PadMode::Pad | PadMode::Calculated => pads::<N>(self.pad, "pad")?,
            _ => [[0; 2]; N],
        };
        (0..N).map(|d| Window::new(self.pad_mode, extent[d], kernel[d], stride[d], dilation[d], pads[d])).collect()
    }
}

op! {
    /// Two-dimensional cross-correlation of images with filters, in groups of channels.
    ///
    /// `x`: `[n, c, h, w]`, or `[n, h, w, c]` for format `NHWC`. `weight`: `[out_channel, c / group, kh, kw]`, or
    /// `[out_channel, kh, kw, c / group]`. Both of one float type. `pad_mode` `same` pads so that there are `⌈size / stride⌉`
    /// results, the odd element at the end; `valid` does not pad; `pad` pads by `pad` (top, bottom, left, right). For `same`,
    /// `pad_list` is ignored: it may belong to images of another size.
    classic Conv2D {
        x: Operand,
        weight ["w"]: Operand,
        out_channel: Option<i64> = None,
        kernel_size: Ints = Ints::new(),
        mode: i64 = 1,
        pad_mode: PadMode = PadMode::Valid,
        pad: Ints = ints(&[0]),
        pad_list: Ints = Ints::new(),
        stride ["strides"]: Ints = ints(&[1]),
        dilation ["dilations"]: Ints = ints(&[1]),
        group ["groups"]: i64 = 1,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl Conv2D {
    fn plan(&self) -> Result<Convolution<'_>, OpError> {
        let extent = extent(&self.x, self.format, 2)?;
        ensure!(self.weight.rank() == 4, "expected filters of rank 4, found {}", self.weight.fact);
        let classic = Classic {
            kernel_size: &self.kernel_size,
            pad_mode: self.pad_mode,
            pad: &self.pad,
            pad_list: &self.pad_list,
            stride: &self.stride,
            dilation: &self.dilation,
            format: self.format,
        };
        let windows = classic.windows::<2>(extent, Convolution::kernel(&self.weight, self.format))?;
        let groups = size(self.group, "group")?;
        Ok(Convolution { x: &self.x, w: &self.weight, windows, groups, format: self.format })
    }
}

impl Rule for Conv2D {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.plan()?.infer()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.plan()?.reference()?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        Ok(self.plan()?.lower(b)?.map(|y| vec![y]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, w) = (e.edge(&self.x)?, e.edge(&self.weight)?);
        Ok(Some(vec![self.plan()?.onnx(e, x, w, self.pad_mode == PadMode::Same, None)?]))
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], w: &[usize], mode, pad: &[i64], stride: &[i64], dilation: &[i64], group, name| {
            let s =
                sample().tensor(DType::F32, x).tensor(DType::F32, w).skip().ints(&[w[2] as i64, w[3] as i64]).int(1);
            let s = s.text(mode).ints(pad).ints(&[-1, -1, -1, -1]).ints(stride).ints(dilation).int(group);
            s.text("NCHW").case(name, 1e-6)
        };
        let (s1, s2) = ([1, 1, 1, 1], [1, 1, 2, 2]);
        let mut cases = vec![
            one(&[2, 3, 5, 6], &[4, 3, 3, 3], "same", &[0], &s1, &s1, 1, "same"),
            one(&[1, 3, 4, 7], &[4, 3, 3, 3], "same", &[0], &s2, &s1, 1, "same, stride 2"),
            one(&[1, 2, 7, 6], &[3, 2, 1, 1], "valid", &[0], &s1, &s1, 1, "one by one"),
            one(&[1, 4, 7, 6], &[6, 2, 3, 2], "pad", &[1, 0, 2, 1], &[2, 1], &s1, 2, "groups, uneven padding"),
            one(&[1, 6, 8, 5], &[6, 1, 3, 3], "pad", &[1], &s1, &s1, 6, "depthwise"),
            one(&[1, 2, 9, 8], &[3, 2, 3, 2], "same", &[0], &s1, &[1, 1, 2, 3], 1, "dilation"),
            one(&[0, 2, 4, 4], &[3, 2, 3, 3], "valid", &[0], &s1, &s1, 1, "no images"),
        ];
        let nhwc =
            sample().tensor(DType::F32, &[2, 5, 6, 3]).tensor(DType::F32, &[4, 2, 3, 3]).skip().ints(&[2, 3]).int(1);
        let nhwc = nhwc.int(1).ints(&[0]).skip().ints(&[1]).ints(&[1]).int(1).text("NHWC");
        cases.push(nhwc.case("channels last", 1e-6));
        let half = sample().tensor(DType::F16, &[1, 3, 4, 4]).tensor(DType::F16, &[2, 3, 3, 3]);
        cases.push(half.case("f16, defaults", 4e-3));
        cases
    }
}

op! {
    /// Two-dimensional cross-correlation of images with filters in groups of channels, plus a bias per channel.
    ///
    /// `input`: `[n, c, h, w]` or one image `[c, h, w]`. `weight`: `[c_out, c / groups, kh, kw]`. `padding` holds the zeros
    /// on both sides of rows and columns. All of one float type.
    Conv2DExt, aliases ["Convolution2D"] {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

op_enum! {
    /// Padding by name.
    PadName {
        /// As many results as elements, the odd zero at the end.
        Same = 1, "same";
        /// None.
        Valid = 2, "valid";
    }
}

op! {
    /// As [`Conv2DExt`], with padding `same` (for stride 1) or `valid`.
    Conv2DPadding {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: PadName = PadName::Valid,
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

op! {
    /// One-dimensional cross-correlation of `[n, c, l]` or `[c, l]` with filters `[c_out, c / groups, k]` in groups of
    /// channels, plus a bias per channel. `padding` holds the zeros on both sides. All of one float type.
    Conv1DExt {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

op! {
    /// As [`Conv1DExt`], with padding `same` (for stride 1) or `valid`.
    Conv1DPadding {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: PadName = PadName::Valid,
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

op! {
    /// Three-dimensional cross-correlation of `[n, c, d, h, w]` or one such volume with filters
    /// `[c_out, c / groups, kd, kh, kw]` in groups of channels, plus a bias per channel. `padding` holds the zeros on both
    /// sides of each dimension. All of one float type.
    Conv3DExt {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

op! {
    /// As [`Conv3DExt`], with padding `same` (for stride 1) or `valid`.
    Conv3DPadding {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: PadName = PadName::Valid,
        dilation: Ints = ints(&[1]),
        groups: i64 = 1,
    }
}

/// How much padding an operator asks for.
trait Padding {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError>;
}

impl Padding for Ints {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError> {
        ensure!(self.len() <= N, "padding: expected 1 or {N} numbers, found {}", self.len());
        Ok((PadMode::Pad, pads::<N>(self, "padding")?))
    }
}

impl Padding for PadName {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError> {
        Ok((if *self == PadName::Same { PadMode::Same } else { PadMode::Valid }, [[0; 2]; N]))
    }
}

/// Implements [`Rule`] for a convolution over `$n` spatial dimensions with a bias.
macro_rules! biased {
    ($name:ident, $n:literal, $cases:expr) => {
        impl $name {
            fn batched(&self, v: V) -> Result<Operand, OpError> {
                let x = &self.input;
                ensure!(
                    (x.rank() == $n + 1 || x.rank() == $n + 2) && self.weight.rank() == $n + 2,
                    "expected images of rank {} or {} and filters of rank {}, found {} and {}",
                    $n + 1,
                    $n + 2,
                    $n + 2,
                    x.fact,
                    self.weight.fact
                );
                let mut dims = x.fact.shape.clone();
                if x.rank() == $n + 1 {
                    dims.insert(0, 1);
                }
                reshaped(x, v, &dims)
            }

            fn plan<'a>(&'a self, x: &'a Operand) -> Result<Convolution<'a>, OpError> {
                let kernel = Convolution::kernel(&self.weight, Format::Nchw);
                let stride = spatial::<$n>(&self.stride, Format::Nchw, "stride")?;
                let dilation = spatial::<$n>(&self.dilation, Format::Nchw, "dilation")?;
                let (mode, pads) = self.padding.resolve::<$n>()?;
                let extent = &x.shape()[2..];
                let window = |d: usize| Window::new(mode, extent[d], kernel[d], stride[d], dilation[d], pads[d]);
                let windows = (0..$n).map(window).collect::<Result<_, _>>()?;
                let groups = size(self.groups, "groups")?;
                Ok(Convolution { x, w: &self.weight, windows, groups, format: Format::Nchw })
            }

            fn bias(&self, v: Option<V>) -> Result<Option<Operand>, OpError> {
                let Some(bias) = &self.bias else { return Ok(None) };
                ensure!(
                    bias.shape() == &self.weight.shape()[..1],
                    "bias {} does not fit {}",
                    bias.fact,
                    self.weight.fact
                );
                let mut dims = Shape::from_elem(1, $n + 1);
                dims[0] = bias.count();
                reshaped(bias, v.unwrap_or(bias.v), &dims).map(Some)
            }

            fn result(&self, mut dims: Shape) -> Shape {
                if self.input.rank() == $n + 1 {
                    dims.remove(0);
                }
                dims
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let fact = self.plan(&self.batched(self.input.v)?)?.infer()?;
                check_bias(&fact, self.bias(None)?.as_ref())?;
                Ok(vec![Fact { dtype: fact.dtype, shape: self.result(fact.shape) }])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let y = self.plan(&self.batched(self.input.v)?)?.reference()?;
                let y = add_bias(y, self.bias(None)?.as_ref())?;
                Ok(vec![y.reshape(&self.result(y.fact().shape))?])
            }

            fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
                let dims = self.batched(self.input.v)?.fact.shape;
                let v = b.reshape(self.input.v, &dims)?;
                let Some(y) = self.plan(&self.batched(v)?)?.lower(b)? else { return Ok(None) };
                let bias = match self.bias(None)? {
                    Some(bias) => self.bias(Some(b.reshape(bias.v, bias.shape())?))?,
                    None => None,
                };
                let y = lower_bias(b, y, bias.as_ref())?;
                let dims = self.result(b.fact(y).shape.clone());
                Ok(Some(vec![b.reshape(y, &dims)?]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let (single, same) = (self.input.rank() == $n + 1, self.padding.resolve::<$n>()?.0 == PadMode::Same);
                let (x, bias) = (e.edge(&self.input)?, e.option(&self.bias)?);
                let x = if single { e.unsqueeze(x, &[0]) } else { x };
                let batched = self.batched(self.input.v)?;
                let w = e.edge(&self.weight)?;
                let y = self.plan(&batched)?.onnx(e, x, w, same, bias)?;
                Ok(Some(vec![if single { e.squeeze(y, &[0]) } else { y }]))
            }

            fn cases() -> Vec<Case> {
                $cases
            }
        }
    };
}

biased!(Conv2DExt, 2, {
    let two = |x: &[usize], w: &[usize]| sample().tensor(DType::F32, x).tensor(DType::F32, w);
    vec![
        two(&[2, 3, 5, 6], &[4, 3, 3, 2]).tensor(DType::F32, &[4]).ints(&[2, 1]).ints(&[1, 0]).case("bias", 1e-6),
        two(&[4, 6, 6], &[4, 2, 3, 3]).none().ints(&[1, 1]).ints(&[1, 1]).ints(&[1, 1]).int(2).case("one image", 1e-6),
    ]
});
biased!(Conv2DPadding, 2, {
    let s = sample().tensor(DType::F32, &[1, 2, 5, 4]).tensor(DType::F32, &[3, 2, 2, 3]).tensor(DType::F32, &[3]);
    vec![s.ints(&[1]).text("same").case("same", 1e-6)]
});
biased!(Conv1DExt, 1, {
    let s = sample().tensor(DType::F32, &[2, 4, 9]).tensor(DType::F32, &[6, 2, 3]).tensor(DType::F32, &[6]);
    vec![
        s.ints(&[2]).ints(&[1]).ints(&[2]).int(2).case("all arguments", 1e-6),
        sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[2, 3, 2]).case("one sequence", 1e-6),
    ]
});
biased!(Conv1DPadding, 1, {
    let s = sample().tensor(DType::F32, &[2, 3, 5]).tensor(DType::F32, &[2, 3, 4]).none();
    vec![s.ints(&[1]).text("same").case("same", 1e-6)]
});
biased!(Conv3DExt, 3, {
    let s = sample().tensor(DType::F32, &[1, 2, 3, 4, 5]).tensor(DType::F32, &[2, 2, 2, 2, 3]).tensor(DType::F32, &[2]);
    vec![s.ints(&[1, 2, 1]).ints(&[1, 0, 1]).case("bias", 1e-6)]
});
biased!(Conv3DPadding, 3, {
    let s = sample().tensor(DType::F32, &[1, 1, 2, 3, 3]).tensor(DType::F32, &[2, 1, 2, 2, 2]).none();
    vec![s.ints(&[1]).text("same").case("same", 1e-6)]
});

op! {
    /// Three-dimensional cross-correlation of volumes with filters, in groups of channels. Arguments as for `Conv2D`, with a
    /// depth before rows and columns; `pad` is head, tail, top, bottom, left, right.
    classic Conv3D {
        x: Operand,
        weight ["w"]: Operand,
        out_channel: Option<i64> = None,
        kernel_size: Ints = Ints::new(),
        mode: i64 = 1,
        pad_mode: PadMode = PadMode::Valid,
        pad: Ints = ints(&[0]),
        pad_list: Ints = Ints::new(),
        stride ["strides"]: Ints = ints(&[1]),
        dilation ["dilations"]: Ints = ints(&[1]),
        group ["groups"]: i64 = 1,
        format ["data_format"]: Format = Format::Ncdhw,
    }
}

impl Conv3D {
    fn plan(&self) -> Result<Convolution<'_>, OpError> {
        let extent = extent(&self.x, self.format, 3)?;
        ensure!(self.weight.rank() == 5, "expected filters of rank 5, found {}", self.weight.fact);
        let classic = Classic {
            kernel_size: &self.kernel_size,
            pad_mode: self.pad_mode,
            pad: &self.pad,
            pad_list: &self.pad_list,
            stride: &self.stride,
            dilation: &self.dilation,
            format: self.format,
        };
        let windows = classic.windows::<3>(extent, Convolution::kernel(&self.weight, self.format))?;
        let groups = size(self.group, "group")?;
        Ok(Convolution { x: &self.x, w: &self.weight, windows, groups, format: self.format })
    }
}

impl Rule for Conv3D {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.plan()?.infer()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.plan()?.reference()?])
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, w) = (e.edge(&self.x)?, e.edge(&self.weight)?);
        Ok(Some(vec![self.plan()?.onnx(e, x, w, self.pad_mode == PadMode::Same, None)?]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[1, 2, 3, 3, 4]).tensor(DType::F32, &[2, 2, 2, 2, 2]).skip();
        vec![s.ints(&[2, 2, 2]).skip().text("same").case("same", 1e-6)]
    }
}

op! {
    /// Every channel of `[n, c, h, w]` convolved with `channel_multiplier` filters of its own. Arguments as for `Conv2D`;
    /// `weight` is `[channel_multiplier, c, kh, kw]`, and result channel `i · channel_multiplier + j` is channel `i` under
    /// filter `j`.
    classic DepthwiseConv2dNative {
        x: Operand,
        weight ["w"]: Operand,
        channel_multiplier: i64 = 1,
        kernel_size: Ints = Ints::new(),
        mode: i64 = 3,
        pad_mode: PadMode = PadMode::Valid,
        pad: Ints = ints(&[0]),
        pad_list ["pads"]: Ints = Ints::new(),
        stride ["strides"]: Ints = ints(&[1]),
        dilation ["dilations"]: Ints = ints(&[1]),
        group ["groups"]: i64 = 1,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl DepthwiseConv2dNative {
    /// The equivalent convolution in groups, for filters in value `w`.
    fn grouped(&self, w: V) -> Result<Conv2D, OpError> {
        let [m, c, kh, kw] = *self.weight.shape() else {
            return Err(OpError::Invalid(format!("expected filters of rank 4, found {}", self.weight.fact)));
        };
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        let dims = [c.saturating_mul(m), 1, kh, kw];
        let known = match &self.weight.known {
            None => None,
            Some(t) => Some(super::elements::rearrange(t, &dims, |i| {
                Some((((i[0] % m) * c + i[0] / m) * kh + i[2]) * kw + i[3])
            })?),
        };
        Ok(Conv2D {
            x: self.x.clone(),
            weight: Operand { v: w, fact: Fact::new(self.weight.dtype(), &dims), known },
            out_channel: None,
            kernel_size: self.kernel_size.clone(),
            mode: 1,
            pad_mode: self.pad_mode,
            pad: self.pad.clone(),
            pad_list: self.pad_list.clone(),
            stride: self.stride.clone(),
            dilation: self.dilation.clone(),
            group: c as i64,
            format: self.format,
        })
    }
}

impl Rule for DepthwiseConv2dNative {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.grouped(self.weight.v)?.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.grouped(self.weight.v)?.reference()
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let dims = self.grouped(self.weight.v)?.weight.fact.shape;
        let w = b.transpose(self.weight.v, &[1, 0, 2, 3])?;
        let w = b.reshape(w, &dims)?;
        self.grouped(w)?.lower(b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, w) = (e.edge(&self.x)?, e.edge(&self.weight)?);
        let grouped = self.grouped(self.weight.v)?;
        let w = e.transpose(w, &[1, 0, 2, 3]);
        let w = e.reshape(w, &crate::onnx::to_i64(grouped.weight.shape()));
        Ok(Some(vec![grouped.plan()?.onnx(e, x, w, self.pad_mode == PadMode::Same, None)?]))
    }

    fn cases() -> Vec<Case> {
        let two = |m: usize| sample().tensor(DType::F32, &[1, 3, 5, 5]).tensor(DType::F32, &[m, 3, 3, 2]);
        vec![two(1).case("one filter", 1e-6), two(2).int(2).skip().skip().text("same").case("two filters", 1e-6)]
    }
}
