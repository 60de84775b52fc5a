//! A model as records: its inputs, its results, and names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::body::{Body, Edge, drop_dead, reads};
use super::{Attr, ExportError, OPSETS, Unmapped};
use crate::graph::{Format, Model, Node, ValueId};
use crate::{DType, Dim, Spec, Tensor};

mod flow;
mod rounds;
mod walk;

use super::types::{Kind, Length};
use walk::{Given, Walk};

/// How to write a model.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The operator set, one of [`OPSETS`].
    pub opset: i64,
}

impl Default for Options {
    fn default() -> Options {
        Options { opset: *OPSETS.start() }
    }
}

/// A dimension of an input or result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Always this long.
    Fixed(usize),
    /// As long as every other dimension of this name.
    Named(String),
}

/// An input or result.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its value.
    pub edge: Edge,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: Vec<Dimension>,
}

/// A model as ONNX records.
#[derive(Debug)]
pub struct Exported {
    /// The operator set.
    pub opset: i64,
    /// Name of the graph.
    pub name: Arc<str>,
    /// The graph.
    pub body: Body,
    /// Inputs in call order.
    pub inputs: Vec<Port>,
    /// Results in order.
    pub outputs: Vec<Port>,
    /// Constants that the graph reads, weights included.
    pub constants: Vec<(Edge, Tensor)>,
    /// A name for every value, each another.
    pub names: HashMap<Edge, String>,
}

/// The inputs' types, and the names of their open dimensions.
pub(super) struct Inputs {
    pub kinds: Vec<Kind>,
    names: Vec<String>,
    /// Names that the model gives dimensions of inputs and results.
    declared: HashSet<String>,
}

impl Inputs {
    fn new(model: &Model) -> Result<Inputs, ExportError> {
        let graph = model.entry();
        let specs = graph.inputs.iter().chain(&graph.outputs).map(|id| &graph.value(*id).spec);
        let named =
            specs.flat_map(|spec| (0..spec.dims.as_ref().map_or(0, |d| d.len())).map(move |axis| name_of(spec, axis)));
        let mut inputs = Inputs { kinds: Vec::new(), names: Vec::new(), declared: named.flatten().collect() };
        for &id in &graph.inputs {
            let value = graph.value(id);
            let missing = |what: &str| ExportError::Input { name: value.name.to_string(), what: what.into() };
            value.spec.dtype.ok_or_else(|| missing("the file does not declare its element type"))?;
            let mut kind = Kind::declared(&value.spec).ok_or_else(|| missing("the file does not declare its rank"))?;
            for (axis, dim) in kind.dims.iter_mut().enumerate().filter(|(_, d)| **d == Length::Open) {
                *dim = Length::Named(inputs.names.len());
                let declared = name_of(&value.spec, axis);
                let made_up = || inputs.another(format!("{}_dim_{axis}", short(model, &value.name)));
                inputs.names.push(declared.unwrap_or_else(made_up));
            }
            inputs.kinds.push(kind);
        }
        Ok(inputs)
    }

    /// The dimensions of an input or result called `name`, of which the model declares `spec`.
    fn dimensions(&self, kind: &Kind, name: &str, spec: &Spec) -> Vec<Dimension> {
        let known = |d: &Length| if let Length::Named(i) = d { self.names.get(*i) } else { None };
        let dim = |(axis, d): (usize, &Length)| match (d.size(), known(d)) {
            (Some(n), _) => Dimension::Fixed(n),
            (None, Some(name)) => Dimension::Named(name.clone()),
            (None, None) => {
                let made_up = || self.another(format!("{name}_dim_{axis}"));
                Dimension::Named(name_of(spec, axis).unwrap_or_else(made_up))
            }
        };
        kind.dims.iter().enumerate().map(dim).collect()
    }

    /// `wish`, or a name like it that no dimension has.
    fn another(&self, wish: String) -> String {
        let taken = |name: &String| self.declared.contains(name) || self.names.contains(name);
        let others = (1..).map(|n| format!("{wish}_{n}"));
        std::iter::once(wish.clone()).chain(others).find(|name| !taken(name)).unwrap_or(wish)
    }
}

/// What the model calls a dimension.
fn name_of(spec: &Spec, axis: usize) -> Option<String> {
    match spec.dims.as_ref()?.get(axis)? {
        Dim::Named(name) => Some(name.to_string()),
        _ => None,
    }
}

/// The last part of a name such as `model:x`, unless that is only a number. Names of ONNX files have no parts.
fn short<'a>(model: &Model, name: &'a str) -> &'a str {
    let last = name.rsplit(':').next().unwrap_or(name);
    let is_whole = matches!(model.origin.format, Format::Onnx { .. }) || last.bytes().all(|b| b.is_ascii_digit());
    if is_whole { name } else { last }
}

