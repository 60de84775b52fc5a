//! Memory that operators write in place.
//!
//! A value is computed once and stays what it is; a *place* is the memory that holds it and, after an operator wrote there,
//! another one. MindSpore orders what looks at memory by effect tokens: operators without one read values as they were
//! computed; `Load`, `Depend`, operators with a token, calls and results read what the places hold when they are reached.
//! A view is a place whose contents follow from those of another one.
//!
//! A called graph that writes the memory of its inputs returns what they hold in the end after its own results. Which inputs
//! these are is found by reading all graphs until nothing new is found ([`Writes`]). Results of calls may share places with
//! other values, always or on some paths only: see [`alias`](super::alias).

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use mindir_graph::Spec;
use mindir_graph::graph::{Arg, NodeKind, ValueId};
use mindir_graph::op::{Const, OpDef, Undo};

use super::super::framework::Framework;
use super::alias::{self, Link, Results};
use super::fault::GraphFault;
use super::program::{Ref, WireGraph, WireKind, WireNode};
use super::sym::Sym;
use super::walk::Walk;

/// The memory of one graph, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The place of a value; values without one are their own.
    of: HashMap<ValueId, usize>,
    all: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// What it held first.
    first: ValueId,
    /// What it holds now.
    now: ValueId,
    view: Option<View>,
    /// Other places that may be this one.
    links: Vec<Link>,
    /// Whether it may be a parameter.
    param: bool,
    /// Why it is not known what it holds.
    doubt: Option<Rc<str>>,
}

/// How a place follows from another one.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// What it is a view of.
    pub of: Origin,
    /// What that place held when the view was computed.
    seen: ValueId,
    def: &'static OpDef,
    /// The arguments after the first.
    rest: Vec<Option<Arg>>,
    /// Number of results, and which of them this is.
    results: usize,
    result: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Place(usize),
    Param(usize),
}

impl Places {
    /// The place of a value.
    pub(super) fn place(&mut self, value: ValueId) -> usize {
        if let Some(place) = self.of.get(&value) {
            return *place;
        }
        let place = Place { first: value, now: value, view: None, links: Vec::new(), param: false, doubt: None };
        self.all.push(place);
        self.of.insert(value, self.all.len() - 1);
        self.all.len() - 1
    }

    /// What the place of a value held first.
    pub(super) fn first(&self, value: ValueId) -> ValueId {
        self.of.get(&value).and_then(|place| self.all.get(*place)).map_or(value, |place| place.first)
    }

    /// Whether something else was written where a value was.
    pub(super) fn is_written(&self, value: ValueId) -> bool {
        self.of
            .get(&value)
            .and_then(|place| self.all.get(*place))
            .is_some_and(|place| place.now != place.first || place.doubt.is_some())
    }

    /// The place of a value, if it has one.
    pub(super) fn of(&self, value: ValueId) -> Option<usize> {
        self.of.get(&value).copied()
    }

    /// What a place held first.
    pub(super) fn first_of(&self, place: usize) -> Option<ValueId> {
        self.all.get(place).map(|place| place.first)
    }

    /// What a place holds now.
    pub(super) fn now(&self, place: usize) -> Option<ValueId> {
        self.all.get(place).map(|place| place.now)
    }

    pub(super) fn view(&self, place: usize) -> Option<&View> {
        self.all.get(place).and_then(|place| place.view.as_ref())
    }

    pub(super) fn links(&self, place: usize) -> &[Link] {
        self.all.get(place).map_or(&[], |place| &place.links)
    }

    /// Whether a place may be a parameter.
    pub(super) fn is_param(&self, place: usize) -> bool {
        self.all.get(place).is_some_and(|place| place.param)
    }

    pub(super) fn mark_param(&mut self, place: usize) {
        if let Some(place) = self.all.get_mut(place) {
            place.param = true;
        }
    }

    /// Makes a place that of a value.
    pub(super) fn join(&mut self, value: ValueId, place: usize) {
        self.of.insert(value, place);
    }

    /// Two places are one under a condition, or may be. Two conditions for the same places are none.
    pub(super) fn link(&mut self, a: usize, b: usize, when: Option<(ValueId, bool)>) {
        for (place, other) in [(a, b), (b, a)] {
            let Some(place) = self.all.get_mut(place) else { continue };
            match place.links.iter_mut().find(|link| link.other == other) {
                Some(link) => link.when = None,
                None => place.links.push(Link { other, when }),
            }
        }
    }

