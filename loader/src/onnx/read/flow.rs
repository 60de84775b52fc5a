//! Nodes with graphs inside: conditions, and loops as graphs that call themselves.
//!
//! A graph of a model reads its inputs only, so what an inner graph reads of the values around it is passed to it.

use std::collections::{HashMap, HashSet};

use mindir_graph::graph::{Closure, GraphId};
use mindir_graph::{DType, Tensor};
use mindir_proto::onnx::{GraphProto, NodeProto, ValueInfoProto};

use super::import::{Call, Import, Step, Val};
use super::problem::{Problem, Stop};
use super::turn::Turn;
use super::types::Type;
use super::walk::Attempt;
use crate::Printable;

/// Every name that a node reads, those that graphs inside of it read included.
pub(super) fn reads(node: &NodeProto) -> HashSet<&str> {
    let mut out: HashSet<&str> = node.input.iter().map(String::as_str).collect();
    reads_inside(node, &mut out);
    out
}

/// Every name that graphs inside of a node read of the values around it. Files nest as deep as limits allow.
fn reads_inside<'a>(node: &'a NodeProto, out: &mut HashSet<&'a str>) {
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        let mut names: HashSet<&str> = graph.output.iter().filter_map(|v| v.name.as_deref()).collect();
        for node in &graph.node {
            names.extend(node.input.iter().map(String::as_str));
            reads_inside(node, &mut names);
        }
        let given = graph.initializer.iter().filter_map(|t| t.name.as_deref());
        let given = given.chain(graph.input.iter().filter_map(|v| v.name.as_deref()));
        let own: HashSet<&str> = given.chain(graph.node.iter().flat_map(|n| &n.output).map(String::as_str)).collect();
        out.extend(names.difference(&own));
    }
}

/// The graph in attribute `name`.
pub(super) fn inner<'a>(c: &'a Call, name: &str) -> Result<&'a GraphProto, Stop> {
    let graph = c.attr(name).and_then(|a| a.g.as_deref());
    graph.ok_or_else(|| Stop::Node(Problem::Damaged(format!("attribute {name} is no graph"))))
}

