//! Shapes, and tensors made from numbers.

use mindir_graph::{DType, Tensor};

use super::{Row, element::as_type};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val, axis_of};

pub(super) static OPS: &[Row] = &[
    ("Concat", |m, c| concat(m, c)),
    ("Constant", |m, c| constant(m, c)),
    ("ConstantOfShape", |m, c| constant_of_shape(m, c)),
    ("DepthToSpace", |m, c| depth_to_space(m, c)),
    ("Expand", |m, c| expand(m, c)),
    ("EyeLike", |m, c| eye_like(m, c)),
    ("Flatten", |m, c| flatten(m, c)),
    ("Pad", |m, c| pad(m, c)),
    ("Range", |m, c| range(m, c)),
    ("Reshape", |m, c| reshape(m, c)),
    ("Shape", |m, c| shape(m, c)),
    ("Size", |m, c| Ok(vec![m.op("Size", vec![c.input(0)?.into()])?])),
    ("SpaceToDepth", |m, c| space_to_depth(m, c)),
    ("Split", |m, c| split(m, c)),
    ("Squeeze", |m, c| squeeze(m, c)),
    ("Tile", |m, c| Ok(vec![m.op("Tile", vec![c.input(0)?.into(), c.input(1)?.into()])?])),
    ("Transpose", |m, c| transpose(m, c)),
    ("Unsqueeze", |m, c| unsqueeze(m, c)),
];

fn concat(m: &mut Import, c: &Call) -> Steps {
    let parts = (0..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>, _>>()?;
    let first = c.input(0)?;
    let axis = first.axis(c.int("axis", 1))? as i64;
    Ok(vec![join(m, parts, axis)?])
}

/// Tensors joined along `axis`.
pub(super) fn join(m: &mut Import, mut parts: Vec<Val>, axis: i64) -> Step {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => Ok(only),
        (_, Some(last)) => {
            parts.push(last);
            m.op("Concat", vec![parts.into(), axis.into()])
        }
        _ => Err("there are no operands".into()),
    }
}

fn constant(m: &mut Import, c: &Call) -> Steps {
    let fail = |e: mindir_graph::TensorError| e.to_string();
    let tensor = if let Some(t) = c.tensor("value")? {
        t
    } else if c.has("value_float") {
        Tensor::scalar(c.float("value_float", 0.0) as f32)
    } else if c.has("value_int") {
        Tensor::scalar(c.int("value_int", 0))
    } else if let Some(values) = c.floats("value_floats") {
        let n = values.len();
        Tensor::from_vec(&[n], values).map_err(fail)?
    } else if let Some(values) = c.ints("value_ints") {
        let n = values.len();
        Tensor::from_vec(&[n], values).map_err(fail)?
    } else {
        return Err("its value is of a kind that is not supported".into());
    };
    Ok(vec![m.constant(tensor)])
}

fn constant_of_shape(m: &mut Import, c: &Call) -> Steps {
    let value = c.tensor("value")?.unwrap_or(Tensor::scalar(0f32));
    let value = value.reshape(&[]).map_err(|e| e.to_string())?;
    let value = m.constant(value);
    Ok(vec![m.op("FillV2", vec![c.input(0)?.into(), value.into()])?])
}

fn depth_to_space(m: &mut Import, c: &Call) -> Steps {
    let (x, b) = (c.input(0)?, c.int("blocksize", 0));
    if c.text("mode", "DCR") == "DCR" {
        return Ok(vec![m.op("DepthToSpace", vec![x.into(), b.into()])?]);
    }
    let [n, ch, h, w] = image(&x)?;
    let group = ch.checked_div(b * b).ok_or("the block size is 0")?;
    let y = m.op("Reshape", vec![x.into(), vec![n, group, b, b, h, w].into()])?;
    let y = m.op("Transpose", vec![y.into(), vec![0, 1, 4, 2, 5, 3].into()])?;
    Ok(vec![m.op("Reshape", vec![y.into(), vec![n, group, h * b, w * b].into()])?])
}

fn space_to_depth(m: &mut Import, c: &Call) -> Steps {
    if c.text("mode", "DCR") != "DCR" {
        return Err("blocks behind the channels are not supported".into());
    }
    let args = vec![c.input(0)?.into(), c.int("blocksize", 0).into()];
    Ok(vec![m.op("SpaceToDepth", args)?])
}

fn image(x: &Val) -> Result<[i64; 4], String> {
    x.fixed()?.try_into().map_err(|d: Vec<i64>| format!("expected 4 dimensions, found {}", d.len()))
}

