//! Shapes, and tensors made from numbers.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::element::as_type;
use crate::onnx::read::import::{Axes, Call, Import, In, Step, Steps, Val, axis_of};
use crate::onnx::read::narrow::Narrow;
use crate::onnx::read::types::Length;

pub(super) static OPS: &[Row] = &[
    ("Concat", |m, c| concat(m, c)),
    ("Constant", |m, c| constant(m, c)),
    ("ConstantOfShape", |m, c| constant_of_shape(m, c)),
    ("DepthToSpace", |m, c| depth_to_space(m, c)),
    ("Expand", |m, c| expand(m, c)),
    ("EyeLike", |m, c| eye_like(m, c)),
    ("Flatten", |m, c| flatten(m, c)),
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
    let axis = c.input(0)?.place(c.int("axis", 1))?;
    Ok(vec![join(m, parts, axis)?])
}

/// Tensors joined along `axis`.
pub(in crate::onnx::read) fn join(m: &mut Import, mut parts: Vec<Val>, axis: i64) -> Step {
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
    let narrow = few_bits(c);
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
    Ok(vec![Val { narrow, ..m.constant(tensor) }])
}

/// The type of the node's value, if it is one of few bits.
fn few_bits(c: &Call) -> Option<Narrow> {
    Narrow::of(c.attr("value")?.t.as_ref()?.data_type?)
}

fn constant_of_shape(m: &mut Import, c: &Call) -> Steps {
    let value = c.tensor("value")?.unwrap_or(Tensor::scalar(0f32));
    let value = value.reshape(&[]).map_err(|e| e.to_string())?;
    let value = m.constant(value);
    let y = m.op("FillV2", vec![c.input(0)?.into(), value.into()])?;
    Ok(vec![Val { narrow: few_bits(c), ..y }])
}

fn depth_to_space(m: &mut Import, c: &Call) -> Steps {
    let (x, b) = (c.input(0)?, c.int("blocksize", 0));
    if c.text("mode", "DCR") == "DCR" {
        return Ok(vec![m.op("DepthToSpace", vec![x.into(), b.into()])?]);
    }
    let [n, ch, h, w] = lengths(m, &x)?;
    let block = m.vector(&[b]);
    let squared = m.vector(&[b.checked_mul(b).filter(|b| *b > 0).ok_or("the block size is out of range")?]);
    let group = quotient(m, &ch, &squared)?;
    let parts = [&n, &group, &block, &block, &h, &w].map(Val::clone);
    let y = reshaped(m, x, parts.to_vec())?;
    let y = m.op("Transpose", vec![y.into(), vec![0, 1, 4, 2, 5, 3].into()])?;
    let (h, w) = (times(m, &h, &block)?, times(m, &w, &block)?);
    Ok(vec![reshaped(m, y, vec![n, group, h, w])?])
}

fn space_to_depth(m: &mut Import, c: &Call) -> Steps {
    let (x, b) = (c.input(0)?, c.int("blocksize", 0));
    if c.text("mode", "DCR") == "DCR" {
        return Ok(vec![m.op("SpaceToDepth", vec![x.into(), b.into()])?]);
    }
    let [n, ch, h, w] = lengths(m, &x)?;
    let block = m.vector(&[b]);
    let squared = m.vector(&[b.checked_mul(b).filter(|b| *b > 0).ok_or("the block size is out of range")?]);
    let (h, w) = (quotient(m, &h, &block)?, quotient(m, &w, &block)?);
    let parts = [&n, &ch, &h, &block, &w, &block].map(Val::clone);
    let y = reshaped(m, x, parts.to_vec())?;
    let y = m.transposed(&y, &[0, 1, 3, 5, 2, 4])?;
    let all = times(m, &ch, &squared)?;
    Ok(vec![reshaped(m, y, vec![n, all, h, w])?])
}

/// The length of each of `N` dimensions, as vectors of one number.
pub(super) fn lengths<const N: usize>(m: &mut Import, x: &Val) -> Result<[Val; N], String> {
    let rank = x.rank()?;
    let all = (0..rank).map(|d| length(m, x, d)).collect::<Result<Vec<_>, _>>()?;
    all.try_into().map_err(|_| format!("expected {N} dimensions, found {rank}"))
}

/// The length of dimension `d`, as a vector of one number.
pub(in crate::onnx::read) fn length(m: &mut Import, x: &Val, d: usize) -> Step {
    if let Some(n) = x.length(d) {
        return Ok(m.vector(&[n]));
    }
    let all = dims_of(m, x)?;
    part(m, &all, d as i64, d as i64 + 1)
}

