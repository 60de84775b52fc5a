use super::classic::{Classic, classic_convolution};
use super::grouped::extent;
use super::patches::Patches;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::{result, sizes};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure};

classic_convolution! {
    /// The gradient of `Conv2D` with respect to its filters.
    ///
    /// `dout`: `[n, c_out, oh, ow]`. `input`: `[n, c_in, h, w]`, over which `Conv2D` with the same arguments has `oh × ow`
    /// windows; its padding counts as zeros. `filter_size`: the result's dimensions `[c_out, c_in / group, kh, kw]`. One float type, format `NCHW`.
    Conv2DBackpropFilter, copies [groups = group, pad_list = pad] {
        dout ["out_backprop"]: Operand,
        input ["x"]: Operand,
        filter_size ["filter_sizes"]: Ints as Input,
        out_channel: Option<i64> = None,
        kernel_size: Ints as KernelOf("filter_size") = Ints::new(),
    } 2 Nchw
}

impl Conv2DBackpropFilter {
    /// The windows, the result's dimensions and the number of groups.
    fn patches(&self) -> Result<(Patches<'_>, [usize; 4], usize), OpError> {
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        let (x, dout) = (&self.input, &self.dout);
        let [n, c, ..] = x.fact.ranked::<4>()?;
        let float = x.dtype().is_float() && x.dtype() == dout.dtype();
        ensure!(float, "expected one float type, found {} and {}", dout.fact, x.fact);
        let dims = sizes(&self.filter_size, "filter_size")?;
        let Ok(dims) = <[usize; 4]>::try_from(dims) else {
            return Err(OpError::Invalid(format!(
                "expected 4 numbers as filter_size, found {}",
                self.filter_size.len()
            )));
        };
        let [c_out, own, kernel @ ..] = dims;
        let [h, w] = self.classic().windows(extent(x, self.format)?, kernel)?;
        let groups = self.classic().groups()?;
        let whole = groups > 0 && c_out.is_multiple_of(groups) && own.checked_mul(groups) == Some(c);
        ensure!(whole, "filters {dims:?} in {groups} groups do not fit {}", x.fact);
        let out = [n, c_out, h.out, w.out];
        ensure!(dout.shape() == out, "expected a gradient of {out:?}, found {}", dout.fact);
        Ok((Patches { x, h, w }, dims, groups))
    }
}

impl Rule for Conv2DBackpropFilter {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![result(self.input.dtype(), &self.patches()?.1)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (patches, dims, groups) = self.patches()?;
        let (dy, x, mut dw) = (Grid::read(&self.dout)?, Grid::read(&self.input)?, Grid::zeros(dims)?);
        let ([n, _, oh, ow], [c_out, own, ..]) = (dy.dims, dims);
        each(dims, |[o, c, ky, kx]| {
            let channel = o / (c_out / groups) * own + c;
            let sum = dw.at_mut([o, c, ky, kx])?;
            each([n, oh, ow], |[n, oy, ox]| {
                let at = patches.source([n, channel, ky, kx, oy, ox]);
                *sum += dy.at([n, o, oy, ox])? * at.map_or(Ok(0.0), |at| x.at(at))?;
                Ok(())
            })
        })?;
        Ok(vec![dw.tensor(self.input.dtype())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (patches, dims, groups) = self.patches()?;
        let [c_out, own, kh, kw] = dims;
        if self.dout.count() == 0 || own * kh * kw == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(self.input.dtype(), &dims)?)]));
        }
        let places = self.dout.count() / c_out;
        let taps = patches.lower(b, [1, 2, 3, 0, 4, 5])?;
        let taps = b.reshape(taps, &[groups, own * kh * kw, places])?;
        let dy = b.transpose(self.dout.v, &[1, 0, 2, 3])?;
        let dy = b.reshape(dy, &[groups, c_out / groups, places])?;
        let dw = b.matmul(dy, taps, false, true)?;
        Ok(Some(vec![b.reshape(dw, &dims)?]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let one = |dy: &[usize], x: &[usize], w: [i64; 4], mode, pad: &[i64], stride, group, name| {
            let s = sample().tensor(DType::F32, dy).tensor(DType::F32, x).ints(&w).skip().ints(&[w[2], w[3]]).int(1);
            let s = s.text(mode).ints(pad).ints(&[-1, -1, -1, -1]).ints(&[1, 1, stride, stride]);
            s.ints(&[1, 1, 1, 1]).int(group).case(name)
        };
        vec![
            one(&[2, 3, 3, 2], &[2, 2, 5, 3], [3, 2, 3, 2], "VALID", &[0], 1, 1, "valid"),
            one(&[1, 2, 2, 3], &[1, 3, 4, 5], [2, 3, 3, 3], "SAME", &[0], 2, 1, "same, stride 2"),
            one(&[2, 4, 4, 4], &[2, 4, 4, 4], [4, 2, 4, 4], "PAD", &[1, 2, 2, 1], 1, 2, "padding, groups"),
            one(&[1, 3, 4, 4], &[1, 3, 4, 4], [3, 1, 3, 3], "SAME", &[0], 1, 3, "depthwise"),
            one(&[0, 2, 2, 2], &[0, 1, 3, 3], [2, 1, 2, 2], "VALID", &[0], 1, 1, "no images"),
        ]
    }
}
