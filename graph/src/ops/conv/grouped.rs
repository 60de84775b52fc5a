//! Convolution with groups over any number of spatial dimensions: what the convolution operators have in common.

use super::patches::Patches;
use crate::bounds;
use crate::onnx::{Edge, Emit, Forms, NoForm, OPEN, machine, no_form, to_i64};
use crate::op::{Lowers, Operand, Plan};
use crate::ops::kit::indices::{each_index, each_tap, flat, rearrange, result};
use crate::ops::kit::window::{Format, Window};
use crate::ops::linear::product::{add_bias, check_bias, reshaped};
use crate::task::{Binary, Conv, Layout, Lowering, Part, Task, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, dense_strides, ensure};

/// Cross-correlation of `x` (batch, channels and spatial dimensions in the order of `format`) with filters `w`
/// (`[c_out, c_in / groups, kernel…]`; channels-last formats have `[c_out, kernel…, c_in / groups]`), plus a bias per channel.
/// One image may have no batch dimension if channels are first; the result has none then.
pub(in crate::ops) struct Convolution<'a> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub bias: Option<&'a Operand>,
    pub windows: Vec<Window>,
    pub groups: usize,
    pub format: Format,
}

/// The spatial dimensions of images.
pub(in crate::ops) fn extent(x: &Operand, format: Format, spatial: usize) -> Result<Vec<Option<usize>>, OpError> {
    ensure!(x.rank() == spatial + 2, "expected images of rank {}, found {}", spatial + 2, x.fact);
    Ok(x.dims()[format.spatial()..format.spatial() + spatial].to_vec())
}

/// Checks that a group count divides both channel counts.
pub(in crate::ops) fn check_groups(groups: usize, a: usize, b: usize) -> Result<(), OpError> {
    let fits = groups > 0 && a.is_multiple_of(groups) && b.is_multiple_of(groups);
    ensure!(fits, "{groups} groups do not divide {a} and {b} channels");
    Ok(())
}

/// Dimensions with the channel dimension last moved to place 1.
fn channels_first(format: Format, dims: &[usize]) -> Vec<usize> {
    let mut out = dims.to_vec();
    let c = out.remove(format.channel(dims.len()));
    out.insert(1, c);
    out
}

/// The tensor with the channel dimension moved to place 1.
fn to_channels_first(format: Format, x: &Tensor) -> Result<Tensor, OpError> {
    let channel = format.channel(x.shape().len());
    rearrange(x, &channels_first(format, x.shape()), |index| {
        let mut from = index.to_vec();
        let c = from.remove(1);
        from.insert(channel, c);
        Some(flat(x.shape(), &from))
    })
}

/// The tensor with the channel dimension moved from place 1 to where `format` has it.
fn from_channels_first(format: Format, x: Tensor) -> Result<Tensor, OpError> {
    let channel = format.channel(x.shape().len());
    let mut dims = x.shape().to_vec();
    let c = dims.remove(1);
    dims.insert(channel, c);
    rearrange(&x, &dims, |index| {
        let mut from = index.to_vec();
        let c = from.remove(channel);
        from.insert(1, c);
        Some(flat(x.shape(), &from))
    })
}

/// What surrounds a convolution of `x` over `n` spatial dimensions: the batch dimension, which `x` may lack, and the bias.
struct Frame<'a> {
    x: &'a Operand,
    bias: Option<&'a Operand>,
    n: usize,
}

