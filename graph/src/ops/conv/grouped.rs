//! Convolution with groups over any number of spatial dimensions: what the convolution operators have in common.

use super::patches::Patches;
use crate::bounds;
use crate::onnx::{Edge, Emit, Forms, NoForm, OPEN, machine, no_form, to_i64};
use crate::op::{Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each, strides};
use crate::ops::kit::indices::{column, each_tap, flat, rearrange, result};
use crate::ops::kit::window::{Format, Window};
use crate::ops::linear::product::{add_bias, check_bias, reshaped};
use crate::task::{Binary, Conv, Layout, Lowering, Part, Task, V};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, count, dense_strides, ensure};

/// Cross-correlation of `x` (batch, channels and spatial dimensions in the order of `format`) with filters `w`
/// (`[c_out, c_in / groups, kernel…]`; channels-last formats have `[c_out, kernel…, c_in / groups]`), plus a bias per channel.
/// One image may have no batch dimension if channels are first; the result has none then.
pub(in crate::ops) struct Convolution<'a, const N: usize> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub bias: Option<&'a Operand>,
    pub windows: [Window; N],
    pub groups: usize,
    pub format: Format,
}

/// The spatial dimensions of images.
pub(in crate::ops) fn extent<const N: usize>(x: &Operand, format: Format) -> Result<[Option<usize>; N], OpError> {
    Ok(planes("images", x, &channels_first(format, &x.dims()))?.1)
}

/// The spatial dimensions of images, channels first, or of one image without a batch.
pub(in crate::ops) fn last_dims<const N: usize>(x: &Operand) -> Result<[Option<usize>; N], OpError> {
    let wrong = || OpError::Invalid(format!("expected rank {} or {}, found {}", N + 1, N + 2, x.fact));
    let fits = matches!(x.rank().checked_sub(N), Some(1 | 2));
    x.dims().last_chunk().copied().filter(|_| fits).ok_or_else(wrong)
}

/// The number of filters, their channels, and their kernel extents.
pub(in crate::ops) fn filters<const N: usize>(w: &Operand, format: Format) -> Result<Planes<usize, N>, OpError> {
    planes("filters", w, &channels_first(format, w.shape()))
}

/// Two outer dimensions and `N` spatial ones.
type Planes<T, const N: usize> = ([T; 2], [T; N]);

/// The `dims` of `x`, of which there must be as many.
pub(in crate::ops) fn planes<T: Copy, const N: usize>(
    what: &str,
    x: &Operand,
    dims: &[T],
) -> Result<Planes<T, N>, OpError> {
    let split = dims.split_first_chunk().and_then(|(outer, spatial)| Some((*outer, spatial.try_into().ok()?)));
    split.ok_or_else(|| OpError::Invalid(format!("expected {what} of rank {}, found {}", N + 2, x.fact)))
}

/// Checks that a group count divides both channel counts.
pub(in crate::ops) fn check_groups(groups: usize, a: usize, b: usize) -> Result<(), OpError> {
    let fits = groups > 0 && a.is_multiple_of(groups) && b.is_multiple_of(groups);
    ensure!(fits, "{groups} groups do not divide {a} and {b} channels");
    Ok(())
}

/// Dimensions in the order of `format` with that of channels moved to place 1.
fn channels_first<T: Copy>(format: Format, dims: &[T]) -> Vec<T> {
    match (format.spatial(), dims) {
        (1, [n, spatial @ .., c]) => [&[*n, *c], spatial].concat(),
        _ => dims.to_vec(),
    }
}

/// Dimensions with that of channels moved from place 1 to where `format` has it.
fn in_format<T: Copy>(format: Format, dims: &[T]) -> Vec<T> {
    match (format.spatial(), dims) {
        (1, [n, c, spatial @ ..]) => [&[*n], spatial, &[*c]].concat(),
        _ => dims.to_vec(),
    }
}

/// The tensor with the channel dimension moved to place 1.
fn to_channels_first(format: Format, x: &Tensor) -> Result<Tensor, OpError> {
    let from = |index: &[usize]| Some(flat(x.shape(), &in_format(format, index)));
    rearrange(x, &channels_first(format, x.shape()), from)
}

