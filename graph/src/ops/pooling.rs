//! Maxima and means over windows: what the pooling operators have in common.

use super::elements::{each_index, flat};
use super::window::{Format, Window};
use crate::lower::Lowering;
use crate::op::Operand;
use crate::task::{Pool, PoolKind, Task, V};
use crate::{Fact, OpError, Shape, Tensor, checked_count, count, ensure};

/// What is computed of each window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
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
pub(super) struct Pooling<'a> {
    pub x: &'a Operand,
    pub windows: Vec<Window>,
    pub statistic: Statistic,
    pub format: Format,
}

impl Pooling<'_> {
    /// Index of the first spatial dimension.
    fn first(&self) -> usize {
        if self.format.spatial() == 1 { 1 } else { self.x.rank() - self.windows.len() }
    }

    /// The operand's extents from the first spatial dimension on that windows slide over.
    pub fn infer(&self) -> Result<Fact, OpError> {
        let x = &self.x.fact;
        ensure!(x.dtype.is_float(), "expected floats, found {x}");
        let mut shape = x.shape.clone();
        for (d, w) in self.windows.iter().enumerate() {
            shape[self.first() + d] = w.out;
        }
        ensure!(checked_count(&shape).is_some(), "the result {:?} is too large", shape.as_slice());
        Ok(Fact { dtype: x.dtype, shape })
    }

    /// The value of each window, and the position of the maximum within the spatial dimensions.
    pub fn values(&self) -> Result<(Vec<f64>, Vec<i64>), OpError> {
        let (x, dims, first) = (self.x.f64s()?, self.infer()?.shape, self.first());
        let extents: Shape = self.windows.iter().map(|w| w.size).collect();
        let (mut y, mut places) = (Vec::with_capacity(count(&dims)), Vec::new());
        each_index(&dims, |out| {
            let own = &out[first..first + self.windows.len()];
            let lists: Vec<Vec<usize>> = self.windows.iter().zip(own).map(|(w, &o)| w.inside(o).collect()).collect();
            let (mut max, mut place, mut sum) = (f64::NEG_INFINITY, 0, 0.0);
            let counts: Shape = lists.iter().map(Vec::len).collect();
            each_index(&counts, |tap| {
                let at: Shape = lists.iter().zip(tap).map(|(l, &t)| l[t]).collect();
                let mut from = Shape::from_slice(out);
                from[first..first + at.len()].copy_from_slice(&at);
                let value = x[flat(self.x.shape(), &from)];
                sum += value;
                if value > max || value.is_nan() && !max.is_nan() || tap.iter().all(|&t| t == 0) {
                    (max, place) = (value, flat(&extents, &at) as i64);
                }
            });
            places.push(place);
            let padded = || self.windows.iter().zip(own).map(|(w, &o)| w.padded(o)).product::<usize>();
            y.push(match self.statistic {
                Statistic::Max => max,
                Statistic::Mean { divisor: Some(n), .. } => sum / n,
                Statistic::Mean { .. } if count(&counts) == 0 => 0.0,
                Statistic::Mean { pads: true, .. } => sum / padded() as f64,
                Statistic::Mean { pads: false, .. } => sum / count(&counts) as f64,
            });
        });
        Ok((y, places))
    }

    pub fn reference(&self) -> Result<Tensor, OpError> {
        let fact = self.infer()?;
        Ok(Tensor::from_f64s(fact.dtype, &fact.shape, &self.values()?.0)?)
    }

    /// One or two spatial dimensions as a task, or three whose planes are pooled one by one; `None` for others and a given
    /// divisor.
    pub fn lower(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.infer()?;
        let (planes, [h, w]) = match self.windows.as_slice() {
            [w] => (1, [Window::one(), *w]),
            [h, w] => (1, [*h, *w]),
            [d, h, w] if d.kernel == 1 && d.out == d.size && self.format.spatial() != 1 => (d.size, [*h, *w]),
            _ => return Ok(None),
        };
        let kind = match self.statistic {
            Statistic::Max => PoolKind::Max,
            Statistic::Mean { pads, divisor: None } => PoolKind::Avg { count_pads: pads },
            Statistic::Mean { .. } => return Ok(None),
        };
        if fact.count() == 0 || self.x.count() == 0 {
            return Ok(None);
        }
        let (layout, last) = (self.format.layout(), self.x.rank() - 1);
        let (n, c) = match self.format.spatial() {
            1 => (self.x.shape()[0], self.x.shape()[last]),
            _ if self.first() == 0 => (1, 1),
            _ => (count(&self.x.shape()[..self.first() - 1]), self.x.shape()[self.first() - 1] * planes),
        };
        let x = b.reshape(self.x.v, &layout.dims([n, c, h.size, w.size]))?;
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
            dtype: fact.dtype,
        };
        let out = Fact::new(fact.dtype, &layout.dims([n, c, h.out, w.out]));
        let y = b.task(Task::Pool(pool), &[x], vec![out])[0];
        Ok(Some(b.reshape(y, &fact.shape)?))
    }
}