impl Frame<'_> {
    /// Whether `x` is one image.
    fn single(&self) -> bool {
        self.x.rank() == self.n + 1
    }

    /// Dimensions of `x` with the batch.
    fn dims(&self) -> Shape {
        self.single().then_some(1).into_iter().chain(self.x.shape().iter().copied()).collect()
    }

    /// `dims` of the result without the batch if `x` has none.
    fn result(&self, dims: &[usize]) -> Shape {
        dims[usize::from(self.single())..].iter().copied().collect()
    }

    /// The bias with dimensions that put it on the channels.
    fn bias(&self) -> Result<Option<Operand>, OpError> {
        let Some(bias) = self.bias else { return Ok(None) };
        let mut dims = Shape::from_elem(1, self.n + 1);
        dims[0] = bias.count();
        reshaped(bias, bias.v, &dims).map(Some)
    }

    fn infer(&self, sums: Fact) -> Result<Vec<Fact>, OpError> {
        check_bias(&sums, self.bias()?.as_ref())?;
        Ok(vec![Fact { dtype: sums.dtype, shape: self.result(&sums.shape) }])
    }

    fn reference(&self, sums: Tensor) -> Result<Vec<Tensor>, OpError> {
        let y = add_bias(sums, self.bias()?.as_ref())?;
        Ok(vec![y.reshape(&self.result(y.shape()))?])
    }

    fn lower(&self, b: &mut Lowering, sums: Option<V>) -> Lowers {
        let Some(mut y) = sums else { return Ok(None) };
        if let Some(bias) = self.bias()? {
            let bias = b.reshape(bias.v, bias.shape())?;
            y = b.binary(Binary::Add, y, bias)?;
        }
        let dims = self.result(&b.fact(y).shape);
        Ok(Some(vec![b.reshape(y, &dims)?]))
    }

    /// What `form` makes of the images and the bias.
    fn onnx(&self, e: &mut Emit, form: impl FnOnce(&mut Emit, Edge, Option<Edge>) -> Result<Edge, NoForm>) -> Forms {
        let (x, bias) = (e.edge(self.x)?, self.bias.map(|bias| e.edge(bias)).transpose()?);
        let x = if self.single() { e.unsqueeze(x, &[0]) } else { x };
        let y = form(e, x, bias)?;
        Ok(Some(vec![if self.single() { e.squeeze(y, &[0]) } else { y }]))
    }
}

/// Elements of an image, `None` in the padding, with those of the filter that they meet: offsets into one channel of either.
type Taps = Vec<(Option<usize>, usize)>;

