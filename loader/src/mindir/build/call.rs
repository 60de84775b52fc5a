//! Calls: of graphs, of functions chosen at run time, and the graphs that they need.
//!
//! A called graph is read once for every combination of parameters, constants, functions and tuples that its arguments
//! hold; only tensors stay arguments. So weights that are passed along become uses of the parameter, effect tokens
//! disappear, and functions that are passed along are known where they are called.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use mindir_graph::Spec;
use mindir_graph::graph::{Arg, Closure, Def, Graph, GraphId, Nest, NodeKind, ValueId};
use mindir_graph::op::Const;

use super::alias::Called;
use super::fault::{GraphFault, Located};
use super::form::Form;
use super::operator::part_name;
use super::places::Writes;
use super::program::{Program, WireGraph, WireInput, WireNode};
use super::sym::{Function, FunctionKind, Sym};
use super::walk::{Outcome, Walk, number_tensor, weight};
use super::{interface, tidy};

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
    /// Inputs that called graphs write in place.
    pub writes: Writes,
    /// Nodes up to which called graphs become part of the caller.
    room: usize,
    /// Work that may still be done.
    fuel: usize,
    keys: HashMap<Vec<u64>, usize>,
    versions: HashMap<usize, usize>,
    /// Graphs that are needed, in the order of their numbers.
    instances: Vec<Instance>,
}

/// A graph to build.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    name: String,
    /// The graph of the file, unless the first argument is the function to call or the result.
    graph: Option<usize>,
    args: Vec<Sym>,
    inputs: Vec<(String, Spec)>,
    /// What it returns; `None` for the entry, which returns what it returns.
    form: Option<Form>,
    /// Its number among [`Writes`].
    number: usize,
    /// The inputs whose contents it returns after that.
    returns: Vec<usize>,
}

