//! One graph: a walk from its results over data and effects, in which every node becomes what it stands for.
//!
//! A node is reached after everything that it depends on: its arguments, the second argument of `Depend`, and effect tokens
//! with what they wait for. The order in which operators are reached is the order of the result's nodes. Reads of
//! parameters come before whatever consumes the same token, so that later writes cannot overtake them.
//!
//! Calls of graphs that cannot lead back to themselves continue the walk inside of the called graph.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mindir_graph::graph::{Arg, Def, Graph, Node, NodeKind, ValueId};
use mindir_graph::op::Const;
use mindir_graph::{Spec, Tensor};

use super::super::framework::Framework;
use super::call::Shared;
use super::fault::{GraphFault, Located};
use super::places::{self, Places};
use super::program::{Program, Ref, WireGraph, WireKind, WireNode};
use super::sym::{Function, FunctionKind, Sym};

/// A graph under construction.
pub(super) struct Walk<'w, 'a> {
    pub program: &'w Program<'a>,
    pub shared: &'w mut Shared,
    pub graph: Graph,
    /// For every node, whether it does more than compute its results.
    pub effects: Vec<bool>,
    /// What operators wrote in place.
    pub places: Places,
    /// Inputs whose last contents are results of the graph after those that the file declares.
    pub returns: Vec<ValueId>,
    /// The graph's number among the graphs whose inputs are written in place.
    pub number: usize,
    pub tensors: HashMap<usize, ValueId>,
    frames: Vec<Frame>,
    names: HashMap<Arc<str>, usize>,
    params: HashMap<usize, ValueId>,
}

/// A graph of the file whose nodes are being reached.
struct Frame {
    graph: usize,
    inputs: Vec<Sym>,
    slots: Vec<Slot>,
    stack: Vec<Visit>,
    /// Number of results that were asked for.
    asked: usize,
    /// Tokens whose reads were asked for.
    flushed: HashSet<Ref>,
}

enum Slot {
    Waiting,
    Open,
    Done(Sym),
}

/// A node and what must come before it.
struct Visit {
    node: usize,
    needs: Vec<Need>,
    next: usize,
}

#[derive(Clone, Copy)]
struct Need {
    node: usize,
    /// Whether the node cannot do without.
    hard: bool,
}

/// What a node stands for, or the graph to walk to know it.
pub(super) enum Outcome {
    Is(Sym),
    Inside { graph: usize, args: Vec<Sym> },
}

impl<'w, 'a> Walk<'w, 'a> {
    pub(super) fn new(program: &'w Program<'a>, shared: &'w mut Shared, name: &str) -> Walk<'w, 'a> {
        Walk {
            program,
            shared,
            graph: Graph::new(name),
            effects: Vec::new(),
            places: Places::default(),
            returns: Vec::new(),
            number: 0,
            tensors: HashMap::new(),
            frames: Vec::new(),
            names: HashMap::new(),
            params: HashMap::new(),
        }
    }

    /// Reaches everything that graph `graph` of the file needs, and returns what it returns.
    pub(super) fn run(&mut self, graph: usize, inputs: Vec<Sym>) -> Result<Sym, Located> {
        self.enter(graph, inputs).map_err(|fault| fault.at("", ""))?;
        loop {
            match self.step() {
                Ok(None) => {}
                Ok(Some(result)) => return Ok(result),
                Err(fault) => return Err(self.locate(fault)),
            }
        }
    }

    /// Whether nothing is left to do after what is being reached but to return its results.
    pub(super) fn ends(&self) -> bool {
        self.frames.iter().all(|frame| match (self.program.graph(frame.graph), frame.stack.last()) {
            (Ok(wire), Some(visit)) => places::is_last(wire, visit.node),
            _ => false,
        })
    }

