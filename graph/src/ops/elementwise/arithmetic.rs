//! Sums, products and quotients with one argument more: a factor, a rounding mode, a third operand.

use super::binary::{Mix, common, with_number};
use crate::op::{ArgValue, Case, CaseArg, Const, FromArg, Lowers, Number, Operand, ParamKind, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, evaluate_f64, fact, float_of, number, number_of, wide};
use crate::ops::kit::sample::{cycle, filled, sample, wave};
use crate::task::{Binary, Lowering, Program, Reg, Scalar, Unary};
use crate::{DType, Fact, OpError, Tensor, op, op_enum};

op_enum! {
    /// What happens to a quotient's fraction.
    Rounding {
        /// It is cut off.
        Trunc = 1, "trunc";
        /// The quotient is rounded down.
        Floor = 2, "floor";
    }
}

impl FromArg for Option<Rounding> {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        Rounding::from_arg(arg).map(Some)
    }

    fn into_const(self) -> Option<Const> {
        self.map_or(Some(Const::None), Rounding::into_const)
    }
}

/// The type of `a ± alpha · b`: the common type, or `f32` if that is an integer and `alpha` a float.
fn scaled_type(mix: Mix, a: &Operand, b: &Operand, alpha: Number) -> DType {
    match alpha {
        Number::Int(_) => common(mix, a, b),
        Number::Float(_) => with_number(common(mix, a, b), DType::F32),
    }
}

fn scaled_reference(mix: Mix, f: Binary, a: &Operand, b: &Operand, alpha: Number) -> Result<Vec<Tensor>, OpError> {
    let out = scaled_type(mix, a, b, alpha);
    let d = number_of(out);
    let alpha = scalar_of(alpha, d);
    evaluate(&[(a, d), (b, d)], out, |x| f.eval(x[0], Binary::Mul.eval(alpha, x[1], d), d))
}

/// A number as `dtype` computes with it.
fn scalar_of(x: Number, dtype: DType) -> Scalar {
    match x {
        Number::Int(i) if !dtype.is_float() => Scalar::Int(i),
        x => Scalar::Float(x.as_f64()),
    }
}

fn scaled_lower(mix: Mix, f: Binary, a: &Operand, b: &Operand, alpha: Number, to: &mut Lowering) -> Lowers {
    let out = scaled_type(mix, a, b, alpha);
    let d = if alpha.as_f64() == 1.0 { number_of(out) } else { wide(number_of(out)) };
    let y = emit(to, &[(a, d), (b, d)], out, |p, r| {
        let scaled = if alpha.as_f64() == 1.0 {
            r[1]
        } else {
            let c = number(p, scalar_of(alpha, d), d);
            p.binary(Binary::Mul, r[1], c)
        };
        p.binary(f, r[0], scaled)
    })?;
    Ok(Some(vec![y]))
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

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                fact(&[&self.input, &self.other], scaled_type(Mix::$mix, &self.input, &self.other, self.alpha))
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                scaled_reference(Mix::$mix, Binary::$f, &self.input, &self.other, self.alpha)
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                scaled_lower(Mix::$mix, Binary::$f, &self.input, &self.other, self.alpha, b)
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

/// The type in which `DivMod` computes: without rounding a float type.
fn quotient_type(mix: Mix, a: &Operand, b: &Operand, mode: Option<Rounding>) -> DType {
    let d = common(mix, a, b);
    if mode.is_none() { float_of(d) } else { number_of(d) }
}

fn quotient(a: Scalar, b: Scalar, d: DType, mode: Option<Rounding>) -> Scalar {
    match mode {
        Some(Rounding::Floor) => Binary::FloorDiv.eval(a, b, d),
        Some(Rounding::Trunc) => Unary::Trunc.eval(Binary::Div.eval(a, b, d), d),
        None => Binary::Div.eval(a, b, d),
    }
}

fn quotient_program(p: &mut Program, a: Reg, b: Reg, mode: Option<Rounding>) -> Reg {
    if mode == Some(Rounding::Floor) {
        return p.binary(Binary::FloorDiv, a, b);
    }
    let q = p.binary(Binary::Div, a, b);
    if mode.is_some() && p.instrs[q].1.is_float() { p.unary(Unary::Trunc, q) } else { q }
}

fn quotient_cases(mix: Mix) -> Vec<Case> {
    let divisor = |d: DType| match mix {
        Mix::Tensors => filled(d, &[7], |i| [2.0, -3.0, 4.0][i % 3]),
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

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                fact(&[&self.input, &self.other], quotient_type(Mix::$mix, &self.input, &self.other, self.rounding_mode))
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let d = quotient_type(Mix::$mix, &self.input, &self.other, self.rounding_mode);
                evaluate(&[(&self.input, d), (&self.other, d)], d, |x| quotient(x[0], x[1], d, self.rounding_mode))
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let d = quotient_type(Mix::$mix, &self.input, &self.other, self.rounding_mode);
                let ins = [(&self.input, d), (&self.other, d)];
                let y = emit(b, &ins, d, |p, r| quotient_program(p, r[0], r[1], self.rounding_mode))?;
                Ok(Some(vec![y]))
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

        impl $name {
            fn operands(&self) -> [&Operand; 4] {
                [&self.input, &self.tensor1, &self.tensor2, &self.value]
            }

            fn dtype(&self) -> DType {
                let d = DType::promote(self.tensor1.dtype(), self.tensor2.dtype());
                DType::promote(self.input.dtype(), d)
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                fact(&self.operands(), self.dtype())
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let d = self.dtype();
                let ins = self.operands().map(|x| (x, float_of(d)));
                evaluate_f64(&ins, d, |x| ($f.0)(x[0], x[1], x[2], x[3]))
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let d = self.dtype();
                let ins = self.operands().map(|x| (x, wide(float_of(d))));
                let y = emit(b, &ins, d, |p, r| {
                    let y = ($f.1)(p, r[1], r[2]);
                    let y = p.binary(Binary::Mul, y, r[3]);
                    p.binary(Binary::Add, r[0], y)
                })?;
                Ok(Some(vec![y]))
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
