//! The walk over a model's graphs: one or two sets of sizes side by side.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::body::{Body, Book, Edge, Record};
use super::super::{Emit, NoForm, Unmapped, tasks};
use crate::graph::{Arg, Graph, GraphId, Model, Node, ValueId};
use crate::lower::{Entry, Walk as Shapes};
use crate::op::{ArgValue, Args, Effect, OpDef, Operand, ParamKind};
use crate::task::V;
use crate::{DType, Fact, OpError, Tensor};

/// Why a walk gave nothing.
pub(super) enum Failure {
    /// Shapes do not fit for these sizes of open dimensions; others may.
    Sizes(Vec<Unmapped>),
    /// Nodes without an ONNX form.
    Final(Vec<Unmapped>),
}

/// Why a graph could not be walked to its end.
pub(super) enum Stop {
    /// The sizes of open dimensions do not fit.
    Sizes,
    /// What follows depends on a node without an ONNX form.
    Node,
}

/// A value that enters or leaves a graph: an edge, or a constant; a fact for each walk.
#[derive(Clone)]
pub(in super::super) struct Given {
    pub edge: Option<Edge>,
    pub facts: Vec<Fact>,
    pub known: Vec<Option<Tensor>>,
}

impl Given {
    /// The contents, if they are the same in every walk.
    pub fn constant(&self) -> Option<&Tensor> {
        let first = self.known.first()?.as_ref()?;
        self.known.iter().all(|t| t.as_ref().is_some_and(|t| same(t, first))).then_some(first)
    }

    /// Element type, and the dimensions that are the same in every walk.
    pub fn kind(&self) -> (DType, Vec<Option<usize>>) {
        let first = &self.facts[0];
        let dim = |d: usize| self.facts.iter().all(|f| f.shape[d] == first.shape[d]).then_some(first.shape[d]);
        (first.dtype, (0..first.rank()).map(dim).collect())
    }

    /// Without what is known of its contents.
    pub fn forgotten(&self, edge: Edge) -> Given {
        Given { edge: Some(edge), facts: self.facts.clone(), known: vec![None; self.known.len()] }
    }
}

/// Whether two tensors are equal; those that share their bytes are not read.
fn same(a: &Tensor, b: &Tensor) -> bool {
    a.bytes().as_ptr() == b.bytes().as_ptr() && a.fact() == b.fact() || a == b
}

/// A graph during its walk.
pub(super) struct Frame<'a> {
    pub graph: &'a Graph,
    pub shapes: Vec<Shapes<'a>>,
    pub edges: HashMap<ValueId, Edge>,
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
    pub books: Vec<Book>,
    problems: Vec<Unmapped>,
    /// Graphs that are being walked, outermost first.
    pub active: Vec<GraphId>,
    outputs: Vec<Edge>,
}

