//! The elements of windows whose taps are moved, for deformable convolutions.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::{result, size};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Windows over images `[n, c, h, w]`. Offsets (`[n, 3 · groups · kh · kw, oh, ow]`) have for the taps of each group of channels
/// how far they are moved to the right, then how far down, then a factor.
struct Deformed<'a> {
    x: &'a Operand,
    windows: [Window; 2],
    groups: usize,
}

/// An element that a moved tap takes: its place, its weight, and how that changes when the tap moves to the right and down.
struct Near {
    at: [usize; 2],
    weight: f64,
    slopes: [f64; 2],
}

/// A moved tap: the channels of `offsets` that say how, its factor, and the elements that it takes.
struct Moved {
    channels: [usize; 3],
    factor: f64,
    near: Vec<Near>,
}

impl<'a> Deformed<'a> {
    fn new(
        [x, offsets]: [&'a Operand; 2],
        [strides, padding, ksize, dilations]: [&Ints; 4],
        format: Format,
        groups: i64,
    ) -> Result<Deformed<'a>, OpError> {
        ensure!(format == Format::Nchw, "expected format NCHW, found {format:?}");
        let [n, c, h, w] = x.fact.ranked()?;
        let kernel = spatial::<2>(ksize, format, "ksize")?;
        let (stride, dilation) = (spatial(strides, format, "strides")?, spatial(dilations, format, "dilations")?);
        let pads = pads(padding, "pads")?;
        let windows = Window::over(false, PadMode::Pad, [Some(h), Some(w)], kernel, stride, dilation, pads)?;
        let groups = size(groups, "deformable_groups")?;
        ensure!(groups > 0 && c.is_multiple_of(groups), "{groups} groups do not divide {c} channels");
        let [kh, kw] = kernel;
        let taps = groups.saturating_mul(kh).saturating_mul(kw).saturating_mul(3);
        let expected = Fact::new(x.dtype(), &[n, taps, windows[0].out, windows[1].out]);
        let fits = x.dtype().is_float() && offsets.fact == expected;
        ensure!(fits, "expected floats and offsets {expected}, found {} and {}", x.fact, offsets.fact);
        Ok(Deformed { x, windows, groups })
    }

    fn fact(&self) -> Result<Fact, OpError> {
        let ([n, c, ..], [h, w]) = (self.x.fact.ranked::<4>()?, &self.windows);
        let (rows, cols) = (h.out.saturating_mul(h.kernel), w.out.saturating_mul(w.kernel));
        result(self.x.dtype(), &[n, c, rows, cols])
    }

    /// The tap of the result's element at row `y` and column `x`.
    fn tap(&self, offsets: &Grid<4>, [n, c, y, x]: [usize; 4]) -> Result<Moved, OpError> {
        let [_, channels, ..] = self.x.fact.ranked::<4>()?;
        let [h, w] = &self.windows;
        let (place, tap) = ([y / h.kernel, x / w.kernel], [y % h.kernel, x % w.kernel]);
        let taps = h.kernel * w.kernel;
        let own = c / (channels / self.groups) * taps + tap[0] * w.kernel + tap[1];
        let channels = [0, 1, 2].map(|part| part * self.groups * taps + own);
        let [right, down, factor] = channels.map(|channel| offsets.at([n, channel, place[0], place[1]]));
        let along = |w: &Window, place: usize, tap: usize, moved: f64| {
            let at = (place * w.stride + tap * w.dilation) as f64 - w.before as f64 + moved;
            let t = at - at.floor();
            let all = [(at.floor(), 1.0 - t, -1.0), (at.floor() + 1.0, t, 1.0)];
            all.into_iter().filter(|(at, ..)| (0.0..w.size as f64).contains(at)).collect::<Vec<_>>()
        };
        let (rows, cols) = (along(h, place[0], tap[0], down?), along(w, place[1], tap[1], right?));
        let pairs = rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col)));
        let near = |((y, wy, sy), (x, wx, sx)): (&(f64, f64, f64), &(f64, f64, f64))| Near {
            at: [*y as usize, *x as usize],
            weight: wy * wx,
            slopes: [wy * sx, sy * wx],
        };
        Ok(Moved { channels, factor: factor?, near: pairs.map(near).collect() })
    }
}

op! {
    /// The elements of the windows of images `[n, c, h, w]` with moved taps, side by side: `[n, c, oh · kh, ow · kw]`.
    ///
    /// `offsets`: `[n, 3 · deformable_groups · kh · kw, oh, ow]`, for each tap of the windows of a group of channels how far it is
    /// moved to the right, for all of them how far down, and the factors that the elements are multiplied by. Elements between
    /// places are linear in rows and columns, those beyond the edges 0. `pads`: top, bottom, left, right. One float type.
    classic DeformableOffsets {
        x: Operand,
        offsets: Operand,
        strides: Ints as Whole(2),
        pads: Ints as Sides(2),
        ksize: Ints as Spatial(2),
        dilations: Ints as Whole(2) = ints(&[1]),
        format ["data_format"]: Format = Format::Nchw,
        deformable_groups: i64 = 1,
        modulated: bool = true,
    }
}

