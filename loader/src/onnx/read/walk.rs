//! The walk over an ONNX graph's nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use mindir_graph::builder::Builder;
use mindir_graph::graph::{Format, Model, Origin};
use mindir_graph::onnx::from_data_type;
use mindir_graph::{DType, Tensor};
use mindir_proto::onnx::{
    DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeProto, ValueInfoProto,
};
use mindir_proto::prost::Message;

use super::function::{self, Functions};
use super::import::{Call, Import, Steps, Val, fits};
use super::narrow::{self, Narrow};
use super::problem::{Problem, Problems, Stop, together};
use super::types::{Length, Type};
use super::weights::{STRING, Weights};
use super::{flow, ops, scanning};
use crate::Printable;
use crate::error::LoadError;
use crate::limits::Limits;

/// ONNX's number for an element type that is not stated.
const UNDEFINED: i32 = 0;

/// The element type with this number.
fn element_type(code: i32) -> Result<DType, Problem> {
    let name = |code| if code == STRING { "string".to_string() } else { format!("{code}") };
    from_data_type(code).ok_or_else(|| format!("element type {} is not supported", name(code)).into())
}

/// What kind of value, other than a tensor, a type is of.
fn other_kind(ty: &TypeProto) -> Option<&'static str> {
    let kinds = [
        ("a sequence", &ty.sequence_type),
        ("a map", &ty.map_type),
        ("an opaque value", &ty.opaque_type),
        ("a sparse tensor", &ty.sparse_tensor_type),
        ("an optional value", &ty.optional_type),
    ];
    kinds.into_iter().find(|(_, ty)| ty.is_some()).map(|(kind, _)| kind)
}

/// What a graph declares about an input; it need not declare a shape, and dimensions without a length are open.
fn declared(value: &ValueInfoProto, max_rank: usize) -> Result<Type, Problem> {
    let damaged = |why: String| Problem::Damaged(why);
    let ty = value.r#type.as_ref();
    if let Some(kind) = ty.and_then(other_kind) {
        return Err(format!("it is {kind}; only tensors are supported").into());
    }
    let tensor = ty.and_then(|t| t.tensor_type.as_ref()).ok_or_else(|| damaged("it is no tensor".into()))?;
    let dtype = element_type(tensor.elem_type.unwrap_or_default())?;
    let Some(shape) = tensor.shape.as_ref() else { return Ok(Type::new(dtype, None)) };
    if shape.dim.len() > max_rank {
        return Err(damaged(format!("{} dimensions where the limit is {max_rank}", shape.dim.len())));
    }
    let length = |d: &DimensionProto| match d.dim_value {
        Some(n) if n >= 0 => Length::Fixed(n),
        _ => Length::Open,
    };
    let ty = Type::new(dtype, shape.dim.iter().map(length).collect::<Vec<_>>());
    ty.fact().as_ref().map_or(Ok(()), fits).map_err(damaged)?;
    Ok(ty)
}

/// The names that the file gives the dimensions of an input or result.
fn names_of(value: &ValueInfoProto) -> Vec<Option<Arc<str>>> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let name = |d: &DimensionProto| d.dim_param.as_deref().filter(|name| !name.is_empty()).map(Arc::from);
    tensor.and_then(|t| t.shape.as_ref()).map_or(Vec::new(), |shape| shape.dim.iter().map(name).collect())
}

/// Checks that a result of element type `dtype` may be declared so.
fn check_declared(value: &ValueInfoProto, dtype: DType) -> Result<(), Problem> {
    let Some(ty) = value.r#type.as_ref() else { return Ok(()) };
    let wrong = |declared: String| Problem::Damaged(format!("{declared} is declared, and {dtype} is computed"));
    if let Some(kind) = other_kind(ty) {
        return Err(wrong(kind.into()));
    }
    let code = ty.tensor_type.as_ref().and_then(|t| t.elem_type).unwrap_or_default();
    match from_data_type(code) {
        _ if code == UNDEFINED => Ok(()),
        Some(declared) if declared == dtype => Ok(()),
        Some(declared) => Err(wrong(declared.to_string())),
        None => Err(wrong(format!("element type {code}"))),
    }
}

/// The model of the graph `graph`.
pub(super) fn model(
    file: &str,
    proto: &ModelProto,
    graph: &GraphProto,
    opset: i64,
    mut weights: Weights<'_>,
    limits: &Limits,
) -> Result<Model, LoadError> {
    let initializers = weights.initializers(graph)?;
    let fail = |problem: Problem| problem.error(file);
    let functions = Functions::of(&proto.functions, graph, limits.decoded_budget(proto.encoded_len() as u64));
    let mut attempt = Attempt::new(graph, functions, weights, opset, limits).map_err(fail)?;
    attempt.constants(&initializers, &super::defaults(proto, graph).into_iter().collect());
    attempt.narrow(graph);
    attempt.run(graph).map_err(|problems| fail(together(problems)))?;
    let mut model = attempt.finish(graph).map_err(fail)?;
    let domain = |set: &OperatorSetIdProto| (set.domain.clone().unwrap_or_default(), set.version.unwrap_or_default());
    model.origin = Origin {
        producer: proto.producer_name.clone().unwrap_or_default(),
        version: proto.producer_version.clone().unwrap_or_default(),
        format: Format::Onnx {
            ir_version: proto.ir_version.unwrap_or_default(),
            opsets: proto.opset_import.iter().map(domain).collect(),
        },
        ..Origin::default()
    };
    Ok(model)
}

