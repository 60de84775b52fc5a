//! One graph: its nodes in order, with tuples, closures and effect tokens put back.

use std::collections::HashMap;

use mindir_graph::{
    Spec, Tensor,
    graph::{Arg, Argument, Closure, Def, Graph, GraphId, Nest, Node, NodeKind, ValueId},
    op::{Const, Effect, Held, Kind, OpDef, Param},
};
use mindir_proto::{
    mindir::{AttributeProto, AttributeType, GraphProto, NodeProto, ValueInfoProto},
    prost::Message,
};

use super::super::framework::Framework;
use super::{
    attributes::{self, Attributes},
    fault::NodeFault,
    model::File,
    needs::{Effects, Needs},
    tokens::Token,
    value,
};

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
        self.graph.values.get(value.0 as usize).map_or_else(|| "".into(), |value| value.name.clone())
    }

    fn spec(&self, value: ValueId) -> Spec {
        self.graph.values.get(value.0 as usize).map(|value| value.spec.clone()).unwrap_or_default()
    }

    fn name(&mut self, value: ValueId, name: String) {
        if let Some(slot) = self.values.get_mut(value.0 as usize) {
            *slot = Some(name);
        }
    }
}

/// Nodes.
impl<'m> Body<'_, 'm> {
    fn node(&mut self, node: &'m Node) -> Result<(), Failed> {
        match &node.kind {
            NodeKind::Op(def) if def.name == Framework::Load.name() => self.load_node(node),
            NodeKind::Op(def) => self.operator(node, def),
            NodeKind::Opaque(_) => self.unknown(node),
            NodeKind::Call(graph) => {
                let args: Vec<Arg> = node.args.iter().flatten().cloned().collect();
                let inputs = self.call_inputs(*graph, &args)?;
                let target = self.file.graph_name(*graph);
                self.call(node, &[*graph], format!("REF::{target}"), inputs)
            }
            NodeKind::If { then, otherwise } => {
                let condition = self.condition(node)?;
                let branches = [self.function(then)?, self.function(otherwise)?];
                let inputs = [condition].into_iter().chain(branches).collect();
                let chosen = self.framework(Framework::Switch, &Vec::new(), "switch", inputs, None);
                self.call(node, &[then.graph, otherwise.graph], format!("REF::{chosen}"), Vec::new())
            }
            NodeKind::Select(branches) => self.select(node, branches),
        }
    }

    fn condition(&mut self, node: &Node) -> Result<String, Failed> {
        match node.args.first() {
            Some(Some(Arg::Value(value))) => self.value(*value),
            _ => Err("the condition is no tensor".to_string()),
        }
    }

    fn select(&mut self, node: &'m Node, branches: &'m [Closure]) -> Result<(), Failed> {
        let index = self.condition(node)?;
        let graphs: Vec<GraphId> = branches.iter().map(|branch| branch.graph).collect();
        let inputs: Result<Vec<Vec<String>>, _> =
            branches.iter().map(|branch| self.call_inputs(branch.graph, &branch.args)).collect();
        let inputs = inputs?;
        let same = inputs.windows(2).all(|pair| pair.first() == pair.last());
        let (functions, rest) = if same {
            let names = graphs.iter().map(|graph| self.file.graph_name(*graph)).collect();
            (names, inputs.into_iter().next().unwrap_or_default())
        } else {
            let pairs = graphs.iter().zip(inputs);
            (pairs.map(|(graph, inputs)| self.partial(*graph, inputs)).collect(), Vec::new())
        };
        let tuple = self.framework(Framework::MakeTuple, &Vec::new(), "branches", functions, None);
        let chosen = self.framework(Framework::SwitchLayer, &Vec::new(), "switch_layer", vec![index, tuple], None);
        self.call(node, &graphs, format!("REF::{chosen}"), rest)
    }

    /// A closure as a function value.
    fn function(&mut self, closure: &Closure) -> Result<String, Failed> {
        let inputs = self.call_inputs(closure.graph, &closure.args)?;
        Ok(self.partial(closure.graph, inputs))
    }

    fn partial(&mut self, graph: GraphId, inputs: Vec<String>) -> String {
        let target = self.file.graph_name(graph);
        if inputs.is_empty() {
            return target;
        }
        let inputs = [target].into_iter().chain(inputs).collect();
        let attributes = vec![("side_effect_propagate".into(), Const::Int(1))];
        self.framework(Framework::Partial, &attributes, "partial", inputs, None)
    }

    /// Everything that a graph takes: parameters, arguments and tokens.
    fn call_inputs(&mut self, graph: GraphId, args: &[Arg]) -> Result<Vec<String>, Failed> {
        let Needs { params, memory, io } = self.file.needs(graph);
        let mut inputs = Vec::new();
        for param in &params {
            inputs.push(self.place(*param)?);
        }
        for arg in args {
            inputs.push(self.arg(arg, None)?);
        }
        for (io, needed) in [(false, memory), (true, io)] {
            if needed {
                inputs.push(self.flush(io));
            }
        }
        Ok(inputs)
    }

    fn call(&mut self, node: &Node, graphs: &[GraphId], op_type: String, inputs: Vec<String>) -> Result<(), Failed> {
        let nest = graphs.first().and_then(|graph| self.file.graph(*graph)).map(|(graph, _)| graph.nest.clone());
        let nest = nest.unwrap_or(Nest::None);
        let needs: Vec<Needs> = graphs.iter().map(|graph| self.file.needs(*graph)).collect();
        let name = self.emit(node, op_type, inputs, &nest);
        for (io, needed) in [(false, needs.iter().any(|n| n.memory)), (true, needs.iter().any(|n| n.io))] {
            if needed {
                self.update(io, vec![name.clone()]);
            }
        }
        Ok(())
    }

    /// A node of the graph: its results get names.
    fn emit(&mut self, node: &Node, op_type: String, inputs: Vec<String>, nest: &Nest) -> String {
        let single = matches!(nest, Nest::Leaf | Nest::Number | Nest::Numbers);
        let wanted = match (single, node.outputs.first()) {
            (true, Some(value)) => self.value_name(*value),
            _ => node.name.clone(),
        };
        let specs: Vec<Spec> = node.outputs.iter().map(|value| self.spec(*value)).collect();
        let description = value::description(nest, &mut specs.into_iter());
        let domain = node.path.contains('/').then(|| node.path.to_string());
        let name = self.push(op_type, &wanted, inputs, description, domain);
        self.take_apart(&name, nest, &mut node.outputs.iter().copied());
        name
    }

    fn push(
        &mut self,
        op_type: String,
        wanted: &str,
        inputs: Vec<String>,
        description: Option<AttributeProto>,
        domain: Option<String>,
    ) -> String {
        let name = self.local(wanted);
        if let Some(token) = &mut self.memory {
            token.note_use(&inputs, &name);
        }
        let attribute = description.map(|d| AttributeProto { name: Some("shape".to_string()), ..d });
        self.nodes.push(NodeProto {
            input: inputs,
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(op_type),
            attribute: attribute.into_iter().collect(),
            domain,
            ..Default::default()
        });
        name
    }

    /// A node of a primitive that only says how values hang together.
    fn framework(
        &mut self,
        what: Framework,
        attributes: &Attributes,
        wanted: &str,
        inputs: Vec<String>,
        description: Option<AttributeProto>,
    ) -> String {
        let op_type = self.file.primitives.reference(&mut self.file.names, what.name(), false, attributes);
        self.push(op_type, wanted, inputs, description, None)
    }

    /// Names the tensors in something that nests.
    fn take_apart(&mut self, name: &str, nest: &Nest, values: &mut impl Iterator<Item = ValueId>) {
        let (items, op) = match nest {
            Nest::Leaf | Nest::Number | Nest::Numbers => {
                if let Some(value) = values.next() {
                    self.name(value, name.to_string());
                }
                return;
            }
            Nest::None | Nest::Text(_) => return,
            Nest::Tuple(items) => (items, Framework::GetItem),
            Nest::List(items) => (items, Framework::GetListItem),
        };
        for (place, item) in items.iter().enumerate() {
            let inside: Vec<ValueId> = values.take(item.leaves()).collect();
            let used = inside.iter().any(|value| self.file.is_used(self.id, *value));
            if !used {
                continue;
            }
            let index = self.constant(&Const::Int(place as i64));
            let wanted = match inside.as_slice() {
                [one] => self.value_name(*one),
                _ => format!("item{place}").into(),
            };
            let specs: Vec<Spec> = inside.iter().map(|value| self.spec(*value)).collect();
            let description = value::description(item, &mut specs.into_iter());
            let element = self.framework(op, &Vec::new(), &wanted, vec![name.to_string(), index], description);
            self.take_apart(&element, item, &mut inside.into_iter());
        }
    }

    /// The name of something that nests.
    fn put_together(&mut self, nest: &Nest, values: &mut dyn Iterator<Item = ValueId>) -> Result<String, Failed> {
        let (items, op) = match nest {
            Nest::Leaf | Nest::Numbers => return values.next().map_or(Err(missing()), |value| self.value(value)),
            Nest::Number => return values.next().map_or(Err(missing()), |value| self.number(value)),
            Nest::None => return Ok(self.constant(&Const::None)),
            Nest::Text(text) => return Ok(self.constant(&Const::Str(text.clone()))),
            Nest::Tuple(items) if items.is_empty() => return Ok(self.constant(&Const::Tuple(Vec::new()))),
            Nest::Tuple(items) => (items, Framework::MakeTuple),
            Nest::List(items) => (items, Framework::MakeList),
        };
        let mut names = Vec::with_capacity(items.len());
        let mut specs = Vec::new();
        for item in items {
            let inside: Vec<ValueId> = values.take(item.leaves()).collect();
            specs.extend(inside.iter().map(|value| self.spec(*value)));
            names.push(self.put_together(item, &mut inside.into_iter())?);
        }
        let description = value::description(nest, &mut specs.into_iter());
        Ok(self.framework(op, &Vec::new(), "tuple", names, description))
    }
}