    pub(super) fn is_doubted(&self, place: usize) -> bool {
        self.all.get(place).is_some_and(|place| place.doubt.is_some())
    }

    /// From now on it is not known what a place holds.
    pub(super) fn doubt(&mut self, place: usize, why: Rc<str>) {
        if let Some(place) = self.all.get_mut(place) {
            place.doubt = Some(why);
        }
    }

    pub(super) fn set(&mut self, place: usize, now: ValueId) {
        if let Some(place) = self.all.get_mut(place) {
            place.now = now;
        }
        self.of.insert(now, place);
    }
}

/// For every graph that is called, the inputs whose memory it writes.
#[derive(Debug, Default)]
pub(super) struct Writes {
    graphs: HashMap<Vec<u64>, usize>,
    known: BTreeSet<Input>,
    found: BTreeSet<Input>,
    /// Inputs that graphs pass on: the input of the called graph and that of the calling one.
    passed: Vec<(Input, Input)>,
    /// Inputs that hold what is not known in the end, as known and as found.
    doubts: (BTreeSet<Input>, BTreeSet<Input>),
    /// Whether anything that the graphs compute is written in place, as known and as found.
    values: (bool, bool),
    /// What the results of graphs may be, as known and as found.
    results: (HashMap<usize, Results>, HashMap<usize, Results>),
}

/// A graph's number and its input's.
type Input = (usize, usize);

impl Writes {
    /// The number of the graph with this key.
    pub(super) fn graph(&mut self, key: &[u64]) -> usize {
        if let Some(number) = self.graphs.get(key) {
            return *number;
        }
        self.graphs.insert(key.to_vec(), self.graphs.len());
        self.graphs.len() - 1
    }

    /// Whether the graph is known to write the input.
    pub(super) fn contains(&self, input: Input) -> bool {
        self.known.contains(&input)
    }

    /// Takes note of an input that a graph writes itself.
    pub(super) fn find(&mut self, input: Input) {
        self.found.insert(input);
    }

    /// Takes note of an input that the graph `to` gets as an input of its own.
    pub(super) fn pass(&mut self, to: Input, from: Input) {
        self.passed.push((to, from));
    }

    /// Whether anything that the graphs compute is known to be written in place.
    pub(super) fn any(&self) -> bool {
        self.values.0
    }

    /// Takes note of a computed value that is written.
    pub(super) fn find_value(&mut self) {
        self.values.1 = true;
    }

    /// Whether it is not known what the input of a graph holds in the end.
    pub(super) fn is_doubted(&self, input: Input) -> bool {
        self.doubts.0.contains(&input)
    }

    /// Takes note of an input that holds what is not known in the end.
    pub(super) fn find_doubt(&mut self, input: Input) {
        self.doubts.1.insert(input);
    }

    /// What the results of a graph are known to be.
    pub(super) fn results(&self, graph: usize) -> Option<&Results> {
        self.results.0.get(&graph)
    }

    /// Takes note of what the results of a graph may be.
    pub(super) fn find_results(&mut self, graph: usize, results: Results) {
        match self.results.1.get_mut(&graph) {
            Some(found) => alias::join(found, &results),
            None => _ = self.results.1.insert(graph, results),
        }
    }

    /// Whether what was found is known. What was not is from now on.
    pub(super) fn settle(&mut self) -> bool {
        let before = self.known.len();
        let mut callers: HashMap<Input, Vec<Input>> = HashMap::new();
        self.passed.drain(..).for_each(|(to, from)| callers.entry(to).or_default().push(from));
        let mut new: Vec<Input> = std::mem::take(&mut self.found).into_iter().collect();
        new.extend(self.known.iter().copied());
        while let Some(input) = new.pop() {
            if let Some(callers) = callers.remove(&input) {
                new.extend(callers);
            }
            self.known.insert(input);
        }
        let found = std::mem::take(&mut self.results.1);
        let doubts = self.doubts.0.len();
        self.doubts.0.append(&mut self.doubts.1);
        let settled = self.known.len() == before
            && self.doubts.0.len() == doubts
            && self.values.0 == self.values.1
            && self.results.0 == found;
        self.values.0 = self.values.1;
        self.results.0 = found;
        settled
    }
}