impl Shared {
    pub(super) fn new(program: &Program<'_>, written: BTreeSet<usize>, mut writes: Writes) -> Shared {
        let size = program.size();
        writes.graph(&[]);
        Shared {
            written,
            writes,
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

    /// The graph that returns its input.
    pub(super) fn same(&mut self) -> Result<GraphId, GraphFault> {
        let key = vec![0, 0];
        if let Some(id) = self.keys.get(&key) {
            return Ok(GraphId(*id as u32));
        }
        self.spend(1)?;
        let id = self.instances.len();
        let number = self.writes.graph(&key);
        self.keys.insert(key, id);
        let (args, inputs) = (vec![Sym::Value(ValueId(0))], vec![("value".to_string(), Spec::default())]);
        let (name, form, returns) = ("same".to_string(), Some(Form::Unknown), Vec::new());
        self.instances.push(Instance { name, graph: None, args, inputs, form, number, returns });
        Ok(GraphId(id as u32))
    }
}

/// Builds the entry graph and all graphs that it needs.
pub(super) fn build(program: &Program<'_>, shared: &mut Shared) -> Result<Vec<Graph>, Located> {
    let entry = program.graph(0).and_then(entry).map_err(|fault| fault.at("", ""))?;
    shared.instances.push(entry);
    let mut graphs = Vec::new();
    while let Some(instance) = shared.instances.get(graphs.len()).cloned() {
        graphs.push(one(program, shared, instance)?);
    }
    Ok(graphs)
}

fn entry(wire: &WireGraph<'_>) -> Result<Instance, GraphFault> {
    let mut inputs = Vec::new();
    let args: Result<Vec<_>, _> =
        wire.inputs.iter().map(|input| input_sym(&input.form, wire.short(input.name), &mut inputs)).collect();
    let (name, returns) = (wire.name.to_string(), Vec::new());
    Ok(Instance { name, graph: Some(0), args: args?, inputs, form: None, number: 0, returns })
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
        Form::Unknown | Form::Tensor(_) | Form::Scalar(_) | Form::Any(_) | Form::Never => {
            inputs.push((name.to_string(), form.spec()));
            Ok(Sym::Value(ValueId(inputs.len() as u32 - 1)))
        }
    }
}

fn one(program: &Program<'_>, shared: &mut Shared, instance: Instance) -> Result<Graph, Located> {
    let name = instance.name.clone();
    let mut walk = Walk::new(program, shared, &instance.name);
    for (place, (name, spec)) in instance.inputs.into_iter().enumerate() {
        let value = walk.add(&name, spec, Def::Input(place));
        walk.graph.inputs.push(value);
    }
    walk.returns = instance.returns.iter().filter_map(|place| walk.graph.inputs.get(*place)).copied().collect();
    walk.number = instance.number;
    let result = match instance.graph {
        Some(graph) => walk.run(graph, instance.args)?,
        None => walk.dispatch(instance.args, instance.form.as_ref()).map_err(|fault| fault.at(&name, ""))?,
    };
    let mut outputs = Vec::new();
    let ends = instance.graph.and_then(|graph| program.graphs.get(graph)).is_some_and(WireGraph::ends);
    let nest = match &instance.form {
        Some(form) if ends => walk.give_nothing(&result, form, &mut outputs),
        form => walk.give(&result, form.as_ref(), &mut outputs),
    };
    let nest = nest.map_err(|fault| fault.at(&name, ""))?;
    if instance.form.is_some() && !ends && walk.shared.writes.any() {
        let results = walk.origins(&outputs).map_err(|fault| fault.at(&name, ""))?;
        walk.shared.writes.find_results(instance.number, results);
    }
    let nest = walk.give_back(nest, &mut outputs).map_err(|fault| fault.at(&name, ""))?;
    walk.graph.outputs = outputs;
    walk.graph.nest = nest;
    if instance.form.is_none()
        && let Ok(wire) = program.graph(0)
    {
        walk.graph.arguments = interface::arguments(wire);
        interface::refine(&mut walk.graph.nest, wire.proto);
    }
    Ok(tidy::tidy(walk.graph, &walk.effects))
}

/// What a control-flow node calls, before it is known what it must give back.
struct Target {
    name: String,
    graph: Option<usize>,
    args: Vec<Sym>,
    split: Split,
    /// Its number among [`Writes`].
    number: usize,
}

impl<'a> Walk<'_, 'a> {
    /// Calls a function, or says which graph to continue in.
    pub(super) fn call(
        &mut self,
        function: &Rc<Function>,
        args: Vec<Sym>,
        node: &WireNode<'a>,
    ) -> Result<Outcome, GraphFault> {
        self.shared.spend(function.parts().saturating_mul(args.len() + 1))?;
        let function = function.bind(&args)?;
        if let FunctionKind::Graph { graph, bound } = &function.kind {
            let target = self.program.graph(*graph)?;
            arity(target, bound.len())?;
            if !target.looping && self.depth() < DEEPEST && self.shared.emitted < self.shared.room {
                let args: Result<Vec<_>, _> = bound.iter().map(|arg| self.current(arg)).collect();
                return Ok(Outcome::Inside { graph: *graph, args: args? });
            }
        }
        let form = match Form::of_node(node.proto) {
            Form::Unknown if node.picked > 0 => Form::Tuple(vec![Form::Unknown; node.picked]),
            form => form,
        };
        let form = self.returned(&function)?.unwrap_or(form);
        let (name, path) = (node.short, node.proto.domain.as_deref());
        self.branch(&function, form, name, path).map(Outcome::Is)
    }

