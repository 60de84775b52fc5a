//! The walk over a model's graphs.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::body::{Body, Book, Edge};
use super::super::emit::Attrs;
use super::super::types::{Kind, Length, Type};
use super::super::{Emit, NoForm, OPEN, Unmapped, tasks};
use super::flow::Ends;
use crate::graph::{Arg, Def, Graph, GraphId, Model, Node, Param, ValueId};
use crate::lower::{Entry, Walk as Shapes};
use crate::op::{ArgValue, Args, Effect, OpDef, ParamKind, Watch};
use crate::task::V;
use crate::{OpError, Tensor};

/// What follows depends on a node without an ONNX form.
pub(super) struct Stop;

/// A value that enters or leaves a graph: an edge, or a constant.
#[derive(Clone)]
pub(super) struct Given {
    pub edge: Option<Edge>,
    pub kind: Kind,
    pub known: Option<Tensor>,
}

impl Given {
    /// A value of which no contents are known.
    pub fn computed(edge: Edge, kind: Kind) -> Given {
        Given { edge: Some(edge), kind, known: None }
    }

    pub fn constant(tensor: Tensor) -> Given {
        Given { edge: None, kind: Kind::from(&tensor.fact()), known: Some(tensor) }
    }
}

/// A graph during its walk.
pub(super) struct Frame<'a> {
    pub graph: &'a Graph,
    shapes: Shapes<'a>,
    edges: HashMap<ValueId, Edge>,
    /// Values with open dimensions; the lengths that `shapes` has for them mean nothing.
    open: HashMap<V, Kind>,
}

impl Frame<'_> {
    fn enter(&mut self, value: ValueId, given: &Given) {
        self.shapes.enter(&Entry { value, fact: given.kind.stand_in(), known: given.known.clone() });
        if let Some(&v) = self.shapes.values.get(&value)
            && !given.kind.is_fixed()
        {
            self.open.insert(v, given.kind.clone());
        }
        if let Some(edge) = given.edge {
            self.edges.insert(value, edge);
        }
    }

    /// Marks the operands with open dimensions.
    fn watch(&self, arg: &mut ArgValue, watch: &Watch) {
        match arg {
            ArgValue::Operand(x) => {
                if let Some(kind) = self.open.get(&x.v) {
                    x.open(kind.lengths(), watch);
                }
            }
            ArgValue::List(items) => items.iter_mut().for_each(|item| self.watch(item, watch)),
            ArgValue::Const(_) => {}
        }
    }
}

/// What a finished walk leaves.
pub(super) struct Finished {
    pub body: Body,
    pub outputs: Vec<Edge>,
    pub constants: Vec<(Edge, Tensor)>,
    pub missing: Vec<(Edge, Arc<str>, &'static str)>,
}

pub(super) struct Walk<'a> {
    pub model: &'a Model,
    opset: i64,
    pub book: Book,
    problems: Vec<Unmapped>,
    /// Graphs that are being walked, outermost first.
    pub active: Vec<GraphId>,
    /// How many graphs were walked.
    pub walked: usize,
    /// How loops end, by where they start, with what kinds, and where calls end them.
    pub rounds: HashMap<(GraphId, Vec<Kind>, Vec<GraphId>), Ends>,
    outputs: Vec<Edge>,
    /// What parameters that the model writes hold so far, by their numbers, where they go in and out.
    state: HashMap<usize, Edge>,
}

impl<'a> Walk<'a> {
    pub fn new(model: &'a Model, opset: i64) -> Walk<'a> {
        Walk {
            model,
            opset,
            book: Book::new(),
            problems: Vec::new(),
            active: Vec::new(),
            walked: 0,
            rounds: HashMap::new(),
            outputs: Vec::new(),
            state: HashMap::new(),
        }
    }

    /// The model's inputs.
    pub fn inputs(&mut self, kinds: &[Kind]) -> Vec<Given> {
        kinds.iter().map(|kind| self.entering(kind.clone())).collect()
    }

    /// A value without a producer.
    pub fn entering(&mut self, kind: Kind) -> Given {
        let edge = self.book.edge();
        self.book.declare(edge, kind.clone().into());
        Given::computed(edge, kind)
    }

    /// Makes an input of every parameter that the model writes.
    pub fn hold(&mut self) -> Vec<(&'a Param, Given)> {
        let mut held = Vec::new();
        for (p, param) in self.model.params.iter().enumerate().filter(|(_, param)| param.mutable) {
            let given = self.entering(Kind::from(&param.tensor.fact()));
            self.state.extend(given.edge.map(|edge| (p, edge)));
            held.push((param, given));
        }
        held
    }

    /// Walks the model; gives its results, or every node without a form. The model's outputs have the state behind them.
    pub fn run(&mut self, inputs: &[Given]) -> Result<Vec<Given>, Vec<Unmapped>> {
        let Ok(results) = self.call(GraphId(0), inputs) else { return Err(std::mem::take(&mut self.problems)) };
        self.book.begin_node("outputs".into());
        self.outputs = self.named(&results);
        let params = 0..self.model.params.len();
        for edge in params.filter_map(|p| self.state.get(&p).copied()).collect::<Vec<_>>() {
            let after = self.book.record_one("Identity", vec![Some(edge)], Vec::new());
            self.outputs.push(after);
        }
        Ok(results)
    }

    pub fn finish(mut self) -> Result<Finished, Vec<Unmapped>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let body = self.book.end_body();
        Ok(Finished { body, outputs: self.outputs, constants: self.book.constants, missing: self.book.missing })
    }