    /// How many graphs of the file the walk is inside of.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    fn enter(&mut self, graph: usize, inputs: Vec<Sym>) -> Result<(), GraphFault> {
        let wire = self.program.graph(graph)?;
        self.shared.spend(wire.nodes.len() + inputs.len())?;
        let slots = wire.nodes.iter().map(|_| Slot::Waiting).collect();
        self.frames.push(Frame { graph, inputs, slots, stack: Vec::new(), asked: 0, flushed: HashSet::new() });
        Ok(())
    }

    /// One step; the result of the first graph when the walk is over.
    fn step(&mut self) -> Result<Option<Sym>, GraphFault> {
        let program = self.program;
        let frame = self.frames.last_mut().ok_or(GraphFault::Missing("a graph"))?;
        let wire = program.graph(frame.graph)?;
        let Some(visit) = frame.stack.last_mut() else {
            let Some(result) = wire.outputs.get(frame.asked) else { return self.leave() };
            frame.asked += 1;
            if let Ref::Node(_, node) = result {
                return self.ask(Need { node: *node, hard: true }).map(|()| None);
            }
            return Ok(None);
        };
        if let Some(&need) = visit.needs.get(visit.next) {
            visit.next += 1;
            return self.ask(need).map(|()| None);
        }
        let node = visit.node;
        let wire_node = wire.nodes.get(node).ok_or(GraphFault::Missing("a node"))?;
        match self.node(wire_node)? {
            Outcome::Is(sym) => self.done(sym),
            Outcome::Inside { graph, args } => self.enter(graph, args)?,
        }
        Ok(None)
    }

    /// Opens a node unless it is done.
    fn ask(&mut self, need: Need) -> Result<(), GraphFault> {
        let program = self.program;
        let frame = self.frames.last_mut().ok_or(GraphFault::Missing("a graph"))?;
        let wire = program.graph(frame.graph)?;
        let slot = frame.slots.get_mut(need.node).ok_or(GraphFault::Missing("a node"))?;
        match slot {
            Slot::Done(_) => return Ok(()),
            Slot::Open if need.hard => return Err(GraphFault::Cycle),
            Slot::Open => return Ok(()),
            Slot::Waiting => *slot = Slot::Open,
        }
        let node = wire.nodes.get(need.node).ok_or(GraphFault::Missing("a node"))?;
        let needs = needs(wire, node, &mut frame.flushed);
        let cost = needs.len();
        frame.stack.push(Visit { node: need.node, needs, next: 0 });
        self.shared.spend(cost + 1)
    }

    /// Closes the node on top.
    fn done(&mut self, sym: Sym) {
        let Some(frame) = self.frames.last_mut() else { return };
        let Some(visit) = frame.stack.pop() else { return };
        if let Some(slot) = frame.slots.get_mut(visit.node) {
            *slot = Slot::Done(sym);
        }
    }

    /// Leaves the innermost graph with its result.
    fn leave(&mut self) -> Result<Option<Sym>, GraphFault> {
        let frame = self.frames.last().ok_or(GraphFault::Missing("a graph"))?;
        let program = self.program;
        let wire = program.graph(frame.graph)?;
        let mut results = Vec::with_capacity(wire.outputs.len());
        for result in &wire.outputs {
            let result = self.sym(*result)?;
            results.push(self.current(&result)?);
        }
        let result = match (results.pop(), results.is_empty()) {
            (Some(one), true) => one,
            (last, _) => Sym::tuple(results.into_iter().chain(last).collect())?,
        };
        self.frames.pop();
        if self.frames.is_empty() {
            return Ok(Some(result));
        }
        self.done(result);
        Ok(None)
    }

    /// What a name stands for where the walk is.
    pub(super) fn sym(&self, name: Ref) -> Result<Sym, GraphFault> {
        let frame = self.frames.last().ok_or(GraphFault::Missing("a graph"))?;
        match name {
            Ref::Node(_, node) => match frame.slots.get(node) {
                Some(Slot::Done(sym)) => Ok(sym.clone()),
                _ => Err(GraphFault::Cycle),
            },
            Ref::Input(_, input) => frame.inputs.get(input).cloned().ok_or(GraphFault::Missing("an argument")),
            Ref::Param(param) => Ok(Sym::Param(param)),
            Ref::Const(constant) => {
                self.program.consts.get(constant).cloned().ok_or(GraphFault::Missing("a constant"))?
            }
            Ref::Graph(graph) => Ok(Sym::Function(Function::new(FunctionKind::Graph { graph, bound: Vec::new() })?)),
        }
    }

    fn node(&mut self, node: &WireNode<'a>) -> Result<Outcome, GraphFault> {
        let args: Result<Vec<_>, _> = node.inputs.iter().map(|input| self.sym(*input)).collect();
        let args = args?;
        self.shared.spend(args.iter().map(Sym::parts).sum())?;
        match node.kind {
            WireKind::Framework(what) => self.framework(what, node, args).map(Outcome::Is),
            WireKind::Operator(operator) => self.operator(operator, node, args).map(Outcome::Is),
            WireKind::Call(target) => {
                let function = self.sym(target)?.function()?;
                self.call(&function, args, node)
            }
        }
    }

    fn framework(&mut self, what: Framework, node: &WireNode<'a>, args: Vec<Sym>) -> Result<Sym, GraphFault> {
        let mut args = args.into_iter();
        let mut arg = || args.next().ok_or(GraphFault::Missing("an argument"));
        match what {
            Framework::Load => {
                let place = arg()?;
                self.load(place, node.short, node.proto.domain.as_deref())
            }
            Framework::UpdateState => Ok(Sym::Token),
            Framework::Depend | Framework::Return => self.current(&arg()?),
            Framework::MakeTuple | Framework::MakeList => Sym::tuple(args.collect()),
            Framework::GetItem | Framework::GetListItem => {
                let (tuple, index) = (arg()?, arg()?);
                self.item(tuple, index, node)
            }
            Framework::Partial => {
                let function = arg()?.function()?;
                let bound: Vec<Sym> = args.collect();
                self.shared.spend(function.parts().saturating_mul(bound.len() + 1))?;
                Ok(Sym::Function(function.bind(&bound)?))
            }
            Framework::Switch => {
                let (condition, then, otherwise) = (arg()?, arg()?.function()?, arg()?.function()?);
                Ok(Sym::Function(Function::new(FunctionKind::Switch { condition, then, otherwise })?))
            }
            Framework::SwitchLayer => {
                let (index, branches) = (arg()?, arg()?);
                let Sym::Tuple(branches) = branches else {
                    return Err(GraphFault::Kind { expected: "a tuple of functions", found: branches.describe() });
                };
                let branches: Result<Vec<_>, _> = branches.items.iter().map(|item| item.clone().function()).collect();
                Ok(Sym::Function(Function::new(FunctionKind::Select { index, branches: branches? })?))
            }
        }
    }

    /// What a parameter or another place holds at this point.
    pub(super) fn load(&mut self, place: Sym, name: &str, path: Option<&str>) -> Result<Sym, GraphFault> {
        let param = match place {
            Sym::Param(param) | Sym::Written { param, .. } => param,
            other => return self.current(&other),
        };
        if !self.shared.written.contains(&param) {
            return Ok(Sym::Param(param));
        }
        let spec = self.program.params.get(param).map(|p| Spec::fixed(p.tensor.dtype(), p.tensor.shape()));
        let kind = self.primitive("Load");
        let from = self.param(param);
        let value = self.result(name, spec.unwrap_or_default());
        self.emit_named(name, path, kind, vec![Some(Arg::Value(from))], vec![value], false)?;
        Ok(Sym::Value(value))
    }

    /// An element of a tuple.
    fn item(&mut self, tuple: Sym, index: Sym, node: &WireNode<'a>) -> Result<Sym, GraphFault> {
        let number = self.number(&index);
        let place = |len: usize| {
            let index = number.ok_or(GraphFault::Unsupported("a tuple's element chosen at run time".to_string()))?;
            let place = if index < 0 { index.checked_add_unsigned(len as u64) } else { Some(index) };
            let place = place.and_then(|place| usize::try_from(place).ok()).filter(|place| *place < len);
            place.ok_or(GraphFault::Index { index, len })
        };
        match &tuple {
            Sym::Tuple(tuple) => {
                let place = place(tuple.items.len())?;
                return tuple.items.get(place).cloned().ok_or(GraphFault::Missing("an element"));
            }
            Sym::Const(value) => {
                if let Const::Tuple(items) = &**value {
                    let place = place(items.len())?;
                    return items.get(place).cloned().map(Sym::constant).ok_or(GraphFault::Missing("an element"));
                }
                return Err(GraphFault::Kind { expected: "a tuple", found: tuple.describe() });
            }
            Sym::Token | Sym::Function(_) => {
                return Err(GraphFault::Kind { expected: "a tuple", found: tuple.describe() });
            }
            _ => {}
        }
        let index = match number {
            Some(number) => Arg::Const(Const::Int(number)),
            None => Arg::Value(self.value(&index)?),
        };
        let from = self.value(&tuple)?;
        let value = self.element(node, from, index)?;
        Ok(Sym::Value(value))
    }

    /// An element of a tensor of one dimension that stands for a tuple.
    pub(super) fn element(&mut self, node: &WireNode<'a>, from: ValueId, index: Arg) -> Result<ValueId, GraphFault> {
        let spec = Spec { dtype: self.graph.value(from).spec.dtype, dims: Some(Default::default()) };
        let value = self.result(node.short, spec);
        let kind = self.primitive("TupleGetItem");
        self.emit(node, kind, vec![Some(Arg::Value(from)), Some(index)], vec![value], false)?;
        Ok(value)
    }

    /// The integer that a constant is.
    fn number(&self, sym: &Sym) -> Option<i64> {
        match sym {
            Sym::Const(value) => match **value {
                Const::Int(number) => Some(number),
                Const::Bool(flag) => Some(i64::from(flag)),
                _ => None,
            },
            Sym::Tensor(tensor) => {
                let (_, tensor) = self.program.tensors.get(*tensor)?;
                let small = tensor.count() == 1 && tensor.dtype().is_int();
                small.then(|| tensor.to_i64s().ok()?.first().copied()).flatten()
            }
            _ => None,
        }
    }

    fn locate(&self, fault: GraphFault) -> Located {
        let Some(frame) = self.frames.last() else { return fault.at("", "") };
        let wire = self.program.graphs.get(frame.graph);
        let node = frame.stack.last().and_then(|visit| wire?.nodes.get(visit.node));
        fault.at(wire.map_or("", |wire| wire.name), node.map_or("", |node| node.name))
    }
}