impl<'a> Walk<'_, 'a> {
    /// What the place of a value holds now.
    pub(super) fn latest(&mut self, value: ValueId) -> Result<ValueId, GraphFault> {
        let mut next = self.places.of.get(&value).copied();
        let mut chain = Vec::new();
        while let Some(place) = next {
            self.shared.spend(1)?;
            chain.push(place);
            next = match self.places.all.get(place).and_then(|place| place.view.as_ref()) {
                Some(View { of: Origin::Place(place), .. }) => Some(*place),
                _ => None,
            };
        }
        let mut now = value;
        while let Some(place) = chain.pop() {
            if let Some(why) = self.places.all.get(place).and_then(|place| place.doubt.as_ref()) {
                return Err(GraphFault::Unsupported(why.to_string()));
            }
            now = self.refresh(place)?;
        }
        Ok(now)
    }

    /// Computes a view again if what it views changed. The place that it views is fresh.
    fn refresh(&mut self, place: usize) -> Result<ValueId, GraphFault> {
        let missing = GraphFault::Missing("a place");
        let Place { now, view, .. } = self.places.all.get(place).ok_or(missing.clone())?;
        let (now, Some(view)) = (*now, view.clone()) else { return Ok(*now) };
        let (origin, stale) = match view.of {
            Origin::Place(of) => {
                let origin = self.places.all.get(of).ok_or(missing)?.now;
                (origin, origin != view.seen)
            }
            Origin::Param(param) => (now, self.shared.written.contains(&param)),
        };
        if !stale {
            return Ok(now);
        }
        let origin = match view.of {
            Origin::Place(_) => origin,
            Origin::Param(param) => {
                let contents = self.load(Sym::Param(param), "viewed", None)?;
                self.value(&contents)?
            }
        };
        let value = self.graph.value(now);
        let (name, spec) = (value.name.clone(), value.spec.clone());
        let outputs: Vec<ValueId> = (0..view.results).map(|_| self.result(&name, Spec::default())).collect();
        let fresh = *outputs.get(view.result).ok_or(GraphFault::Missing("a result"))?;
        if let Some(value) = self.graph.values.find_mut(fresh) {
            value.spec = spec;
        }
        let args = std::iter::once(Some(Arg::Value(origin))).chain(view.rest).collect();
        self.emit_named(&name, None, NodeKind::Op(view.def), args, outputs, false)?;
        self.places.set(place, fresh);
        self.see(place, origin);
        Ok(fresh)
    }

    fn see(&mut self, place: usize, origin: ValueId) {
        if let Some(view) = self.places.all.get_mut(place).and_then(|place| place.view.as_mut()) {
            view.seen = origin;
        }
    }

    /// What something stands for now, where it holds places.
    pub(super) fn current(&mut self, sym: &Sym) -> Result<Sym, GraphFault> {
        if self.places.all.is_empty() {
            return Ok(sym.clone());
        }
        self.shared.spend(1)?;
        match sym {
            Sym::Value(value) => Ok(Sym::Value(self.latest(*value)?)),
            Sym::Tensor(number) => match self.tensors.get(number).copied() {
                Some(value) if self.places.is_written(value) => Ok(Sym::Value(self.latest(value)?)),
                _ => Ok(sym.clone()),
            },
            Sym::Tuple(tuple) => {
                let items: Result<Vec<_>, _> = tuple.items.iter().map(|item| self.current(item)).collect();
                Sym::tuple(items?)
            }
            other => Ok(other.clone()),
        }
    }

    /// Puts `new` where `old` is, and through views where they look at.
    pub(super) fn write(&mut self, old: ValueId, new: ValueId) -> Result<(), GraphFault> {
        self.shared.writes.find_value();
        let mut place = self.places.place(old);
        let mut new = new;
        loop {
            self.shared.spend(1)?;
            self.places.set(place, new);
            let Some(view) = self.places.view(place).cloned() else { return self.spread(place, new) };
            match view.of {
                Origin::Place(of) => {
                    let origin = self.places.all.get(of).ok_or(GraphFault::Missing("a place"))?.now;
                    new = self.behind(&view, origin, new)?;
                    self.see(place, new);
                    place = of;
                }
                Origin::Param(param) => {
                    self.shared.found.insert(param);
                    let variable = self.param(param);
                    new = self.behind(&view, variable, new)?;
                    let spec = self.graph.value(variable).spec.clone();
                    let result = self.result("written", spec);
                    let args = vec![Some(Arg::Value(variable)), Some(Arg::Value(new))];
                    let kind = self.primitive("Assign");
                    return self.emit_named("written", None, kind, args, vec![result], true);
                }
            }
        }
    }

    /// What a place must hold so that a view of it holds `new`.
    fn behind(&mut self, view: &View, origin: ValueId, new: ValueId) -> Result<ValueId, GraphFault> {
        let spec = self.graph.value(origin).spec.clone();
        let (kind, arg) = match (view.def.undo, view.rest.first()) {
            (Some(Undo::Reshape), _) => (self.primitive("Reshape"), self.shape_of(origin)?),
            (Some(Undo::Permute), Some(Some(Arg::Const(Const::Tuple(perm))))) => {
                (self.primitive("Transpose"), Arg::Const(inverse(perm)?))
            }
            _ => {
                let name = view.def.name;
                return Err(GraphFault::Unsupported(format!("writing through the view that {name} returns")));
            }
        };
        let value = self.result("behind", spec);
        self.emit_named("behind", None, kind, vec![Some(Arg::Value(new)), Some(arg)], vec![value], false)?;
        Ok(value)
    }

    /// The shape of a value as an argument.
    fn shape_of(&mut self, value: ValueId) -> Result<Arg, GraphFault> {
        let known = self
            .graph
            .value(value)
            .spec
            .dims
            .iter()
            .flat_map(|dims| dims.iter().map(|dim| i64::try_from(dim.size()?).ok().map(Const::Int)));
        let dims: Option<Vec<Const>> = known.collect();
        if let (Some(dims), true) = (dims, self.graph.value(value).spec.dims.is_some()) {
            return Ok(Arg::Const(Const::Tuple(dims)));
        }
        let shape = self.result("shape", Spec { dtype: Some(mindir_graph::DType::I64), dims: None });
        let kind = self.primitive("Shape");
        self.emit_named("shape", None, kind, vec![Some(Arg::Value(value))], vec![shape], false)?;
        Ok(Arg::Value(shape))
    }

    /// Takes note that the results of the last node are views of its first argument, which is what `param` holds if that is
    /// given.
    pub(super) fn views(&mut self, def: &'static OpDef, param: Option<Sym>) {
        let Some(node) = self.graph.nodes.last() else { return };
        let Some(Some(Arg::Value(origin))) = node.args.first() else { return };
        let (origin, rest, outputs) = (*origin, node.args.get(1..).unwrap_or_default().to_vec(), node.outputs.clone());
        let of = match param {
            Some(Sym::Param(param)) => Origin::Param(param),
            _ => Origin::Place(self.places.place(origin)),
        };
        for (result, value) in outputs.iter().enumerate() {
            let place = self.places.place(*value);
            let view = View { of, seen: origin, def, rest: rest.clone(), results: outputs.len(), result };
            if let Some(place) = self.places.all.get_mut(place) {
                place.view = Some(view);
            }
        }
    }
}

