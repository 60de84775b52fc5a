//! Reductions and orders along axes.

use mindir_graph::DType;
use mindir_graph::op::Const;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, length, matrix, number};
use crate::onnx::read::import::{Axes, Call, Import, In, Step, Steps, Val};
use crate::onnx::read::types::Length;

pub(super) static OPS: &[Row] = &[
    ("ArgMax", |m, c| position(m, c, false)),
    ("ArgMin", |m, c| position(m, c, true)),
    ("CumProd", |m, c| cumulate(m, c, "CumProd")),
    ("CumSum", |m, c| cumulate(m, c, "CumSum")),
    ("Hardmax", |m, c| hardmax(m, c)),
    ("LogSoftmax", |m, c| softmax(m, c, "LogSoftmax")),
    ("LpNormalization", |m, c| lp_normalise(m, c)),
    ("MeanVarianceNormalization", |m, c| centred(m, c)),
    ("ReduceL1", |m, c| reduce(m, c, &["Abs"], "ReduceSum", &[])),
    ("ReduceL2", |m, c| reduce(m, c, &["Square"], "ReduceSum", &["Sqrt"])),
    ("ReduceLogSum", |m, c| reduce(m, c, &[], "ReduceSum", &["Log"])),
    ("ReduceLogSumExp", |m, c| log_sum_exp(m, c)),
    ("ReduceMax", |m, c| reduce(m, c, &[], "ReduceMax", &[])),
    ("ReduceMean", |m, c| reduce(m, c, &[], "ReduceMean", &[])),
    ("ReduceMin", |m, c| reduce(m, c, &[], "ReduceMin", &[])),
    ("ReduceProd", |m, c| reduce(m, c, &[], "ReduceProd", &[])),
    ("ReduceSum", |m, c| reduce(m, c, &[], "ReduceSum", &[])),
    ("ReduceSumSquare", |m, c| reduce(m, c, &["Square"], "ReduceSum", &[])),
    ("Softmax", |m, c| softmax(m, c, "Softmax")),
    ("TopK", |m, c| top_k(m, c)),
];

