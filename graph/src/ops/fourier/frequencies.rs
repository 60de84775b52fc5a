//! Frequencies of transforms, their order, and helpers of gradients.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::create::numbers::shape_of;
use crate::ops::kit::complex::{Complex64, complex_tensor};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::{dim, flat, rearrange, result, size};
use crate::ops::kit::sample::{complex, sample, wave};
use crate::ops::shape::roll::Roll;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The frequencies with these numbers, of a transform of `n` numbers at distance `d`.
fn frequencies(n: i64, d: f64, dtype: DType, numbers: impl Iterator<Item = i64>) -> Result<Tensor, OpError> {
    let y: Vec<Complex64> = numbers.map(|k| (k as f64 / (n as f64 * d)).into()).collect();
    complex_tensor(dtype, &[y.len()], &y)
}

fn length(n: i64) -> Result<i64, OpError> {
    ensure!(n > 0, "expected at least one number, found {n}");
    shape_of(&[n])?;
    Ok(n)
}

op! {
    /// Frequencies of the results of `FFT` of `n` numbers at distance `d`, those of the second half negative: `k / (n · d)`, as
    /// `dtype`, which is `f32` unless it is given.
    FFTFreq { n: i64, d: f64 = 1.0, dtype: DType = DType::F32 }
}

impl Operator for FFTFreq {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let n = length(self.n)?;
        frequencies(n, self.d, self.dtype, (0..(n + 1) / 2).chain(-(n / 2)..0))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().int(5).real(0.5).exact("odd"),
            sample().int(8).real(2.0).dtype(DType::F64).exact("f64"),
            sample().int(4).real(0.125).dtype(DType::I32).exact("integers"),
        ]
    }
}

op! {
    /// Frequencies of the results of `RFFT` of `n` numbers at distance `d`: `k / (n · d)`, as `dtype`, which is `f32` unless it is
    /// given.
    RFFTFreq { n: i64, d: f64 = 1.0, dtype: DType = DType::F32 }
}

impl Operator for RFFTFreq {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let n = length(self.n)?;
        frequencies(n, self.d, self.dtype, 0..n / 2 + 1)
    }

    fn cases() -> Vec<Case> {
        vec![sample().int(5).real(0.5).exact("odd"), sample().int(8).exact("even")]
    }
}

/// `x` rolled along dimensions `axes`, or all, by what `shift` says of their lengths, as often as they are named.
fn rolled(x: &Operand, axes: &Option<Ints>, shift: fn(usize) -> usize) -> Result<Roll, OpError> {
    let axes: Vec<usize> = match axes.as_deref() {
        None | Some([]) => (0..x.rank()).collect(),
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?,
    };
    let by = axes.iter().map(|&axis| Ok(shift(dim(x.shape(), axis)?) as i64)).collect::<Result<Ints, OpError>>()?;
    Ok(Roll { input: x.clone(), shifts: by, dims: Some(axes.into_iter().map(|axis| axis as i64).collect()) })
}

macro_rules! shifts {
    ($($(#[doc = $doc:literal])+ $name:ident = $shift:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, dim: Option<Ints> = None }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                rolled(&self.input, &self.dim, $shift)
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 4])).exact("all"),
                    sample().arg(wave(DType::I32, &[2, 5])).ints(&[-1]).exact("last"),
                    sample().arg(wave(DType::I32, &[2, 5])).ints(&[-1, 1]).exact("twice"),
                    sample().arg(complex(DType::C64, &[3])).exact("c64"),
                ]
            }
        }
    )*};
}

shifts! {
    /// Moves frequency 0 from the front to the middle of the dimensions `dim`, or of all. Any type.
    FFTShift = |len| len / 2;
    /// Moves frequency 0 from the middle back to the front of the dimensions `dim`, or of all. Any type.
    IFFTShift = |len| len - len / 2;
}

op! {
    /// The front of `dout` in dimensions `shape`, with zeros where they are longer. Any type.
    FFTShapeCopy { dout: Operand, shape: Ints }
}

impl Operator for FFTShapeCopy {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, dims) = (&self.dout, shape_of(&self.shape)?);
        ensure!(dims.len() == x.rank(), "expected {} dimensions, found {:?}", x.rank(), self.shape);
        let facts = vec![result(x.dtype(), &dims)?];
        let results = move || {
            let inside = |index: &[usize]| index.iter().zip(x.shape()).all(|(i, len)| i < len);
            let y = rearrange(x.tensor()?, &dims, |index| inside(index).then(|| flat(x.shape(), index)))?;
            Ok(vec![y])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 4])).ints(&[2, 6]).exact("f32"),
            sample().arg(complex(DType::C64, &[3])).ints(&[5]).exact("c64"),
        ]
    }
}

op! {
    /// Complex numbers, doubled where they stand for a conjugate too in the first half of a transform of `n` numbers along dimension
    /// `dim`: all but the first one and, if `n` is even, the one in the middle.
    IRFFTDouble { input: Operand, n: i64, dim: i64 }
}

impl Operator for IRFFTDouble {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, axis, n) = (&self.input, self.input.axis(self.dim)?, size(self.n, "n")?);
        ensure!(x.dtype().is_complex(), "expected complex numbers, found {}", x.fact);
        let results = move || {
            let y = super::signal::Signal::of(x.tensor()?)?.lines(axis, dim(x.shape(), axis)?, |line| {
                let twice = |k: usize| k > 0 && 2 * k < n;
                line.iter().enumerate().map(|(k, z)| if twice(k) { z * 2.0 } else { *z }).collect()
            })?;
            Ok(vec![y.tensor(x.dtype())?])
        };
        Ok(Defined { facts: vec![Fact::new(x.dtype(), x.shape())], results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(complex(DType::C64, &[3, 4])).int(6).int(-1).exact("even"),
            sample().arg(complex(DType::C128, &[3, 2])).int(5).int(0).exact("odd"),
        ]
    }
}
