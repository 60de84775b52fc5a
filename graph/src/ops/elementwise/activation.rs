//! Activation functions with parameters, and those composed of several steps.

use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, floats};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::{between, cycle, sample};
use crate::task::{Binary, Program, Reg, Unary};
use crate::{DType, OpError, op, op_enum};

op_enum! {
    /// Which form of `GeluExt`.
    Approximate {
        /// With the error function.
        None = 0, "none";
        /// With the hyperbolic tangent.
        Tanh = 1, "tanh";
    }
}

const SELU_ALPHA: f64 = 1.6732632423543772;
const SELU_SCALE: f64 = 1.0507009873554805;

macro_rules! activation {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident $([$($alias:literal),*])? ($x:ident $(, $p:ident : $t:ty = $default:expr)*)
        = $reference:expr, $program:expr, [$($args:expr),*];)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name $(, aliases [$($alias),*])? { $x: Operand $(, $p: $t = $default)* }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let f: fn(&$name, f64) -> f64 = $reference;
                let program: fn(&$name, &mut Program, Reg) -> Reg = $program;
                let out = float_of(self.$x.dtype());
                let f = floats(move |[x]| f(self, x));
                Ok(Elementwise::widened([(&self.$x, out)], out, f, move |p, [x]| program(self, p, x)))
            }

            fn cases() -> Vec<Case> {
                let given: &[&[CaseArg]] = &[$(&$args),*];
                cases(given)
            }
        }
    )*};
}

/// The default parameters in several types, then each list of given ones.
fn cases(given: &[&[CaseArg]]) -> Vec<Case> {
    let x = |d: DType, dims: &[usize]| between(d, dims, -5.0, 5.0);
    let mut out = vec![
        sample().arg(x(DType::F32, &[2, 3, 17])).case("f32"),
        sample().arg(x(DType::F16, &[7, 3])).case("f16"),
        sample().arg(x(DType::F64, &[5])).case("f64"),
        sample().arg(cycle(DType::I32, &[5], &[1.0, 2.0, 3.0, 0.0, 1.0])).case("integers"),
        sample().arg(x(DType::F32, &[0, 2])).exact("empty"),
    ];
    for (i, args) in given.iter().enumerate() {
        let name = if i == 0 { "given parameters" } else { "other parameters" };
        let args = std::iter::once(x(DType::F32, &[3, 11])).chain(args.iter().cloned());
        out.push(sample().args(args).case(name));
    }
    out
}

/// A constant of the type of `like`.
fn constant(p: &mut Program, x: f64, like: Reg) -> Reg {
    let dtype = p.type_of(like);
    p.constant(x, dtype)
}

/// `f(x, c)` with a constant.
fn with(p: &mut Program, f: Binary, x: Reg, c: f64) -> Reg {
    let c = constant(p, c, x);
    p.binary(f, x, c)
}

/// `x` where it is above 0, else `y`.
fn positive_or(p: &mut Program, x: Reg, y: Reg) -> Reg {
    let zero = constant(p, 0.0, x);
    let above = p.binary(Binary::Gt, x, zero);
    p.select(above, x, y)
}

/// `x` where it is above 0, else `alpha · (exp(x / divisor) − 1)`.
fn elu(p: &mut Program, x: Reg, alpha: f64, divisor: f64) -> Reg {
    let e = if divisor == 1.0 { x } else { with(p, Binary::Div, x, divisor) };
    let e = p.unary(Unary::Expm1, e);
    let e = if alpha == 1.0 { e } else { with(p, Binary::Mul, e, alpha) };
    positive_or(p, x, e)
}

fn elu_of(x: f64, alpha: f64, divisor: f64) -> f64 {
    if x > 0.0 { x } else { alpha * (x / divisor).exp_m1() }
}

/// `x` where it is above 0, else `slope · x`.
fn leaky(p: &mut Program, x: Reg, slope: f64) -> Reg {
    let y = with(p, Binary::Mul, x, slope);
    positive_or(p, x, y)
}

/// `min(x, 0) − ln(1 + e^−|x|)`.
fn log_sigmoid(p: &mut Program, x: Reg) -> Reg {
    let n = p.unary(Unary::Neg, x);
    let s = p.unary(Unary::Softplus, n);
    p.unary(Unary::Neg, s)
}

fn logit_of(x: f64, eps: f64) -> f64 {
    let z = if eps < 0.0 {
        x
    } else if x < eps {
        eps
    } else if x > 1.0 - eps {
        1.0 - eps
    } else {
        x
    };
    (z / (1.0 - z)).ln()
}