/// `before`, a reduction, `after`.
fn reduce(m: &mut Import, c: &Call, before: &[&'static str], name: &'static str, after: &[&'static str]) -> Steps {
    let since = if name == "ReduceSum" && before.is_empty() && after.is_empty() { 13 } else { 18 };
    let mut y = c.input(0)?;
    let dtype = y.dtype();
    for f in before {
        y = m.op(f, vec![y.into()])?;
    }
    y = match reduced_axes(c, &y, since)? {
        Some(axes) => m.op(name, vec![y.into(), axes, (c.int("keepdims", 1) == 1).into()])?,
        None => y,
    };
    for f in after {
        y = m.op(f, vec![y.into()])?;
    }
    // Roots and logarithms of whole numbers are floats; ONNX has results of the operand's type.
    Ok(vec![as_type(m, y, dtype)?])
}

/// The axes to reduce; `None` if there are none.
fn reduced_axes(c: &Call, x: &Val, since: i64) -> Result<Option<In>, String> {
    let none = c.int("noop_with_empty_axes", 0) == 1;
    let all: Option<In> = match x.rank() {
        _ if none => None,
        Ok(0) => None,
        Ok(rank) => Some((0..rank as i64).collect::<Vec<_>>().into()),
        // MindSpore too takes no axes for all.
        Err(_) => Some(Vec::<i64>::new().into()),
    };
    match c.axes(since) {
        Some(Axes::Known(axes)) if !axes.is_empty() => Ok(Some(axes.into())),
        Some(Axes::Known(_)) | None => Ok(all),
        Some(Axes::Computed(axes)) if none && axes.length(0).is_none() => {
            Err("whether there are axes is computed, and none would mean none".into())
        }
        Some(Axes::Computed(axes)) => Ok(Some(axes.into())),
    }
}

/// `log Σ exp(x − max) + max`, so that nothing overflows; an infinite maximum is subtracted nowhere.
fn log_sum_exp(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    if !x.dtype().is_float() {
        return Err(format!("operands of {} are not supported", x.dtype()));
    }
    let Some(axes) = reduced_axes(c, &x, 18)? else { return Ok(vec![x]) };
    let keep: In = (c.int("keepdims", 1) == 1).into();
    if x.dims().is_ok_and(|dims| dims.contains(&Length::Fixed(0))) {
        // Nothing is there to overflow.
        let y = m.op("Exp", vec![x.into()])?;
        let y = m.op("ReduceSum", vec![y.into(), axes, keep])?;
        return Ok(vec![m.op("Log", vec![y.into()])?]);
    }
    let bounded = with_lowest(m, &x, &axes)?;
    let largest = m.op("ReduceMax", vec![bounded.into(), axes.clone(), true.into()])?;
    let zero = m.scalar(x.dtype(), 0.0)?;
    let infinite = m.op("IsInf", vec![(&largest).into()])?;
    let shift = m.op("Select", vec![infinite.into(), zero.into(), largest.into()])?;
    let y = m.op("Sub", vec![(&x).into(), (&shift).into()])?;
    let y = m.op("Exp", vec![y.into()])?;
    let y = m.op("ReduceSum", vec![y.into(), axes.clone(), keep.clone()])?;
    let y = m.op("Log", vec![y.into()])?;
    let back = m.op("ReduceSum", vec![shift.into(), axes, keep])?;
    Ok(vec![m.op("Add", vec![y.into(), back.into()])?])
}

/// `x` with −∞ behind every dimension that is reduced and may have no elements, so that there is always a largest one.
fn with_lowest(m: &mut Import, x: &Val, axes: &In) -> Step {
    let (Ok(dims), Some(axes)) = (x.dims().cloned(), constants(axes)) else { return Ok(x.clone()) };
    let axes = axes.into_iter().map(|a| x.axis(a)).collect::<Result<Vec<_>, _>>()?;
    let empty = |d: usize, length: &Length| axes.contains(&d) && length.fixed().is_none_or(|n| n == 0);
    let pads: Vec<i64> =
        dims.iter().enumerate().rev().flat_map(|(d, length)| [0, i64::from(empty(d, length))]).collect();
    if pads.iter().all(|&p| p == 0) {
        return Ok(x.clone());
    }
    m.op("PadV3", vec![x.into(), pads.into(), f64::NEG_INFINITY.into(), "constant".into()])
}

/// The integers of an argument that is constant.
fn constants(arg: &In) -> Option<Vec<i64>> {
    let In::Const(Const::Tuple(items)) = arg else { return None };
    items.iter().map(|c| if let Const::Int(i) = c { Some(*i) } else { None }).collect()
}

/// Before set 13 the dimensions from the axis on are one.
fn softmax(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let x = c.input(0)?;
    let axis = c.int("axis", if c.opset < 13 { 1 } else { -1 });
    let arg = |axis: i64| if name == "Softmax" { vec![axis].into() } else { axis.into() };
    if c.opset >= 13 || x.rank().is_ok_and(|rank| axis == -1 || axis.checked_add(1) == Some(rank as i64)) {
        return Ok(vec![m.op(name, vec![(&x).into(), arg(x.place(axis)?)])?]);
    }
    let dims = dims_of(m, &x)?;
    let flat = matrix(m, x.clone(), x.axis(axis)?)?;
    let y = m.op(name, vec![flat.into(), arg(1)])?;
    Ok(vec![m.op("Reshape", vec![y.into(), dims.into()])?])
}

/// 1 at the first of the largest elements along the axis, else 0. Before set 13 the dimensions from the axis on are one.
fn hardmax(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = x.axis(c.int("axis", if c.opset < 13 { 1 } else { -1 }))?;
    let dims = dims_of(m, &x)?;
    let (rows, axis) = if c.opset < 13 { (matrix(m, x.clone(), axis)?, 1) } else { (x.clone(), axis) };
    let at = m.op("Argmax", vec![(&rows).into(), (axis as i64).into(), DType::I64.into()])?;
    let depth = length(m, &rows, axis)?;
    let depth = number(m, depth)?;
    let (on, off) = (m.scalar(x.dtype(), 1.0)?, m.scalar(x.dtype(), 0.0)?);
    let y = m.op("OneHot", vec![at.into(), depth.into(), on.into(), off.into(), (axis as i64).into()])?;
    Ok(vec![m.op("Reshape", vec![y.into(), dims.into()])?])
}

/// Less the mean and divided by the deviation along the axes.
fn centred(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axes = c.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
    let mean = m.reduce("ReduceMean", &x, &axes, true)?;
    let x = m.two("Sub", &x, &mean)?;
    let squares = m.one("Square", &x)?;
    let variance = m.reduce("ReduceMean", &squares, &axes, true)?;
    let deviation = m.one("Sqrt", &variance)?;
    let deviation = m.with("Add", &deviation, 1e-9)?;
    Ok(vec![m.two("Div", &x, &deviation)?])
}

/// The first of equal elements, or the last: the first from the other end.
fn position(m: &mut Import, c: &Call, smallest: bool) -> Steps {
    let x = c.input(0)?;
    let axis = x.place(c.int("axis", 0))?;
    let keep = c.int("keepdims", 1) == 1;
    let last = c.int("select_last_index", 0) == 1;
    let name = if smallest { "Argmin" } else { "Argmax" };
    let turned = if last { m.op("ReverseV2", vec![(&x).into(), vec![axis].into()])? } else { x.clone() };
    let mut y = m.op(name, vec![turned.into(), axis.into(), DType::I64.into()])?;
    if last {
        let (len, one) = (length(m, &x, x.axis(axis)?)?, m.vector(&[1]));
        let end = m.op("Sub", vec![len.into(), one.into()])?;
        let end = number(m, end)?;
        y = m.op("Sub", vec![end.into(), y.into()])?;
    }
    if !keep {
        return Ok(vec![y]);
    }
    Ok(vec![m.op("ExpandDims", vec![y.into(), axis.into()])?])
}

fn cumulate(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let (x, axis) = (c.input(0)?, c.input(1)?);
    let axis: In = match axis.number() {
        Ok(axis) => x.place(axis as i64)?.into(),
        Err(_) => number(m, axis)?.into(),
    };
    let flags = [c.int("exclusive", 0) == 1, c.int("reverse", 0) == 1];
    Ok(vec![m.op(name, vec![x.into(), axis, flags[0].into(), flags[1].into()])?])
}

fn lp_normalise(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = x.place(c.int("axis", -1))?;
    let (before, after) = match c.int("p", 2) {
        1 => ("Abs", None),
        2 => ("Square", Some("Sqrt")),
        p => return Err(format!("order {p} is not supported")),
    };
    let sizes = m.op(before, vec![(&x).into()])?;
    let mut sum = m.op("ReduceSum", vec![sizes.into(), vec![axis].into(), true.into()])?;
    if let Some(after) = after {
        sum = m.op(after, vec![sum.into()])?;
    }
    Ok(vec![m.op("DivNoNan", vec![x.into(), sum.into()])?])
}

/// The largest or smallest elements along `axis`. Of equal elements the first comes first.
fn top_k(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let k: In = match c.opset {
        ..10 => c.int("k", 0).into(),
        _ => number(m, c.input(1)?)?.into(),
    };
    let axis = x.place(c.int("axis", -1))?;
    let largest = c.int("largest", 1) == 1;
    m.op_n("TopkExt", vec![x.into(), k, axis.into(), largest.into(), true.into()], 2)
}
