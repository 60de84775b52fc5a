//! The walk over an ONNX graph's nodes.

use std::collections::{BTreeMap, HashMap, HashSet};

use mindir_graph::{Tensor, builder::Builder, graph::Model, onnx::from_data_type};
use mindir_proto::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::{
    flow,
    import::{Call, Import, Steps, Val, fits},
    ops,
    types::{Extent, Type},
};
use crate::{error::LoadError, limits::Limits, printable::Printable};

/// What a graph declares about an input; it need not declare a shape, and dimensions without a length are open.
fn declared(value: &ValueInfoProto, max_rank: usize) -> Result<Type, String> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or("it is no tensor")?;
    let code = tensor.elem_type.unwrap_or_default();
    let dtype = from_data_type(code).ok_or_else(|| format!("element type {code} is not supported"))?;
    let Some(shape) = tensor.shape.as_ref() else { return Ok(Type::new(dtype, None)) };
    if shape.dim.len() > max_rank {
        return Err(format!("{} dimensions where the limit is {max_rank}", shape.dim.len()));
    }
    let length = |d: &mindir_proto::onnx::DimensionProto| match d.dim_value {
        Some(n) if n >= 0 => Extent::Fixed(n),
        _ => Extent::Open,
    };
    let ty = Type::new(dtype, shape.dim.iter().map(length).collect::<Vec<_>>());
    ty.fact().as_ref().map_or(Ok(()), fits)?;
    Ok(ty)
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
    let mut attempt = Attempt::new(graph, opset, limits).map_err(|what| structure(file, what))?;
    attempt.constants(&initializers);
    attempt.run(graph).map_err(|problems| unsupported(file, &problems))?;
    let mut model = attempt.finish(graph).map_err(|what| structure(file, what))?;
    model.origin.producer = proto.producer_name.clone().unwrap_or_default();
    model.origin.version = proto.producer_version.clone().unwrap_or_default();
    Ok(model)
}

fn structure(file: &str, what: String) -> LoadError {
    LoadError::Structure { file: file.to_string(), what }
}

fn unsupported(file: &str, problems: &[String]) -> LoadError {
    let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
    LoadError::Unsupported { file: file.to_string(), what: format!("{} nodes:{list}", problems.len()) }
}

/// Loops inside of loops are walked anew for each change of a rank outside; this bounds the time that takes.
const MOST_RETRIES: usize = 64;

/// A walk over a graph.
pub(super) struct Attempt {
    pub import: Import,
    /// The values that the current graph may read.
    pub values: HashMap<String, Val>,
    opset: i64,
    pub max_rank: usize,
    /// How often the body of a loop may still be walked anew.
    pub retries: usize,
}

/// What went wrong in a graph, one complaint for each node.
pub(super) type Problems = Vec<String>;

impl Attempt {
    fn new(graph: &GraphProto, opset: i64, limits: &Limits) -> Result<Attempt, String> {
        let given: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let mut import = Import::new(Builder::new(graph.name.as_deref().unwrap_or("graph")));
        let mut values = HashMap::new();
        for value in &graph.input {
            let name = value.name.clone().unwrap_or_default();
            if given.contains(name.as_str()) {
                continue;
            }
            let ty = declared(value, limits.max_rank).map_err(|e| format!("input {}: {e}", Printable(&name)))?;
            let val = import.input(&name, ty);
            if values.insert(name.clone(), val).is_some() {
                return Err(format!("two inputs are called {}", Printable(&name)));
            }
        }
        Ok(Attempt { import, values, opset, max_rank: limits.max_rank, retries: MOST_RETRIES })
    }

    fn constants(&mut self, initializers: &BTreeMap<String, Tensor>) {
        for (name, tensor) in initializers {
            let val = self.import.named(tensor.clone(), name);
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
