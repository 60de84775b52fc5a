//! Functions of two numbers: a table of name, type rule and function.

use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, number_of, single};
use crate::ops::kit::complex::{Complex64, flag, truth};
use crate::ops::kit::elementwise::{Elementwise, OfComplex};
use crate::ops::kit::sample::{complex, cycle, flags, sample};
use crate::task::{Binary, Instr, Program, Reg, Scalar, Unary};
use crate::{DType, OpError, ensure, op};

/// Which of the operands are Python numbers. A Python number does not widen a tensor: only a float that meets integers makes
/// the result `f32`, and an integer that meets `bool` makes it `i64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Mix {
    /// Both are tensors and are promoted to their common type.
    Tensors,
    /// The second is a number.
    Right,
    /// The first is a number.
    Left,
}

/// The type in which a tensor of type `tensor` meets a Python number of type `number`.
pub(in crate::ops) fn with_arithmetic(tensor: DType, number: DType) -> DType {
    if number.is_float() {
        float_of(tensor)
    } else if tensor == DType::Bool && number.is_int() {
        DType::I64
    } else {
        tensor
    }
}

/// The common type of two operands.
pub(in crate::ops) fn common(mix: Mix, a: &Operand, b: &Operand) -> DType {
    match mix {
        Mix::Tensors => DType::promote(a.dtype(), b.dtype()),
        Mix::Right => with_arithmetic(a.dtype(), b.dtype()),
        Mix::Left => with_arithmetic(b.dtype(), a.dtype()),
    }
}

/// Which types a function takes and gives, of the operands' common type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Types {
    /// The common type; `bool` as integers, read back as `bool`.
    Number,
    /// Floats; integers and `bool` are computed and returned as `f32`.
    Float,
    /// Any; `bool` result.
    Comparison,
    /// Both operands read as `bool`; `bool` result.
    Truth,
    /// Integers and `bool`.
    Bits,
    /// Integers.
    Integers,
}

/// A function of two numbers.
#[derive(Clone, Copy)]
enum Function {
    /// One that programs have.
    Plain(Binary),
    /// One that is composed: of floats by definition, and as a program, which defines it for integers.
    Composed(fn(f64, f64) -> f64, fn(&mut Program, Reg, Reg) -> Reg),
}

use Function::{Composed, Plain};

/// A program of two numbers of type `dtype`.
fn program_of(dtype: DType, write: fn(&mut Program, Reg, Reg) -> Reg) -> Program {
    let mut p = Program::new();
    let (a, b) = (p.input(0, dtype), p.input(1, dtype));
    let y = write(&mut p, a, b);
    if y + 1 != p.instrs.len() {
        p.push(Instr::Cast(y), dtype);
    }
    p
}

/// The type of computation and of the result.
fn types(rule: Types, mix: Mix, a: &Operand, b: &Operand) -> (DType, DType) {
    let d = common(mix, a, b);
    match rule {
        Types::Number => (number_of(d), d),
        Types::Float => (float_of(d), float_of(d)),
        Types::Comparison => (d, DType::Bool),
        Types::Truth => (DType::Bool, DType::Bool),
        Types::Bits | Types::Integers => (d, d),
    }
}

fn plan<'a>(rule: Types, mix: Mix, f: Function, a: &'a Operand, b: &'a Operand) -> Result<impl Rule, OpError> {
    let (compute, out) = types(rule, mix, a, b);
    let whole = compute.is_int() || compute == DType::Bool;
    ensure!(rule != Types::Bits || whole, "expected integers or bool, found {} and {}", a.fact, b.fact);
    ensure!(rule != Types::Integers || compute.is_int(), "expected integers, found {} and {}", a.fact, b.fact);
    match mix {
        Mix::Tensors => {}
        Mix::Right => single(b)?,
        Mix::Left => single(a)?,
    }
    let exact = match f {
        Composed(_, program) if !compute.is_float() && !compute.is_complex() => Some(program_of(compute, program)),
        _ => None,
    };
    let definition = move |[a, b]: [Scalar; 2]| match (f, &exact) {
        (_, Some(program)) => program.eval(&[a, b]),
        (Plain(f), None) => f.eval(a, b, compute),
        (Composed(f, _), None) => Scalar::Float(f(a.as_f64(), b.as_f64())),
    };
    let program = move |p: &mut Program, [a, b]: [Reg; 2]| match f {
        Plain(f) => p.binary(f, a, b),
        Composed(_, program) => program(p, a, b),
    };
    let new = if matches!(f, Plain(_)) { Elementwise::new } else { Elementwise::widened };
    let complex = of_complex(f).map(|f| Box::new(move |[a, b]: [Complex64; 2]| f(a, b)) as OfComplex<2>);
    Ok(new([(a, compute), (b, compute)], out, definition, program).of_complex(complex))
}

