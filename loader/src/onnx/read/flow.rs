//! Nodes with graphs inside: conditions, and loops as graphs that call themselves.
//!
//! A graph of a model reads its inputs only, so what an inner graph reads of the values around it is passed to it.

use std::collections::{HashMap, HashSet};

use mindir_graph::{
    DType, Fact, Tensor,
    graph::{Closure, GraphId},
};
use mindir_proto::onnx::{DataLocation, GraphProto, NodeProto};

use super::{
    import::{Call, Import, Step, Steps, Val, fits},
    walk::{Attempt, Stop},
    weights,
};
use crate::printable::Printable;

/// Every name that a node reads, those that graphs inside of it read included.
pub(super) fn reads(node: &NodeProto) -> HashSet<&str> {
    let mut out: HashSet<&str> = node.input.iter().map(String::as_str).collect();
    reads_inside(node, &mut out);
    out
}

/// Every name that graphs inside of a node read. Files nest as deep as limits allow.
fn reads_inside<'a>(node: &'a NodeProto, out: &mut HashSet<&'a str>) {
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        for node in &graph.node {
            out.extend(node.input.iter().map(String::as_str));
            reads_inside(node, out);
        }
        out.extend(graph.output.iter().filter_map(|v| v.name.as_deref()));
    }
}

/// The graph in attribute `name`.
fn inner<'a>(c: &'a Call, name: &str) -> Result<&'a GraphProto, Stop> {
    let graph = c.attr(name).and_then(|a| a.g.as_deref());
    graph.ok_or_else(|| Stop::Node(format!("attribute {name} is no graph")))
}

