//! Names resolved: one table over all graphs of a file, and what every node is.

use std::collections::HashMap;
use std::sync::Arc;

use mindir_graph::Tensor;
use mindir_graph::graph::Param;
use mindir_graph::op::OpDef;
use mindir_proto::mindir::{GraphProto, ModelProto, NodeProto, PrimType, PrimitiveProto, TensorProto};

use super::super::framework::Framework;
use super::fault::{GraphFault, Located};
use super::form::Form;
use super::literal::{self, Literal};
use super::sym::Sym;

/// Results that a node without description may have.
const MOST_RESULTS: usize = 1 << 16;

/// Operators that run code from outside of the file.
const UNSAFE: [&str; 3] = ["PyExecute", "PyInterpret", "PyFunc"];

/// The operator that calls a function from outside of the file.
const CUSTOM: &str = "Custom";

/// The name of the function that a [`CUSTOM`] operator calls, without its file.
fn function(primitive: &PrimitiveProto) -> Option<&str> {
    let attribute = primitive.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("func_name"))?;
    let name = std::str::from_utf8(attribute.s.as_deref()?).ok()?;
    Some(name.rsplit_once(':').map_or(name, |(_, function)| function))
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ref {
    /// A node of a graph.
    Node(usize, usize),
    /// An input of a graph.
    Input(usize, usize),
    Param(usize),
    Const(usize),
    Graph(usize),
}

/// The graphs of a file with every name resolved.
pub(super) struct Program<'a> {
    /// The entry graph, then the functions in the file's order.
    pub graphs: Vec<WireGraph<'a>>,
    /// Constants of all graphs.
    pub consts: Vec<Result<Sym, GraphFault>>,
    /// Tensors in constants, with the names of the constants.
    pub tensors: Vec<(&'a str, Tensor)>,
    pub params: Vec<Param>,
}

pub(super) struct WireGraph<'a> {
    pub name: &'a str,
    pub proto: &'a GraphProto,
    pub inputs: Vec<WireInput<'a>>,
    pub nodes: Vec<WireNode<'a>>,
    /// Several stand for a tuple.
    pub outputs: Vec<Ref>,
    /// What the graph declares to return.
    pub form: Form,
    /// Whether a call can lead back to a running call of it. Every cycle of calls has such a graph.
    pub looping: bool,
    /// For each effect token, the nodes that read a parameter there.
    pub loads: HashMap<Ref, Vec<usize>>,
}

pub(super) struct WireInput<'a> {
    pub name: &'a str,
    pub form: Form,
}

pub(super) struct WireNode<'a> {
    pub name: &'a str,
    /// The name without the graph's in front.
    pub short: &'a str,
    pub proto: &'a NodeProto,
    pub kind: WireKind<'a>,
    pub inputs: Vec<Ref>,
    /// Number of results that other nodes pick.
    pub picked: usize,
}

#[derive(Clone, Copy)]
pub(super) enum WireKind<'a> {
    Framework(Framework),
    Operator(Operator<'a>),
    /// A call of a graph or function value.
    Call(Ref),
}

/// A primitive that computes something.
#[derive(Clone, Copy)]
pub(super) struct Operator<'a> {
    pub name: &'a str,
    pub def: Option<&'static OpDef>,
    pub primitive: Option<&'a PrimitiveProto>,
}