/// Loops inside of loops are walked anew for each change of a rank outside; this bounds the time that takes.
const MOST_RETRIES: usize = 64;

/// A walk over a graph.
pub(super) struct Attempt<'a> {
    pub import: Import,
    /// The values that the current graph may read.
    pub values: HashMap<String, Val>,
    /// The operators that the file defines.
    pub functions: Functions<'a>,
    /// The tensors of the file.
    pub weights: Weights<'a>,
    pub opset: i64,
    pub max_rank: usize,
    /// How often the body of a loop may still be walked anew.
    retries: usize,
}

impl<'a> Attempt<'a> {
    fn new(
        graph: &GraphProto,
        functions: Functions<'a>,
        weights: Weights<'a>,
        opset: i64,
        limits: &Limits,
    ) -> Result<Attempt<'a>, Problem> {
        let given: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let mut import = Import::new(Builder::new(graph.name.as_deref().unwrap_or("graph")));
        let mut values = HashMap::new();
        for value in &graph.input {
            let name = value.name.clone().unwrap_or_default();
            if given.contains(name.as_str()) {
                continue;
            }
            let ty = declared(value, limits.max_rank).map_err(|e| e.of(format_args!("input {}", Printable(&name))))?;
            let val = import.input(&name, ty, &names_of(value));
            if values.insert(name.clone(), val).is_some() {
                return Err(Problem::Damaged(format!("two inputs are called {}", Printable(&name))));
            }
        }
        Ok(Attempt { import, values, functions, weights, opset, max_rank: limits.max_rank, retries: MOST_RETRIES })
    }

    /// Counts a walk of a loop's body that has to be done anew.
    pub fn retry(&mut self) -> Result<(), String> {
        let left = self.retries.checked_sub(1);
        self.retries = left.ok_or("loops in it change the ranks of too many values")?;
        Ok(())
    }

    /// The tensors of the file; those called as `defaults` are what inputs hold that callers may leave out.
    fn constants(&mut self, initializers: &BTreeMap<String, Tensor>, defaults: &HashSet<String>) {
        for (name, tensor) in initializers {
            let val = match defaults.contains(name) {
                true => self.import.default(tensor.clone(), name),
                false => self.import.named(tensor.clone(), name),
            };
            self.values.insert(name.clone(), val);
        }
    }

    /// Notes which constants of the graph have types of few bits.
    pub fn narrow(&mut self, graph: &GraphProto) {
        for proto in &graph.initializer {
            let val = self.values.get_mut(proto.name.as_deref().unwrap_or_default());
            if let (Some(val), Some(narrow)) = (val, proto.data_type.and_then(Narrow::of)) {
                val.narrow = Some(narrow);
            }
        }
    }

    /// Walks all nodes; gives every problem.
    pub fn run(&mut self, graph: &GraphProto) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut lost: HashSet<&str> = HashSet::new();
        for at in order(graph).map_err(|problem| vec![problem])? {
            let Some(node) = graph.node.get(at) else { continue };
            let cut_off = !lost.is_disjoint(&flow::reads(node));
            let known = self.kind(node).is_some();
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
        let fail = |problem: Problem| vec![problem.of(format_args!("{}: {}", label(at, node), operator(node)))];
        let results = self.results(at, node).map_err(|stop| match stop {
            Stop::Node(problem) => fail(problem),
            Stop::Inside(problems) => problems,
        })?;
        for (i, name) in node.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            let val = results.get(i).cloned().ok_or_else(|| fail(format!("result {i} is not supported").into()))?;
            if self.values.insert(name.clone(), val).is_some() {
                return Err(fail(Problem::Damaged(format!("two values are called {}", Printable(name)))));
            }
        }
        Ok(())
    }

    fn results(&mut self, at: usize, node: &NodeProto) -> Result<Vec<Val>, Stop> {
        let kind = self.kind(node).ok_or("this operator is not supported")?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            let found = self.values.get(name.as_str()).cloned();
            if found.is_none() && !name.is_empty() {
                let what = format!("nothing gives value {}, which it reads", Printable(name));
                return Err(Stop::Node(Problem::Damaged(what)));
            }
            inputs.push(found);
        }
        self.import.builder.scope(&name_of(at, node));
        let call = Call { node, inputs, opset: self.opset, max_rank: self.max_rank };
        let here = self.import.builder.current();
        let outcome = match kind {
            Kind::Op(build) => moving(build, &mut self.import, &call).map_err(Stop::from),
            Kind::If => flow::choose(self, &call),
            Kind::Loop => flow::repeat(self, &call),
            Kind::Scan => scanning::scan(self, &call),
            Kind::Function(function) => function::expand(self, &call, function),
        };
        while outcome.is_err() && self.import.builder.current() != here {
            self.import.builder.end(&[]);
        }
        outcome
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Model, Problem> {
        self.import.builder.scope("");
        let mut results = Vec::with_capacity(graph.output.len());
        for value in &graph.output {
            let name = value.name.as_deref().unwrap_or_default();
            let val = self.values.get(name).cloned();
            let missing = || Problem::Damaged(format!("there is no value for result {}", Printable(name)));
            let val = val.ok_or_else(missing)?;
            check_declared(value, val.dtype()).map_err(|e| e.of(format_args!("result {}", Printable(name))))?;
            results.push((value, name, self.import.value(&val), val.ty));
        }
        let nameable = self.import.builder.nameable();
        let (mut outputs, mut names, mut given) = (Vec::new(), Vec::new(), HashMap::new());
        for (value, name, mut id, ty) in results {
            // What has another name, or is one of several results, gets a node that has this one.
            let has_name = self.import.builder.name(id) == name;
            if *given.entry(id).or_insert(name) != name || !(has_name || nameable.contains(&id)) {
                id = self.import.builder.op("Identity", [id.into()]).map_err(|e| e.to_string())?;
            }
            self.import.specify(id, &ty, &names_of(value));
            outputs.push(id);
            names.push((id, name));
        }
        self.import.builder.rename(&names);
        Ok(self.import.builder.finish(&outputs))
    }
}

