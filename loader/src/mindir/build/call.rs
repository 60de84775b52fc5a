//! Calls: of graphs, of functions chosen at run time, and the graphs that they need.
//!
//! A called graph is read once for every combination of parameters, constants, functions and tuples that its arguments
//! hold; only tensors stay arguments. So weights that are passed along become uses of the parameter, effect tokens
//! disappear, and functions that are passed along are known where they are called.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use mindir_graph::{
    Spec,
    graph::{Arg, Closure, Graph, GraphId, Nest, NodeKind, ValueId},
    op::Const,
};

use super::{
    fault::{GraphFault, Located},
    form::Form,
    interface,
    operator::part_name,
    program::{Program, WireGraph, WireInput, WireNode},
    sym::{Function, FunctionKind, Sym},
    tidy,
    walk::{Outcome, Walk, number_tensor, weight},
};

/// Graphs of the file inside of graphs of the file that a walk enters.
const DEEPEST: usize = 128;
/// Versions of one graph up to which numbers are part of the version.
const VERSIONS: usize = 64;

/// What the construction of all graphs shares.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Parameters that are assumed to change.
    pub written: BTreeSet<usize>,
    /// Parameters that some operator writes.
    pub found: BTreeSet<usize>,
    /// Nodes so far.
    pub emitted: usize,
    /// Nodes up to which called graphs become part of the caller.
    room: usize,
    /// Work that may still be done.
    fuel: usize,
    keys: HashMap<Vec<u64>, usize>,
    versions: HashMap<usize, usize>,
    /// Graphs that are needed, in the order of their numbers.
    plans: Vec<Plan>,
}

/// A graph to build.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    name: String,
    /// The graph of the file, unless the first argument is the function to call.
    graph: Option<usize>,
    args: Vec<Sym>,
    inputs: Vec<(String, Spec)>,
    /// What it returns; `None` for the entry, which returns what it returns.
    form: Option<Form>,
}

impl Shared {
    pub(super) fn new(program: &Program<'_>, written: BTreeSet<usize>) -> Shared {
        let size = program.size();
        Shared {
            written,
            room: size.saturating_mul(16).saturating_add(1 << 14),
            fuel: size.saturating_mul(256).saturating_add(1 << 22),
            ..Shared::default()
        }
    }

    /// Takes note of work.
    pub(super) fn spend(&mut self, work: usize) -> Result<(), GraphFault> {
        self.fuel = self.fuel.checked_sub(work).ok_or(GraphFault::Excess("calls"))?;
        Ok(())
    }
}

/// Builds the entry graph and all graphs that it needs.
pub(super) fn build(program: &Program<'_>, shared: &mut Shared) -> Result<Vec<Graph>, Located> {
    let entry = program.graph(0).and_then(entry).map_err(|fault| fault.at("", ""))?;
    shared.plans.push(entry);
    let mut graphs = Vec::new();
    while let Some(plan) = shared.plans.get(graphs.len()).cloned() {
        graphs.push(one(program, shared, plan)?);
    }
    Ok(graphs)
}

fn entry(wire: &WireGraph<'_>) -> Result<Plan, GraphFault> {
    let mut inputs = Vec::new();
    let args: Result<Vec<_>, _> =
        wire.inputs.iter().map(|input| input_sym(&input.form, wire.short(input.name), &mut inputs)).collect();
    Ok(Plan { name: wire.name.to_string(), graph: Some(0), args: args?, inputs, form: None })
}

