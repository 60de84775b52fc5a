//! One graph: its nodes in order, with tuples, closures and effect tokens put back.

mod calls;
mod constants;
mod effects;
mod nodes;
mod operators;

use std::collections::HashMap;

use mindir_graph::Spec;
use mindir_graph::graph::{Argument, Graph, GraphId, Nest, Node, ValueId};
use mindir_graph::op::Const;
use mindir_proto::mindir::{AttributeType, GraphProto, NodeProto, ValueInfoProto};

use super::super::framework::Framework;
use super::fault::NodeFault;
use super::model::File;
use super::tokens::Token;
use super::value;

/// Why a node cannot be written.
type Failed = String;

/// A graph under construction.
pub(super) struct Body<'f, 'm> {
    file: &'f mut File<'m>,
    id: GraphId,
    graph: &'m Graph,
    name: String,
    nodes: Vec<NodeProto>,
    inputs: Vec<ValueInfoProto>,
    /// Names of values, as far as they are known.
    values: Vec<Option<String>>,
    params: HashMap<usize, String>,
    constants: HashMap<Vec<u8>, String>,
    memory: Option<Token>,
    io: Option<Token>,
}

/// The graph with this number as a message; its parameters stay out of it.
pub(super) fn write(file: &mut File<'_>, id: GraphId) -> GraphProto {
    let Some((graph, name)) = file.graph(id) else { return GraphProto::default() };
    let mut body = Body {
        file,
        id,
        graph,
        name,
        nodes: Vec::new(),
        inputs: Vec::new(),
        values: vec![None; graph.values.len()],
        params: HashMap::new(),
        constants: HashMap::new(),
        memory: None,
        io: None,
    };
    body.begin();
    for node in &graph.nodes {
        if let Err(what) = body.node(node) {
            body.fault(node, what);
        }
    }
    let output = match body.finish() {
        Ok(output) => vec![output],
        Err(what) => {
            let (graph, node, op) =
                (graph.name.to_string(), "the result".to_string(), Framework::Return.name().to_string());
            body.file.faults.push(NodeFault { graph, node, op, what });
            Vec::new()
        }
    };
    GraphProto { node: body.nodes, name: Some(body.name), input: body.inputs, output, ..Default::default() }
}

impl<'m> Body<'_, 'm> {
    /// Inputs: of a function first the parameters and last the tokens that it needs.
    fn begin(&mut self) {
        let id = self.id;
        let needs = self.file.needs(id);
        let entry = id.0 == 0;
        if entry {
            self.params = self.file.params.clone();
        } else {
            needs.params.iter().for_each(|param| self.param_input(*param));
        }
        let own = self.graph.inputs.iter().map(|value| Argument { name: self.value_name(*value), nest: Nest::Leaf });
        let arguments = if self.graph.arguments.is_empty() { own.collect() } else { self.graph.arguments.clone() };
        let mut inputs = self.graph.inputs.clone().into_iter();
        for argument in arguments {
            self.input(&argument, &mut inputs);
        }
        if needs.memory {
            self.memory = Some(self.token(AttributeType::Umonad, entry));
        }
        if needs.io {
            self.io = Some(self.token(AttributeType::Iomonad, entry));
        }
    }

    fn param_input(&mut self, param: usize) {
        let Some(held) = self.file.model.params.get(param) else { return };
        let (key, spec) = (held.name.to_string(), Spec::fixed(held.tensor.dtype(), held.tensor.shape()));
        let name = self.local(&key);
        let mut info = value::info(&name, &Nest::Leaf, &mut std::iter::once(spec));
        info.tensor.iter_mut().for_each(|tensor| tensor.ref_key = Some(key.clone()));
        self.inputs.push(info);
        self.params.insert(param, name);
    }

    fn input(&mut self, argument: &Argument, inputs: &mut impl Iterator<Item = ValueId>) {
        let values: Vec<ValueId> = inputs.take(argument.nest.leaves()).collect();
        let name = self.local(&argument.name);
        let specs: Vec<Spec> = values.iter().map(|value| self.spec(*value)).collect();
        self.inputs.push(value::info(&name, &argument.nest, &mut specs.into_iter()));
        self.take_apart(&name, &argument.nest, &mut values.into_iter());
    }

    fn token(&mut self, kind: AttributeType, entry: bool) -> Token {
        let label = if kind == AttributeType::Iomonad { "io" } else { "u" };
        let first = if entry {
            let name = self.file.names.unique(label.to_string());
            self.constant_node(&name, value::token("value", kind));
            name
        } else {
            let name = self.local(label);
            self.inputs.push(value::token_info(&name, kind));
            name
        };
        Token::new(kind, first)
    }

    /// What the graph returns, after everything that it does.
    fn finish(&mut self) -> Result<ValueInfoProto, Failed> {
        let graph = self.graph;
        let specs: Vec<Spec> = graph.outputs.iter().map(|value| self.spec(*value)).collect();
        let mut result = self.put_together(&graph.nest, &mut graph.outputs.iter().copied())?;
        for io in [false, true] {
            if self.state(io).is_some_and(|token| token.used || !token.pending.is_empty()) {
                let after = self.flush(io);
                let description = value::description(&graph.nest, &mut specs.iter().cloned());
                let attributes = vec![("side_effect_propagate".into(), Const::Int(1))];
                result = self.framework(Framework::Depend, &attributes, "result", vec![result, after], description);
            }
        }
        Ok(value::info(&result, &graph.nest, &mut specs.into_iter()))
    }

    fn fault(&mut self, node: &Node, what: Failed) {
        let (graph, node, op) = (self.graph.name.to_string(), node.path.to_string(), node.op_name().to_string());
        self.file.faults.push(NodeFault { graph, node, op, what });
    }

    /// A name with the graph's name in front, as MindSpore has it.
    fn local(&mut self, name: &str) -> String {
        self.file.names.unique(format!("{}:{name}", self.name))
    }

    fn value_name(&self, value: ValueId) -> std::sync::Arc<str> {
        self.graph.values.find(value).map_or_else(|| "".into(), |value| value.name.clone())
    }

    fn spec(&self, value: ValueId) -> Spec {
        self.graph.values.find(value).map(|value| value.spec.clone()).unwrap_or_default()
    }

    fn name(&mut self, value: ValueId, name: String) {
        if let Some(slot) = self.values.get_mut(value.0 as usize) {
            *slot = Some(name);
        }
    }
}