/// What must come before a node: what it takes, and then the reads of parameters at the tokens that it takes.
fn needs(wire: &WireGraph<'_>, node: &WireNode<'_>, flushed: &mut HashSet<Ref>) -> Vec<Need> {
    let later = usize::from(matches!(node.kind, WireKind::Framework(Framework::Depend)));
    let order = node.inputs.iter().skip(later).chain(node.inputs.iter().take(later));
    let called = if let WireKind::Call(target) = node.kind { Some(target) } else { None };
    let of = |r: Ref, hard: bool| if let Ref::Node(_, node) = r { Some(Need { node, hard }) } else { None };
    let mut needs: Vec<Need> = called.into_iter().chain(order.copied()).filter_map(|r| of(r, true)).collect();
    if matches!(node.kind, WireKind::Framework(Framework::Load | Framework::Depend)) {
        return needs;
    }
    for input in &node.inputs {
        if let Some(loads) = wire.loads.get(input)
            && flushed.insert(*input)
        {
            needs.extend(loads.iter().map(|&node| Need { node, hard: false }));
        }
    }
    needs
}

/// Adding to the graph under construction.
impl<'a> Walk<'_, 'a> {
    /// Appends a node.
    pub(super) fn emit(
        &mut self,
        node: &WireNode<'a>,
        kind: NodeKind,
        args: Vec<Option<Arg>>,
        outputs: Vec<ValueId>,
        effect: bool,
    ) -> Result<(), GraphFault> {
        self.emit_named(node.short, node.proto.domain.as_deref(), kind, args, outputs, effect)
    }

    /// Appends a node with a name and, if there is one, a scope path.
    pub(super) fn emit_named(
        &mut self,
        name: &str,
        path: Option<&str>,
        kind: NodeKind,
        args: Vec<Option<Arg>>,
        outputs: Vec<ValueId>,
        effect: bool,
    ) -> Result<(), GraphFault> {
        let length = name.len() + path.map_or(0, str::len);
        self.shared.spend(1 + args.len() + outputs.len() + length / 8)?;
        self.shared.emitted += 1;
        let name: Arc<str> = name.into();
        // Calls have a number instead of a path.
        let path = path.filter(|path| path.contains('/')).map_or(name.clone(), Arc::from);
        self.graph.nodes.push(Node { name, path, kind, args, outputs, primitive: None });
        self.effects.push(effect);
        Ok(())
    }

    /// The operator called `name`.
    pub(super) fn primitive(&self, name: &str) -> NodeKind {
        match mindir_graph::ops::find(name) {
            Some(def) => NodeKind::Op(def),
            None => NodeKind::Opaque(mindir_graph::graph::Opaque { op_type: name.into(), attrs: Vec::new() }),
        }
    }

    /// A value for a node's result.
    pub(super) fn result(&mut self, name: &str, spec: Spec) -> ValueId {
        self.add(name, spec, Def::Node)
    }

    /// A value with a name that no other value of the graph has.
    pub(super) fn add(&mut self, name: &str, spec: Spec, def: Def) -> ValueId {
        let base: Arc<str> = name.into();
        let count = self.names.entry(base.clone()).or_insert(0);
        *count += 1;
        let mut name = base.clone();
        let mut number = *count;
        while number > 1 {
            let numbered: Arc<str> = format!("{base}#{number}").into();
            if let std::collections::hash_map::Entry::Vacant(free) = self.names.entry(numbered.clone()) {
                free.insert(1);
                name = numbered;
                self.names.insert(base, number);
                break;
            }
            number += 1;
        }
        self.graph.add_value(name, spec, def)
    }

    /// The value that stands for a parameter.
    pub(super) fn param(&mut self, param: usize) -> ValueId {
        if let Some(value) = self.params.get(&param) {
            return *value;
        }
        let (name, spec) = match self.program.params.get(param) {
            Some(p) => (p.name.clone(), Spec::fixed(p.tensor.dtype(), p.tensor.shape())),
            None => ("".into(), Spec::default()),
        };
        let value = self.add(&name, spec, Def::Param(param));
        self.params.insert(param, value);
        value
    }

    fn tensor(&mut self, number: usize) -> Result<ValueId, GraphFault> {
        if let Some(value) = self.tensors.get(&number) {
            return Ok(*value);
        }
        let (name, tensor) = self.program.tensors.get(number).ok_or(GraphFault::Missing("a constant"))?;
        let value = self.constant(name, tensor.clone());
        self.tensors.insert(number, value);
        Ok(value)
    }

    pub(super) fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.add(name, Spec::fixed(tensor.dtype(), tensor.shape()), Def::Const(tensor))
    }

    /// The tensor that something is; numbers become tensors without dimensions.
    pub(super) fn value(&mut self, sym: &Sym) -> Result<ValueId, GraphFault> {
        match sym {
            Sym::Value(value) | Sym::Written { value, .. } => Ok(*value),
            Sym::Param(param) => Ok(self.param(*param)),
            Sym::Tensor(tensor) => self.tensor(*tensor),
            Sym::Const(value) => {
                let wrong = GraphFault::Kind { expected: "a tensor", found: sym.describe() };
                let tensor = number_tensor(value).ok_or(wrong)?;
                Ok(self.constant("number", tensor))
            }
            _ => Err(GraphFault::Kind { expected: "a tensor", found: sym.describe() }),
        }
    }

    /// Something as an argument of an operator.
    pub(super) fn arg(&mut self, sym: &Sym) -> Result<Arg, GraphFault> {
        match sym {
            Sym::Const(value) => {
                self.shared.spend(weight(value))?;
                Ok(Arg::Const((**value).clone()))
            }
            Sym::Tuple(tuple) => {
                let tokens = |item: &&Sym| !matches!(item, Sym::Token);
                let items: Result<Vec<_>, _> = tuple.items.iter().filter(tokens).map(|item| self.arg(item)).collect();
                Ok(list(items?))
            }
            other => self.value(other).map(Arg::Value),
        }
    }
}