/// The product of the numbers in a vector, as a vector of one number.
pub(super) fn product(m: &mut Import, v: &Val) -> Step {
    m.op("ReduceProd", vec![v.into(), vec![0].into(), true.into()])
}

pub(super) fn times(m: &mut Import, a: &Val, b: &Val) -> Step {
    m.op("Mul", vec![a.into(), b.into()])
}

/// Whole numbers divided, without their fraction.
pub(super) fn quotient(m: &mut Import, a: &Val, b: &Val) -> Step {
    m.op("DivMod", vec![a.into(), b.into(), "trunc".into()])
}

/// `x` with these dimensions, one number or several in each part.
pub(super) fn reshaped(m: &mut Import, x: Val, parts: Vec<Val>) -> Step {
    let shape = join(m, parts, 0)?;
    m.op("Reshape", vec![x.into(), shape.into()])
}

/// What two shapes broadcast to: where the one has a dimension of 1, that of the other.
pub(super) fn common(m: &mut Import, a: Val, b: Val) -> Step {
    let one = m.vector(&[1]);
    let single = m.op("Equal", vec![(&a).into(), one.into()])?;
    m.op("Select", vec![single.into(), b.into(), a.into()])
}

/// Both shapes are repeated to what they have in common.
fn expand(m: &mut Import, c: &Call) -> Steps {
    let (x, shape) = (c.input(0)?, c.input(1)?);
    if let Some(wrong) = shape.ints().ok().and_then(|dims| dims.into_iter().find(|d| *d < 0)) {
        return Err(format!("expected lengths of at least 0, found {wrong}"));
    }
    let (Ok(have), Some(want)) = (x.rank(), shape.length(0)) else { return repeat_by_ones(m, x, shape) };
    if let (Ok(own), Ok(want)) = (x.fixed(), shape.ints()) {
        let size = |v: &[i64]| v.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect::<Vec<_>>();
        let both = mindir_graph::broadcast(&size(&own), &size(&want));
        let both = both.ok_or_else(|| format!("shapes {own:?} and {want:?} do not broadcast"))?;
        let dims: Vec<i64> = both.iter().map(|&d| d as i64).collect();
        return Ok(vec![if dims == own { x } else { m.op("BroadcastTo", vec![x.into(), dims.into()])? }]);
    }
    let want = usize::try_from(want).map_err(|e| e.to_string())?;
    let aligned = |m: &mut Import, v: Val, missing: usize| -> Step {
        let ones = m.vector(&vec![1; missing]);
        if missing == 0 { Ok(v) } else { join(m, vec![ones, v], 0) }
    };
    let own = dims_of(m, &x)?;
    let own = aligned(m, own, want.saturating_sub(have))?;
    let shape = as_type(m, shape, DType::I64)?;
    let shape = aligned(m, shape, have.saturating_sub(want))?;
    let both = common(m, own, shape)?;
    Ok(vec![m.op("BroadcastTo", vec![x.into(), both.into()])?])
}

/// `x` repeated where not even the ranks are known: as a function of elements that has the elements of `x`.
fn repeat_by_ones(m: &mut Import, x: Val, shape: Val) -> Steps {
    let yes = m.truth(true)?;
    let all = m.op("FillV2", vec![shape.into(), yes.into()])?;
    Ok(vec![m.op("Select", vec![all.into(), (&x).into(), (&x).into()])?])
}

/// `k` moves the diagonal up.
fn eye_like(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let [rows, cols] = lengths(m, &x)?;
    let dtype = match c.has("dtype") {
        true => element_type(c.int("dtype", 1))?,
        false => x.dtype(),
    };
    let k = c.int("k", 0);
    if k == 0 {
        let (rows, cols) = (number(m, rows)?, number(m, cols)?);
        return Ok(vec![m.op("Eye", vec![rows.into(), cols.into(), dtype.into()])?]);
    }
    let (rows, cols) = (places(m, rows)?, places(m, cols)?);
    let rows = m.op("ExpandDims", vec![rows.into(), 1i64.into()])?;
    let k = m.vector(&[k]);
    let rows = m.op("Add", vec![rows.into(), k.into()])?;
    let same = m.op("Equal", vec![rows.into(), cols.into()])?;
    Ok(vec![as_type(m, same, dtype)?])
}