    /// The body of a graph whose first argument is the function to call, or what it returns.
    fn dispatch(&mut self, args: Vec<Sym>, form: Option<&Form>) -> Result<Sym, GraphFault> {
        let mut args = args.into_iter();
        let function = match args.next().ok_or(GraphFault::Missing("a function"))? {
            Sym::Function(function) => function,
            result => return Ok(result),
        };
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
        let functions = match &function.kind {
            FunctionKind::Graph { .. } => vec![function],
            FunctionKind::Switch { then, otherwise, .. } => vec![then, otherwise],
            FunctionKind::Select { branches, .. } => branches.iter().collect(),
        };
        let choice = match &function.kind {
            FunctionKind::Graph { .. } => None,
            FunctionKind::Switch { condition: choice, .. } | FunctionKind::Select { index: choice, .. } => {
                Some(self.value(choice)?)
            }
        };
        let targets: Result<Vec<_>, _> = functions.into_iter().map(|function| self.target(function)).collect();
        let mut targets = targets?;
        let carried = self.carried(&targets)?;
        let mut closures = Vec::with_capacity(targets.len());
        let mut called = Vec::with_capacity(targets.len());
        let mut doubts = Vec::new();
        for target in targets.drain(..) {
            let results = self.shared.writes.results(target.number).cloned();
            let closure = self.closure(target, &form, &carried, &mut doubts)?;
            called.push(Called { results, args: closure.args.clone() });
            closures.push(closure);
        }
        let condition = choice.filter(|_| matches!(function.kind, FunctionKind::Switch { .. }));
        let choice = choice.map(|choice| Some(Arg::Value(choice)));
        let (kind, args) = match (&function.kind, <[Closure; 2]>::try_from(closures)) {
            (FunctionKind::Switch { .. }, Ok([then, otherwise])) => {
                (NodeKind::If { then, otherwise }, choice.into_iter().collect())
            }
            (FunctionKind::Select { .. }, closures) => {
                let closures = closures.map_or_else(|closures| closures, Vec::from);
                (NodeKind::Select(closures), choice.into_iter().collect())
            }
            (_, closures) => {
                let closures = closures.map_or_else(|closures| closures, Vec::from);
                let closure = closures.into_iter().next().ok_or(GraphFault::Missing("a function"))?;
                (NodeKind::Call(closure.graph), closure.args.into_iter().map(Some).collect())
            }
        };
        let mut outputs = Vec::new();
        let sym = self.allocate(&form, name, &mut outputs)?;
        let results = outputs.clone();
        let mut written = Vec::with_capacity(carried.len());
        for value in carried {
            let (name, spec) = (self.graph.value(value).name.clone(), self.graph.value(value).spec.clone());
            written.push((value, self.result(&name, spec)));
        }
        outputs.extend(written.iter().map(|(_, new)| *new));
        self.emit_named(name, path, kind, args, outputs, true)?;
        written.into_iter().try_for_each(|(old, new)| self.write(old, new))?;
        doubts.into_iter().try_for_each(|value| self.doubt(name, value))?;
        if self.shared.writes.any() {
            self.relate(&results, &called, condition)?;
        }
        Ok(sym)
    }

    /// What the places hold that a call must give back: all that the graph itself gives back if the call is its end, else
    /// those that the called graphs write.
    fn carried(&mut self, targets: &[Target]) -> Result<Vec<ValueId>, GraphFault> {
        if self.ends() {
            let returns = self.returns.clone();
            return returns.into_iter().map(|value| self.last(value)).collect();
        }
        let mut carried: Vec<ValueId> = Vec::new();
        for target in targets {
            for (input, arg) in target.split.args.iter().enumerate() {
                if let (Arg::Value(value), true) = (arg, self.shared.writes.contains((target.number, input)))
                    && !carried.iter().any(|other| self.places.first(*other) == self.places.first(*value))
                {
                    self.shared.spend(1 + carried.len())?;
                    carried.push(*value);
                }
            }
        }
        Ok(carried)
    }