    /// The edge of a value; a constant becomes one.
    pub fn edge_of(&mut self, given: &Given) -> Edge {
        match (given.edge, &given.known) {
            (Some(edge), _) => edge,
            (None, Some(t)) => self.book.constant(t.clone()),
            (None, None) => self.book.edge(),
        }
    }

    /// Each value as the result of a node of its own.
    pub fn named(&mut self, results: &[Given]) -> Vec<Edge> {
        let mut out = Vec::new();
        for given in results {
            let edge = self.edge_of(given);
            out.push(self.book.record_one("Identity", vec![Some(edge)], Vec::new()));
        }
        out
    }

    /// A node of control flow, whose results are of these kinds.
    pub fn flow_record(
        &mut self,
        op: &'static str,
        ins: Vec<Option<Edge>>,
        attrs: Attrs,
        kinds: &[Kind],
    ) -> Vec<Given> {
        let edges = self.book.record(op, ins, attrs, kinds.len());
        edges.iter().zip(kinds).for_each(|(edge, kind)| self.book.declare(*edge, kind.clone().into()));
        edges.into_iter().zip(kinds).map(|(edge, kind)| Given::computed(edge, kind.clone())).collect()
    }

    pub fn problem(&mut self, node: &Node, reason: impl Into<String>) {
        self.note(&node.path, node.op_name(), reason);
    }

    fn note(&mut self, path: &Arc<str>, op: &str, reason: impl Into<String>) {
        self.problems.push(Unmapped { path: path.clone(), op: op.into(), reason: reason.into() });
    }

    /// How many problems there are, to forget those that follow.
    pub fn complaints(&self) -> usize {
        self.problems.len()
    }

    pub fn forget(&mut self, complaints: usize) {
        self.problems.truncate(complaints);
    }