/// A vector of one number as a tensor without dimensions.
pub(super) fn number(m: &mut Import, v: Val) -> Step {
    m.op("Reshape", vec![v.into(), Vec::<i64>::new().into()])
}

/// 0, 1, … below `count`.
pub(super) fn places(m: &mut Import, count: Val) -> Step {
    let count = number(m, count)?;
    let (zero, one) = (m.scalar(DType::I64, 0.0)?, m.scalar(DType::I64, 1.0)?);
    m.op("Range", vec![zero.into(), count.into(), one.into()])
}

/// The element type that ONNX has under this number.
pub(super) fn element_type(code: i64) -> Result<DType, String> {
    let dtype = i32::try_from(code).ok().and_then(mindir_graph::onnx::from_data_type);
    dtype.ok_or_else(|| format!("element type {code} is not supported"))
}

fn flatten(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (axis, rank) = (c.int("axis", 1), x.rank()?);
    let axis = if axis == rank as i64 { rank } else { x.axis(axis)? };
    if axis == 1 && rank > 1 {
        return Ok(vec![m.op("Flatten", vec![x.into()])?]);
    }
    Ok(vec![matrix(m, x, axis)?])
}

/// `x` with the dimensions before `axis` as rows, and those from there on as columns.
pub(super) fn matrix(m: &mut Import, x: Val, axis: usize) -> Step {
    let (dims, rank) = (dims_of(m, &x)?, x.rank()? as i64);
    let (rows, cols) = (part(m, &dims, 0, axis as i64)?, part(m, &dims, axis as i64, rank)?);
    let parts = vec![product(m, &rows)?, product(m, &cols)?];
    reshaped(m, x, parts)
}

/// Axes counted from the front, as a vector of `i64`.
pub(super) fn from_front(m: &mut Import, axes: &Val, rank: usize) -> Step {
    let axes = as_type(m, axes.clone(), DType::I64)?;
    let (zero, rank) = (m.vector(&[0]), m.vector(&[rank as i64]));
    let below = m.op("Less", vec![(&axes).into(), zero.into()])?;
    let front = m.op("Add", vec![(&axes).into(), rank.into()])?;
    m.op("Select", vec![below.into(), front.into(), axes.into()])
}

/// The vector `v` with `values` at `places`.
pub(super) fn put(m: &mut Import, v: Val, places: Val, values: Val) -> Step {
    let places = m.op("ExpandDims", vec![places.into(), 1i64.into()])?;
    m.op("TensorScatterUpdate", vec![v.into(), places.into(), values.into()])
}

/// The elements of a vector at constant places.
pub(super) fn pick(m: &mut Import, v: &Val, places: &[i64]) -> Step {
    let places = m.vector(places);
    m.op("Gather", vec![v.into(), places.into(), 0i64.into(), 0i64.into()])
}

fn range(m: &mut Import, c: &Call) -> Steps {
    let numbers = [c.input(0)?, c.input(1)?, c.input(2)?];
    let dtype = numbers[0].dtype();
    if dtype == DType::F64 {
        return Ok(vec![counted(m, numbers)?]);
    }
    let y = m.op("Range", numbers.into_iter().map(Into::into).collect())?;
    Ok(vec![as_type(m, y, dtype)?])
}

/// `start`, `start + step`, … below `end`, in their type; MindSpore's `Range` counts floats in `f32`.
fn counted(m: &mut Import, [start, end, step]: [Val; 3]) -> Step {
    let dtype = start.dtype();
    let span = m.op("Sub", vec![end.into(), (&start).into()])?;
    let count = m.op("Div", vec![span.into(), (&step).into()])?;
    let count = m.op("Ceil", vec![count.into()])?;
    let count = as_type(m, count, DType::I64)?;
    let places = places(m, count)?;
    let places = as_type(m, places, dtype)?;
    let far = m.op("Mul", vec![places.into(), step.into()])?;
    m.op("Add", vec![start.into(), far.into()])
}

/// 0 keeps a dimension unless `allowzero` is set.
fn reshape(m: &mut Import, c: &Call) -> Steps {
    let (x, mut shape) = (c.input(0)?, c.input(1)?);
    if c.int("allowzero", 0) == 0 {
        shape = without_zeros(m, &x, shape)?;
    }
    Ok(vec![m.op("Reshape", vec![x.into(), shape.into()])?])
}

