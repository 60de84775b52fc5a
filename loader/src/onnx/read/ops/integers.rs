//! Sums of products of small integers.

use mindir_graph::DType;

use super::Row;
use super::convolution::convolved;
use super::element::as_type;
use super::quantize::{along_channels, narrowed, range_of};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("ConvInteger", |m, c| conv_integer(m, c)),
    ("DynamicQuantizeLinear", |m, c| Ok(dynamic_bytes(m, &c.input(0)?)?.to_vec())),
    ("MatMulInteger", |m, c| matmul_integer(m, c)),
    ("QLinearConv", |m, c| quantized_conv(m, c)),
    ("QLinearMatMul", |m, c| quantized_matmul(m, c)),
];

/// The least distance of a zero point from another, or none.
fn shifted(m: &mut Import, x: Val, zero: Option<Val>, dtype: DType) -> Step {
    let x = as_type(m, x, dtype)?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = as_type(m, zero, dtype)?;
    m.two("Sub", &x, &zero)
}

/// A zero point or scale of a matrix: one number, or one for each row.
fn of_rows(m: &mut Import, v: Val) -> Step {
    if v.rank()? == 1 && v.length(0) != Some(1) { m.op("ExpandDims", vec![v.into(), (-1i64).into()]) } else { Ok(v) }
}

/// The product of integers less their zero points, which are numbers or vectors, as `i32`.
pub(super) fn integer_product(m: &mut Import, [a, b]: [Val; 2], [a_zero, b_zero]: [Option<Val>; 2]) -> Step {
    let a_zero = a_zero.map(|v| of_rows(m, v)).transpose()?;
    let a = shifted(m, a, a_zero, DType::I32)?;
    let b = shifted(m, b, b_zero, DType::I32)?;
    m.two("MatMulExt", &a, &b)
}

fn matmul_integer(m: &mut Import, c: &Call) -> Steps {
    Ok(vec![integer_product(m, [c.input(0)?, c.input(1)?], [c.option(2), c.option(3)])?])
}

/// A convolution of integers in `f64`, which holds sums of 2³⁷ products of bytes exactly.
fn conv_of(m: &mut Import, c: &Call, [x, x_zero]: [Option<Val>; 2], [w, w_zero]: [Option<Val>; 2]) -> Step {
    let (x, w) = (x.ok_or("the operand is missing")?, w.ok_or("the weights are missing")?);
    let rank = w.rank()?;
    let w_zero = w_zero.map(|z| along_channels(m, z, 0, rank)).transpose()?;
    let x = shifted(m, x, x_zero, DType::F64)?;
    let w = shifted(m, w, w_zero, DType::F64)?;
    convolved(m, c, x, w, None)
}

fn conv_integer(m: &mut Import, c: &Call) -> Steps {
    let y = conv_of(m, c, [c.option(0), c.option(2)], [c.option(1), c.option(3)])?;
    Ok(vec![as_type(m, y, DType::I32)?])
}

/// `x · factor` rounded to the integers of the zero point's type.
fn requantized(m: &mut Import, x: Val, factor: &Val, zero: &Val) -> Step {
    let y = m.two("Mul", &x, factor)?;
    let y = m.one("Rint", &y)?;
    let offset = as_type(m, zero.clone(), y.dtype())?;
    let y = m.two("Add", &y, &offset)?;
    narrowed(m, y, zero.dtype())
}

fn quantized_conv(m: &mut Import, c: &Call) -> Steps {
    let y = conv_of(m, c, [c.option(0), c.option(2)], [c.option(3), c.option(5)])?;
    let rank = y.rank()?;
    let y = match c.option(8) {
        Some(bias) => {
            let bias = as_type(m, bias, DType::F64)?;
            let bias = along_channels(m, bias, 1, rank)?;
            m.two("Add", &y, &bias)?
        }
        None => y,
    };
    // The scales are multiplied as ONNX Runtime does: in `f32`, that of the result last.
    let scale = along_channels(m, c.input(4)?, 1, rank)?;
    let factor = m.two("Mul", &c.input(1)?, &scale)?;
    let factor = m.two("Div", &factor, &c.input(6)?)?;
    let y = as_type(m, y, factor.dtype())?;
    Ok(vec![requantized(m, y, &factor, &c.input(7)?)?])
}

fn quantized_matmul(m: &mut Import, c: &Call) -> Steps {
    let y = integer_product(m, [c.input(0)?, c.input(3)?], [c.option(2), c.option(5)])?;
    let a_scale = of_rows(m, c.input(1)?)?;
    let factor = m.two("Mul", &a_scale, &c.input(4)?)?;
    let factor = m.two("Div", &factor, &c.input(6)?)?;
    let y = as_type(m, y, factor.dtype())?;
    Ok(vec![requantized(m, y, &factor, &c.input(7)?)?])
}

/// Bytes whose scale and zero point are such that they hold 0 and all elements.
pub(super) fn dynamic_bytes(m: &mut Import, x: &Val) -> Result<[Val; 3], String> {
    let axes: Vec<i64> = (0..x.rank()? as i64).collect();
    let extreme = |m: &mut Import, name, bound| {
        let all = m.reduce(name, x, &axes, false)?;
        m.with(bound, &all, 0.0)
    };
    let (low, high) = (extreme(m, "ReduceMin", "Minimum")?, extreme(m, "ReduceMax", "Maximum")?);
    let (least, most) = range_of(DType::U8)?;
    let range = m.two("Sub", &high, &low)?;
    let scale = m.with("Div", &range, most - least)?;
    let none = m.with("Equal", &scale, 0.0)?;
    let one = m.scalar(scale.dtype(), 1.0)?;
    let scale = m.select(&none, &one, &scale)?;
    let zero = m.two("Div", &low, &scale)?;
    let zero = m.one("Neg", &zero)?;
    let zero = m.one("Rint", &zero)?;
    let zero = narrowed(m, zero, DType::U8)?;
    let y = m.two("Div", x, &scale)?;
    let y = m.one("Rint", &y)?;
    let offset = as_type(m, zero.clone(), y.dtype())?;
    let y = m.two("Add", &y, &offset)?;
    Ok([narrowed(m, y, DType::U8)?, scale, zero])
}
