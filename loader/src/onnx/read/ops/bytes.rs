//! Functions of quantised tensors as ONNX Runtime's own domain has them: computed with the numbers that these stand for.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::integers::integer_product;
use super::layer::flat_product;
use super::pool::average_pool;
use super::quantize::narrowed;
use super::shape::{dims_of, join, part, reshaped};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("GatherBlockQuantized", |m, c| gathered_blocks(m, c)),
    ("MatMulNBits", |m, c| product_of_blocks(m, c)),
    ("QGemm", |m, c| quantized_gemm(m, c)),
    ("QLinearAdd", |m, c| of_two(m, c, "Add")),
    ("QLinearAveragePool", |m, c| of_one(m, c, |m, x| average_pool(m, c, x))),
    ("QLinearConcat", |m, c| concat(m, c)),
    ("QLinearGlobalAveragePool", |m, c| of_one(m, c, |m, x| global_mean(m, c, x))),
    ("QLinearLeakyRelu", |m, c| of_one(m, c, |m, x| leaky(m, x, c.float("alpha", 0.01)))),
    ("QLinearMul", |m, c| of_two(m, c, "Mul")),
    ("QLinearSigmoid", |m, c| of_one(m, c, |m, x| m.one("Sigmoid", &x))),
    ("QLinearSoftmax", |m, c| {
        of_one(m, c, |m, x| m.op("Softmax", vec![(&x).into(), vec![x.place(c.int("axis", -1))?].into()]))
    }),
    ("QLinearWhere", |m, c| chosen(m, c)),
];

/// `(x − zero point) · scale` of the operands from `at` on.
fn number(m: &mut Import, c: &Call, at: usize) -> Step {
    let (x, scale) = (c.input(at)?, c.input(at + 1)?);
    let x = as_type(m, x, scale.dtype())?;
    let x = match c.option(at + 2) {
        Some(zero) => {
            let zero = as_type(m, zero, scale.dtype())?;
            m.two("Sub", &x, &zero)?
        }
        None => x,
    };
    m.two("Mul", &x, &scale)
}

/// `y / scale` rounded, plus the zero point, within the range of `dtype`; scale and zero point are the operands from `at` on.
fn quantized(m: &mut Import, c: &Call, y: &Val, at: usize, dtype: DType) -> Step {
    let y = m.two("Div", y, &c.input(at)?)?;
    let y = m.one("Rint", &y)?;
    let y = match c.option(at + 1) {
        Some(zero) => {
            let zero = as_type(m, zero, y.dtype())?;
            m.two("Add", &y, &zero)?
        }
        None => y,
    };
    narrowed(m, y, dtype)
}

fn of_one(m: &mut Import, c: &Call, f: impl Fn(&mut Import, Val) -> Step) -> Steps {
    let x = number(m, c, 0)?;
    let y = f(m, x)?;
    Ok(vec![quantized(m, c, &y, 3, c.input(0)?.dtype())?])
}

fn of_two(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let (a, b) = (number(m, c, 0)?, number(m, c, 3)?);
    let y = m.two(name, &a, &b)?;
    Ok(vec![quantized(m, c, &y, 6, c.input(0)?.dtype())?])
}

/// One of two where a condition holds, else the other.
fn chosen(m: &mut Import, c: &Call) -> Steps {
    let (a, b) = (number(m, c, 1)?, number(m, c, 4)?);
    let y = m.select(&c.input(0)?, &a, &b)?;
    Ok(vec![quantized(m, c, &y, 7, c.input(1)?.dtype())?])
}

/// Scale and zero point of the result come first.
fn concat(m: &mut Import, c: &Call) -> Steps {
    let parts = (2..c.inputs.len()).step_by(3).map(|at| number(m, c, at)).collect::<Result<Vec<_>, _>>()?;
    let axis = parts.first().ok_or("there are no operands")?.place(c.int("axis", 1))?;
    let y = join(m, parts, axis)?;
    Ok(vec![quantized(m, c, &y, 0, c.input(2)?.dtype())?])
}

fn leaky(m: &mut Import, x: Val, slope: f64) -> Step {
    let y = m.with("Mul", &x, slope)?;
    let above = m.with("GreaterEqual", &x, 0.0)?;
    m.select(&above, &x, &y)
}

fn global_mean(m: &mut Import, c: &Call, x: Val) -> Step {
    let rank = x.rank()? as i64;
    let first = if c.int("channels_last", 0) == 1 { 1 } else { 2 };
    let axes: Vec<i64> = (first..first + rank - 2).collect();
    m.reduce("ReduceMean", &x, &axes, true)
}

/// `alpha · (a − a₀) · (b − b₀) + bias`, the bias in units of the product's scale; floats where the result has no scale.
fn quantized_gemm(m: &mut Import, c: &Call) -> Steps {
    let laid = |m: &mut Import, at: usize, name: &str| {
        let x = c.input(at)?;
        if c.int(name, 0) == 1 { m.transposed(&x, &[1, 0]) } else { Ok(x) }
    };
    let (a, b) = (laid(m, 0, "transA")?, laid(m, 3, "transB")?);
    let y = integer_product(m, [a, b], [c.option(2), c.option(5)])?;
    let scale = m.two("Mul", &c.input(1)?, &c.input(4)?)?;
    let scale = m.with("Mul", &scale, c.float("alpha", 1.0))?;
    let y = match c.option(6) {
        Some(bias) => m.two("Add", &y, &bias)?,
        None => y,
    };
    let y = as_type(m, y, scale.dtype())?;
    let y = m.two("Mul", &y, &scale)?;
    if c.option(7).is_none() {
        return Ok(vec![y]);
    }
    Ok(vec![quantized(m, c, &y, 7, c.input(0)?.dtype())?])
}