    /// A frame for graph `id` with these inputs.
    pub fn enter(&self, id: GraphId, inputs: &[Given]) -> Frame<'a> {
        let graph = self.model.graph(id);
        let shapes = Shapes::new(self.model, graph);
        let mut frame = Frame { graph, shapes, edges: HashMap::new(), open: HashMap::new() };
        graph.inputs.iter().zip(inputs).for_each(|(&value, given)| frame.enter(value, given));
        frame
    }

    /// What an argument of a control-flow node is.
    pub fn given(&mut self, frame: &mut Frame<'a>, node: &Node, arg: &Arg) -> Result<Given, Stop> {
        self.resolve(frame, (&node.path, node.op_name()), arg)
    }

    fn resolve(&mut self, frame: &mut Frame<'a>, (path, op): (&Arc<str>, &str), arg: &Arg) -> Result<Given, Stop> {
        let operand = match frame.shapes.arg(arg, ParamKind::Tensor) {
            Ok(ArgValue::Operand(o)) => o,
            Ok(_) => {
                self.note(path, op, "a graph is called with a tuple or text");
                return Err(Stop);
            }
            Err(e) => {
                self.note(path, op, e.to_string());
                return Err(Stop);
            }
        };
        let edge = if let Arg::Value(id) = arg { self.edge_in(frame, *id) } else { None };
        let kind = frame.open.get(&operand.v).cloned().unwrap_or_else(|| Kind::from(&*operand.fact));
        let given = Given { edge, kind, known: operand.known };
        if given.edge.is_none() && given.known.is_none() {
            self.note(path, op, STATE);
            return Err(Stop);
        }
        Ok(given)
    }

    /// The edge of a value of `frame`; that of state is what it holds so far.
    fn edge_in(&self, frame: &Frame<'a>, id: ValueId) -> Option<Edge> {
        match frame.graph.value(id).def {
            Def::Param(p) => self.state.get(&p).copied(),
            _ => frame.edges.get(&id).copied(),
        }
    }

    /// Why a node's effect keeps it out of ONNX.
    fn effect(&self, node: &Node) -> Option<&'static str> {
        match node.effect() {
            Effect::Writes(_) if self.state.is_empty() => Some("it writes a parameter; ONNX models keep no state"),
            Effect::Writes(_) if self.active.len() > 1 || self.book.is_inside() => Some(
                "it writes a parameter in a branch, a loop or a call; state goes in and out of straight lines only",
            ),
            Effect::Pure | Effect::Writes(_) => None,
            Effect::Random => Some("it draws random numbers"),
            Effect::Io => Some("it talks to the outside"),
            Effect::Raises => Some("it ends the run with an exception; ONNX models cannot"),
            Effect::WritesIf(..) => Some("it may write a parameter"),
        }
    }

    /// Notes what the state is after `node`, which gives these values.
    fn written(&mut self, frame: &Frame<'a>, node: &Node, values: &[Edge]) {
        let Effect::Writes(writes) = node.effect() else { return };
        for (arg, value) in writes.pairs() {
            if let (Some(Some(Arg::Value(id))), Some(edge)) = (node.args.get(arg), values.get(value))
                && let Def::Param(p) = frame.graph.value(*id).def
            {
                self.state.insert(p, *edge);
            }
        }
    }

    /// Makes `results` the results of `node`.
    pub fn bind(&self, frame: &mut Frame<'a>, node: &Node, results: &[Given]) {
        node.outputs.iter().zip(results).for_each(|(&value, given)| frame.enter(value, given));
    }

    /// The frame's value `id`, to leave the graph.
    pub fn leaving(&mut self, frame: &mut Frame<'a>, id: ValueId) -> Result<Given, Stop> {
        let place = frame.graph.name.clone();
        self.resolve(frame, (&place, ""), &Arg::Value(id))
    }

    /// Walks one node with an operator.
    pub fn op(&mut self, frame: &mut Frame<'a>, node: &Node, def: &'static OpDef) -> Result<(), Stop> {
        let mut args = match frame.shapes.args(node, def) {
            Ok(args) => args,
            Err(e) => return self.declared(frame, node, NoForm::from(e).to_string()),
        };
        // What the operands are before the node writes to some of them.
        let edges = self.edges(frame, node);
        let watch = Watch::default();
        args.items.iter_mut().flatten().for_each(|arg| frame.watch(arg, &watch));
        let fixed = !args.operands().iter().any(|x| x.is_open());
        if fixed {
            match frame.shapes.op(node, def) {
                Ok(()) => return self.fixed(frame, node, def, &args, edges),
                // Its form may say what only a run can tell.
                Err(OpError::NeedsValue(_) | OpError::Dynamic) => {}
                Err(e) => return self.declared(frame, node, NoForm::from(e).to_string()),
            }
        }
        if let Some(why) = self.effect(node) {
            return self.declared(frame, node, why.into());
        }
        let emitted = self.emit(frame, node, def, &args, edges, &watch);
        match emitted.and_then(|edges| Ok((self.results(node, &edges)?, edges))) {
            Ok((results, edges)) => {
                self.bind(frame, node, &results);
                self.written(frame, node, &edges);
                Ok(())
            }
            Err(why) => self.declared(frame, node, why.to_string()),
        }
    }

    /// Writes a node of which everything is known but the contents of its results.
    fn fixed(
        &mut self,
        frame: &mut Frame<'a>,
        node: &Node,
        def: &'static OpDef,
        args: &Args,
        edges: HashMap<V, Edge>,
    ) -> Result<(), Stop> {
        if let Some(why) = self.effect(node) {
            self.problem(node, why);
            self.fresh(frame, node);
            return Ok(());
        }
        let mut known = |id: &ValueId| frame.shapes.operand(*id).is_ok_and(|o| o.known.is_some());
        let constant: Vec<bool> = node.outputs.iter().map(&mut known).collect();
        if constant.iter().all(|&c| c) && node.effect() == Effect::Pure {
            return Ok(());
        }
        match self.emit(frame, node, def, args, edges, &Watch::default()) {
            Ok(edges) => {
                self.written(frame, node, &edges);
                for ((id, edge), _) in node.outputs.iter().zip(edges).zip(constant).filter(|(_, constant)| !constant) {
                    if let Ok(o) = frame.shapes.operand(*id)
                        && let Some(found) = contradiction(&self.book.type_of(edge), &Kind::from(&*o.fact))
                    {
                        self.problem(node, format!("its ONNX form gives {found} instead of {}", o.fact));
                    }
                    frame.edges.insert(*id, edge);
                }
            }
            Err(why) => {
                self.problem(node, why.to_string());
                self.fresh(frame, node);
            }
        }
        Ok(())
    }

    /// The results of a node as the definitions of ONNX's operators have them.
    fn results(&self, node: &Node, edges: &[Edge]) -> Result<Vec<Given>, NoForm> {
        let one = |&edge: &Edge| {
            let Type { dtype, dims, contents } = self.book.type_of(edge);
            let (Some(dtype), Some(dims)) = (dtype, dims) else {
                return Err(NoForm::Reason("the rank of its result depends on data".into()));
            };
            let kind = Kind { dtype, dims };
            let contents: Option<Vec<i64>> = contents.and_then(|c| c.iter().map(|d| d.fixed()).collect());
            match contents.filter(|_| kind.is_fixed()) {
                Some(values) => Ok(Given::constant(Tensor::from_i64s(dtype, &kind.stand_in().shape, &values)?)),
                None => Ok(Given::computed(edge, kind)),
            }
        };
        edges.iter().take(node.outputs.len()).map(one).collect()
    }

    /// Edges without producer for a node that is a problem, so that the walk can go on.
    fn fresh(&mut self, frame: &mut Frame<'a>, node: &Node) {
        for id in &node.outputs {
            let edge = self.book.edge();
            frame.edges.insert(*id, edge);
        }
    }

    /// Notes that a node has no form, and goes on with what the file declares of its results.
    pub fn declared(&mut self, frame: &mut Frame<'a>, node: &Node, why: String) -> Result<(), Stop> {
        self.problem(node, why);
        for &id in &node.outputs {
            let kind = Kind::declared(&frame.graph.value(id).spec).ok_or(Stop)?;
            let given = self.entering(kind);
            frame.enter(id, &given);
        }
        Ok(())
    }

    /// Edges of the values in a node's arguments.
    fn edges(&self, frame: &mut Frame<'a>, node: &Node) -> HashMap<V, Edge> {
        let mut out = HashMap::new();
        node.args.iter().flatten().for_each(|arg| {
            arg.each_value(&mut |id| {
                if let (Some(edge), Ok(operand)) = (self.edge_in(frame, id), frame.shapes.operand(id)) {
                    out.insert(operand.v, edge);
                }
            });
        });
        out
    }

    /// The node's records.
    fn emit(
        &mut self,
        frame: &mut Frame<'a>,
        node: &Node,
        def: &OpDef,
        args: &Args,
        edges: HashMap<V, Edge>,
        watch: &Watch,
    ) -> Result<Vec<Edge>, NoForm> {
        let mark = self.book.mark();
        self.book.begin_node(node.path.clone());
        let mut e = Emit { book: &mut self.book, args, edges, opset: self.opset };
        let mut results = forms(&mut e, &mut frame.shapes, def, watch);
        if watch.asked() {
            results = Err(NoForm::Reason(OPEN.into()));
        }
        if results.is_err() {
            self.book.drop_since(mark);
        }
        results
    }
}

