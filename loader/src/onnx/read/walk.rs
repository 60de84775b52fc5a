//! The walk over an ONNX graph's nodes.
//!
//! A model with open dimensions is walked with two sizes for each; what differs between both is not known.

use std::collections::{BTreeMap, HashMap, HashSet};

use mindir_graph::{
    DType, Fact, Tensor,
    builder::Builder,
    graph::Model,
    onnx::{SIZES, from_data_type},
};
use mindir_proto::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::{
    flow,
    import::{Call, Import, Steps, Val, fits},
    ops,
};
use crate::{error::LoadError, limits::Limits, printable::Printable};

/// What a graph declares about an input: the element type and for each dimension its length, its name, or neither.
fn declared(value: &ValueInfoProto, max_rank: usize) -> Result<(DType, Vec<Result<usize, String>>), String> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or("it is no tensor")?;
    let code = tensor.elem_type.unwrap_or_default();
    let dtype = from_data_type(code).ok_or_else(|| format!("element type {code} is not supported"))?;
    let shape = tensor.shape.as_ref().ok_or("the file does not declare its rank")?;
    if shape.dim.len() > max_rank {
        return Err(format!("{} dimensions where the limit is {max_rank}", shape.dim.len()));
    }
    let name = value.name.as_deref().unwrap_or_default();
    let dim = |(axis, d): (usize, &mindir_proto::onnx::DimensionProto)| match (d.dim_value, d.dim_param.as_deref()) {
        (Some(n), _) if n >= 0 => usize::try_from(n).map_err(|_| name.to_string()),
        (_, Some(symbol)) if !symbol.is_empty() => Err(symbol.to_string()),
        _ => Err(format!("{name}.{axis}")),
    };
    Ok((dtype, shape.dim.iter().enumerate().map(dim).collect()))
}

/// The model of the graph `graph`.
pub(super) fn model(
    file: &str,
    proto: &ModelProto,
    graph: &GraphProto,
    opset: i64,
    initializers: BTreeMap<String, Tensor>,
    limits: &Limits,
) -> Result<Model, LoadError> {
    let mut first = None;
    for sizes in &SIZES {
        let mut attempt = Attempt::new(graph, opset, limits, sizes).map_err(|what| structure(file, what))?;
        attempt.constants(&initializers);
        match attempt.run(graph) {
            Ok(()) => {
                let mut model = attempt.finish(graph).map_err(|what| structure(file, what))?;
                model.origin.producer = proto.producer_name.clone().unwrap_or_default();
                model.origin.version = proto.producer_version.clone().unwrap_or_default();
                return Ok(model);
            }
            Err(problems) if attempt.open => first = first.or(Some(problems)),
            Err(problems) => return Err(unsupported(file, &problems)),
        }
    }
    Err(unsupported(file, &first.unwrap_or_default()))
}

fn structure(file: &str, what: String) -> LoadError {
    LoadError::Structure { file: file.to_string(), what }
}

fn unsupported(file: &str, problems: &[String]) -> LoadError {
    let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
    LoadError::Unsupported { file: file.to_string(), what: format!("{} nodes:{list}", problems.len()) }
}

/// A walk with one or two sets of sizes.
pub(super) struct Attempt {
    pub import: Import,
    /// The values that the current graph may read.
    pub values: HashMap<String, Val>,
    opset: i64,
    pub max_rank: usize,
    open: bool,
}

/// What went wrong in a graph, one complaint for each node.
pub(super) type Problems = Vec<String>;

impl Attempt {
    fn new(graph: &GraphProto, opset: i64, limits: &Limits, sizes: &[[usize; 8]; 2]) -> Result<Attempt, String> {
        let given: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let name = |v: &ValueInfoProto| v.name.clone().unwrap_or_default();
        let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(|v| !given.contains(name(v).as_str())).collect();
        let mut specs = Vec::new();
        for value in &inputs {
            let spec =
                declared(value, limits.max_rank).map_err(|e| format!("input {}: {e}", Printable(&name(value))))?;
            specs.push(spec);
        }
        let mut symbols: Vec<&String> = Vec::new();
        for symbol in specs.iter().flat_map(|s| s.1.iter().filter_map(|d| d.as_ref().err())) {
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
        }
        let open = !symbols.is_empty();
        let walks = if open { 2 } else { 1 };
        let mut import = Import::new(Builder::new(graph.name.as_deref().unwrap_or("graph")), walks);
        let mut values = HashMap::new();
        for (value, (dtype, dims)) in inputs.iter().zip(&specs) {
            let length = |walk: usize, d: &Result<usize, String>| match d {
                Ok(n) => *n,
                Err(symbol) => {
                    let at = symbols.iter().position(|s| *s == symbol).unwrap_or(0);
                    let base = sizes.get(walk).and_then(|s| s.get(at % 8)).copied().unwrap_or(1);
                    base + 64 * (at / 8)
                }
            };
            let fact = |walk| Fact { dtype: *dtype, shape: dims.iter().map(|d| length(walk, d)).collect() };
            let facts: Vec<Fact> = (0..walks).map(fact).collect();
            facts.iter().try_for_each(fits).map_err(|e| format!("input {}: {e}", Printable(&name(value))))?;
            let val = import.input(&name(value), facts);
            if values.insert(name(value), val).is_some() {
                return Err(format!("two inputs are called {}", Printable(&name(value))));
            }
        }
        Ok(Attempt { import, values, opset, max_rank: limits.max_rank, open })
    }

