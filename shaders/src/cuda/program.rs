//! Scalar programs as CUDA functions.

use std::fmt::Write;

use mindir_graph::DType;
use mindir_graph::task::{Instr, Program, Scalar};

use super::register;
use crate::Unsupported;

/// The function `program(x0, x1, …)` that computes `program`. Calls the library. Input `i` has the register type
/// of `inputs[i]`. Every step is rounded to its type.
///
/// # Errors
/// [`Unsupported`] for complex numbers and malformed programs.
pub(crate) fn function(program: &Program, inputs: &[DType]) -> Result<String, Unsupported> {
    let mut body = String::new();
    for (i, &(_, dtype)) in program.instrs.iter().enumerate() {
        let value = expression(program, i, inputs)?;
        let _ = writeln!(body, "    {} r{i} = {value};", register(dtype)?);
    }
    let result = program.dtype().ok_or_else(|| Unsupported("a program without instructions".into()))?;
    let mut params = Vec::new();
    for (i, &dtype) in inputs.iter().enumerate() {
        params.push(format!("{} x{i}", register(dtype)?));
    }
    let head = format!("inline {} program({}) {{\n", register(result)?, params.join(", "));
    Ok(format!("{head}{body}    return r{};\n}}\n", program.instrs.len() - 1))
}

fn expression(program: &Program, index: usize, inputs: &[DType]) -> Result<String, Unsupported> {
    let (instr, dtype) = program.instrs[index];
    let operand = |r: usize| -> Result<DType, Unsupported> {
        let known = (r < index).then(|| program.instrs[r].1);
        known.ok_or_else(|| Unsupported(format!("instruction {index} reads register {r} before it is written")))
    };
    Ok(match instr {
        Instr::Input(i) if inputs.get(i) == Some(&dtype) => format!("x{i}"),
        Instr::Input(i) => return Err(Unsupported(format!("input {i} is not {dtype}"))),
        Instr::Const(x) => constant(Scalar::Float(x).round_to(dtype), dtype),
        Instr::Int(x) => constant(Scalar::Int(x).round_to(dtype), dtype),
        Instr::Unary(f, x) => {
            operand(x)?;
            rounded(dtype, format!("fn::{}(r{x})", f.name()))
        }
        Instr::Binary(f, a, b) => {
            let (of, other) = (operand(a)?, operand(b)?);
            if of != other {
                return Err(Unsupported(format!("{} of {of} and {other}", f.name())));
            }
            rounded(dtype, format!("fn::{}(r{a}, r{b})", f.name()))
        }
        Instr::Select(c, a, b) => {
            let (of, _, _) = (operand(c)?, operand(a)?, operand(b)?);
            if of != DType::Bool {
                return Err(Unsupported(format!("a choice by {of}")));
            }
            format!("r{c} ? r{a} : r{b}")
        }
        Instr::Cast(x) => {
            operand(x)?;
            cast(&format!("r{x}"), dtype)?
        }
    })
}

/// The register value `x` of any type as `dtype` holds it.
///
/// # Errors
/// [`Unsupported`] for complex numbers.
pub(crate) fn cast(x: &str, dtype: DType) -> Result<String, Unsupported> {
    Ok(rounded(dtype, format!("fn::cast<{}>({x})", register(dtype)?)))
}

/// `x`, computed in the register type of `dtype`, as `dtype` holds it.
fn rounded(dtype: DType, x: String) -> String {
    match dtype {
        DType::F16 => format!("round_f16({x})"),
        DType::BF16 => format!("round_bf16({x})"),
        _ => x,
    }
}

pub(crate) fn constant(x: Scalar, dtype: DType) -> String {
    match dtype {
        DType::F64 => double(x.as_f64()),
        DType::F16 | DType::BF16 | DType::F32 => float(x.as_f64() as f32),
        DType::Bool => x.truth().to_string(),
        _ => format!("({dtype}){:#x}ull", x.as_i64()),
    }
}

/// `x` as an expression: a literal where there is one, else its bits.
pub(crate) fn float(x: f32) -> String {
    if plain(f64::from(x)) { format!("{x:?}f") } else { format!("from_bits({:#010x}u)", x.to_bits()) }
}

fn double(x: f64) -> String {
    if plain(x) { format!("{x:?}") } else { format!("from_bits_64({:#018x}ull)", x.to_bits()) }
}

fn plain(x: f64) -> bool {
    x == 0.0 && x.is_sign_positive() || x.abs() > 1e-30 && x.abs() < 1e30
}
