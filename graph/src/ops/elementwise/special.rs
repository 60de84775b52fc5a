//! Special functions.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{In, evaluate, fact, float_of, floats, single};
use crate::ops::kit::sample::{cycle, filled, sample};
use crate::task::Scalar;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

use std::cmp::Ordering;
use std::f64::consts::PI;

use super::{bessel, gamma};

/// A function of numbers that has a definition only.
pub(super) struct Special<'a, const N: usize, F> {
    pub ins: [In<'a>; N],
    pub out: DType,
    pub f: F,
}

impl<const N: usize, F: Fn([Scalar; N]) -> Scalar> Rule for Special<'_, N, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&self.ins.map(|x| x.0), self.out)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        evaluate(&self.ins, self.out, &self.f)
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no such function")
    }
}

/// A function of floats, in the common type of the operands; `f32` for integers.
fn of_floats<const N: usize>(xs: [&Operand; N], f: impl Fn([f64; N]) -> f64) -> Result<impl Rule, OpError> {
    let out = float_of(xs.iter().map(|x| x.dtype()).reduce(DType::promote).unwrap_or(DType::F32));
    Ok(Special { ins: xs.map(|x| (x, out)), out, f: floats(f) })
}

macro_rules! special {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident($($x:ident = $values:expr),+) = $f:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { $($x: Operand),+ }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                of_floats([$(&self.$x),+], $f)
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample()$(.arg(cycle(DType::F32, &[2, 5], &$values)))+.exact("f32"),
                    sample()$(.arg(cycle(DType::F16, &[3], &$values)))+.exact("f16"),
                    sample()$(.arg(cycle(DType::F64, &[7], &$values)))+.exact("f64"),
                ]
            }
        }
    )*};
}

/// Numbers of the functions of one.
const PLACES: [f64; 7] = [0.5, 3.0, 0.0, 10.0, f64::INFINITY, 1e-3, f64::NAN];
/// The same, less often positive.
const SIGNED: [f64; 7] = [0.5, -3.0, 0.0, 10.0, f64::NEG_INFINITY, 1e-3, f64::NAN];

special! {
    /// Logarithm of the absolute value of the gamma function. Integers give `f32`.
    (object) Lgamma(x = [0.5, 1.0, 3.25, -0.5, 20.0]) = |[x]| libm::lgamma(x);
    /// Derivative of the logarithm of the gamma function. Integers give `f32`.
    (object) Digamma(x = [0.5, 1.0, 3.25, -0.5, 20.0]) = |[x]| digamma(x);
    /// Inverse of the error function; NaN outside −1 to 1. Integers give `f32`.
    Erfinv(x = [0.1, -0.9, 0.0, 1.0, 0.999]) = |[x]| erfinv(x);
    /// Modified Bessel function of the first kind, order 0. Integers give `f32`.
    (object) BesselI0(x = [0.5, -3.0, 0.0, 10.0]) = |[x]| bessel::first(x, 0);
    /// Modified Bessel function of the first kind, order 1. Integers give `f32`.
    (object) BesselI1(x = [0.5, -3.0, 0.0, 10.0]) = |[x]| bessel::first(x, 1);
    /// `BesselI0` divided by `e^|x|`. Integers give `f32`.
    (object) BesselI0e(x = SIGNED) = |[x]| bessel::first_scaled(x, 0);
    /// `BesselI1` divided by `e^|x|`. Integers give `f32`.
    (object) BesselI1e(x = SIGNED) = |[x]| bessel::first_scaled(x, 1);
    /// Bessel function of the first kind, order 0. It is 0 at ±∞, where MindSpore gives NaN. Integers give `f32`.
    (object) BesselJ0(x = SIGNED) = |[x]| libm::j0(x);
    /// Bessel function of the first kind, order 1. It is 0 at ±∞, where MindSpore gives NaN. Integers give `f32`.
    (object) BesselJ1(x = SIGNED) = |[x]| libm::j1(x);
    /// Modified Bessel function of the second kind, order 0. It is NaN for negative numbers, where it is not real and MindSpore
    /// gives ∞. Integers give `f32`.
    (object) BesselK0(x = PLACES) = |[x]| bessel::second(x, 0);
    /// `BesselK0` times `eˣ`. It is NaN for negative numbers, where MindSpore gives ∞. Integers give `f32`.
    (object) BesselK0e(x = PLACES) = |[x]| bessel::second_scaled(x, 0);
    /// Modified Bessel function of the second kind, order 1. It is NaN for negative numbers, where it is not real and MindSpore
    /// gives ∞. Integers give `f32`.
    (object) BesselK1(x = PLACES) = |[x]| bessel::second(x, 1);
    /// `BesselK1` times `eˣ`. It is NaN for negative numbers, where MindSpore gives ∞. Integers give `f32`.
    (object) BesselK1e(x = PLACES) = |[x]| bessel::second_scaled(x, 1);
    /// Bessel function of the second kind, order 0. It is NaN for negative numbers, where it is not real and MindSpore gives −∞, and
    /// 0 at ∞, where MindSpore gives NaN. Integers give `f32`.
    (object) BesselY0(x = PLACES) = |[x]| libm::y0(x);
    /// Bessel function of the second kind, order 1. It is NaN for negative numbers, where it is not real and MindSpore gives −∞, and
    /// 0 at ∞, where MindSpore gives NaN. Integers give `f32`.
    (object) BesselY1(x = PLACES) = |[x]| libm::y1(x);
    /// The regularized lower incomplete gamma function of `a` up to `x`, which broadcast: 1 for `a` of 0, where MindSpore gives NaN,
    /// and NaN for negative numbers. Integers give `f32`.
    (object) Igamma(a = [0.5, 2.5, 10.0, 0.0, 30.0], x = [0.25, 7.0, 10.0, 1.0, -1.0]) = |[a, x]| gamma::igamma(a, x);
    /// 1 less the function of `Igamma`, which for small results is exact too. MindSpore gives NaN for `x` of ∞, where it is 0.
    (object) Igammac(a = [0.5, 2.5, 10.0, 0.0, 30.0], x = [0.25, 7.0, f64::INFINITY, 1.0, -1.0]) = |[a, x]| gamma::igammac(a, x);
    /// The regularized incomplete beta function of `a` and `b`, both positive, up to `x`, from 0 to 1, which broadcast; NaN for
    /// others. Integers give `f32`.
    Betainc(a = [0.5, 2.0, 3.0, -1.0], b = [0.5, 3.0, 0.25, 1.0], x = [0.25, 0.875, 1.0, 0.5, 0.0]) = |[a, b, x]| gamma::betainc(a, b, x);
    /// Hurwitz's zeta function, the sum of `(q + k)⁻ˣ` over all `k` from 0 on, of operands that broadcast: ∞ for `x` of 1 and for whole
    /// `q` that are not positive; NaN for smaller `x`, and for negative `q` unless `x` is whole. Integers give `f32`.
    (object) Zeta(x = [2.0, 1.5, 1.0, 0.5, 3.0], q = [1.0, 2.0, 0.5, 1.0, -2.5]) = |[x, q]| gamma::zeta(x, q);
}