/// The tensor with the channel dimension moved from place 1 to where `format` has it.
fn from_channels_first(format: Format, x: &Tensor) -> Result<Tensor, OpError> {
    let from = |index: &[usize]| Some(flat(x.shape(), &channels_first(format, index)));
    rearrange(x, &in_format(format, x.shape()), from)
}

/// What surrounds a convolution of `x` over `N` spatial dimensions: the batch dimension, which `x` may lack, and the bias.
struct Frame<'a, const N: usize> {
    x: &'a Operand,
    bias: Option<&'a Operand>,
}

impl<const N: usize> Frame<'_, N> {
    /// Whether `x` is one image.
    fn single(&self) -> bool {
        self.x.rank() == N + 1
    }

    /// Dimensions of `x` with the batch.
    fn dims(&self) -> Shape {
        self.single().then_some(1).into_iter().chain(self.x.shape().iter().copied()).collect()
    }

    /// Batch and channels, and the spatial dimensions.
    fn planes(&self, format: Format) -> Result<Planes<usize, N>, OpError> {
        planes("images", self.x, &channels_first(format, &self.dims()))
    }

    /// `dims` of the result without the batch if `x` has none.
    fn result(&self, dims: &[usize]) -> Shape {
        dims.iter().skip(usize::from(self.single())).copied().collect()
    }

    /// The bias with dimensions that put it on the channels.
    fn bias(&self) -> Result<Option<Operand>, OpError> {
        let Some(bias) = self.bias else { return Ok(None) };
        reshaped(bias, bias.v, &column(bias.count(), N)).map(Some)
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

/// The elements of an image of `extent` under the taps of the windows at `place`, none in the padding.
pub(super) fn taps<const N: usize>(
    windows: &[Window; N],
    place: [usize; N],
    kernel: [usize; N],
    extent: [usize; N],
) -> Vec<Option<usize>> {
    let mut taps = Vec::new();
    each_tap(&kernel, |tap| {
        let at: Option<Shape> = windows.iter().zip(place).zip(tap).map(|((w, o), &k)| w.at(o, k)).collect();
        taps.push(at.map(|at| flat(&extent, &at)));
    });
    taps
}

impl<const N: usize> Convolution<'_, N> {
    fn frame(&self) -> Frame<'_, N> {
        Frame { x: self.x, bias: self.bias }
    }

    /// Of the images and of the filters.
    fn planes(&self) -> Result<(Planes<usize, N>, Planes<usize, N>), OpError> {
        Ok((self.frame().planes(self.format)?, filters(self.w, self.format)?))
    }

    /// The sums of products before the bias, with the batch dimension.
    fn sums(&self) -> Result<Fact, OpError> {
        let (x, w) = (&self.x.fact, &self.w.fact);
        ensure!(x.dtype == w.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {w}");
        let (([n, c_in], _), ([c_out, own], _)) = self.planes()?;
        check_groups(self.groups, c_in, c_out)?;
        ensure!(
            own == c_in / self.groups,
            "filters {w} have {own} channels, {} of {x} belong to a group",
            c_in / self.groups
        );
        let dims: Shape = [n, c_out].into_iter().chain(self.windows.map(|w| w.out)).collect();
        result(x.dtype, &in_format(self.format, &dims))
    }

    fn summed(&self) -> Result<Tensor, OpError> {
        let (fact, (([n, c_in], extent), ([c_out, own], kernel))) = (self.sums()?, self.planes()?);
        let x = to_channels_first(self.format, &self.x.tensor()?.reshape(&self.frame().dims())?)?;
        let w = to_channels_first(self.format, self.w.tensor()?)?;
        let x = Grid::new([n, c_in, count(&extent)], x.to_f64s()?)?;
        let w = Grid::new([c_out, own, count(&kernel)], w.to_f64s()?)?;
        let places = self.windows.map(|w| w.out);
        let mut y = Grid::zeros([n, c_out, count(&places)])?;
        each(places, |place| {
            let taps = taps(&self.windows, place, kernel, extent);
            each([n, c_out], |[n, o]| {
                bounds::check()?;
                let (first, sum) = (o / (c_out / self.groups) * own, y.at_mut([n, o, flat(&places, &place)])?);
                for c in 0..own {
                    for (k, at) in taps.iter().enumerate() {
                        *sum += at.map_or(Ok(0.0), |at| x.at([n, first + c, at]))? * w.at([o, c, k])?;
                    }
                }
                Ok(())
            })
        })?;
        let y = y.tensor(fact.dtype)?.reshape(&channels_first(self.format, &fact.shape))?;
        from_channels_first(self.format, &y)
    }

    /// `Conv`.
    pub fn form(&self, e: &mut Emit, x: Edge, w: Edge, bias: Option<Edge>) -> Result<Edge, NoForm> {
        let (dtype, wide) = (self.x.dtype(), machine(self.x.dtype()));
        let (rank, last) = (N + 2, self.format.spatial() == 1);
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
        let [mut y] = e.results("Conv", &[Some(x), Some(w), bias], attrs);
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

    /// One or two spatial dimensions as a task, three as tasks over two; `None` for three with channels last.
    fn lower_sums(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.sums()?;
        if fact.count() == 0 || self.w.count() == 0 {
            return Ok(Some(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)));
        }
        let [h, w] = match *self.windows.as_slice() {
            [w] => [Window::one(), w],
            [h, w] => [h, w],
            _ => return self.lower_volumes(b),
        };
        let (([n, c_in], _), ([c_out, own], _)) = self.planes()?;
        let filters = if self.format.spatial() == 1 {
            let last = self.w.rank() - 1;
            let perm: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
            b.transpose(self.w.v, &perm)?
        } else {
            self.w.v
        };
        let filters = b.reshape(filters, &[c_out, own, h.kernel, w.kernel])?;
        let layout = self.format.layout();
        let x = b.reshape(self.x.v, &layout.dims([n, c_in, h.size, w.size]))?;
        let conv = Conv {
            n,
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
            out: fact.dtype,
            tf32: false,
            scaled: false,
            epilogue: None,
        };
        let out = Fact::new(fact.dtype, &layout.dims([conv.n, c_out, h.out, w.out]));
        let y = b.task1(Task::Conv(conv), &[x, filters], out);
        Ok(Some(b.reshape(y, &fact.shape)?))
    }

    /// Every depth of the result as an image; the slices of the volume that its window holds are channels.
    fn lower_volumes(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let [depth, h, w] = *self.windows.as_slice() else { return Ok(None) };
        let [n, c_in, _, rows, columns] = *self.frame().dims() else { return Ok(None) };
        if self.format.spatial() == 1 {
            return Ok(None);
        }
        let ([c_out, own], _) = filters::<N>(self.w, self.format)?;
        if own == 1 && c_out == c_in && depth.kernel > 1 {
            return self.lower_slices(b, depth, [h, w]).map(Some);
        }
        let plane = Window { size: rows * columns, out: rows * columns, ..Window::one() };
        let dims = [n, c_in, depth.size, plane.size];
        let volumes = reshaped(self.x, self.x.v, &dims)?;
        let slices = Patches { x: &volumes, h: depth, w: plane }.lower(b, [0, 4, 1, 2, 3, 5])?;
        let x = image(b, slices, [n * depth.out, c_in * depth.kernel, rows, columns])?;
        let filters = image(b, self.w.v, [c_out, own * depth.kernel, h.kernel, w.kernel])?;
        let (bias, windows, format) = (None, [h, w], Format::Nchw);
        let flat = Convolution { x: &x, w: &filters, bias, windows, groups: self.groups, format };
        let Some(y) = flat.lower_sums(b)? else { return Ok(None) };
        let y = b.reshape(y, &[n, depth.out, c_out, h.out, w.out])?;
        Ok(Some(b.transpose(y, &[0, 2, 1, 3, 4])?))
    }

    /// Every channel by itself: each slice of the volume as an image, once for each depth of the filters, whose results are added where
    /// they belong.
    fn lower_slices(&self, b: &mut Lowering, depth: Window, [h, w]: [Window; 2]) -> Result<V, OpError> {
        let (fact, dims) = (self.sums()?, self.frame().dims());
        let [n, c, _, rows, columns] = *dims else { return Err(OpError::Unsupported("slices of no volume".into())) };
        let volumes = b.reshape(self.x.v, &[n, c, depth.size, rows, columns])?;
        let slices = b.transpose(volumes, &[0, 2, 1, 3, 4])?;
        let x = image(b, slices, [n * depth.size, c, rows, columns])?;
        let filters = b.reshape(self.w.v, &[c, depth.kernel, h.kernel, w.kernel])?;
        let (from, to) =
            (dense_strides(&[n, depth.size, c * h.out * w.out]), dense_strides(&[n, depth.out, c * h.out * w.out]));
        let out = Fact::new(fact.dtype, &[n, depth.out, c, h.out, w.out]);
        let mut sum = None;
        for tap in 0..depth.kernel {
            let read = depth.reading(tap);
            let Some(first) = depth.at(read.start, tap) else { continue };
            let own = b.slice(filters, &[0, tap, 0, 0], &[c, 1, h.kernel, w.kernel], &[1; 4])?;
            let own = image(b, own, [c, 1, h.kernel, w.kernel])?;
            let flat = Convolution { x: &x, w: &own, bias: None, windows: [h, w], groups: c, format: Format::Nchw };
            let Some(y) = flat.lower_sums(b)? else { continue };
            let steps = |strides: &Strides, step: usize| {
                strides.iter().zip([1, step, 1]).map(|(stride, step)| stride * step as isize).collect::<Strides>()
            };
            let part = Part {
                input: 0,
                src_offset: first * c * h.out * w.out,
                src: steps(&from, depth.stride),
                shape: [n, read.len(), c * h.out * w.out].into_iter().collect(),
                dst_offset: read.start * c * h.out * w.out,
                dst: to.clone(),
            };
            let y = b.copy(&[y], vec![part], Some(vec![0; fact.dtype.size()]), out.clone());
            sum = Some(match sum {
                Some(sum) => b.binary(Binary::Add, sum, y)?,
                None => y,
            });
        }
        let y = match sum {
            Some(sum) => sum,
            None => b.constant(Tensor::zeros(fact.dtype, &out.shape)?),
        };
        let y = b.transpose(y, &[0, 2, 1, 3, 4])?;
        b.reshape(y, &fact.shape)
    }
}

