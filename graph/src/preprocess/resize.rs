use super::{Picture, Pixels};
use crate::{OpError, ensure};

/// How pixels between pixels are computed, as OpenCV does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Between two pixels along each direction.
    Linear,
    /// The pixel to the left and above.
    Nearest,
    /// Between four pixels along each direction, with −0.75 as the free parameter.
    Cubic,
    /// Means over areas where the picture shrinks; linear where it grows.
    Area,
}

/// Bits behind the point of the weights that OpenCV gives to pixels of 8 bits.
const BITS: u32 = 11;

/// Rows and columns of the result. One number alone is that of the shorter edge.
pub(super) fn target(size: &[usize], h: usize, w: usize) -> Result<[usize; 2], OpError> {
    match *size {
        [rows, columns] => Ok([rows, columns]),
        [short] if h < w => Ok([short, short.saturating_mul(w) / h]),
        [short] => Ok([short.saturating_mul(h) / w, short]),
        _ => Err(OpError::Invalid(format!("expected one or two numbers as size, found {}", size.len()))),
    }
}

/// The picture with `h × w` pixels.
pub(super) fn resize(x: &Picture, h: usize, w: usize, how: Interpolation) -> Result<Picture, OpError> {
    ensure!(x.h > 0 && x.w > 0, "the picture is empty");
    if (h, w) == (x.h, x.w) {
        return Ok(x.clone());
    }
    let shrinks = x.h >= h && x.w >= w;
    let halves = x.h == 2 * h && x.w == 2 * w;
    match how {
        Interpolation::Nearest => {
            let from =
                |i: usize, old: usize, new: usize| ((i as f64 * (old as f64 / new as f64)) as usize).min(old - 1);
            Ok(x.pick(h, w, |y, c, k| (from(y, x.h, h), from(c, x.w, w), k)))
        }
        Interpolation::Area if shrinks => Ok(areas(x, h, w)),
        Interpolation::Linear if halves => Ok(areas(x, h, w)),
        _ => Ok(weighted(x, &taps(x.h, h, how, false), &taps(x.w, w, how, true))),
    }
}

/// The pixels that make one pixel of the result along one direction, with their weights.
type Taps = Vec<(usize, f32)>;

/// The taps of every pixel along one direction. Beyond the first and last pixel, `whole` gives all weight to the one tap
/// that is there, as OpenCV does within rows; else both taps are that pixel, which rounds differently.
fn taps(old: usize, new: usize, how: Interpolation, whole: bool) -> Vec<Taps> {
    let scale = old as f64 / new as f64;
    let clamp = |i: isize| i.clamp(0, old as isize - 1) as usize;
    let one = |i: usize| -> Taps {
        let centre = ((i as f64 + 0.5) * scale - 0.5) as f32;
        let mut first = centre.floor() as isize;
        let mut part = centre - first as f32;
        match how {
            Interpolation::Cubic => (-1..3).zip(cubic(part)).map(|(d, weight)| (clamp(first + d), weight)).collect(),
            _ => {
                if how == Interpolation::Area {
                    first = (i as f64 * scale).floor() as isize;
                    let over = ((i as f64 + 1.0) - (first as f64 + 1.0) / scale) as f32;
                    part = if over <= 0.0 { 0.0 } else { over - over.floor() };
                }
                if whole && first < 0 {
                    (first, part) = (0, 0.0);
                }
                if whole && first >= old as isize - 1 {
                    (first, part) = (old as isize - 1, 0.0);
                }
                vec![(clamp(first), 1.0 - part), (clamp(first + 1), part)]
            }
        }
    };
    (0..new).map(one).collect()
}

/// Weights of the four pixels around a place `x` behind the second.
fn cubic(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let a = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let b = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let c = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
    [a, b, c, 1.0 - a - b - c]
}

/// Sums of pixels with the weights of their row and column.
fn weighted(x: &Picture, rows: &[Taps], columns: &[Taps]) -> Picture {
    let (h, w, c) = (rows.len(), columns.len(), x.c);
    let pixels = match &x.pixels {
        Pixels::Floats(p) => {
            let across = along(p, x.h, x.w, c, columns, |weight| weight, |x| x);
            Pixels::Floats(down(&across, w * c, rows, |taps, at| taps.iter().map(|&(y, b)| b * at(y)).sum()))
        }
        Pixels::Bytes(p) => {
            let across = along(p, x.h, x.w, c, columns, fixed, i32::from);
            Pixels::Bytes(down(&across, w * c, rows, |taps, at| match taps {
                [(y0, b0), (y1, b1)] => linear(fixed(*b0), at(*y0), fixed(*b1), at(*y1)),
                _ => rounded(taps.iter().map(|&(y, b)| fixed(b) * at(y)).sum()),
            }))
        }
    };
    Picture { h, w, c, pixels }
}

