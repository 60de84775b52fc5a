//! Maxima and means over windows: what the pooling operators have in common.

use crate::bounds;
use crate::onnx::{Attr, Edge, Emit, Forms, NoForm, machine, no_form, to_i64};
use crate::op::{Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::result;
use crate::ops::kit::window::{Format, PadMode, Window};
use crate::task::{Binary, Host, Layout, Lowering, Pool, PoolKind, Task, V};
use crate::{DType, Fact, OpError, Tensor, count, ensure};

/// What is computed of each window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Statistic {
    /// The largest element; padding does not take part.
    Max,
    /// The sum divided by the number of elements, with or without padding, or by a given number.
    Mean {
        /// Whether padding counts.
        pads: bool,
        /// The divisor, if given.
        divisor: Option<f64>,
    },
}

/// Windows over the spatial dimensions of `x`, which stand in the order of `format` after any number of leading dimensions
/// (channels first) or between batch and channels.
#[derive(Clone)]
pub(in crate::ops) struct Pooling<const N: usize> {
    pub x: Operand,
    pub windows: [Window; N],
    pub statistic: Statistic,
    pub format: Format,
    /// Whether last windows may reach beyond the padding.
    pub ceil: bool,
}

impl<const N: usize> Pooling<N> {
    /// Index of the first spatial dimension.
    pub fn first(&self) -> usize {
        if self.format.spatial() == 1 { 1 } else { self.x.rank() - N }
    }

    /// The operand with the number of windows in place of each extent that they slide over.
    pub fn fact(&self) -> Result<Fact, OpError> {
        let x = &self.x.fact;
        ensure!(x.dtype.is_float(), "expected floats, found {x}");
        let mut shape = x.shape.clone();
        for (len, w) in shape.iter_mut().skip(self.first()).zip(&self.windows) {
            *len = w.out;
        }
        result(x.dtype, &shape)
    }

    /// The dimensions before and after the spatial ones.
    fn around(&self) -> (&[usize], &[usize]) {
        match (self.format.spatial(), self.x.shape()) {
            (1, [n, .., c]) => (std::slice::from_ref(n), std::slice::from_ref(c)),
            (_, dims) => (dims.split_last_chunk::<N>().map_or(&[], |(lead, _)| lead), &[]),
        }
    }

    /// The elements of an image in a window, and how many positions it has with the padding.
    fn inside(&self, window: [usize; N]) -> (Vec<usize>, usize) {
        let all = self.windows.iter().zip(window);
        all.fold((vec![0], 1), |(elements, padded), (w, o)| {
            let inner = |at: usize| w.inside(o).map(move |i| at * w.size + i);
            (elements.into_iter().flat_map(inner).collect(), padded * w.padded(o))
        })
    }

    /// The value of each window, and the position of the maximum within the spatial dimensions.
    pub fn values(&self) -> Result<(Vec<f64>, Vec<usize>), OpError> {
        let (outer, inner) = self.around();
        let image = self.windows.iter().map(|w| w.size).product();
        let x = Grid::new([count(outer), image, count(inner)], self.x.f64s()?)?;
        let ([outer, _, inner], mut y, mut places) = (x.dims, Vec::new(), Vec::new());
        let mut one = |outer: usize, elements: &[usize], padded: usize, inner: usize| {
            let (mut max, mut place, mut sum) = (f64::NEG_INFINITY, 0, 0.0);
            for (tap, &at) in elements.iter().enumerate() {
                let value = x.at([outer, at, inner])?;
                sum += value;
                if value > max || value.is_nan() && !max.is_nan() || tap == 0 {
                    (max, place) = (value, at);
                }
            }
            places.push(place);
            y.push(match self.statistic {
                Statistic::Max => max,
                Statistic::Mean { divisor: Some(n), .. } => sum / n,
                Statistic::Mean { .. } if elements.is_empty() => 0.0,
                Statistic::Mean { pads: true, .. } => sum / padded as f64,
                Statistic::Mean { pads: false, .. } => sum / elements.len() as f64,
            });
            Ok::<_, OpError>(())
        };
        for outer in 0..outer {
            each(self.windows.map(|w| w.out), |window| {
                bounds::check()?;
                let (elements, padded) = self.inside(window);
                (0..inner).try_for_each(|inner| one(outer, &elements, padded, inner))
            })?;
        }
        Ok((y, places))
    }

