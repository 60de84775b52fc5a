//! The portable graph: what a model computes, in MindSpore's operators.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::op::{Const, Effect, OpDef};
use crate::preprocess::Preprocess;
use crate::task::Cell;
use crate::{Id, Spec, Table, Tensor};

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl Id for ValueId {
    fn new(at: usize) -> ValueId {
        ValueId(at as u32)
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

/// A graph of a [`Model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GraphId(pub u32);

impl GraphId {
    /// The graph that a run starts with.
    pub const ENTRY: GraphId = GraphId(0);
}

impl Id for GraphId {
    fn new(at: usize) -> GraphId {
        GraphId(at as u32)
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

/// What a value is defined by.
#[derive(Clone, Debug)]
pub enum Def {
    /// Input of the graph with this index.
    Input(usize),
    /// A constant.
    Const(Tensor),
    /// The model's parameter with this index. Where some node writes the parameter, a use reads what it holds when the node
    /// that uses it runs.
    Param(usize),
    /// A node's result.
    Node,
}

/// A tensor in a [`Graph`].
#[derive(Clone, Debug)]
pub struct Value {
    /// Name in the file without the graph's name in front; unique in the graph.
    pub name: Arc<str>,
    /// What the file declares about it.
    pub spec: Spec,
    /// What defines it.
    pub def: Def,
}

/// An argument of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A tensor.
    Value(ValueId),
    /// A constant that is no tensor.
    Const(Const),
    /// A tuple with tensors in it.
    List(Vec<Arg>),
}

impl Arg {
    /// Calls `f` with every value in the argument.
    pub fn each_value(&self, f: &mut impl FnMut(ValueId)) {
        match self {
            Arg::Value(v) => f(*v),
            Arg::Const(_) => {}
            Arg::List(items) => items.iter().for_each(|a| a.each_value(f)),
        }
    }

    /// Replaces every value in the argument.
    pub fn map_values(&mut self, f: &mut impl FnMut(ValueId) -> ValueId) {
        match self {
            Arg::Value(v) => *v = f(*v),
            Arg::Const(_) => {}
            Arg::List(items) => items.iter_mut().for_each(|a| a.map_values(f)),
        }
    }
}

/// A graph with its leading arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Closure {
    /// What to run.
    pub graph: GraphId,
    /// Its inputs, in order.
    pub args: Vec<Arg>,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// An operator from [`crate::ops::OPS`].
    Op(&'static OpDef),
    /// A primitive that is not in the list. It survives a round trip and is an error only when it must run.
    Opaque(Opaque),
    /// Runs a graph with the node's arguments as inputs. A call whose results are the graph's results is a jump: loops are
    /// such calls back to a graph that is running.
    Call(GraphId),
    /// Runs one of two graphs. Argument 0 is the condition, a `bool` tensor of one element.
    If {
        /// Runs if the condition holds.
        then: Closure,
        /// Runs if not.
        otherwise: Closure,
    },
    /// Runs the graph that argument 0, an integer tensor of one element, counts from the front, or from the back if negative.
    Select(Vec<Closure>),
}

/// An unknown primitive.
#[derive(Clone, Debug, PartialEq)]
pub struct Opaque {
    /// Name of the primitive.
    pub op_type: Arc<str>,
    /// Its attributes.
    pub attrs: Vec<(Arc<str>, Const)>,
}

/// What a file says about a node's primitive that its arguments do not hold. Running it needs none of this; writers put it
/// back.
#[derive(Clone, Debug, PartialEq)]
pub struct Primitive {
    /// MindSpore's name of the primitive, which may be an alias of the operator.
    pub name: Arc<str>,
    /// Whether MindSpore declares it as a function, all of whose arguments are inputs.
    pub function: bool,
    /// Attributes that are no arguments.
    pub attrs: Vec<(Arc<str>, Const)>,
    /// How its results nest: a tuple of one result is told from the result.
    pub nest: Nest,
}

/// One step of a [`Graph`].
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the file.
    pub name: Arc<str>,
    /// Scope path such as `Default/conv1-Conv2d/Conv2D-op0`; the name where the file has none.
    pub path: Arc<str>,
    /// What it does.
    pub kind: NodeKind,
    /// Arguments in the operator's order; missing ones take the default.
    pub args: Vec<Option<Arg>>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// What else the file says, if there is anything else.
    pub primitive: Option<Arc<Primitive>>,
}

impl Node {
    /// Name of the operator, or of the kind of control flow.
    pub fn op_name(&self) -> &str {
        match &self.kind {
            NodeKind::Op(def) => def.name,
            NodeKind::Opaque(o) => &o.op_type,
            NodeKind::Call(_) => "Call",
            NodeKind::If { .. } => "If",
            NodeKind::Select(_) => "Select",
        }
    }

    /// What running the node changes; never [`Effect::WritesIf`].
    pub fn effect(&self) -> Effect {
        match &self.kind {
            NodeKind::Op(OpDef { effect: Effect::WritesIf(flag, writes), .. }) => match self.args.get(*flag) {
                Some(Some(Arg::Const(Const::Bool(true)))) => Effect::Writes(*writes),
                _ => Effect::Pure,
            },
            NodeKind::Op(def) => def.effect,
            _ => Effect::Pure,
        }
    }

    /// Whether the node is operator `name`.
    pub fn is(&self, name: &str) -> bool {
        matches!(&self.kind, NodeKind::Op(def) if def.name == name)
    }

    /// The closures of a control-flow node.
    pub fn closures(&self) -> Vec<&Closure> {
        match &self.kind {
            NodeKind::If { then, otherwise } => vec![then, otherwise],
            NodeKind::Select(branches) => branches.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Calls `f` with every value that the node reads.
    pub fn each_input(&self, f: &mut impl FnMut(ValueId)) {
        self.args.iter().flatten().for_each(|a| a.each_value(f));
        for c in self.closures() {
            c.args.iter().for_each(|a| a.each_value(f));
        }
    }

    /// Replaces every value that the node reads.
    pub fn map_inputs(&mut self, f: &mut impl FnMut(ValueId) -> ValueId) {
        self.args.iter_mut().flatten().for_each(|a| a.map_values(f));
        match &mut self.kind {
            NodeKind::If { then, otherwise } => {
                then.args.iter_mut().chain(&mut otherwise.args).for_each(|a| a.map_values(f));
            }
            NodeKind::Select(branches) => branches.iter_mut().flat_map(|b| &mut b.args).for_each(|a| a.map_values(f)),
            _ => {}
        }
    }
}

/// How arguments or results nest: MindSpore takes and returns tuples of tuples, a [`Graph`] a flat list of tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nest {
    /// One tensor.
    Leaf,
    /// A Python number, which is a tensor without dimensions here.
    Number,
    /// A tuple of any number of Python numbers, which is a tensor of one dimension here.
    Numbers,
    /// Nothing.
    None,
    /// A constant text.
    Text(Arc<str>),
    /// A tuple.
    Tuple(Vec<Nest>),
    /// A list.
    List(Vec<Nest>),
}

impl Nest {
    /// A tensor, or a tuple of tensors unless it is exactly one.
    pub fn results(count: usize) -> Nest {
        if count == 1 { Nest::Leaf } else { Nest::Tuple(vec![Nest::Leaf; count]) }
    }

    /// Number of tensors.
    pub fn leaves(&self) -> usize {
        match self {
            Nest::Leaf | Nest::Number | Nest::Numbers => 1,
            Nest::None | Nest::Text(_) => 0,
            Nest::Tuple(items) | Nest::List(items) => items.iter().map(Nest::leaves).sum(),
        }
    }
}

/// An argument of a call, which one or several inputs of a [`Graph`] stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: Arc<str>,
    /// How the inputs nest in it.
    pub nest: Nest,
}

/// One direction of a recurrent layer: what a graph computes in a loop, and a device may compute as one
/// [task](crate::task::Recurrent), whose results are the graph's.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What a step computes.
    pub cell: Cell,
    /// From the last step to the first.
    pub reverse: bool,
    /// The task's operands: inputs, constants and parameters of the graph.
    pub operands: Vec<ValueId>,
}

/// Operators over tensors, in an order that respects data and effects.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Name in the file.
    pub name: Arc<str>,
    /// All values.
    pub values: Table<ValueId, Value>,
    /// Nodes in execution order.
    pub nodes: Vec<Node>,
    /// Inputs in call order, tuples flattened.
    pub inputs: Vec<ValueId>,
    /// How the inputs nest in the arguments of a call; empty where every input is an argument, a tensor.
    pub arguments: Vec<Argument>,
    /// Results, tuples flattened.
    pub outputs: Vec<ValueId>,
    /// How the results nest.
    pub nest: Nest,
    /// The recurrent layer that it computes, if it is one. No file says so; graphs mean the same without it.
    pub layer: Option<Layer>,
}

