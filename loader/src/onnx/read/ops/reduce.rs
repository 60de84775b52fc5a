//! Reductions and orders along axes.

use mindir_graph::DType;

use super::Row;
use crate::onnx::read::import::{Call, Import, Steps};

pub(super) static OPS: &[Row] = &[
    ("ArgMax", |m, c| position(m, c, false)),
    ("ArgMin", |m, c| position(m, c, true)),
    ("CumSum", |m, c| cumulate(m, c)),
    ("LogSoftmax", |m, c| softmax(m, c, "LogSoftmax")),
    ("LpNormalization", |m, c| lp_normalise(m, c)),
    ("ReduceL1", |m, c| reduce(m, c, &["Abs"], "ReduceSum", &[])),
    ("ReduceL2", |m, c| reduce(m, c, &["Square"], "ReduceSum", &["Sqrt"])),
    ("ReduceLogSum", |m, c| reduce(m, c, &[], "ReduceSum", &["Log"])),
    ("ReduceLogSumExp", |m, c| reduce(m, c, &["Exp"], "ReduceSum", &["Log"])),
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
    let x = c.input(0)?;
    let axes = c.axes(since)?.unwrap_or_default();
    if axes.is_empty() && c.int("noop_with_empty_axes", 0) == 1 {
        let mut y = x;
        for f in before.iter().chain(after) {
            y = m.op(f, vec![y.into()])?;
        }
        return Ok(vec![y]);
    }
    let axes = if axes.is_empty() { (0..x.rank() as i64).collect() } else { axes };
    let mut y = x;
    for f in before {
        y = m.op(f, vec![y.into()])?;
    }
    if !axes.is_empty() {
        y = m.op(name, vec![y.into(), axes.into(), (c.int("keepdims", 1) == 1).into()])?;
    }
    for f in after {
        y = m.op(f, vec![y.into()])?;
    }
    Ok(vec![y])
}

/// Before set 13 the dimensions from the axis on are one.
fn softmax(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let x = c.input(0)?;
    let axis = x.axis(c.int("axis", if c.opset < 13 { 1 } else { -1 }))?;
    let arg = |axis: i64| if name == "Softmax" { vec![axis].into() } else { axis.into() };
    if c.opset >= 13 || axis + 1 == x.rank() {
        return Ok(vec![m.op(name, vec![x.into(), arg(axis as i64)])?]);
    }
    let dims = x.fixed()?;
    let (rows, _) = dims.split_at(axis);
    let flat = m.op("Reshape", vec![x.into(), vec![rows.iter().product::<i64>(), -1].into()])?;
    let y = m.op(name, vec![flat.into(), arg(1)])?;
    Ok(vec![m.op("Reshape", vec![y.into(), dims.into()])?])
}

fn position(m: &mut Import, c: &Call, smallest: bool) -> Steps {
    let x = c.input(0)?;
    let axis = x.axis(c.int("axis", 0))? as i64;
    let keep = c.int("keepdims", 1) == 1;
    if c.int("select_last_index", 0) == 1 {
        return Err("the last of equal elements is not supported".into());
    }
    let name = if smallest { "Argmin" } else { "Argmax" };
    let y = m.op(name, vec![x.into(), axis.into(), DType::I64.into()])?;
    if !keep {
        return Ok(vec![y]);
    }
    Ok(vec![m.op("ExpandDims", vec![y.into(), axis.into()])?])
}

fn cumulate(m: &mut Import, c: &Call) -> Steps {
    let (x, axis) = (c.input(0)?, c.input(1)?.number()? as i64);
    let axis = x.axis(axis)? as i64;
    let flags = [c.int("exclusive", 0) == 1, c.int("reverse", 0) == 1];
    Ok(vec![m.op("CumSum", vec![x.into(), axis.into(), flags[0].into(), flags[1].into()])?])
}

fn lp_normalise(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = x.axis(c.int("axis", -1))? as i64;
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

/// The largest or smallest elements along `axis`.
fn top_k(m: &mut Import, c: &Call) -> Steps {
    let (x, k) = (c.input(0)?, c.input(1)?.number()? as i64);
    let axis = x.axis(c.int("axis", -1))? as i64;
    let largest = c.int("largest", 1) == 1;
    m.op_n("TopkExt", vec![x.into(), k.into(), axis.into(), largest.into(), true.into()], 2)
}
