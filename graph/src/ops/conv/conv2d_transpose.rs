use super::classic::{Classic, classic_convolution};
use super::grouped::{Spread, filters, last_dims};
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Late, Operand, Operator, Rule, ints};
use crate::ops::kit::indices::{size, sizes};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::{DType, OpError, ensure, op};

classic_convolution! {
    /// The gradient of `Conv2D` with respect to its input, also called transposed convolution.
    ///
    /// `dout`: `[n, c_in, h, w]`. `weight`: `[c_in, c_out / group, kh, kw]`. `input_sizes`: the result's dimensions, over
    /// which `Conv2D` with the same arguments has `h × w` windows. One float type, format `NCHW`.
    Conv2DBackpropInput, aliases [classic "Conv2DTranspose"], copies [groups = group, pad_list = pad] {
        dout ["out_backprop", "x"]: Operand,
        weight ["filter", "w"]: Operand,
        input_sizes ["input_size"]: Late<Ints> as Input,
        out_channel: Option<i64> as DimOf("weight", 0) = None,
        kernel_size: Ints as KernelOf("weight") = Ints::new(),
    } 2 Nchw
}

impl Conv2DBackpropInput {
    /// The windows over a result of the given extents.
    fn spread(&self, extent: [Option<usize>; 2]) -> Result<Spread<'_, 2>, OpError> {
        let (x, w) = (&self.dout, &self.weight);
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        ensure!(x.rank() == 4, "expected rank 4, found {}", x.fact);
        let (_, kernel) = filters(w, self.format)?;
        let windows = self.classic().windows(extent, kernel)?;
        Ok(Spread { x, w, bias: None, windows, groups: self.classic().groups()?, more: None })
    }
}

impl Operator for Conv2DBackpropInput {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dims = sizes(self.input_sizes.get()?, "input_sizes")?;
        let [_, _, h, w] = *dims else {
            return Err(OpError::Invalid(format!("expected 4 input_sizes, found {}", dims.len())));
        };
        let spread = self.spread([Some(h), Some(w)])?;
        let shape = spread.sums()?.shape;
        ensure!(shape.as_slice() == dims, "input_sizes {dims:?} differ from the result's {:?}", shape.as_slice());
        Ok(spread)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if !self.dout.is_open() && self.input_sizes.known().is_some() {
            return self.rule()?.onnx(e);
        }
        let (x, spread) = (e.edge(&self.dout)?, self.spread([None, None])?);
        let sizes = e.ints(2, self.input_sizes.known().map(|s| s.as_slice()))?;
        let sizes = e.slice(sizes, 0, 2, 4);
        Ok(Some(vec![spread.onnx_to(e, x, sizes)?]))
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], w: [usize; 4], out: &[i64], mode, pad: &[i64], stride, group, name| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, &w).ints(out).skip();
            let s = s.ints(&[w[2] as i64, w[3] as i64]).int(1).text(mode).ints(pad).ints(&[-1; 4]);
            let s = s.ints(&[1, 1, stride, stride]);
            s.ints(&[1, 1, 1, 1]).int(group).case(name)
        };
        vec![
            one(&[1, 2, 3, 2], [2, 3, 2, 2], &[1, 3, 6, 4], "VALID", &[0], 2, 1, "no overlap"),
            one(&[2, 2, 3, 3], [2, 3, 3, 3], &[2, 3, 6, 6], "SAME", &[0], 2, 1, "same"),
            one(&[1, 4, 3, 2], [4, 2, 4, 4], &[1, 4, 6, 4], "PAD", &[1, 1, 1, 1], 2, 2, "padding, groups"),
            one(&[1, 2, 2, 2], [2, 1, 3, 3], &[1, 1, 4, 4], "VALID", &[0], 1, 1, "stride 1"),
            one(&[1, 2, 2, 3], [2, 1, 2, 1], &[1, 1, 5, 7], "VALID", &[0], 3, 1, "gaps"),
            one(&[1, 1, 3, 3], [1, 1, 3, 3], &[1, 1, 1, 1], "PAD", &[2, 2, 2, 2], 1, 1, "mostly padding"),
            one(&[1, 1, 1, 2], [1, 1, 3, 3], &[1, 1, 3, 6], "PAD", &[1, 1, 1, 1], 3, 1, "nothing in the last row"),
        ]
    }
}