const STATE: &str = "it reads a parameter that the model writes; ONNX models keep no state";

/// The operator's own form, or its tasks.
fn forms(e: &mut Emit, shapes: &mut Shapes, def: &OpDef, watch: &Watch) -> Result<Vec<Edge>, NoForm> {
    if let Some(edges) = def.onnx(e.args, e)? {
        return Ok(edges);
    }
    if e.is_fixed() {
        let facts = def.infer(e.args)?;
        if facts.iter().all(|f| f.count() == 0) {
            return facts.iter().map(|f| Ok(e.constant(Tensor::zeros(f.dtype, &f.shape)?))).collect();
        }
    } else {
        shapes.b.open(Some(watch.clone()));
    }
    let first = shapes.b.tasks_from(0).len();
    let lowered = def.lower(e.args, &mut shapes.b);
    shapes.b.open(None);
    let Some(outs) = lowered? else { return Err(NoForm::Unstated) };
    tasks::tasks(e, &shapes.b, shapes.b.tasks_from(first), &outs)
}

/// What a form gives, if it cannot be of this kind.
fn contradiction(found: &Type, kind: &Kind) -> Option<String> {
    let dtype = found.dtype.filter(|d| *d != kind.dtype);
    let dims = found.dims.as_ref().filter(|dims| {
        let differ = |(a, b): (&Length, &Length)| a.size().is_some() && a != b;
        dims.len() != kind.dims.len() || dims.iter().zip(&kind.dims).any(differ)
    });
    match (dtype, dims) {
        (None, None) => None,
        _ => Some(format!("{:?} {:?}", found.dtype, found.dims)),
    }
}