/// The permutation that undoes `perm`.
fn inverse(perm: &[Const]) -> Result<Const, GraphFault> {
    let wrong = || GraphFault::Value("perm".to_string());
    let mut out = vec![Const::Int(0); perm.len()];
    for (place, dim) in perm.iter().enumerate() {
        let Const::Int(dim) = dim else { return Err(wrong()) };
        let dim = if *dim < 0 { dim.checked_add_unsigned(perm.len() as u64) } else { Some(*dim) };
        let slot = dim.and_then(|dim| usize::try_from(dim).ok()).and_then(|dim| out.get_mut(dim));
        *slot.ok_or_else(wrong)? = Const::Int(place as i64);
    }
    Ok(Const::Tuple(out))
}

/// Whether a graph ends with what `node` returns and does nothing after it.
pub(super) fn is_last(wire: &WireGraph<'_>, node: usize) -> bool {
    let &[Ref::Node(_, mut last)] = wire.outputs.as_slice() else { return false };
    for _ in 0..wire.nodes.len() {
        if last == node {
            return true;
        }
        let Some(WireNode { kind: WireKind::Framework(Framework::Depend | Framework::Return), inputs, .. }) =
            wire.nodes.get(last)
        else {
            return false;
        };
        let ends = |r: &Ref| match r {
            Ref::Node(_, state) => wire.nodes.get(*state).is_some_and(|state| {
                let update = matches!(state.kind, WireKind::Framework(Framework::UpdateState));
                update && state.inputs.get(1..).unwrap_or_default().iter().all(|r| Some(r) == inputs.first())
            }),
            _ => true,
        };
        match inputs.first() {
            Some(Ref::Node(_, before)) if inputs.get(1..).unwrap_or_default().iter().all(ends) => last = *before,
            _ => return false,
        }
    }
    false
}