impl Convolution<'_> {
    /// Kernel extents of the filters.
    pub fn kernel(w: &Operand, format: Format) -> &[usize] {
        if format.spatial() == 1 { &w.shape()[1..w.rank() - 1] } else { &w.shape()[2..] }
    }

    fn frame(&self) -> Frame<'_> {
        Frame { x: self.x, bias: self.bias, n: self.windows.len() }
    }

    fn channels(&self) -> (usize, usize) {
        (self.frame().dims()[self.format.channel(self.windows.len() + 2)], self.w.shape()[0])
    }

    /// The sums of products before the bias, with the batch dimension.
    fn sums(&self) -> Result<Fact, OpError> {
        let (x, w) = (&self.x.fact, &self.w.fact);
        ensure!(x.dtype == w.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {w}");
        let (c_in, c_out) = self.channels();
        check_groups(self.groups, c_in, c_out)?;
        let own = w.shape[self.format.channel(w.rank())];
        ensure!(
            own == c_in / self.groups,
            "filters {w} have {own} channels, {} of {x} belong to a group",
            c_in / self.groups
        );
        let mut shape = Shape::from_slice(&[self.frame().dims()[0], c_out]);
        shape.extend(self.windows.iter().map(|w| w.out));
        if self.format.spatial() == 1 {
            let c = shape.remove(1);
            shape.push(c);
        }
        result(x.dtype, &shape)
    }

    fn summed(&self) -> Result<Tensor, OpError> {
        let dims = channels_first(self.format, &self.sums()?.shape);
        let x = to_channels_first(self.format, &self.x.tensor()?.reshape(&self.frame().dims())?)?;
        let w = to_channels_first(self.format, self.w.tensor()?)?;
        let (xs, ws) = (x.to_f64s()?, w.to_f64s()?);
        let (c_in, c_out) = self.channels();
        let (own, per_group) = (c_in / self.groups, c_out / self.groups.max(1));
        let (image, filter) = (count(&x.shape()[2..]), count(&w.shape()[2..]));
        let taps = self.taps(x.shape(), w.shape(), &dims[2..])?;
        let mut y = Vec::with_capacity(count(&dims));
        for n in 0..dims[0] {
            for o in 0..c_out {
                let first = n * c_in + o / per_group * own;
                for taps in &taps {
                    bounds::check()?;
                    let channel = |c: usize| {
                        let (x, w) = ((first + c) * image, (o * own + c) * filter);
                        taps.iter().map(move |(i, k)| (i.map(|i| x + i), w + k))
                    };
                    let product = |(i, k): (Option<usize>, usize)| i.map_or(0.0, |i| xs[i]) * ws[k];
                    y.push((0..own).flat_map(channel).fold(0.0, |sum, pair| sum + product(pair)));
                }
            }
        }
        from_channels_first(self.format, Tensor::from_f64s(self.x.dtype(), &dims, &y)?)
    }

    /// `Conv`.
    pub fn form(&self, e: &mut Emit, x: Edge, w: Edge, bias: Option<Edge>) -> Result<Edge, NoForm> {
        let (dtype, wide) = (self.x.dtype(), machine(self.x.dtype()));
        let rank = self.windows.len() + 2;
        let last = self.format.spatial() == 1;
        let front: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let back: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
        let (mut x, mut w) = (e.cast(x, dtype, wide), e.cast(w, dtype, wide));
        if last {
            (x, w) = (e.transpose(x, &front), e.transpose(w, &front));
        }
        let bias = bias.map(|b| e.cast(b, dtype, wide));
        let list = |f: &dyn Fn(&Window) -> usize| to_i64(&self.windows.iter().map(f).collect::<Vec<_>>());
        let mut attrs = vec![
            ("kernel_shape", list(&|w| w.kernel).into()),
            ("strides", list(&|w| w.stride).into()),
            ("dilations", list(&|w| w.dilation).into()),
            ("group", (self.groups as i64).into()),
        ];
        if !self.windows.iter().any(Window::floats) {
            attrs.push(("pads", [list(&|w| w.before), list(&|w| w.after)].concat().into()));
        } else if self.windows.iter().all(|w| w.dilation == 1) {
            attrs.push(("auto_pad", "SAME_UPPER".into()));
        } else {
            x = self.padded(e, x, wide)?;
        }
        let mut y = e.op_n("Conv", &[Some(x), Some(w), bias], attrs, 1)[0];
        if last {
            y = e.transpose(y, &back);
        }
        Ok(e.cast(y, wide, dtype))
    }

    /// `x` (channels first, of `dtype`) with the zeros around it that mode `same` asks for at the lengths of a run.
    fn padded(&self, e: &mut Emit, x: Edge, dtype: DType) -> Result<Edge, NoForm> {
        let list = |f: &dyn Fn(&Window) -> usize| to_i64(&self.windows.iter().map(f).collect::<Vec<_>>());
        let size = e.op_with("Shape", &[x], vec![("start", 2.into())]);
        let (stride, reach) = (e.vector(&list(&|w| w.stride)), e.vector(&list(&Window::reach)));
        let (zero, one, two) = (e.vector(&[0]), e.vector(&[1]), e.vector(&[2]));
        // `(⌈size / stride⌉ − 1) · stride`, where the last window starts.
        let last = e.op("Sub", &[size, one]);
        let last = e.op("Div", &[last, stride]);
        let last = e.op("Mul", &[last, stride]);
        let end = e.op("Add", &[last, reach]);
        let missing = e.op("Sub", &[end, size]);
        let missing = e.op("Max", &[missing, zero]);
        let before = e.op("Div", &[missing, two]);
        let after = e.op("Sub", &[missing, before]);
        let outer = e.vector(&[0, 0]);
        let pads = e.concat(&[outer, before, outer, after], 0);
        let fill = e.number(dtype, 0.0)?;
        Ok(e.op("Pad", &[x, pads, fill]))
    }

    /// For every place of the result, what it is computed from.
    fn taps(&self, x: &[usize], w: &[usize], out: &[usize]) -> Result<Vec<Taps>, OpError> {
        let mut all = Vec::with_capacity(count(out));
        each_index(out, |place| {
            let mut taps = Vec::new();
            each_tap(&w[2..], |tap| {
                let places = self.windows.iter().zip(place).zip(tap);
                let at: Option<Vec<usize>> = places.map(|((w, &o), &k)| w.at(o, k)).collect();
                taps.push((at.map(|at| flat(&x[2..], &at)), flat(&w[2..], tap)));
            });
            all.push(taps);
        })?;
        Ok(all)
    }

    /// One or two spatial dimensions as a task, three as tasks over two; `None` for three with channels last.
    fn lower_sums(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.sums()?;
        if fact.count() == 0 || self.w.count() == 0 {
            return Ok(Some(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)));
        }
        let (kernel, stretched): (Vec<usize>, Vec<Window>) = match self.windows.as_slice() {
            [w] => (vec![1, w.kernel], vec![Window::one(), *w]),
            [h, w] => (vec![h.kernel, w.kernel], vec![*h, *w]),
            _ => return self.lower_volumes(b),
        };
        let (c_in, c_out) = self.channels();
        let filters = if self.format.spatial() == 1 {
            let last = self.w.rank() - 1;
            let perm: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
            b.transpose(self.w.v, &perm)?
        } else {
            self.w.v
        };
        let filters = b.reshape(filters, &[c_out, c_in / self.groups, kernel[0], kernel[1]])?;
        let [h, w] = [stretched[0], stretched[1]];
        let layout = self.format.layout();
        let x = b.reshape(self.x.v, &layout.dims([fact.shape[0], c_in, h.size, w.size]))?;
        let conv = Conv {
            n: fact.shape[0],
            c_in,
            h: h.size,
            w: w.size,
            c_out,
            out_h: h.out,
            out_w: w.out,
            kernel: [h.kernel, w.kernel],
            stride: [h.stride, w.stride],
            dilation: [h.dilation, w.dilation],
            pads: [h.before, h.after, w.before, w.after],
            groups: self.groups,
            layout,
            dtype: fact.dtype,
            scaled: false,
            epilogue: None,
        };
        let out = Fact::new(fact.dtype, &layout.dims([conv.n, c_out, h.out, w.out]));
        let y = b.task(Task::Conv(conv), &[x, filters], vec![out])[0];
        Ok(Some(b.reshape(y, &fact.shape)?))
    }

    /// Every depth of the result as an image; the slices of the volume that its window holds are channels.
    fn lower_volumes(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let [depth, h, w] = self.windows.as_slice() else { return Ok(None) };
        let [n, c_in, _, rows, columns] = *self.frame().dims() else { return Ok(None) };
        if self.format.spatial() == 1 {
            return Ok(None);
        }
        let plane = Window { size: rows * columns, out: rows * columns, ..Window::one() };
        let dims = [n, c_in, depth.size, plane.size];
        let volumes = reshaped(self.x, self.x.v, &dims)?;
        let slices = Patches { x: &volumes, h: *depth, w: plane }.lower(b, [0, 4, 1, 2, 3, 5])?;
        let image = |b: &mut Lowering, v, dims: [usize; 4]| {
            let v = b.reshape(v, &dims)?;
            Ok::<_, OpError>(Operand { v, fact: b.fact(v).clone().into(), known: b.known(v) })
        };
        let x = image(b, slices, [n * depth.out, c_in * depth.kernel, rows, columns])?;
        let filters = [self.w.shape()[0], self.w.shape()[1] * depth.kernel, h.kernel, w.kernel];
        let filters = image(b, self.w.v, filters)?;
        let (bias, windows, format) = (None, vec![*h, *w], Format::Nchw);
        let flat = Convolution { x: &x, w: &filters, bias, windows, groups: self.groups, format };
        let Some(y) = flat.lower_sums(b)? else { return Ok(None) };
        let y = b.reshape(y, &[n, depth.out, filters.shape()[0], h.out, w.out])?;
        Ok(Some(b.transpose(y, &[0, 2, 1, 3, 4])?))
    }
}

