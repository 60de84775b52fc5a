//! Records of a graph while it is written, and its constants.

use std::collections::HashMap;
use std::sync::Arc;

use super::Attr;
use super::types::{self, Type};
use crate::{DType, Fact, Tensor};

/// A value of an ONNX graph, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge(pub u32);

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// ONNX operator of the default domain.
    pub op: &'static str,
    /// Operands; `None` leaves out an optional one.
    pub inputs: Vec<Option<Edge>>,
    /// Results.
    pub outputs: Vec<Edge>,
    /// Attributes.
    pub attrs: Vec<(&'static str, Attr)>,
    /// Path of the model's node that this record belongs to.
    pub path: Arc<str>,
}

/// Nodes in an order that respects data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// Inputs: of the model, or of a loop's body.
    pub inputs: Vec<Edge>,
    /// Element types and dimensions of a loop's inputs; empty for other graphs.
    pub types: Vec<(DType, Vec<Option<usize>>)>,
    /// Nodes.
    pub nodes: Vec<Record>,
    /// Results.
    pub outputs: Vec<Edge>,
}

/// What is written of one walk: nodes of the graphs that are open, outermost first, and constants.
#[derive(Debug)]
pub(super) struct Book {
    next: u32,
    pub open: Vec<Body>,
    pub constants: Vec<(Edge, Tensor)>,
    /// Results without a form: the edge that stands for each, the node and the reason.
    pub missing: Vec<(Edge, Arc<str>, &'static str)>,
    by_bytes: HashMap<(usize, usize, Fact), Edge>,
    path: Arc<str>,
    types: HashMap<Edge, Type>,
}

impl Book {
    pub fn new() -> Book {
        Book {
            next: 0,
            open: vec![Body::default()],
            constants: Vec::new(),
            missing: Vec::new(),
            by_bytes: HashMap::new(),
            path: "".into(),
            types: HashMap::new(),
        }
    }

    /// A value without a producer yet.
    pub fn edge(&mut self) -> Edge {
        self.next += 1;
        Edge(self.next - 1)
    }

    /// A constant; the same bytes with the same shape are one constant.
    pub fn constant(&mut self, tensor: Tensor) -> Edge {
        let bytes = tensor.bytes();
        let key = (bytes.as_ptr() as usize, bytes.len(), tensor.fact());
        if let Some(&known) = self.by_bytes.get(&key) {
            return known;
        }
        let edge = self.edge();
        // An empty tensor has no address of its own.
        if !bytes.is_empty() {
            self.by_bytes.insert(key, edge);
        }
        self.types.insert(edge, Type::of(&tensor));
        self.constants.push((edge, tensor));
        edge
    }

    /// What is known of a value.
    pub fn type_of(&self, edge: Edge) -> Type {
        self.types.get(&edge).cloned().unwrap_or_default()
    }

    /// States what is known of a value.
    pub fn declare(&mut self, edge: Edge, ty: Type) {
        self.types.insert(edge, ty);
    }

    /// A result without a form.
    pub fn missing(&mut self, why: &'static str) -> Edge {
        let edge = self.edge();
        self.missing.push((edge, self.path.clone(), why));
        edge
    }

    /// The contents of a constant.
    pub fn known(&self, edge: Edge) -> Option<&Tensor> {
        let at = self.constants.binary_search_by_key(&edge, |c| c.0).ok()?;
        self.constants.get(at).map(|c| &c.1)
    }

    /// A node with `n` results in the innermost open graph.
    pub fn record(
        &mut self,
        op: &'static str,
        inputs: Vec<Option<Edge>>,
        attrs: Vec<(&'static str, Attr)>,
        n: usize,
    ) -> Vec<Edge> {
        let outputs: Vec<Edge> = (0..n).map(|_| self.edge()).collect();
        self.record_as(op, inputs, attrs, outputs.clone());
        outputs
    }

    /// A node with one result in the innermost open graph.
    pub fn record_one(
        &mut self,
        op: &'static str,
        inputs: Vec<Option<Edge>>,
        attrs: Vec<(&'static str, Attr)>,
    ) -> Edge {
        let output = self.edge();
        self.record_as(op, inputs, attrs, vec![output]);
        output
    }

    /// As [`Book::record`], with results that have no producer yet.
    pub fn record_as(
        &mut self,
        op: &'static str,
        inputs: Vec<Option<Edge>>,
        attrs: Vec<(&'static str, Attr)>,
        outputs: Vec<Edge>,
    ) {
        let ins: Vec<Option<&Type>> = inputs.iter().map(|e| e.and_then(|e| self.types.get(&e))).collect();
        let types = types::results(op, &ins, &attrs, outputs.len());
        self.types.extend(outputs.iter().copied().zip(types));
        if let Some(body) = self.open.last_mut() {
            body.nodes.push(Record { op, inputs, outputs, attrs, path: self.path.clone() });
        }
    }

    pub fn begin_node(&mut self, path: Arc<str>) {
        self.path = path;
    }

    /// Opens a graph inside of the current one.
    pub fn begin_body(&mut self) {
        self.open.push(Body::default());
    }

    /// Closes the innermost graph.
    pub fn end_body(&mut self) -> Body {
        self.open.pop().unwrap_or_default()
    }

    /// Whether the current graph is inside of another one.
    pub fn is_inside(&self) -> bool {
        self.open.len() > 1
    }

    /// Where the book is, to undo what follows.
    pub fn mark(&self) -> Mark {
        Mark { depth: self.open.len(), nodes: self.open.last().map_or(0, |b| b.nodes.len()) }
    }

    /// Forgets the nodes since `mark`.
    pub fn drop_since(&mut self, mark: Mark) {
        self.open.truncate(mark.depth);
        if let Some(body) = self.open.last_mut() {
            body.nodes.truncate(mark.nodes);
        }
    }
}

/// A place in a [`Book`].
#[derive(Clone, Copy)]
pub(super) struct Mark {
    depth: usize,
    nodes: usize,
}

/// Keeps only nodes whose results are read, here or by the graphs inside of kept nodes.
pub(super) fn drop_dead(body: &mut Body) {
    let mut live: std::collections::HashSet<Edge> = body.outputs.iter().copied().collect();
    let mut kept = Vec::with_capacity(body.nodes.len());
    for mut node in std::mem::take(&mut body.nodes).into_iter().rev() {
        if !node.outputs.iter().any(|o| live.contains(o)) {
            continue;
        }
        if trailing_are_optional(node.op) {
            let used = node.outputs.iter().rposition(|o| live.contains(o)).map_or(1, |last| last + 1);
            node.outputs.truncate(used);
        }
        live.extend(node.inputs.iter().flatten());
        for (_, attr) in &mut node.attrs {
            if let Attr::Body(inner) = attr {
                drop_dead(inner);
                reads(inner, &mut live);
            }
        }
        kept.push(node);
    }
    kept.reverse();
    body.nodes = kept;
}

/// Whether results of an operator may be left out from the end, but for the first.
fn trailing_are_optional(op: &str) -> bool {
    matches!(op, "LSTM" | "LayerNormalization" | "MaxPool")
}

/// Adds everything that a graph reads.
pub(super) fn reads(body: &Body, out: &mut std::collections::HashSet<Edge>) {
    out.extend(&body.outputs);
    for node in &body.nodes {
        out.extend(node.inputs.iter().flatten());
        for (_, attr) in &node.attrs {
            if let Attr::Body(inner) = attr {
                reads(inner, out);
            }
        }
    }
}