fn missing() -> Failed {
    "a result is missing".to_string()
}

/// Operators.
impl<'m> Body<'_, 'm> {
    fn operator(&mut self, node: &'m Node, def: &'static OpDef) -> Result<(), Failed> {
        let op = node.primitive.as_ref().map_or(def.written(), |primitive| &primitive.name);
        let kind = def.kind_of(op);
        let mut attributes = node.primitive.as_ref().map(|primitive| primitive.attrs.clone()).unwrap_or_default();
        let written: &[usize] = if let Effect::Writes(args) = node.effect() { args } else { &[] };
        let mut inputs = Vec::with_capacity(def.params.len());
        for (place, param) in def.params.iter().enumerate() {
            let arg = node.args.get(place).and_then(Option::as_ref);
            if param.is_attribute(kind) {
                let value = attribute(param, arg)?;
                value.into_iter().for_each(|value| attributes::complete(&mut attributes, param.name, value));
                continue;
            }
            match arg {
                Some(Arg::Value(value)) if written.contains(&place) => inputs.push(self.variable(*value)?),
                Some(arg) if param.held == Held::Items => self.items(arg, &mut inputs)?,
                Some(Arg::Value(value)) if param.held == Held::Number => inputs.push(self.number(*value)?),
                Some(Arg::Const(value @ (Const::Int(_) | Const::Tuple(_)))) => {
                    let value = attributes::argument(param, value.clone());
                    inputs.push(self.constant(&value.unwrap_or(Const::None)));
                }
                Some(arg) => inputs.push(self.arg(arg, Some(param))?),
                None if kind == Kind::Classic => {}
                None => {
                    let default = (param.default)().ok_or_else(|| format!("argument {} is missing", param.name))?;
                    let value = attributes::argument(param, default);
                    inputs.push(self.constant(&value.unwrap_or(Const::None)));
                }
            }
        }
        if kind == Kind::Classic {
            attributes::derive(def, &mut attributes, |name| self.dims(node, def, name));
        }
        let nest = node.primitive.as_ref().map_or_else(|| def.nest(node.outputs.len()), |p| p.nest.clone());
        self.with_effects(node, op, kind.is_function(), attributes, inputs, &nest);
        Ok(())
    }

    /// The dimensions of argument `name`, or those that it states, if they are known.
    fn dims(&self, node: &Node, def: &OpDef, name: &str) -> Option<Vec<i64>> {
        let place = def.params.iter().position(|param| param.name == name)?;
        match node.args.get(place)?.as_ref()? {
            Arg::Value(value) => self.spec(*value).shape()?.iter().map(|dim| i64::try_from(*dim).ok()).collect(),
            Arg::Const(value) => attributes::integers(value),
            Arg::List(_) => None,
        }
    }

    /// A primitive that is not in the list.
    fn unknown(&mut self, node: &'m Node) -> Result<(), Failed> {
        let NodeKind::Opaque(opaque) = &node.kind else { return Ok(()) };
        let memory = Effects::of(node).memory;
        let mut inputs = Vec::with_capacity(node.args.len());
        for arg in node.args.iter().flatten() {
            inputs.push(match arg {
                Arg::Value(value) if memory => self.variable(*value)?,
                arg => self.arg(arg, None)?,
            });
        }
        let usual = || Nest::results(node.outputs.len());
        let nest = node.primitive.as_ref().map_or_else(usual, |primitive| primitive.nest.clone());
        let function = node.primitive.as_ref().is_some_and(|primitive| primitive.function);
        self.with_effects(node, &opaque.op_type, function, opaque.attrs.clone(), inputs, &nest);
        Ok(())
    }

    /// A node with the tokens that its effects take.
    fn with_effects(
        &mut self,
        node: &Node,
        op: &str,
        function: bool,
        mut attributes: Attributes,
        mut inputs: Vec<String>,
        nest: &Nest,
    ) {
        let effects = Effects::of(node);
        let kinds = [(false, effects.memory, "side_effect_mem"), (true, effects.io, "side_effect_io")];
        for (io, has, mark) in kinds {
            if has {
                attributes::complete(&mut attributes, mark, Const::Bool(true));
                inputs.push(self.flush(io));
            }
        }
        let op_type = self.file.primitives.reference(&mut self.file.names, op, function, &attributes);
        let name = self.emit(node, op_type, inputs, nest);
        for (io, has, _) in kinds {
            if has {
                self.update(io, vec![name.clone()]);
            }
        }
    }

    /// An argument of an operator's input.
    fn arg(&mut self, arg: &Arg, param: Option<&Param>) -> Result<String, Failed> {
        match arg {
            Arg::Value(value) => self.value(*value),
            Arg::Const(text @ Const::Str(_)) => {
                let number = param.and_then(|param| (param.canonical)(text));
                Ok(self.constant(number.as_ref().unwrap_or(text)))
            }
            Arg::Const(value) => Ok(self.constant(value)),
            Arg::List(items) => {
                let names: Result<Vec<_>, _> = items.iter().map(|item| self.arg(item, None)).collect();
                Ok(self.framework(Framework::MakeTuple, &Vec::new(), "tuple", names?, None))
            }
        }
    }

    /// The items of a tuple as inputs of their own.
    fn items(&mut self, arg: &Arg, inputs: &mut Vec<String>) -> Result<(), Failed> {
        match arg {
            Arg::List(items) => items.iter().try_for_each(|item| self.items(item, inputs)),
            Arg::Const(Const::Tuple(items)) => {
                items.iter().try_for_each(|item| self.items(&Arg::Const(item.clone()), inputs))
            }
            arg => {
                inputs.push(self.arg(arg, None)?);
                Ok(())
            }
        }
    }
}