/// `v` with these dimensions, as an operand.
fn image(b: &mut Lowering, v: V, dims: [usize; 4]) -> Result<Operand, OpError> {
    let v = b.reshape(v, &dims)?;
    Ok(Operand { v, fact: b.fact(v).clone().into(), known: b.known(v) })
}

impl<const N: usize> Rule for Convolution<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let sums = self.sums()?;
        if let Some(bias) = self.bias {
            let ([c_out, _], _) = filters::<N>(self.w, self.format)?;
            ensure!(bias.shape() == [c_out], "bias {} does not fit {}", bias.fact, self.w.fact);
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
pub(in crate::ops) struct Spread<'a, const N: usize> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub bias: Option<&'a Operand>,
    /// Windows over the result; there are as many as `x` has elements.
    pub windows: [Window; N],
    pub groups: usize,
    /// What the result has more, or less, than the windows reach, where lengths are open.
    pub more: Option<[i64; N]>,
}

impl<const N: usize> Spread<'_, N> {
    fn frame(&self) -> Frame<'_, N> {
        Frame { x: self.x, bias: self.bias }
    }

    /// The sums of products before the bias, with the batch dimension.
    pub fn sums(&self) -> Result<Fact, OpError> {
        let (x, w) = (&self.x.fact, &self.w.fact);
        ensure!(x.dtype == w.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {w}");
        let ([n, c_in], places) = self.frame().planes(Format::Nchw)?;
        let ([filters, per_group], _) = filters::<N>(self.w, Format::Nchw)?;
        check_groups(self.groups, c_in, c_in)?;
        ensure!(filters == c_in, "filters {w} do not fit the channels of {x}");
        let windows = self.windows.map(|w| w.out);
        ensure!(windows == places, "the result has {windows:?} windows, expected as many as {x} has elements");
        let channels = per_group.saturating_mul(self.groups);
        let dims: Shape = [n, channels].into_iter().chain(self.windows.map(|w| w.size)).collect();
        result(x.dtype, &dims)
    }

    fn summed(&self) -> Result<Tensor, OpError> {
        let (fact, ([n, c_in], places)) = (self.sums()?, self.frame().planes(Format::Nchw)?);
        let ([_, per_group], kernel) = filters(self.w, Format::Nchw)?;
        let x = Grid::new([n, c_in, count(&places)], self.x.f64s()?)?;
        let w = Grid::new([c_in, per_group, count(&kernel)], self.w.f64s()?)?;
        let image = self.windows.map(|w| w.size);
        let mut y = Grid::zeros([n, per_group * self.groups, count(&image)])?;
        each([n, c_in], |[n, c]| {
            let first = c / (c_in / self.groups) * per_group;
            each(places, |place| {
                bounds::check()?;
                let value = x.at([n, c, flat(&places, &place)])?;
                let taps = taps(&self.windows, place, kernel, image);
                for o in 0..per_group {
                    for (k, at) in taps.iter().enumerate().filter_map(|(k, at)| Some((k, (*at)?))) {
                        *y.at_mut([n, first + o, at])? += value * w.at([c, o, k])?;
                    }
                }
                Ok(())
            })
        })?;
        Ok(y.tensor(fact.dtype)?.reshape(&fact.shape)?)
    }

    /// `ConvTranspose`.
    fn form(&self, e: &mut Emit, x: Edge, bias: Option<Edge>) -> Result<Edge, NoForm> {
        let extra = |(w, more): (&Window, Option<i64>)| match more {
            _ if !w.open => {
                let reach = (w.out.max(1) - 1) * w.stride + w.reach();
                Ok((w.size + w.before + w.after) as i64 - reach as i64)
            }
            Some(more) => Ok(more),
            None => no_form(OPEN),
        };
        let more = self.more.map_or([None; N], |more| more.map(Some));
        let extra = self.windows.iter().zip(more).map(extra).collect::<Result<Vec<_>, _>>()?;
        self.spread(e, x, bias, &extra)
    }

    /// `ConvTranspose` to the lengths `sizes`, a vector that the model computes: to more, of which a part is taken.
    pub fn onnx_to(&self, e: &mut Emit, x: Edge, sizes: Edge) -> Result<Edge, NoForm> {
        let strides = to_i64(&self.windows.iter().map(|w| w.stride).collect::<Vec<_>>());
        let reach = to_i64(&self.windows.iter().map(Window::reach).collect::<Vec<_>>());
        let whole = Spread { windows: self.windows.map(|w| Window { before: 0, after: 0, ..w }), ..*self };
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
        let (end, axes) = (e.op("Add", &[start, sizes]), e.vector(&(2..N as i64 + 2).collect::<Vec<_>>()));
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
        let [y] = e.results("ConvTranspose", &[Some(x), Some(w), bias], attrs);
        Ok(e.cast(y, wide, dtype))
    }

    /// Two spatial dimensions as one convolution for each phase of the stride; others, or where the filters are dilated or may hold
    /// numbers whose product with zero is not zero, as one product whose results are added tap by tap.
    fn lower_sums(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.sums()?;
        if self.w.count() == 0 || self.x.count() == 0 || fact.count() == 0 {
            return Ok(None);
        }
        let x = b.reshape(self.x.v, &self.frame().dims())?;
        let plain =
            self.windows.iter().all(|w| w.dilation == 1) && self.w.known.as_ref().is_some_and(Tensor::is_finite);
        match (plain, self.windows.as_slice()) {
            (true, [h, w]) => self.by_phases(b, x, &fact, h, w),
            _ => self.by_taps(b, x, &fact).map(Some),
        }
    }

    /// One convolution for each phase of the stride.
    fn by_phases(&self, b: &mut Lowering, x: V, fact: &Fact, h: &Window, w: &Window) -> Result<Option<V>, OpError> {
        let ([_, _, ih, iw], dims) = (b.fact(x).ranked()?, fact.ranked::<4>()?);
        let (mut parts, mut ins) = (Vec::new(), Vec::new());
        let mut covered = 0;
        for py in (0..h.stride).map(|r| Phase::new(h, r)) {
            for px in (0..w.stride).map(|r| Phase::new(w, r)) {
                if !py.reads(ih) || !px.reads(iw) {
                    continue;
                }
                let y = self.phase(b, x, &py, &px)?;
                parts.push(interleave(ins.len(), dims, [h.stride, w.stride], &py, &px));
                ins.push(y);
                covered += py.count * px.count;
            }
        }
        match *ins {
            [] => return Ok(None),
            [y] if covered == h.size * w.size => return Ok(Some(y)),
            _ => {}
        }
        let fill = (covered < h.size * w.size).then(|| vec![0; fact.dtype.size()]);
        Ok(Some(b.copy(&ins, parts, fill, fact.clone())))
    }

    /// The products of all elements and taps, each tap's then added where it belongs.
    fn by_taps(&self, b: &mut Lowering, x: V, fact: &Fact) -> Result<V, OpError> {
        let ([n, c_in], places) = self.frame().planes(Format::Nchw)?;
        let ([_, per_group], kernel) = filters::<N>(self.w, Format::Nchw)?;
        let (own, image) = (c_in / self.groups, self.windows.map(|w| w.size));
        let (taps, elements) = (count(&kernel), count(&places));
        // One product over the elements of all images: filters are as large as many of them.
        let filters = b.reshape(self.w.v, &[self.groups, own, per_group * taps])?;
        let x = b.reshape(x, &[n, self.groups, own, elements])?;
        let x = b.transpose(x, &[1, 2, 0, 3])?;
        let x = b.reshape(x, &[self.groups, own, n * elements])?;
        let products = b.matmul(filters, x, true, false)?;
        let c_out = self.groups * per_group;
        let [channel, _, image_step, _] = strides([c_out, taps, n, elements]);
        let (src, dst) = ([image_step, channel], dense_strides(&fact.shape));
        let inner = |dims: &[usize; N], steps: [usize; N]| -> Strides {
            dense_strides(dims).into_iter().zip(steps).map(|(stride, step)| stride * step as isize).collect()
        };
        let (from, to) = (inner(&places, [1; N]), inner(&image, self.windows.map(|w| w.stride)));
        let mut parts = Vec::new();
        each_tap(&kernel, |tap| {
            let read: Vec<_> = self.windows.iter().zip(tap).map(|(w, &k)| w.reading(k)).collect();
            let first: Option<Shape> =
                self.windows.iter().zip(&read).zip(tap).map(|((w, read), &k)| w.at(read.start, k)).collect();
            let Some(first) = first else { return };
            let starts: Shape = read.iter().map(|read| read.start).collect();
            parts.push(Part {
                input: 0,
                src_offset: flat(&kernel, tap) * n * elements + flat(&places, &starts),
                src: src.into_iter().chain(from.iter().copied()).collect(),
                shape: [n, c_out].into_iter().chain(read.iter().map(|read| read.len())).collect(),
                dst_offset: flat(&image, &first),
                dst: dst.iter().take(2).chain(&to).copied().collect(),
            });
        });
        let mut sum = None;
        for part in parts {
            let tap = b.copy(&[products], vec![part], Some(vec![0; fact.dtype.size()]), fact.clone());
            sum = Some(match sum {
                Some(sum) => b.binary(Binary::Add, sum, tap)?,
                None => tap,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)),
        }
    }

    fn phase(&self, b: &mut Lowering, x: V, py: &Phase, px: &Phase) -> Result<V, OpError> {
        let ([n, c_in, ih, iw], [_, per_group, kh, kw]) = (b.fact(x).ranked()?, self.w.fact.ranked()?);
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
            out: self.x.dtype(),
            tf32: false,
            scaled: false,
            epilogue: None,
        };
        let out = Fact::new(conv.dtype, &[n, c_out, py.count, px.count]);
        Ok(b.task1(Task::Conv(conv), &[x, filters], out))
    }
}

impl<const N: usize> Rule for Spread<'_, N> {
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

fn interleave(input: usize, dims: [usize; 4], stride: [usize; 2], py: &Phase, px: &Phase) -> Part {
    let dst = strides(dims);
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
