//! Matrix products, normalisation.

use super::{
    Row,
    shape::{dims_of, join, part},
};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("BatchNormalization", |m, c| batch_norm(m, c)),
    ("Gemm", |m, c| gemm(m, c)),
    ("GroupNormalization", |m, c| group_norm(m, c)),
    ("InstanceNormalization", |m, c| instance_norm(m, c)),
    ("LayerNormalization", |m, c| layer_norm(m, c)),
    ("MatMul", |m, c| matmul(m, c)),
    ("RMSNormalization", |m, c| rms_norm(m, c)),
];

fn batch_norm(m: &mut Import, c: &Call) -> Steps {
    if c.int("training_mode", 0) == 1 || c.wants(1) {
        return Err("statistics of the batch are not supported".into());
    }
    let (x, eps) = (c.input(0)?, c.float("epsilon", 1e-5));
    let params = [c.input(1)?, c.input(2)?, c.input(3)?, c.input(4)?];
    let rank = x.rank();
    // MindSpore normalises matrices and images.
    let shape = (rank != 2 && rank != 4).then(|| x.fixed()).transpose()?;
    let x = match &shape {
        Some(dims) => {
            let (&n, &ch) = (dims.first().ok_or("expected rank 2 or more")?, dims.get(1).unwrap_or(&1));
            m.op("Reshape", vec![x.into(), vec![n, ch, -1, 1].into()])?
        }
        None => x,
    };
    let mut args = vec![x.into()];
    args.extend(params.into_iter().map(Into::into));
    args.extend([false.into(), eps.into()]);
    let y = m.op_n("BatchNorm", args, 5)?.into_iter().next().ok_or("no result")?;
    Ok(vec![match shape {
        Some(dims) => m.op("Reshape", vec![y.into(), dims.into()])?,
        None => y,
    }])
}

fn times(m: &mut Import, x: Val, factor: f64) -> Step {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = m.scalar(x.dtype(), factor)?;
    m.op("Mul", vec![x.into(), factor.into()])
}

fn gemm(m: &mut Import, c: &Call) -> Steps {
    let flags = [c.int("transA", 0) == 1, c.int("transB", 0) == 1];
    let args = vec![c.input(0)?.into(), c.input(1)?.into(), flags[0].into(), flags[1].into()];
    let y = m.op("MatMul", args)?;
    let y = times(m, y, c.float("alpha", 1.0))?;
    let Some(bias) = c.option(2) else { return Ok(vec![y]) };
    let bias = times(m, bias, c.float("beta", 1.0))?;
    Ok(vec![add_bias(m, y, bias, 1)?])
}

/// `x` plus `bias` along dimension `axis`, as MindSpore's cells write it where that fits.
pub(super) fn add_bias(m: &mut Import, x: Val, bias: Val, axis: usize) -> Step {
    let fits = bias.rank() == 1 && axis == 1 && bias.dims().first() == x.dims().get(1) && bias.dim(0).is_ok();
    let name = if fits { "BiasAdd" } else { "Add" };
    m.op(name, vec![x.into(), bias.into()])
}

fn matmul(m: &mut Import, c: &Call) -> Steps {
    let (a, b) = (c.input(0)?, c.input(1)?);
    let y = match (a.rank(), b.rank()) {
        (2, 2) => m.op("MatMul", vec![a.into(), b.into(), false.into(), false.into()])?,
        (0 | 1, _) | (_, 0 | 1) => m.op("MatMulExt", vec![a.into(), b.into()])?,
        (_, 2) => flat_product(m, a, b, false)?,
        _ => m.op("BatchMatMul", vec![a.into(), b.into(), false.into(), false.into()])?,
    };
    Ok(vec![y])
}

