//! Scalar programs as WGSL functions.

use std::fmt::Write;

use mindir_graph::DType;
use mindir_graph::task::{Binary, Instr, Program, Scalar, Unary};

use crate::word::fit;
use crate::{Unsupported, Word};

const LIBRARY: &str =
    concat!(include_str!("map/functions.wgsl"), "\n", include_str!("map/wide.wgsl"), "\n", include_str!("packed.wgsl"));

/// The WGSL function `program(x0, x1, …)` that computes `program`, with the library functions that it needs. Input `i`
/// has the register type of `inputs[i]`.
///
/// Every step is rounded by itself, as the program says: shader compilers may join and reorder float arithmetic, so a float
/// result that a later step reads passes through `exact`. The module around has to define `nothing() -> u32`, a zero that
/// the compiler cannot foresee.
///
/// # Errors
/// [`Unsupported`] if WGSL lacks an element type or a function has no sense for its operands; also for malformed
/// programs.
pub fn function(program: &Program, inputs: &[DType]) -> Result<String, Unsupported> {
    let text = body(program, inputs)?;
    Ok(format!("{}{text}", library(&text)))
}

/// As [`function`], without the library.
pub(crate) fn body(program: &Program, inputs: &[DType]) -> Result<String, Unsupported> {
    let mut body = String::new();
    for (i, &(_, dtype)) in program.instrs.iter().enumerate() {
        let last = i + 1 == program.instrs.len();
        let line = match expression(program, i, inputs)? {
            line if !last && rounds(program.instrs[i]) => format!("exact({line})"),
            line => line,
        };
        let _ = writeln!(body, "    let r{i}: {} = {line};", Word::of(dtype)?.computed());
    }
    let result = program.dtype().ok_or_else(|| Unsupported("a program without instructions".into()))?;
    let mut params = Vec::new();
    for (i, &dtype) in inputs.iter().enumerate() {
        params.push(format!("x{i}: {}", Word::of(dtype)?.computed()));
    }
    let head = format!("fn program({}) -> {} {{\n", params.join(", "), Word::of(result)?.computed());
    Ok(format!("{head}{body}    return r{};\n}}\n", program.instrs.len() - 1))
}

/// Whether a step rounds its float result, so that joining it with the next one would change what comes out. Floats of 16
/// bits are rounded in any case.
fn rounds((instr, dtype): (Instr, DType)) -> bool {
    dtype == DType::F32 && matches!(instr, Instr::Unary(..) | Instr::Binary(..))
}

/// The function `fit`, which gives an `f32` as elements of `dtype`, a type of floats, hold it.
pub(crate) fn fitting(dtype: DType) -> String {
    format!("fn fit(x: f32) -> f32 {{\n    return {};\n}}\n", fit(dtype, "x"))
}

/// The library functions that `text` calls, and those that they call.
pub(crate) fn library(text: &str) -> String {
    let blocks: Vec<(&str, &str)> = LIBRARY
        .split("\n\n")
        .filter_map(|block| {
            let rest = &block[block.find("fn ")? + 3..];
            Some((&rest[..rest.find('(')?], block.trim_end()))
        })
        .collect();
    let mut needed = vec![false; blocks.len()];
    mark(text, &blocks, &mut needed);
    blocks.iter().zip(&needed).filter(|(_, n)| **n).map(|((_, block), _)| format!("{block}\n\n")).collect()
}

fn mark(text: &str, blocks: &[(&str, &str)], needed: &mut [bool]) {
    for (i, (name, block)) in blocks.iter().enumerate() {
        if !needed[i] && calls(text, name) {
            needed[i] = true;
            mark(block, blocks, needed);
        }
    }
}

