use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Coordinates, Resize, ResizeMode};
use mindir_graph::{Fact, OpError, Tensor, ensure};

use super::conv::position;
use super::number::{Number, from_scalars, with_number};
use super::{moderate, operand, result};

pub(super) fn run(r: &Resize, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    moderate("resize", &[r.n, r.c, r.h, r.w, r.out_h, r.out_w])?;
    let x = operand("resize", ins, 0, r.dtype, &[r.n, r.c, r.h, r.w])?;
    let out = result("resize", outs, 0, r.dtype, &[r.n, r.c, r.out_h, r.out_w])?;
    ensure!(out.count() == 0 || x.count() > 0, "resize: of an empty image");
    match r.mode {
        ResizeMode::Nearest => with_number!(r.dtype, N => Ok(vec![N::write(out, &nearest(r, &N::read(x)?)?)?])),
        ResizeMode::Bilinear => {
            let values: Vec<_> = bilinear(r, &x.to_f64s()?)?.into_iter().map(Number::scalar).collect();
            Ok(vec![from_scalars(out, &values)?])
        }
    }
}

/// Calls `f` for every output with its position, its image and channel, its row and its column.
fn outputs<N: Number>(r: &Resize, f: impl Fn([usize; 4]) -> N) -> Result<Vec<N>, OpError> {
    let dims = [r.n, r.c, r.out_h, r.out_w];
    let (mut y, mut pulse) = (vec![N::ZERO; dims.iter().product()], Pulse::default());
    for n in 0..r.n {
        for c in 0..r.c {
            for oy in 0..r.out_h {
                for ox in 0..r.out_w {
                    pulse.beat()?;
                    y[position(r.layout, dims, [n, c, oy, ox])] = f([n, c, oy, ox]);
                }
            }
        }
    }
    Ok(y)
}

fn nearest<N: Number>(r: &Resize, x: &[N]) -> Result<Vec<N>, OpError> {
    outputs(r, |[n, c, oy, ox]| {
        let iy = nearest_source(r.coordinates, oy, r.h, r.out_h);
        let ix = nearest_source(r.coordinates, ox, r.w, r.out_w);
        x[position(r.layout, [r.n, r.c, r.h, r.w], [n, c, iy, ix])]
    })
}

fn bilinear(r: &Resize, x: &[f64]) -> Result<Vec<f64>, OpError> {
    outputs(r, |[n, c, oy, ox]| {
        let (y0, y1, fy) = linear_source(r.coordinates, oy, r.h, r.out_h);
        let (x0, x1, fx) = linear_source(r.coordinates, ox, r.w, r.out_w);
        let get = |y, x_| x[position(r.layout, [r.n, r.c, r.h, r.w], [n, c, y, x_])];
        let between = |a: f64, b: f64, part: f64| a * (1.0 - part) + b * part;
        between(between(get(y0, x0), get(y0, x1), fx), between(get(y1, x0), get(y1, x1), fx), fy)
    })
}

/// The input element that output `i` copies. Coordinates are computed in `f32`, as models expect that were trained so.
pub(crate) fn nearest_source(coordinates: Coordinates, i: usize, size: usize, out: usize) -> usize {
    let (i, scale) = (i as f32, size as f32 / out as f32);
    let p = match coordinates {
        Coordinates::Asymmetric => (i * scale).floor(),
        Coordinates::HalfPixel => ((i + 0.5) * scale).floor(),
        Coordinates::AlignCorners if out > 1 => (i * ((size as f32 - 1.0) / (out as f32 - 1.0))).round(),
        Coordinates::AlignCorners => 0.0,
    };
    (p as usize).min(size.saturating_sub(1))
}

/// The two input elements around output `i`, and how far the output lies from the first towards the second. Where it lies on an
/// element or beyond the last, both are one element and the part is a half: no weight is 0, so that infinities stay what they are.
pub(crate) fn linear_source(coordinates: Coordinates, i: usize, size: usize, out: usize) -> (usize, usize, f64) {
    let (i, scale) = (i as f64, size as f64 / out as f64);
    let p = match coordinates {
        Coordinates::Asymmetric => i * scale,
        Coordinates::HalfPixel => ((i + 0.5) * scale - 0.5).max(0.0),
        Coordinates::AlignCorners if out > 1 => i * (size as f64 - 1.0) / (out as f64 - 1.0),
        Coordinates::AlignCorners => 0.0,
    };
    let last = size.saturating_sub(1);
    let first = (p as usize).min(last);
    let second = (p.ceil() as usize).min(last);
    (first, second, if first == second { 0.5 } else { p - first as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_on_an_element_have_one_source() {
        let sources: Vec<_> = (0..5).map(|i| linear_source(Coordinates::AlignCorners, i, 3, 5)).collect();
        assert_eq!(sources, [(0, 0, 0.5), (0, 1, 0.5), (1, 1, 0.5), (1, 2, 0.5), (2, 2, 0.5)]);
        assert_eq!(linear_source(Coordinates::HalfPixel, 1, 3, 3), (1, 1, 0.5));
        assert_eq!(linear_source(Coordinates::HalfPixel, 5, 3, 6), (2, 2, 0.5));
    }
}