impl<'a> Walk<'a> {
    pub fn new(model: &'a Model, opset: i64, open: bool) -> Walk<'a> {
        let books = (0..if open { 2 } else { 1 }).map(|_| Book::new()).collect();
        Walk { model, opset, books, problems: Vec::new(), active: Vec::new(), outputs: Vec::new() }
    }

    /// The model's inputs.
    pub fn inputs(&mut self, facts: &[[Fact; 2]]) -> Vec<Given> {
        let walks = self.books.len();
        let one =
            |f: &[Fact; 2], edge| Given { edge: Some(edge), facts: f[..walks].to_vec(), known: vec![None; walks] };
        facts.iter().map(|f| one(f, self.edge())).collect()
    }

    /// Walks the model; gives its results.
    pub fn run(&mut self, inputs: &[Given]) -> Result<Vec<Given>, Failure> {
        let results = match self.call(GraphId(0), inputs) {
            Ok(results) => results,
            Err(Stop::Sizes) => return Err(Failure::Sizes(std::mem::take(&mut self.problems))),
            Err(Stop::Node) => return Err(Failure::Final(std::mem::take(&mut self.problems))),
        };
        for book in &mut self.books {
            book.begin_node("outputs".into());
        }
        self.outputs = self.named(&results);
        Ok(results)
    }

    pub fn finish(mut self) -> Result<Finished, Failure> {
        if !self.problems.is_empty() {
            return Err(Failure::Final(self.problems));
        }
        let mut book = self.books.swap_remove(0);
        let (body, outputs) = (book.end_body(), self.outputs);
        Ok(Finished { body, outputs, constants: book.constants, missing: book.missing })
    }

    /// A value without a producer, in every book.
    pub fn edge(&mut self) -> Edge {
        let edges: Vec<Edge> = self.books.iter_mut().map(Book::edge).collect();
        edges[0]
    }

    /// A node in every book.
    pub fn record(&mut self, op: &'static str, inputs: Vec<Option<Edge>>, attrs: Attrs, n: usize) -> Vec<Edge> {
        let mut out = Vec::new();
        for book in self.books.iter_mut().rev() {
            out = book.record(op, inputs.clone(), attrs.clone(), n);
        }
        out
    }

    /// The edge of a value; a constant becomes one.
    pub fn edge_of(&mut self, given: &Given) -> Edge {
        match (given.edge, given.constant()) {
            (Some(edge), _) => edge,
            (None, Some(t)) => {
                let edges: Vec<Edge> = self.books.iter_mut().map(|b| b.constant(t.clone())).collect();
                edges[0]
            }
            (None, None) => self.edge(),
        }
    }

    /// Each value as the result of a node of its own.
    pub fn named(&mut self, results: &[Given]) -> Vec<Edge> {
        let mut out = Vec::new();
        for given in results {
            let edge = self.edge_of(given);
            out.push(self.record("Identity", vec![Some(edge)], Vec::new(), 1)[0]);
        }
        out
    }

    pub fn problem(&mut self, node: &Node, reason: impl Into<String>) {
        self.note(&node.path, node.op_name(), reason);
    }

    fn note(&mut self, path: &Arc<str>, op: &str, reason: impl Into<String>) {
        self.problems.push(Unmapped { path: path.clone(), op: op.into(), reason: reason.into() });
    }

    /// A frame for graph `id` with these inputs.
    pub fn enter(&self, id: GraphId, inputs: &[Given]) -> Frame<'a> {
        let graph = self.model.graph(id);
        let mut frame = Frame { graph, shapes: Vec::new(), edges: HashMap::new() };
        for i in 0..self.books.len() {
            let mut shapes = Shapes::new(self.model, graph);
            for (&value, given) in graph.inputs.iter().zip(inputs) {
                // What differs between the walks is open, so nothing may rely on it but shapes.
                shapes.enter(&Entry { value, fact: given.facts[i].clone(), known: given.known[i].clone() });
            }
            frame.shapes.push(shapes);
        }
        for (&value, given) in graph.inputs.iter().zip(inputs) {
            if let Some(edge) = given.edge {
                frame.edges.insert(value, edge);
            }
        }
        frame
    }

    /// What an argument of a control-flow node is.
    pub fn given(&mut self, frame: &mut Frame<'a>, node: &Node, arg: &Arg) -> Result<Given, Stop> {
        self.resolve(frame, (&node.path, node.op_name()), arg)
    }

    fn resolve(&mut self, frame: &mut Frame<'a>, (path, op): (&Arc<str>, &str), arg: &Arg) -> Result<Given, Stop> {
        let mut operands = Vec::new();
        for shapes in &mut frame.shapes {
            match shapes.arg(arg, ParamKind::Tensor) {
                Ok(ArgValue::Operand(o)) => operands.push(o),
                Ok(_) => {
                    self.note(path, op, "a graph is called with a tuple or text");
                    return Err(Stop::Node);
                }
                Err(e) => {
                    self.note(path, op, e.to_string());
                    return Err(Stop::Node);
                }
            }
        }
        let edge = if let Arg::Value(id) = arg { frame.edges.get(id).copied() } else { None };
        let facts = operands.iter().map(|o| o.fact.clone()).collect();
        let given = Given { edge, facts, known: operands.into_iter().map(|o| o.known).collect() };
        if given.edge.is_none() && given.constant().is_none() {
            self.note(path, op, STATE);
            return Err(Stop::Node);
        }
        Ok(given)
    }

