//! Matrix products, normalisation.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, join, length, part, product, quotient, reshaped};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::types::Length;

pub(super) static OPS: &[Row] = &[
    ("BatchNormalization", |m, c| batch_norm(m, c)),
    ("Det", |m, c| Ok(vec![m.one("MatrixDeterminant", &c.input(0)?)?])),
    ("Gemm", |m, c| gemm(m, c)),
    ("GroupNormalization", |m, c| group_norm(m, c)),
    ("InstanceNormalization", |m, c| instance_norm(m, c)),
    ("LayerNormalization", |m, c| layer_norm(m, c)),
    ("MatMul", |m, c| matmul(m, c)),
    ("RMSNormalization", |m, c| rms_norm(m, c)),
    // ONNX Runtime writes it into ONNX's own domain.
    ("SimplifiedLayerNormalization", |m, c| rms_norm(m, c)),
];

fn batch_norm(m: &mut Import, c: &Call) -> Steps {
    if c.int("training_mode", 0) == 1 && c.opset >= 14 {
        return trained_norm(m, c);
    }
    if c.wants(1) {
        return Err("statistics of the batch are not supported before operator set 14".into());
    }
    let (x, eps) = (c.input(0)?, c.float("epsilon", 1e-5));
    let params = [c.input(1)?, c.input(2)?, c.input(3)?, c.input(4)?];
    // MindSpore normalises matrices and images: other tensors have all their places in one dimension.
    let dims = dims_of(m, &x)?;
    let rank = x.rank()?;
    let flat = rank != 2 && rank != 4;
    let x = if flat {
        let rest = part(m, &dims, 2, rank.max(2) as i64)?;
        let one = m.vector(&[1]);
        let parts = vec![part(m, &dims, 0, 2)?, product(m, &rest)?, one];
        reshaped(m, x, parts)?
    } else {
        x
    };
    let mut args = vec![x.into()];
    args.extend(params.into_iter().map(Into::into));
    args.extend([false.into(), eps.into()]);
    let y = m.op_n("BatchNorm", args, 5)?.into_iter().next().ok_or("no result")?;
    Ok(vec![if flat { m.op("Reshape", vec![y.into(), dims.into()])? } else { y }])
}

/// Normalised by the statistics of the batch, which the running ones follow.
fn trained_norm(m: &mut Import, c: &Call) -> Steps {
    let (x, momentum) = (c.input(0)?, c.float("momentum", 0.9));
    let rank = x.rank()? as i64;
    let axes: Vec<i64> = [0].into_iter().chain(2..rank).collect();
    let column: Vec<i64> = (1..rank - 1).collect();
    let mean = m.reduce("ReduceMean", &x, &axes, true)?;
    let centred = m.two("Sub", &x, &mean)?;
    let squares = m.one("Square", &centred)?;
    let variance = m.reduce("ReduceMean", &squares, &axes, true)?;
    let deviation = m.with("Add", &variance, c.float("epsilon", 1e-5))?;
    let deviation = m.one("Sqrt", &deviation)?;
    let y = m.two("Div", &centred, &deviation)?;
    let (scale, bias) = (m.with_ones(&c.input(1)?, &column)?, m.with_ones(&c.input(2)?, &column)?);
    let y = m.two("Mul", &y, &scale)?;
    let mut results = vec![m.two("Add", &y, &bias)?];
    for (i, now) in [(3, mean), (4, variance)] {
        let before = c.input(i)?;
        let now = m.op("Reshape", vec![now.into(), vec![-1].into()])?;
        let now = as_type(m, now, before.dtype())?;
        let (kept, added) = (m.with("Mul", &before, momentum)?, m.with("Mul", &now, 1.0 - momentum)?);
        results.push(m.two("Add", &kept, &added)?);
    }
    Ok(results)
}

fn scaled(m: &mut Import, x: Val, factor: f64) -> Step {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = m.scalar(x.dtype(), factor)?;
    m.op("Mul", vec![x.into(), factor.into()])
}

pub(super) fn gemm(m: &mut Import, c: &Call) -> Steps {
    let flags = [c.int("transA", 0) == 1, c.int("transB", 0) == 1];
    let args = vec![c.input(0)?.into(), c.input(1)?.into(), flags[0].into(), flags[1].into()];
    let y = m.op("MatMul", args)?;
    let y = scaled(m, y, c.float("alpha", 1.0))?;
    let Some(bias) = c.option(2) else { return Ok(vec![y]) };
    let bias = scaled(m, bias, c.float("beta", 1.0))?;
    if bias.rank() == Ok(1) {
        return Ok(vec![add_channels(m, y, bias)?]);
    }
    Ok(vec![m.op("Add", vec![y.into(), bias.into()])?])
}

