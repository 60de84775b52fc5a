//! Special functions.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{evaluate_f64, fact, float_of};
use crate::ops::kit::sample::{cycle, sample};
use crate::{DType, Fact, OpError, Tensor, op};

use std::f64::consts::PI;

/// A function of one float that has a definition only.
struct Special<'a> {
    x: &'a Operand,
    f: fn(f64) -> f64,
}

impl Rule for Special<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[self.x], float_of(self.x.dtype()))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = float_of(self.x.dtype());
        evaluate_f64(&[(self.x, d)], d, |[x]| (self.f)(x))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no such function")
    }
}

macro_rules! special {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident = $f:expr, $values:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { x: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Special { x: &self.x, f: $f })
            }

            fn cases() -> Vec<Case> {
                vec![sample().arg(cycle(DType::F32, &[2, 5], &$values)).exact("f32"), sample().arg(cycle(DType::F16, &[3], &$values)).exact("f16")]
            }
        }
    )*};
}

special! {
    /// Logarithm of the absolute value of the gamma function. Integers give `f32`.
    (object) Lgamma = libm::lgamma, [0.5, 1.0, 3.25, -0.5, 20.0];
    /// Derivative of the logarithm of the gamma function. Integers give `f32`.
    (object) Digamma = digamma, [0.5, 1.0, 3.25, -0.5, 20.0];
    /// Inverse of the error function; NaN outside −1 to 1. Integers give `f32`.
    Erfinv = erfinv, [0.1, -0.9, 0.0, 1.0, 0.999];
    /// Modified Bessel function of the first kind, order 0. Integers give `f32`.
    (object) BesselI0 = |x| bessel(x, 0), [0.5, -3.0, 0.0, 10.0];
    /// Modified Bessel function of the first kind, order 1. Integers give `f32`.
    (object) BesselI1 = |x| bessel(x, 1), [0.5, -3.0, 0.0, 10.0];
}

/// By reflection for negative numbers, recurrence up to 10, and the asymptotic series from there.
fn digamma(x: f64) -> f64 {
    if x <= 0.0 {
        if x == x.floor() {
            return if x == 0.0 { f64::NEG_INFINITY.copysign(-x) } else { f64::NAN };
        }
        return digamma(1.0 - x) - PI / (PI * x).tan();
    }
    let (mut x, mut y) = (x, 0.0);
    while x < 10.0 {
        y -= 1.0 / x;
        x += 1.0;
    }
    let t = 1.0 / (x * x);
    let series = t * (1.0 / 12.0 - t * (1.0 / 120.0 - t * (1.0 / 252.0 - t * (1.0 / 240.0 - t * (1.0 / 132.0)))));
    y + x.ln() - 0.5 / x - series
}

/// By bisection of the error function, or of its complement in the tails.
fn erfinv(y: f64) -> f64 {
    if y.is_nan() || y.abs() > 1.0 {
        return f64::NAN;
    }
    if y.abs() == 1.0 {
        return f64::INFINITY.copysign(y);
    }
    let target = y.abs();
    let (mut low, mut high) = (0.0f64, 6.5f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        let below = if target > 0.5 { libm::erfc(middle) > 1.0 - target } else { libm::erf(middle) < target };
        if below { low = middle } else { high = middle }
    }
    (0.5 * (low + high)).copysign(y)
}

/// By its power series.
fn bessel(x: f64, order: i32) -> f64 {
    if !x.is_finite() {
        return if order == 0 { x.abs() } else { x };
    }
    let half = x / 2.0;
    let mut term = if order == 0 { 1.0 } else { half };
    let mut sum = term;
    let mut k = 1.0;
    while term != 0.0 && k < 2000.0 {
        term *= half * half / (k * (k + f64::from(order)));
        sum += term;
        if term.abs() < sum.abs() * 1e-17 {
            break;
        }
        k += 1.0;
    }
    sum
}
