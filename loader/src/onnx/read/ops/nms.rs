//! Boxes chosen by their scores.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::element::as_type;
use super::shape::{join, length, lengths, number, places, reshaped, times};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::turn::{Turn, place};
use crate::onnx::read::types::Type;

pub(super) static OPS: &[Row] = &[("NonMaxSuppression", |m, c| suppress(m, c))];

/// In every turn each class of each image chooses the best box that is left, and drops those that overlap it.
fn suppress(m: &mut Import, c: &Call) -> Steps {
    let (boxes, scores) = (m.of_rank(c.input(0)?, 3), m.of_rank(c.input(1)?, 3));
    let overlap = overlap(m, c, &boxes)?;
    let setting = |m: &mut Import, i: usize| c.option(i).map(|v| number(m, v)).transpose();
    let left = match setting(m, 4)? {
        Some(least) => m.two("Greater", &scores, &least)?,
        None => m.two("Equal", &scores, &scores)?,
    };
    let [images, classes, count] = lengths(m, &scores)?;
    let most = match c.option(2) {
        Some(most) => as_type(m, most, DType::I64)?,
        None => m.vector(&[0]),
    };
    let most = m.op("Reshape", vec![most.into(), vec![1].into()])?;
    let turns = m.two("Minimum", &most, &count)?;
    let turns = m.with("Maximum", &turns, 0.0)?;
    let shape = join(m, vec![turns.clone(), images.clone(), classes], 0)?;
    let none = m.scalar(DType::I64, -1.0)?;
    let list = m.two("FillV2", &shape, &none)?;
    // Rows of overlaps by image and box, and where those of each image start.
    let all = times(m, &images, &count)?;
    let rows = reshaped(m, overlap, vec![all, count.clone()])?;
    let image = places(m, images)?;
    let first = times(m, &image, &count)?;
    let first = m.with_ones(&first, &[1])?;

    let trips = number(m, turns)?;
    let yes = m.truth(true)?;
    let start = vec![left, list];
    let types: Vec<Type> = start.iter().map(|v| v.ty.ranked()).collect();
    let turn = Turn::begin(m, trips, yes.clone(), start, &types, vec![scores, rows, first]);
    let next = choose(m, &turn)?;
    let chosen = turn.end(m, yes, next, Vec::new())?.pop().ok_or("there is no result")?;
    let chosen = m.transposed(&chosen, &[1, 2, 0])?;
    let is_chosen = m.with("GreaterEqual", &chosen, 0.0)?;
    let at = m.one("NonZero", &is_chosen)?;
    let index = m.two("GatherNd", &chosen, &at)?;
    let index = m.with_ones(&index, &[1])?;
    let columns = m.vector(&[0, 1]);
    let at = m.gathered(&at, &columns, 1)?;
    Ok(vec![join(m, vec![at, index], 1)?])
}

/// One turn: the boxes that are left after it, and the list of those chosen.
fn choose(m: &mut Import, turn: &Turn) -> Steps {
    let ([left, list], [scores, rows, first]) = (turn.state.as_slice(), turn.fixed.as_slice()) else {
        return Err("there are no boxes".into());
    };
    let open = m.select_or(left, scores, f64::NEG_INFINITY)?;
    let best = m.op("Argmax", vec![open.into(), 2i64.into(), DType::I64.into()])?;
    let own = m.with_ones(&best, &[2])?;
    let is_left = as_type(m, left.clone(), DType::I32)?;
    let valid = m.op("GatherD", vec![is_left.into(), 2i64.into(), (&own).into()])?;
    let valid = m.op("Squeeze", vec![valid.into(), vec![2].into()])?;
    let valid = m.with("Greater", &valid, 0.0)?;
    let shown = m.select_or(&valid, &best, -1.0)?;
    let list = place(m, list, &turn.index, &shown)?;
    let row = m.two("Add", &best, first)?;
    let near = m.gathered(rows, &row, 0)?;
    let count = length(m, scores, 2)?;
    let at = places(m, count)?;
    let same = m.two("Equal", &at, &own)?;
    let gone = m.two("LogicalOr", &near, &same)?;
    let kept = m.one("LogicalNot", &gone)?;
    let left = m.two("LogicalAnd", left, &kept)?;
    Ok(vec![left, list])
}

/// Whether boxes of an image have more than the threshold of their area in common, `[images, boxes, boxes]`.
fn overlap(m: &mut Import, c: &Call, boxes: &Val) -> Step {
    let column = |m: &mut Import, at: i64| {
        let at = m.constant(Tensor::scalar(at));
        m.gathered(boxes, &at, 2)
    };
    let ends = |m: &mut Import, at: i64| -> Result<[Val; 2], String> {
        if c.int("center_point_box", 0) == 1 {
            let (centre, size) = (column(m, at)?, column(m, at + 2)?);
            let half = m.with("Div", &size, 2.0)?;
            return Ok([m.two("Sub", &centre, &half)?, m.two("Add", &centre, &half)?]);
        }
        let (a, b) = (column(m, at)?, column(m, at + 2)?);
        Ok([m.two("Minimum", &a, &b)?, m.two("Maximum", &a, &b)?])
    };
    let sides = [ends(m, 0)?, ends(m, 1)?];
    let pairs =
        |m: &mut Import, v: &Val| -> Result<[Val; 2], String> { Ok([m.with_ones(v, &[2])?, m.with_ones(v, &[1])?]) };
    let (mut both, mut area): (Option<Val>, Option<Val>) = (None, None);
    for [low, high] in sides {
        let [a, b] = pairs(m, &low)?;
        let from = m.two("Maximum", &a, &b)?;
        let [a, b] = pairs(m, &high)?;
        let to = m.two("Minimum", &a, &b)?;
        let common = m.two("Sub", &to, &from)?;
        let common = m.with("Maximum", &common, 0.0)?;
        let size = m.two("Sub", &high, &low)?;
        let product = |m: &mut Import, all: Option<Val>, v: Val| match all {
            Some(all) => m.two("Mul", &all, &v),
            None => Ok(v),
        };
        both = Some(product(m, both, common)?);
        area = Some(product(m, area, size)?);
    }
    let (both, area) = both.zip(area).ok_or("boxes have no sides")?;
    let [a, b] = pairs(m, &area)?;
    let whole = m.two("Add", &a, &b)?;
    let whole = m.two("Sub", &whole, &both)?;
    let share = m.two("Div", &both, &whole)?;
    let threshold = match c.option(3) {
        Some(v) => number(m, v)?,
        None => m.scalar(boxes.dtype(), 0.0)?,
    };
    // Boxes that have no area in common have nothing in common.
    let some = m.with("Greater", &both, 0.0)?;
    let near = m.two("Greater", &share, &threshold)?;
    m.two("LogicalAnd", &near, &some)
}