/// Numbers of `bits` bits, the first in the lowest bits of a byte, along the last dimension of `x`.
fn unpacked(m: &mut Import, x: &Val, bits: i64) -> Step {
    let each = match bits {
        8 => return Ok(x.clone()),
        2 | 4 => 8 / bits,
        other => return Err(format!("numbers of {other} bits are not supported")),
    };
    let rank = x.rank()? as i64;
    let most = m.scalar(x.dtype(), ((1i64 << bits) - 1) as f64)?;
    let mut parts = Vec::new();
    for i in 0..each {
        let moved = if i == 0 { x.clone() } else { m.with("RightShift", x, (i * bits) as f64)? };
        let low = m.two("BitwiseAnd", &moved, &most)?;
        parts.push(m.with_ones(&low, &[rank])?);
    }
    let all = join(m, parts, rank)?;
    let dims = dims_of(m, x)?;
    let (lead, open) = (part(m, &dims, 0, rank - 1)?, m.vector(&[-1]));
    reshaped(m, all, vec![lead, open])
}

/// Blocks `[rows, blocks, numbers]` as the numbers that they stand for, `[rows, blocks · numbers]`, in the type of the scales.
fn of_blocks(m: &mut Import, blocks: &Val, scales: Val, zero: Option<Val>, bits: i64) -> Step {
    let (rows, count, dtype) = (blocks.dim(0)?, blocks.dim(1)?, scales.dtype());
    let scales = m.op("Reshape", vec![scales.into(), vec![rows, count, 1].into()])?;
    let numbers = unpacked(m, blocks, bits)?;
    let numbers = as_type(m, numbers, dtype)?;
    let numbers = match zero {
        Some(zero) if zero.dtype() == DType::U8 => {
            let zero = m.op("Reshape", vec![zero.into(), vec![rows, -1].into()])?;
            let zero = unpacked(m, &zero, bits)?;
            let zero = m.op("Slice", vec![zero.into(), vec![0, 0].into(), vec![rows, count].into()])?;
            let zero = as_type(m, zero, dtype)?;
            let zero = m.with_ones(&zero, &[2])?;
            m.two("Sub", &numbers, &zero)?
        }
        Some(zero) => {
            let zero = m.op("Reshape", vec![zero.into(), vec![rows, count, 1].into()])?;
            m.two("Sub", &numbers, &zero)?
        }
        None => m.with("Sub", &numbers, (1i64 << (bits - 1)) as f64)?,
    };
    let numbers = m.two("Mul", &numbers, &scales)?;
    m.op("Reshape", vec![numbers.into(), vec![rows, -1].into()])
}

/// A product with a matrix of few bits in blocks along the sums.
fn product_of_blocks(m: &mut Import, c: &Call) -> Steps {
    if c.option(4).is_some() || c.int("weight_prepacked", 0) != 0 {
        return Err("weights in another order are not supported".into());
    }
    let (k, n) = (c.int("K", 0), c.int("N", 0));
    let blocks = c.input(1)?;
    let blocks = match blocks.rank()? {
        3 => blocks,
        rank => return Err(format!("expected weights of rank 3, found rank {rank}")),
    };
    let weights = of_blocks(m, &blocks, c.input(2)?, c.option(3), c.int("bits", 4))?;
    let weights = m.op("Slice", vec![weights.into(), vec![0, 0].into(), vec![n, k].into()])?;
    let x = c.input(0)?;
    let dtype = x.dtype();
    let weights = as_type(m, weights, dtype)?;
    let y = flat_product(m, x, weights, true)?;
    Ok(vec![match c.option(5) {
        Some(bias) => m.two("Add", &y, &bias)?,
        None => y,
    }])
}

/// Rows of a table of few bits in blocks along its last dimension.
fn gathered_blocks(m: &mut Import, c: &Call) -> Steps {
    let table = c.input(0)?;
    let (axis, along) = (table.axis(c.int("gather_axis", 0))?, table.axis(c.int("quantize_axis", 1))?);
    if table.rank()? != 2 || axis != 0 || along != 1 || table.dtype() != DType::U8 {
        return Err("tables but for bytes, rows of numbers, are not supported".into());
    }
    let (rows, block, bits) = (table.dim(0)?, c.int("block_size", 128), c.int("bits", 4));
    let bytes =
        block.checked_mul(bits).map(|bits| bits / 8).filter(|bytes| *bytes > 0).ok_or("a block without bytes")?;
    let width = table.dim(1)?;
    if width % bytes != 0 {
        return Err(format!("rows of {width} bytes in blocks of {bytes} are not supported"));
    }
    let blocks = m.op("Reshape", vec![table.into(), vec![rows, width / bytes, bytes].into()])?;
    let numbers = of_blocks(m, &blocks, c.input(2)?, c.option(3), bits)?;
    Ok(vec![m.gathered(&numbers, &c.input(1)?, 0)?])
}