impl Graph {
    /// A graph without inputs, nodes or results.
    pub fn new(name: &str) -> Graph {
        Graph {
            name: name.into(),
            values: Table::default(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            arguments: Vec::new(),
            outputs: Vec::new(),
            nest: Nest::None,
            layer: None,
        }
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id]
    }

    /// Adds a value.
    pub fn add_value(&mut self, name: impl Into<Arc<str>>, spec: Spec, def: Def) -> ValueId {
        self.values.add(Value { name: name.into(), spec, def })
    }

    /// For every value, the index of the node whose result it is.
    pub fn producers(&self) -> Table<ValueId, Option<usize>> {
        let mut out = self.values.filled(None);
        for (i, node) in self.nodes.iter().enumerate() {
            for &o in &node.outputs {
                out[o] = Some(i);
            }
        }
        out
    }

    /// For every value, how often nodes and the results read it.
    pub fn uses(&self) -> Table<ValueId, usize> {
        let mut out = self.values.filled(0);
        let mut count = |v: ValueId| out[v] += 1;
        self.nodes.iter().for_each(|n| n.each_input(&mut count));
        self.outputs.iter().copied().for_each(&mut count);
        out
    }
}

/// A weight or state of a model.
#[derive(Clone, Debug)]
pub struct Param {
    /// MindSpore's parameter name.
    pub name: Arc<str>,
    /// What it holds before the first run.
    pub tensor: Tensor,
    /// Whether some node writes it.
    pub mutable: bool,
}