/// Images or rows `x` plus the vector `bias` along their channels, as MindSpore's cells write it where the lengths are known.
pub(super) fn add_channels(m: &mut Import, x: Val, bias: Val) -> Step {
    if bias.rank() == Ok(1) && bias.length(0).is_some() && bias.length(0) == x.length(1) {
        return m.op("BiasAdd", vec![x.into(), bias.into()]);
    }
    let column: Vec<i64> = [-1].into_iter().chain((2..x.rank()?).map(|_| 1)).collect();
    let bias = m.op("Reshape", vec![bias.into(), column.into()])?;
    m.op("Add", vec![x.into(), bias.into()])
}

fn matmul(m: &mut Import, c: &Call) -> Steps {
    let (a, b) = (c.input(0)?, c.input(1)?);
    let (Ok(rows), Ok(cols)) = (a.rank(), b.rank()) else {
        return Ok(vec![m.op("MatMulExt", vec![a.into(), b.into()])?]);
    };
    let y = match (rows, cols) {
        (2, 2) => m.op("MatMul", vec![a.into(), b.into(), false.into(), false.into()])?,
        (0 | 1, _) | (_, 0 | 1) => m.op("MatMulExt", vec![a.into(), b.into()])?,
        (_, 2) => flat_product(m, a, b, false)?,
        _ => m.op("BatchMatMul", vec![a.into(), b.into(), false.into(), false.into()])?,
    };
    Ok(vec![y])
}

/// A matrix shared by all rows, transposed if asked: one product of matrices, as MindSpore's `Dense` writes it.
pub(super) fn flat_product(m: &mut Import, a: Val, b: Val, transposed: bool) -> Step {
    let rank = a.rank()?;
    let inner = rank.checked_sub(1).and_then(|d| a.length(d)).or_else(|| b.length(usize::from(transposed)));
    let lead = a.dims()?.iter().take(rank.saturating_sub(1)).copied().collect::<Vec<_>>();
    let empty = inner == Some(0) || lead.contains(&Length::Fixed(0));
    let (Some(k), Some(n), false) = (inner, b.length(usize::from(!transposed)), empty) else {
        return m.op("BatchMatMul", vec![a.into(), b.into(), false.into(), transposed.into()]);
    };
    let rows = m.op("Reshape", vec![(&a).into(), vec![-1, k].into()])?;
    let y = m.op("MatMul", vec![rows.into(), b.into(), false.into(), transposed.into()])?;
    let open = lead.iter().filter(|d| d.fixed().is_none()).count();
    if open > 1 || open == 1 && n == 0 {
        let (all, n) = (dims_of(m, &a)?, m.vector(&[n]));
        let lead = part(m, &all, 0, lead.len() as i64)?;
        return reshaped(m, y, vec![lead, n]);
    }
    let back: Vec<i64> = lead.into_iter().map(|d| d.fixed().unwrap_or(-1)).chain([n]).collect();
    m.op("Reshape", vec![y.into(), back.into()])
}

/// `v` broadcast to the dimensions of `x` from `axis` on.
fn over(m: &mut Import, v: Val, x: &Val, axis: i64) -> Step {
    let dims = x.dims()?.iter().skip(usize::try_from(axis).unwrap_or(0));
    if v.dims()?.iter().eq(dims) {
        return Ok(v);
    }
    let all = dims_of(m, x)?;
    let dims = part(m, &all, axis, x.rank()? as i64)?;
    m.op("BroadcastTo", vec![v.into(), dims.into()])
}

fn layer_norm(m: &mut Import, c: &Call) -> Steps {
    layer_normed(m, c, &c.input(0)?, [c.option(1), c.option(2)], c.float("epsilon", 1e-5))
}

/// `x` normalised over the dimensions from the node's axis on, and what it wants of the means and the inverse deviations.
pub(super) fn layer_normed(m: &mut Import, c: &Call, x: &Val, factors: [Option<Val>; 2], eps: f64) -> Steps {
    let [gamma, beta] = factors;
    let gamma = gamma.ok_or("the scale is missing")?;
    let axis = x.place(c.int("axis", -1))?;
    let gamma = over(m, gamma, x, axis)?;
    let beta = match beta {
        Some(beta) => over(m, beta, x, axis)?,
        None => m.op("ZerosLike", vec![(&gamma).into()])?,
    };
    let dtype = x.dtype();
    let args = vec![x.into(), gamma.into(), beta.into(), axis.into(), axis.into(), eps.into()];
    let mut results = m.op_n("LayerNorm", args, 3)?;
    for (i, y) in results.iter_mut().enumerate().skip(1).filter(|(i, _)| c.wants(*i)) {
        if i == 2 {
            *y = inverse_deviation(m, y.clone(), eps)?;
        }
        // The statistics are as precise as the operand where that is finer than `f32`.
        if dtype == DType::F64 {
            *y = as_type(m, y.clone(), dtype)?;
        }
    }
    Ok(results)
}