/// What an input of the entry graph stands for; its tensors go to `inputs`.
fn input_sym(form: &Form, name: &str, inputs: &mut Vec<(String, Spec)>) -> Result<Sym, GraphFault> {
    let unsupported = |what| Err(GraphFault::Unsupported(format!("{what} as input {}", crate::Printable(name))));
    match form {
        Form::Tuple(items) => {
            let item = |(place, item)| input_sym(item, &part_name(name, place), inputs);
            Sym::tuple(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Form::None => Ok(Sym::constant(Const::None)),
        Form::Token => Ok(Sym::Token),
        Form::Text => unsupported("text"),
        Form::Function => unsupported("a function"),
        Form::Any(_) if form.vector().is_none() => unsupported("a tuple of any number of tensors"),
        Form::Tensor(spec) if spec.dtype.is_none() => unsupported("a tensor of an unknown element type"),
        Form::Unknown | Form::Tensor(_) | Form::Scalar(_) | Form::Any(_) => {
            inputs.push((name.to_string(), form.spec()));
            Ok(Sym::Value(ValueId(inputs.len() as u32 - 1)))
        }
    }
}

fn one(program: &Program<'_>, shared: &mut Shared, plan: Plan) -> Result<Graph, Located> {
    let name = plan.name.clone();
    let mut walk = Walk::new(program, shared, &plan.name);
    for (place, (name, spec)) in plan.inputs.into_iter().enumerate() {
        let value = walk.add(&name, spec, mindir_graph::graph::Def::Input(place));
        walk.graph.inputs.push(value);
    }
    let result = match plan.graph {
        Some(graph) => walk.run(graph, plan.args)?,
        None => walk.dispatch(plan.args, plan.form.as_ref()).map_err(|fault| fault.at(&name, ""))?,
    };
    let mut outputs = Vec::new();
    let nest = walk.give(&result, plan.form.as_ref(), &mut outputs).map_err(|fault| fault.at(&name, ""))?;
    walk.graph.outputs = outputs;
    walk.graph.nest = nest;
    if plan.form.is_none()
        && let Ok(wire) = program.graph(0)
    {
        walk.graph.arguments = interface::arguments(wire);
        interface::refine(&mut walk.graph.nest, wire.proto);
    }
    Ok(tidy::tidy(walk.graph, &walk.effects))
}

/// What a control-flow node calls.
struct Target {
    function: Rc<Function>,
    form: Form,
}

impl<'a> Walk<'_, 'a> {
    /// Calls a function, or says which graph to continue in.
    pub(super) fn call(
        &mut self,
        function: &Rc<Function>,
        args: Vec<Sym>,
        wire: &WireGraph<'a>,
        node: &WireNode<'a>,
    ) -> Result<Outcome, GraphFault> {
        self.shared.spend(function.parts().saturating_mul(args.len() + 1))?;
        let function = function.bind(&args)?;
        if let FunctionKind::Graph { graph, bound } = &function.kind {
            let target = self.program.graph(*graph)?;
            arity(target, bound.len())?;
            if !target.looping && self.depth() < DEEPEST && self.shared.emitted < self.shared.room {
                return Ok(Outcome::Inside { graph: *graph, args: bound.clone() });
            }
        }
        let form = match Form::of_node(node.proto) {
            Form::Unknown if node.picked > 0 => Form::Tuple(vec![Form::Unknown; node.picked]),
            form => form,
        };
        let form = self.returned(&function)?.unwrap_or(form);
        let (name, path) = (wire.short(node.name), node.proto.domain.as_deref());
        self.branch(&function, form, name, path).map(Outcome::Is)
    }

    /// The body of a graph whose first argument is the function to call.
    fn dispatch(&mut self, args: Vec<Sym>, form: Option<&Form>) -> Result<Sym, GraphFault> {
        let mut args = args.into_iter();
        let function = args.next().ok_or(GraphFault::Missing("a function"))?.function()?;
        let form = form.cloned().unwrap_or(Form::Unknown);
        self.branch(&function, form, "result", None)
    }

    /// Appends the node that calls a function, all of whose arguments are bound.
    fn branch(
        &mut self,
        function: &Rc<Function>,
        form: Form,
        name: &str,
        path: Option<&str>,
    ) -> Result<Sym, GraphFault> {
        let to = |function: &Rc<Function>| Target { function: function.clone(), form: form.clone() };
        let (kind, args) = match &function.kind {
            FunctionKind::Graph { .. } => {
                let closure = self.closure(&to(function))?;
                (NodeKind::Call(closure.graph), closure.args.into_iter().map(Some).collect())
            }
            FunctionKind::Switch { condition, then, otherwise } => {
                let condition = self.value(condition)?;
                let (then, otherwise) = (self.closure(&to(then))?, self.closure(&to(otherwise))?);
                (NodeKind::If { then, otherwise }, vec![Some(Arg::Value(condition))])
            }
            FunctionKind::Select { index, branches } => {
                let index = self.value(index)?;
                let branches: Result<Vec<_>, _> = branches.iter().map(|branch| self.closure(&to(branch))).collect();
                (NodeKind::Select(branches?), vec![Some(Arg::Value(index))])
            }
        };
        let mut outputs = Vec::new();
        let sym = self.allocate(&form, name, &mut outputs)?;
        self.emit_named(name, path, kind, args, outputs, true)?;
        Ok(sym)
    }

    /// What the graphs behind a function declare to return, if they do.
    fn returned(&mut self, function: &Rc<Function>) -> Result<Option<Form>, GraphFault> {
        let mut found: Option<Form> = None;
        let mut rest = vec![function.clone()];
        while let Some(function) = rest.pop() {
            self.shared.spend(1)?;
            let graph = match &function.kind {
                FunctionKind::Graph { graph, .. } => *graph,
                FunctionKind::Switch { then, otherwise, .. } => {
                    rest.extend([otherwise.clone(), then.clone()]);
                    continue;
                }
                FunctionKind::Select { branches, .. } => {
                    rest.extend(branches.iter().rev().cloned());
                    continue;
                }
            };
            let form = &self.program.graph(graph)?.form;
            match &found {
                _ if *form == Form::Unknown => {}
                None => found = Some(form.clone()),
                Some(other) if !other.same_nest(form) => return Err(GraphFault::Results),
                Some(_) => {}
            }
        }
        Ok(found)
    }

    /// The graph for a function, and the tensors it takes.
    fn closure(&mut self, target: &Target) -> Result<Closure, GraphFault> {
        let (graph, args, name) = match &target.function.kind {
            FunctionKind::Graph { graph, bound } => {
                let wire = self.program.graph(*graph)?;
                arity(wire, bound.len())?;
                (Some(*graph), bound.clone(), wire.name)
            }
            _ => (None, vec![Sym::Function(target.function.clone())], "choice"),
        };
        let wire = graph.and_then(|graph| self.program.graphs.get(graph));
        let many = graph.is_some_and(|graph| self.shared.versions.get(&graph).is_some_and(|n| *n >= VERSIONS));
        let mut split = Split {
            key: vec![graph.map_or(0, |graph| graph as u64 + 1)],
            inputs: Vec::new(),
            args: Vec::new(),
            merge: graph.is_none(),
            tensors: wire.is_some_and(|wire| wire.looping) || many,
            numbers: many,
        };
        let mut kept = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            let input = wire.and_then(|wire: &WireGraph<'_>| Some((wire, wire.inputs.get(place)?)));
            kept.push(self.split(arg, &label(input, place), &mut split)?);
        }
        let Split { key, inputs, args, .. } = split;
        if let Some(id) = self.shared.keys.get(&key) {
            let same = self.shared.plans.get(*id).and_then(|plan| plan.form.as_ref());
            return match same {
                Some(form) if form.same_nest(&target.form) => Ok(Closure { graph: GraphId(*id as u32), args }),
                _ => Err(GraphFault::Results),
            };
        }
        let id = self.shared.plans.len();
        self.shared.spend(key.len())?;
        self.shared.keys.insert(key, id);
        if let Some(graph) = graph {
            *self.shared.versions.entry(graph).or_insert(0) += 1;
        }
        let plan = Plan { name: name.to_string(), graph, args: kept, inputs, form: Some(target.form.clone()) };
        self.shared.plans.push(plan);
        Ok(Closure { graph: GraphId(id as u32), args })
    }

    /// Divides an argument into what the called graph is read with, and tensors.
    fn split(&mut self, arg: &Sym, label: &Label<'_>, into: &mut Split) -> Result<Sym, GraphFault> {
        self.shared.spend(1)?;
        match arg {
            Sym::Param(param) | Sym::Written { param, .. } => {
                into.key.extend([1, *param as u64]);
                return Ok(Sym::Param(*param));
            }
            Sym::Token => {
                into.key.push(2);
                return Ok(Sym::Token);
            }
            Sym::Tensor(tensor) if !into.tensors => {
                into.key.extend([3, *tensor as u64]);
                return Ok(Sym::Tensor(*tensor));
            }
            Sym::Const(value) if !into.numbers || number_tensor(value).is_none() => {
                self.shared.spend(weight(value))?;
                into.key.push(4);
                encode(value, &mut into.key);
                return Ok(arg.clone());
            }
            Sym::Tuple(tuple) => {
                into.key.extend([5, tuple.items.len() as u64]);
                let item = |(place, item)| self.split(item, &label.item(place), into);
                return Sym::tuple(tuple.items.iter().enumerate().map(item).collect::<Result<_, _>>()?);
            }
            Sym::Function(function) => return self.split_function(function, label, into).map(Sym::Function),
            Sym::Value(_) | Sym::Tensor(_) | Sym::Const(_) => {}
        }
        let value = self.value(arg)?;
        self.shared.spend(label.name.len() / 8 + if into.merge { into.args.len() } else { 0 })?;
        if into.merge
            && let Some(place) = into.args.iter().position(|other| *other == Arg::Value(value))
        {
            into.key.extend([10, place as u64]);
            return Ok(Sym::Value(ValueId(place as u32)));
        }
        into.key.push(6);
        into.args.push(Arg::Value(value));
        let spec = label.form.spec();
        into.inputs.push((label.name.clone(), spec));
        Ok(Sym::Value(ValueId(into.inputs.len() as u32 - 1)))
    }

    fn split_function(
        &mut self,
        function: &Function,
        label: &Label<'_>,
        into: &mut Split,
    ) -> Result<Rc<Function>, GraphFault> {
        let part = label.part();
        Function::new(match &function.kind {
            FunctionKind::Graph { graph, bound } => {
                into.key.extend([7, *graph as u64, bound.len() as u64]);
                let bound: Result<Vec<_>, _> = bound.iter().map(|sym| self.split(sym, &part, into)).collect();
                FunctionKind::Graph { graph: *graph, bound: bound? }
            }
            FunctionKind::Switch { condition, then, otherwise } => {
                into.key.push(8);
                FunctionKind::Switch {
                    condition: self.split(condition, &part, into)?,
                    then: self.split_function(then, label, into)?,
                    otherwise: self.split_function(otherwise, label, into)?,
                }
            }
            FunctionKind::Select { index, branches } => {
                into.key.extend([9, branches.len() as u64]);
                let index = self.split(index, &part, into)?;
                let branches: Result<Vec<_>, _> =
                    branches.iter().map(|branch| self.split_function(branch, label, into)).collect();
                FunctionKind::Select { index, branches: branches? }
            }
        })
    }

    /// The results of the graph under construction; `form` says how they must nest.
    fn give(&mut self, sym: &Sym, form: Option<&Form>, outputs: &mut Vec<ValueId>) -> Result<Nest, GraphFault> {
        self.shared.spend(1)?;
        let item_form = |place: usize| match form {
            Some(Form::Tuple(items)) => items.get(place),
            _ => None,
        };
        let fits = |len: usize| match form {
            Some(Form::Tuple(items)) => items.len() == len,
            other => other.is_none(),
        };
        match sym {
            Sym::Tuple(tuple) if fits(tuple.items.len()) => {
                let give = |(place, item)| self.give(item, item_form(place), outputs);
                Ok(Nest::Tuple(tuple.items.iter().enumerate().map(give).collect::<Result<_, _>>()?))
            }
            Sym::Const(value) => match (&**value, form) {
                (Const::Tuple(items), _) if fits(items.len()) => {
                    self.shared.spend(weight(value))?;
                    let give = |(place, item): (usize, &Const)| {
                        self.give(&Sym::constant(item.clone()), item_form(place), outputs)
                    };
                    Ok(Nest::Tuple(items.iter().enumerate().map(give).collect::<Result<_, _>>()?))
                }
                (Const::None, None | Some(Form::None)) => Ok(Nest::None),
                (Const::Str(text), None) => Ok(Nest::Text(text.clone())),
                _ => self.give_tensor(sym, form, outputs),
            },
            Sym::Token if form.is_none_or(|form| *form == Form::Token) => Ok(Nest::None),
            Sym::Tuple(_) | Sym::Token => Err(GraphFault::Results),
            _ => self.give_tensor(sym, form, outputs),
        }
    }

    fn give_tensor(&mut self, sym: &Sym, form: Option<&Form>, outputs: &mut Vec<ValueId>) -> Result<Nest, GraphFault> {
        let value = self.value(sym)?;
        match form {
            None | Some(Form::Unknown | Form::Tensor(_) | Form::Scalar(_) | Form::Any(_)) => {
                outputs.push(value);
                Ok(Nest::Leaf)
            }
            Some(Form::Tuple(items)) if form.is_some_and(|form| form.vector().is_some()) => {
                for place in 0..items.len() {
                    let spec = Spec { dtype: self.graph.value(value).spec.dtype, dims: Some(Default::default()) };
                    let element = self.result("element", spec);
                    let kind = self.primitive("TupleGetItem");
                    let args = vec![Some(Arg::Value(value)), Some(Arg::Const(Const::Int(place as i64)))];
                    self.emit_named("element", None, kind, args, vec![element], false)?;
                    outputs.push(element);
                }
                Ok(Nest::Tuple(vec![Nest::Leaf; items.len()]))
            }
            Some(_) => Err(GraphFault::Results),
        }
    }
}

/// Arguments of a call, divided.
struct Split {
    /// The part that is read, as numbers.
    key: Vec<u64>,
    /// Names and descriptions of the tensors in the called graph.
    inputs: Vec<(String, Spec)>,
    /// The tensors in the calling graph.
    args: Vec<Arg>,
    /// Whether a tensor that comes twice is one argument.
    merge: bool,
    /// Whether constant tensors are tensors like others.
    tensors: bool,
    /// Whether constant numbers are tensors like others.
    numbers: bool,
}

/// Name and description of an input that is divided.
struct Label<'f> {
    name: String,
    form: &'f Form,
}