fn logit(p: &mut Program, x: Reg, eps: f64) -> Reg {
    let mut z = x;
    if eps >= 0.0 {
        let (low, high) = (constant(p, eps, x), constant(p, 1.0 - eps, x));
        let (below, above) = (p.binary(Binary::Lt, x, low), p.binary(Binary::Gt, x, high));
        z = p.select(above, high, z);
        z = p.select(below, low, z);
    }
    let one = constant(p, 1.0, x);
    let rest = p.binary(Binary::Sub, one, z);
    let odds = p.binary(Binary::Div, z, rest);
    p.unary(Unary::Log, odds)
}

fn selu(p: &mut Program, x: Reg) -> Reg {
    let y = elu(p, x, SELU_ALPHA, 1.0);
    with(p, Binary::Mul, y, SELU_SCALE)
}

/// `x` beyond ±`lambda`, else 0; moved toward 0 by `shift`.
fn shrink(p: &mut Program, x: Reg, lambda: f64, shift: f64) -> Reg {
    let zero = constant(p, 0.0, x);
    let (low, high) = (constant(p, -lambda, x), constant(p, lambda, x));
    let (below, above) = (p.binary(Binary::Lt, x, low), p.binary(Binary::Gt, x, high));
    let up = with(p, Binary::Add, x, shift);
    let down = with(p, Binary::Sub, x, shift);
    let y = p.select(below, up, zero);
    p.select(above, down, y)
}

fn shrink_of(x: f64, lambda: f64, shift: f64) -> f64 {
    if x > lambda {
        x - shift
    } else if x < -lambda {
        x + shift
    } else {
        0.0
    }
}

fn softplus_of(x: f64, beta: f64, threshold: f64) -> f64 {
    if x * beta > threshold { x } else { Unary::Softplus.eval_f64(x * beta) / beta }
}

fn softplus(p: &mut Program, x: Reg, beta: f64, threshold: f64) -> Reg {
    let scaled = with(p, Binary::Mul, x, beta);
    let s = p.unary(Unary::Softplus, scaled);
    let s = with(p, Binary::Div, s, beta);
    let limit = constant(p, threshold, x);
    let linear = p.binary(Binary::Gt, scaled, limit);
    p.select(linear, x, s)
}

fn clamp(p: &mut Program, x: Reg, low: f64, high: f64) -> Reg {
    let x = with(p, Binary::Max, x, low);
    with(p, Binary::Min, x, high)
}

fn sinc_of(x: f64) -> f64 {
    let t = std::f64::consts::PI * x;
    if x == 0.0 { 1.0 } else { t.sin() / t }
}

fn sinc(p: &mut Program, x: Reg) -> Reg {
    let t = with(p, Binary::Mul, x, std::f64::consts::PI);
    let s = p.unary(Unary::Sin, t);
    let q = p.binary(Binary::Div, s, t);
    let (zero, one) = (constant(p, 0.0, x), constant(p, 1.0, x));
    let is_zero = p.binary(Binary::Eq, x, zero);
    p.select(is_zero, one, q)
}

