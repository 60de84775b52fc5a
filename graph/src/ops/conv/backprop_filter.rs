use super::classic::{Classic, classic_convolution};
use super::grouped::{extent, taps};
use super::patches::Patches;
use crate::bounds;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::{result, sizes};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window};
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, ensure};

/// The gradient of a convolution of `x` (`[n, c_in, …]`) with respect to its filters, of the dimensions `filters` and `kernel`,
/// from `dy`, that of its result. Padding counts as zeros.
struct FilterGrad<'a, const N: usize> {
    x: &'a Operand,
    dy: &'a Operand,
    windows: [Window; N],
    /// The number of filters, and their channels.
    filters: [usize; 2],
    kernel: [usize; N],
    groups: usize,
}

impl<'a, const N: usize> FilterGrad<'a, N> {
    fn new(
        classic: &Classic<'_>,
        x: &'a Operand,
        dy: &'a Operand,
        filter_size: &[i64],
    ) -> Result<FilterGrad<'a, N>, OpError> {
        ensure!(classic.format.spatial() == 2, "expected channels first, found {:?}", classic.format);
        let dims = sizes(filter_size, "filter_size")?;
        let split = dims.split_first_chunk().and_then(|(outer, kernel)| Some((*outer, kernel.try_into().ok()?)));
        let wrong = || OpError::Invalid(format!("expected {} numbers as filter_size, found {}", N + 2, dims.len()));
        let (filters, kernel) = split.ok_or_else(wrong)?;
        let windows = classic.windows(extent(x, classic.format)?, kernel)?;
        Ok(FilterGrad { x, dy, windows, filters, kernel, groups: classic.groups()? })
    }

    fn fact(&self) -> Result<Fact, OpError> {
        let (x, dy, [c_out, own]) = (&self.x.fact, &self.dy.fact, self.filters);
        let &[n, c, ..] = x.shape.as_slice() else {
            return Err(OpError::Invalid(format!("expected images of rank {}, found {x}", N + 2)));
        };
        let float = x.dtype.is_float() && x.dtype == dy.dtype;
        ensure!(float, "expected one float type, found {dy} and {x}");
        let whole = self.groups > 0 && c_out.is_multiple_of(self.groups) && own.checked_mul(self.groups) == Some(c);
        ensure!(whole, "filters {:?} in {} groups do not fit {x}", self.filters, self.groups);
        let out: Shape = [n, c_out].into_iter().chain(self.windows.map(|w| w.out)).collect();
        ensure!(dy.shape == out, "expected a gradient of {out:?}, found {dy}");
        result(x.dtype, &[self.filters.as_slice(), &self.kernel].concat())
    }

    /// Sums over images `x` (`[n, c_in, h, w]`) and the gradient `dy` of their windows.
    fn of_images(&self, b: &mut Lowering, x: &Operand, dy: V, [h, w]: [Window; 2]) -> Result<V, OpError> {
        let (groups, [c_out, own]) = (self.groups, self.filters);
        let taps = own * h.kernel * w.kernel;
        let places = b.fact(dy).count() / c_out;
        let columns = Patches { x, h, w }.lower(b, [1, 2, 3, 0, 4, 5])?;
        let columns = b.reshape(columns, &[groups, taps, places])?;
        let dy = b.transpose(dy, &[1, 0, 2, 3])?;
        let dy = b.reshape(dy, &[groups, c_out / groups, places])?;
        // Of the two transposed operands of a product the second is the one to be packed: the shorter one here.
        let dw = if taps > c_out / groups {
            let dw = b.matmul(columns, dy, false, true)?;
            b.transpose(dw, &[0, 2, 1])?
        } else {
            b.matmul(dy, columns, false, true)?
        };
        b.reshape(dw, &[c_out, own, 1, h.kernel, w.kernel])
    }

    /// As [`of_images`](Self::of_images) for tap `tap` of the depth: the planes that it reads are images.
    fn of_planes(&self, b: &mut Lowering, tap: usize, [d, h, w]: [Window; 3]) -> Result<V, OpError> {
        let ([n, c, ..], [c_out, own]) = (self.x.fact.ranked::<5>()?, self.filters);
        let read = d.reading(tap);
        let (Some(first), planes) = (d.at(read.start, tap), read.len()) else {
            return Ok(b.constant(Tensor::zeros(self.x.dtype(), &[c_out, own, 1, h.kernel, w.kernel])?));
        };
        let mut images = |v: V, start: usize, step: usize, [channels, rows, columns]: [usize; 3]| {
            let (begin, size) = ([0, 0, start, 0, 0], [n, channels, planes, rows, columns]);
            let own = b.slice(v, &begin, &size, &[1, 1, step as isize, 1, 1])?;
            let own = b.transpose(own, &[0, 2, 1, 3, 4])?;
            b.reshape(own, &[n * planes, channels, rows, columns])
        };
        let x = images(self.x.v, first, d.stride, [c, h.size, w.size])?;
        let dy = images(self.dy.v, read.start, 1, [c_out, h.out, w.out])?;
        let x = Operand { v: x, fact: b.fact(x).clone().into(), known: None };
        self.of_images(b, &x, dy, [h, w])
    }
}