fn calls(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    let bytes = text.as_bytes();
    text.match_indices(&call)
        .any(|(at, _)| at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_'))
}

fn expression(program: &Program, index: usize, inputs: &[DType]) -> Result<String, Unsupported> {
    let (instr, dtype) = program.instrs[index];
    let operand = |r: usize| -> Result<(String, DType), Unsupported> {
        let known = (r < index).then(|| (format!("r{r}"), program.instrs[r].1));
        known.ok_or_else(|| Unsupported(format!("instruction {index} reads register {r} before it is written")))
    };
    Ok(match instr {
        Instr::Input(i) if inputs.get(i) == Some(&dtype) => format!("x{i}"),
        Instr::Input(i) => return Err(Unsupported(format!("input {i} is not {dtype}"))),
        Instr::Const(x) => unforeseen(Scalar::Float(x).round_to(dtype), Word::of(dtype)?),
        Instr::Int(x) => unforeseen(Scalar::Int(x).round_to(dtype), Word::of(dtype)?),
        Instr::Unary(f, x) => {
            let (x, of) = operand(x)?;
            unary(f, &x, of)?
        }
        Instr::Binary(f, a, b) => {
            let ((a, of), (b, other)) = (operand(a)?, operand(b)?);
            if of != other {
                return Err(Unsupported(format!("{} of {of} and {other}", f.name())));
            }
            let b = if foreseen(f, of) { format!("exact({b})") } else { b };
            binary(f, &a, &b, of)?
        }
        Instr::Select(c, a, b) => {
            let ((c, of), (a, _), (b, _)) = (operand(c)?, operand(a)?, operand(b)?);
            if of != DType::Bool {
                return Err(Unsupported(format!("a choice by {of}")));
            }
            format!("select({b}, {a}, {c})")
        }
        Instr::Cast(x) => {
            let (x, from) = operand(x)?;
            cast(&x, from, dtype)?
        }
    })
}

/// Whether compilers that do not heed NaN and infinities know the result for equal operands: 0 is the difference, 1 the quotient.
fn foreseen(f: Binary, of: DType) -> bool {
    matches!(Word::of(of), Ok(Word::F32)) && (f.is_comparison() || matches!(f, Binary::Sub | Binary::Div))
}

/// A constant of a program. Floats are kept from the compiler's eyes, which may take `x · 0` for 0, whatever `x` is.
fn unforeseen(x: Scalar, word: Word) -> String {
    let text = constant(x, word);
    if word == Word::F32 { format!("exact({text})") } else { text }
}

/// The register value `x`.
pub(crate) fn constant(x: Scalar, word: Word) -> String {
    match word {
        Word::F32 => float(x.as_f64() as f32),
        // The smallest number has no literal of its own.
        Word::I32 if x.as_i64() == i64::from(i32::MIN) => "bitcast<i32>(0x80000000u)".into(),
        Word::I32 => format!("{}i", x.as_i64()),
        Word::U32 => format!("{}u", x.as_i64()),
        Word::Bool => x.truth().to_string(),
        Word::I64 | Word::U64 => {
            let bits = x.as_i64() as u64;
            format!("vec2<u32>({}u, {}u)", bits as u32, bits >> 32)
        }
    }
}

/// `x` as an expression: a literal where WGSL has one, else its bits.
pub(crate) fn float(x: f32) -> String {
    let plain = x.is_normal() || (x == 0.0 && x.is_sign_positive());
    if plain { format!("{x:?}f") } else { format!("from_bits(0x{:08x}u)", x.to_bits()) }
}

pub(crate) fn unary(f: Unary, x: &str, of: DType) -> Result<String, Unsupported> {
    let text = match Word::of(of)? {
        Word::F32 => unary_f32(f, x),
        Word::I32 => unary_i32(f, x),
        Word::U32 => unary_u32(f, x),
        Word::Bool => unary_bool(f, x),
        Word::I64 => unary_i64(f, x),
        Word::U64 => unary_u64(f, x),
    };
    let text = text.ok_or_else(|| Unsupported(format!("there is no {} of {of}", f.name())))?;
    Ok(if f.is_test() { text } else { fit(of, &text) })
}

fn unary_f32(f: Unary, x: &str) -> Option<String> {
    let call = |name: &str| format!("{name}({x})");
    Some(match f {
        Unary::Abs => call("abs"),
        Unary::Neg => format!("-{x}"),
        Unary::Sign => call("sign_of"),
        Unary::Square => format!("{x} * {x}"),
        Unary::Sqrt => call("sqrt"),
        Unary::Rsqrt => call("inverseSqrt"),
        Unary::Reciprocal => format!("1.0f / {x}"),
        Unary::Exp => call("exponential"),
        Unary::Expm1 => call("expm1"),
        Unary::Log => call("ln"),
        Unary::Log2 => call("log_of_two"),
        Unary::Log10 => call("log_of_ten"),
        Unary::Log1p => call("log1p"),
        Unary::Sin => call("sine"),
        Unary::Cos => call("cosine"),
        Unary::Tan => call("tangent"),
        Unary::Asin => call("inverse_sine"),
        Unary::Acos => call("inverse_cosine"),
        Unary::Atan => call("inverse_tangent"),
        Unary::Sinh => call("hyperbolic_sine"),
        Unary::Cosh => call("hyperbolic_cosine"),
        Unary::Tanh => call("hyperbolic_tangent"),
        Unary::Asinh => call("area_sine"),
        Unary::Acosh => call("area_cosine"),
        Unary::Atanh => call("area_tangent"),
        Unary::Erf => call("erf"),
        Unary::Erfc => call("erfc"),
        Unary::Floor => call("floor"),
        Unary::Ceil => call("ceil"),
        Unary::Round => call("round"),
        Unary::Trunc => call("trunc"),
        Unary::Relu => format!("select({x}, 0.0f, {x} < 0.0f)"),
        Unary::Relu6 => call("relu6"),
        Unary::Sigmoid => call("sigmoid"),
        Unary::Silu => format!("{x} * sigmoid({x})"),
        Unary::Gelu => call("gelu"),
        Unary::GeluTanh => call("gelu_tanh"),
        Unary::HSwish => format!("{x} * (relu6({x} + 3.0f) / 6.0f)"),
        Unary::HSigmoid => format!("relu6({x} + 3.0f) / 6.0f"),
        Unary::Softplus => call("softplus"),
        Unary::Mish => format!("{x} * hyperbolic_tangent(softplus({x}))"),
        Unary::IsNan => call("is_nan"),
        Unary::IsInf => call("is_inf"),
        Unary::IsFinite => call("is_finite"),
        Unary::Not => return None,
    })
}

fn unary_i32(f: Unary, x: &str) -> Option<String> {
    Some(match f {
        Unary::Abs => format!("abs({x})"),
        Unary::Neg => format!("-{x}"),
        Unary::Sign => format!("clamp({x}, -1i, 1i)"),
        Unary::Square => format!("{x} * {x}"),
        Unary::Relu => format!("max({x}, 0i)"),
        Unary::Relu6 => format!("clamp({x}, 0i, 6i)"),
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x.into(),
        Unary::Not => format!("~{x}"),
        Unary::IsNan | Unary::IsInf => "false".into(),
        Unary::IsFinite => "true".into(),
        _ => return None,
    })
}

fn unary_u32(f: Unary, x: &str) -> Option<String> {
    Some(match f {
        Unary::Neg => format!("0u - {x}"),
        Unary::Sign => format!("min({x}, 1u)"),
        Unary::Square => format!("{x} * {x}"),
        Unary::Abs | Unary::Relu => x.into(),
        Unary::Relu6 => format!("min({x}, 6u)"),
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x.into(),
        Unary::Not => format!("~{x}"),
        Unary::IsNan | Unary::IsInf => "false".into(),
        Unary::IsFinite => "true".into(),
        _ => return None,
    })
}

fn unary_i64(f: Unary, x: &str) -> Option<String> {
    Some(match f {
        Unary::Abs => format!("size_i64({x})"),
        Unary::Sign => format!("sign_i64({x})"),
        Unary::Relu => format!("larger_i64({x}, vec2<u32>())"),
        Unary::Relu6 => format!("smaller_i64(larger_i64({x}, vec2<u32>()), vec2<u32>(6u, 0u))"),
        f => return unary_wide(f, x),
    })
}

fn unary_u64(f: Unary, x: &str) -> Option<String> {
    Some(match f {
        Unary::Abs | Unary::Relu => x.into(),
        Unary::Sign => format!("smaller_u64({x}, vec2<u32>(1u, 0u))"),
        Unary::Relu6 => format!("smaller_u64({x}, vec2<u32>(6u, 0u))"),
        f => return unary_wide(f, x),
    })
}

/// Functions of 64 bits, whatever their sign.
fn unary_wide(f: Unary, x: &str) -> Option<String> {
    Some(match f {
        Unary::Neg => format!("negative({x})"),
        Unary::Square => format!("product_wide({x}, {x})"),
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x.into(),
        Unary::Not => format!("~{x}"),
        Unary::IsNan | Unary::IsInf => "false".into(),
        Unary::IsFinite => "true".into(),
        _ => return None,
    })
}

fn unary_bool(f: Unary, x: &str) -> Option<String> {
    match f {
        Unary::Not => Some(format!("!{x}")),
        Unary::IsNan | Unary::IsInf => Some("false".into()),
        Unary::IsFinite => Some("true".into()),
        _ => None,
    }
}

/// `f` of `a` and `b` of type `of`.
pub(crate) fn binary(f: Binary, a: &str, b: &str, of: DType) -> Result<String, Unsupported> {
    let word = Word::of(of)?;
    let text = match word {
        Word::Bool => binary_bool(f, a, b),
        // Shaders may take a comparison with NaN for false, whichever it is.
        Word::F32 if f == Binary::Ne => Some(format!("!({a} == {b})")),
        Word::I64 | Word::U64 if f.is_comparison() => comparison_wide(f, a, b, word),
        _ if f.is_comparison() => Some(format!("{a} {} {b}", comparison(f))),
        Word::F32 => binary_f32(f, a, b),
        Word::I32 | Word::U32 => binary_int(f, a, b, word),
        Word::I64 | Word::U64 => binary_wide(f, a, b, word),
    };
    let text = text.ok_or_else(|| Unsupported(format!("there is no {} of {of}", f.name())))?;
    Ok(if f.is_comparison() { text } else { fit(of, &text) })
}

fn comparison(f: Binary) -> &'static str {
    match f {
        Binary::Eq => "==",
        Binary::Ne => "!=",
        Binary::Lt => "<",
        Binary::Le => "<=",
        Binary::Gt => ">",
        _ => ">=",
    }
}