    /// `MaxPool` or `AveragePool`, and for maxima the position of each among all elements.
    fn form(&self, e: &mut Emit) -> Result<[Edge; 2], NoForm> {
        let (dtype, wide) = (self.x.dtype(), machine(self.x.dtype()));
        let rank = self.x.rank();
        let last = self.format.spatial() == 1;
        let mut x = e.as_type(&self.x, wide)?;
        if last {
            x = e.transpose(x, &[0, rank - 1].into_iter().chain(1..rank - 1).collect::<Vec<_>>());
        } else if rank == N + 1 {
            x = e.unsqueeze(x, &[0]);
        }
        let list = |f: &dyn Fn(&Window) -> usize| to_i64(&self.windows.iter().map(f).collect::<Vec<_>>());
        // The last window may reach beyond the padding.
        let beyond = |w: &Window| {
            let reach = (w.out.max(1) - 1) * w.stride + (w.kernel - 1) * w.dilation + 1;
            reach.saturating_sub(w.size + w.before + w.after)
        };
        let mut attrs = vec![("kernel_shape", list(&|w| w.kernel).into()), ("strides", list(&|w| w.stride).into())];
        let open = self.windows.iter().any(|w| w.open);
        let (counts_pads, divisor) = match self.statistic {
            Statistic::Max => (false, None),
            Statistic::Mean { pads, divisor } => (pads || divisor.is_some(), divisor),
        };
        if open && self.windows.iter().any(|w| w.mode == PadMode::Same) {
            attrs.push(("auto_pad", "SAME_UPPER".into()));
        } else if open || counts_pads {
            attrs.push(("pads", [list(&|w| w.before), list(&|w| w.after)].concat().into()));
            attrs.push(("ceil_mode", i64::from(self.ceil).into()));
        } else {
            attrs.push(("pads", [list(&|w| w.before), list(&|w| w.after + beyond(w))].concat().into()));
        }
        let [y, place] = match self.statistic {
            Statistic::Max => {
                attrs.push(("dilations", list(&|w| w.dilation).into()));
                e.results("MaxPool", &[Some(x)], attrs)
            }
            Statistic::Mean { .. } => {
                attrs.push(("count_include_pad", Attr::Int(i64::from(counts_pads))));
                let mut y = e.op_with("AveragePool", &[x], attrs);
                if let Some(divisor) = divisor {
                    if self.ceil {
                        return no_form("a divisor of its own for windows that reach beyond the padding");
                    }
                    let kernel: usize = self.windows.iter().map(|w| w.kernel).product();
                    let factor = e.number(wide, kernel as f64 / divisor)?;
                    y = e.op("Mul", &[y, factor]);
                }
                [y, y]
            }
        };
        let back = |e: &mut Emit, y: Edge| {
            if last {
                e.transpose(y, &std::iter::once(0).chain(2..rank).chain([1]).collect::<Vec<_>>())
            } else if rank == N + 1 {
                e.squeeze(y, &[0])
            } else {
                y
            }
        };
        let y = e.cast(y, wide, dtype);
        Ok([back(e, y), back(e, place)])
    }

    /// One or two spatial dimensions as a task, three as one over planes and one over depths; `None` for three with channels
    /// last and a divisor of windows that reach beyond the padding.
    pub fn value(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.fact()?;
        let (depth, [h, w]) = match *self.windows.as_slice() {
            [w] => (Window::one(), [Window::one(), w]),
            [h, w] => (Window::one(), [h, w]),
            [d, h, w] if self.format.spatial() != 1 => (d, [h, w]),
            _ => return Ok(None),
        };
        let whole = |w: &Window| (w.out - 1) * w.stride + (w.kernel - 1) * w.dilation < w.size + w.before + w.after;
        let (kind, factor) = match self.statistic {
            Statistic::Max => (PoolKind::Max, None),
            Statistic::Mean { pads, divisor: None } => (PoolKind::Avg { count_pads: pads }, None),
            Statistic::Mean { divisor: Some(n), .. } if fact.count() > 0 && self.windows.iter().all(whole) => {
                let kernel: usize = self.windows.iter().map(|w| w.kernel).product();
                (PoolKind::Avg { count_pads: true }, Some(kernel as f64 / n))
            }
            Statistic::Mean { .. } => return Ok(None),
        };
        if fact.count() == 0 || self.x.count() == 0 {
            return Ok(None);
        }
        let layout = self.format.layout();
        let (n, c) = match self.around() {
            ([n], [c]) => (*n, *c),
            ([lead @ .., c], _) => (count(lead), *c),
            ([], _) => (1, 1),
        };
        let mut y = images(b, self.x.v, kind, layout, [n, c * depth.size], [h, w])?;
        if !depth.is_each() {
            let plane = h.out * w.out;
            y = images(b, y, kind, layout, [n, c], [depth, Window { size: plane, out: plane, ..Window::one() }])?;
        }
        if let Some(factor) = factor {
            let factor = b.scalar(fact.dtype, factor)?;
            y = b.binary(Binary::Mul, y, factor)?;
        }
        Ok(Some(b.reshape(y, &fact.shape)?))
    }
}