/// A weight with [`BITS`] bits behind the point.
fn fixed(weight: f32) -> i32 {
    (weight * (1 << BITS) as f32).round_ties_even() as i32
}

/// Two rows of sums in 11 bits with their weights, in the order of roundings that OpenCV's vector code has.
fn linear(b0: i32, s0: i32, b1: i32, s1: i32) -> u8 {
    let part = |b: i32, s: i32| (b * (s >> 4)) >> 16;
    ((part(b0, s0) + part(b1, s1) + 2) >> 2).clamp(0, 255) as u8
}

/// A sum in 22 bits as a pixel.
fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (2 * BITS - 1))) >> (2 * BITS)).clamp(0, 255) as u8
}

/// Sums along the rows: `h` rows of `taps.len() · c`.
#[expect(clippy::indexing_slicing, reason = "the taps of a column are columns of the picture")]
fn along<T: Copy, S: Copy + std::ops::Mul<Output = S> + std::iter::Sum>(
    pixels: &[T],
    h: usize,
    w: usize,
    c: usize,
    columns: &[Taps],
    weight: impl Fn(f32) -> S,
    wide: impl Fn(T) -> S,
) -> Vec<S> {
    let mut out = Vec::with_capacity(h * columns.len() * c);
    for row in pixels.chunks_exact(w * c) {
        for taps in columns {
            for k in 0..c {
                out.push(taps.iter().map(|&(x, a)| wide(row[x * c + k]) * weight(a)).sum());
            }
        }
    }
    out
}

/// For every element of every row of the result, what `f` makes of the taps and of the sums in its column.
#[expect(clippy::indexing_slicing, reason = "the taps of a row are rows of the picture, which have sums")]
fn down<S: Copy, T>(
    sums: &[S],
    width: usize,
    rows: &[Taps],
    f: impl Fn(&[(usize, f32)], &dyn Fn(usize) -> S) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(rows.len() * width);
    for taps in rows {
        for i in 0..width {
            out.push(f(taps, &|y: usize| sums[y * width + i]));
        }
    }
    out
}

/// Means over the area of the picture that each pixel of the result covers.
fn areas(x: &Picture, h: usize, w: usize) -> Picture {
    let (rows, columns) = (covered(x.h, h), covered(x.w, w));
    let wide: Vec<f32> = match &x.pixels {
        Pixels::Bytes(p) => p.iter().map(|&x| f32::from(x)).collect(),
        Pixels::Floats(p) => p.clone(),
    };
    let across = along(&wide, x.h, x.w, x.c, &columns, |weight| weight, |x| x);
    let means: Vec<f32> = down(&across, w * x.c, &rows, |taps, at| taps.iter().map(|&(y, b)| b * at(y)).sum::<f32>());
    let pixels = match &x.pixels {
        Pixels::Bytes(_) if x.h == 2 * h && x.w == 2 * w => {
            // Four pixels are added as integers, and halves go up.
            Pixels::Bytes(means.iter().map(|m| (m + 0.5).floor() as u8).collect())
        }
        Pixels::Bytes(_) => Pixels::Bytes(means.iter().map(|m| m.round_ties_even() as u8).collect()),
        Pixels::Floats(_) => Pixels::Floats(means),
    };
    Picture { h, w, c: x.c, pixels }
}

/// The pixels that each of `new` pixels covers, with their shares of it.
fn covered(old: usize, new: usize) -> Vec<Taps> {
    let scale = old as f64 / new as f64;
    let one = |i: usize| -> Taps {
        let (start, end) = (i as f64 * scale, (i as f64 + 1.0) * scale);
        let width = scale.min(old as f64 - start);
        let (first, last) = (start.ceil() as usize, (end.floor() as usize).min(old - 1));
        let mut taps = Taps::new();
        if first as f64 - start > 1e-3 {
            taps.push((first - 1, ((first as f64 - start) / width) as f32));
        }
        let last = last.max(first);
        taps.extend((first..last).map(|x| (x, (1.0 / width) as f32)));
        if end - last as f64 > 1e-3 {
            taps.push((last, (((end - last as f64).min(1.0).min(width)) / width) as f32));
        }
        taps
    };
    (0..new).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one() {
        for (old, new) in [(7, 3), (40, 12), (5, 5), (6, 3), (13, 9)] {
            for taps in covered(old, new) {
                let sum: f32 = taps.iter().map(|t| t.1).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{old} to {new}: {taps:?}");
            }
        }
        for x in [0.0, 0.25, 0.9] {
            assert!((cubic(x).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_shorter_edge_leads() {
        assert_eq!(target(&[32], 40, 27).unwrap(), [47, 32]);
        assert_eq!(target(&[32], 27, 40).unwrap(), [32, 47]);
        assert!(target(&[], 1, 1).is_err());
    }
}