/// What graphs inside of a node read of the values around it.
fn captured(a: &Attempt, c: &Call) -> (Vec<String>, Vec<Val>) {
    let mut names = HashSet::new();
    reads_inside(c.node, &mut names);
    let mut found: Vec<_> = names.into_iter().filter_map(|n| Some((n.to_string(), a.values.get(n)?.clone()))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().unzip()
}

/// Walks an inner graph that may read `values`; gives its results.
fn inside(a: &mut Attempt, graph: &GraphProto, values: HashMap<String, Val>) -> Result<Vec<Val>, Stop> {
    let outer = std::mem::replace(&mut a.values, values);
    let outcome = body(a, graph);
    a.values = outer;
    outcome
}

fn body(a: &mut Attempt, graph: &GraphProto) -> Result<Vec<Val>, Stop> {
    for proto in &graph.initializer {
        let name = proto.name.clone().unwrap_or_default();
        if proto.data_location == Some(DataLocation::External as i32) {
            return Err(format!("constant {} of an inner graph is in a data file", Printable(&name)).into());
        }
        let tensor = weights::contents(proto, a.max_rank).map_err(|e| format!("constant {}: {e}", Printable(&name)))?;
        let val = a.import.constant(tensor);
        a.values.insert(name, val);
    }
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
pub(super) fn choose(a: &mut Attempt, c: &Call) -> Result<Vec<Val>, Stop> {
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
    let mut facts: Vec<Vec<Vec<Fact>>> = Vec::new();
    for branch in branches {
        ids.push(a.import.builder.begin(branch.name.as_deref().unwrap_or("branch")));
        let values = a.import.enter(&outside);
        let results = inside(a, branch, names.iter().cloned().zip(values).collect())?;
        a.import.end(&results);
        facts.push(results.into_iter().map(|v| v.facts).collect());
    }
    let (Ok([then, otherwise]), Ok([facts, others])) = (<[GraphId; 2]>::try_from(ids), <[_; 2]>::try_from(facts))
    else {
        return Err("there are not two branches".into());
    };
    if facts != others {
        return Err("its branches give results of different types or shapes".into());
    }
    let closure = |graph| Closure { graph, args: args.clone() };
    Ok(a.import.choose(&cond, closure(then), closure(otherwise), &facts))
}

/// `Loop`: the number of its turns may be computed; results of each turn are collected if it is known by shapes.
pub(super) fn repeat(a: &mut Attempt, c: &Call) -> Result<Vec<Val>, Stop> {
    let graph = inner(c, "body")?;
    let trips = match c.option(0) {
        Some(m) => scalar(&mut a.import, m, DType::I64)?,
        None => a.import.constant(Tensor::scalar(i64::MAX)),
    };
    let yes = a.import.truth(true)?;
    let cond = match c.option(1) {
        Some(cond) => scalar(&mut a.import, cond, DType::Bool)?,
        None => yes.clone(),
    };
    let start = (2..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>, _>>()?;
    let ports: Vec<String> = graph.input.iter().map(|v| v.name.clone().unwrap_or_default()).collect();
    if ports.len() != start.len() + 2 {
        return Err(format!("its body has {} inputs, expected {}", ports.len(), start.len() + 2).into());
    }
    let (names, outside) = captured(a, c);
    let turn = Turn::begin(&mut a.import, trips, cond, start, outside);
    let mut values: HashMap<String, Val> = names.into_iter().zip(turn.fixed.iter().cloned()).collect();
    // A turn runs only where the condition holds.
    let inputs = [turn.index.clone(), yes].into_iter().chain(turn.state.iter().cloned());
    values.extend(ports.into_iter().zip(inputs));
    let mut results = inside(a, graph, values)?.into_iter();
    let again = results.next().ok_or("its body has no condition")?;
    let again = scalar(&mut a.import, again, DType::Bool)?;
    let next: Vec<Val> = results.by_ref().take(turn.state.len()).collect();
    let rows: Vec<Val> = results.collect();
    Ok(turn.end(&mut a.import, again, next, rows)?)
}

/// A tensor of one element without dimensions.
fn scalar(m: &mut Import, v: Val, dtype: DType) -> Step {
    if v.dtype() != dtype {
        return Err(format!("expected {dtype}, found {}", v.dtype()));
    }
    if v.rank() == 0 { Ok(v) } else { m.op("Reshape", vec![v.into(), Vec::<i64>::new().into()]) }
}

/// A loop while its body is built, inside of [`begin`](Self::begin) and [`end`](Self::end).
///
/// It becomes a graph that chooses between one more turn, which ends with a jump back, and the end.
pub(super) struct Turn {
    header: GraphId,
    body: GraphId,
    /// Values outside: how many turns there are at most, whether there is a first, the state before it, what all turns read.
    trips: Val,
    cond: Val,
    start: Vec<Val>,
    around: Vec<Val>,
    /// The number of the turn.
    pub index: Val,
    /// The state before the turn.
    pub state: Vec<Val>,
    /// What all turns read.
    pub fixed: Vec<Val>,
}

impl Turn {
    pub fn begin(m: &mut Import, trips: Val, cond: Val, start: Vec<Val>, around: Vec<Val>) -> Turn {
        let header = m.builder.begin("loop");
        let body = m.builder.begin("turn");
        let index = m.parameter(vec![Fact::new(DType::I64, &[]); m.walks]);
        let state = start.iter().map(|s| m.parameter(s.facts.clone())).collect();
        let fixed = m.enter(&around);
        Turn { header, body, trips, cond, start, around, index, state, fixed }
    }

    /// Ends the body: whether there is another turn, the state after this one, and the results that each turn adds.
    /// Gives the last state and the collected results.
    pub fn end(self, m: &mut Import, again: Val, next: Vec<Val>, rows: Vec<Val>) -> Steps {
        let mut facts: Vec<Vec<Fact>> = self.state.iter().map(|v| v.facts.clone()).collect();
        if next.len() != facts.len() {
            return Err(format!("its body gives {} values of its state, expected {}", next.len(), facts.len()));
        }
        if let Some(i) = next.iter().zip(&facts).position(|(v, f)| v.facts != *f) {
            return Err(format!("value {i} that the loop carries changes its type or shape"));
        }
        if !rows.is_empty() && [&self.cond, &again].into_iter().any(|v| v.constant().is_none()) {
            return Err("it collects results, so its condition must be constant".into());
        }
        for row in &rows {
            facts.push(collected(&self.trips, row)?);
        }
        self.jump(m, again, next, &rows, &facts)?;
        self.choose(m, &facts)?;
        self.enter(m, &rows, &facts)
    }

    /// The end of the body: back to the start with the next state, the collected results behind it.
    fn jump(
        &self,
        m: &mut Import,
        again: Val,
        next: Vec<Val>,
        rows: &[Val],
        facts: &[Vec<Fact>],
    ) -> Result<(), String> {
        let one = m.constant(Tensor::scalar(1i64));
        let following = m.op("Add", vec![(&self.index).into(), one.into()])?;
        let mut after = vec![following, again];
        after.extend(next);
        for (row, facts) in rows.iter().zip(facts.iter().skip(self.state.len())) {
            let list = m.parameter(facts.clone());
            after.push(place(m, &list, &self.index, row)?);
        }
        let limit = m.enter_one(&self.trips);
        let mut args = m.args(&after);
        args.extend(m.passed(&self.fixed));
        args.extend(m.passed(&[limit]));
        let results = m.call(self.header, args, facts);
        m.end(&results);
        Ok(())
    }

    /// The graph that the loop starts with: one more turn, or the end.
    fn choose(&self, m: &mut Import, facts: &[Vec<Fact>]) -> Result<(), String> {
        let index = m.parameter(self.index.facts.clone());
        let more = m.parameter(self.cond.facts.clone());
        let carried: Vec<Val> = facts.iter().map(|f| m.parameter(f.clone())).collect();
        let fixed = m.enter(&self.around);
        let limit = m.enter_one(&self.trips);
        let within = m.op("Less", vec![(&index).into(), (&limit).into()])?;
        let cond = m.op("LogicalAnd", vec![within.into(), more.into()])?;
        let done = m.builder.begin("done");
        let last: Vec<Val> = facts.iter().map(|f| m.parameter(f.clone())).collect();
        m.end(&last);
        let (state, lists) = carried.split_at(self.state.len());
        let mut args = m.args(&[index]);
        args.extend(m.args(state));
        args.extend(m.passed(&fixed));
        args.extend(m.args(lists));
        args.extend(m.passed(&[limit]));
        let then = Closure { graph: self.body, args };
        let otherwise = Closure { graph: done, args: m.args(&carried) };
        let results = m.choose(&cond, then, otherwise, facts);
        m.end(&results);
        Ok(())
    }

    /// The first call, from outside.
    fn enter(self, m: &mut Import, rows: &[Val], facts: &[Vec<Fact>]) -> Steps {
        let mut carried = vec![m.constant(Tensor::scalar(0i64)), self.cond];
        carried.extend(self.start);
        for (row, facts) in rows.iter().zip(facts.iter().skip(self.state.len())) {
            carried.push(blank(m, &self.trips, row, facts)?);
        }
        let mut args = m.args(&carried);
        args.extend(m.passed(&self.around));
        args.extend(m.passed(&[self.trips]));
        Ok(m.call(self.header, args, facts))
    }
}

/// Element type and shape of `row`, once for each turn.
fn collected(trips: &Val, row: &Val) -> Result<Vec<Fact>, String> {
    let mut facts = Vec::with_capacity(row.facts.len());
    for (fact, trips) in row.facts.iter().zip(&trips.known) {
        let count = trips.as_ref().and_then(|t| t.to_i64s().ok()?.first().copied());
        let count = count.ok_or("it collects results, so the number of its turns must be constant")?.max(0);
        let count = usize::try_from(count).map_err(|e| e.to_string())?;
        let shape = std::iter::once(count).chain(fact.shape.iter().copied()).collect();
        let all = Fact { dtype: fact.dtype, shape };
        fits(&all)?;
        facts.push(all);
    }
    Ok(facts)
}

/// Zeros for the results of all turns.
fn blank(m: &mut Import, trips: &Val, row: &Val, facts: &[Fact]) -> Step {
    let dims = row.fixed().map_err(|_| "it collects results with open dimensions")?;
    let trips = m.op("Reshape", vec![trips.into(), vec![1].into()])?;
    let dims = m.vector(&dims);
    let shape = m.op("Concat", vec![vec![trips, dims].into(), 0i64.into()])?;
    let list = zeros(m, shape, row.dtype())?;
    if list.facts != facts {
        return Err("the number of its turns is negative".into());
    }
    Ok(list)
}

/// Zeros of a shape that may be computed.
pub(super) fn zeros(m: &mut Import, shape: Val, dtype: DType) -> Step {
    let zero = m.scalar(dtype, 0.0)?;
    m.op("FillV2", vec![shape.into(), zero.into()])
}

/// `list` with `row` in place `index` of its first dimension.
pub(super) fn place(m: &mut Import, list: &Val, index: &Val, row: &Val) -> Step {
    let index = m.op("Reshape", vec![index.into(), vec![1, 1].into()])?;
    let row = m.op("ExpandDims", vec![row.into(), 0i64.into()])?;
    m.op("TensorScatterUpdate", vec![list.into(), index.into(), row.into()])
}
