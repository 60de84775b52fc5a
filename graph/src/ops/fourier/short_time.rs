//! Transforms of pieces of a signal.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::complex::{Complex64, complex_of, complexes, part_of};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices;
use crate::ops::kit::sample::{between, complex, sample, wave};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, shape};

use super::signal::{Direction, Signal};

op! {
    /// Discrete Fourier transforms of the pieces of `n_fft` numbers of a signal, each `hop_length` further on, times `window`, of
    /// `win_length` numbers with zeros on both sides. `x` is one signal or a matrix of them. The result is `[…, frequencies, pieces]`:
    /// with `onesided`, which complex numbers do not take, the first half of the frequencies; complex or, without
    /// `return_complex`, with the two parts as a last dimension; with `normalized` divided by the square root of `n_fft`.
    classic STFT {
        x: Operand,
        window: Operand,
        n_fft: i64,
        hop_length: i64,
        win_length: i64,
        normalized: bool,
        onesided: bool,
        return_complex: bool,
    }
}

/// Numbers of pieces.
struct Pieces {
    /// Numbers in each.
    len: usize,
    hop: usize,
    count: usize,
    /// Frequencies of each that are wanted.
    bins: usize,
}

impl STFT {
    fn pieces(&self) -> Result<Pieces, OpError> {
        let (x, window) = (&self.x, &self.window);
        let &[.., all] = x.shape() else {
            return Err(OpError::Invalid(format!("expected signals, found {}", x.fact)));
        };
        ensure!(x.rank() <= 2, "expected one signal or a matrix of them, found {}", x.fact);
        let (len, hop) = (indices::size(self.n_fft, "n_fft")?, indices::size(self.hop_length, "hop_length")?);
        ensure!(hop > 0, "expected a positive hop_length, found {hop}");
        ensure!((1..=all).contains(&len), "expected pieces of 1 to {all} numbers, found {len}");
        let fits = matches!(window.shape(), [own] if *own as i64 == self.win_length && *own <= len);
        ensure!(fits, "expected a window of {} and at most {len} numbers, found {}", self.win_length, window.fact);
        let complex = x.dtype().is_complex() || window.dtype().is_complex();
        ensure!(!(self.onesided && complex), "expected both sides of complex numbers, found one side");
        Ok(Pieces { len, hop, count: (all - len) / hop + 1, bins: if self.onesided { len / 2 + 1 } else { len } })
    }

    /// The window with zeros around it.
    fn weights(&self, len: usize) -> Result<Vec<Complex64>, OpError> {
        let window = complexes(self.window.tensor()?)?;
        let before = (len - window.len().min(len)) / 2;
        let zeros = || std::iter::repeat(Complex64::default());
        Ok(zeros().take(before).chain(window).chain(zeros()).take(len).collect())
    }
}

impl Operator for STFT {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, pieces) = (&self.x, self.pieces()?);
        let batch: Shape = x.shape().iter().copied().take(x.rank() - 1).collect();
        let dtype = complex_of(DType::promote(complex_of(x.dtype()), complex_of(self.window.dtype())));
        let out = if self.return_complex { dtype } else { part_of(dtype) };
        let parts: &[usize] = if self.return_complex { &[] } else { &[2] };
        let dims: Shape = batch.iter().chain(&[pieces.bins, pieces.count]).chain(parts).copied().collect();
        size(&dims)?;
        let facts = vec![Fact { dtype: out, shape: dims.clone() }];
        let results = move || {
            let Pieces { len, hop, count, bins } = pieces;
            let (data, weights, signals) = (complexes(x.tensor()?)?, self.weights(len)?, size(&batch)?);
            let all = data.len().checked_div(signals).unwrap_or(0);
            size(&[signals, len, count])?;
            let mut cut = Vec::new();
            for start in (0..signals).flat_map(|s| (0..count).map(move |piece| s * all + piece * hop)) {
                cut.extend(data.iter().skip(start).zip(&weights).map(|(x, w)| x * w));
            }
            let y = Signal { data: cut, dims: shape(&[signals, count, len]) };
            let y = y.transformed(2, Direction::Forward)?.resized(2, bins)?;
            let factor = if self.normalized { 1.0 / (len as f64).sqrt() } else { 1.0 };
            let y = turned(y.scaled(factor), [signals, count, bins]);
            if self.return_complex {
                return Ok(vec![Signal { data: y, dims: dims.clone() }.tensor(out)?]);
            }
            let parts: Vec<f64> = y.iter().flat_map(|z| [z.re, z.im]).collect();
            Ok(vec![Tensor::from_f64s(out, &dims, &parts)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let x = |dims: &[usize]| sample().arg(wave(DType::F32, dims)).arg(between(DType::F32, &[4], 0.25, 1.0));
        let of = |x: crate::ops::kit::sample::Sample, numbers: [i64; 3], flags: [bool; 3]| {
            let x = numbers.into_iter().fold(x, |x, n| x.int(n));
            flags.into_iter().fold(x, |x, flag| x.flag(flag))
        };
        let z = sample().arg(complex(DType::C64, &[10])).arg(between(DType::F64, &[4], 0.25, 1.0));
        vec![
            of(x(&[10]), [4, 2, 4], [false, true, true]).case("one side"),
            of(x(&[2, 9]), [6, 1, 4], [true, true, false]).case("parts"),
            of(z, [4, 3, 4], [false, false, true]).case("complex"),
        ]
    }
}

/// The numbers with the last two dimensions swapped.
fn turned(y: Signal, [outer, rows, cols]: [usize; 3]) -> Vec<Complex64> {
    let places =
        (0..outer).flat_map(|o| (0..cols).flat_map(move |c| (0..rows).map(move |r| (o * rows + r) * cols + c)));
    places.filter_map(|at| y.data.get(at).copied()).collect()
}
