//! Models to `.air` files, which Ascend's compiler `atc` reads.
//!
//! The file is a graph of the graph engine: `Data` nodes for inputs, `Const` nodes for weights and constant arguments, and
//! one node for every operator, by the table in `ops`. Edges are text, in the order that [`OpDef::input`] states.
//!
//! Straight-line models only: control flow, parameters that change and operators without a row are refused, all in one
//! error.

mod ops;
mod ports;
mod restate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::path::Path;

use mindir_graph::graph::{Arg, Def, Graph, Model, Node, ValueId};
use mindir_graph::op::{Const, OpDef as Operator, Param};
use mindir_graph::{Dim, Spec, Tensor, infer};
use mindir_proto::ge::{AttrDef, AttrValue, GraphDef, ModelDef, OpDef, ShapeDef, TensorDef, TensorDescriptor};
use mindir_proto::prost::{Message, encoding};
use thiserror::Error;

use self::ops::Row;
use self::ports::Port;
use crate::Printable;
use crate::map::release;
use crate::store::{self, StoreError};

/// Version of the format that is written.
const VERSION: u32 = 1;
/// Numbers of the fields that are written by hand.
const GRAPH: u32 = 7;
const OP: u32 = 6;
/// Bytes that one message may have.
const MOST: usize = i32::MAX as usize;

/// Why a model was not written as AIR.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AirError {
    /// Nodes that have no form in the file; every one is named.
    #[error("{} of the model {} no form in AIR{}", count(.0.len()), if .0.len() == 1 { "has" } else { "have" }, Lines(.0))]
    Nodes(Vec<Refusal>),
    /// The file would be larger than the format allows.
    #[error("the file would have {0} bytes, more than the 2 GiB that one message can have")]
    TooLarge(usize),
    /// The file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A node that has no form in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the node.
    pub path: String,
    /// Its operator.
    pub op: String,
    /// Why not.
    pub why: String,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Nodes that compute.
    pub nodes: usize,
    /// Constants, weights included.
    pub constants: usize,
    /// Bytes of the file.
    pub bytes: usize,
}

/// Writes `model` as an AIR file in the place of the one that may be there; `store` says how it is replaced.
///
/// # Errors
/// [`AirError::Nodes`] naming every node that has no form in the file; [`AirError::TooLarge`]; [`AirError::Store`].
pub fn export(model: &Model, path: impl AsRef<Path>, store: &store::Options) -> Result<Written, AirError> {
    let (file, written) = file(model)?;
    store::replace(path, store, |out| pour(file, out))?;
    Ok(written)
}

/// The bytes of `model` as an AIR file.
///
/// # Errors
/// [`AirError::Nodes`] and [`AirError::TooLarge`] as [`export`].
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, AirError> {
    Ok(file(model)?.0.encode_to_vec())
}