/// The function of complex numbers, if it has a meaning there.
fn of_complex(f: Function) -> Option<fn(Complex64, Complex64) -> Complex64> {
    Some(match f {
        Plain(Binary::Add) => |a, b| a + b,
        Plain(Binary::Sub) => |a, b| a - b,
        Plain(Binary::Mul) => |a, b| a * b,
        Plain(Binary::Div) => |a, b| a.fdiv(b),
        Plain(Binary::Pow) => |a, b| a.powc(b),
        Plain(Binary::Eq) => |a, b| flag(a == b),
        Plain(Binary::Ne) => |a, b| flag(a != b),
        Plain(Binary::And) => |a, b| flag(truth(a) && truth(b)),
        Plain(Binary::Or) => |a, b| flag(truth(a) || truth(b)),
        Plain(Binary::Xor) => |a, b| flag(truth(a) != truth(b)),
        _ => return None,
    })
}

/// Operands of a case, by name: `f32` with broadcasting, the types that the rule adds, and a number where the mix asks for it.
fn cases(rule: Types, mix: Mix, f: Function) -> Vec<Case> {
    let positive = matches!(f, Plain(Binary::Pow));
    let numbers: &[f64] =
        if positive { &[0.5, 1.0, 2.0, 3.0, 0.25] } else { &[1.25, -7.0, 3.5, 0.75, -2.0, 5.0, -0.25, 2.0] };
    let ints: &[f64] = if positive { &[2.0, 1.0, 3.0] } else { &[7.0, -7.0, 4.0, -3.0, 2.0, 1.0, -1.0, 5.0] };
    let operand = |d: DType, dims: &[usize], single: bool, skip: usize| {
        let values = if d.is_float() { numbers } else { ints };
        match (single, d.is_float()) {
            (true, true) => CaseArg::from(2.5f32),
            (true, false) => CaseArg::from(3i64),
            (false, _) => {
                let at = values.iter().cycle().skip(skip);
                cycle(d, dims, &at.take(values.len()).copied().collect::<Vec<_>>())
            }
        }
    };
    let pair = |name, da: DType, db: DType, a: &[usize], b: &[usize]| {
        let args = [operand(da, a, mix == Mix::Left, 0), operand(db, b, mix == Mix::Right, 3)];
        let sample = sample().args(args);
        if matches!(rule, Types::Number | Types::Float) { sample.case(name) } else { sample.exact(name) }
    };
    let mut out = vec![
        pair("i32", DType::I32, DType::I32, &[3, 5], &[3, 5]),
        pair("i64 broadcast", DType::I64, DType::I64, &[2, 1, 4], &[3, 1]),
    ];
    if !matches!(rule, Types::Bits | Types::Integers) {
        out.push(pair("f32", DType::F32, DType::F32, &[2, 3, 7], &[2, 3, 7]));
        out.push(pair("f32 row", DType::F32, DType::F32, &[2, 3, 7], &[7]));
        out.push(pair("f32 column", DType::F32, DType::F32, &[3, 1], &[1, 5]));
        out.push(pair("f32 one element", DType::F32, DType::F32, &[2, 3], &[]));
        out.push(pair("f16", DType::F16, DType::F16, &[3, 5], &[5]));
        out.push(pair("int and float", DType::I32, DType::F32, &[3, 5], &[3, 5]));
        out.push(pair("float and int", DType::F32, DType::I64, &[3, 5], &[5]));
        out.push(pair("empty", DType::F32, DType::F32, &[0, 3], &[1, 3]));
    }
    if matches!(rule, Types::Truth | Types::Bits | Types::Comparison) && mix == Mix::Tensors {
        out.push(sample().arg(flags(&[4, 5])).arg(flags(&[5])).exact("bool"));
    }
    if rule != Types::Bits && mix == Mix::Tensors && of_complex(f).is_some() {
        out.push(sample().arg(complex(DType::C64, &[2, 3])).arg(complex(DType::C64, &[3])).case("c64"));
    }
    if rule == Types::Comparison && mix == Mix::Tensors {
        let edges = [f64::NAN, 1.0, f64::INFINITY, -0.0, 0.0];
        out.push(
            sample().arg(cycle(DType::F32, &[5, 1], &edges)).arg(cycle(DType::F32, &[5], &edges)).exact("edge values"),
        );
    }
    out
}

