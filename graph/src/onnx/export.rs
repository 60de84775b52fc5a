//! A model as records: its inputs, its results, and names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::body::{Body, Edge, drop_dead, reads};
use super::{Attr, ExportError, OPSETS, Unmapped};
use crate::graph::{Def, Format, Model, ValueId};
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
    /// Whether parameters that the model writes are inputs of their names, which may be left out where they hold what the model
    /// has, and what they hold afterwards results called `NAME_out`.
    pub state_as_io: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { opset: *OPSETS.start(), state_as_io: false }
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
    /// Inputs in call order, those of state last.
    pub inputs: Vec<Port>,
    /// Results in order, those of state last.
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
    /// Names of dimensions: those that the model gives, and those that are made up.
    taken: Taken,
}

impl Inputs {
    fn new(model: &Model) -> Result<Inputs, ExportError> {
        let graph = model.entry();
        let specs = graph.inputs.iter().chain(&graph.outputs).map(|id| &graph.value(*id).spec);
        let named =
            specs.flat_map(|spec| (0..spec.dims.as_ref().map_or(0, |d| d.len())).map(move |axis| name_of(spec, axis)));
        let mut inputs = Inputs { kinds: Vec::new(), names: Vec::new(), taken: Taken::of(named.flatten()) };
        for &id in &graph.inputs {
            let value = graph.value(id);
            let missing = |what: &str| ExportError::Input { name: value.name.to_string(), what: what.into() };
            value.spec.dtype.ok_or_else(|| missing("the file does not declare its element type"))?;
            let mut kind = Kind::declared(&value.spec).ok_or_else(|| missing("the file does not declare its rank"))?;
            for (axis, dim) in kind.dims.iter_mut().enumerate().filter(|(_, d)| **d == Length::Open) {
                *dim = Length::Named(inputs.names.len());
                let made_up = || inputs.taken.another(&format!("{}_dim_{axis}", short(model, &value.name)));
                inputs.names.push(name_of(&value.spec, axis).unwrap_or_else(made_up));
            }
            inputs.kinds.push(kind);
        }
        Ok(inputs)
    }

    /// The dimensions of an input or result called `name`, of which the model declares `spec`.
    fn dimensions(&mut self, kind: &Kind, name: &str, spec: &Spec) -> Vec<Dimension> {
        let known = |d: &Length| if let Length::Named(i) = d { self.names.get(*i) } else { None };
        let dim = |(axis, d): (usize, &Length)| match (d.size(), known(d)) {
            (Some(n), _) => Dimension::Fixed(n),
            (None, Some(name)) => Dimension::Named(name.clone()),
            (None, None) => {
                let made_up = || self.taken.another(&format!("{name}_dim_{axis}"));
                Dimension::Named(name_of(spec, axis).unwrap_or_else(made_up))
            }
        };
        kind.dims.iter().enumerate().map(dim).collect()
    }
}

/// Names that are taken, with how many others were made of each.
#[derive(Default)]
struct Taken(HashMap<String, usize>);

impl Taken {
    fn of(names: impl IntoIterator<Item = String>) -> Taken {
        Taken(names.into_iter().map(|name| (name, 0)).collect())
    }

    /// Takes `wish`, or it with a number where that is taken already.
    fn another(&mut self, wish: &str) -> String {
        let mut name = wish.to_string();
        while self.0.contains_key(&name) {
            let count = self.0.entry(wish.to_string()).or_insert(0);
            *count += 1;
            name = format!("{wish}_{count}");
        }
        self.0.insert(name.clone(), 0);
        name
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
    let mut declared = Inputs::new(model)?;
    let mut walk = Walk::new(model, options.opset);
    let inputs = walk.inputs(&declared.kinds);
    let held = if options.state_as_io { walk.hold() } else { Vec::new() };
    let results = walk.run(&inputs).map_err(ExportError::Nodes)?;
    let book = walk.finish().map_err(ExportError::Nodes)?;
    let mut body = book.body;
    body.inputs = inputs.iter().filter_map(|g| g.edge).collect();
    let mut names = output_names(model);
    let mut port = |(((edge, given), name), id): (((&Edge, &Given), &String), &ValueId)| Port {
        edge: *edge,
        dtype: given.kind.dtype,
        dims: declared.dimensions(&given.kind, name, &graph.value(*id).spec),
    };
    let mut outputs: Vec<Port> =
        book.outputs.iter().zip(&results).zip(&names).zip(&graph.outputs).map(&mut port).collect();
    let mut input_names: Vec<String> =
        graph.inputs.iter().map(|id| short(model, &graph.value(*id).name).to_string()).collect();
    let mut inputs: Vec<Port> =
        body.inputs.iter().zip(&inputs).zip(&input_names).zip(&graph.inputs).map(port).collect();
    for ((param, given), after) in held.iter().zip(book.outputs.iter().skip(results.len())) {
        let dims = given.kind.stand_in().shape.iter().map(|d| Dimension::Fixed(*d)).collect();
        let before = Port { edge: given.edge.unwrap_or(*after), dtype: given.kind.dtype, dims };
        outputs.push(Port { edge: *after, ..before.clone() });
        names.push(format!("{}_out", param.name));
        input_names.push(param.name.to_string());
        body.inputs.push(before.edge);
        inputs.push(before);
    }
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
    let mut constants: Vec<_> = book.constants.into_iter().filter(|c| live.contains(&c.0)).collect();
    constants.extend(held.iter().filter_map(|(param, given)| Some((given.edge?, param.tensor.clone()))));
    let ports = inputs.iter().zip(&input_names).chain(outputs.iter().zip(&names));
    let names = name_all(model, &body, ports, &constants);
    Ok(Exported { opset: options.opset, name: graph.name.clone(), body, inputs, outputs, constants, names })
}

/// Names of the results: those that they have, or `output` and a number where nobody gave them one or it is that of an input,
/// a weight or another result.
fn output_names(model: &Model) -> Vec<String> {
    let graph = model.entry();
    let mut named = HashSet::new();
    let given = |(id, name): (&ValueId, Option<&str>)| {
        let is_own = matches!(graph.value(*id).def, Def::Node | Def::Const(_));
        name.filter(|_| is_own && named.insert(*id)).map(|name| short(model, name).to_string())
    };
    let given: Vec<Option<String>> = graph.outputs.iter().zip(model.result_names()).map(given).collect();
    let inputs = graph.inputs.iter().map(|id| short(model, &graph.value(*id).name).to_string());
    let mut taken = Taken::of(given.iter().flatten().cloned().chain(inputs));
    let mut made_up = |i: usize| match graph.outputs.len() {
        1 => taken.another("output"),
        _ => taken.another(&format!("output_{i}")),
    };
    given.into_iter().enumerate().map(|(i, name)| name.unwrap_or_else(|| made_up(i))).collect()
}

/// A name for every value: inputs and parameters keep theirs.
fn name_all<'a>(
    model: &Model,
    body: &Body,
    ports: impl Iterator<Item = (&'a Port, &'a String)>,
    constants: &[(Edge, Tensor)],
) -> HashMap<Edge, String> {
    let mut names = Names::default();
    ports.for_each(|(port, name)| names.give(port.edge, name));
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
    taken: Taken,
}

impl Names {
    fn give(&mut self, edge: Edge, wish: &str) {
        if self.by_edge.contains_key(&edge) {
            return;
        }
        let name = self.taken.another(if wish.is_empty() { "value" } else { wish });
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