fn binary_f32(f: Binary, a: &str, b: &str) -> Option<String> {
    let call = |name: &str| format!("{name}({a}, {b})");
    Some(match f {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::FloorDiv => call("floor_quotient"),
        Binary::FloorMod => call("floor_remainder"),
        Binary::Rem => call("remainder"),
        Binary::Pow => call("power"),
        Binary::Max => call("larger"),
        Binary::Min => call("smaller"),
        Binary::Atan2 => call("angle"),
        _ => return None,
    })
}

fn binary_int(f: Binary, a: &str, b: &str, word: Word) -> Option<String> {
    Some(match f {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Max => format!("max({a}, {b})"),
        Binary::Min => format!("min({a}, {b})"),
        f => return binary_any(f, a, b, word),
    })
}

fn binary_wide(f: Binary, a: &str, b: &str, word: Word) -> Option<String> {
    let suffix = word.suffix();
    Some(match f {
        Binary::Add => format!("sum_wide({a}, {b})"),
        Binary::Sub => format!("difference_wide({a}, {b})"),
        Binary::Mul => format!("product_wide({a}, {b})"),
        Binary::Max => format!("larger_{suffix}({a}, {b})"),
        Binary::Min => format!("smaller_{suffix}({a}, {b})"),
        f => return binary_any(f, a, b, word),
    })
}

