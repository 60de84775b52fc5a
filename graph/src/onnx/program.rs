//! Element-wise programs as ONNX nodes: one table of functions of one number, one of functions of two.
//!
//! ONNX Runtime has no arithmetic for narrow integers and bfloat16. They are computed in a wider type and converted back
//! after every instruction, which wraps and rounds as the narrow type does.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LN_10, PI};

use super::{Attr, Edge, Emit, NoForm, missing, no_form};
use crate::DType;
use crate::task::{Binary, Instr, Program, Reg, Registers, Unary};

/// The type in which nodes compute numbers of `dtype`.
pub(crate) fn machine(dtype: DType) -> DType {
    match dtype {
        DType::BF16 => DType::F32,
        DType::I8 | DType::I16 | DType::U8 | DType::U16 => DType::I32,
        DType::U32 => DType::I64,
        other => other,
    }
}

/// The result of `program` over `inputs`, which have the types that it reads.
pub(super) fn program(e: &mut Emit, program: &Program, inputs: &[Edge]) -> Result<Edge, NoForm> {
    let mut regs = Registers::new(program);
    let type_of = |r: Reg| program.type_of(r);
    for &(instr, dtype) in &program.instrs {
        let result = match instr {
            Instr::Input(i) => *inputs.get(i).ok_or_else(missing)?,
            Instr::Const(x) => e.number(dtype, x)?,
            Instr::Int(x) => e.constant(crate::Tensor::from_i64s(dtype, &[], &[x])?),
            Instr::Cast(x) => e.cast(regs[x], type_of(x), dtype),
            Instr::Select(c, a, b) => select(e, regs[c], regs[a], regs[b], dtype),
            Instr::Unary(f, x) => unary(e, f, regs[x], type_of(x))?,
            Instr::Binary(f, a, b) => binary(e, f, regs[a], regs[b], type_of(a))?,
        };
        regs.push(result);
    }
    regs.last().ok_or_else(|| NoForm::Reason("an empty program".into()))
}

fn select(e: &mut Emit, cond: Edge, a: Edge, b: Edge, dtype: DType) -> Edge {
    let m = machine(dtype);
    let (a, b) = (e.cast(a, dtype, m), e.cast(b, dtype, m));
    let y = e.select(cond, a, b, m);
    e.cast(y, m, dtype)
}

/// `f(x)` for `x` of `dtype`.
pub(super) fn unary(e: &mut Emit, f: Unary, x: Edge, dtype: DType) -> Result<Edge, NoForm> {
    if f.is_test() {
        let x = if dtype == DType::F64 { x } else { e.cast(x, dtype, DType::F32) };
        return Ok(test(e, f, x));
    }
    if dtype == DType::Bool {
        return match f {
            Unary::Not => Ok(e.op("Not", &[x])),
            Unary::Abs | Unary::Sign | Unary::Square => Ok(x),
            f => no_form(format!("{} of truth values", f.name())),
        };
    }
    let m = machine(dtype);
    let x = e.cast(x, dtype, m);
    let y = if m.is_float() { of_float(e, f, x, m)? } else { of_int(e, f, x, m)? };
    Ok(e.cast(y, m, dtype))
}

fn test(e: &mut Emit, f: Unary, x: Edge) -> Edge {
    match f {
        Unary::IsNan => e.op("IsNaN", &[x]),
        Unary::IsInf => e.op("IsInf", &[x]),
        _ => {
            let (nan, inf) = (e.op("IsNaN", &[x]), e.op("IsInf", &[x]));
            let either = e.op("Or", &[nan, inf]);
            e.op("Not", &[either])
        }
    }
}