impl<const N: usize> Rule for Pooling<N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.fact()?;
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &self.values()?.0)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(self.value(b)?.map(|y| vec![y]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let [y, _] = self.form(e)?;
        Ok(Some(vec![y]))
    }
}

/// Maxima over windows, channels first, and the position of each within the dimensions from `from` on.
#[derive(Clone)]
pub(in crate::ops) struct Maxima<const N: usize> {
    pub pooling: Pooling<N>,
    pub from: usize,
    /// The element type of positions.
    pub place: DType,
}

impl<const N: usize> Maxima<N> {
    /// Positions within the spatial dimensions.
    pub fn in_images(pooling: Pooling<N>, place: DType) -> Result<Self, OpError> {
        ensure!(place.is_int(), "expected an integer argmax_type, found {place}");
        Ok(Maxima { from: pooling.first(), pooling, place })
    }
}

impl<const N: usize> Rule for Maxima<N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = self.pooling.fact()?;
        let place = Fact { dtype: self.place, shape: y.shape.clone() };
        Ok(vec![y, place])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, (y, places)) = (self.pooling.fact()?, self.pooling.values()?);
        // Where each image's own positions begin.
        let (dims, first) = (self.pooling.x.shape(), self.pooling.first());
        let images: usize = dims.iter().take(first).skip(self.from).product();
        let [size, results]: [usize; 2] = [dims, &fact.shape].map(|dims| dims.iter().skip(first).product());
        let before = |i: usize| i / results % images * size;
        let places: Vec<i64> = places.iter().enumerate().map(|(i, place)| (before(i) + place) as i64).collect();
        let places = Tensor::from_i64s(self.place, &fact.shape, &places)?;
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?, places])
    }

    /// The reference finds the positions.
    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Some(y) = self.pooling.value(b)? else { return Ok(None) };
        let places = Fact { dtype: self.place, shape: self.pooling.fact()?.shape };
        let template = self.clone();
        let positions = move |x: &[Tensor]| {
            let mut plan = template.clone();
            plan.pooling.x.known = x.first().cloned();
            Ok(plan.reference()?.split_off(1))
        };
        // Nobody reads the positions as a rule; then this task is dropped.
        let host = Host::new("MaxPoolWithArgmax", vec![places.clone()], positions);
        Ok(Some(vec![y, b.task1(Task::Host(host), &[self.pooling.x.v], places)]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let [y, places] = self.pooling.form(e)?;
        let Some(size) = self.pooling.x.dims().into_iter().skip(self.from).product::<Option<usize>>() else {
            let places = e.missing("positions of maxima, and a dimension is open", places, self.place);
            return Ok(Some(vec![y, places]));
        };
        let size = e.number(DType::I64, size as f64)?;
        let places = e.op("Mod", &[places, size]);
        Ok(Some(vec![y, e.cast(places, DType::I64, self.place)]))
    }
}

/// Windows over `n` images of `c` channels.
fn images(
    b: &mut Lowering,
    x: V,
    kind: PoolKind,
    layout: Layout,
    [n, c]: [usize; 2],
    [h, w]: [Window; 2],
) -> Result<V, OpError> {
    let dtype = b.fact(x).dtype;
    let x = b.reshape(x, &layout.dims([n, c, h.size, w.size]))?;
    let pool = Pool {
        kind,
        n,
        c,
        h: h.size,
        w: w.size,
        out_h: h.out,
        out_w: w.out,
        kernel: [h.kernel, w.kernel],
        stride: [h.stride, w.stride],
        dilation: [h.dilation, w.dilation],
        pads: [h.before, h.after, w.before, w.after],
        layout,
        dtype,
    };
    let out = Fact::new(dtype, &layout.dims([n, c, h.out, w.out]));
    Ok(b.task1(Task::Pool(pool), &[x], out))
}
