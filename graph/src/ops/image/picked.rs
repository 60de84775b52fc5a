//! Values of images at places, as tasks: pixels are picked for each tap, and their weighted sum is a map.

use super::grid_sampler2d::{Beyond, Interpolation, Sampling};
use crate::op::Lowers;
use crate::task::{Binary, Gather, Instr, Lowering, Program, Reg, Task, Unary, V};
use crate::{DType, Fact};

/// The sampling of images `x` (`[n, c, h, w]`) at the places `grid` (`[n, oh, ow, 2]`), the result being `out`; `None` where there is
/// nothing to pick, or more pixels than indices count.
pub(super) fn lower(b: &mut Lowering, s: &Sampling, x: V, grid: V, out: &Fact) -> Lowers {
    let ([n, c, h, w], [_, _, oh, ow]) = (b.fact(x).ranked()?, out.ranked()?);
    let (dtype, places) = (out.dtype, oh * ow);
    if out.count() == 0 || i32::try_from(h.saturating_mul(w)).is_err() {
        return Ok(None);
    }
    let pixels = b.transpose(x, &[0, 2, 3, 1])?;
    let pixels = b.reshape(pixels, &[n, h * w, c])?;
    let grid = b.reshape(grid, &[n, places, 2])?;
    let [col, row] =
        [b.slice(grid, &[0, 0, 0], &[n, places, 1], &[1; 3])?, b.slice(grid, &[0, 0, 1], &[n, places, 1], &[1; 3])?];
    let taps: &[[bool; 2]] = match s.interpolation {
        Interpolation::Nearest => &[[false, false]],
        Interpolation::Bilinear => &[[false, false], [false, true], [true, false], [true, true]],
    };
    let mut picked = Vec::new();
    for &next in taps {
        let tap = Tap { sampling: s, dtype, next, len: [h, w] };
        let index = b.map(tap.index(), &[row, col], &[n, places, 1]);
        let task = Gather {
            outer: n,
            axis: h * w,
            inner: c,
            count: places,
            batch: true,
            zeros: true,
            dtype,
            index: DType::I32,
        };
        let pixel = b.task1(Task::Gather(task), &[pixels, index], Fact::new(dtype, &[n, places, c]));
        let weight = b.map(tap.weight(), &[row, col], &[n, places, 1]);
        picked.extend([pixel, weight]);
    }
    let y = match *picked {
        // A nearest pixel counts as it is.
        [pixel, _] => pixel,
        _ => b.map(weighted(picked.len() / 2, dtype), &picked, &[n, places, c]),
    };
    let y = b.reshape(y, &[n, oh, ow, c])?;
    Ok(Some(vec![b.transpose(y, &[0, 3, 1, 2])?]))
}

/// What places are computed in.
fn wide(dtype: DType) -> DType {
    DType::promote(dtype, DType::F32)
}

/// The sum of products of pixels of `dtype`, the even operands, and weights, the odd ones.
fn weighted(taps: usize, dtype: DType) -> Program {
    let mut p = Program::new();
    let mut sum = None;
    for tap in 0..taps {
        let (pixel, weight) = (p.input(2 * tap, dtype), p.input(2 * tap + 1, wide(dtype)));
        let pixel = p.cast(pixel, wide(dtype));
        let term = p.binary(Binary::Mul, pixel, weight);
        sum = Some(sum.map_or(term, |sum| p.binary(Binary::Add, sum, term)));
    }
    if let Some(sum) = sum {
        p.cast(sum, dtype);
    }
    p
}

/// The pixel of a place in the row and column that is found first, or the `next` one.
struct Tap<'a> {
    sampling: &'a Sampling,
    dtype: DType,
    next: [bool; 2],
    len: [usize; 2],
}