fn of_int(e: &mut Emit, f: Unary, x: Edge, d: DType) -> Result<Edge, NoForm> {
    Ok(match f {
        Unary::Abs => e.op("Abs", &[x]),
        Unary::Neg if d == DType::U64 => return no_form("Neg of u64"),
        Unary::Neg => e.op("Neg", &[x]),
        Unary::Sign => e.op("Sign", &[x]),
        Unary::Square => e.op("Mul", &[x, x]),
        Unary::Relu => with(e, "Max", x, 0.0, d)?,
        Unary::Relu6 => {
            let y = with(e, "Max", x, 0.0, d)?;
            with(e, "Min", y, 6.0, d)?
        }
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x,
        Unary::Not if d != DType::U64 => {
            let ones = e.number(d, -1.0)?;
            e.op("Sub", &[ones, x])
        }
        f => return no_form(format!("{} of {d}", f.name())),
    })
}

/// `op(x, c)` with a constant.
fn with(e: &mut Emit, op: &'static str, x: Edge, c: f64, d: DType) -> Result<Edge, NoForm> {
    let c = e.number(d, c)?;
    Ok(e.op(op, &[x, c]))
}

fn of_float(e: &mut Emit, f: Unary, x: Edge, d: DType) -> Result<Edge, NoForm> {
    if let Some(op) = direct(f) {
        return Ok(e.op(op, &[x]));
    }
    Ok(match f {
        Unary::Square => e.op("Mul", &[x, x]),
        Unary::Rsqrt => {
            let root = e.op("Sqrt", &[x]);
            e.op("Reciprocal", &[root])
        }
        Unary::Expm1 => {
            let y = e.op("Exp", &[x]);
            with(e, "Sub", y, 1.0, d)?
        }
        Unary::Log1p => {
            let y = with(e, "Add", x, 1.0, d)?;
            e.op("Log", &[y])
        }
        Unary::Log2 | Unary::Log10 => {
            let y = e.op("Log", &[x]);
            with(e, "Div", y, if f == Unary::Log2 { LN_2 } else { LN_10 }, d)?
        }
        Unary::Erfc => {
            let (y, one) = (e.op("Erf", &[x]), e.number(d, 1.0)?);
            e.op("Sub", &[one, y])
        }
        Unary::Trunc => {
            let size = e.op("Abs", &[x]);
            let (size, sign) = (e.op("Floor", &[size]), e.op("Sign", &[x]));
            e.op("Mul", &[sign, size])
        }
        Unary::Relu6 => {
            let (low, high) = (e.number(d, 0.0)?, e.number(d, 6.0)?);
            e.op("Clip", &[x, low, high])
        }
        Unary::Silu => {
            let s = e.op("Sigmoid", &[x]);
            e.op("Mul", &[x, s])
        }
        Unary::HSwish => e.op("HardSwish", &[x]),
        Unary::HSigmoid => {
            e.op_with("HardSigmoid", &[x], vec![("alpha", Attr::Float(1.0 / 6.0)), ("beta", 0.5.into())])
        }
        Unary::Gelu => gelu(e, x, d)?,
        Unary::GeluTanh => gelu_tanh(e, x, d)?,
        Unary::Mish if e.opset() >= 18 => e.op("Mish", &[x]),
        Unary::Mish => {
            let y = e.op("Softplus", &[x]);
            let y = e.op("Tanh", &[y]);
            e.op("Mul", &[x, y])
        }
        f => return no_form(format!("{} of {d}", f.name())),
    })
}

/// Functions that are one operator of ONNX.
fn direct(f: Unary) -> Option<&'static str> {
    Some(match f {
        Unary::Abs => "Abs",
        Unary::Neg => "Neg",
        Unary::Sign => "Sign",
        Unary::Sqrt => "Sqrt",
        Unary::Reciprocal => "Reciprocal",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Tan => "Tan",
        Unary::Asin => "Asin",
        Unary::Acos => "Acos",
        Unary::Atan => "Atan",
        Unary::Sinh => "Sinh",
        Unary::Cosh => "Cosh",
        Unary::Tanh => "Tanh",
        Unary::Asinh => "Asinh",
        Unary::Acosh => "Acosh",
        Unary::Atanh => "Atanh",
        Unary::Erf => "Erf",
        Unary::Floor => "Floor",
        Unary::Ceil => "Ceil",
        Unary::Round => "Round",
        Unary::Relu => "Relu",
        Unary::Sigmoid => "Sigmoid",
        Unary::Softplus => "Softplus",
        _ => return None,
    })
}