macro_rules! binary {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident $([$($alias:literal),*])? ($a:ident, $b:ident) = $rule:ident, $mix:ident, $f:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name $(, aliases [$($alias),*])? { $a: Operand, $b: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                plan(Types::$rule, Mix::$mix, $f, &self.$a, &self.$b)
            }

            fn cases() -> Vec<Case> {
                cases(Types::$rule, Mix::$mix, $f)
            }
        }
    )*};
}

binary! {
    /// `a + b`. `bool` operands give `bool`: whether either is true.
    Add["AddV2"](input, other) = Number, Tensors, Plain(Binary::Add);
    /// `a − b`.
    Sub(input, other) = Number, Tensors, Plain(Binary::Sub);
    /// `a · b`. `bool` operands give `bool`: whether both are true.
    Mul(input, other) = Number, Tensors, Plain(Binary::Mul);
    /// `a · b` with a Python number.
    Muls(input, other) = Number, Right, Plain(Binary::Mul);
    /// `a / b`. Integers and `bool` are divided as `f32`.
    Div(input, other) = Float, Tensors, Plain(Binary::Div);
    /// `a / b` with a Python number. Integers and `bool` are divided as `f32`.
    Divs(input, other) = Float, Right, Plain(Binary::Div);
    /// `a / b`. Integers truncate toward zero; an integer divided by 0 gives 0.
    RealDiv(x, y) = Number, Tensors, Plain(Binary::Div);
    /// `⌊a / b⌋`. An integer divided by 0 gives 0.
    FloorDiv(input, other) = Number, Tensors, Plain(Binary::FloorDiv);
    /// `⌊a / b⌋` with a Python number. An integer divided by 0 gives 0.
    FloorDivScalar(input, other) = Number, Right, Plain(Binary::FloorDiv);
    /// `a − ⌊a / b⌋ · b`, with the sign of `b`. Integers: 0 when `b` is 0.
    FloorMod["RemainderTensorTensor"](x, y) = Number, Tensors, Plain(Binary::FloorMod);
    /// `a − ⌊a / b⌋ · b` with a Python number, with the sign of `b`. Integers: 0 when `b` is 0.
    RemainderTensorScalar(input, other) = Number, Right, Plain(Binary::FloorMod);
    /// `a − ⌊a / b⌋ · b` of a Python number and a tensor, with the sign of `b`. Integers: 0 when `b` is 0.
    RemainderScalarTensor(input, other) = Number, Left, Plain(Binary::FloorMod);
    /// Remainder with the sign of `a`. Integers: 0 when `b` is 0.
    (object) Mod["TruncateMod", "FmodTensor"](x, y) = Number, Tensors, Plain(Binary::Rem);
    /// Remainder with the sign of `a`, with a Python number. Integers: 0 when `b` is 0.
    FmodScalar(input, other) = Number, Right, Plain(Binary::Rem);
    /// `a / b` without its fraction. An integer divided by 0 gives 0.
    (object) TruncateDiv(x, y) = Number, Tensors, Composed(truncate_div, |p, a, b| {
        let q = p.binary(Binary::Div, a, b);
        if p.type_of(q).is_float() { p.unary(Unary::Trunc, q) } else { q }
    });
    /// `aᵇ`. Integers wrap; a negative exponent of an integer truncates the result.
    Pow(input, exponent) = Number, Tensors, Plain(Binary::Pow);
    /// `aᵇ` with a Python number as exponent.
    PowTensorScalar(input, exponent) = Number, Right, Plain(Binary::Pow);
    /// `aᵇ` with a Python number as base.
    PowScalarTensor(input, exponent) = Number, Left, Plain(Binary::Pow);
    /// The larger of both; NaN if either is.
    Maximum(input, other) = Number, Tensors, Plain(Binary::Max);
    /// The smaller of both; NaN if either is.
    Minimum(input, other) = Number, Tensors, Plain(Binary::Min);
    /// The larger of both; if one is NaN, the other.
    (object) Fmax(x1, x2) = Number, Tensors, Composed(f64::max, |p, a, b| known(p, Binary::Max, a, b));
    /// The smaller of both; if one is NaN, the other.
    (object) Fmin(x1, x2) = Number, Tensors, Composed(f64::min, |p, a, b| known(p, Binary::Min, a, b));
    /// 1 where `a` is positive, `b` where it is 0, else 0.
    Heaviside(x, values) = Number, Tensors, Composed(heaviside, |p, a, b| {
        let dtype = p.type_of(a);
        let (zero, one) = (p.constant(0.0, dtype), p.constant(1.0, dtype));
        let above = p.binary(Binary::Gt, a, zero);
        let flat = p.binary(Binary::Eq, a, zero);
        let y = p.select(above, one, zero);
        p.select(flat, b, y)
    });
    /// `a` shifted by `b` bits toward higher ones, of integers: `a · 2ᵇ`, which wraps. `b` counts modulo 64 for types of 64
    /// bits, else modulo 32.
    LeftShift(x1, x2) = Integers, Tensors, Composed(|a, b| a * b.exp2(), |p, a, b| {
        let places = places(p, b);
        let factor = power_of_two(p, places);
        p.binary(Binary::Mul, a, factor)
    });
    /// `a` shifted by `b` bits toward lower ones, of integers: `⌊a / 2ᵇ⌋`. `b` counts modulo 64 for types of 64 bits, else
    /// modulo 32.
    RightShift(x1, x2) = Integers, Tensors, Composed(|a, b| (a / b.exp2()).floor(), |p, a, b| {
        let (places, dtype) = (places(p, b), p.type_of(b));
        // Signs fill a signed number; the largest power of two is none, so the shift has two parts. Dividing an unsigned
        // number by a power of two that wraps gives 0.
        let most = p.constant((dtype.size() * 8 - 1) as f64, dtype);
        let places = if is_signed(dtype) { p.binary(Binary::Min, places, most) } else { places };
        let two = p.constant(2.0, dtype);
        let half = p.binary(Binary::FloorDiv, places, two);
        let rest = p.binary(Binary::Sub, places, half);
        [half, rest].into_iter().fold(a, |a, places| {
            let factor = power_of_two(p, places);
            p.binary(Binary::FloorDiv, a, factor)
        })
    });
    /// Angle of the point `(b, a)`. Integers and `bool` give `f32`.
    Atan2["Atan2Ext"](input, other) = Float, Tensors, Plain(Binary::Atan2);
    /// `a = b`, as `bool`.
    Equal["EqualExt"](input, other) = Comparison, Tensors, Plain(Binary::Eq);
    /// `a ≠ b`, as `bool`.
    NotEqual(input, other) = Comparison, Tensors, Plain(Binary::Ne);
    /// `a < b`, as `bool`.
    Less(input, other) = Comparison, Tensors, Plain(Binary::Lt);
    /// `a ≤ b`, as `bool`.
    LessEqual(input, other) = Comparison, Tensors, Plain(Binary::Le);
    /// `a > b`, as `bool`.
    Greater(input, other) = Comparison, Tensors, Plain(Binary::Gt);
    /// `a ≥ b`, as `bool`.
    GreaterEqual(input, other) = Comparison, Tensors, Plain(Binary::Ge);
    /// `a = b` with a Python number, as `bool`.
    EqScalar(input, other) = Comparison, Right, Plain(Binary::Eq);
    /// `a < b` with a Python number, as `bool`.
    LessScalar(input, other) = Comparison, Right, Plain(Binary::Lt);
    /// `a ≥ b` with a Python number, as `bool`.
    GreaterEqualScalar(input, other) = Comparison, Right, Plain(Binary::Ge);
    /// Whether both are true, as `bool`; numbers are true unless they are 0.
    LogicalAnd(x, y) = Truth, Tensors, Plain(Binary::And);
    /// Whether either is true, as `bool`; numbers are true unless they are 0.
    LogicalOr(x, y) = Truth, Tensors, Plain(Binary::Or);
    /// Whether exactly one is true, as `bool`; numbers are true unless they are 0.
    LogicalXor(input, other) = Truth, Tensors, Plain(Binary::Xor);
    /// Bitwise and, of integers or `bool`.
    (object) BitwiseAnd["BitwiseAndTensor"](x, y) = Bits, Tensors, Plain(Binary::And);
    /// Bitwise or, of integers or `bool`.
    (object) BitwiseOr["BitwiseOrTensor"](x, y) = Bits, Tensors, Plain(Binary::Or);
    /// Bitwise exclusive or, of integers or `bool`.
    (object) BitwiseXor["BitwiseXorTensor"](x, y) = Bits, Tensors, Plain(Binary::Xor);
    /// Bitwise and with a Python integer.
    BitwiseAndScalar(input, other) = Bits, Right, Plain(Binary::And);
    /// Bitwise or with a Python integer.
    BitwiseOrScalar(input, other) = Bits, Right, Plain(Binary::Or);
    /// Bitwise exclusive or with a Python integer.
    BitwiseXorScalar(input, other) = Bits, Right, Plain(Binary::Xor);
    /// `(a − b)²`.
    (object) SquaredDifference(input_x, input_y) = Number, Tensors, Composed(|a, b| (a - b) * (a - b), |p, a, b| {
        let d = p.binary(Binary::Sub, a, b);
        p.unary(Unary::Square, d)
    });
    /// `a / b`, and 0 where `a` is 0. Integers and `bool` give `f32`.
    (object) Xdivy(x, y) = Float, Tensors, Composed(|a, b| if a == 0.0 { 0.0 } else { a / b }, |p, a, b| {
        let q = p.binary(Binary::Div, a, b);
        unless_zero(p, a, q)
    });
    /// `a · ln b`, and 0 where `a` is 0. Integers and `bool` give `f32`.
    Xlogy(input, other) = Float, Tensors, Composed(|a, b| if a == 0.0 { 0.0 } else { a * b.ln() }, xlogy);
    /// `a · ln b` with a Python number as `b`, and 0 where `a` is 0. Integers and `bool` give `f32`.
    XLogYScalarOther(input, other) = Float, Right, Composed(|a, b| if a == 0.0 { 0.0 } else { a * b.ln() }, xlogy);
    /// `a · ln b` with a Python number as `a`, and 0 if it is 0. Integers and `bool` give `f32`.
    XLogYScalarSelf(input, other) = Float, Left, Composed(|a, b| if a == 0.0 { 0.0 } else { a * b.ln() }, xlogy);
    /// `a / b`, and 0 where `b` is 0. Integers and `bool` give `f32`.
    (object) DivNoNan(x1, x2) = Float, Tensors, Composed(|a, b| if b == 0.0 { 0.0 } else { a / b }, |p, a, b| {
        let q = p.binary(Binary::Div, a, b);
        unless_zero(p, b, q)
    });
    /// `a · b`, and 0 where `b` is 0, even if `a` is infinite or NaN.
    (object) MulNoNan(x, y) = Number, Tensors, Composed(|a, b| if b == 0.0 { 0.0 } else { a * b }, |p, a, b| {
        let q = p.binary(Binary::Mul, a, b);
        unless_zero(p, b, q)
    });
    /// `√(a² + b²)`, infinite if either is, even beside NaN. Integers and `bool` give `f32`.
    (object) Hypot(x1, x2) = Float, Tensors, Composed(f64::hypot, hypot);
    /// `ln(eᵃ + eᵇ)`. Integers and `bool` give `f32`.
    LogAddExp(input, other) = Float, Tensors, Composed(log_add_exp, |p, a, b| {
        let m = p.binary(Binary::Max, a, b);
        let d = p.binary(Binary::Sub, a, b);
        let d = p.unary(Unary::Abs, d);
        let d = p.unary(Unary::Neg, d);
        let e = p.unary(Unary::Exp, d);
        let l = p.unary(Unary::Log1p, e);
        let y = p.binary(Binary::Add, m, l);
        // Equal infinities have no difference.
        let same = p.binary(Binary::Eq, a, b);
        let infinite = p.unary(Unary::IsInf, m);
        let keep = p.binary(Binary::And, same, infinite);
        p.select(keep, m, y)
    });
}