/// Functions of integers that are written alike for every word.
fn binary_any(f: Binary, a: &str, b: &str, word: Word) -> Option<String> {
    let unsigned = matches!(word, Word::U32 | Word::U64);
    let call = |name: &str| format!("{name}_{}({a}, {b})", word.suffix());
    Some(match f {
        Binary::Div => call("divide"),
        Binary::Rem => call("rest"),
        Binary::FloorDiv if unsigned => call("divide"),
        Binary::FloorMod if unsigned => call("rest"),
        Binary::FloorDiv => call("floor_quotient"),
        Binary::FloorMod => call("floor_rest"),
        Binary::Pow => call("power"),
        Binary::And => format!("{a} & {b}"),
        Binary::Or => format!("{a} | {b}"),
        Binary::Xor => format!("{a} ^ {b}"),
        _ => return None,
    })
}

fn comparison_wide(f: Binary, a: &str, b: &str, word: Word) -> Option<String> {
    let below = |a: &str, b: &str| format!("below_{}({a}, {b})", word.suffix());
    Some(match f {
        Binary::Eq => format!("same({a}, {b})"),
        Binary::Ne => format!("!same({a}, {b})"),
        Binary::Lt => below(a, b),
        Binary::Le => format!("!{}", below(b, a)),
        Binary::Gt => below(b, a),
        Binary::Ge => format!("!{}", below(a, b)),
        _ => return None,
    })
}

