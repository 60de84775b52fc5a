//! Functions of one number: a table of name, type rule and function.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::complex::functions;
use crate::ops::kit::broadcasting::{float_of, number_of};
use crate::ops::kit::complex::{Complex64, flag, truth};
use crate::ops::kit::elementwise::{Elementwise, OfComplex};
use crate::ops::kit::sample::{complex, cycle, filled, flags, sample};
use crate::task::Unary;
use crate::{DType, OpError, ensure, op};

/// Which types a function takes and gives.
#[derive(Clone, Copy, PartialEq)]
enum Types {
    /// Any number; the result has the operand's type.
    Number,
    /// Floats keep their type; integers and `bool` are computed and returned as `f32`.
    Float,
    /// Any number, computed as a float; the result has the operand's type, truncated for integers.
    Through,
    /// Any number, read as `bool`; `bool` result.
    Truth,
    /// Integers and `bool`; the result has the operand's type.
    Bits,
    /// Any number; `bool` result.
    Test,
}

/// The type of computation and of the result.
fn types(rule: Types, x: &Operand) -> (DType, DType) {
    let d = x.dtype();
    match rule {
        Types::Number => (number_of(d), d),
        Types::Float => (float_of(d), float_of(d)),
        Types::Through => (float_of(d), d),
        Types::Truth => (DType::Bool, DType::Bool),
        Types::Bits => (d, d),
        Types::Test => (d, DType::Bool),
    }
}

fn plan(rule: Types, f: Unary, x: &Operand) -> Result<impl Rule, OpError> {
    let whole = x.dtype().is_int() || x.dtype() == DType::Bool;
    ensure!(rule != Types::Bits || whole, "expected an integer type or bool, found {}", x.dtype());
    let (compute, out) = types(rule, x);
    let result = if f.is_test() { DType::Bool } else { compute };
    let complex = of_complex(f).map(|f| Box::new(move |[z]: [Complex64; 1]| f(z)) as OfComplex<1>);
    let rule = Elementwise::new([(x, compute)], out, move |[x]| f.eval(x, result), move |p, [x]| p.unary(f, x));
    Ok(rule.of_complex(complex))
}

/// The function of complex numbers, if it has a meaning there.
fn of_complex(f: Unary) -> Option<fn(Complex64) -> Complex64> {
    Some(match f {
        Unary::Abs => |z| z.norm().into(),
        Unary::Neg => |z| -z,
        Unary::Sign => |z| if truth(z) { z / z.norm() } else { z },
        Unary::Square => |z| z * z,
        Unary::Sqrt => functions::sqrt,
        Unary::Rsqrt => |z| functions::sqrt(z).finv(),
        Unary::Reciprocal => |z| z.finv(),
        Unary::Exp => functions::exp,
        Unary::Expm1 => functions::expm1,
        Unary::Log => |z| z.ln(),
        Unary::Log1p => functions::ln_1p,
        Unary::Sin => |z| z.sin(),
        Unary::Cos => |z| z.cos(),
        Unary::Tan => functions::tan,
        Unary::Asin => functions::asin,
        Unary::Acos => functions::acos,
        Unary::Atan => functions::atan,
        Unary::Sinh => |z| z.sinh(),
        Unary::Cosh => |z| z.cosh(),
        Unary::Tanh => functions::tanh,
        Unary::Asinh => functions::asinh,
        Unary::Acosh => functions::acosh,
        Unary::Atanh => functions::atanh,
        Unary::Sigmoid => |z| ((-z).exp() + 1.0).finv(),
        Unary::Not => |z| flag(!truth(z)),
        _ => return None,
    })
}

/// Numbers on which `f` is defined and of moderate size.
fn domain(f: Unary) -> &'static [f64] {
    match f {
        Unary::Asin | Unary::Acos | Unary::Atanh => &[-0.9, -0.5, -0.01, 0.0, 0.2, 0.75, 0.875],
        Unary::Acosh => &[1.0, 1.25, 2.0, 3.5, 10.0, 100.0],
        Unary::Log | Unary::Log2 | Unary::Log10 | Unary::Log1p | Unary::Rsqrt | Unary::Reciprocal => {
            &[0.01, 0.25, 0.5, 1.0, 1.5, 3.0, 10.0, 1000.0]
        }
        Unary::Sqrt => &[0.0, 0.01, 0.25, 0.5, 1.0, 1.5, 3.0, 10.0, 1000.0],
        _ => &[-7.0, -3.5, -2.5, -1.5, -1.0, -0.5, -0.25, 0.0, 0.125, 0.5, 1.0, 2.5, 3.5, 6.5, 7.0],
    }
}