fn label<'f>(input: Option<(&WireGraph<'f>, &'f WireInput<'f>)>, place: usize) -> Label<'f> {
    match input {
        Some((wire, input)) => Label { name: wire.short(input.name).to_string(), form: &input.form },
        None => Label { name: format!("captured{place}"), form: &Form::Unknown },
    }
}

impl<'f> Label<'f> {
    fn item(&self, place: usize) -> Label<'f> {
        let form = if let Form::Tuple(items) = self.form { items.get(place) } else { None };
        Label { name: part_name(&self.name, place), form: form.unwrap_or(&Form::Unknown) }
    }

    fn part(&self) -> Label<'f> {
        Label { name: self.name.clone(), form: &Form::Unknown }
    }
}

fn arity(wire: &WireGraph<'_>, found: usize) -> Result<(), GraphFault> {
    let expected = wire.inputs.len();
    if found == expected { Ok(()) } else { Err(GraphFault::Arity { name: wire.name.to_string(), expected, found }) }
}

/// A constant as numbers; different constants give different numbers.
fn encode(value: &Const, key: &mut Vec<u64>) {
    match value {
        Const::None => key.push(0),
        Const::Bool(flag) => key.extend([1, u64::from(*flag)]),
        Const::Int(number) => key.extend([2, *number as u64]),
        Const::Float(number) => key.extend([3, u64::from(number.to_bits())]),
        Const::Double(number) => key.extend([4, number.to_bits()]),
        Const::Str(text) => {
            key.extend([5, text.len() as u64]);
            key.extend(text.bytes().map(u64::from));
        }
        Const::DType(dtype) => key.extend([6, dtype.type_id() as u64]),
        Const::Tuple(items) => {
            key.extend([7, items.len() as u64]);
            items.iter().for_each(|item| encode(item, key));
        }
        Const::Tensor(tensor) => {
            key.extend([8, tensor.bytes().as_ptr() as u64, tensor.dtype().type_id() as u64]);
            key.push(tensor.shape().len() as u64);
            key.extend(tensor.shape().iter().map(|dim| *dim as u64));
        }
    }
}