impl Tap<'_> {
    /// Its number in an image, or one that no pixel has.
    fn index(&self) -> Program {
        let mut p = Program::new();
        let [row, col] = self.lines(&mut p);
        let inside = p.binary(Binary::And, row.inside, col.inside);
        let [y, x] = [row, col].map(|line| p.cast(line.at, DType::I32));
        let width = p.push(Instr::Int(self.len[1] as i64), DType::I32);
        let y = p.binary(Binary::Mul, y, width);
        let at = p.binary(Binary::Add, y, x);
        let far = p.push(Instr::Int(i32::MIN.into()), DType::I32);
        p.select(inside, at, far);
        p
    }

    /// Its weight; 0 beyond the image.
    fn weight(&self) -> Program {
        let mut p = Program::new();
        let [row, col] = self.lines(&mut p);
        let inside = p.binary(Binary::And, row.inside, col.inside);
        let weight = p.binary(Binary::Mul, row.weight, col.weight);
        let zero = p.constant(0.0, wide(self.dtype));
        p.select(inside, weight, zero);
        p
    }

    /// The tap along rows and along columns.
    fn lines(&self, p: &mut Program) -> [Line; 2] {
        let ([down, right], [rows, columns]) = (self.next, self.len);
        [self.line(p, 0, down, rows), self.line(p, 1, right, columns)]
    }

    /// The tap along a dimension of `len` elements, whose places operand `operand` holds.
    fn line(&self, p: &mut Program, operand: usize, next: bool, len: usize) -> Line {
        let wide = wide(self.dtype);
        let place = p.input(operand, self.dtype);
        let place = p.cast(place, wide);
        let n = len as f64;
        let at = self.coordinate(p, place, n);
        let one = p.constant(1.0, wide);
        let (at, weight) = match self.sampling.interpolation {
            Interpolation::Nearest => (rounded(p, at), one),
            Interpolation::Bilinear => {
                let floor = p.unary(Unary::Floor, at);
                let part = p.binary(Binary::Sub, at, floor);
                if next { (p.binary(Binary::Add, floor, one), part) } else { (floor, p.binary(Binary::Sub, one, part)) }
            }
        };
        let (zero, len) = (p.constant(0.0, wide), p.constant(n, wide));
        let (low, high) = (p.binary(Binary::Ge, at, zero), p.binary(Binary::Lt, at, len));
        let inside = p.binary(Binary::And, low, high);
        Line { at, weight, inside }
    }

    /// As [`Sampling`] finds the source coordinate.
    fn coordinate(&self, p: &mut Program, place: Reg, n: f64) -> Reg {
        let wide = wide(self.dtype);
        let number = |p: &mut Program, x: f64| p.constant(x, wide);
        let (one, half) = (number(p, 1.0), number(p, 0.5));
        let place = p.binary(Binary::Add, place, one);
        let x = if self.sampling.corners {
            let place = p.binary(Binary::Mul, place, half);
            let span = number(p, n - 1.0);
            p.binary(Binary::Mul, place, span)
        } else {
            let len = number(p, n);
            let place = p.binary(Binary::Mul, place, len);
            let place = p.binary(Binary::Sub, place, one);
            p.binary(Binary::Mul, place, half)
        };
        match self.sampling.beyond {
            Beyond::Zeros => x,
            Beyond::Border => clamped(p, x, n, wide),
            Beyond::Reflection => {
                let (low, span) = if self.sampling.corners { (0.0, n - 1.0) } else { (-0.5, n) };
                if span == 0.0 {
                    return number(p, 0.0);
                }
                let (low_end, high_end, span) = (number(p, low), number(p, low + span), number(p, span));
                let away = p.binary(Binary::Sub, x, low_end);
                let away = p.unary(Unary::Abs, away);
                let turns = p.binary(Binary::Div, away, span);
                let turns = p.unary(Unary::Floor, turns);
                let back = p.binary(Binary::Mul, turns, span);
                let rest = p.binary(Binary::Sub, away, back);
                let pairs = p.binary(Binary::Mul, turns, half);
                let whole = p.unary(Unary::Floor, pairs);
                let even = p.binary(Binary::Eq, pairs, whole);
                let (forwards, backwards) =
                    (p.binary(Binary::Add, low_end, rest), p.binary(Binary::Sub, high_end, rest));
                let x = p.select(even, forwards, backwards);
                clamped(p, x, n, wide)
            }
        }
    }
}

/// A tap along one dimension: which it is, its weight, and whether the image has it.
#[derive(Clone, Copy)]
struct Line {
    at: Reg,
    weight: Reg,
    inside: Reg,
}

/// From 0 to n − 1, the last for NaN.
fn clamped(p: &mut Program, x: Reg, n: f64, dtype: DType) -> Reg {
    let (low, high) = (p.constant(0.0, dtype), p.constant(n - 1.0, dtype));
    let x = p.binary(Binary::Max, x, low);
    let x = p.binary(Binary::Min, x, high);
    let unknown = p.unary(Unary::IsNan, x);
    p.select(unknown, high, x)
}

/// The nearest whole number, halves away from zero.
fn rounded(p: &mut Program, x: Reg) -> Reg {
    let whole = p.unary(Unary::Trunc, x);
    let rest = p.binary(Binary::Sub, x, whole);
    // −1, 0 or 1: twice the rest without its fraction.
    let rest = p.binary(Binary::Add, rest, rest);
    let rest = p.unary(Unary::Trunc, rest);
    p.binary(Binary::Add, whole, rest)
}