/// The value of an attribute; `None` leaves it out.
fn attribute(param: &Param, arg: Option<&Arg>) -> Result<Option<Const>, Failed> {
    let value = match arg {
        Some(Arg::Const(value)) => Some(value.clone()),
        Some(_) => return Err(format!("argument {} must be constant, because it is an attribute", param.name)),
        None => (param.default)().filter(|value| *value != Const::None),
    };
    Ok(value.and_then(|value| attributes::attribute(param, value)))
}

/// Values and constants.
impl<'m> Body<'_, 'm> {
    /// The name of a value, as it is at this point.
    fn value(&mut self, value: ValueId) -> Result<String, Failed> {
        let graph = self.graph;
        let Some(held) = graph.values.get(value.0 as usize) else { return Err("a value does not exist".to_string()) };
        match &held.def {
            Def::Param(param) if self.is_mutable(*param) => self.load(*param, &held.name),
            Def::Param(param) => self.place(*param),
            Def::Const(tensor) => Ok(self.tensor(&held.name, tensor)),
            Def::Input(_) | Def::Node => {
                let known = self.values.get(value.0 as usize).cloned().flatten();
                known.ok_or_else(|| format!("the value {} has no name", held.name))
            }
        }
    }

    /// A value that must be a Python number.
    fn number(&mut self, value: ValueId) -> Result<String, Failed> {
        match self.graph.values.get(value.0 as usize).map(|value| &value.def) {
            Some(Def::Const(tensor)) => match python(tensor) {
                Some(number) => Ok(self.constant(&number)),
                None => self.value(value),
            },
            _ => self.value(value),
        }
    }

    /// A value that an operator writes.
    fn variable(&mut self, value: ValueId) -> Result<String, Failed> {
        match self.graph.values.get(value.0 as usize).map(|value| &value.def) {
            Some(Def::Param(param)) => self.place(*param),
            _ => self.value(value),
        }
    }

    fn is_mutable(&self, param: usize) -> bool {
        self.file.model.params.get(param).is_some_and(|param| param.mutable)
    }

    /// A parameter itself.
    fn place(&self, param: usize) -> Result<String, Failed> {
        self.params.get(&param).cloned().ok_or_else(|| format!("parameter {param} is not known here"))
    }

    /// What a parameter holds at this point.
    fn load(&mut self, param: usize, wanted: &str) -> Result<String, Failed> {
        let Some(token) = &self.memory else { return self.place(param) };
        if let Some(name) = token.loads.get(&param) {
            return Ok(name.clone());
        }
        let inputs = vec![self.place(param)?, token.current.clone()];
        let held = self.file.model.params.get(param);
        let spec = held.map(|held| Spec::fixed(held.tensor.dtype(), held.tensor.shape()));
        let description = value::description(&Nest::Leaf, &mut spec.into_iter());
        let name = self.framework(Framework::Load, &Vec::new(), wanted, inputs, description);
        if let Some(token) = &mut self.memory {
            token.note_load(param, &name);
        }
        Ok(name)
    }

    fn load_node(&mut self, node: &Node) -> Result<(), Failed> {
        let (Some(Some(Arg::Value(from))), Some(to)) = (node.args.first(), node.outputs.first()) else {
            return Err("a read has no parameter".to_string());
        };
        let name = match self.graph.values.get(from.0 as usize).map(|value| &value.def) {
            Some(Def::Param(param)) => self.load(*param, &self.value_name(*to))?,
            _ => self.value(*from)?,
        };
        self.name(*to, name);
        Ok(())
    }

    fn tensor(&mut self, wanted: &str, tensor: &Tensor) -> String {
        let key = format!("{:?}", (tensor.bytes().as_ptr(), tensor.dtype(), tensor.shape())).into_bytes();
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.file.names.unique(wanted.to_string());
        self.constant_node(&name, value::attribute("value", &Const::Tensor(tensor.clone())));
        self.constants.insert(key, name.clone());
        name
    }

    /// A constant that is no tensor, once in every graph.
    fn constant(&mut self, value: &Const) -> String {
        if let Const::Tensor(tensor) = value {
            return self.tensor("tensor", tensor);
        }
        let attribute = value::attribute("value", value);
        let key = attribute.encode_to_vec();
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.file.names.unique("constant".to_string());
        self.constant_node(&name, attribute);
        self.constants.insert(key, name.clone());
        name
    }

    fn constant_node(&mut self, name: &str, value: AttributeProto) {
        self.nodes.push(NodeProto {
            output: vec![name.to_string()],
            name: Some(name.to_string()),
            op_type: Some("Constant".to_string()),
            attribute: vec![value],
            ..Default::default()
        });
    }
}