const EDGES: [f64; 11] =
    [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -0.0, 0.0, -1.0, 1.0, 1e-30, -1e-30, 200.0, -200.0];

fn cases(rule: Types, f: Unary) -> Vec<Case> {
    let on = |name, dtype: DType, dims: &[usize]| {
        let sample = sample().arg(cycle(dtype, dims, domain(f)));
        if matches!(rule, Types::Truth | Types::Bits | Types::Test) { sample.exact(name) } else { sample.case(name) }
    };
    let mut out = Vec::new();
    if rule != Types::Bits {
        out.push(on("f32", DType::F32, &[2, 3, 7]));
        out.push(on("f16", DType::F16, &[5, 3]));
        out.push(on("one element", DType::F32, &[]));
        out.push(on("empty", DType::F32, &[0, 3]));
        if edges_agree(f) {
            out.push(sample().arg(cycle(DType::F32, &[11], &EDGES)).case("edge values"));
        }
    }
    if rule != Types::Float {
        out.push(on("i32", DType::I32, &[4, 5]));
    } else {
        out.push(sample().arg(filled(DType::I64, &[4], |i| i as f64 + 1.0)).case("integers"));
    }
    if rule != Types::Bits && of_complex(f).is_some() {
        out.push(sample().arg(complex(DType::C64, &[2, 3])).case("c64"));
    }
    if matches!(rule, Types::Truth | Types::Bits) {
        out.push(sample().arg(flags(&[3, 4])).exact("bool"));
    }
    out
}

/// Whether implementations agree on infinities, NaN and large arguments.
fn edges_agree(f: Unary) -> bool {
    !matches!(f, Unary::Sin | Unary::Cos | Unary::Tan | Unary::Sign | Unary::HSwish | Unary::Relu6 | Unary::HSigmoid)
        && !matches!(f, Unary::Silu | Unary::Gelu | Unary::GeluTanh | Unary::Mish)
}

macro_rules! unary {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident $([$($alias:literal),*])? ($x:ident) = $rule:ident, $f:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name $(, aliases [$($alias),*])? { $x: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                plan(Types::$rule, Unary::$f, &self.$x)
            }

            fn cases() -> Vec<Case> {
                cases(Types::$rule, Unary::$f)
            }
        }
    )*};
}

