//! Largest elements of windows of one size at places that random numbers choose.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{each_tap, item, result, size};
use crate::ops::kit::sample::{between, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Where `n` windows of `window` elements begin along a dimension of `len`.
fn starts(len: usize, n: usize, window: usize, sample: f64) -> Vec<usize> {
    let last = len - window;
    let step = if n > 1 { last as f64 / (n - 1) as f64 } else { 0.0 };
    let first = (sample * step) as usize;
    let place = |i: usize| {
        if i + 1 == n { last } else { (((i as f64 + sample) * step) as usize).saturating_sub(first).min(last) }
    };
    (0..n).map(place).collect()
}

/// Windows over the last three dimensions of `[n, c, d, h, w]`.
struct Windows<'a> {
    x: &'a Operand,
    samples: &'a Operand,
    dims: [usize; 5],
    window: [usize; 3],
    out: [usize; 3],
    /// The random number of each dimension.
    picks: [usize; 3],
}

impl Windows<'_> {
    fn check(&self) -> Result<(), OpError> {
        let ([n, c, dims @ ..], count) = (self.dims, self.samples.shape().last().copied().unwrap_or(0));
        ensure!(self.x.dtype().is_float() || self.x.dtype().is_int(), "expected numbers, found {}", self.x.fact);
        let each = self.samples.dtype().is_float()
            && self.samples.shape() == [n, c, count]
            && self.picks.iter().all(|i| *i < count);
        ensure!(each, "expected random numbers [n, c, dimensions] for {}, found {}", self.x.fact, self.samples.fact);
        let fits = dims
            .iter()
            .zip(self.window)
            .zip(self.out)
            .all(|((len, window), out)| window > 0 && window <= *len && out > 0);
        ensure!(
            fits,
            "expected windows {:?} inside of {} and positive sizes, found {:?}",
            self.window,
            self.x.fact,
            self.out
        );
        Ok(())
    }

    /// The largest elements, and their positions in their plane.
    fn results(&self, facts: &[Fact]) -> Result<Vec<Tensor>, OpError> {
        let (x, samples) = (Grid::new(self.dims, self.x.f64s()?)?, Grid::<3>::read(self.samples)?);
        let [n, c, d, h, w] = self.dims;
        let values = self.samples.f64s()?;
        ensure!(values.iter().all(|s| (0.0..=1.0).contains(s)), "expected random numbers from 0 to 1");
        let [depth, rows, cols] = self.out;
        let (mut y, mut places) = (Grid::zeros([n, c, depth, rows, cols])?, Grid::zeros([n, c, depth, rows, cols])?);
        each([n, c], |[image, channel]| {
            let along = |axis: usize, len: usize| {
                let sample = samples.at([image, channel, *item(&self.picks, axis)?])?;
                Ok::<_, OpError>(starts(len, *item(&self.out, axis)?, *item(&self.window, axis)?, sample))
            };
            let (planes, tops, lefts) = (along(0, d)?, along(1, h)?, along(2, w)?);
            each(self.out, |[i, j, k]| {
                let (z, r, q) = (*item(&planes, i)?, *item(&tops, j)?, *item(&lefts, k)?);
                let (mut best, mut place, mut failed) = (f64::NEG_INFINITY, (z * h + r) * w + q, Ok(()));
                each_tap(&self.window, |tap| {
                    let (Some(a), Some(b), Some(e)) = (tap.first(), tap.get(1), tap.get(2)) else { return };
                    match x.at([image, channel, z + a, r + b, q + e]) {
                        Ok(v) if v > best || v.is_nan() => (best, place) = (v, ((z + a) * h + r + b) * w + q + e),
                        Ok(_) => {}
                        Err(error) => failed = Err(error),
                    }
                });
                failed?;
                *y.at_mut([image, channel, i, j, k])? = best;
                *places.at_mut([image, channel, i, j, k])? = place as f64;
                Ok(())
            })
        })?;
        let [values, index] = [item(facts, 0)?, item(facts, 1)?];
        Ok(vec![y.tensor(values.dtype)?.reshape(&values.shape)?, places.tensor(index.dtype)?.reshape(&index.shape)?])
    }
}