/// The shape with the operand's own dimension wherever it has a 0: that of the value at hand, not the declared one.
fn without_zeros(m: &mut Import, x: &Val, shape: Val) -> Step {
    let shape = as_type(m, shape, DType::I64)?;
    let (Some(want), Ok(own)) = (shape.elements(), x.dims().cloned()) else { return Ok(shape) };
    // An element that is the operand's dimension anyway may be 0.
    let settled = |(i, e): (usize, &Length)| e.fixed().map_or(own.get(i) == Some(e), |n| n != 0);
    if want.iter().enumerate().all(settled) {
        return Ok(shape);
    }
    let zeros: Vec<usize> = (0..).zip(&want).filter(|(_, e)| e.fixed() == Some(0)).map(|(i, _)| i).collect();
    if let (Ok(mut dims), [at]) = (shape.ints(), zeros.as_slice())
        && !dims.contains(&-1)
        && dims.iter().filter(|d| **d == 0).count() == 1
        && *at < own.len()
    {
        dims.iter_mut().filter(|d| **d == 0).for_each(|d| *d = -1);
        return Ok(m.vector(&dims));
    }
    if zeros.iter().any(|&i| i >= own.len()) {
        return Err("a dimension that is not there is kept".into());
    }
    let kept = m.own_dims(x)?;
    let zero = m.vector(&[0]);
    let mut parts = Vec::with_capacity(want.len());
    for (i, e) in want.iter().enumerate() {
        let at = i as i64;
        let asked = part(m, &shape, at, at + 1)?;
        parts.push(match e.fixed() {
            Some(0) => part(m, &kept, at, at + 1)?,
            None if i < own.len() => {
                let kept = part(m, &kept, at, at + 1)?;
                let none = m.op("Equal", vec![(&asked).into(), (&zero).into()])?;
                m.op("Select", vec![none.into(), kept.into(), asked.into()])?
            }
            _ => asked,
        });
    }
    join(m, parts, 0)
}

/// The dimensions as a tensor; MindSpore's `Shape` gives a tuple.
pub(in crate::onnx::read) fn dims_of(m: &mut Import, x: &Val) -> Step {
    m.op("TensorShape", vec![x.into()])
}

/// Elements `start` to `end` of a vector.
pub(super) fn part(m: &mut Import, v: &Val, start: i64, end: i64) -> Step {
    m.op("StridedSlice", vec![v.into(), vec![start].into(), vec![end].into(), vec![1].into()])
}

fn shape(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let all = dims_of(m, &x)?;
    if !c.has("start") && !c.has("end") {
        return Ok(vec![all]);
    }
    let rank = x.rank()? as i64;
    let clamp = |i: i64| if i < 0 { (i + rank).max(0) } else { i.min(rank) };
    let (start, end) = (clamp(c.int("start", 0)), clamp(c.int("end", rank)));
    Ok(vec![part(m, &all, start, end.max(start))?])
}

fn split(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let (axis, n) = (x.place(c.int("axis", 0))?, c.results());
    let given = if c.opset < 13 { c.ints("split").map(|s| m.vector(&s)) } else { c.option(1) };
    if let Some(sizes) = given {
        return m.op_n("SplitWithSize", vec![x.into(), sizes.into(), axis.into()], n);
    }
    let even =
        usize::try_from(axis).ok().and_then(|axis| x.length(axis)).is_some_and(|len| len % (n as i64).max(1) == 0);
    if c.opset < 18 || even {
        return m.op_n("Split", vec![x.into(), axis.into(), (n as i64).into()], n);
    }
    let sizes = uneven(m, &x, axis, n as i64)?;
    m.op_n("SplitWithSize", vec![x.into(), sizes.into(), axis.into()], n)
}

/// The sizes of `n` parts that are equal but for the last ones, which have less.
fn uneven(m: &mut Import, x: &Val, axis: i64, n: i64) -> Step {
    let axis = usize::try_from(axis).or_else(|_| x.axis(axis))?;
    let len = length(m, x, axis)?;
    let (count, spare) = (m.vector(&[n]), m.vector(&[n - 1]));
    let more = m.op("Add", vec![(&len).into(), spare.into()])?;
    let size = quotient(m, &more, &count)?;
    let (starts, zero) = (m.vector(&(0..n).collect::<Vec<_>>()), m.vector(&[0]));
    let taken = times(m, &starts, &size)?;
    let left = m.op("Sub", vec![len.into(), taken.into()])?;
    let left = m.op("Maximum", vec![left.into(), zero.into()])?;
    m.op("Minimum", vec![left.into(), size.into()])
}