/// `1 / √(variance + eps)`.
fn inverse_deviation(m: &mut Import, variance: Val, eps: f64) -> Step {
    let eps = m.scalar(variance.dtype(), eps)?;
    let sum = m.op("Add", vec![variance.into(), eps.into()])?;
    let root = m.op("Sqrt", vec![sum.into()])?;
    m.op("Reciprocal", vec![root.into()])
}

fn rms_norm(m: &mut Import, c: &Call) -> Steps {
    Ok(vec![rms_normed(m, &c.input(0)?, c.input(1)?, c.int("axis", -1), c.float("epsilon", 1e-5))?])
}

/// `x / √(mean x² + ε) · scale`, the mean over the dimensions from `axis` on.
pub(super) fn rms_normed(m: &mut Import, x: &Val, scale: Val, axis: i64, eps: f64) -> Step {
    let axes: Vec<i64> = (x.place(axis)?..x.rank()? as i64).collect();
    let squares = m.one("Square", x)?;
    let mean = m.reduce("ReduceMean", &squares, &axes, true)?;
    let sum = m.with("Add", &mean, eps)?;
    let root = m.one("Sqrt", &sum)?;
    let y = m.two("Div", x, &root)?;
    m.two("Mul", &y, &scale)
}

/// Channels normalised in groups: reshaped to rows, as the operators that MindSpore has everywhere.
fn groups(m: &mut Import, x: &Val, groups: Val, eps: f64) -> Step {
    let (dims, rank) = (dims_of(m, x)?, x.rank()? as i64);
    let (batch, rest) = (part(m, &dims, 0, 1)?, part(m, &dims, 1, rank)?);
    let all = product(m, &rest)?;
    let each = quotient(m, &all, &groups)?;
    let rows = reshaped(m, x.clone(), vec![batch, groups, each])?;
    let mean = m.op("ReduceMean", vec![(&rows).into(), vec![2].into(), true.into()])?;
    let centred = m.op("Sub", vec![rows.into(), mean.into()])?;
    let squares = m.op("Square", vec![(&centred).into()])?;
    let var = m.op("ReduceMean", vec![squares.into(), vec![2].into(), true.into()])?;
    let eps = m.scalar(x.dtype(), eps)?;
    let sum = m.op("Add", vec![var.into(), eps.into()])?;
    let root = m.op("Sqrt", vec![sum.into()])?;
    let y = m.op("Div", vec![centred.into(), root.into()])?;
    m.op("Reshape", vec![y.into(), dims.into()])
}

/// `x · scale + bias`, both one number for each channel.
fn affine(m: &mut Import, x: Val, scale: Val, bias: Val) -> Step {
    let dims: Vec<i64> = std::iter::once(-1).chain(std::iter::repeat_n(1, x.rank()?.saturating_sub(2))).collect();
    let scale = m.op("Reshape", vec![scale.into(), dims.clone().into()])?;
    let bias = m.op("Reshape", vec![bias.into(), dims.into()])?;
    let y = m.op("Mul", vec![x.into(), scale.into()])?;
    m.op("Add", vec![y.into(), bias.into()])
}

fn instance_norm(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let channels = length(m, &x, 1)?;
    let y = groups(m, &x, channels, c.float("epsilon", 1e-5))?;
    Ok(vec![affine(m, y, c.input(1)?, c.input(2)?)?])
}

/// Before set 21 scale and bias are per group.
fn group_norm(m: &mut Import, c: &Call) -> Steps {
    let (x, n) = (c.input(0)?, c.int("num_groups", 1));
    let count = m.vector(&[n]);
    if n < 1 {
        return Err("there are no groups".into());
    }
    let y = groups(m, &x, count, c.float("epsilon", 1e-5))?;
    let channels = length(m, &x, 1)?;
    let per_channel = |m: &mut Import, v: Val| -> Step {
        if v.rank()? != 1 {
            return Err("scale and bias must be vectors".into());
        }
        if c.opset >= 21 || v.length(0).is_some() && v.length(0) == x.length(1) {
            return Ok(v);
        }
        let len = length(m, &v, 0)?;
        let repeats = quotient(m, &channels, &len)?;
        let v = m.op("ExpandDims", vec![v.into(), 1i64.into()])?;
        let shape = join(m, vec![len, repeats], 0)?;
        let v = m.op("BroadcastTo", vec![v.into(), shape.into()])?;
        reshaped(m, v, vec![channels.clone()])
    };
    let (scale, bias) = (per_channel(m, c.input(1)?)?, per_channel(m, c.input(2)?)?);
    Ok(vec![affine(m, y, scale, bias)?])
}