/// The results of a node; they are of the type of few bits that its operands have, if it gives elements of these.
fn moving(build: ops::Build, m: &mut Import, c: &Call) -> Steps {
    let own = narrow::moved(c.node.op_type.as_deref().unwrap_or_default(), &c.inputs)?;
    let mut results = build(m, c)?;
    results.iter_mut().filter(|_| own.is_some()).for_each(|v| v.narrow = own);
    Ok(results)
}

/// What a node is called: its name, or its number in the file.
pub(super) fn name_of(at: usize, node: &NodeProto) -> String {
    node.name.as_deref().filter(|n| !n.is_empty()).map_or_else(|| format!("node {at}"), str::to_string)
}

fn label(at: usize, node: &NodeProto) -> String {
    Printable(&name_of(at, node)).to_string()
}

fn operator(node: &NodeProto) -> Printable<'_> {
    Printable(node.op_type.as_deref().unwrap_or_default())
}

/// The nodes such that each comes after those whose results it reads, otherwise as the file has them.
fn order(graph: &GraphProto) -> Result<Vec<usize>, Problem> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            makers.entry(name).or_insert(at);
        }
    }
    let needs = |node| flow::reads(node).into_iter().filter_map(|name| makers.get(name).copied()).collect();
    let needs: Vec<BTreeSet<usize>> = graph.node.iter().map(needs).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (at, makers) in needs.iter().enumerate() {
        makers.iter().filter_map(|&m| readers.get_mut(m).map(|r| r.push(at))).for_each(drop);
    }
    let mut missing: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut ready: BTreeSet<usize> = (0..).zip(&missing).filter(|(_, n)| **n == 0).map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for &reader in readers.get(at).into_iter().flatten() {
            if let Some(left) = missing.get_mut(reader) {
                *left -= 1;
                ready.extend((*left == 0).then_some(reader));
            }
        }
    }
    match missing.iter().position(|left| *left > 0) {
        None => Ok(order),
        Some(stuck) => Err(cycle(graph, &needs, &order, stuck)),
    }
}

/// A node on a cycle, which one gets to from any node that never gets ready.
fn cycle(graph: &GraphProto, needs: &[BTreeSet<usize>], done: &[usize], stuck: usize) -> Problem {
    let done: HashSet<usize> = done.iter().copied().collect();
    let (mut at, mut seen) = (stuck, HashSet::new());
    while seen.insert(at) {
        let before = needs.get(at).and_then(|all| all.iter().find(|m| !done.contains(m)));
        at = before.copied().unwrap_or(at);
    }
    let what = Problem::Damaged("it reads what follows from its own result".into());
    match graph.node.get(at) {
        Some(node) => what.of(format_args!("{}: {}", label(at, node), operator(node))),
        None => what,
    }
}

/// How the results of a node come about.
enum Kind<'a> {
    Op(fn(&mut Import, &Call) -> Steps),
    If,
    Loop,
    Scan,
    Function(&'a FunctionProto),
}

impl<'a> Attempt<'a> {
    fn kind(&self, node: &NodeProto) -> Option<Kind<'a>> {
        if let Some(function) = self.functions.find(node) {
            return Some(Kind::Function(function));
        }
        let domain = node.domain.as_deref().unwrap_or_default();
        match (domain, node.op_type.as_deref().unwrap_or_default()) {
            ("" | "ai.onnx", "If") => Some(Kind::If),
            ("" | "ai.onnx", "Loop") => Some(Kind::Loop),
            ("" | "ai.onnx", "Scan") => Some(Kind::Scan),
            (domain, op) => ops::find(domain, op).map(Kind::Op),
        }
    }
}