fn binary_bool(f: Binary, a: &str, b: &str) -> Option<String> {
    Some(match f {
        Binary::And | Binary::Mul | Binary::Min => format!("{a} && {b}"),
        Binary::Or | Binary::Add | Binary::Max => format!("{a} || {b}"),
        Binary::Xor | Binary::Ne => format!("{a} != {b}"),
        Binary::Eq => format!("{a} == {b}"),
        Binary::Lt => format!("!{a} && {b}"),
        Binary::Le => format!("!{a} || {b}"),
        Binary::Gt => format!("{a} && !{b}"),
        Binary::Ge => format!("{a} || !{b}"),
        _ => return None,
    })
}

/// `x` of type `from` as `to`, as [`Instr::Cast`] converts it.
pub(crate) fn cast(x: &str, from: DType, to: DType) -> Result<String, Unsupported> {
    if from == to {
        return Ok(x.to_string());
    }
    let (source, target) = (Word::of(from)?, Word::of(to)?);
    Ok(match (source, target) {
        (Word::F32, Word::F32) => fit(to, x),
        (Word::F32, Word::Bool) => format!("is_nonzero({x})"),
        (Word::F32, _) => saturate(x, to),
        (Word::I64 | Word::U64, Word::F32) => fit(to, &format!("{}_to_f32({x})", source.suffix())),
        (Word::I64 | Word::U64, Word::Bool) => format!("(({x}.x | {x}.y) != 0u)"),
        (Word::I64 | Word::U64, Word::I32) => fit(to, &format!("bitcast<i32>({x}.x)")),
        (Word::I64 | Word::U64, Word::U32) => fit(to, &format!("{x}.x")),
        (Word::I64 | Word::U64, _) => x.to_string(),
        (Word::I32, Word::I64 | Word::U64) => format!("i32_to_wide({x})"),
        (Word::Bool | Word::U32, Word::I64 | Word::U64) => format!("vec2<u32>(u32({x}), 0u)"),
        (Word::I32, Word::Bool) => format!("({x} != 0i)"),
        (Word::U32, Word::Bool) => format!("({x} != 0u)"),
        _ => fit(to, &format!("{}({x})", target.computed())),
    })
}

/// The float `x` as integer of type `to`: toward zero, the nearest that there is, 0 for NaN.
fn saturate(x: &str, to: DType) -> String {
    match to {
        DType::I8 => format!("clamp(to_i32({x}), -128i, 127i)"),
        DType::I16 => format!("clamp(to_i32({x}), -32768i, 32767i)"),
        DType::U8 => format!("min(to_u32({x}), 255u)"),
        DType::U16 => format!("min(to_u32({x}), 65535u)"),
        DType::U32 => format!("to_u32({x})"),
        DType::I64 => format!("to_i64({x})"),
        DType::U64 => format!("to_u64({x})"),
        _ => format!("to_i32({x})"),
    }
}