/// What a file says about its origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the program that wrote it.
    pub producer: String,
    /// Version of the program that wrote it.
    pub version: String,
    /// The format of the file and its version.
    pub format: Format,
    /// Text that the user attached.
    pub user_info: Vec<(String, String)>,
}

/// A format of model files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// No file: the model was built.
    #[default]
    None,
    /// MindIR.
    MindIr {
        /// Version of the file's conventions, 0 to 3.
        version: i64,
    },
    /// ONNX.
    Onnx {
        /// Version of the format.
        ir_version: i64,
        /// Versions of the operators by the domain that they belong to; ONNX's own have none.
        opsets: Vec<(String, i64)>,
    },
}

/// A complete model: graphs that call each other, and the parameters that they share.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it comes from.
    pub origin: Origin,
    /// Graphs; the first is the entry.
    pub graphs: Vec<Graph>,
    /// Parameters in the file's order.
    pub params: Vec<Param>,
    /// What the file says about preparing inputs, one entry per column of the dataset that the model was exported with.
    pub preprocess: Vec<Preprocess>,
}

impl Model {
    /// Whether the result of an operator is called by a number as exporters and builders do: `x:31`, `x:31.0`, `Neg_1.0` of
    /// operator `Neg`. ONNX files name every value.
    pub(crate) fn is_numbered(&self, name: &str, op: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let item = name.rsplit_once('.').filter(|(_, item)| digits(item));
        let stem = item.map_or(name, |(stem, _)| stem);
        let last = stem.rsplit(':').next().unwrap_or(stem);
        let by_op = last.strip_prefix(op).and_then(|rest| rest.strip_prefix('_')).is_some_and(digits);
        (item.is_some() && by_op) || (digits(last) && !matches!(self.origin.format, Format::Onnx { .. }))
    }

