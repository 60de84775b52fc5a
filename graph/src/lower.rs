//! Operators to tasks: walks a graph with concrete input facts and lets every operator say what it computes.
//!
//! The walk knows every shape and propagates small constants, so that shape arithmetic disappears. It stops in front of a
//! node that needs the contents of a value computed at run time, whose result shape depends on data, or that calls a graph;
//! the caller runs what was lowered so far and continues from there with what it learnt.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bounds::{self, Exceeded};
use crate::graph::{Arg, Def, Graph, GraphId, Layer, Model, Node, NodeKind, ValueId};
use crate::op::{ArgValue, Args, Const, Effect, OpDef, Operand, ParamKind};
use crate::task::{Host, Lowering, Recurrent, Source, Task, TaskGraph, V};
use crate::{Fact, Id, OpError, Tensor};

/// Results with at most this many elements are computed while lowering when all operands are known.
const FOLD_LIMIT: usize = 4096;

/// What is known of a value that enters a lowering.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value.
    pub value: ValueId,
    /// Its element type and shape.
    pub fact: Fact,
    /// Its contents, if they may be relied upon.
    pub known: Option<Tensor>,
}

/// Why a lowering ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All nodes are lowered.
    End,
    /// The next node needs the contents of this value.
    Value(ValueId),
    /// The shape of the next node's result depends on data.
    Dynamic,
    /// The next node calls a graph.
    Call,
}

/// A run of nodes as tasks.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The tasks; inputs are the entries in order, outputs the values of `outputs` in order.
    pub tasks: TaskGraph,
    /// Values that later nodes or the graph's results read.
    pub outputs: Vec<ValueId>,
    /// The graphs that were jumped to, one after the other; the run ends in the last.
    pub jumps: Vec<GraphId>,
    /// Index of the first node that is not lowered, in the graph where the run ends.
    pub next: usize,
    /// Why the run ends there.
    pub stop: Stop,
}

/// An operator's complaint with its node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {op}: {error}")]
pub struct NodeError {
    /// Path of the node.
    pub path: Arc<str>,
    /// Name of the operator.
    pub op: String,
    /// Facts of its tensor arguments.
    pub args: Vec<Fact>,
    /// What is wrong.
    pub error: OpError,
}

/// Whether [`lower`] may get past a node: an operator, or a call that is one task.
pub fn is_lowered(model: &Model, node: &Node) -> bool {
    match &node.kind {
        NodeKind::Op(_) => true,
        NodeKind::Call(callee) => model.graph(*callee).layer.is_some(),
        _ => false,
    }
}

/// Lowers nodes of `graph` from index `start` on, until the end or a [`Stop`].
///
/// `entries` are the values that exist: the graph's inputs and the results of nodes before `start` that are still needed.
/// With `keep_all`, the outputs are the results of all nodes, in order, if there is no [`Stop`].
///
/// # Errors
/// [`NodeError`] of the first node whose arguments are wrong.
pub fn lower(
    model: &Model,
    graph: &Graph,
    start: usize,
    entries: &[Entry],
    keep_all: bool,
) -> Result<Lowered, NodeError> {
    let mut walk = Walk::new(model, graph);
    entries.iter().for_each(|e| walk.enter(e));
    let (next, stop) = walk.nodes(start)?;
    Ok(walk.finish(start, next, stop, keep_all))
}

/// As [`lower`], and goes on in the graphs that are jumped to, until a jump leads back.
///
/// # Errors
/// As [`lower`].
pub fn follow(model: &Model, graph: GraphId, start: usize, entries: &[Entry]) -> Result<Lowered, NodeError> {
    let mut walk = Walk::new(model, model.graph(graph));
    entries.iter().for_each(|e| walk.enter(e));
    let (mut next, mut stop) = walk.nodes(start)?;
    let mut seen = vec![graph];
    while let Some(target) = walk.jump(next, &seen) {
        seen.push(target);
        (next, stop) = walk.nodes(0)?;
    }
    walk.jumps = seen.split_off(1);
    Ok(walk.finish(start, next, stop, false))
}