impl<const N: usize> Rule for FilterGrad<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, image, places) = (self.fact()?, self.windows.map(|w| w.size), self.windows.map(|w| w.out));
        let (&[n, c, ..], [c_out, own]) = (self.x.shape(), self.filters) else { return Err(OpError::Dynamic) };
        let x = Grid::new([n, c, count(&image)], self.x.f64s()?)?;
        let dy = Grid::new([n, c_out, count(&places)], self.dy.f64s()?)?;
        let mut dw = Grid::zeros([c_out, own, count(&self.kernel)])?;
        let mut place = 0;
        each(places, |index| {
            let taps = taps(&self.windows, index, self.kernel, image);
            each([n, c_out, own], |[n, o, c]| {
                bounds::check()?;
                let (grad, channel) = (dy.at([n, o, place])?, o / (c_out / self.groups) * own + c);
                for (k, at) in taps.iter().enumerate() {
                    *dw.at_mut([o, c, k])? += grad * at.map_or(Ok(0.0), |at| x.at([n, channel, at]))?;
                }
                Ok(())
            })?;
            place += 1;
            Ok(())
        })?;
        Ok(vec![dw.tensor(fact.dtype)?.reshape(&fact.shape)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let fact = self.fact()?;
        if self.dy.count() == 0 || fact.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)]));
        }
        let dw = match *self.windows.as_slice() {
            [h, w] => self.of_images(b, self.x, self.dy.v, [h, w])?,
            [d, h, w] => {
                let taps = (0..d.kernel).map(|tap| self.of_planes(b, tap, [d, h, w])).collect::<Result<Vec<_>, _>>()?;
                b.concat(&taps, 2)?
            }
            _ => return Ok(None),
        };
        Ok(Some(vec![b.reshape(dw, &fact.shape)?]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }
}

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

impl Operator for Conv2DBackpropFilter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        FilterGrad::<2>::new(&self.classic(), &self.input, &self.dout, &self.filter_size)
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

classic_convolution! {
    /// The gradient of `Conv3D` with respect to its filters.
    ///
    /// `x`: `[n, c_in, d, h, w]`, over which `Conv3D` with the same arguments has `od × oh × ow` windows; its padding counts as
    /// zeros. `out_backprop`: `[n, c_out, od, oh, ow]`. `filter_size`: the result's dimensions `[c_out, c_in / group, kd, kh, kw]`.
    /// One float type.
    Conv3DBackpropFilter, copies [dilations = dilation, groups = group, strides = stride, data_format = format] {
        x: Operand,
        out_backprop: Operand,
        filter_size: Ints as Input,
        out_channel: Option<i64> = None,
        kernel_size: Ints as KernelOf("filter_size") = Ints::new(),
    } 3 Ncdhw Small
}

impl Operator for Conv3DBackpropFilter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        FilterGrad::<3>::new(&self.classic(), &self.x, &self.out_backprop, &self.filter_size)
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], dy: &[usize], w: &[i64]| {
            sample().tensor(DType::F32, x).tensor(DType::F32, dy).ints(w).skip().skip().int(1)
        };
        let same = one(&[1, 2, 3, 3, 4], &[1, 2, 3, 3, 4], &[2, 2, 2, 3, 2]).text("same");
        let padded =
            one(&[2, 4, 5, 4, 3], &[2, 6, 3, 4, 2], &[6, 2, 3, 2, 2]).text("pad").ints(&[1, 1, 0, 1, 1, 0]).skip();
        vec![
            same.case("same"),
            padded.ints(&[1, 1, 2, 1, 2]).skip().int(2).case("stride, padding, groups"),
            one(&[1, 1, 2, 3, 3], &[1, 1, 1, 2, 2], &[1, 1, 2, 2, 2]).text("valid").case("valid"),
        ]
    }
}