    /// The names of the results; `None` for those that are only called by a number.
    pub fn result_names(&self) -> Vec<Option<&str>> {
        let graph = self.entry();
        let wanted: HashSet<ValueId> = graph.outputs.iter().copied().collect();
        let made = graph.nodes.iter().flat_map(|node| node.outputs.iter().map(move |id| (*id, node.op_name())));
        let makers: HashMap<ValueId, &str> = made.filter(|(id, _)| wanted.contains(id)).collect();
        let name = |id: &ValueId| {
            let Value { name, def, .. } = graph.value(*id);
            let is_constant = matches!(def, Def::Const(_)) && name.starts_with("constant_");
            let op = makers.get(id).copied().unwrap_or_default();
            (!is_constant && !self.is_numbered(name, op)).then_some(&**name)
        };
        graph.outputs.iter().map(name).collect()
    }

    /// The graph that a run starts with; a model has one.
    pub fn entry(&self) -> &Graph {
        self.graph(GraphId::ENTRY)
    }

    /// How a picture becomes the first input, if the file says so.
    pub fn picture(&self) -> Option<&Preprocess> {
        self.preprocess.iter().find(|p| &*p.column == "image")
    }

    /// The graph `id`, which is one of the model's.
    #[expect(clippy::indexing_slicing, reason = "ids in a model that was verified are of graphs that it has")]
    pub fn graph(&self, id: GraphId) -> &Graph {
        &self.graphs[id.at()]
    }

    /// Every node of an unknown primitive, with its graph.
    pub fn opaque_nodes(&self) -> impl Iterator<Item = (&Graph, &Node)> {
        self.graphs
            .iter()
            .flat_map(|g| g.nodes.iter().map(move |n| (g, n)))
            .filter(|(_, n)| matches!(n.kind, NodeKind::Opaque(_)))
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph {}(", self.name.escape_debug())?;
        for (i, &v) in self.inputs.iter().enumerate() {
            let value = self.value(v);
            write!(f, "{}%{} {}: {}", if i == 0 { "" } else { ", " }, v.0, value.name.escape_debug(), value.spec)?;
        }
        writeln!(f, ")")?;
        for node in &self.nodes {
            self.print_node(node, f)?;
        }
        write!(f, "return")?;
        for v in &self.outputs {
            write!(f, " {}", self.show(*v))?;
        }
        writeln!(f)
    }
}

impl Graph {
    /// A value by number: constants by their contents where these are short, else by what is known of them.
    pub(crate) fn show(&self, v: ValueId) -> String {
        match &self.value(v).def {
            Def::Const(t) if t.count() == 1 => format!("{t:?}"),
            Def::Const(t) => format!("const {}", t.fact()),
            Def::Param(_) => format!("@{}", self.value(v).name.escape_debug()),
            _ => format!("%{}", v.0),
        }
    }

    fn show_arg(&self, arg: &Arg) -> String {
        match arg {
            Arg::Value(v) => self.show(*v),
            Arg::Const(c) => c.to_string(),
            Arg::List(items) => format!("({})", items.iter().map(|a| self.show_arg(a)).collect::<Vec<_>>().join(", ")),
        }
    }

    fn print_node(&self, node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  ")?;
        for (i, o) in node.outputs.iter().enumerate() {
            write!(f, "{}%{}: {}", if i == 0 { "" } else { ", " }, o.0, self.value(*o).spec)?;
        }
        let args: Vec<String> = node.args.iter().map(|a| a.as_ref().map_or("_".into(), |a| self.show_arg(a))).collect();
        write!(f, " = {}({})", node.op_name(), args.join(", "))?;
        if let NodeKind::Call(g) = node.kind {
            write!(f, " graph {}", g.0)?;
        }
        for c in node.closures() {
            let args: Vec<String> = c.args.iter().map(|a| self.show_arg(a)).collect();
            write!(f, " graph {}({})", c.graph.0, args.join(", "))?;
        }
        writeln!(f, "  # {}", node.path.escape_debug())
    }
}
