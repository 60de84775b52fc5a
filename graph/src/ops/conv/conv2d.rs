use super::classic::{Classic, classic_convolution};
use super::grouped::Convolution;
use crate::onnx::{Emit, Forms, to_i64};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::kit::grid::rearrange;
use crate::ops::kit::indices::flat;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode};
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

classic_convolution! {
    /// Two-dimensional cross-correlation of images with filters, in groups of channels.
    ///
    /// `x`: `[n, c, h, w]`, or `[n, h, w, c]` for format `NHWC`. `weight`: `[out_channel, c / group, kh, kw]`, or
    /// `[out_channel, kh, kw, c / group]`. Both of one float type. `pad_mode` `same` pads so that there are `⌈size / stride⌉`
    /// results, the odd element at the end; `valid` does not pad; `pad` pads by `pad` (top, bottom, left, right). For `same`,
    /// `pad_list` is ignored: it may belong to images of another size.
    Conv2D, copies [groups = group] {
        x: Operand,
        weight ["w"]: Operand,
        out_channel: Option<i64> as DimOf("weight", 0) = None,
        kernel_size: Ints as KernelOf("weight") = Ints::new(),
    } 2 Nchw Small
}

impl Operator for Conv2D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        self.classic().over::<2>(&self.x, &self.weight)
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], w: [usize; 4], mode, pad: &[i64], stride: &[i64], dilation: &[i64], group, name| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, &w).skip();
            let s = s.ints(&[w[2] as i64, w[3] as i64]).int(1).text(mode).ints(pad).ints(&[-1; 4]);
            let s = s.ints(stride).ints(dilation).int(group);
            s.text("NCHW").case(name)
        };
        let (s1, s2) = ([1, 1, 1, 1], [1, 1, 2, 2]);
        let mut cases = vec![
            one(&[2, 3, 5, 6], [4, 3, 3, 3], "same", &[0], &s1, &s1, 1, "same"),
            one(&[1, 3, 4, 7], [4, 3, 3, 3], "same", &[0], &s2, &s1, 1, "same, stride 2"),
            one(&[1, 2, 7, 6], [3, 2, 1, 1], "valid", &[0], &s1, &s1, 1, "one by one"),
            one(&[1, 4, 7, 6], [6, 2, 3, 2], "pad", &[1, 0, 2, 1], &[2, 1], &s1, 2, "groups, uneven padding"),
            one(&[1, 6, 8, 5], [6, 1, 3, 3], "pad", &[1], &s1, &s1, 6, "depthwise"),
            one(&[1, 2, 9, 8], [3, 2, 3, 2], "same", &[0], &s1, &[1, 1, 2, 3], 1, "dilation"),
            one(&[0, 2, 4, 4], [3, 2, 3, 3], "valid", &[0], &s1, &s1, 1, "no images"),
        ];
        let nhwc =
            sample().tensor(DType::F32, &[2, 5, 6, 3]).tensor(DType::F32, &[4, 2, 3, 3]).skip().ints(&[2, 3]).int(1);
        let nhwc = nhwc.int(1).ints(&[0]).skip().ints(&[1]).ints(&[1]).int(1).text("NHWC");
        cases.push(nhwc.case("channels last"));
        let half = sample().tensor(DType::F16, &[1, 3, 4, 4]).tensor(DType::F16, &[2, 3, 3, 3]);
        cases.push(half.case("f16, defaults"));
        cases
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
        pad: Ints as Sides(2) = ints(&[0]),
        pad_list ["pads"]: Ints as Sides(2) = Ints::new(),
        stride ["strides"]: Ints as Whole(2) = ints(&[1]),
        dilation ["dilations"]: Ints as Whole(2) = ints(&[1]),
        group ["groups"]: i64 = 1,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl DepthwiseConv2dNative {
    /// The filters as those of a convolution in groups, in value `v`.
    fn filters(&self, v: V) -> Result<Operand, OpError> {
        let [m, c, kh, kw] = self.weight.fact.ranked()?;
        let dims = [c.saturating_mul(m), 1, kh, kw];
        let source = |[o, _, y, x]: [usize; 4]| Some(flat(&[m, c, kh, kw], &[o % m, o / m, y, x]));
        let known = self.weight.known.as_ref().map(|t| rearrange(t, dims, source)).transpose()?;
        Ok(Operand { v, fact: Fact::new(self.weight.dtype(), &dims).into(), known })
    }

    /// The equivalent convolution with filters `w`.
    fn grouped<'a>(&'a self, w: &'a Operand) -> Result<Convolution<'a, 2>, OpError> {
        let [_, c, _, _] = self.weight.fact.ranked()?;
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        let classic = Classic {
            kernel_size: &self.kernel_size,
            pad_mode: self.pad_mode,
            pad: &self.pad,
            pad_list: &self.pad_list,
            stride: &self.stride,
            dilation: &self.dilation,
            group: c as i64,
            format: self.format,
        };
        classic.over::<2>(&self.x, w)
    }
}

impl Rule for DepthwiseConv2dNative {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.grouped(&self.filters(self.weight.v)?)?.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.grouped(&self.filters(self.weight.v)?)?.reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let filters = self.filters(self.weight.v)?;
        let w = b.transpose(self.weight.v, &[1, 0, 2, 3])?;
        let v = b.reshape(w, filters.shape())?;
        self.grouped(&Operand { v, ..filters })?.lower(b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, w) = (e.edge(&self.x)?, e.edge(&self.weight)?);
        let filters = self.filters(self.weight.v)?;
        let w = e.transpose(w, &[1, 0, 2, 3]);
        let w = e.reshape(w, &to_i64(filters.shape()));
        Ok(Some(vec![self.grouped(&filters)?.form(e, x, w, None)?]))
    }

    fn cases() -> Vec<Case> {
        let two = |m: usize| sample().tensor(DType::F32, &[1, 3, 5, 5]).tensor(DType::F32, &[m, 3, 3, 2]);
        vec![two(1).case("one filter"), two(2).int(2).skip().skip().text("same").case("two filters")]
    }
}
