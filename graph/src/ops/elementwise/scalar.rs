//! Arithmetic on Python numbers that a model computes at run time: tensors of one element, `i64`, `f32` or `bool`.

// Some primitives have lower-case names, and the struct is named after the primitive.
#![allow(non_camel_case_types)]

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, number_of, single};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Scalar, Unary};
use crate::{DType, OpError, ensure, op};

/// Python's types: integers are `i64`, a float with anything is a float.
fn python(a: &Operand, b: &Operand) -> DType {
    DType::promote(number_of(a.dtype()), number_of(b.dtype()))
}

/// Which type a function of two Python numbers gives.
#[derive(Clone, Copy, PartialEq)]
enum Types {
    /// The common type, where `bool` counts as an integer.
    Number,
    /// A float.
    Float,
    /// `bool`.
    Comparison,
    /// `bool` of both operands' truth.
    Truth,
    /// Integers, or `bool` of two `bool`s.
    Bits,
}

fn types(rule: Types, a: &Operand, b: &Operand) -> (DType, DType) {
    let d = python(a, b);
    match rule {
        Types::Number => (d, d),
        Types::Float => (float_of(d), float_of(d)),
        Types::Comparison => (d, DType::Bool),
        Types::Truth => (DType::Bool, DType::Bool),
        Types::Bits => {
            let d = DType::promote(a.dtype(), b.dtype());
            (d, d)
        }
    }
}

fn plan<'a>(rule: Types, f: Binary, x: &'a Operand, y: &'a Operand) -> Result<impl Rule, OpError> {
    single(x)?;
    single(y)?;
    let (d, out) = types(rule, x, y);
    ensure!(rule != Types::Bits || !d.is_float(), "expected integers, found {d}");
    Ok(Elementwise::new([(x, d), (y, d)], out, move |[x, y]| f.eval(x, y, d), move |p, [x, y]| p.binary(f, x, y)))
}

macro_rules! scalar {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident = $rule:ident, $f:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { x: Operand as Number, y: Operand as Number } -> Number
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                plan(Types::$rule, Binary::$f, &self.x, &self.y)
            }

            fn cases() -> Vec<Case> {
                if Types::$rule == Types::Truth {
                    return vec![sample().flag(true).flag(true).exact("both"), sample().flag(true).flag(false).exact("one")];
                }
                let mut out = vec![sample().int(-7).int(2).case("integers"), sample().int(3).int(3).exact("equal")];
                if Types::$rule != Types::Bits {
                    out.push(sample().int(7).real(-2.0).case("mixed"));
                    out.push(sample().real(1.5).real(2.0).case("floats"));
                }
                out
            }
        }
    )*};
}

scalar! {
    /// `x + y` of two Python numbers.
    ScalarAdd = Number, Add;
    /// `x − y` of two Python numbers.
    ScalarSub = Number, Sub;
    /// `x · y` of two Python numbers.
    ScalarMul = Number, Mul;
    /// `x / y` of two Python numbers, as a float.
    ScalarDiv = Float, Div;
    /// `⌊x / y⌋` of two Python numbers; an integer divided by 0 gives 0.
    ScalarFloorDiv = Number, FloorDiv;
    /// `x − ⌊x / y⌋ · y` of two Python numbers; 0 for integers if `y` is 0.
    ScalarMod = Number, FloorMod;
    /// `xʸ` of two Python numbers.
    ScalarPow = Number, Pow;
    /// The larger of two Python numbers.
    ScalarMax = Number, Max;
    /// The smaller of two Python numbers.
    ScalarMin = Number, Min;
    /// Whether two Python numbers are equal, as `bool`.
    ScalarEq = Comparison, Eq;
    /// Whether the first of two Python numbers is less than the second, as `bool`.
    ScalarLt = Comparison, Lt;
    /// Whether the first of two Python numbers is not above the second, as `bool`.
    ScalarLe = Comparison, Le;
    /// Whether the first of two Python numbers is greater than the second, as `bool`.
    ScalarGt = Comparison, Gt;
    /// Whether the first of two Python numbers is not below the second, as `bool`.
    ScalarGe = Comparison, Ge;
    /// Whether both Python values are true, as `bool`.
    (object) bool_and = Truth, And;
    /// Whether either Python value is true, as `bool`.
    (object) bool_or = Truth, Or;
    /// Whether both Python values are true or both false, as `bool`.
    (object) bool_eq = Truth, Eq;
    /// Bitwise and of two Python integers.
    (object) bit_and = Bits, And;
    /// Bitwise or of two Python integers.
    (object) bit_or = Bits, Or;
}

/// `f` of a number that is read as `d`, or that number.
fn of_one(x: &Operand, d: DType, f: Option<Unary>) -> Result<impl Rule, OpError> {
    single(x)?;
    let definition = move |[x]: [Scalar; 1]| f.map_or(x, |f| f.eval(x, d));
    Ok(Elementwise::new([(x, d)], d, definition, move |p, [x]| f.map_or(x, |f| p.unary(f, x))))
}

macro_rules! scalar_unary {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident = $dtype:expr, $f:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { x: Operand as Number } -> Number
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let dtype: fn(DType) -> DType = $dtype;
                of_one(&self.x, dtype(self.x.dtype()), $f)
            }

            fn cases() -> Vec<Case> {
                vec![sample().int(3).case("integer"), sample().real(2.5).case("float"), sample().flag(true).case("bool")]
            }
        }
    )*};
}

scalar_unary! {
    /// A Python number with its sign kept; `bool` becomes an integer.
    ScalarUadd = number_of, None;
    /// A Python number with its sign changed; `bool` becomes an integer.
    ScalarUsub = number_of, Some(Unary::Neg);
    /// Natural logarithm of a Python number, as a float.
    ScalarLog = float_of, Some(Unary::Log);
    /// Whether a Python value is true, as `bool`.
    ScalarBool = |_| DType::Bool, None;
    /// Whether a Python value is false, as `bool`.
    (object) bool_not = |_| DType::Bool, Some(Unary::Not);
}