unary! {
    /// `|x|`, of any type; that of complex numbers is complex, with imaginary part 0. `bool` is unchanged.
    Abs(input) = Number, Abs;
    /// `−x`, of any type; integers wrap.
    Neg(input) = Number, Neg;
    /// −1, 0 or 1, of any type; NaN stays NaN. Complex numbers get magnitude 1, but 0.
    Sign(input) = Number, Sign;
    /// `x²`, of any type; integers wrap.
    Square(input) = Number, Square;
    /// `√x`. Integers and `bool` give `f32`.
    Sqrt(x) = Float, Sqrt;
    /// `1 / √x`. Integers and `bool` give `f32`.
    Rsqrt(input) = Float, Rsqrt;
    /// `1 / x`. Integers and `bool` give `f32`.
    Reciprocal["Inv"](input) = Float, Reciprocal;
    /// `eˣ`. Integers and `bool` give `f32`.
    Exp(input) = Float, Exp;
    /// `eˣ − 1`. Integers and `bool` give `f32`.
    Expm1(input) = Float, Expm1;
    /// Natural logarithm. Integers and `bool` give `f32`.
    Log(input) = Float, Log;
    /// `ln(1 + x)`. Integers and `bool` give `f32`.
    Log1p(input) = Float, Log1p;
    /// Logarithm to base 2. Integers and `bool` give `f32`.
    Log2(input) = Float, Log2;
    /// Logarithm to base 10. Integers and `bool` give `f32`.
    Log10(input) = Float, Log10;
    /// Sine. Integers and `bool` give `f32`.
    Sin(input) = Float, Sin;
    /// Cosine. Integers and `bool` give `f32`.
    Cos(input) = Float, Cos;
    /// Tangent. Integers and `bool` give `f32`.
    Tan(input) = Float, Tan;
    /// Inverse sine. Integers and `bool` give `f32`.
    Asin["AsinExt"](input) = Float, Asin;
    /// Inverse cosine. Integers and `bool` give `f32`.
    ACos["AcosExt", "Acos"](input) = Float, Acos;
    /// Inverse tangent. Integers and `bool` give `f32`.
    Atan["AtanExt"](input) = Float, Atan;
    /// Hyperbolic sine. Integers and `bool` give `f32`.
    Sinh(input) = Float, Sinh;
    /// Hyperbolic cosine. Integers and `bool` give `f32`.
    Cosh(input) = Float, Cosh;
    /// Hyperbolic tangent. Integers and `bool` give `f32`.
    Tanh(input) = Float, Tanh;
    /// Inverse hyperbolic sine. Integers and `bool` give `f32`.
    Asinh["AsinhExt"](input) = Float, Asinh;
    /// Inverse hyperbolic cosine. Integers and `bool` give `f32`.
    Acosh["AcoshExt"](input) = Float, Acosh;
    /// Inverse hyperbolic tangent. Integers and `bool` give `f32`.
    Atanh(input) = Float, Atanh;
    /// Error function. Integers and `bool` give `f32`.
    Erf(input) = Float, Erf;
    /// `1 − erf(x)`. Integers and `bool` give `f32`.
    Erfc(input) = Float, Erfc;
    /// Largest integer not above `x`, in the type of `x`.
    Floor(input) = Number, Floor;
    /// Smallest integer not below `x`, in the type of `x`.
    Ceil(input) = Number, Ceil;
    /// `x` without its fraction, in the type of `x`.
    Trunc(input) = Number, Trunc;
    /// Nearest integer, halves to even, in the type of `x`.
    (object) Rint(input_x) = Number, Round;
    /// `max(x, 0)`, of any real type.
    ReLU["Relu", "ReLUV3"](input) = Number, Relu;
    /// `min(max(x, 0), 6)`, of any real type.
    ReLU6(x) = Number, Relu6;
    /// `1 / (1 + e⁻ˣ)`. Integers and `bool` give `f32`.
    Sigmoid(input) = Float, Sigmoid;
    /// `x · sigmoid(x)`. Integers and `bool` give `f32`.
    SiLU["Swish"](input) = Float, Silu;
    /// `x · Φ(x)` in its form with the hyperbolic tangent: `x / (1 + exp(−2·√(2/π)·(x + 0.044715·x³)))`.
    GeLU["Gelu"](input) = Float, GeluTanh;
    /// `x · relu6(x + 3) / 6`, in the type of `x`; integers truncate.
    HSwish["Hardswish"](input) = Through, HSwish;
    /// `relu6(x + 3) / 6`, in the type of `x`; integers truncate.
    HSigmoid["Hardsigmoid"](input) = Through, HSigmoid;
    /// `ln(1 + eˣ)`.
    (object) Softplus(x) = Float, Softplus;
    /// `x · tanh(ln(1 + eˣ))`.
    (object) Mish["MishExt"](x) = Float, Mish;
    /// Whether `x` is false; numbers other than `bool` are true unless they are 0. The result is `bool`.
    LogicalNot["BoolNot"](input) = Truth, Not;
    /// Every bit inverted, of integers; `bool` is negated.
    BitwiseNot["Invert"](input) = Bits, Not;
    /// Whether `x` is NaN. The result is `bool`.
    (object) IsNan(x) = Test, IsNan;
    /// Whether `x` is infinite. The result is `bool`.
    IsInf(input) = Test, IsInf;
    /// Whether `x` is neither infinite nor NaN. The result is `bool`.
    IsFinite(input) = Test, IsFinite;
}