impl<'a> Program<'a> {
    /// Resolves every name of `model`; `given` are operators besides the known ones.
    pub(super) fn of(model: &'a ModelProto, given: &'static [OpDef]) -> Result<Program<'a>, Located> {
        let graphs: Vec<&GraphProto> = model.graph.as_deref().into_iter().chain(&model.functions).collect();
        let mut names = Names { given, ..Names::default() };
        for primitive in &model.primitives {
            names.primitive(primitive)?;
        }
        let mut program = Program { graphs: Vec::new(), consts: Vec::new(), tensors: Vec::new(), params: Vec::new() };
        for (index, graph) in graphs.iter().enumerate() {
            names.graph(graph, index)?;
        }
        for (index, graph) in graphs.iter().enumerate() {
            program.declare(graph, index, &mut names)?;
        }
        for (index, graph) in graphs.iter().enumerate() {
            program.connect(graph, index, &mut names)?;
        }
        program.mark_loops();
        program.mark_endings();
        Ok(program)
    }

    /// Registers what a graph defines.
    fn declare(&mut self, proto: &'a GraphProto, index: usize, names: &mut Names<'a>) -> Result<(), Located> {
        let graph = proto.name.as_deref().unwrap_or_default();
        let mut inputs = Vec::with_capacity(proto.input.len());
        for info in &proto.input {
            let name = info.name.as_deref().unwrap_or_default();
            names.value(name, Ref::Input(index, inputs.len())).map_err(|fault| fault.at(graph, name))?;
            inputs.push(WireInput { name, form: Form::of_info(info) });
        }
        for tensor in &proto.parameter {
            self.parameter(tensor, graph, names)?;
        }
        let mut count = 0;
        for node in &proto.node {
            let name = node_name(node);
            let id = if constant_of(node) {
                Ref::Const(self.constant(node, name))
            } else {
                count += 1;
                Ref::Node(index, count - 1)
            };
            names.value(name, id).map_err(|fault| fault.at(graph, name))?;
        }
        let (nodes, outputs, loads) = (Vec::with_capacity(count), Vec::new(), HashMap::new());
        let form = Form::of_graph(proto);
        self.graphs.push(WireGraph { name: graph, proto, inputs, nodes, outputs, form, looping: false, loads });
        Ok(())
    }

    fn parameter(&mut self, proto: &'a TensorProto, graph: &str, names: &mut Names<'a>) -> Result<(), Located> {
        let name = proto.name.as_deref().unwrap_or_default();
        let declared = names.value(name, Ref::Param(self.params.len()));
        let tensor = declared.and_then(|()| literal::tensor(proto, name)).map_err(|fault| fault.at(graph, name))?;
        self.params.push(Param { name: parameter_name(name, graph).into(), tensor, mutable: false });
        Ok(())
    }

    fn constant(&mut self, node: &'a NodeProto, name: &'a str) -> usize {
        let attribute = node.attribute.iter().find(|a| a.name.as_deref() == Some("value")).or(node.attribute.first());
        let value = attribute.ok_or(GraphFault::Missing("the value")).and_then(Literal::of);
        let tensors = &mut self.tensors;
        let mut number = |tensor| {
            tensors.push((name, tensor));
            tensors.len() - 1
        };
        self.consts.push(value.and_then(|value| Sym::literal(value, &mut number)));
        self.consts.len() - 1
    }

    /// Resolves what the nodes of a graph refer to.
    fn connect(&mut self, proto: &'a GraphProto, index: usize, names: &mut Names<'a>) -> Result<(), Located> {
        let graph = proto.name.as_deref().unwrap_or_default();
        let mut nodes = Vec::new();
        for node in proto.node.iter().filter(|node| !constant_of(node)) {
            let name = node_name(node);
            let node = names.node(node, name, index).map_err(|fault| fault.at(graph, name))?;
            nodes.push(WireNode { short: short(graph, name), ..node });
        }
        let outputs: Result<Vec<_>, _> =
            proto.output.iter().map(|info| names.find(info.name.as_deref().unwrap_or_default(), index)).collect();
        let outputs = outputs.map_err(|fault| fault.at(graph, ""))?;
        if outputs.is_empty() {
            return Err(GraphFault::Missing("the result").at(graph, ""));
        }
        self.picks(&mut nodes, graph)?;
        let Some(wire) = self.graphs.get_mut(index) else { return Ok(()) };
        for (i, node) in nodes.iter().enumerate() {
            if let (WireKind::Framework(Framework::Load), Some(token)) = (node.kind, node.inputs.get(1)) {
                wire.loads.entry(*token).or_default().push(i);
            }
        }
        (wire.nodes, wire.outputs) = (nodes, outputs);
        Ok(())
    }

    /// Counts for every node how many results other nodes pick.
    fn picks(&self, nodes: &mut [WireNode<'a>], graph: &str) -> Result<(), Located> {
        let mut picks = Vec::new();
        for node in nodes.iter() {
            if let (
                WireKind::Framework(Framework::GetItem | Framework::GetListItem),
                [Ref::Node(_, from), Ref::Const(index)],
            ) = (node.kind, node.inputs.as_slice())
                && let Some(Ok(Sym::Const(value))) = self.consts.get(*index)
                && let mindir_graph::op::Const::Int(index) = **value
            {
                picks.push((*from, index, node.name));
            }
        }
        for (from, index, name) in picks {
            let count = usize::try_from(index).map_or(0, |index| index.saturating_add(1));
            if count > MOST_RESULTS {
                return Err(GraphFault::Excess("results").at(graph, name));
            }
            if let Some(node) = nodes.get_mut(from) {
                node.picked = node.picked.max(count);
            }
        }
        Ok(())
    }

    /// Marks the graphs that close cycles in a walk over "mentions".
    fn mark_loops(&mut self) {
        let mentions: Vec<Vec<usize>> = self.graphs.iter().map(WireGraph::mentions).collect();
        let mut entered = vec![false; self.graphs.len()];
        let mut left = vec![false; self.graphs.len()];
        let mut stack = vec![(0, 0)];
        while let Some((graph, next)) = stack.last_mut() {
            if let Some(flag) = entered.get_mut(*graph) {
                *flag = true;
            }
            let target = mentions.get(*graph).and_then(|list| list.get(*next)).copied();
            *next += 1;
            match target {
                None => {
                    if let Some(flag) = left.get_mut(*graph) {
                        *flag = true;
                    }
                    stack.pop();
                }
                Some(target) if entered.get(target) == Some(&false) => stack.push((target, 0)),
                Some(target) if left.get(target) == Some(&false) => {
                    if let Some(graph) = self.graphs.get_mut(target) {
                        graph.looping = true;
                    }
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn graph(&self, index: usize) -> Result<&WireGraph<'a>, GraphFault> {
        self.graphs.get(index).ok_or(GraphFault::Missing("a graph"))
    }

    /// What `Load` gives the contents of, if that is what the name stands for.
    pub(super) fn loaded(&self, name: Ref) -> Option<Ref> {
        let Ref::Node(graph, node) = name else { return None };
        let node = self.graphs.get(graph)?.nodes.get(node)?;
        matches!(node.kind, WireKind::Framework(Framework::Load)).then(|| node.inputs.first().copied())?
    }

    /// Number of nodes and inputs of all graphs.
    pub(super) fn size(&self) -> usize {
        self.graphs.iter().map(|graph| graph.nodes.iter().map(|node| 1 + node.inputs.len()).sum::<usize>() + 1).sum()
    }
}

impl<'a> WireGraph<'a> {
    fn mentions(&self) -> Vec<usize> {
        let called =
            self.nodes.iter().filter_map(|node| if let WireKind::Call(r) = node.kind { Some(r) } else { None });
        let used = self.nodes.iter().flat_map(|node| node.inputs.iter().copied());
        let all = called.chain(used).chain(self.outputs.iter().copied());
        all.filter_map(|r| if let Ref::Graph(graph) = r { Some(graph) } else { None }).collect()
    }

    /// A name of this graph without the graph's own name in front.
    pub(super) fn short(&self, name: &'a str) -> &'a str {
        short(self.name, name)
    }
}

/// `name` without that of its graph in front.
fn short<'a>(graph: &str, name: &'a str) -> &'a str {
    let rest = name.strip_prefix(graph).and_then(|rest| rest.strip_prefix(':'));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(name)
}

fn node_name(node: &NodeProto) -> &str {
    node.output.first().or(node.name.as_ref()).map_or("", String::as_str)
}

fn constant_of(node: &NodeProto) -> bool {
    node.op_type.as_deref() == Some("Constant")
}

/// The name that the network gave to a parameter.
fn parameter_name<'a>(name: &'a str, graph: &str) -> &'a str {
    let own = name.strip_prefix(graph).and_then(|rest| rest.strip_prefix(':'));
    let rest = own.or_else(|| name.split_once(':').map(|(_, rest)| rest));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(name)
}