/// Both shapes are repeated to what they have in common.
fn expand(m: &mut Import, c: &Call) -> Steps {
    let (x, shape) = (c.input(0)?, c.input(1)?);
    let (Ok(want), Ok(have)) = (shape.ints(), x.fixed()) else { return computed_expand(m, x, shape) };
    let size = |v: &[i64]| v.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect::<Vec<_>>();
    let both = mindir_graph::broadcast(&size(&have), &size(&want));
    let both = both.ok_or_else(|| format!("shapes {have:?} and {want:?} do not broadcast"))?;
    let dims: Vec<i64> = both.iter().map(|&d| d as i64).collect();
    if dims == have {
        return Ok(vec![x]);
    }
    Ok(vec![m.op("BroadcastTo", vec![x.into(), dims.into()])?])
}

fn computed_expand(m: &mut Import, x: Val, shape: Val) -> Steps {
    let rank = shape.dim(0)? as usize;
    let own = match x.fixed() {
        Ok(dims) => m.vector(&dims),
        Err(_) => dims_of(m, &x)?,
    };
    let aligned = |m: &mut Import, v: Val, missing: usize| -> Step {
        let ones = m.vector(&vec![1; missing]);
        if missing == 0 { Ok(v) } else { join(m, vec![ones, v], 0) }
    };
    let own = aligned(m, own, rank.saturating_sub(x.rank()))?;
    let want = aligned(m, shape, x.rank().saturating_sub(rank))?;
    let both = m.op("Maximum", vec![want.into(), own.into()])?;
    Ok(vec![m.op("BroadcastTo", vec![x.into(), both.into()])?])
}

fn eye_like(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let dims = x.fixed()?;
    let [rows, cols] = dims.as_slice() else { return Err("expected a matrix".into()) };
    let dtype = if c.has("dtype") {
        let code = i32::try_from(c.int("dtype", 1)).unwrap_or(0);
        mindir_graph::onnx::from_data_type(code).ok_or_else(|| format!("element type {code} is not supported"))?
    } else {
        x.dtype()
    };
    if c.int("k", 0) != 0 {
        return Err("a diagonal other than the main one is not supported".into());
    }
    Ok(vec![m.op("Eye", vec![(*rows).into(), (*cols).into(), dtype.into()])?])
}

fn flatten(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = c.int("axis", 1);
    let axis = if axis == x.rank() as i64 { x.rank() } else { x.axis(axis)? };
    if axis == 1 && x.rank() > 1 {
        return Ok(vec![m.op("Flatten", vec![x.into()])?]);
    }
    let dims = x.dims();
    let product = |d: &[Option<i64>]| d.iter().copied().product::<Option<i64>>();
    let (lead, rest) = dims.split_at(axis);
    let dims = match (product(lead), product(rest)) {
        (Some(rows), Some(cols)) => vec![rows, cols],
        (Some(rows), None) => vec![rows, -1],
        (None, Some(cols)) => vec![-1, cols],
        _ => return Err("open dimensions on both sides of the axis".into()),
    };
    Ok(vec![m.op("Reshape", vec![x.into(), dims.into()])?])
}

/// `PadV3` lists dimensions from the last on.
fn pad(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let pads = if c.opset < 11 { c.ints("pads").ok_or("pads are missing")? } else { c.input(1)?.ints()? };
    let value = match c.option(2) {
        _ if c.opset < 11 => c.float("value", 0.0),
        Some(v) => v.number()?,
        None => 0.0,
    };
    let axes = match c.option(3) {
        Some(axes) => axes.ints()?.into_iter().map(|a| x.axis(a)).collect::<Result<Vec<_>, _>>()?,
        None => (0..x.rank()).collect(),
    };
    let mode = match c.text("mode", "constant").as_str() {
        "constant" => "constant",
        "reflect" => "reflect",
        "edge" => "edge",
        "wrap" => "circular",
        other => return Err(format!("mode {other} is not supported")),
    };
    let mut all = vec![[0i64; 2]; x.rank()];
    let half = pads.len() / 2;
    if half != axes.len() {
        return Err(format!("{} paddings for {} dimensions", pads.len(), axes.len()));
    }
    for (i, &axis) in axes.iter().enumerate() {
        if let (Some(entry), Some(&before), Some(&after)) = (all.get_mut(axis), pads.get(i), pads.get(i + half)) {
            *entry = [before, after];
        }
    }
    let flat: Vec<i64> = all.into_iter().rev().flatten().collect();
    if flat.iter().all(|&p| p == 0) {
        return Ok(vec![x]);
    }
    Ok(vec![m.op("PadV3", vec![x.into(), flat.into(), value.into(), mode.into()])?])
}

fn range(m: &mut Import, c: &Call) -> Steps {
    let numbers = [c.input(0)?, c.input(1)?, c.input(2)?];
    let dtype = numbers.iter().map(Val::dtype).next().unwrap_or(DType::I64);
    let y = m.op("Range", numbers.into_iter().map(Into::into).collect())?;
    Ok(vec![as_type(m, y, dtype)?])
}