/// The complaints of all operators of `graph` that refuse their arguments; what they would give is taken to be what the graph
/// states. `entries` are the graph's inputs.
pub fn refusals(model: &Model, graph: &Graph, entries: &[Entry]) -> Vec<NodeError> {
    let mut walk = Walk::new(model, graph);
    entries.iter().for_each(|e| walk.enter(e));
    let (mut found, mut nodes) = (Vec::new(), graph.nodes.iter());
    while let (Ok(()), Some(node)) = (walk.bounded(0).and_then(|()| bounds::check()), nodes.next()) {
        let mut known = true;
        node.each_input(&mut |id| known &= walk.lookup(id).is_ok());
        match if known { walk.node(node) } else { Ok(Some(Stop::Dynamic)) } {
            Ok(None) => {}
            Ok(Some(_)) => walk.state(node),
            Err(e) => {
                found.push(e);
                walk.state(node);
            }
        }
    }
    found
}

pub(crate) struct Walk<'a> {
    model: &'a Model,
    graph: &'a Graph,
    pub b: Lowering,
    pub values: HashMap<ValueId, V>,
    params: HashMap<usize, V>,
    /// The parameters with new contents, in the order of the first writes.
    written: Vec<usize>,
    jumps: Vec<GraphId>,
}

impl<'a> Walk<'a> {
    pub fn new(model: &'a Model, graph: &'a Graph) -> Walk<'a> {
        let (values, params) = (HashMap::new(), HashMap::new());
        Walk { model, graph, b: Lowering::default(), values, params, written: Vec::new(), jumps: Vec::new() }
    }

    /// Adds a value that exists before the walk.
    pub fn enter(&mut self, e: &Entry) {
        let input = self.b.graph.value(e.fact.clone(), Source::Input(self.b.graph.inputs.len()));
        self.b.graph.inputs.push(input);
        let v = match &e.known {
            Some(t) => self.b.constant(t.clone()),
            None => input,
        };
        self.values.insert(e.value, v);
    }

    /// Takes the results of a node to be what the graph states of them.
    fn state(&mut self, node: &Node) {
        for &value in &node.outputs {
            let spec = &self.graph.value(value).spec;
            if let Some((dtype, shape)) = spec.dtype.zip(spec.shape()) {
                self.enter(&Entry { value, fact: Fact { dtype, shape: shape.into_iter().collect() }, known: None });
            }
        }
    }

    /// Says whether so many nodes, and the tasks so far, are not too many for a plan.
    fn bounded(&self, nodes: usize) -> Result<(), Exceeded> {
        bounds::plan_nodes(nodes.max(self.b.graph.nodes.len()))
    }

    /// Lowers nodes from `start` on; gives the first that is not lowered, and why.
    fn nodes(&mut self, start: usize) -> Result<(usize, Stop), NodeError> {
        let (graph, mut next) = (self.graph, start);
        while let Some(node) = graph.nodes.get(next) {
            let bounded = bounds::check().and_then(|()| self.bounded(next - start + 1));
            bounded.map_err(|e| self.error(node, e.into()))?;
            match self.node(node)? {
                None => next += 1,
                Some(stop) => return Ok((next, stop)),
            }
        }
        Ok((next, Stop::End))
    }

    /// Goes on in the graph that node `at` jumps to, if it is a jump to one that was not seen.
    fn jump(&mut self, at: usize, seen: &[GraphId]) -> Option<GraphId> {
        let node = self.graph.nodes.get(at)?;
        let NodeKind::Call(target) = node.kind else { return None };
        let callee = self.model.graphs.get(target.at())?;
        let leaves = at + 1 == self.graph.nodes.len() && node.outputs == self.graph.outputs;
        if !leaves || seen.contains(&target) || node.args.len() != callee.inputs.len() {
            return None;
        }
        let mut values = HashMap::new();
        for (input, arg) in callee.inputs.iter().zip(&node.args) {
            let Some(Arg::Value(v)) = arg else { return None };
            values.insert(*input, self.lookup(*v).ok()?);
        }
        (self.graph, self.values) = (callee, values);
        Some(target)
    }

    /// Lowers one node, or says why the walk must stop in front of it.
    fn node(&mut self, node: &Node) -> Result<Option<Stop>, NodeError> {
        let def = match &node.kind {
            NodeKind::Op(def) => *def,
            NodeKind::Opaque(o) => {
                return Err(self.error(node, OpError::Unsupported(format!("unknown primitive {}", o.op_type))));
            }
            NodeKind::Call(callee) if self.layer(node, *callee).is_some() => return Ok(None),
            NodeKind::Call(_) | NodeKind::If { .. } | NodeKind::Select(_) => return Ok(Some(Stop::Call)),
        };
        self.b.path = node.path.clone();
        self.b.op = def.name.into();
        match self.op(node, def) {
            Ok(()) => Ok(None),
            Err(OpError::Dynamic) => Ok(Some(Stop::Dynamic)),
            Err(OpError::NeedsValue(v)) => match self.value_of(v) {
                Some(id) => Ok(Some(Stop::Value(id))),
                None => Err(self.error(node, OpError::NeedsValue(v))),
            },
            Err(e) => Err(self.error(node, e)),
        }
    }

    /// Lowers a call of a recurrent layer, if it is one and the arguments have its shapes.
    fn layer(&mut self, node: &Node, callee: GraphId) -> Option<()> {
        let graph = self.model.graphs.get(callee.at())?;
        let Layer { cell, reverse, operands } = graph.layer.as_ref()?;
        let mut ins = Vec::with_capacity(operands.len());
        for id in operands {
            ins.push(match &graph.value(*id).def {
                Def::Input(i) => match node.args.get(*i)? {
                    Some(Arg::Value(v)) => self.lookup(*v).ok()?,
                    _ => return None,
                },
                Def::Const(t) => self.b.constant(t.clone()),
                Def::Param(p) => self.param(*p).ok()?,
                Def::Node => return None,
            });
        }
        let facts: Vec<&Fact> = ins.iter().map(|v| self.b.graph.fact(*v)).collect();
        let task = Recurrent::new(*cell, *reverse, &facts)?;
        self.b.path = node.path.clone();
        self.b.op = cell.name().into();
        let outs = self.b.recurrent(task, &ins);
        self.bind(node, &outs);
        Some(())
    }

    /// Lowers one node with an operator.
    pub fn op(&mut self, node: &Node, def: &'static OpDef) -> Result<(), OpError> {
        let args = self.args(node, def)?;
        let facts = def.infer(&args)?;
        facts.iter().try_for_each(sized)?;
        let made = self.b.graph.values.len();
        let outs = match self.fold(&args, def, node.effect(), &facts)? {
            Some(outs) => outs,
            None => match def.lower(&args, &mut self.b)? {
                Some(outs) => outs,
                None => self.host(&args, def, facts.clone()),
            },
        };
        self.b.graph.values.iter().skip(made).try_for_each(|value| sized(&value.fact))?;
        for (o, f) in outs.iter().zip(&facts) {
            debug_assert_eq!(self.b.fact(*o), f, "{} lowers to another shape than it infers", def.name);
        }
        self.bind(node, &outs);
        Ok(())
    }

    /// Records results, and new contents of written parameters.
    fn bind(&mut self, node: &Node, outs: &[V]) {
        for (id, v) in node.outputs.iter().zip(outs) {
            self.values.insert(*id, *v);
        }
        let Effect::Writes(writes) = node.effect() else { return };
        for (arg, value) in writes.pairs() {
            let (Some(Some(Arg::Value(id))), Some(&v)) = (node.args.get(arg), outs.get(value)) else { continue };
            if let Def::Param(p) = self.graph.value(*id).def {
                self.params.insert(p, v);
                if !self.written.contains(&p) {
                    self.written.push(p);
                }
            }
        }
    }

    /// The results as constants, if all operands are known and the results small.
    fn fold(&mut self, args: &Args, def: &OpDef, effect: Effect, facts: &[Fact]) -> Result<Option<Vec<V>>, OpError> {
        let small = facts.iter().all(|f| f.count() <= FOLD_LIMIT);
        if effect != Effect::Pure
            || !small
            || !args.operands().iter().all(|o| o.known.is_some() && o.count() <= FOLD_LIMIT)
        {
            return Ok(None);
        }
        let outs = def.reference(args)?;
        Ok(Some(outs.into_iter().map(|t| self.b.constant(t)).collect()))
    }

    /// The operator's reference as a task.
    fn host(&mut self, args: &Args, def: &'static OpDef, facts: Vec<Fact>) -> Vec<V> {
        let ins: Vec<V> = args.operands().iter().map(|o| o.v).collect();
        let template = args.clone();
        let run = move |tensors: &[Tensor]| {
            let mut args = template.clone();
            let mut tensors = tensors.iter();
            args.fill(&mut tensors);
            def.reference(&args)
        };
        self.b.task(Task::Host(Host::new(def.name, facts.clone(), run)), &ins, facts)
    }

    /// The node's arguments in signature order.
    pub fn args(&mut self, node: &Node, def: &'static OpDef) -> Result<Args, OpError> {
        let mut items = Vec::with_capacity(def.params.len());
        for (i, param) in def.params.iter().enumerate() {
            items.push(match node.args.get(i) {
                Some(Some(arg)) => Some(self.arg(arg, param.kind)?),
                _ => None,
            });
        }
        Ok(Args { op: def.name, items })
    }

    pub fn arg(&mut self, arg: &Arg, kind: ParamKind) -> Result<ArgValue, OpError> {
        let tensor = kind != ParamKind::Value;
        Ok(match arg {
            Arg::Value(id) => ArgValue::Operand(self.operand(*id)?),
            Arg::List(items) => ArgValue::List(items.iter().map(|a| self.arg(a, kind)).collect::<Result<_, _>>()?),
            Arg::Const(Const::Tuple(items)) if tensor => {
                let items = items.iter().map(|c| self.arg(&Arg::Const(c.clone()), kind));
                ArgValue::List(items.collect::<Result<_, _>>()?)
            }
            Arg::Const(c) => match c.tensor() {
                Some(t) if tensor => {
                    let v = self.b.constant(t.clone());
                    ArgValue::Operand(Operand { v, fact: t.fact().into(), known: Some(t) })
                }
                _ => ArgValue::Const(c.clone()),
            },
        })
    }

    pub fn operand(&mut self, id: ValueId) -> Result<Operand, OpError> {
        let v = self.lookup(id)?;
        sized(self.b.fact(v))?;
        Ok(Operand { v, fact: self.b.fact(v).clone().into(), known: self.b.known(v) })
    }

    fn lookup(&mut self, id: ValueId) -> Result<V, OpError> {
        let value = self.graph.value(id);
        if let Def::Param(p) = value.def {
            return self.param(p);
        }
        if let Some(&v) = self.values.get(&id) {
            return Ok(v);
        }
        match &value.def {
            Def::Const(t) => {
                let v = self.b.constant(t.clone());
                self.values.insert(id, v);
                Ok(v)
            }
            _ => Err(OpError::Invalid(format!("value {} is read before it exists", value.name.escape_debug()))),
        }
    }

    fn param(&mut self, p: usize) -> Result<V, OpError> {
        if let Some(&v) = self.params.get(&p) {
            return Ok(v);
        }
        let params = &self.model.params;
        let dangling = || OpError::Invalid(format!("expected one of {} parameters, found number {p}", params.len()));
        let param = params.get(p).ok_or_else(dangling)?;
        let source = if param.mutable { Source::Variable(p) } else { Source::Const(param.tensor.clone()) };
        let v = self.b.graph.value(param.tensor.fact(), source);
        self.params.insert(p, v);
        Ok(v)
    }

    /// The graph value that stands for a task value.
    fn value_of(&self, v: V) -> Option<ValueId> {
        let direct = self.values.iter().filter(|(_, x)| **x == v).map(|(id, _)| *id).min();
        let param = || {
            let p = self.params.iter().find(|(_, x)| **x == v)?.0;
            let is = |id: &ValueId| matches!(self.graph.value(*id).def, Def::Param(q) if q == *p);
            self.graph.values.ids().find(is)
        };
        direct.or_else(param)
    }

    fn error(&self, node: &Node, error: OpError) -> NodeError {
        let mut args = Vec::new();
        node.each_input(&mut |id| {
            if let Some(&v) = self.values.get(&id) {
                args.push(self.b.fact(v).clone());
            }
        });
        NodeError { path: node.path.clone(), op: node.op_name().to_string(), args, error }
    }

    fn finish(mut self, start: usize, next: usize, stop: Stop, keep_all: bool) -> Lowered {
        let outputs = if keep_all && stop == Stop::End { self.all(start, next) } else { self.live(next) };
        for id in &outputs {
            if let Ok(v) = self.lookup(*id) {
                self.b.graph.outputs.push(v);
            }
        }
        self.b.graph.writes = self.written.iter().filter_map(|p| Some((*p, *self.params.get(p)?))).collect();
        Lowered { tasks: self.b.graph, outputs, jumps: self.jumps, next, stop }
    }

    /// Values that nodes from `next` on, or the graph's results, read. Parameters and constants need no hand-over, except
    /// as results.
    fn live(&self, next: usize) -> Vec<ValueId> {
        let mut seen = self.graph.values.filled(false);
        let mut out = Vec::new();
        let mut want = |id: ValueId, result: bool| {
            let carried = matches!(self.graph.value(id).def, Def::Node | Def::Input(_)) || result;
            let exists =
                self.values.contains_key(&id) || !matches!(self.graph.value(id).def, Def::Node | Def::Input(_));
            if carried && exists && !std::mem::replace(&mut seen[id], true) {
                out.push(id);
            }
        };
        let rest = self.graph.nodes.iter().skip(next);
        rest.for_each(|n| n.each_input(&mut |v| want(v, false)));
        let is_end = next == self.graph.nodes.len();
        self.graph.outputs.iter().for_each(|v| want(*v, is_end));
        out
    }

    /// Results of the nodes from `start` to `next`, in order.
    fn all(&self, start: usize, next: usize) -> Vec<ValueId> {
        let results = self.graph.nodes.iter().take(next).skip(start).flat_map(|n| &n.outputs);
        results.filter(|o| self.values.contains_key(o)).copied().collect()
    }
}