classic_convolution! {
    /// The gradient of `Conv3D` with respect to its input.
    ///
    /// `filter`: `[c_in, c_out / group, kd, kh, kw]`. `out_backprop`: `[n, c_in, d, h, w]`. `input_size`: the result's dimensions,
    /// over which `Conv3D` with the same arguments has `d × h × w` windows. One float type.
    Conv3DBackpropInput, copies [dilations = dilation, groups = group, strides = stride, data_format = format] {
        filter: Operand,
        out_backprop: Operand,
        input_size: Ints as Input,
        out_channel: Option<i64> as DimOf("filter", 0) = None,
        kernel_size: Ints as KernelOf("filter") = Ints::new(),
    } 3 Ncdhw Small
}

impl Operator for Conv3DBackpropInput {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, w, dims) = (&self.out_backprop, &self.filter, sizes(&self.input_size, "input_size")?);
        ensure!(self.format.spatial() == 2, "expected format NCDHW, found {:?}", self.format);
        let [_, _, d, h, wide] = *dims else {
            return Err(OpError::Invalid(format!("expected 5 numbers as input_size, found {}", dims.len())));
        };
        let windows = self.classic().windows([Some(d), Some(h), Some(wide)], filters(w, self.format)?.1)?;
        let spread = Spread { x, w, bias: None, windows, groups: self.classic().groups()?, more: None };
        let shape = spread.sums()?.shape;
        ensure!(shape.as_slice() == dims, "input_size {dims:?} differs from the result's {:?}", shape.as_slice());
        Ok(spread)
    }

    fn cases() -> Vec<Case> {
        let one = |w: &[usize], dy: &[usize], x: &[i64]| {
            sample().tensor(DType::F32, w).tensor(DType::F32, dy).ints(x).skip().skip().int(1)
        };
        let same = one(&[2, 2, 2, 3, 2], &[1, 2, 3, 3, 4], &[1, 2, 3, 3, 4]).text("same");
        let padded =
            one(&[6, 2, 3, 2, 2], &[2, 6, 3, 4, 2], &[2, 4, 5, 4, 3]).text("pad").ints(&[1, 1, 0, 1, 1, 0]).skip();
        vec![same.case("same"), padded.ints(&[1, 1, 2, 1, 2]).skip().int(2).case("stride, padding, groups")]
    }
}

op! {
    /// Two-dimensional transposed convolution with a bias: `output_padding` adds rows and columns at the end.
    ///
    /// `input`: `[n, c_in, h, w]` or one image `[c_in, h, w]`. `weight`: `[c_in, c_out / groups, kh, kw]`. One float type.
    ConvTranspose2D {
        input: Operand,
        weight: Operand,
        bias: Option<Operand> = None,
        stride: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        output_padding: Ints = ints(&[0]),
        groups: i64 = 1,
        dilation: Ints = ints(&[1]),
    }
}

/// How far as many windows reach along each dimension, with `extra` elements more and without the padding.
fn lengths<const N: usize>(
    lens: [Option<usize>; N],
    kernel: [usize; N],
    stride: [usize; N],
    dilation: [usize; N],
    pads: [[usize; 2]; N],
    extra: [usize; N],
) -> Result<[Option<usize>; N], OpError> {
    let mut out = lens;
    let steps = kernel.into_iter().zip(stride).zip(dilation).zip(pads).zip(extra);
    for (len, ((((kernel, stride), dilation), pad), extra)) in out.iter_mut().zip(steps) {
        let Some(len) = len else { continue };
        let reach = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let full = len.saturating_sub(1).saturating_mul(stride).saturating_add(reach);
        let kept = full.saturating_add(extra).checked_sub(pad[0].saturating_add(pad[1]));
        *len = kept.ok_or_else(|| OpError::Invalid(format!("padding {pad:?} leaves nothing of {full}")))?;
    }
    Ok(out)
}

