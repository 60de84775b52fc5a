//! Sums, products and quotients with one argument more: a factor, a rounding mode, a third operand.

use super::binary::{Mix, common, with_arithmetic};
use crate::op::{Case, CaseArg, Const, Number, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, floats, number, number_of};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::{cycle, filled, sample, wave};
use crate::task::{Binary, Program, Reg, Scalar, Unary};
use crate::{DType, OpError, op, op_enum};

op_enum! {
    /// What happens to a quotient's fraction.
    Rounding {
        /// It is cut off.
        Trunc = 1, "trunc";
        /// The quotient is rounded down.
        Floor = 2, "floor";
    }
}

/// The type of `a ± alpha · b`: the common type, or `f32` if that is an integer and `alpha` a float.
fn scaled_type(mix: Mix, a: &Operand, b: &Operand, alpha: Number) -> DType {
    match alpha {
        Number::Int(_) => common(mix, a, b),
        Number::Float(_) => with_arithmetic(common(mix, a, b), DType::F32),
    }
}

/// A number as `dtype` computes with it.
fn scalar_of(x: Number, dtype: DType) -> Scalar {
    match x {
        Number::Int(i) if !dtype.is_float() => Scalar::Int(i),
        x => Scalar::Float(x.as_f64()),
    }
}

/// `f(a, alpha · b)`.
fn scaled<'a>(mix: Mix, f: Binary, a: &'a Operand, b: &'a Operand, alpha: Number) -> impl Rule {
    let (out, plain) = (scaled_type(mix, a, b, alpha), alpha.as_f64() == 1.0);
    let d = number_of(out);
    let factor = scalar_of(alpha, d);
    let definition = move |[a, b]: [Scalar; 2]| f.eval(a, Binary::Mul.eval(factor, b, d), d);
    let program = move |p: &mut Program, [a, b]: [Reg; 2]| {
        if plain {
            return p.binary(f, a, b);
        }
        let c = number(p, factor, p.type_of(b));
        let scaled = p.binary(Binary::Mul, b, c);
        p.binary(f, a, scaled)
    };
    let new = if plain { Elementwise::new } else { Elementwise::widened };
    new([(a, d), (b, d)], out, definition, program)
}

fn scaled_cases(mix: Mix) -> Vec<Case> {
    let other = |d: DType, dims: &[usize]| match mix {
        Mix::Tensors => wave(d, dims),
        _ if d.is_float() => CaseArg::from(1.5f32),
        _ => CaseArg::from(3i64),
    };
    let ints = |dims: &[usize]| cycle(DType::I32, dims, &[1.0, -4.0, 7.0, 2.0]);
    vec![
        sample().arg(wave(DType::F32, &[2, 3, 5])).arg(other(DType::F32, &[3, 5])).int(1).case("f32"),
        sample().arg(wave(DType::F32, &[3, 5])).arg(other(DType::F32, &[5])).real(0.5).case("factor"),
        sample().arg(wave(DType::F16, &[3, 5])).arg(other(DType::F16, &[3, 1])).int(2).case("f16"),
        sample().arg(ints(&[7])).arg(other(DType::I32, &[])).int(-2).exact("i32"),
        sample().arg(ints(&[7])).arg(other(DType::F32, &[])).int(1).case("int and float"),
    ]
}

macro_rules! alpha {
    ($($(#[doc = $doc:literal])+ $name:ident = $mix:ident, $f:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, other: Operand, alpha: Number = Number::Int(1) }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(scaled(Mix::$mix, Binary::$f, &self.input, &self.other, self.alpha))
            }

            fn cases() -> Vec<Case> {
                scaled_cases(Mix::$mix)
            }
        }
    )*};
}

alpha! {
    /// `input + alpha · other`, in the common type; `f32` if that is an integer type and `alpha` a float.
    AddExt = Tensors, Add;
    /// `input − alpha · other`, in the common type; `f32` if that is an integer type and `alpha` a float.
    SubExt = Tensors, Sub;
    /// `input + alpha · other` with a Python number `other`.
    AddScalar = Right, Add;
    /// `input − alpha · other` with a Python number `other`.
    SubScalar = Right, Sub;
}

/// `a / b`, without rounding as floats.
fn quotient<'a>(mix: Mix, a: &'a Operand, b: &'a Operand, mode: Option<Rounding>) -> impl Rule {
    let d = common(mix, a, b);
    let d = if mode.is_none() { float_of(d) } else { number_of(d) };
    let definition = move |[a, b]: [Scalar; 2]| match mode {
        Some(Rounding::Floor) => Binary::FloorDiv.eval(a, b, d),
        Some(Rounding::Trunc) => Unary::Trunc.eval(Binary::Div.eval(a, b, d), d),
        None => Binary::Div.eval(a, b, d),
    };
    Elementwise::new([(a, d), (b, d)], d, definition, move |p, [a, b]| quotient_program(p, a, b, mode))
}