activation! {
    /// `x · sigmoid(1.702·x)`, a fast form of the Gaussian unit. Integers give `f32`.
    FastGeLU["FastGelu", "QuickGELU"](x) = |_, x| x / (1.0 + (-1.702 * x).exp()), |_, p, x| {
        let s = with(p, Binary::Mul, x, 1.702);
        let s = p.unary(Unary::Sigmoid, s);
        p.binary(Binary::Mul, x, s)
    }, [];
    /// `x · Φ(x)`, with the error function (`approximate` = "none") or the hyperbolic tangent ("tanh"). Integers give `f32`.
    GeluExt(input, approximate: Approximate = Approximate::None) = |op, x| gelu(op.approximate).eval_f64(x),
        |op, p, x| p.unary(gelu(op.approximate), x), [[CaseArg::from("tanh")], [CaseArg::from(0i64)]];
    /// `ln(1 + exp(beta·x)) / beta`, and `x` where `beta·x` exceeds `threshold`. Integers give `f32`.
    SoftplusExt(input, beta: f64 = 1.0, threshold: f64 = 20.0) = |op, x| softplus_of(x, op.beta, op.threshold),
        |op, p, x| softplus(p, x, op.beta, op.threshold), [[CaseArg::from(2i64), CaseArg::from(3i64)]];
    /// `x` where it is above 0, else `negative_slope · x`. Integers give `f32`.
    LeakyReLUExt["LeakyReLU", "LeakyRelu"](input, negative_slope: f64 = 0.01)
        = |op, x| if x > 0.0 { x } else { op.negative_slope * x },
        |op, p, x| leaky(p, x, op.negative_slope), [[CaseArg::from(0.2f32)]];
    /// `x` where it is above 0, else `alpha · (eˣ − 1)`. Integers give `f32`.
    Elu["EluExt"](input_x, alpha: f64 = 1.0) = |op, x| elu_of(x, op.alpha, 1.0), |op, p, x| elu(p, x, op.alpha, 1.0), [[CaseArg::from(0.5f32)]];
    /// `x` where it is above 0, else `alpha · (e^(x/alpha) − 1)`. Integers give `f32`.
    CeLU(x, alpha: f64 = 1.0) = |op, x| elu_of(x, op.alpha, op.alpha), |op, p, x| elu(p, x, op.alpha, op.alpha), [[CaseArg::from(2.0f32)]];
    /// `1.0507·x` where `x` is above 0, else `1.0507 · 1.6733 · (eˣ − 1)`. Integers give `f32`.
    (object) SeLU["SeLUExt"](input_x) = |_, x| SELU_SCALE * elu_of(x, SELU_ALPHA, 1.0), |_, p, x| selu(p, x), [];
    /// `x` where its absolute value exceeds `lambd`, else 0. Integers give `f32`.
    HShrink(input, lambd: f64 = 0.5) = |op, x| shrink_of(x, op.lambd, 0.0), |op, p, x| shrink(p, x, op.lambd, 0.0), [[CaseArg::from(1.5f32)]];
    /// `x` moved toward 0 by `lambd`, and 0 where it would change its sign. Integers give `f32`.
    SoftShrink(input, lambd: f64 = 0.5) = |op, x| shrink_of(x, op.lambd, op.lambd), |op, p, x| shrink(p, x, op.lambd, op.lambd), [[CaseArg::from(1.5f32)]];
    /// `x` limited to the range from `min_val` to `max_val`. Integers give `f32`.
    Hardtanh["HardTanh"](input, min_val: f64 = -1.0, max_val: f64 = 1.0)
        = |op, x| Binary::Min.eval_f64(Binary::Max.eval_f64(x, op.min_val), op.max_val),
        |op, p, x| clamp(p, x, op.min_val, op.max_val), [[CaseArg::from(-2.0f32), CaseArg::from(0.5f32)]];
    /// `ln(z / (1 − z))` of `z`, which is `x`, or unless `eps` is negative `x` limited from `eps` to `1 − eps`. NaN outside 0 to 1.
    /// Integers give `f32`.
    Logit(input, eps: f64 = -1.0) = |op, x| logit_of(x, op.eps), |op, p, x| logit(p, x, op.eps),
        [[CaseArg::from(0.1f32)], [CaseArg::from(0.75f32)]];
    /// `ln(1 / (1 + e⁻ˣ))`. Integers give `f32`.
    LogSigmoid(input) = |_, x| -Unary::Softplus.eval_f64(-x), |_, p, x| log_sigmoid(p, x), [];
    /// `x / (1 + |x|)`. Integers give `f32`.
    (object) Softsign(input_x) = |_, x| x / (1.0 + x.abs()), |_, p, x| {
        let a = p.unary(Unary::Abs, x);
        let a = with(p, Binary::Add, a, 1.0);
        p.binary(Binary::Div, x, a)
    }, [];
    /// `2ˣ`. Integers give `f32`.
    Exp2(input) = |_, x| x.exp2(), |_, p, x| {
        let two = constant(p, 2.0, x);
        p.binary(Binary::Pow, two, x)
    }, [];
    /// The fraction of `x`, with its sign. Integers give `f32`.
    Frac(input) = |_, x| x - x.trunc(), |_, p, x| {
        let t = p.unary(Unary::Trunc, x);
        p.binary(Binary::Sub, x, t)
    }, [];
    /// `sin(πx) / (πx)`, and 1 at 0. Integers give `f32`.
    Sinc(input) = |_, x| sinc_of(x), |_, p, x| sinc(p, x), [];
}

fn gelu(form: Approximate) -> Unary {
    match form {
        Approximate::None => Unary::Gelu,
        Approximate::Tanh => Unary::GeluTanh,
    }
}