impl DeformableOffsets {
    fn deformed(&self) -> Result<Deformed<'_>, OpError> {
        let geometry = [&self.strides, &self.pads, &self.ksize, &self.dilations];
        Deformed::new([&self.x, &self.offsets], geometry, self.format, self.deformable_groups)
    }
}

impl Rule for DeformableOffsets {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.deformed()?.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let deformed = self.deformed()?;
        let (x, offsets) = (Grid::read(&self.x)?, Grid::read(&self.offsets)?);
        let mut y = Grid::zeros(deformed.fact()?.ranked()?)?;
        each(y.dims, |at: [usize; 4]| {
            let [n, c, ..] = at;
            let tap = deformed.tap(&offsets, at)?;
            let terms = tap.near.iter().map(|near| Ok(near.weight * x.at([n, c, near.at[0], near.at[1]])?));
            *y.at_mut(at)? = tap.factor * terms.sum::<Result<f64, OpError>>()?;
            Ok(())
        })?;
        Ok(vec![y.tensor(self.x.dtype())?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no moved taps but within a convolution")
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 4, 4, 5]).tensor(DType::F32, &[2, 36, 2, 4]);
        let s = s.ints(&[1, 1, 2, 1]).ints(&[1, 0, 0, 1]).ints(&[3, 2]).ints(&[1, 1, 1, 2]).text("NCHW");
        vec![s.int(2).case("groups, padding, dilation")]
    }
}

op! {
    /// The gradient of `DeformableOffsets`: those of `input` and `offsets`.
    ///
    /// `out_backprop`: that of its result. `input`, `offsets`: its operands. One float type.
    classic DeformableOffsetsGrad, copies [ksize = kernel_size] {
        out_backprop: Operand,
        input: Operand,
        offsets: Operand,
        strides: Ints as Whole(2),
        pads: Ints as Sides(2),
        kernel_size: Ints as Spatial(2),
        dilations: Ints as Whole(2) = ints(&[1]),
        format ["data_format"]: Format = Format::Nchw,
        deformable_groups: i64 = 1,
        modulated: bool = true,
    }
}

impl DeformableOffsetsGrad {
    fn deformed(&self) -> Result<Deformed<'_>, OpError> {
        let geometry = [&self.strides, &self.pads, &self.kernel_size, &self.dilations];
        Deformed::new([&self.input, &self.offsets], geometry, self.format, self.deformable_groups)
    }
}

impl Rule for DeformableOffsetsGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = self.deformed()?.fact()?;
        ensure!(self.out_backprop.fact == y, "expected a gradient {y}, found {}", self.out_backprop.fact);
        Ok(vec![Fact::clone(&self.input.fact), Fact::clone(&self.offsets.fact)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let (deformed, dy) = (self.deformed()?, Grid::read(&self.out_backprop)?);
        let (x, offsets) = (Grid::read(&self.input)?, Grid::read(&self.offsets)?);
        let (mut dx, mut moves) = (Grid::zeros(x.dims)?, Grid::zeros(offsets.dims)?);
        let [h, w] = &deformed.windows;
        each(dy.dims, |at: [usize; 4]| {
            let ([n, c, row, col], dy) = (at, dy.at(at)?);
            let tap = deformed.tap(&offsets, at)?;
            let mut grads = [0.0; 3];
            for Near { at: [y, x_at], weight, slopes: [right, down] } in tap.near {
                let value = dy * x.at([n, c, y, x_at])?;
                *dx.at_mut([n, c, y, x_at])? += dy * tap.factor * weight;
                let own = [value * tap.factor * right, value * tap.factor * down, value * weight];
                grads.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
            for (channel, grad) in tap.channels.into_iter().zip(grads) {
                *moves.at_mut([n, channel, row / h.kernel, col / w.kernel])? += grad;
            }
            Ok(())
        })?;
        Ok(vec![dx.tensor(self.input.dtype())?, moves.tensor(self.offsets.dtype())?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 4, 6, 8]).tensor(DType::F32, &[2, 4, 4, 5]);
        let s = s.tensor(DType::F32, &[2, 36, 2, 4]).ints(&[1, 1, 2, 1]).ints(&[1, 0, 0, 1]).ints(&[3, 2]);
        vec![s.ints(&[1, 1, 1, 2]).text("NCHW").int(2).case("groups, padding, dilation")]
    }
}