/// 0 keeps a dimension unless `allowzero` is set.
fn reshape(m: &mut Import, c: &Call) -> Steps {
    let (x, shape) = (c.input(0)?, c.input(1)?);
    let keep = c.int("allowzero", 0) == 0;
    let Ok(mut dims) = shape.ints() else {
        return Ok(vec![m.op("Reshape", vec![x.into(), shape.into()])?]);
    };
    let have = x.dims();
    let mut open = Vec::new();
    for (i, d) in dims.iter_mut().enumerate().filter(|(_, d)| keep && **d == 0) {
        match have.get(i) {
            Some(Some(n)) => *d = *n,
            Some(None) => open.push(i),
            None => return Err("a dimension that is not there is kept".into()),
        }
    }
    match open.as_slice() {
        [] => {}
        [one] if !dims.contains(&-1) => dims.iter_mut().skip(*one).take(1).for_each(|d| *d = -1),
        _ => return Ok(vec![keep_open(m, &x, &dims, &open)?]),
    }
    Ok(vec![m.op("Reshape", vec![x.into(), dims.into()])?])
}

/// `Reshape` to `dims`, where the dimensions `open` are those of `x`.
fn keep_open(m: &mut Import, x: &Val, dims: &[i64], open: &[usize]) -> Step {
    let all = dims_of(m, x)?;
    let mut parts = Vec::new();
    for (i, &d) in dims.iter().enumerate() {
        let own = open.contains(&i);
        parts.push(if own { part(m, &all, i as i64, i as i64 + 1)? } else { m.vector(&[d]) });
    }
    let shape = join(m, parts, 0)?;
    m.op("Reshape", vec![x.into(), shape.into()])
}

/// The dimensions as a tensor; MindSpore's `Shape` gives a tuple.
pub(super) fn dims_of(m: &mut Import, x: &Val) -> Step {
    m.op("TensorShape", vec![x.into()])
}

/// Elements `start` to `end` of a vector.
pub(super) fn part(m: &mut Import, v: &Val, start: i64, end: i64) -> Step {
    m.op("StridedSlice", vec![v.into(), vec![start].into(), vec![end].into(), vec![1].into()])
}

fn shape(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let rank = x.rank() as i64;
    let clamp = |i: i64| if i < 0 { (i + rank).max(0) } else { i.min(rank) };
    let (start, end) = (clamp(c.int("start", 0)), clamp(c.int("end", rank)));
    let all = dims_of(m, &x)?;
    if (start, end) == (0, rank) {
        return Ok(vec![all]);
    }
    Ok(vec![part(m, &all, start, end.max(start))?])
}

fn split(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = x.axis(c.int("axis", 0))?;
    let n = c.results();
    let given = if c.opset < 13 { c.ints("split") } else { c.option(1).map(|v| v.ints()).transpose()? };
    if let Some(sizes) = given {
        return m.op_n("SplitWithSize", vec![x.into(), sizes.into(), (axis as i64).into()], n);
    }
    let parts = n as i64;
    if let Some(len) = x.dims().get(axis).copied().flatten()
        && parts > 0
        && len % parts != 0
    {
        let size = (len + parts - 1) / parts;
        let sizes: Vec<i64> = (0..parts).map(|i| (len - i * size).clamp(0, size)).collect();
        return m.op_n("SplitWithSize", vec![x.into(), sizes.into(), (axis as i64).into()], n);
    }
    m.op_n("Split", vec![x.into(), (axis as i64).into(), parts.into()], n)
}

fn squeeze(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axes = match c.axes(13)? {
        Some(axes) => axes,
        None => {
            let dims = x.fixed()?;
            (0..).zip(dims).filter(|(_, d)| *d == 1).map(|(i, _)| i).collect()
        }
    };
    if axes.is_empty() {
        return Ok(vec![x]);
    }
    Ok(vec![m.op("Squeeze", vec![x.into(), axes.into()])?])
}

fn transpose(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let perm = c.ints("perm").unwrap_or_else(|| (0..x.rank() as i64).rev().collect());
    if perm.is_empty() {
        return Ok(vec![x]);
    }
    Ok(vec![m.op("Transpose", vec![x.into(), perm.into()])?])
}

fn unsqueeze(m: &mut Import, c: &Call) -> Steps {
    let mut y = c.input(0)?;
    let axes = c.axes(13)?.ok_or("axes are missing")?;
    let rank = y.rank() + axes.len();
    let mut axes = axes.into_iter().map(|a| axis_of(a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    for axis in axes {
        y = m.op("ExpandDims", vec![y.into(), (axis as i64).into()])?;
    }
    Ok(vec![y])
}