/// A tuple argument; one constant if there is no tensor in it.
fn list(items: Vec<Arg>) -> Arg {
    if !items.iter().all(|item| matches!(item, Arg::Const(_))) {
        return Arg::List(items);
    }
    Arg::Const(Const::Tuple(
        items.into_iter().filter_map(|item| if let Arg::Const(c) = item { Some(c) } else { None }).collect(),
    ))
}

/// Number of parts of a constant.
pub(super) fn weight(value: &Const) -> usize {
    if let Const::Tuple(items) = value { 1 + items.iter().map(weight).sum::<usize>() } else { 1 }
}

/// A number as a tensor without dimensions, a tuple of integers as one with one dimension.
pub(super) fn number_tensor(value: &Const) -> Option<Tensor> {
    Some(match value {
        Const::Bool(flag) => Tensor::from_bools(&[], &[*flag]).ok()?,
        Const::Int(number) => Tensor::scalar(*number),
        Const::Float(number) => Tensor::scalar(*number),
        Const::Double(number) => Tensor::scalar(*number),
        Const::DType(dtype) => Tensor::scalar(dtype.type_id()),
        Const::Tensor(tensor) => tensor.clone(),
        Const::Tuple(items) => {
            let number = |item: &Const| if let Const::Int(number) = item { Some(*number) } else { None };
            Tensor::vector(&items.iter().map(number).collect::<Option<Vec<i64>>>()?)
        }
        _ => return None,
    })
}