fn gelu(e: &mut Emit, x: Edge, d: DType) -> Result<Edge, NoForm> {
    if e.opset() >= 20 {
        return Ok(e.op("Gelu", &[x]));
    }
    let y = with(e, "Mul", x, FRAC_1_SQRT_2, d)?;
    let y = e.op("Erf", &[y]);
    let y = with(e, "Add", y, 1.0, d)?;
    let y = e.op("Mul", &[x, y]);
    with(e, "Mul", y, 0.5, d)
}

fn gelu_tanh(e: &mut Emit, x: Edge, d: DType) -> Result<Edge, NoForm> {
    if e.opset() >= 20 {
        return Ok(e.op_with("Gelu", &[x], vec![("approximate", "tanh".into())]));
    }
    let square = e.op("Mul", &[x, x]);
    let y = with(e, "Mul", square, 0.044715, d)?;
    let y = with(e, "Add", y, 1.0, d)?;
    let y = e.op("Mul", &[x, y]);
    let y = with(e, "Mul", y, 2.0 * (2.0 / PI).sqrt(), d)?;
    let y = e.op("Sigmoid", &[y]);
    Ok(e.op("Mul", &[x, y]))
}

/// `f(a, b)` for operands of `dtype`.
pub(super) fn binary(e: &mut Emit, f: Binary, a: Edge, b: Edge, dtype: DType) -> Result<Edge, NoForm> {
    if matches!(f, Binary::And | Binary::Or | Binary::Xor) {
        return bits(e, f, a, b, dtype);
    }
    let m = if dtype == DType::Bool { DType::I32 } else { machine(dtype) };
    let (a, b) = (e.cast(a, dtype, m), e.cast(b, dtype, m));
    if f.is_comparison() {
        return Ok(compare(e, f, a, b));
    }
    let y = if m.is_float() { on_floats(e, f, a, b, m)? } else { on_ints(e, f, a, b, m)? };
    Ok(e.cast(y, m, dtype))
}

fn compare(e: &mut Emit, f: Binary, a: Edge, b: Edge) -> Edge {
    let op = match f {
        Binary::Lt => "Less",
        Binary::Le => "LessOrEqual",
        Binary::Gt => "Greater",
        Binary::Ge => "GreaterOrEqual",
        _ => "Equal",
    };
    let y = e.op(op, &[a, b]);
    if f == Binary::Ne { e.op("Not", &[y]) } else { y }
}

fn bits(e: &mut Emit, f: Binary, a: Edge, b: Edge, dtype: DType) -> Result<Edge, NoForm> {
    let names = match f {
        Binary::And => ["And", "BitwiseAnd"],
        Binary::Or => ["Or", "BitwiseOr"],
        _ => ["Xor", "BitwiseXor"],
    };
    if dtype == DType::Bool {
        return Ok(e.op(names[0], &[a, b]));
    }
    if e.opset() < 18 {
        return no_form(format!("{} needs operator set 18", names[1]));
    }
    Ok(e.op(names[1], &[a, b]))
}

fn plain(f: Binary) -> Option<&'static str> {
    Some(match f {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Pow => "Pow",
        Binary::Max => "Max",
        Binary::Min => "Min",
        _ => return None,
    })
}

fn on_floats(e: &mut Emit, f: Binary, a: Edge, b: Edge, d: DType) -> Result<Edge, NoForm> {
    if let Some(op) = plain(f) {
        return Ok(e.op(op, &[a, b]));
    }
    Ok(match f {
        Binary::Div => e.op("Div", &[a, b]),
        Binary::FloorDiv => {
            let q = e.op("Div", &[a, b]);
            e.op("Floor", &[q])
        }
        Binary::Rem => e.op_with("Mod", &[a, b], vec![("fmod", 1.into())]),
        Binary::FloorMod => {
            let r = e.op_with("Mod", &[a, b], vec![("fmod", 1.into())]);
            let (moved, other) = (e.op("Add", &[r, b]), signs_differ(e, r, b, d)?);
            e.op("Where", &[other, moved, r])
        }
        Binary::Atan2 => atan2(e, a, b, d)?,
        f => return no_form(format!("{} of {d}", f.name())),
    })
}