/// What graphs inside of a node read of the values around it.
pub(super) fn captured(a: &Attempt<'_>, c: &Call) -> (Vec<String>, Vec<Val>) {
    let mut names = HashSet::new();
    reads_inside(c.node, &mut names);
    let mut found: Vec<_> = names.into_iter().filter_map(|n| Some((n.to_string(), a.values.get(n)?.clone()))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().unzip()
}

/// Walks an inner graph that may read `values`; gives its results.
pub(super) fn inside(a: &mut Attempt<'_>, graph: &GraphProto, values: HashMap<String, Val>) -> Result<Vec<Val>, Stop> {
    let outer = std::mem::replace(&mut a.values, values);
    let outcome = body(a, graph);
    a.values = outer;
    outcome
}

fn body(a: &mut Attempt<'_>, graph: &GraphProto) -> Result<Vec<Val>, Stop> {
    for proto in &graph.initializer {
        let name = proto.name.clone().unwrap_or_default();
        let tensor = a.weights.tensor(proto, &name)?;
        let val = a.import.named(tensor, &name);
        a.values.insert(name, val);
    }
    a.narrow(graph);
    a.run(graph).map_err(Stop::Inside)?;
    let mut results = Vec::with_capacity(graph.output.len());
    for value in &graph.output {
        let name = value.name.as_deref().unwrap_or_default();
        let val = a.values.get(name).cloned();
        results.push(val.ok_or_else(|| format!("there is no value for result {} of an inner graph", Printable(name)))?);
    }
    Ok(results)
}

/// `If`: the branch that is known to be taken, or a choice between two graphs.
pub(super) fn choose(a: &mut Attempt<'_>, c: &Call) -> Result<Vec<Val>, Stop> {
    let cond = c.input(0)?;
    let branches = [inner(c, "then_branch")?, inner(c, "else_branch")?];
    let (names, outside) = captured(a, c);
    if let Some(taken) = cond.constant().and_then(|t| t.to_i64s().ok()?.first().copied()) {
        let [then, otherwise] = branches;
        let branch = if taken != 0 { then } else { otherwise };
        return inside(a, branch, names.into_iter().zip(outside).collect());
    }
    let args = a.import.passed(&outside);
    let mut ids = Vec::new();
    let mut types: Vec<Vec<Type>> = Vec::new();
    for branch in branches {
        ids.push(a.import.builder.begin(branch.name.as_deref().unwrap_or("branch")));
        let values = a.import.enter(&outside);
        let results = inside(a, branch, names.iter().cloned().zip(values).collect())?;
        a.import.end(&results);
        types.push(results.into_iter().map(|v| v.ty).collect());
    }
    let (Ok([then, otherwise]), Ok([types, others])) = (<[GraphId; 2]>::try_from(ids), <[_; 2]>::try_from(types))
    else {
        return Err("there are not two branches".into());
    };
    let both = types.iter().zip(&others).map(|(a, b)| a.either(b)).collect::<Option<Vec<Type>>>();
    let both = both.filter(|_| types.len() == others.len()).ok_or("its branches give results of different types")?;
    let closure = |graph| Closure { graph, args: args.clone() };
    Ok(a.import.choose(&cond, closure(then), closure(otherwise), &both))
}

/// `Loop`: how often it turns and what shapes it carries may be computed.
pub(super) fn repeat(a: &mut Attempt<'_>, c: &Call) -> Result<Vec<Val>, Stop> {
    let graph = inner(c, "body")?;
    let trips = match c.option(0) {
        Some(m) => scalar(&mut a.import, m, DType::I64)?,
        None => a.import.constant(Tensor::scalar(i64::MAX)),
    };
    let cond = match c.option(1) {
        Some(cond) => scalar(&mut a.import, cond, DType::Bool)?,
        None => a.import.truth(true)?,
    };
    let start = (2..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>, _>>()?;
    if graph.input.len() != start.len() + 2 {
        return Err(format!("its body has {} inputs, expected {}", graph.input.len(), start.len() + 2).into());
    }
    let mut types: Vec<Type> = start.iter().map(|v| v.ty.ranked()).collect();
    loop {
        let (mark, around) = (a.import.mark(), captured(a, c).1);
        let mut turn = Turn::begin(&mut a.import, trips.clone(), cond.clone(), start.clone(), &types, around);
        turn.rows = graph.output.iter().skip(1 + start.len()).map(declared).collect();
        let (again, next, rows) = turns(a, c, graph, &turn)?;
        let both = turn.after(&next)?;
        if both == types {
            return Ok(turn.end(&mut a.import, again, next, rows)?);
        }
        // A value that changes its rank has none; what follows from it may have none either.
        a.retry()?;
        turn.abandon(&mut a.import);
        a.import.rewind(mark);
        types = both;
    }
}

/// The dimensions that the file declares of a value, 0 where it declares none.
fn declared(value: &ValueInfoProto) -> Vec<i64> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|t| t.shape.as_ref());
    shape.map(|s| s.dim.iter().map(|d| d.dim_value.unwrap_or(0).max(0)).collect()).unwrap_or_default()
}

/// The body of a loop: whether there is another turn, the state after this one, and what it adds to the results.
fn turns(a: &mut Attempt<'_>, c: &Call, graph: &GraphProto, turn: &Turn) -> Result<(Val, Vec<Val>, Vec<Val>), Stop> {
    let (names, _) = captured(a, c);
    let mut values: HashMap<String, Val> = names.into_iter().zip(turn.fixed.iter().cloned()).collect();
    // A turn runs only where the condition holds.
    let yes = a.import.truth(true)?;
    let inputs = [turn.index.clone(), yes].into_iter().chain(turn.state.iter().cloned());
    values.extend(graph.input.iter().map(|v| v.name.clone().unwrap_or_default()).zip(inputs));
    let mut results = inside(a, graph, values)?.into_iter();
    let again = results.next().ok_or("its body has no condition")?;
    let again = scalar(&mut a.import, again, DType::Bool)?;
    let next = results.by_ref().take(turn.state.len()).collect();
    Ok((again, next, results.collect()))
}

/// A tensor of one element without dimensions.
fn scalar(m: &mut Import, v: Val, dtype: DType) -> Step {
    if v.dtype() != dtype {
        return Err(format!("expected {dtype}, found {}", v.dtype()));
    }
    if v.rank() == Ok(0) { Ok(v) } else { m.op("Reshape", vec![v.into(), Vec::<i64>::new().into()]) }
}