    fn constants(&mut self, initializers: &BTreeMap<String, Tensor>) {
        for (name, tensor) in initializers {
            let val = self.import.named(tensor.clone(), Some(name.clone()));
            self.values.insert(name.clone(), val);
        }
    }

    /// Walks all nodes; gives every complaint.
    pub fn run(&mut self, graph: &GraphProto) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut lost: HashSet<&str> = HashSet::new();
        for (at, node) in graph.node.iter().enumerate() {
            let cut_off = !lost.is_disjoint(&flow::reads(node));
            let known = Kind::of(node).is_some();
            // What follows from a node that failed is not its own fault.
            let outcome = if cut_off && known { Err(Vec::new()) } else { self.node(at, node) };
            if let Err(why) = outcome {
                lost.extend(node.output.iter().map(String::as_str));
                problems.extend(why);
            }
        }
        if problems.is_empty() && lost.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn node(&mut self, at: usize, node: &NodeProto) -> Result<(), Problems> {
        let op = node.op_type.as_deref().unwrap_or_default();
        let label = node.name.as_deref().filter(|n| !n.is_empty()).map_or_else(|| format!("node {at}"), str::to_string);
        let fail = |why: String| format!("{}: {}: {why}", Printable(&label), Printable(op));
        let results = self.results(node, &label).map_err(|stop| match stop {
            Stop::Node(why) => vec![fail(why)],
            Stop::Inside(problems) => problems,
        })?;
        for (i, name) in node.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            let val = results.get(i).cloned().ok_or_else(|| vec![fail(format!("result {i} is not supported"))])?;
            if self.values.insert(name.clone(), val).is_some() {
                return Err(vec![fail(format!("two values are called {}", Printable(name)))]);
            }
        }
        Ok(())
    }

    fn results(&mut self, node: &NodeProto, label: &str) -> Result<Vec<Val>, Stop> {
        let kind = Kind::of(node).ok_or_else(|| Stop::Node("this operator is not supported".into()))?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            let found = self.values.get(name.as_str()).cloned();
            if found.is_none() && !name.is_empty() {
                return Err(Stop::Node(format!("value {} is read before it exists", Printable(name))));
            }
            inputs.push(found);
        }
        self.import.builder.scope(label);
        let call = Call { node, inputs, opset: self.opset, max_rank: self.max_rank };
        let here = self.import.builder.current();
        let outcome = match kind {
            Kind::Op(build) => build(&mut self.import, &call).map_err(Stop::Node),
            Kind::If => flow::choose(self, &call),
            Kind::Loop => flow::repeat(self, &call),
        };
        while outcome.is_err() && self.import.builder.current() != here {
            self.import.builder.end(&[]);
        }
        outcome
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Model, String> {
        let mut outputs = Vec::new();
        for value in &graph.output {
            let name = value.name.as_deref().unwrap_or_default();
            let val = self.values.get(name).cloned();
            let val = val.ok_or_else(|| format!("there is no value for result {}", Printable(name)))?;
            outputs.push(self.import.value(&val));
        }
        Ok(self.import.builder.finish(&outputs))
    }
}

/// Why a node has no results.
pub(super) enum Stop {
    /// What is wrong with it.
    Node(String),
    /// What is wrong with the nodes of a graph inside of it.
    Inside(Problems),
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop::Node(why)
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Stop {
        Stop::Node(why.into())
    }
}

/// How the results of a node come about.
enum Kind {
    Op(fn(&mut Import, &Call) -> Steps),
    If,
    Loop,
}

impl Kind {
    fn of(node: &NodeProto) -> Option<Kind> {
        let domain = node.domain.as_deref().unwrap_or_default();
        match (domain, node.op_type.as_deref().unwrap_or_default()) {
            ("" | "ai.onnx", "If") => Some(Kind::If),
            ("" | "ai.onnx", "Loop") => Some(Kind::Loop),
            (domain, op) => ops::find(domain, op).map(Kind::Op),
        }
    }
}
