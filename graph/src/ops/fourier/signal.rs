//! Signals of several dimensions, which are transformed along one after the other.

use rustfft::{FftDirection, FftPlanner};

use crate::bounds;
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes};
use crate::ops::kit::indices::{around, item_mut, replaced};
use crate::{DType, OpError, Shape, Tensor, ensure};

/// Numbers and their dimensions.
pub(super) struct Signal {
    pub data: Vec<Complex64>,
    pub dims: Shape,
}

/// Which frequencies a transform gives.
pub(super) type Direction = FftDirection;

impl Signal {
    pub fn of(x: &Tensor) -> Result<Signal, OpError> {
        Ok(Signal { data: complexes(x)?, dims: Shape::from_slice(x.shape()) })
    }

    /// Each line along `axis` as the `len` numbers that `f` makes of it.
    pub fn lines(
        self,
        axis: usize,
        len: usize,
        mut f: impl FnMut(Vec<Complex64>) -> Vec<Complex64>,
    ) -> Result<Signal, OpError> {
        let [outer, own, inner] = around(&self.dims, axis)?;
        let dims = replaced(&self.dims, axis, len);
        let count = size(&dims)?;
        let _room = bounds::room(count.saturating_mul(16))?;
        let mut data = vec![Complex64::default(); count];
        for o in 0..outer {
            for i in 0..inner {
                bounds::check()?;
                let line = self.data.iter().skip(o * own * inner + i).step_by(inner).take(own).copied().collect();
                for (k, y) in f(line).into_iter().enumerate().take(len) {
                    *item_mut(&mut data, (o * len + k) * inner + i)? = y;
                }
            }
        }
        Ok(Signal { data, dims })
    }

    /// Lines cut, or with zeros at their ends.
    pub fn resized(self, axis: usize, len: usize) -> Result<Signal, OpError> {
        self.lines(axis, len, |line| line)
    }

    /// The lines' sums of `x[i] · exp(∓2π · i · k / n)`, without a factor.
    pub fn transformed(self, axis: usize, direction: Direction) -> Result<Signal, OpError> {
        let [_, len, _] = around(&self.dims, axis)?;
        ensure!(len > 0, "expected a signal, found no elements along dimension {axis}");
        let fft = FftPlanner::new().plan_fft(len, direction);
        self.lines(axis, len, |mut line| {
            fft.process(&mut line);
            line
        })
    }

    /// Lines of `len` numbers, of which the first ones are given and the others are conjugated from the end on.
    pub fn mirrored(self, axis: usize, len: usize) -> Result<Signal, OpError> {
        self.lines(axis, len, |line| {
            let at = |k: usize| line.get(k).copied().unwrap_or_default();
            (0..len).map(|k| if k <= len / 2 { at(k) } else { at(len - k).conj() }).collect()
        })
    }

    pub fn scaled(mut self, factor: f64) -> Signal {
        self.data.iter_mut().for_each(|z| *z *= factor);
        self
    }

    pub fn tensor(&self, dtype: DType) -> Result<Tensor, OpError> {
        complex_tensor(dtype, &self.dims, &self.data)
    }
}