/// The model as ONNX records.
///
/// # Errors
/// [`ExportError::Nodes`] naming every node without an ONNX form.
pub fn export(model: &Model, options: Options) -> Result<Exported, ExportError> {
    if !OPSETS.contains(&options.opset) {
        return Err(ExportError::Opset(options.opset));
    }
    let graph = model.entry();
    let declared = Inputs::new(model)?;
    let mut walk = Walk::new(model, options.opset);
    let inputs = walk.inputs(&declared.kinds);
    let results = walk.run(&inputs).map_err(ExportError::Nodes)?;
    let book = walk.finish().map_err(ExportError::Nodes)?;
    let mut body = book.body;
    body.inputs = inputs.iter().filter_map(|g| g.edge).collect();
    let names = output_names(model);
    let port = |(((edge, given), name), id): (((&Edge, &Given), &String), &ValueId)| Port {
        edge: *edge,
        dtype: given.kind.dtype,
        dims: declared.dimensions(&given.kind, name, &graph.value(*id).spec),
    };
    let outputs: Vec<Port> = book.outputs.iter().zip(&results).zip(&names).zip(&graph.outputs).map(port).collect();
    let input_names: Vec<String> =
        graph.inputs.iter().map(|id| short(model, &graph.value(*id).name).to_string()).collect();
    let inputs: Vec<Port> = body.inputs.iter().zip(&inputs).zip(&input_names).zip(&graph.inputs).map(port).collect();
    body.outputs = book.outputs;
    drop_dead(&mut body);
    let mut live = HashSet::new();
    reads(&body, &mut live);
    let read = book.missing.iter().filter(|m| live.contains(&m.0));
    let problems: Vec<_> =
        read.map(|m| Unmapped { path: m.1.clone(), op: String::new(), reason: m.2.into() }).collect();
    if !problems.is_empty() {
        return Err(ExportError::Nodes(problems));
    }
    let constants: Vec<_> = book.constants.into_iter().filter(|c| live.contains(&c.0)).collect();
    let names = name_all(model, &body, &inputs, &outputs, &names, &constants);
    Ok(Exported { opset: options.opset, name: graph.name.clone(), body, inputs, outputs, constants, names })
}

/// Names of the results: those that they have, or `output` and a number where nobody gave them one.
fn output_names(model: &Model) -> Vec<String> {
    let graph = model.entry();
    let wanted: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let made = graph.nodes.iter().flat_map(|node| node.outputs.iter().map(move |id| (*id, node)));
    let makers: HashMap<ValueId, &Node> = made.filter(|(id, _)| wanted.contains(id)).collect();
    let mut named = HashSet::new();
    let given = |id: &ValueId| {
        let name = &*graph.value(*id).name;
        let is_given = makers.get(id).is_some_and(|node| !model.is_numbered(name, node.op_name()));
        (is_given && named.insert(*id)).then(|| short(model, name).to_string())
    };
    let given: Vec<Option<String>> = graph.outputs.iter().map(given).collect();
    let inputs = graph.inputs.iter().map(|id| short(model, &graph.value(*id).name).to_string());
    let taken: HashSet<String> = given.iter().flatten().cloned().chain(inputs).collect();
    let made_up = |i: usize| {
        let wish = if graph.outputs.len() == 1 { "output".into() } else { format!("output_{i}") };
        let others = (1..).map(|n| format!("{wish}_{n}"));
        std::iter::once(wish.clone()).chain(others).find(|name| !taken.contains(name)).unwrap_or(wish)
    };
    given.iter().enumerate().map(|(i, name)| name.clone().unwrap_or_else(|| made_up(i))).collect()
}

/// A name for every value: inputs and parameters keep theirs.
fn name_all(
    model: &Model,
    body: &Body,
    inputs: &[Port],
    outputs: &[Port],
    output_names: &[String],
    constants: &[(Edge, Tensor)],
) -> HashMap<Edge, String> {
    let mut names = Names::default();
    let graph = model.entry();
    for (port, id) in inputs.iter().zip(&graph.inputs) {
        names.give(port.edge, short(model, &graph.value(*id).name));
    }
    for (port, name) in outputs.iter().zip(output_names) {
        names.give(port.edge, name);
    }
    let at = |t: &Tensor| (t.bytes().as_ptr() as usize, t.bytes().len());
    let params: HashMap<_, _> = model.params.iter().map(|p| (at(&p.tensor), &p.name)).collect();
    for (edge, tensor) in constants {
        match params.get(&at(tensor)) {
            Some(name) => names.give(*edge, name),
            None => names.give(*edge, "constant"),
        }
    }
    names.body(body);
    names.by_edge
}

#[derive(Default)]
struct Names {
    by_edge: HashMap<Edge, String>,
    taken: HashMap<String, usize>,
}

impl Names {
    fn give(&mut self, edge: Edge, wish: &str) {
        if self.by_edge.contains_key(&edge) {
            return;
        }
        let wish = if wish.is_empty() { "value" } else { wish };
        let mut name = wish.to_string();
        while self.taken.contains_key(&name) {
            let count = self.taken.entry(wish.to_string()).or_insert(0);
            *count += 1;
            name = format!("{wish}_{count}");
        }
        self.taken.insert(name.clone(), 0);
        self.by_edge.insert(edge, name);
    }

    fn body(&mut self, body: &Body) {
        body.inputs.iter().for_each(|e| self.give(*e, "state"));
        for node in &body.nodes {
            for (i, edge) in node.outputs.iter().enumerate() {
                let which = if i == 0 { String::new() } else { format!(".{i}") };
                self.give(*edge, &format!("{}/{}{which}", node.path, node.op));
            }
            for (_, attr) in &node.attrs {
                if let Attr::Body(inner) = attr {
                    self.body(inner);
                }
            }
        }
    }
}