impl Plan for Convolution<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let sums = self.sums()?;
        if let Some(bias) = self.bias {
            ensure!(bias.shape() == &self.w.shape()[..1], "bias {} does not fit {}", bias.fact, self.w.fact);
        }
        self.frame().infer(sums)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.frame().reference(self.summed()?)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let sums = self.lower_sums(b)?;
        self.frame().lower(b, sums)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        self.frame().onnx(e, |e, x, bias| {
            let w = e.edge(self.w)?;
            self.form(e, x, w, bias)
        })
    }
}

/// The gradient of a convolution with respect to its input: every element of `x` (`[n, c_in, …]`) adds its product with the
/// filters `w` (`[c_in, c_out / groups, kernel…]`) to the window of the result that it belongs to; then a bias per channel.
/// One image may have no batch dimension; the result has none then.
pub(in crate::ops) struct Spread<'a> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub bias: Option<&'a Operand>,
    /// Windows over the result; there are as many as `x` has elements.
    pub windows: Vec<Window>,
    pub groups: usize,
    /// What the result has more, or less, than the windows reach, where lengths are open.
    pub more: Option<[i64; 2]>,
}

impl Spread<'_> {
    fn frame(&self) -> Frame<'_> {
        Frame { x: self.x, bias: self.bias, n: self.windows.len() }
    }

    /// The sums of products before the bias, with the batch dimension.
    pub fn sums(&self) -> Result<Fact, OpError> {
        let (x, w) = (&self.x.fact, &self.w.fact);
        ensure!(x.dtype == w.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {w}");
        let (rank, dims) = (self.windows.len() + 2, self.frame().dims());
        ensure!(dims.len() == rank && w.rank() == rank, "expected rank {rank}, found {x} and {w}");
        check_groups(self.groups, dims[1], dims[1])?;
        ensure!(w.shape[0] == dims[1], "filters {w} do not fit the channels of {x}");
        let windows: Vec<usize> = self.windows.iter().map(|w| w.out).collect();
        ensure!(windows == dims[2..], "the result has {windows:?} windows, expected as many as {x} has elements");
        let channels = w.shape[1].checked_mul(self.groups);
        let mut shape = Shape::from_slice(&[dims[0], channels.unwrap_or(usize::MAX)]);
        shape.extend(self.windows.iter().map(|w| w.size));
        result(x.dtype, &shape)
    }

    fn summed(&self) -> Result<Tensor, OpError> {
        let (fact, dims) = (self.sums()?, self.frame().dims());
        let (x, w) = (self.x.f64s()?, self.w.f64s()?);
        let mut y = vec![0.0; fact.count()];
        let (own, per_group) = (dims[1] / self.groups, self.w.shape()[1]);
        each_index(&dims, |from| {
            let value = x[flat(&dims, from)];
            each_tap(&self.w.shape()[1..], |tap| {
                let places = self.windows.iter().zip(&from[2..]).zip(&tap[1..]);
                let at: Option<Vec<usize>> = places.map(|((w, &o), &k)| w.at(o, k)).collect();
                let Some(at) = at else { return };
                let channel = from[1] / own * per_group + tap[0];
                let weight = w[flat(self.w.shape(), &[&[from[1]], tap].concat())];
                y[flat(&fact.shape, &[&[from[0], channel], at.as_slice()].concat())] += value * weight;
            });
        })?;
        Ok(Tensor::from_f64s(fact.dtype, &fact.shape, &y)?)
    }

    /// `ConvTranspose`.
    fn form(&self, e: &mut Emit, x: Edge, bias: Option<Edge>) -> Result<Edge, NoForm> {
        let extra = |(d, w): (usize, &Window)| match self.more {
            _ if !w.open => {
                let reach = (w.out.max(1) - 1) * w.stride + w.reach();
                Ok((w.size + w.before + w.after) as i64 - reach as i64)
            }
            Some(more) => more.get(d).copied().ok_or(NoForm::Unstated),
            None => no_form(OPEN),
        };
        let extra = self.windows.iter().enumerate().map(extra).collect::<Result<Vec<_>, _>>()?;
        self.spread(e, x, bias, &extra)
    }

    /// `ConvTranspose` to the lengths `sizes`, a vector that the model computes: to more, of which a part is taken.
    pub fn onnx_to(&self, e: &mut Emit, x: Edge, sizes: Edge) -> Result<Edge, NoForm> {
        let n = self.windows.len();
        let strides = to_i64(&self.windows.iter().map(|w| w.stride).collect::<Vec<_>>());
        let reach = to_i64(&self.windows.iter().map(Window::reach).collect::<Vec<_>>());
        let whole: Vec<Window> = self.windows.iter().map(|w| Window { before: 0, after: 0, ..*w }).collect();
        let whole = Spread { windows: whole, ..*self };
        let y = whole.spread(e, x, None, &strides.iter().map(|s| s - 1).collect::<Vec<_>>())?;
        let start = if self.windows.iter().any(Window::floats) {
            // Half of what the windows reach beyond the result.
            let (zero, one, two) = (e.vector(&[0]), e.vector(&[1]), e.vector(&[2]));
            let (strides, reach) = (e.vector(&strides), e.vector(&reach));
            let last = e.op_with("Shape", &[x], vec![("start", 2.into())]);
            let last = e.op("Sub", &[last, one]);
            let last = e.op("Mul", &[last, strides]);
            let end = e.op("Add", &[last, reach]);
            let missing = e.op("Sub", &[end, sizes]);
            let missing = e.op("Max", &[missing, zero]);
            e.op("Div", &[missing, two])
        } else {
            e.vector(&to_i64(&self.windows.iter().map(|w| w.before).collect::<Vec<_>>()))
        };
        let (end, axes) = (e.op("Add", &[start, sizes]), e.vector(&(2..n as i64 + 2).collect::<Vec<_>>()));
        Ok(e.op("Slice", &[y, start, end, axes]))
    }

    /// `ConvTranspose` with pads as the windows have them, and `extra` elements more at the ends.
    fn spread(&self, e: &mut Emit, x: Edge, bias: Option<Edge>, extra: &[i64]) -> Result<Edge, NoForm> {
        let (dtype, wide) = (self.x.dtype(), machine(self.x.dtype()));
        let (x, w) = (e.cast(x, dtype, wide), e.as_type(self.w, wide)?);
        let bias = bias.map(|b| e.cast(b, dtype, wide));
        let list = |f: &dyn Fn(&Window) -> i64| self.windows.iter().map(f).collect::<Vec<i64>>();
        let ends = self.windows.iter().zip(extra).map(|(w, extra)| w.after as i64 - extra.min(&0)).collect();
        let pads = [list(&|w| w.before as i64), ends].concat();
        let attrs = vec![
            ("kernel_shape", list(&|w| w.kernel as i64).into()),
            ("strides", list(&|w| w.stride as i64).into()),
            ("dilations", list(&|w| w.dilation as i64).into()),
            ("group", (self.groups as i64).into()),
            ("pads", pads.into()),
            ("output_padding", extra.iter().map(|&extra| extra.max(0)).collect::<Vec<i64>>().into()),
        ];
        let y = e.op_n("ConvTranspose", &[Some(x), Some(w), bias], attrs, 1)[0];
        Ok(e.cast(y, wide, dtype))
    }

    /// Two spatial dimensions as one convolution for each phase of the stride, or, where the filters are dilated or may hold
    /// numbers whose product with zero is not zero, as one product whose results are added tap by tap. `None` otherwise.
    fn lower_sums(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.sums()?;
        let ([h, w], &[n, c_in, ih, iw]) = (&self.windows[..], &self.frame().dims()[..]) else { return Ok(None) };
        if self.w.count() == 0 || self.x.count() == 0 || fact.count() == 0 {
            return Ok(None);
        }
        let x = b.reshape(self.x.v, &[n, c_in, ih, iw])?;
        if h.dilation * w.dilation != 1 || !self.w.known.as_ref().is_some_and(Tensor::is_finite) {
            return self.by_taps(b, x, &fact, h, w).map(Some);
        }
        let (mut parts, mut ins) = (Vec::new(), Vec::new());
        let mut covered = 0;
        for py in (0..h.stride).map(|r| Phase::new(h, r)) {
            for px in (0..w.stride).map(|r| Phase::new(w, r)) {
                if !py.reads(ih) || !px.reads(iw) {
                    continue;
                }
                let y = self.phase(b, x, &py, &px)?;
                parts.push(interleave(ins.len(), &fact.shape, [h.stride, w.stride], &py, &px));
                ins.push(y);
                covered += py.count * px.count;
            }
        }
        if ins.is_empty() {
            return Ok(None);
        }
        if ins.len() == 1 && covered == h.size * w.size {
            return Ok(Some(ins[0]));
        }
        let fill = (covered < h.size * w.size).then(|| vec![0; fact.dtype.size()]);
        Ok(Some(b.copy(&ins, parts, fill, fact)))
    }

    /// The products of all elements and taps, each tap's then added where it belongs.
    fn by_taps(&self, b: &mut Lowering, x: V, fact: &Fact, h: &Window, w: &Window) -> Result<V, OpError> {
        let [n, c_in, ih, iw] = [0, 1, 2, 3].map(|d| b.fact(x).shape[d]);
        let [_, per_group, kh, kw] = [0, 1, 2, 3].map(|d| self.w.shape()[d]);
        let own = c_in / self.groups;
        let filters = b.reshape(self.w.v, &[1, self.groups, own, per_group * kh * kw])?;
        let x = b.reshape(x, &[n, self.groups, own, ih * iw])?;
        let products = b.matmul(filters, x, true, false)?;
        let dims = [n, self.groups * per_group, kh * kw, ih, iw];
        let (src, dst) = (dense_strides(&dims), dense_strides(&fact.shape));
        let mut sum = None;
        for ky in 0..kh {
            for kx in 0..kw {
                let (rows, cols) = (h.reading(ky), w.reading(kx));
                let (Some(y), Some(x)) = (h.at(rows.start, ky), w.at(cols.start, kx)) else { continue };
                let part = Part {
                    input: 0,
                    src_offset: ((ky * kw + kx) * ih + rows.start) * iw + cols.start,
                    src: [src[0], src[1], src[3], src[4]].into_iter().collect(),
                    shape: Shape::from_slice(&[n, dims[1], rows.len(), cols.len()]),
                    dst_offset: y * fact.shape[3] + x,
                    dst: [dst[0], dst[1], dst[2] * h.stride as isize, dst[3] * w.stride as isize].into_iter().collect(),
                };
                let tap = b.copy(&[products], vec![part], Some(vec![0; fact.dtype.size()]), fact.clone());
                sum = Some(match sum {
                    Some(sum) => b.binary(Binary::Add, sum, tap)?,
                    None => tap,
                });
            }
        }
        match sum {
            Some(sum) => Ok(sum),
            None => Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)),
        }
    }

    fn phase(&self, b: &mut Lowering, x: V, py: &Phase, px: &Phase) -> Result<V, OpError> {
        let [n, c_in, ih, iw] = [0, 1, 2, 3].map(|d| b.fact(x).shape[d]);
        let [_, per_group, kh, kw] = [0, 1, 2, 3].map(|d| self.w.shape()[d]);
        let own = c_in / self.groups;
        let c_out = per_group * self.groups;
        let (taps, block) = ((kh * kw) as isize, (per_group * kh * kw) as isize);
        let [sy, sx] = [py.stride as isize, px.stride as isize];
        let dims = [self.groups, per_group, own, py.taps, px.taps];
        let strides = [own as isize * block, taps, block, -sy * kw as isize, -sx];
        let filters = b.strided(self.w.v, py.last_tap * kw + px.last_tap, strides.into_iter().collect(), &dims);
        let filters = b.reshape(filters, &[c_out, own, py.taps, px.taps])?;
        let (cy, cx) = (py.crop(ih), px.crop(iw));
        let x = b.slice(x, &[0, 0, cy[0], cx[0]], &[n, c_in, cy[1], cx[1]], &[1; 4])?;
        let (qy, qx) = (py.pads(ih), px.pads(iw));
        let conv = Conv {
            n,
            c_in,
            h: cy[1],
            w: cx[1],
            c_out,
            out_h: py.count,
            out_w: px.count,
            kernel: [py.taps, px.taps],
            stride: [1, 1],
            dilation: [1, 1],
            pads: [qy[0], qy[1], qx[0], qx[1]],
            groups: self.groups,
            layout: Layout::Nchw,
            dtype: self.x.dtype(),
            scaled: false,
            epilogue: None,
        };
        let out = Fact::new(conv.dtype, &[n, c_out, py.count, px.count]);
        Ok(b.task(Task::Conv(conv), &[x, filters], vec![out])[0])
    }
}