    /// Adds what the inputs hold in the end, where the caller wants it, and takes note of which are written.
    fn give_back(&mut self, nest: Nest, outputs: &mut Vec<ValueId>) -> Result<Nest, GraphFault> {
        for (place, input) in self.graph.inputs.clone().into_iter().enumerate() {
            if self.places.is_written(input) {
                self.shared.writes.find((self.number, place));
            }
        }
        if self.returns.is_empty() {
            return Ok(nest);
        }
        let mut parts = vec![nest];
        for value in self.returns.clone() {
            outputs.push(self.last(value)?);
            parts.push(Nest::Leaf);
        }
        Ok(Nest::Tuple(parts))
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
                _ if matches!(form, Form::Unknown | Form::Never) => {}
                None => found = Some(form.clone()),
                Some(other) if !other.same_nest(form) => found = Some(either(other, form)?),
                Some(_) => {}
            }
        }
        Ok(found)
    }

    /// A function with its arguments divided.
    fn target(&mut self, function: &Rc<Function>) -> Result<Target, GraphFault> {
        let (graph, args, name) = match &function.kind {
            FunctionKind::Graph { graph, bound } => {
                let wire = self.program.graph(*graph)?;
                arity(wire, bound.len())?;
                (Some(*graph), bound.clone(), wire.name)
            }
            _ => (None, vec![Sym::Function(function.clone())], "choice"),
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
        self.shared.spend(split.key.len() + split.args.len())?;
        let number = self.shared.writes.graph(&split.key);
        for (input, arg) in split.args.iter().enumerate() {
            let Arg::Value(value) = arg else { continue };
            for own in self.inputs_behind(*value)? {
                self.shared.writes.pass((number, input), (self.number, own));
            }
        }
        Ok(Target { name: name.to_string(), graph, args: kept, split, number })
    }

    /// The graph for a function, and the tensors it takes. It returns what the places of `carried` hold in the
    /// end; those of which that is not known go to `doubts`.
    fn closure(
        &mut self,
        target: Target,
        form: &Form,
        carried: &[ValueId],
        doubts: &mut Vec<ValueId>,
    ) -> Result<Closure, GraphFault> {
        let Target { name, graph, args: kept, split: Split { mut key, mut inputs, mut args, .. }, number } = target;
        let own = args.len();
        let mut returns = Vec::with_capacity(carried.len());
        for value in carried {
            self.shared.spend(args.len() + 1)?;
            let first = self.places.first(*value);
            let same = |arg: &Arg| matches!(arg, Arg::Value(value) if self.places.first(*value) == first);
            let place = args.iter().position(same).unwrap_or_else(|| {
                let value = self.graph.value(*value);
                inputs.push((value.name.to_string(), value.spec.clone()));
                args.len()
            });
            if place == args.len() {
                args.push(Arg::Value(*value));
            }
            if self.shared.writes.is_doubted((number, place)) {
                doubts.push(*value);
            }
            key.extend([11, place as u64]);
            returns.push(place);
        }
        doubts.extend(self.apart(&name, number, &args, own)?);
        if graph.and_then(|graph| self.program.graphs.get(graph)).is_some_and(WireGraph::ends) {
            key.push(12);
            form.nest(&mut key);
        }
        if let Some(id) = self.shared.keys.get(&key) {
            let same = self.shared.instances.get(*id).and_then(|instance| instance.form.as_ref());
            return match same {
                Some(other) if other.same_nest(form) => Ok(Closure { graph: GraphId(*id as u32), args }),
                _ => Err(GraphFault::Results),
            };
        }
        let id = self.shared.instances.len();
        self.shared.spend(key.len())?;
        self.shared.keys.insert(key, id);
        if let Some(graph) = graph {
            *self.shared.versions.entry(graph).or_insert(0) += 1;
        }
        let form = Some(form.clone());
        self.shared.instances.push(Instance { name, graph, args: kept, inputs, form, number, returns });
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
        let value = self.latest(value)?;
        let merge = into.merge || self.shared.writes.any();
        self.shared.spend(label.name.len() / 8 + if merge { into.args.len() } else { 0 })?;
        if merge && let Some(place) = into.args.iter().position(|other| *other == Arg::Value(value)) {
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
            Sym::Tuple(tuple) if matches!(form, Some(Form::Any(_))) => {
                let vector = self.pile(&tuple.items)?;
                outputs.push(vector);
                Ok(Nest::Leaf)
            }
            Sym::Token if form.is_none_or(|form| *form == Form::Token) => Ok(Nest::None),
            Sym::Tuple(_) | Sym::Token => Err(GraphFault::Results),
            _ => self.give_tensor(sym, form, outputs),
        }
    }

    /// Results of the form that a caller expects, for a graph that never returns: `sym` is all that it has.
    fn give_nothing(&mut self, sym: &Sym, form: &Form, outputs: &mut Vec<ValueId>) -> Result<Nest, GraphFault> {
        self.shared.spend(1)?;
        Ok(match (form, sym) {
            (Form::Tuple(items), _) => {
                let give = |item| self.give_nothing(sym, item, outputs);
                Nest::Tuple(items.iter().map(give).collect::<Result<_, _>>()?)
            }
            (Form::None | Form::Token, _) => Nest::None,
            (_, Sym::Tuple(tuple)) => {
                let first = tuple.items.first().ok_or(GraphFault::Results)?;
                self.give_nothing(first, form, outputs)?
            }
            _ => {
                outputs.push(self.value(sym)?);
                Nest::Leaf
            }
        })
    }

    /// Numbers as one tensor.
    fn pile(&mut self, items: &[Sym]) -> Result<ValueId, GraphFault> {
        let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item).map(Arg::Value)).collect();
        let vector = self.result("numbers", Spec::default());
        let kind = self.primitive("Stack");
        let args = vec![Some(Arg::List(items?)), Some(Arg::Const(Const::Int(0)))];
        self.emit_named("numbers", None, kind, args, vec![vector], false)?;
        Ok(vector)
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

/// What returns one or the other: tuples of numbers that differ in length are one of any length.
fn either(a: &Form, b: &Form) -> Result<Form, GraphFault> {
    match (a.vector(), b.vector()) {
        (Some(a), Some(b)) if a.dtype == b.dtype => {
            Ok(Form::Any(Box::new(Form::Scalar(Spec { dtype: a.dtype, dims: Some(Default::default()) }))))
        }
        _ => Err(GraphFault::Results),
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