op! {
    /// Derivative number `a`, one integer, of `Digamma` of `x`; NaN for negative `a`. Integers `x` give `f32`.
    object Polygamma { a: Operand, x: Operand }
}

impl Operator for Polygamma {
    fn rule(&self) -> Result<impl Rule, OpError> {
        single(&self.a)?;
        ensure!(self.a.rank() == 0 && self.a.dtype().is_int(), "expected one integer, found {}", self.a.fact);
        let out = float_of(self.x.dtype());
        Ok(Special { ins: [(&self.a, DType::F64), (&self.x, out)], out, f: floats(|[n, x]| gamma::polygamma(n, x)) })
    }

    fn cases() -> Vec<Case> {
        let of = |n: f64, d| {
            sample().arg(filled(DType::I64, &[], |_| n)).arg(cycle(d, &[6], &[0.5, 1.0, 3.25, -0.5, 20.0, -1.0]))
        };
        vec![of(0.0, DType::F32).exact("first"), of(1.0, DType::F32).exact("f32"), of(4.0, DType::F64).exact("f64")]
    }
}

op! {
    /// Logarithm of the gamma function of `p` dimensions. All of `x` must be above `(p − 1) / 2`. Integers give `f32`.
    classic Mvlgamma { x: Operand, p: i64 }
}

impl Operator for Mvlgamma {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!((1..=1 << 16).contains(&self.p), "expected from 1 to 65536 dimensions, found {}", self.p);
        Ok(Above { rule: of_floats([&self.x], |[x]| gamma::multigamma(x, self.p))?, x: &self.x, p: self.p })
    }

    fn cases() -> Vec<Case> {
        let of = |d, p| sample().arg(cycle(d, &[5], &[3.5, 2.25, 10.0, 7.0])).int(p);
        vec![of(DType::F32, 2).exact("f32"), of(DType::F64, 5).exact("f64"), of(DType::I32, 1).exact("integers")]
    }
}

/// A rule for numbers that are all above `(p − 1) / 2`.
struct Above<'a, R> {
    rule: R,
    x: &'a Operand,
    p: i64,
}

impl<R: Rule> Rule for Above<'_, R> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.rule.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let least = 0.5 * (self.p - 1) as f64;
        let wrong = self.x.f64s()?.into_iter().find(|x| *x <= least);
        ensure!(wrong.is_none(), "expected numbers above {least}, found {}", wrong.unwrap_or_default());
        self.rule.reference()
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        self.rule.onnx(e)
    }
}

op! {
    /// The number of the type of `input` that comes next to it in the direction of `other`: `other` itself where both are equal.
    /// `f32` or `f64`, both alike, which broadcast. MindSpore gives `input` for `f32`, as it takes the step in `f64`.
    NextAfter { input: Operand, other: Operand }
}

/// The number of type `d` next to `x` toward `y`.
fn step(x: f64, y: f64, d: DType) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    match (x.partial_cmp(&y), d) {
        (Some(Ordering::Less), DType::F32) => f64::from((x as f32).next_up()),
        (Some(Ordering::Greater), DType::F32) => f64::from((x as f32).next_down()),
        (Some(Ordering::Less), _) => x.next_up(),
        (Some(Ordering::Greater), _) => x.next_down(),
        _ => y,
    }
}

impl Operator for NextAfter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d) = (&self.input, &self.other, self.input.dtype());
        let takes = matches!(d, DType::F32 | DType::F64) && b.dtype() == d;
        ensure!(takes, "expected f32 twice or f64 twice, found {} and {}", a.fact, b.fact);
        Ok(Special { ins: [(a, d), (b, d)], out: d, f: floats(move |[x, y]| step(x, y, d)) })
    }

    fn cases() -> Vec<Case> {
        let from = [1.0, 0.0, -0.0, f64::INFINITY, f64::NAN, 1.0, 0.0, -1.0];
        let to = [2.0, 1.0, -1.0, 0.0, 1.0, 1.0, -0.0, f64::NEG_INFINITY];
        let of = |d| sample().arg(cycle(d, &[8], &from)).arg(cycle(d, &[8], &to));
        vec![of(DType::F32).exact("f32"), of(DType::F64).exact("f64")]
    }
}

/// By reflection for negative numbers, recurrence up to 10, and the asymptotic series from there.
pub(super) fn digamma(x: f64) -> f64 {
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