/// All names of a file.
#[derive(Default)]
struct Names<'a> {
    /// Operators from outside, which come first.
    given: &'static [OpDef],
    values: HashMap<&'a str, Ref>,
    primitives: HashMap<&'a str, &'a PrimitiveProto>,
    operators: HashMap<&'a str, Option<&'static OpDef>>,
}

impl<'a> Names<'a> {
    fn primitive(&mut self, primitive: &'a PrimitiveProto) -> Result<(), Located> {
        let name = primitive.name.as_deref().unwrap_or_default();
        match self.primitives.insert(name, primitive) {
            None => Ok(()),
            Some(_) => Err(GraphFault::SameName(name.to_string()).at("", "")),
        }
    }

    fn graph(&mut self, graph: &'a GraphProto, index: usize) -> Result<(), Located> {
        let name = graph.name.as_deref().unwrap_or_default();
        if name.is_empty() && index == 0 {
            return Ok(());
        }
        self.value(name, Ref::Graph(index)).map_err(|fault| fault.at(name, ""))
    }

    fn value(&mut self, name: &'a str, is: Ref) -> Result<(), GraphFault> {
        if name.is_empty() {
            return Err(GraphFault::Missing("a name"));
        }
        match self.values.insert(name, is) {
            None => Ok(()),
            Some(_) => Err(GraphFault::SameName(name.to_string())),
        }
    }

