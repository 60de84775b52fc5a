//! Means, variances and deviations.

use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{fact, float_of, wide};
use crate::ops::kit::indices::{dim, only};
use crate::ops::kit::sample::{sample, wave};
use crate::ops::reduce::reduction::{Axes, Reduction};
use crate::task::{Binary, Lowering, ReduceKind, Scalar, Unary, V};
use crate::{DType, Fact, OpError, Tensor, op};

/// What is computed of the groups.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Variance,
    Deviation,
    Mean,
}

/// Moments of groups of `x`: which results, and by how much the count is lessened in the variance's divisor.
struct Moments<'a> {
    x: &'a Operand,
    axes: Vec<usize>,
    keep: bool,
    correction: i64,
    results: &'static [Moment],
}

fn mean(xs: &[Scalar]) -> f64 {
    xs.iter().map(|x| x.as_f64()).sum::<f64>() / xs.len() as f64
}

impl Moments<'_> {
    fn reduction(&self) -> Reduction<'_> {
        let out = float_of(self.x.dtype());
        Reduction { x: self.x, axes: self.axes.clone(), keep: self.keep, compute: out, out }
    }

    fn of(&self, moment: Moment, xs: &[Scalar]) -> f64 {
        let m = mean(xs);
        let sum: f64 = xs.iter().map(|x| (x.as_f64() - m).powi(2)).sum();
        let variance = sum / (xs.len() as f64 - self.correction as f64).max(0.0);
        match moment {
            Moment::Variance => variance,
            Moment::Deviation => variance.sqrt(),
            Moment::Mean => m,
        }
    }
}

impl Rule for Moments<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[self.x], self.x.dtype())?;
        Ok(vec![only(self.reduction().infer()?)?; self.results.len()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let one = |m: &Moment| only(self.reduction().groups(|xs| Scalar::Float(self.of(*m, xs)))?);
        self.results.iter().map(one).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let out = float_of(self.x.dtype());
        let d = wide(out);
        let n = self.axes.iter().map(|&a| dim(self.x.shape(), a)).product::<Result<usize, _>>()?;
        if n == 0 {
            return Ok(None);
        }
        let x = b.cast(self.x.v, d);
        let mean = b.reduce(ReduceKind::Mean, x, &self.axes, true, d)?;
        let off = b.binary(Binary::Sub, x, mean)?;
        let square = b.unary(Unary::Square, off);
        let sum = b.reduce(ReduceKind::Sum, square, &self.axes, true, d)?;
        let divisor = b.scalar(d, (n as f64 - self.correction as f64).max(0.0))?;
        let variance = b.binary(Binary::Div, sum, divisor)?;
        let dims = only(self.reduction().infer()?)?.shape;
        let mut finish = |moment: &Moment| -> Result<V, OpError> {
            let y = match moment {
                Moment::Variance => variance,
                Moment::Deviation => b.unary(Unary::Sqrt, variance),
                Moment::Mean => mean,
            };
            let y = b.cast(y, out);
            b.reshape(y, &dims)
        };
        Ok(Some(self.results.iter().map(&mut finish).collect::<Result<_, _>>()?))
    }
}

macro_rules! moment {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($result:ident),*];)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, dim: Axes = Axes::default(), correction: i64 = 1, keepdim: bool = false }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let axes = self.dim.of(&self.input)?;
                let results = &[$(Moment::$result),*];
                Ok(Moments { x: &self.input, axes, keep: self.keepdim, correction: self.correction, results })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).case("last"),
                    sample().arg(wave(DType::F32, &[3, 4, 5])).ints(&[0, 2]).int(0).flag(true).case("biased"),
                    sample().arg(wave(DType::F32, &[3, 5])).none().case("all"),
                    sample().arg(wave(DType::F16, &[3, 9])).int(1).case("f16"),
                ]
            }
        }
    )*};
}

moment! {
    /// Variance along `dim` with divisor `count − correction`; `None` means all. Integers give `f32`.
    Var = [Variance];
    /// Standard deviation along `dim` with divisor `count − correction`; `None` means all. Integers give `f32`.
    Std = [Deviation];
    /// Variance along `dim` with divisor `count − correction`, and mean; `None` means all. Integers give `f32`.
    VarMean = [Variance, Mean];
    /// Standard deviation along `dim` with divisor `count − correction`, and mean; `None` means all. Integers give `f32`.
    StdMean = [Deviation, Mean];
}

op! {
    /// Standard deviation along `axis` with divisor `count − 1` (`unbiased`) or `count`, and mean; an empty `axis` means all.
    ReduceStd { x: Operand, axis: Axes = Axes::default(), unbiased: bool = true, keep_dims: bool = false }
}

impl Operator for ReduceStd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (axes, correction) = (self.axis.of(&self.x)?, i64::from(self.unbiased));
        let results = &[Moment::Deviation, Moment::Mean];
        Ok(Moments { x: &self.x, axes, keep: self.keep_dims, correction, results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).ints(&[-1]).case("last"),
            sample().arg(wave(DType::F32, &[3, 4, 5])).ints(&[0, 2]).flag(false).flag(true).case("biased"),
            sample().arg(wave(DType::F32, &[3, 5])).ints(&[]).case("all"),
        ]
    }
}