/// The Python number that a tensor without dimensions stands for.
fn python(tensor: &Tensor) -> Option<Const> {
    if !tensor.shape().is_empty() {
        return None;
    }
    let dtype = tensor.dtype();
    if dtype == mindir_graph::DType::Bool {
        tensor.to_i64s().ok()?.first().map(|flag| Const::Bool(*flag != 0))
    } else if dtype.is_int() {
        tensor.to_i64s().ok()?.first().map(|number| Const::Int(*number))
    } else if dtype.is_float() {
        tensor.to_f64s().ok()?.first().map(|number| Const::Float(*number as f32))
    } else {
        None
    }
}

/// Tokens.
impl<'m> Body<'_, 'm> {
    fn state(&mut self, io: bool) -> Option<&mut Token> {
        if io { self.io.as_mut() } else { self.memory.as_mut() }
    }

    /// The current token, after everything that is pending.
    fn flush(&mut self, io: bool) -> String {
        let Some(token) = self.state(io) else { return String::new() };
        if token.pending.is_empty() {
            return token.current.clone();
        }
        let pending = std::mem::take(&mut token.pending);
        self.update(io, pending)
    }

    /// The token after `done` and what is pending.
    fn update(&mut self, io: bool, done: Vec<String>) -> String {
        let Some(token) = self.state(io) else { return String::new() };
        let (kind, current) = (token.kind, token.current.clone());
        let inputs = [current].into_iter().chain(done).collect();
        let description = value::token("shape", kind);
        let name = self.framework(Framework::UpdateState, &Vec::new(), "state", inputs, Some(description));
        if let Some(token) = self.state(io) {
            token.advance(name.clone());
        }
        name
    }
}