/// Whether `r` is not 0 and has another sign than `b`.
fn signs_differ(e: &mut Emit, r: Edge, b: Edge, d: DType) -> Result<Edge, NoForm> {
    let zero = e.number(d, 0.0)?;
    let (below, divisor) = (e.op("Less", &[r, zero]), e.op("Less", &[b, zero]));
    let other = e.op("Xor", &[below, divisor]);
    let same = e.op("Equal", &[r, zero]);
    let some = e.op("Not", &[same]);
    Ok(e.op("And", &[other, some]))
}

/// The angle of `|a| / |b|`, mirrored to the left where `b` is negative and down where `a` is, zeros with a sign included.
fn atan2(e: &mut Emit, a: Edge, b: Edge, d: DType) -> Result<Edge, NoForm> {
    let (below, left) = (is_negative(e, a, d)?, is_negative(e, b, d)?);
    let (a, b) = (e.op("Abs", &[a]), e.op("Abs", &[b]));
    let [zero, one, pi, infinity] = [0.0, 1.0, PI, f64::INFINITY].map(|x| e.number(d, x));
    let (zero, one, pi, infinity) = (zero?, one?, pi?, infinity?);
    let mut q = e.op("Div", &[a, b]);
    // Nothing by nothing is 0 here, infinity by infinity 1.
    for (extreme, quotient) in [(zero, zero), (infinity, one)] {
        let (both_a, both_b) = (e.op("Equal", &[a, extreme]), e.op("Equal", &[b, extreme]));
        let both = e.op("And", &[both_a, both_b]);
        q = e.op("Where", &[both, quotient, q]);
    }
    let angle = e.op("Atan", &[q]);
    let mirrored = e.op("Sub", &[pi, angle]);
    let angle = e.op("Where", &[left, mirrored, angle]);
    let negated = e.op("Neg", &[angle]);
    Ok(e.op("Where", &[below, negated, angle]))
}

/// Whether `x` is below 0 or −0.
fn is_negative(e: &mut Emit, x: Edge, d: DType) -> Result<Edge, NoForm> {
    let (zero, one) = (e.number(d, 0.0)?, e.number(d, 1.0)?);
    let (is_zero, inverse) = (e.op("Equal", &[x, zero]), e.op("Div", &[one, x]));
    let sign = e.op("Where", &[is_zero, inverse, x]);
    Ok(e.op("Less", &[sign, zero]))
}

fn on_ints(e: &mut Emit, f: Binary, a: Edge, b: Edge, d: DType) -> Result<Edge, NoForm> {
    if let Some(op) = plain(f) {
        return Ok(e.op(op, &[a, b]));
    }
    let zero = e.number(d, 0.0)?;
    // Division by 0 gives 0 here and ends the process in ONNX Runtime.
    let safe = e.book.known(b).and_then(|t| t.to_i64s().ok()).is_some_and(|v| !v.contains(&0));
    let (divisor, is_zero) = if safe {
        (b, None)
    } else {
        let (is_zero, one) = (e.op("Equal", &[b, zero]), e.number(d, 1.0)?);
        (e.op("Where", &[is_zero, one, b]), Some(is_zero))
    };
    let y = match f {
        Binary::Div => e.op("Div", &[a, divisor]),
        Binary::FloorMod => e.op("Mod", &[a, divisor]),
        Binary::Rem => e.op_with("Mod", &[a, divisor], vec![("fmod", 1.into())]),
        Binary::FloorDiv => {
            let rest = e.op("Mod", &[a, divisor]);
            let whole = e.op("Sub", &[a, rest]);
            e.op("Div", &[whole, divisor])
        }
        f => return no_form(format!("{} of {d}", f.name())),
    };
    Ok(match is_zero {
        Some(is_zero) => e.op("Where", &[is_zero, zero, y]),
        None => y,
    })
}
