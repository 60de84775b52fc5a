//! Borders.

use mindir_graph::DType;
use mindir_graph::op::Const;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, from_front, join, length, number, part, pick, places, put, quotient};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("CenterCropPad", |m, c| centre(m, c)), ("Pad", |m, c| pad(m, c))];

/// As many elements less or more on both sides that dimensions have the lengths asked for; an odd one goes to the end.
fn centre(m: &mut Import, c: &Call) -> Steps {
    let (x, shape) = (c.input(0)?, as_type(m, c.input(1)?, DType::I64)?);
    let rank = x.rank()?;
    let axes = c.ints("axes").unwrap_or_else(|| (0..rank as i64).collect());
    let mut all = vec![[m.vector(&[0]), m.vector(&[0])]; rank];
    let two = m.vector(&[2]);
    for (i, &axis) in (0..).zip(&axes) {
        let axis = x.axis(axis)?;
        let (want, have) = (part(m, &shape, i, i + 1)?, length(m, &x, axis)?);
        let more = m.two("Sub", &want, &have)?;
        let before = quotient(m, &more, &two)?;
        let after = m.two("Sub", &more, &before)?;
        all.get_mut(axis).into_iter().for_each(|pair| *pair = [before.clone(), after.clone()]);
    }
    let pads = join(m, all.into_iter().rev().flatten().collect(), 0)?;
    Ok(vec![m.op("PadV3", vec![x.into(), pads.into(), 0.0.into(), "constant".into()])?])
}

/// `PadV3` lists dimensions from the last on, before and after each.
fn pad(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let mode = match c.text("mode", "constant").as_str() {
        "constant" => "constant",
        "reflect" => "reflect",
        "edge" => "edge",
        "wrap" => "circular",
        other => return Err(format!("mode {other} is not supported")),
    };
    let pads = match (c.ints("pads"), c.opset) {
        (Some(pads), ..11) => m.vector(&pads),
        (None, ..11) => return Err("pads are missing".into()),
        _ => c.input(1)?,
    };
    let value: In = match c.option(2) {
        // MindSpore takes a number only where there is room for it.
        _ if mode != "constant" => In::Const(Const::None),
        _ if c.opset < 11 => c.float("value", 0.0).into(),
        Some(v) => number(m, v)?.into(),
        None => 0.0.into(),
    };
    let rank = x.rank()?;
    let pads = as_type(m, pads, DType::I64)?;
    let pads = match c.option(3) {
        Some(axes) => spread_pads(m, pads, &axes, rank)?,
        None => pads,
    };
    match pads.length(0) {
        Some(n) if n != 2 * rank as i64 => return Err(format!("{n} paddings for {rank} dimensions")),
        _ if pads.ints().is_ok_and(|p| p.iter().all(|&p| p == 0)) => return Ok(vec![x]),
        _ => {}
    }
    let (x, pads) = match pads.ints() {
        _ if mode == "constant" => (x, pads),
        Ok(pads) => (cut(m, x, &pads)?, m.vector(&pads.iter().map(|p| *p.max(&0)).collect::<Vec<_>>())),
        Err(_) => {
            let zero = m.scalar(DType::I64, 0.0)?;
            let added = m.op("Maximum", vec![(&pads).into(), (&zero).into()])?;
            let removed = m.op("Minimum", vec![pads.into(), zero.into()])?;
            (cut_computed(m, x, removed)?, added)
        }
    };
    // MindSpore goes round once.
    let once = |pads: &[i64]| pads.iter().enumerate().all(|(i, &p)| x.length(i % rank.max(1)).is_some_and(|n| p <= n));
    if mode == "circular" && !pads.ints().is_ok_and(|pads| once(&pads)) {
        return Ok(vec![wrapped(m, x, &pads)?]);
    }
    let order: Vec<i64> = (0..rank as i64).rev().flat_map(|d| [d, d + rank as i64]).collect();
    let pads = pick(m, &pads, &order)?;
    Ok(vec![m.op("PadV3", vec![x.into(), pads.into(), value, mode.into()])?])
}

/// `x` again and again on both sides, however often.
fn wrapped(m: &mut Import, x: Val, pads: &Val) -> Step {
    let rank = x.rank()?;
    let mut y = x.clone();
    for d in 0..rank {
        let (before, after) =
            (part(m, pads, d as i64, d as i64 + 1)?, part(m, pads, (d + rank) as i64, (d + rank) as i64 + 1)?);
        if [&before, &after].into_iter().all(|p| p.ints().is_ok_and(|p| p == [0])) {
            continue;
        }
        let len = length(m, &x, d)?;
        let all = m.two("Add", &before, &len)?;
        let all = m.two("Add", &all, &after)?;
        let from = places(m, all)?;
        let from = m.two("Sub", &from, &before)?;
        let from = m.two("FloorMod", &from, &len)?;
        y = m.gathered(&y, &from, d as i64)?;
    }
    Ok(y)
}

/// `x` without the elements that negative paddings take away. Borders are made of what is left.
fn cut(m: &mut Import, x: Val, pads: &[i64]) -> Step {
    let (before, after) = pads.split_at(pads.len() / 2);
    if pads.iter().all(|p| *p >= 0) {
        return Ok(x);
    }
    for (d, (before, after)) in before.iter().zip(after).enumerate() {
        let removed = before.min(&0).saturating_add(*after.min(&0)).saturating_neg();
        if let Some(len) = x.length(d).filter(|len| *len < removed) {
            return Err(format!("paddings {before} and {after} remove more than dimension {d}, which is {len}"));
        }
    }
    let begins: Vec<i64> = before.iter().map(|p| p.min(&0).saturating_neg()).collect();
    let ends: Vec<i64> = after.iter().map(|&p| if p < 0 { p } else { i64::MAX }).collect();
    let pairs = before.iter().zip(after).enumerate();
    let whole: i64 =
        pairs.filter(|(_, (b, a))| **b >= 0 && **a >= 0).map(|(d, _)| 1i64 << d.min(62)).fold(0, |all, bit| all | bit);
    let strides = vec![1; begins.len()];
    m.op("StridedSlice", vec![x.into(), begins.into(), ends.into(), strides.into(), whole.into(), whole.into()])
}

/// As [`cut`], for paddings that are not known, none of which is positive.
fn cut_computed(m: &mut Import, x: Val, removed: Val) -> Step {
    let rank = x.rank()?;
    let before = part(m, &removed, 0, rank as i64)?;
    let after = part(m, &removed, rank as i64, 2 * rank as i64)?;
    let begins = m.op("Neg", vec![before.into()])?;
    let dims = dims_of(m, &x)?;
    let ends = m.op("Add", vec![dims.into(), after.into()])?;
    let strides = vec![1; rank];
    m.op("StridedSlice", vec![x.into(), begins.into(), ends.into(), strides.into()])
}

/// Paddings of some dimensions as paddings of all.
fn spread_pads(m: &mut Import, pads: Val, axes: &Val, rank: usize) -> Step {
    let places = from_front(m, axes, rank)?;
    let behind = m.scalar(DType::I64, rank as f64)?;
    let ends = m.op("Add", vec![(&places).into(), behind.into()])?;
    let all = join(m, vec![places, ends], 0)?;
    let none = m.vector(&vec![0; 2 * rank]);
    put(m, none, all, pads)
}