    /// Makes `results` the results of `node`.
    pub fn bind(&self, frame: &mut Frame<'a>, node: &Node, results: &[Given]) {
        for (&value, given) in node.outputs.iter().zip(results) {
            for (i, shapes) in frame.shapes.iter_mut().enumerate() {
                shapes.enter(&Entry { value, fact: given.facts[i].clone(), known: given.known[i].clone() });
            }
            if let Some(edge) = given.edge {
                frame.edges.insert(value, edge);
            }
        }
    }

    /// The frame's value `id`, to leave the graph.
    pub fn leaving(&mut self, frame: &mut Frame<'a>, id: ValueId) -> Result<Given, Stop> {
        let place = frame.graph.name.clone();
        self.resolve(frame, (&place, ""), &Arg::Value(id))
    }

    /// Walks one node with an operator.
    pub fn op(&mut self, frame: &mut Frame<'a>, node: &Node, def: &'static OpDef) -> Result<(), Stop> {
        let mut args = Vec::new();
        for shapes in &mut frame.shapes {
            let outcome = shapes.args(node, def).and_then(|a| shapes.op(node, def).map(|()| a));
            match outcome {
                Ok(a) => args.push(a),
                Err(e) => return self.declared(frame, node, e),
            }
        }
        if let Some(why) = effect(node) {
            self.problem(node, why);
            self.fresh(frame, node);
            return Ok(());
        }
        let known = |id: &ValueId| {
            let of = |s: &mut Shapes| s.operand(*id).ok().and_then(|o| o.known);
            let known = frame.shapes.iter_mut().map(of).collect();
            Given { edge: None, facts: Vec::new(), known }.constant().is_some()
        };
        let constant: Vec<bool> = node.outputs.iter().map(known).collect();
        if constant.iter().all(|&c| c) {
            return Ok(());
        }
        forget_differing(&mut args, def);
        match self.emit(frame, node, def, &args) {
            Ok(edges) => {
                let open = node.outputs.iter().zip(edges).zip(&constant).filter(|(_, constant)| !**constant);
                frame.edges.extend(open.map(|((id, edge), _)| (*id, edge)));
            }
            Err(why) => {
                self.problem(node, why.to_string());
                self.fresh(frame, node);
            }
        }
        Ok(())
    }

    /// Edges without producer for a node that is a problem, so that the walk can go on.
    fn fresh(&mut self, frame: &mut Frame<'a>, node: &Node) {
        for id in &node.outputs {
            let edge = self.edge();
            frame.edges.insert(*id, edge);
        }
    }

    /// Notes that a node's results cannot be told, and goes on with what the file declares.
    pub fn declared(&mut self, frame: &mut Frame<'a>, node: &Node, error: OpError) -> Result<(), Stop> {
        let sizes = matches!(error, OpError::Invalid(_));
        self.problem(node, explain(&error));
        if sizes && self.books.len() > 1 {
            return Err(Stop::Sizes);
        }
        for id in &node.outputs {
            let spec = &frame.graph.value(*id).spec;
            let (Some(dtype), Some(shape)) = (spec.dtype, spec.shape()) else { return Err(Stop::Node) };
            for shapes in &mut frame.shapes {
                shapes.enter(&Entry { value: *id, fact: Fact { dtype, shape: shape.clone() }, known: None });
            }
        }
        self.fresh(frame, node);
        Ok(())
    }

    /// The node's records in every book, which must agree.
    fn emit(&mut self, frame: &mut Frame<'a>, node: &Node, def: &OpDef, args: &[Args]) -> Result<Vec<Edge>, NoForm> {
        let marks: Vec<_> = self.books.iter().map(Book::mark).collect();
        let mut results = Vec::new();
        for (i, book) in self.books.iter_mut().enumerate() {
            book.begin_node(node.path.clone());
            let twin = (args.len() > 1).then(|| &args[1 - i]);
            let edges = edges(&mut frame.shapes[i], &frame.edges, node);
            let mut e = Emit { book, args: &args[i], twin, edges, opset: self.opset };
            results.push(forms(&mut e, &mut frame.shapes[i], def));
        }
        let agree = match results.as_slice() {
            [_] => true,
            [Ok(a), Ok(b)] => a == b && equal(self.books[0].since(marks[0]), self.books[1].since(marks[1])),
            _ => true,
        };
        let failed = results.iter().position(Result::is_err);
        if agree && failed.is_none() {
            return results.swap_remove(0);
        }
        for (book, mark) in self.books.iter_mut().zip(marks) {
            book.drop_since(mark);
        }
        if let [a, b] = self.books.as_mut_slice() {
            a.align(b);
        }
        match failed {
            Some(at) => results.swap_remove(at),
            None => Err(NoForm::Reason("its ONNX form needs the size of a dimension that is open".into())),
        }
    }
}

