//! Numbers as small integers.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, element_type, join, length, part, places, reshaped};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::narrow::Narrow;

pub(super) static OPS: &[Row] =
    &[("DequantizeLinear", |m, c| dequantize(m, c)), ("QuantizeLinear", |m, c| quantize(m, c))];

/// Scale and zero point, if there is one, as `dtype` and shaped to go with `x`.
fn quantization(m: &mut Import, c: &Call, x: &Val, dtype: DType) -> Result<(Val, Option<Val>), String> {
    let block = c.int("block_size", 0);
    let along = |m: &mut Import, v: Val| -> Step {
        let v = as_type(m, v, dtype)?;
        if v.rank()? == 0 || (v.rank()? == 1 && v.length(0) == Some(1)) {
            return m.op("Reshape", vec![v.into(), Vec::<i64>::new().into()]);
        }
        let axis = x.axis(c.int("axis", 1))?;
        if block > 0 { repeated(m, &v, x, axis, block) } else { along_channels(m, v, axis, x.rank()?) }
    };
    let scale = along(m, c.input(1)?)?;
    Ok((scale, c.option(2).map(|zero| along(m, zero)).transpose()?))
}

/// The type in which quantised numbers are computed: zero points of 16 bits are no 16-bit floats.
fn at_least_f32(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// `(x − zero point) · scale`.
fn dequantize(m: &mut Import, c: &Call) -> Steps {
    let (x, d) = (c.input(0)?, c.input(1)?.dtype());
    let result = match c.int("output_dtype", 0) {
        0 => d,
        code => element_type(code)?,
    };
    let wide = at_least_f32(d);
    let (scale, zero) = quantization(m, c, &x, wide)?;
    let mut y = as_type(m, x, wide)?;
    if let Some(zero) = zero {
        y = m.op("Sub", vec![y.into(), zero.into()])?;
    }
    let y = m.op("Mul", vec![y.into(), scale.into()])?;
    Ok(vec![as_type(m, y, result)?])
}

/// `x / scale` rounded, plus the zero point, within the range of its type.
fn quantize(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let narrow = c.option(2).and_then(|zero| zero.narrow).or(Narrow::named(c.int("output_dtype", 0)));
    let whole = match (c.option(2), c.int("output_dtype", 0)) {
        _ if narrow.is_some() => DType::I8,
        (Some(zero), _) => zero.dtype(),
        (None, 0) => DType::U8,
        (None, code) => element_type(code)?,
    };
    let d = at_least_f32(x.dtype());
    let (scale, zero) = quantization(m, c, &x, d)?;
    let x = as_type(m, x, d)?;
    let y = m.op("Div", vec![x.into(), scale.into()])?;
    if let Some(float) = narrow.filter(|n| n.range().is_none()) {
        return Ok(vec![float.cast(m, &y, c.int("saturate", 1) == 1, &c.text("round_mode", "up"))?]);
    }
    let mut y = m.op("Rint", vec![y.into()])?;
    if let Some(zero) = zero {
        y = m.op("Add", vec![y.into(), zero.into()])?;
    }
    if let Some((own, (low, high))) = narrow.and_then(|n| Some((n, n.range()?))) {
        let y = m.clamped(&y, low, high)?;
        return Ok(vec![own.cast(m, &y, true, "up")?]);
    }
    Ok(vec![narrowed(m, y, whole)?])
}

/// The least and the largest number of a type of quantised numbers.
pub(super) fn range_of(dtype: DType) -> Result<(f64, f64), String> {
    match dtype {
        DType::I8 => Ok((-128.0, 127.0)),
        DType::U8 => Ok((0.0, 255.0)),
        DType::I16 => Ok((-32768.0, 32767.0)),
        DType::U16 => Ok((0.0, 65535.0)),
        other => Err(format!("quantised numbers of {other} are not supported")),
    }
}

/// Whole numbers as `dtype`; those beyond its range are at its ends.
pub(super) fn narrowed(m: &mut Import, y: Val, dtype: DType) -> Step {
    let (low, high) = range_of(dtype)?;
    let y = m.clamped(&y, low, high)?;
    as_type(m, y, dtype)
}

/// `v`, one number or a vector, as what goes with dimension `axis` of a tensor of this rank.
pub(super) fn along_channels(m: &mut Import, v: Val, axis: usize, rank: usize) -> Step {
    if v.rank()? == 0 {
        return Ok(v);
    }
    let behind = rank.saturating_sub(1).saturating_sub(axis);
    let dims: Vec<i64> = std::iter::once(-1).chain(std::iter::repeat_n(1, behind)).collect();
    m.op("Reshape", vec![v.into(), dims.into()])
}

/// `v`, which has one element for each `block` elements of `x` along `axis`, with one for each.
fn repeated(m: &mut Import, v: &Val, x: &Val, axis: usize, block: i64) -> Step {
    let rank = v.rank()?;
    if x.rank()? != rank {
        return Err(format!("scales of blocks of rank {rank} for an operand of rank {}", x.rank()?));
    }
    let (own, at) = (dims_of(m, v)?, axis as i64);
    let (lead, behind) = (part(m, &own, 0, at + 1)?, part(m, &own, at + 1, rank as i64)?);
    let each = m.vector(&[block]);
    let wide = join(m, vec![lead, each.clone(), behind.clone()], 0)?;
    let column = m.op("ExpandDims", vec![v.into(), (at + 1).into()])?;
    let column = m.two("BroadcastTo", &column, &wide)?;
    let (front, blocks) = (part(m, &own, 0, at)?, length(m, v, axis)?);
    let all = m.two("Mul", &blocks, &each)?;
    let rows = reshaped(m, column, vec![front, all, behind])?;
    // The last block may be shorter.
    let len = length(m, x, axis)?;
    let places = places(m, len)?;
    m.gathered(&rows, &places, at)
}