/// `f` of `a` and `b`, or the one that is no NaN.
fn known(p: &mut Program, f: Binary, a: Reg, b: Reg) -> Reg {
    let y = p.binary(f, a, b);
    if !p.type_of(a).is_float() {
        return y;
    }
    let [no_a, no_b] = [a, b].map(|x| p.unary(Unary::IsNan, x));
    let y = p.select(no_b, a, y);
    p.select(no_a, b, y)
}

/// The number of bits that a shift by `x` moves by.
fn places(p: &mut Program, x: Reg) -> Reg {
    let dtype = p.type_of(x);
    let width = p.constant(if dtype.size() == 8 { 64.0 } else { 32.0 }, dtype);
    p.binary(Binary::FloorMod, x, width)
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}

fn power_of_two(p: &mut Program, exponent: Reg) -> Reg {
    let two = p.constant(2.0, p.type_of(exponent));
    p.binary(Binary::Pow, two, exponent)
}

fn truncate_div(a: f64, b: f64) -> f64 {
    (a / b).trunc()
}

fn heaviside(a: f64, b: f64) -> f64 {
    if a == 0.0 { b } else { f64::from(u8::from(a > 0.0)) }
}

fn log_add_exp(a: f64, b: f64) -> f64 {
    if a == b && a.is_infinite() { a } else { a.max(b) + (-(a - b).abs()).exp().ln_1p() }
}