type Attrs = super::super::emit::Attrs;

const STATE: &str = "it reads a parameter that the model writes; ONNX models keep no state";

/// The operator's own form, or its tasks.
fn forms(e: &mut Emit, shapes: &mut Shapes, def: &OpDef) -> Result<Vec<Edge>, NoForm> {
    if let Some(edges) = (def.onnx)(e.args, e)? {
        return Ok(edges);
    }
    let facts = (def.infer)(e.args)?;
    if e.is_fixed() && facts.iter().all(|f| f.count() == 0) {
        return facts.iter().map(|f| Ok(e.constant(Tensor::zeros(f.dtype, &f.shape)?))).collect();
    }
    let first = shapes.b.tasks_from(0).len();
    let outs: Vec<V> = match (def.lower)(e.args, &mut shapes.b)? {
        Some(outs) => outs,
        None => return Err(NoForm::Unstated),
    };
    tasks::tasks(e, &shapes.b, shapes.b.tasks_from(first), &outs)
}

/// Edges of the values in a node's arguments.
fn edges(shapes: &mut Shapes, known: &HashMap<ValueId, Edge>, node: &Node) -> HashMap<V, Edge> {
    let mut out = HashMap::new();
    node.args.iter().flatten().for_each(|arg| {
        arg.each_value(&mut |id| {
            if let (Some(&edge), Ok(operand)) = (known.get(&id), shapes.operand(id)) {
                out.insert(operand.v, edge);
            }
        });
    });
    out
}

fn equal(a: (&[Record], &[(Edge, Tensor)]), b: (&[Record], &[(Edge, Tensor)])) -> bool {
    let constants = a.1.len() == b.1.len() && a.1.iter().zip(b.1).all(|(x, y)| x.0 == y.0 && same(&x.1, &y.1));
    constants && a.0 == b.0
}

/// Takes the contents of operands that differ between the walks: they have to come from a node.
fn forget_differing(args: &mut [Args], def: &OpDef) {
    let [a, b] = args else { return };
    for (i, (x, y)) in a.items.iter_mut().zip(&mut b.items).enumerate() {
        if def.params.get(i).is_some_and(|p| p.kind != ParamKind::Value)
            && let (Some(x), Some(y)) = (x, y)
        {
            forget(x, y);
        }
    }
}

fn forget(a: &mut ArgValue, b: &mut ArgValue) {
    match (a, b) {
        (ArgValue::Operand(a), ArgValue::Operand(b)) => {
            let equal = |a: &Operand, b: &Operand| match (&a.known, &b.known) {
                (Some(x), Some(y)) => same(x, y),
                _ => false,
            };
            if !equal(a, b) {
                (a.known, b.known) = (None, None);
            }
        }
        (ArgValue::List(a), ArgValue::List(b)) => a.iter_mut().zip(b).for_each(|(a, b)| forget(a, b)),
        _ => {}
    }
}

/// Why a node's effect keeps it out of ONNX.
fn effect(node: &Node) -> Option<&'static str> {
    match node.effect() {
        Effect::Pure => None,
        Effect::Random => Some("it draws random numbers"),
        Effect::Io => Some("it talks to the outside"),
        Effect::Writes(_) | Effect::WritesIf { .. } => Some("it writes a parameter; ONNX models keep no state"),
    }
}

fn explain(error: &OpError) -> String {
    match error {
        OpError::NeedsValue(_) => "the shape of its result depends on contents that are known at run time only".into(),
        OpError::Dynamic => "the shape of its result depends on data".into(),
        other => other.to_string(),
    }
}