/// Without axes, every dimension of 1 goes: which ones is seen when the model runs.
fn squeeze(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axes: In = match c.axes(13) {
        Some(Axes::Known(axes)) if axes.is_empty() => return Ok(vec![x]),
        Some(Axes::Known(axes)) => return Ok(vec![without_ones(m, x, axes)?]),
        Some(Axes::Computed(axes)) => axes.into(),
        None => Vec::<i64>::new().into(),
    };
    Ok(vec![m.op("Squeeze", vec![x.into(), axes])?])
}

/// `x` without dimensions that must be 1. MindSpore's operator leaves those that are not, so where that is not known
/// beforehand the number of elements decides.
fn without_ones(m: &mut Import, x: Val, axes: Vec<i64>) -> Step {
    let Ok(rank) = x.rank() else { return m.op("Squeeze", vec![x.into(), axes.into()]) };
    let gone = axes.iter().map(|&a| x.axis(a)).collect::<Result<Vec<_>, _>>()?;
    if gone.iter().all(|&d| x.length(d) == Some(1)) {
        return m.op("Squeeze", vec![x.into(), axes.into()]);
    }
    let kept: Vec<i64> = (0..rank).filter(|d| !gone.contains(d)).map(|d| d as i64).collect();
    let dims = dims_of(m, &x)?;
    let dims = pick(m, &dims, &kept)?;
    m.op("Reshape", vec![x.into(), dims.into()])
}

fn transpose(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let perm = match c.ints("perm") {
        Some(perm) => perm,
        None => (0..x.rank()? as i64).rev().collect(),
    };
    if perm.is_empty() {
        return Ok(vec![x]);
    }
    Ok(vec![m.op("Transpose", vec![x.into(), perm.into()])?])
}

fn unsqueeze(m: &mut Import, c: &Call) -> Steps {
    let mut y = c.input(0)?;
    let mut axes = match c.axes(13).ok_or("axes are missing")? {
        Axes::Known(axes) => axes,
        Axes::Computed(axes) => return Ok(vec![unsqueezed(m, &y, &axes)?]),
    };
    let from_end = axes.iter().all(|&a| a < 0);
    if let Ok(rank) = y.rank() {
        let all = rank + axes.len();
        axes = axes.into_iter().map(|a| axis_of(a, all).map(|a| a as i64)).collect::<Result<_, _>>()?;
        axes.sort_unstable();
    } else if from_end {
        // Counted from the end, the last comes first.
        axes.sort_unstable_by(|a, b| b.cmp(a));
    } else if axes.iter().all(|&a| a >= 0) {
        axes.sort_unstable();
    } else {
        return Err("the number of dimensions of an operand is not known".into());
    }
    for axis in axes {
        y = m.op("ExpandDims", vec![y.into(), axis.into()])?;
    }
    Ok(vec![y])
}

/// `x` with dimensions of 1 in computed places of the result.
fn unsqueezed(m: &mut Import, x: &Val, axes: &Val) -> Step {
    let axes = as_type(m, axes.clone(), DType::I64)?;
    let (own, more) = (x.rank()?, length(m, &axes, 0)?);
    let rank = m.with("Add", &more, own as f64)?;
    let (below, front) = (m.with("Less", &axes, 0.0)?, m.two("Add", &axes, &rank)?);
    let at = m.select(&below, &front, &axes)?;
    let (zero, ones) = (m.scalar(DType::I64, 0.0)?, m.one("OnesLike", &axes)?);
    let none = m.two("FillV2", &rank, &zero)?;
    let added = put(m, none, at, ones)?;
    // Where each dimension of the result comes from: behind those of 1, all have moved.
    let before = m.op("CumSum", vec![(&added).into(), 0i64.into(), false.into(), false.into()])?;
    let all = places(m, rank)?;
    let from = m.two("Sub", &all, &before)?;
    let from = m.clamped(&from, 0.0, own as f64)?;
    let (dims, one) = (dims_of(m, x)?, m.vector(&[1]));
    let dims = join(m, vec![dims, one], 0)?;
    let kept = m.gathered(&dims, &from, 0)?;
    let is_added = m.with("Equal", &added, 1.0)?;
    let one = m.scalar(DType::I64, 1.0)?;
    let dims = m.select(&is_added, &one, &kept)?;
    m.two("Reshape", x, &dims)
}