impl Plan for Spread<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.frame().infer(self.sums()?)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.frame().reference(self.summed()?)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let sums = self.lower_sums(b)?;
        self.frame().lower(b, sums)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        self.frame().onnx(e, |e, x, bias| self.form(e, x, bias))
    }
}

/// The elements of a result whose distance from the first window is `phase` modulo the stride: they see the same taps.
struct Phase {
    stride: usize,
    /// Number of taps seen.
    taps: usize,
    /// The last of them.
    last_tap: usize,
    /// First element of the result, and their number.
    first: usize,
    count: usize,
    /// Input position under the last tap of the first element; negative before the input.
    start: isize,
}

impl Phase {
    fn new(w: &Window, phase: usize) -> Phase {
        let stride = w.stride;
        let taps = w.kernel.saturating_sub(phase).div_ceil(stride);
        let lead = w.before.saturating_sub(phase).div_ceil(stride);
        let first = lead * stride + phase - w.before.min(lead * stride + phase);
        let count = w.size.saturating_sub(first).div_ceil(stride);
        let last_tap = phase + stride * taps.saturating_sub(1);
        Phase { stride, taps, last_tap, first, count, start: lead as isize - (taps as isize - 1) }
    }

    /// Whether any of `len` input elements is read; else the phase is zeros.
    fn reads(&self, len: usize) -> bool {
        let end = self.start + (self.count + self.taps) as isize - 1;
        self.taps * self.count > 0 && self.start < len as isize && end > 0
    }

    /// First input element read and number of elements read, of `len`.
    fn crop(&self, len: usize) -> [usize; 2] {
        let begin = self.start.clamp(0, len as isize - 1);
        let end = (self.start + (self.count + self.taps - 1) as isize).clamp(begin + 1, len as isize);
        [begin as usize, (end - begin) as usize]
    }

    /// Padding before and after the elements read.
    fn pads(&self, len: usize) -> [usize; 2] {
        let [begin, read] = self.crop(len);
        let before = (begin as isize - self.start).max(0) as usize;
        [before, (self.count + self.taps - 1).saturating_sub(before + read)]
    }
}

fn interleave(input: usize, dims: &[usize], stride: [usize; 2], py: &Phase, px: &Phase) -> Part {
    let dst = dense_strides(dims);
    let shape = Shape::from_slice(&[dims[0], dims[1], py.count, px.count]);
    Part {
        input,
        src_offset: 0,
        src: dense_strides(&shape),
        shape,
        dst_offset: py.first * dims[3] + px.first,
        dst: [dst[0], dst[1], dst[2] * stride[0] as isize, dst[3] * stride[1] as isize].into_iter().collect(),
    }
}