/// Refuses sizes that are no numbers.
fn sized(fact: &Fact) -> Result<(), Exceeded> {
    fact.checked_bytes().map(drop).ok_or_else(|| Exceeded::system(usize::MAX))
}

/// Shapes and element types of a node's results, where they follow from what the graph states of the values that it reads.
pub(crate) fn infer_node(model: &Model, graph: &Graph, node: &Node, def: &'static OpDef) -> Option<Vec<Fact>> {
    let mut walk = Walk::new(model, graph);
    let mut known = true;
    node.each_input(&mut |id| {
        let value = graph.value(id);
        if matches!(value.def, Def::Input(_) | Def::Node) {
            let spec = &value.spec;
            match spec.dtype.zip(spec.shape()) {
                Some((dtype, shape)) => {
                    let fact = Fact { dtype, shape: shape.into_iter().collect() };
                    walk.enter(&Entry { value: id, fact, known: None });
                }
                None => known = false,
            }
        }
    });
    let args = known.then(|| walk.args(node, def))?.ok()?;
    def.infer(&args).ok()
}

/// Runs one node's reference on known tensors; for nodes whose result shape depends on data.
///
/// `tensors` gives the contents of every value that the node reads.
///
/// # Errors
/// [`NodeError`] with the operator's complaint.
pub fn run_node(
    model: &Model,
    graph: &Graph,
    node: &Node,
    tensors: &HashMap<ValueId, Tensor>,
) -> Result<Vec<Tensor>, NodeError> {
    let mut walk = Walk::new(model, graph);
    let mut run = || {
        let NodeKind::Op(def) = node.kind else {
            return Err(OpError::Unsupported(format!("{} has no reference", node.op_name())));
        };
        for (id, t) in tensors {
            let v = walk.b.constant(t.clone());
            walk.values.insert(*id, v);
        }
        let args = walk.args(node, def)?;
        def.reference(&args)
    };
    run().map_err(|e| walk.error(node, e))
}