fn file(model: &Model) -> Result<(ModelDef, Written), AirError> {
    let mut model = model.clone();
    infer(&mut model);
    let file = Writer::of(&model)?;
    let (nodes, constants) = (file.nodes, file.graph.op.iter().filter(|op| op.r#type == "Const").count());
    let model = ModelDef { name: "model".to_string(), version: VERSION, graph: vec![file.graph], ..Default::default() };
    let bytes = model.encoded_len();
    if bytes > MOST {
        return Err(AirError::TooLarge(bytes));
    }
    Ok((model, Written { nodes, constants, bytes }))
}

/// Writes the message node by node, so that of the weights only one at a time is there twice.
fn pour(mut model: ModelDef, out: &mut dyn Write) -> io::Result<()> {
    let graphs = std::mem::take(&mut model.graph);
    out.write_all(&model.encode_to_vec())?;
    for mut graph in graphs {
        open(GRAPH, graph.encoded_len(), out)?;
        let ops = std::mem::take(&mut graph.op);
        out.write_all(&graph.encode_to_vec())?;
        for op in ops {
            open(OP, op.encoded_len(), out)?;
            out.write_all(&op.encode_to_vec())?;
            if let Some(AttrDef { value: Some(AttrValue::T(tensor)) }) = op.attr.get("value") {
                release(&tensor.data);
            }
        }
    }
    Ok(())
}

/// Begins a field that holds a message of `len` bytes.
fn open(field: u32, len: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut head = Vec::new();
    encoding::encode_key(field, encoding::WireType::LengthDelimited, &mut head);
    encoding::encode_varint(len as u64, &mut head);
    out.write_all(&head)
}

/// The output of a node.
#[derive(Clone, Debug)]
struct Edge {
    producer: String,
    index: usize,
    spec: Spec,
}

impl Edge {
    fn text(&self) -> String {
        format!("{}:{}", self.producer, self.index)
    }
}

struct Writer<'m> {
    model: &'m Model,
    entry: &'m Graph,
    graph: GraphDef,
    edges: HashMap<ValueId, Edge>,
    params: HashMap<usize, Edge>,
    names: HashSet<String>,
    refused: Vec<Refusal>,
    /// Results of nodes that were not written.
    lost: HashSet<ValueId>,
    /// What is known of values that only the file has, which follow those of the graph.
    made: Vec<Spec>,
    nodes: usize,
}

impl<'m> Writer<'m> {
    fn of(model: &'m Model) -> Result<Self, AirError> {
        let entry = model.entry();
        let graph = GraphDef { name: entry.name.to_string(), ..Default::default() };
        let mut writer = Writer {
            model,
            entry,
            graph,
            edges: HashMap::new(),
            params: HashMap::new(),
            names: HashSet::new(),
            refused: Vec::new(),
            lost: HashSet::new(),
            made: Vec::new(),
            nodes: 0,
        };
        for (index, input) in entry.inputs.iter().enumerate() {
            writer.data(index, *input);
        }
        for node in &entry.nodes {
            let mut blocked = false;
            node.each_input(&mut |value| blocked |= writer.lost.contains(&value));
            // Of nodes that follow from each other only the first is to blame, unless others have no form either way.
            let written = if blocked { Err(ops::has_form(node).err()) } else { writer.node(node).map_err(Some) };
            if let Err(why) = written {
                writer.lost.extend(&node.outputs);
                let (path, op) = (node.path.to_string(), node.op_name().to_string());
                writer.refused.extend(why.map(|why| Refusal { path, op, why }));
            }
        }
        for output in &entry.outputs {
            match writer.edge(*output) {
                Ok(edge) => writer.graph.output.push(edge.text()),
                // Its node was refused before.
                Err(_) if !writer.refused.is_empty() => {}
                Err(why) => writer.refused.push(Refusal { path: "the result".into(), op: "return".into(), why }),
            }
        }
        if writer.refused.is_empty() { Ok(writer) } else { Err(AirError::Nodes(writer.refused)) }
    }

    /// A name that no other node has and that does not end like an edge.
    fn unique(&mut self, wanted: &str) -> String {
        let wanted: String = wanted.chars().map(|c| if c == ':' { '_' } else { c }).collect();
        let mut name = wanted.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    /// A value that the graph does not have.
    fn made(&mut self, spec: Spec) -> ValueId {
        self.made.push(spec);
        ValueId((self.entry.values.len() + self.made.len() - 1) as u32)
    }

    /// What is known of a value.
    fn spec(&self, id: ValueId) -> Spec {
        if let Some(spec) = (id.0 as usize).checked_sub(self.entry.values.len()).and_then(|at| self.made.get(at)) {
            return spec.clone();
        }
        let value = self.entry.value(id);
        let fixed = |tensor: &Tensor| Spec::fixed(tensor.dtype(), tensor.shape());
        match &value.def {
            Def::Const(tensor) => fixed(tensor),
            Def::Param(place) => self.model.params.get(*place).map_or(value.spec.clone(), |p| fixed(&p.tensor)),
            _ => value.spec.clone(),
        }
    }

    fn push(&mut self, mut op: OpDef) {
        op.id = self.graph.op.len() as i64;
        self.graph.op.push(op);
    }

    fn data(&mut self, index: usize, input: ValueId) {
        let value = self.entry.value(input);
        let name = self.unique(&value.name);
        let spec = value.spec.clone();
        let attr = BTreeMap::from([attr("index", AttrValue::I(index as i64))]);
        let desc = |port: &str| vec![describe(port, &spec)];
        let (input_desc, output_desc) = (desc("x"), desc("y"));
        self.push(OpDef {
            name: name.clone(),
            r#type: "Data".into(),
            attr,
            input_desc,
            output_desc,
            ..Default::default()
        });
        self.graph.input.push(format!("{name}:0"));
        self.edges.insert(input, Edge { producer: name, index: 0, spec });
    }

    fn tensor(&mut self, wanted: &str, tensor: &Tensor) -> Edge {
        let name = self.unique(wanted);
        let spec = Spec::fixed(tensor.dtype(), tensor.shape());
        let value = TensorDef { desc: Some(describe("", &spec)), data: tensor.bytes().clone() };
        let attr = BTreeMap::from([attr("value", AttrValue::T(value))]);
        let output_desc = vec![describe("y", &spec)];
        self.push(OpDef { name: name.clone(), r#type: "Const".into(), attr, output_desc, ..Default::default() });
        Edge { producer: name, index: 0, spec }
    }

    fn edge(&mut self, id: ValueId) -> Result<Edge, String> {
        if let Some(edge) = self.edges.get(&id) {
            return Ok(edge.clone());
        }
        let value = self.entry.value(id);
        let edge = match &value.def {
            Def::Const(tensor) => self.tensor(&value.name, tensor),
            Def::Param(place) => self.param(*place)?,
            _ => return Err(format!("{} was not written", Printable(&value.name))),
        };
        self.edges.insert(id, edge.clone());
        Ok(edge)
    }

    fn param(&mut self, place: usize) -> Result<Edge, String> {
        if let Some(edge) = self.params.get(&place) {
            return Ok(edge.clone());
        }
        let param = self.model.params.get(place).ok_or("a parameter does not exist")?;
        if param.mutable {
            return Err(format!("parameter {} changes", Printable(&param.name)));
        }
        let edge = self.tensor(&format!("{}_const", param.name), &param.tensor);
        self.params.insert(place, edge.clone());
        Ok(edge)
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        let def = ops::has_form(node)?;
        if let Some(shape) = self.shape(node) {
            let edge = self.tensor(&node.path, &shape);
            self.edges.extend(node.outputs.iter().map(|value| (*value, edge.clone())));
            return Ok(());
        }
        if let Some(steps) = restate::restated(self, node, def)? {
            return steps.iter().try_for_each(|step| self.node(step));
        }
        let row = self.row(node, def).ok_or("its shape is open")?;
        let attrs = row.flags.iter().map(|name| attr(name, AttrValue::B(true))).collect();
        let mut call = Call { inputs: Vec::new(), attrs };
        for ((place, port), param) in row.ports.iter().enumerate().zip(def.params) {
            let arg = node.args.get(place).and_then(Option::as_ref);
            self.argument(&mut call, (node, def), *port, param, arg)?;
        }
        self.emit(node, row, call);
        Ok(())
    }

    /// How a node is written.
    fn row(&self, node: &Node, def: &Operator) -> Option<&'static Row> {
        let rank = |value: ValueId| self.spec(value).dims.map(|dims| dims.len());
        match node.args.first() {
            Some(Some(Arg::Value(x))) if def.name == "Dense" && rank(*x) == Some(2) => Some(&ops::DENSE_MATRICES),
            _ => ops::find(def.name),
        }
    }

    /// What a node computes that asks for a shape, if all dimensions are known.
    fn shape(&self, node: &Node) -> Option<Tensor> {
        let (true, Some(Some(Arg::Value(of)))) = (node.is("Shape"), node.args.first()) else { return None };
        let dims = self.edges.get(of)?.spec.dims.as_ref()?;
        let known = dims.iter().map(|dim| i64::try_from(dim.size()?).ok());
        known.collect::<Option<Vec<i64>>>().map(|dims| Tensor::vector(&dims))
    }

    fn argument(
        &mut self,
        call: &mut Call,
        of: (&Node, &Operator),
        port: Port,
        param: &Param,
        arg: Option<&Arg>,
    ) -> Result<(), String> {
        let value = || ports::constant(param, arg);
        let (name, value) = match port {
            Port::Skip => return Ok(()),
            Port::One => return ports::one(param, &value()?),
            Port::In(name) => return self.input(call, name, arg),
            Port::Matrices(name) => return self.ranked(call, name, arg, ("two or more dimensions", |rank| rank >= 2)),
            Port::Vector(name) => return self.ranked(call, name, arg, ("one dimension", |rank| rank == 1)),
            Port::Like(name) => return self.like(call, name, arg),
            Port::Many(name) => return self.many(call, name, arg),
            Port::Numbers(name) => return self.numbers(call, name, param, arg),
            Port::Word(name) => return self.word(call, name, param, arg),
            Port::Axes(name) => return self.axes(call, name, param, arg),
            Port::Int(name) => (name, ports::int(&value()?)?),
            Port::Ints(name) => (name, ports::list(ports::ints(&value()?)?)),
            Port::Float(name) => (name, ports::float(&value()?)?),
            Port::Flag(name) => (name, ports::flag(&value()?)?),
            Port::Type(name) => (name, AttrValue::Dt(ports::code(ports::element(&value()?)?))),
            Port::Code(name) => (name, AttrValue::I(i64::from(ports::code(ports::element(&value()?)?)))),
            Port::Layout(name) => (name, ports::text(ports::layout(param, arg)?)),
            Port::Named(name, names) => (name, ports::text(ports::named(param, arg, names)?)),
            Port::Mode(name) => match ports::padding(param, arg)? {
                ports::Padding::Same => (name, ports::text("SAME")),
                ports::Padding::Valid => (name, ports::text("VALID")),
                ports::Padding::Given => return Err(format!("{} with given padding", param.name)),
            },
            Port::Window(name) => (name, ports::list(ports::window(ports::ints(&value()?)?))),
            Port::Volume(name) => (name, ports::list(ports::volume(&ports::ints(&value()?)?)?)),
            Port::Pads(name) => (name, ports::list(self.pads(of.0, of.1)?)),
        };
        call.attrs.extend([attr(name, value)]);
        Ok(())
    }

    /// The padding of a convolution: its argument, or what its mode needs.
    fn pads(&self, node: &Node, def: &Operator) -> Result<Vec<i64>, String> {
        let arg = |name: &str| {
            let place = def.params.iter().position(|param| param.name == name);
            let param = place.and_then(|place| def.params.get(place)).ok_or(format!("no argument {name}"))?;
            Ok::<_, String>((param, place.and_then(|place| node.args.get(place)).and_then(Option::as_ref)))
        };
        let numbers = |name: &str| {
            let (param, arg) = arg(name)?;
            ports::ints(&ports::constant(param, arg)?)
        };
        let ((mode, given_mode), (format, given_format)) = (arg("pad_mode")?, arg("format")?);
        let spec = |place: usize| match node.args.get(place) {
            Some(Some(Arg::Value(value))) => Ok(self.spec(*value)),
            _ => Err("a convolution without image or filter".to_string()),
        };
        ports::Convolution {
            mode: ports::padding(mode, given_mode)?,
            given: numbers("pad")?,
            image: &spec(0)?,
            filter: &spec(1)?,
            strides: numbers("stride")?,
            dilations: numbers("dilation")?,
            channels_last: ports::layout(format, given_format)? == "NHWC",
        }
        .pads()
    }

    fn input(&mut self, call: &mut Call, name: &str, arg: Option<&Arg>) -> Result<(), String> {
        let edge = match arg {
            Some(Arg::Value(value)) => Some(self.edge(*value)?),
            Some(Arg::Const(Const::None)) | None => None,
            Some(Arg::Const(value)) => {
                let tensor = ports::number_tensor(value)?;
                Some(self.tensor(name, &tensor))
            }
            Some(Arg::List(_)) => return Err(format!("a tuple as {name}")),
        };
        call.inputs.push((name.to_string(), edge));
        Ok(())
    }

    /// A tensor whose rank must be known to be right.
    fn ranked(
        &mut self,
        call: &mut Call,
        name: &str,
        arg: Option<&Arg>,
        (wanted, fits): (&str, fn(usize) -> bool),
    ) -> Result<(), String> {
        self.input(call, name, arg)?;
        let Some((_, Some(edge))) = call.inputs.last() else { return Ok(()) };
        let rank = edge.spec.dims.as_ref().map(|dims| dims.len());
        if rank.is_some_and(fits) { Ok(()) } else { Err(format!("argument {name} must be known to have {wanted}")) }
    }

    /// What is known of the input that was written first.
    fn first_input(call: &Call) -> Option<&Spec> {
        call.inputs.first().and_then(|(_, edge)| edge.as_ref()).map(|edge| &edge.spec)
    }

    fn like(&mut self, call: &mut Call, name: &str, arg: Option<&Arg>) -> Result<(), String> {
        let Some(Arg::Const(value)) = arg else { return self.input(call, name, arg) };
        let dtype = Self::first_input(call).and_then(|spec| spec.dtype);
        let number = ports::number_like(value, dtype.ok_or("the element type of its operand is open")?)?;
        call.inputs.push((name.to_string(), Some(self.tensor(name, &number))));
        Ok(())
    }

    fn axes(&mut self, call: &mut Call, name: &str, param: &Param, arg: Option<&Arg>) -> Result<(), String> {
        if matches!(arg, Some(Arg::Value(_))) || !ports::ints(&ports::constant(param, arg)?)?.is_empty() {
            return self.numbers(call, name, param, arg);
        }
        let rank = Self::first_input(call).and_then(|spec| spec.dims.as_ref()).map(|dims| dims.len() as i64);
        let all: Vec<i64> = (0..rank.ok_or("the rank of its operand is open")?).collect();
        let edge = self.tensor(name, &Tensor::vector(&all));
        call.inputs.push((name.to_string(), Some(edge)));
        Ok(())
    }

    fn many(&mut self, call: &mut Call, name: &str, arg: Option<&Arg>) -> Result<(), String> {
        let items = match arg {
            Some(Arg::List(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => return Err("no tensors".to_string()),
        };
        for (place, item) in items.iter().enumerate() {
            self.input(call, &format!("{name}{place}"), Some(item))?;
        }
        call.attrs.extend([attr("N", AttrValue::I(items.len() as i64))]);
        Ok(())
    }

    fn numbers(&mut self, call: &mut Call, name: &str, param: &Param, arg: Option<&Arg>) -> Result<(), String> {
        if let Some(Arg::Value(_)) = arg {
            return self.input(call, name, arg);
        }
        let value = ports::constant(param, arg)?;
        let list = ports::ints(&value)?;
        let tensor = match (&value, list.as_slice()) {
            (Const::Int(_), [one]) => Tensor::scalar(*one),
            _ => Tensor::vector(&list),
        };
        let edge = self.tensor(name, &tensor);
        call.inputs.push((name.to_string(), Some(edge)));
        Ok(())
    }

    fn word(&mut self, call: &mut Call, name: &str, param: &Param, arg: Option<&Arg>) -> Result<(), String> {
        let value = ports::constant(param, arg)?;
        let [one] = ports::ints(&value)?[..] else { return Err(format!("expected an integer, found {value}")) };
        let word = i32::try_from(one).map_err(|_| format!("{one} has more than 32 bits"))?;
        let edge = self.tensor(name, &Tensor::scalar(word));
        call.inputs.push((name.to_string(), Some(edge)));
        Ok(())
    }

    fn emit(&mut self, node: &Node, row: &Row, call: Call) {
        let name = self.unique(&node.path);
        let Call { inputs, mut attrs } = call;
        let outputs: Vec<(String, ValueId)> =
            node.outputs.iter().enumerate().map(|(i, value)| (output_name(row, i), *value)).collect();
        let ports: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
        attrs.extend(port_names("_input_name", &ports));
        attrs.extend(port_names("_output_name", &outputs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()));
        let missing: Vec<String> =
            inputs.iter().filter(|(_, edge)| edge.is_none()).map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            attrs.extend([attr("_opt_input", ports::texts(missing))]);
        }
        let none = Spec::default();
        let described =
            |(name, edge): &(String, Option<Edge>)| describe(name, edge.as_ref().map_or(&none, |edge| &edge.spec));
        let op = OpDef {
            name: name.clone(),
            r#type: row.ge.to_string(),
            input: inputs.iter().map(|(_, edge)| edge.as_ref().map(Edge::text).unwrap_or_default()).collect(),
            input_desc: inputs.iter().map(described).collect(),
            output_desc: outputs.iter().map(|(port, v)| describe(port, &self.spec(*v))).collect(),
            attr: attrs,
            ..Default::default()
        };
        self.push(op);
        self.nodes += 1;
        for (index, (_, value)) in outputs.into_iter().enumerate() {
            let spec = self.spec(value);
            self.edges.insert(value, Edge { producer: name.clone(), index, spec });
        }
    }
}

/// Inputs and attributes of a node under construction.
struct Call {
    inputs: Vec<(String, Option<Edge>)>,
    attrs: BTreeMap<String, AttrDef>,
}

fn attr(name: &str, value: AttrValue) -> (String, AttrDef) {
    (name.to_string(), AttrDef { value: Some(value) })
}

/// Names of ports and their numbers, as two lists.
fn port_names(prefix: &str, names: &[String]) -> [(String, AttrDef); 2] {
    let numbers = (0..names.len() as i64).collect();
    [
        attr(&format!("{prefix}_key"), ports::texts(names.iter().cloned())),
        attr(&format!("{prefix}_value"), ports::list(numbers)),
    ]
}

/// Name of a result; a name that ends in `*` is that of any number.
fn output_name(row: &Row, index: usize) -> String {
    match row.outputs.get(index).or(row.outputs.last()) {
        Some(name) => name.strip_suffix('*').map_or_else(|| name.to_string(), |stem| format!("{stem}{index}")),
        None => format!("y{index}"),
    }
}

fn describe(name: &str, spec: &Spec) -> TensorDescriptor {
    let dim = |d: &Dim| d.size().map_or(-1, |n| n as i64);
    let dims = spec.dims.as_ref().map_or_else(|| vec![-2], |dims| dims.iter().map(dim).collect());
    TensorDescriptor {
        name: name.to_string(),
        dtype: spec.dtype.map_or(0, ports::number),
        shape: Some(ShapeDef { dim: dims }),
        layout: "ND".to_string(),
    }
}

fn count(nodes: usize) -> String {
    format!("{nodes} node{}", if nodes == 1 { "" } else { "s" })
}

struct Lines<'a>(&'a [Refusal]);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|Refusal { path, op, why }| write!(f, "\n  {} at {}: {why}", Printable(op), Printable(path)))
    }
}