impl Operator for ConvTranspose2D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, w) = (&self.input, &self.weight);
        let (extent, (_, kernel)) = (last_dims(x)?, filters(w, Format::Nchw)?);
        let stride = spatial(&self.stride, Format::Nchw, "stride")?;
        let dilation = spatial(&self.dilation, Format::Nchw, "dilation")?;
        let (pad, extra) = (pads(&self.padding, "padding")?, pads::<2>(&self.output_padding, "output_padding")?);
        let extra = extra.map(|[extra, _]| extra);
        let sizes = lengths(extent, kernel, stride, dilation, pad.map(|[before, _]| [before; 2]), extra)?;
        let windows = Window::over(false, PadMode::Pad, sizes, kernel, stride, dilation, pad)?;
        let more = extra.map(|extra| extra as i64);
        let groups = size(self.groups, "groups")?;
        Ok(Spread { x, w, bias: self.bias.as_ref(), windows, groups, more: Some(more) })
    }

    fn cases() -> Vec<Case> {
        let two =
            |x: &[usize]| sample().tensor(DType::F32, x).tensor(DType::F32, &[2, 3, 3, 3]).tensor(DType::F32, &[3]);
        vec![
            two(&[1, 2, 3, 3]).ints(&[2]).ints(&[1]).ints(&[1]).case("output padding"),
            two(&[2, 3, 4]).ints(&[2, 1]).case("one image"),
        ]
    }
}

op! {
    /// The gradient of `Conv3D` with respect to its input. `dout`: `[n, c_in, d, h, w]`. `weight`:
    /// `[c_in, c_out / group, kd, kh, kw]`. The result's extents are those that `output_padding` extends, for `valid` at least
    /// and for `same` exactly the operand's times the stride. One float type.
    classic Conv3DTranspose, copies [dilations = dilation, groups = group, pad_list = pad, strides = stride] {
        dout ["x"]: Operand,
        weight ["w"]: Operand,
        in_channel: Option<i64> as DimOf("weight", 0) = None,
        out_channel: Option<i64> as DimOf("weight", 1) = None,
        kernel_size: Ints as KernelOf("weight") = Ints::new(),
        mode: i64 = 1,
        pad_mode: PadMode as Small = PadMode::Valid,
        pad: Ints as Sides(3) = ints(&[0]),
        pad_list: Ints as Sides(3) = Ints::new(),
        stride ["strides"]: Ints as Whole(3) = ints(&[1]),
        dilation ["dilations"]: Ints as Whole(3) = ints(&[1]),
        group ["groups"]: i64 = 1,
        output_padding: Ints as Whole(3) = ints(&[0]),
        format ["data_format"]: Format = Format::Ncdhw,
    }
}

impl Operator for Conv3DTranspose {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.format.spatial() == 2, "expected format NCDHW, found {:?}", self.format);
        let (x, w) = (&self.dout, &self.weight);
        let [_, _, lens @ ..] = x.fact.ranked::<5>()?;
        let (_, kernel) = filters(w, self.format)?;
        let stride = spatial(&self.stride, Format::Ncdhw, "stride")?;
        let dilation = spatial(&self.dilation, Format::Ncdhw, "dilation")?;
        let pad = if self.pad_mode == PadMode::Pad { pads(&self.pad, "pad")? } else { [[0; 2]; 3] };
        let extra = self.output_padding.last_chunk::<3>().map_or(self.output_padding.as_slice(), |last| last);
        let extra = pads::<3>(extra, "output_padding")?.map(|[extra, _]| extra);
        let mut sizes = lengths(lens.map(Some), kernel, stride, dilation, pad, extra)?;
        for (size, (len, stride)) in sizes.iter_mut().zip(lens.into_iter().zip(stride)) {
            // Windows shorter than the stride leave the elements after the last one.
            let strides = Some(len.saturating_mul(stride));
            *size = match self.pad_mode {
                PadMode::Same => strides,
                PadMode::Valid => strides.max(*size),
                PadMode::Pad | PadMode::Calculated => *size,
            };
        }
        let windows = Window::over(false, self.pad_mode, sizes, kernel, stride, dilation, pad)?;
        Ok(Spread { x, w, bias: None, windows, groups: size(self.group, "group")?, more: None })
    }

    fn cases() -> Vec<Case> {
        let one = |kernel: usize, name| {
            let s = sample().tensor(DType::F32, &[1, 2, 2, 3, 2]).tensor(DType::F32, &[2, 3, kernel, kernel, kernel]);
            let s = s.skip().skip().ints(&[kernel as i64; 3]).skip().text("valid").skip().skip();
            s.ints(&[2]).case(name)
        };
        vec![one(2, "stride 2"), one(1, "gaps")]
    }
}