/// A matrix shared by all rows, transposed if asked: one product of matrices, as MindSpore's `Dense` writes it.
pub(super) fn flat_product(m: &mut Import, a: Val, b: Val, transposed: bool) -> Step {
    let dims = a.dims();
    let (Some(Some(k)), Ok(n)) = (dims.last().copied(), b.dim(usize::from(!transposed))) else {
        return m.op("BatchMatMul", vec![a.into(), b.into(), false.into(), transposed.into()]);
    };
    let lead = dims.split_last().map(|(_, lead)| lead.to_vec()).unwrap_or_default();
    if lead.contains(&Some(0)) {
        return m.op("BatchMatMul", vec![a.into(), b.into(), false.into(), transposed.into()]);
    }
    let rows = m.op("Reshape", vec![(&a).into(), vec![-1, k].into()])?;
    let y = m.op("MatMul", vec![rows.into(), b.into(), false.into(), transposed.into()])?;
    if lead.iter().filter(|d| d.is_none()).count() > 1 {
        let (all, n) = (dims_of(m, &a)?, m.vector(&[n]));
        let lead = part(m, &all, 0, lead.len() as i64)?;
        let shape = join(m, vec![lead, n], 0)?;
        return m.op("Reshape", vec![y.into(), shape.into()]);
    }
    let back: Vec<i64> = lead.into_iter().map(|d| d.unwrap_or(-1)).chain([n]).collect();
    m.op("Reshape", vec![y.into(), back.into()])
}

fn layer_norm(m: &mut Import, c: &Call) -> Steps {
    if c.wants(1) || c.wants(2) {
        return Err("its statistics are not supported".into());
    }
    let (x, gamma) = (c.input(0)?, c.input(1)?);
    let axis = x.axis(c.int("axis", -1))? as i64;
    let beta = match c.option(2) {
        Some(beta) => beta,
        None => m.op("ZerosLike", vec![(&gamma).into()])?,
    };
    let eps = c.float("epsilon", 1e-5);
    let args = vec![x.into(), gamma.into(), beta.into(), axis.into(), axis.into(), eps.into()];
    Ok(m.op_n("LayerNorm", args, 3)?.into_iter().take(1).collect())
}

/// `x / √(mean x² + ε) · scale`, the mean over the dimensions from `axis` on.
fn rms_norm(m: &mut Import, c: &Call) -> Steps {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let axes: Vec<i64> = (x.axis(c.int("axis", -1))? as i64..x.rank() as i64).collect();
    let squares = m.op("Square", vec![(&x).into()])?;
    let mean = m.op("ReduceMean", vec![squares.into(), axes.into(), true.into()])?;
    let eps = m.scalar(x.dtype(), c.float("epsilon", 1e-5))?;
    let sum = m.op("Add", vec![mean.into(), eps.into()])?;
    let root = m.op("Sqrt", vec![sum.into()])?;
    let y = m.op("Div", vec![x.into(), root.into()])?;
    Ok(vec![m.op("Mul", vec![y.into(), scale.into()])?])
}

/// Channels normalised in groups: reshaped to rows, as the operators that MindSpore has everywhere.
fn groups(m: &mut Import, x: &Val, groups: i64, eps: f64) -> Step {
    let dims = x.fixed()?;
    let (&n, _) = (dims.first().ok_or("expected rank 2 or more")?, ());
    let rows = m.op("Reshape", vec![x.into(), vec![n, groups, -1].into()])?;
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
    let dims: Vec<i64> = std::iter::once(-1).chain(std::iter::repeat_n(1, x.rank().saturating_sub(2))).collect();
    let scale = m.op("Reshape", vec![scale.into(), dims.clone().into()])?;
    let bias = m.op("Reshape", vec![bias.into(), dims.into()])?;
    let y = m.op("Mul", vec![x.into(), scale.into()])?;
    m.op("Add", vec![y.into(), bias.into()])
}

fn instance_norm(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let y = groups(m, &x, x.dim(1)?, c.float("epsilon", 1e-5))?;
    Ok(vec![affine(m, y, c.input(1)?, c.input(2)?)?])
}

/// Before set 21 scale and bias are per group.
fn group_norm(m: &mut Import, c: &Call) -> Steps {
    let (x, n) = (c.input(0)?, c.int("num_groups", 1));
    let y = groups(m, &x, n, c.float("epsilon", 1e-5))?;
    let channels = x.dim(1)?;
    let per_channel = |m: &mut Import, v: Val| -> Step {
        if v.dim(0)? == channels {
            return Ok(v);
        }
        let repeats = channels.checked_div(n).ok_or("there are no groups")?;
        let v = m.op("Reshape", vec![v.into(), vec![n, 1].into()])?;
        let v = m.op("BroadcastTo", vec![v.into(), vec![n, repeats].into()])?;
        m.op("Reshape", vec![v.into(), vec![channels].into()])
    };
    let (scale, bias) = (per_channel(m, c.input(1)?)?, per_channel(m, c.input(2)?)?);
    Ok(vec![affine(m, y, scale, bias)?])
}