fn quotient_program(p: &mut Program, a: Reg, b: Reg, mode: Option<Rounding>) -> Reg {
    if mode == Some(Rounding::Floor) {
        return p.binary(Binary::FloorDiv, a, b);
    }
    let q = p.binary(Binary::Div, a, b);
    if mode.is_some() && p.type_of(q).is_float() { p.unary(Unary::Trunc, q) } else { q }
}

fn quotient_cases(mix: Mix) -> Vec<Case> {
    let divisor = |d: DType| match mix {
        Mix::Tensors => cycle(d, &[7], &[2.0, -3.0, 4.0]),
        _ if d.is_float() => CaseArg::from(1.75f32),
        _ => CaseArg::from(-3i64),
    };
    let mut out = Vec::new();
    for (name, of_ints, mode) in [
        ("exact", "integers, exact", CaseArg::from(Const::None)),
        ("truncated", "integers, truncated", CaseArg::from("trunc")),
        ("floored", "integers, floored", CaseArg::from("floor")),
    ] {
        let ints = cycle(DType::I32, &[7], &[7.0, -7.0, 8.0, -8.0, 0.0]);
        out.push(sample().arg(wave(DType::F32, &[2, 7])).arg(divisor(DType::F32)).arg(mode.clone()).case(name));
        out.push(sample().arg(ints).arg(divisor(DType::I32)).arg(mode).case(of_ints));
    }
    out
}

macro_rules! division {
    ($($(#[doc = $doc:literal])+ $name:ident = $mix:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, other: Operand, rounding_mode: Option<Rounding> = None }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(quotient(Mix::$mix, &self.input, &self.other, self.rounding_mode))
            }

            fn cases() -> Vec<Case> {
                quotient_cases(Mix::$mix)
            }
        }
    )*};
}

division! {
    /// `input / other`: as it is (integers as `f32`), without its fraction (`rounding_mode` = "trunc") or rounded down
    /// ("floor"). A rounded integer quotient is 0 where `other` is 0.
    DivMod = Tensors;
    /// [`DivMod`] with a Python number `other`.
    DivMods = Right;
}

/// Definition and program of a function of four numbers: `input`, two tensors and a factor.
type Fused = (fn(f64, f64, f64, f64) -> f64, fn(&mut Program, Reg, Reg) -> Reg);

const ADDCMUL: Fused = (|x, a, b, v| x + v * a * b, |p, a, b| p.binary(Binary::Mul, a, b));
const ADDCDIV: Fused = (|x, a, b, v| x + v * a / b, |p, a, b| p.binary(Binary::Div, a, b));

fn fused((f, product): Fused, xs: [&Operand; 4]) -> impl Rule {
    let [x, a, b, _] = xs.map(Operand::dtype);
    let out = DType::promote(DType::promote(x, a), b);
    let program = move |p: &mut Program, [x, a, b, v]: [Reg; 4]| {
        let y = product(p, a, b);
        let y = p.binary(Binary::Mul, y, v);
        p.binary(Binary::Add, x, y)
    };
    Elementwise::widened(xs.map(|x| (x, float_of(out))), out, floats(move |[x, a, b, v]| f(x, a, b, v)), program)
}

fn fused_cases(value: CaseArg) -> Vec<Case> {
    let tensors = |d: DType| [wave(d, &[2, 3, 5]), wave(d, &[3, 5]), filled(d, &[5], |i| i as f64 + 1.5)];
    let with = |d: DType| tensors(d).into_iter().chain([value.clone()]);
    vec![
        sample().args(with(DType::F32)).case("f32"),
        sample().args(with(DType::F16)).case("f16"),
        sample().args(with(DType::F64)).case("f64"),
    ]
}

macro_rules! fused {
    ($($(#[doc = $doc:literal])+ $name:ident[$alias:literal] = $f:ident, $value:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name, aliases [$alias] { input: Operand, tensor1: Operand, tensor2: Operand, value: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(fused($f, [&self.input, &self.tensor1, &self.tensor2, &self.value]))
            }

            fn cases() -> Vec<Case> {
                fused_cases($value)
            }
        }
    )*};
}

fused! {
    /// `input + value · tensor1 · tensor2`, with broadcasting, in the common type of the three tensors.
    Addcmul["AddcmulExt"] = ADDCMUL, filled(DType::F32, &[], |_| 0.5);
    /// `input + value · tensor1 / tensor2`, with broadcasting, in the common type of the three tensors.
    Addcdiv["AddcdivExt"] = ADDCDIV, filled(DType::F32, &[1], |_| -2.0);
}
