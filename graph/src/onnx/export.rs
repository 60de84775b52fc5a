//! A model as records: sizes for open dimensions, names, and what the walk gives.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::body::{Body, Edge, drop_dead, reads};
use super::{Attr, ExportError, OPSETS, Unmapped};
use crate::graph::Model;
use crate::{DType, Dim, Fact, Tensor};

mod flow;
mod walk;

use walk::{Failure, Walk};

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

/// Two sizes for every open dimension, by symbol; the sets are tried in order. Both differ in parity where that matters to
/// windows, and the last set suits networks that halve images again and again.
pub const SIZES: [[[usize; 8]; 2]; 3] = [
    [[3, 5, 7, 11, 13, 17, 19, 23], [4, 6, 9, 10, 14, 15, 21, 22]],
    [[65, 77, 91, 101, 115, 123, 139, 149], [98, 110, 134, 128, 146, 152, 166, 174]],
    [[64, 96, 160, 224, 288, 352, 416, 480], [128, 192, 256, 320, 384, 448, 512, 544]],
];

/// Which open dimensions are taken to be as long as each other.
#[derive(Clone, Copy)]
enum Ties {
    /// None.
    Apart,
    /// Those at the same place of every input.
    ByAxis,
    /// All.
    Together,
}

/// The inputs' facts for each walk, and the name of every open dimension.
pub(super) struct Probe {
    pub facts: Vec<[Fact; 2]>,
    pub dims: Vec<Vec<Dimension>>,
    pub open: bool,
    /// For each symbol its two sizes and its name.
    symbols: Vec<([usize; 2], String)>,
}

impl Probe {
    fn new(model: &Model, ties: Ties, sizes: &[[usize; 8]; 2]) -> Result<Probe, ExportError> {
        let graph = model.entry();
        let mut probe = Probe { facts: Vec::new(), dims: Vec::new(), open: false, symbols: Vec::new() };
        for &id in &graph.inputs {
            let value = graph.value(id);
            let missing = |what: &str| ExportError::Input { name: value.name.to_string(), what: what.into() };
            let dtype = value.spec.dtype.ok_or_else(|| missing("the file does not declare its element type"))?;
            let spec = value.spec.dims.as_ref().ok_or_else(|| missing("the file does not declare its rank"))?;
            let mut facts = [Fact::new(dtype, &[]), Fact::new(dtype, &[])];
            let mut dims = Vec::new();
            for (axis, dim) in spec.iter().enumerate() {
                let (lens, dim) = match dim {
                    Dim::Known(n) => ([*n; 2], Dimension::Fixed(*n)),
                    Dim::Unknown => {
                        let name = match ties {
                            Ties::Apart => format!("{}_dim_{axis}", short(&value.name)),
                            Ties::ByAxis => format!("dim_{axis}"),
                            Ties::Together => "dim".into(),
                        };
                        (probe.symbol(&name, sizes), Dimension::Named(name))
                    }
                };
                facts.iter_mut().zip(lens).for_each(|(f, n)| f.shape.push(n));
                dims.push(dim);
            }
            probe.facts.push(facts);
            probe.dims.push(dims);
        }
        Ok(probe)
    }

    fn symbol(&mut self, name: &str, sizes: &[[usize; 8]; 2]) -> [usize; 2] {
        self.open = true;
        if let Some(known) = self.symbols.iter().find(|s| s.1 == name) {
            return known.0;
        }
        let at = self.symbols.len();
        let lens = [0, 1].map(|i| sizes[i][at % 8] + 64 * (at / 8));
        self.symbols.push((lens, name.to_string()));
        lens
    }

    /// The dimensions of a result with these facts.
    fn result(&self, facts: &[Fact], name: &str) -> Vec<Dimension> {
        let (a, b) = (&facts[0], facts.last().unwrap_or(&facts[0]));
        let dim = |(axis, (&x, &y)): (usize, (&usize, &usize))| {
            if x == y {
                return Dimension::Fixed(x);
            }
            let known = self.symbols.iter().find(|s| s.0 == [x, y]).map(|s| s.1.clone());
            Dimension::Named(known.unwrap_or_else(|| format!("{name}_dim_{axis}")))
        };
        a.shape.iter().zip(&b.shape).enumerate().map(dim).collect()
    }
}

/// The last part of a name such as `model:x`.
fn short(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The model as ONNX records.
///
/// # Errors
/// [`ExportError::Nodes`] naming every node without an ONNX form.
pub fn export(model: &Model, options: Options) -> Result<Exported, ExportError> {
    if !OPSETS.contains(&options.opset) {
        return Err(ExportError::Opset(options.opset));
    }
    let mut first = None;
    for sizes in &SIZES {
        for ties in [Ties::Apart, Ties::ByAxis, Ties::Together] {
            let probe = Probe::new(model, ties, sizes)?;
            match attempt(model, options, &probe) {
                Ok(done) => return Ok(done),
                Err(Failure::Final(problems)) => return Err(ExportError::Nodes(problems)),
                Err(Failure::Sizes(problems)) if !probe.open => return Err(ExportError::Nodes(problems)),
                Err(Failure::Sizes(problems)) => first = first.or(Some(problems)),
            }
        }
    }
    Err(ExportError::Nodes(first.unwrap_or_default()))
}

fn attempt(model: &Model, options: Options, probe: &Probe) -> Result<Exported, Failure> {
    let graph = model.entry();
    let mut walk = Walk::new(model, options.opset, probe.open);
    let inputs = walk.inputs(&probe.facts);
    let results = walk.run(&inputs)?;
    let book = walk.finish()?;
    let mut body = book.body;
    body.inputs = inputs.iter().filter_map(|g| g.edge).collect();
    let names = output_names(results.len());
    let mut outputs = Vec::new();
    for (given, name) in results.iter().zip(&names) {
        let edge = book.outputs[outputs.len()];
        let dims = probe.result(&given.facts, name);
        outputs.push(Port { edge, dtype: given.facts[0].dtype, dims });
    }
    body.outputs = book.outputs;
    drop_dead(&mut body);
    let mut live = HashSet::new();
    reads(&body, &mut live);
    let read = book.missing.iter().filter(|m| live.contains(&m.0));
    let problems: Vec<_> =
        read.map(|m| Unmapped { path: m.1.clone(), op: String::new(), reason: m.2.into() }).collect();
    if !problems.is_empty() {
        return Err(Failure::Final(problems));
    }
    let constants: Vec<_> = book.constants.into_iter().filter(|c| live.contains(&c.0)).collect();
    let port = |(i, g): (usize, &walk::Given)| {
        let edge = g.edge?;
        Some(Port { edge, dtype: g.facts[0].dtype, dims: probe.dims[i].clone() })
    };
    let inputs: Vec<Port> = inputs.iter().enumerate().filter_map(port).collect();
    let names = name_all(model, &body, &inputs, &outputs, &names, &constants);
    Ok(Exported { opset: options.opset, name: graph.name.clone(), body, inputs, outputs, constants, names })
}

fn output_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["output".into()],
        n => (0..n).map(|i| format!("output_{i}")).collect(),
    }
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
        names.give(port.edge, short(&graph.value(*id).name));
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