    /// What `name` is for a node of graph `index`.
    fn find(&self, name: &str, index: usize) -> Result<Ref, GraphFault> {
        match self.values.get(name) {
            None => Err(GraphFault::Unknown(name.to_string())),
            Some(Ref::Node(graph, _) | Ref::Input(graph, _)) if *graph != index => {
                Err(GraphFault::Foreign(name.to_string()))
            }
            Some(is) => Ok(*is),
        }
    }

    fn node(&mut self, proto: &'a NodeProto, name: &'a str, graph: usize) -> Result<WireNode<'a>, GraphFault> {
        let op_type =
            proto.op_type.as_deref().filter(|op| !op.is_empty()).ok_or(GraphFault::Missing("the operator"))?;
        let kind = match op_type.strip_prefix("REF::") {
            None => self.operator(op_type, None)?,
            Some(target) => match self.primitives.get(target) {
                Some(primitive) => {
                    let name = primitive.op_type.as_deref().or(primitive.name.as_deref()).unwrap_or_default();
                    self.operator(name, Some(*primitive))?
                }
                None => WireKind::Call(self.find(target, graph)?),
            },
        };
        let inputs: Result<Vec<_>, _> = proto.input.iter().map(|input| self.find(input, graph)).collect();
        Ok(WireNode { name, short: name, proto, kind, inputs: inputs?, picked: 0 })
    }

    fn operator(&mut self, name: &'a str, primitive: Option<&'a PrimitiveProto>) -> Result<WireKind<'a>, GraphFault> {
        let name = name.strip_prefix("S-Prim-").unwrap_or(name);
        if UNSAFE.contains(&name) {
            return Err(GraphFault::Unsafe(name.to_string()));
        }
        if name.starts_with("MetaFuncGraph::") || name.starts_with("ClassType::") {
            return Err(GraphFault::Unsupported(format!("the operator {}", crate::Printable(name))));
        }
        if let Some(framework) = Framework::of(name) {
            return Ok(WireKind::Framework(framework));
        }
        let given = self.given;
        let find = |name: &str| given.iter().find(|def| def.is_called(name)).or_else(|| mindir_graph::ops::find(name));
        let def = match primitive.filter(|_| name == CUSTOM).and_then(function) {
            Some(function) => find(function),
            None => *self.operators.entry(name).or_insert_with(|| find(name)),
        };
        Ok(WireKind::Operator(Operator { name, def, primitive }))
    }
}

impl Operator<'_> {
    /// Whether the file declares the primitive as a function, all of whose arguments are inputs.
    pub(super) fn is_function(&self) -> bool {
        self.primitive.and_then(PrimitiveProto::primitive_type) == Some(PrimType::PrimitiveFunction)
    }

    /// The name for nodes of an operator that is not in the list.
    pub(super) fn shared_name(&self) -> Arc<str> {
        self.name.into()
    }
}