fn sized<const N: usize>(values: &[i64], what: &str) -> Result<[usize; N], OpError> {
    let all = values.iter().map(|v| size(*v, what)).collect::<Result<Vec<_>, _>>()?;
    all.try_into().map_err(|_| OpError::Invalid(format!("expected {N} numbers as {what}, found {values:?}")))
}

op! {
    /// The largest elements of windows of `ksize` over images (`[n, c, h, w]`), `output_shape` of them (rows, columns), and their
    /// positions in their image, as `i64`. `random_samples` (`[n, c, 2]`, 0 to 1) moves windows along columns and rows.
    classic FractionalMaxPoolWithFixedKsize { input_x: Operand, random_samples: Operand, ksize: Ints, output_shape: Ints, data_format: String = "NCHW".into() }
}

impl FractionalMaxPoolWithFixedKsize {
    fn windows(&self) -> Result<Windows<'_>, OpError> {
        let ([n, c, h, w], [a, b], [rows, cols]) =
            (self.input_x.fact.ranked()?, sized(&self.ksize, "ksize")?, sized(&self.output_shape, "output_shape")?);
        ensure!(self.data_format == "NCHW", "expected the format NCHW, found {}", self.data_format);
        let windows = Windows {
            x: &self.input_x,
            samples: &self.random_samples,
            dims: [n, c, 1, h, w],
            window: [1, a, b],
            out: [1, rows, cols],
            picks: [0, 1, 0],
        };
        windows.check()?;
        Ok(windows)
    }
}

impl Operator for FractionalMaxPoolWithFixedKsize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let Windows { dims: [n, c, ..], out: [_, rows, cols], .. } = self.windows()?;
            let dims = [n, c, rows, cols];
            Ok(vec![result(self.input_x.dtype(), &dims)?, result(DType::I64, &dims)?])
        };
        Ok(host(facts, |facts| self.windows()?.results(&facts)))
    }

    fn cases() -> Vec<Case> {
        let s = sample().arg(wave(DType::F32, &[2, 2, 7, 6])).arg(between(DType::F32, &[2, 2, 2], 0.0, 0.875));
        vec![s.ints(&[2, 2]).ints(&[4, 3]).exact("images")]
    }
}

op! {
    /// As `FractionalMaxPoolWithFixedKsize`, of volumes (`[n, c, d, h, w]`) with random numbers for depth, rows and columns
    /// (`[n, c, 3]`).
    classic FractionalMaxPool3DWithFixedKsize { x: Operand, random_samples: Operand, ksize: Ints, output_shape: Ints, data_format: String = "NCDHW".into() }
}

impl FractionalMaxPool3DWithFixedKsize {
    fn windows(&self) -> Result<Windows<'_>, OpError> {
        ensure!(self.data_format == "NCDHW", "expected the format NCDHW, found {}", self.data_format);
        let three = |values: &[i64], what| match values {
            [one] => sized(&[*one; 3], what),
            values => sized(values, what),
        };
        let windows = Windows {
            x: &self.x,
            samples: &self.random_samples,
            dims: self.x.fact.ranked()?,
            window: three(&self.ksize, "ksize")?,
            out: three(&self.output_shape, "output_shape")?,
            picks: [0, 1, 2],
        };
        windows.check()?;
        Ok(windows)
    }
}

impl Operator for FractionalMaxPool3DWithFixedKsize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let Windows { dims: [n, c, ..], out: [depth, rows, cols], .. } = self.windows()?;
            let dims = [n, c, depth, rows, cols];
            Ok(vec![result(self.x.dtype(), &dims)?, result(DType::I64, &dims)?])
        };
        Ok(host(facts, |facts| self.windows()?.results(&facts)))
    }

    fn cases() -> Vec<Case> {
        let s = sample().arg(wave(DType::F32, &[1, 2, 3, 7, 6])).arg(between(DType::F32, &[1, 2, 3], 0.0, 0.875));
        vec![s.ints(&[1, 2, 2]).ints(&[2, 4, 3]).exact("volumes")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MindSpore 2.10 on the CPU.
    #[test]
    fn windows_begin_as_in_mindspore() {
        assert_eq!(starts(7, 4, 2, 0.9), [0, 2, 3, 5]);
        assert_eq!(starts(7, 4, 2, 0.1), [0, 1, 3, 5]);
        assert_eq!(starts(7, 1, 2, 0.9), [5]);
    }
}
