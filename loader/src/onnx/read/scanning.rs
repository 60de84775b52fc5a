//! `Scan`: a loop over the parts of tensors along an axis.

use std::collections::HashMap;

use mindir_proto::onnx::GraphProto;

use super::flow::{captured, inner, inside};
use super::import::{Call, Import, Val, axis_of};
use super::ops::shape::length;
use super::problem::Stop;
use super::turn::Turn;
use super::types::Type;
use super::walk::Attempt;

/// How a node cuts its operands into parts and puts its results together.
struct Form<'a> {
    body: &'a GraphProto,
    /// Number of values that are carried from part to part.
    states: usize,
    /// Along which axis each operand is cut, and whether from the end.
    cuts: Vec<(i64, bool)>,
    /// Along which axis each result is put together, and whether from the end.
    joins: Vec<(i64, bool)>,
}

impl Form<'_> {
    fn of<'a>(c: &'a Call) -> Result<Form<'a>, Stop> {
        if c.opset < 9 {
            return Err("scans before operator set 9 are not supported".into());
        }
        let body = inner(c, "body")?;
        let count = usize::try_from(c.int("num_scan_inputs", 0)).ok().filter(|n| *n > 0);
        let count = count.ok_or("there is nothing to scan")?;
        let states = c.inputs.len().checked_sub(count).ok_or("operands are missing")?;
        let results = body.output.len().checked_sub(states).ok_or("its body has fewer results than states")?;
        if body.input.len() != c.inputs.len() {
            return Err(format!("its body has {} inputs, expected {}", body.input.len(), c.inputs.len()).into());
        }
        let pairs = |axes: &str, directions: &str, n: usize| {
            let list = |name: &str| c.ints(name).unwrap_or_default();
            let (axes, directions) = (list(axes), list(directions));
            let at = |v: &[i64], i: usize| v.get(i).copied().unwrap_or(0);
            (0..n).map(|i| (at(&axes, i), at(&directions, i) == 1)).collect()
        };
        let cuts = pairs("scan_input_axes", "scan_input_directions", count);
        let joins = pairs("scan_output_axes", "scan_output_directions", results);
        Ok(Form { body, states, cuts, joins })
    }
}

/// The operand with its parts along the first dimension, the first part first.
fn parts_first(m: &mut Import, x: Val, (axis, backward): (i64, bool)) -> Result<Val, String> {
    let at = x.axis(axis)?;
    let x = if at == 0 {
        x
    } else {
        let perm: Vec<i64> = [at].into_iter().chain((0..x.rank()?).filter(|d| *d != at)).map(|d| d as i64).collect();
        m.transposed(&x, &perm)?
    };
    turned(m, x, 0, backward)
}

fn turned(m: &mut Import, x: Val, axis: i64, backward: bool) -> Result<Val, String> {
    if backward { m.op("ReverseV2", vec![x.into(), vec![axis].into()]) } else { Ok(x) }
}

/// A result whose parts are along the first dimension, as the node wants it.
fn parts_at(m: &mut Import, y: Val, (axis, backward): (i64, bool)) -> Result<Val, String> {
    let y = turned(m, y, 0, backward)?;
    let rank = y.rank()?;
    let at = axis_of(axis, rank)?;
    if at == 0 {
        return Ok(y);
    }
    let perm: Vec<i64> = (1..=at).chain([0]).chain(at + 1..rank).map(|d| d as i64).collect();
    m.transposed(&y, &perm)
}

pub(super) fn scan(a: &mut Attempt<'_>, c: &Call) -> Result<Vec<Val>, Stop> {
    let form = Form::of(c)?;
    let mut start = (0..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>, _>>()?;
    let scanned = start.split_off(form.states);
    let mut pieces = Vec::with_capacity(scanned.len());
    for (x, cut) in scanned.into_iter().zip(&form.cuts) {
        pieces.push(parts_first(&mut a.import, x, *cut)?);
    }
    let first = pieces.first().ok_or("there is nothing to scan")?;
    let trips = length(&mut a.import, first, 0)?;
    let trips = a.import.op("Reshape", vec![trips.into(), Vec::<i64>::new().into()])?;
    let yes = a.import.truth(true)?;
    let mut types: Vec<Type> = start.iter().map(|v| v.ty.ranked()).collect();
    loop {
        let (mark, (names, around)) = (a.import.mark(), captured(a, c));
        let fixed: Vec<Val> = around.into_iter().chain(pieces.iter().cloned()).collect();
        let turn = Turn::begin(&mut a.import, trips.clone(), yes.clone(), start.clone(), &types, fixed);
        let (next, rows) = part(a, &form, &names, &turn)?;
        let both = turn.after(&next)?;
        if both == types {
            let mut results = turn.end(&mut a.import, yes, next, rows)?;
            for (y, join) in results.iter_mut().skip(form.states).zip(&form.joins) {
                *y = parts_at(&mut a.import, y.clone(), *join)?;
            }
            return Ok(results);
        }
        a.retry()?;
        turn.abandon(&mut a.import);
        a.import.rewind(mark);
        types = both;
    }
}

/// The body for one part: the state after it, and what it adds to the results.
fn part(a: &mut Attempt<'_>, form: &Form, names: &[String], turn: &Turn) -> Result<(Vec<Val>, Vec<Val>), Stop> {
    let mut values: HashMap<String, Val> = names.iter().cloned().zip(turn.fixed.iter().cloned()).collect();
    let mut inputs = turn.state.clone();
    for piece in turn.fixed.iter().skip(names.len()) {
        inputs.push(a.import.gathered(piece, &turn.index, 0)?);
    }
    values.extend(form.body.input.iter().map(|v| v.name.clone().unwrap_or_default()).zip(inputs));
    let mut results = inside(a, form.body, values)?.into_iter();
    let next = results.by_ref().take(form.states).collect();
    Ok((next, results.collect()))
}