/// `y`, but 0 where `x` is 0.
fn unless_zero(p: &mut Program, x: Reg, y: Reg) -> Reg {
    let dtype = p.type_of(x);
    let zero = p.constant(0.0, dtype);
    let is_zero = p.binary(Binary::Eq, x, zero);
    p.select(is_zero, zero, y)
}

fn xlogy(p: &mut Program, a: Reg, b: Reg) -> Reg {
    let l = p.unary(Unary::Log, b);
    let y = p.binary(Binary::Mul, a, l);
    unless_zero(p, a, y)
}

/// `max · √(1 + (min / max)²)` of the absolute values, which does not overflow early.
fn hypot(p: &mut Program, a: Reg, b: Reg) -> Reg {
    let dtype = p.type_of(a);
    let (a, b) = (p.unary(Unary::Abs, a), p.unary(Unary::Abs, b));
    let endless = [a, b].map(|x| p.unary(Unary::IsInf, x));
    let endless = p.binary(Binary::Or, endless[0], endless[1]);
    let (high, low) = (p.binary(Binary::Max, a, b), p.binary(Binary::Min, a, b));
    let q = p.binary(Binary::Div, low, high);
    let q = p.unary(Unary::Square, q);
    let one = p.constant(1.0, dtype);
    let s = p.binary(Binary::Add, q, one);
    let s = p.unary(Unary::Sqrt, s);
    let y = p.binary(Binary::Mul, high, s);
    let y = unless_zero(p, low, y);
    let zero = p.constant(0.0, dtype);
    let flat = p.binary(Binary::Eq, low, zero);
    let y = p.select(flat, high, y);
    let infinity = p.constant(f64::INFINITY, dtype);
    p.select(endless, infinity, y)
}
