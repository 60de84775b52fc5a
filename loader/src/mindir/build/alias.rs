//! Results of calls that may be the same tensor as something else.
//!
//! A called graph may return what it got, or one tensor twice. For every graph it is known which of its results are certainly
//! or perhaps the same tensor as an input or an earlier result ([`Results`]), found like the written inputs: all graphs are
//! read until nothing new is found. Where a result certainly is another tensor, it has that one's place. Where it depends on
//! the branch that ran, the two places have a [`Link`] that says which: what is written to one is then what the other holds, or
//! not, as the condition was. Where it is not known, the other place is in doubt after the write, and reading it is refused.
//!
//! Tensors that a caller passes twice are one input of the called graph. A call that writes one of its arguments is refused if
//! another one is a view of it, or has a link to it. Callers are told which inputs are in doubt when a graph ends.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use mindir_graph::Spec;
use mindir_graph::graph::{Arg, Closure, Def, NodeKind, ValueId};

use super::super::framework::Framework;
use super::fault::GraphFault;
use super::places::{Origin, View};
use super::walk::Walk;

/// What a result of a graph may be the same tensor as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Same {
    Input(usize),
    /// An earlier result.
    Result(usize),
    /// Some parameter.
    Param,
}

/// For every result of a graph what it may be the same tensor as, and whether it certainly is.
pub(super) type Results = Vec<BTreeMap<Same, bool>>;

/// What is known of one graph in either of two readings.
pub(super) fn join(known: &mut Results, other: &Results) {
    known.resize_with(known.len().max(other.len()), BTreeMap::new);
    for (place, known) in known.iter_mut().enumerate() {
        let other = other.get(place);
        known.iter_mut().for_each(|(same, certain)| *certain &= other.and_then(|other| other.get(same)) == Some(&true));
        other.into_iter().flatten().for_each(|(same, _)| {
            known.entry(*same).or_insert(false);
        });
    }
}

/// Two places that may be one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub other: usize,
    /// The condition, and what it is where they are one.
    pub when: Option<(ValueId, bool)>,
}

/// A graph that a node calls: what is known of its results, and its inputs.
pub(super) struct Called {
    pub results: Option<Results>,
    pub args: Vec<Arg>,
}

impl Walk<'_, '_> {
    /// The place that a place is a view of in the end, or itself.
    fn root(&mut self, mut place: usize) -> Result<usize, GraphFault> {
        while let Some(View { of: Origin::Place(of), .. }) = self.places.view(place) {
            place = *of;
            self.shared.spend(1)?;
        }
        Ok(place)
    }

    /// The places that are changed by a write to this one: what it is a view of, and what that may be.
    fn reached(&mut self, place: usize) -> Result<Vec<usize>, GraphFault> {
        let root = self.root(place)?;
        let links = self.places.links(root);
        self.shared.spend(1 + links.len())?;
        Ok(std::iter::once(root).chain(links.iter().map(|link| link.other)).collect())
    }

    /// The inputs that a write to a value changes.
    pub(super) fn inputs_behind(&mut self, value: ValueId) -> Result<Vec<usize>, GraphFault> {
        let firsts: Vec<ValueId> = match self.places.of(value) {
            Some(place) => self.reached(place)?.into_iter().filter_map(|place| self.places.first_of(place)).collect(),
            None => vec![value],
        };
        let input = |value: ValueId| if let Def::Input(own) = self.graph.value(value).def { Some(own) } else { None };
        Ok(firsts.into_iter().filter_map(input).collect())
    }

    /// The arguments that a called graph may change by writing another one. That is refused for the first `own` arguments,
    /// which the graph reads; those after them it only gives back.
    pub(super) fn apart(
        &mut self,
        name: &str,
        number: usize,
        args: &[Arg],
        own: usize,
    ) -> Result<Vec<ValueId>, GraphFault> {
        let mut changed = Vec::new();
        for (input, arg) in args.iter().enumerate().take(own) {
            let Arg::Value(value) = arg else { continue };
            let Some(place) = self.places.of(*value) else { continue };
            let writes = self.shared.writes.contains((number, input));
            self.no_param(name, place, writes)?;
            if !writes {
                continue;
            }
            let reached = self.reached(place)?;
            for (at, other) in args.iter().enumerate().filter(|(at, _)| *at != input) {
                let Arg::Value(other) = other else { continue };
                let Some(place) = self.places.of(*other) else { continue };
                let root = self.root(place)?;
                self.shared.spend(reached.len())?;
                match (reached.contains(&root), at < own) {
                    (true, true) => return Err(GraphFault::Unsupported(self.may_be(name, *other))),
                    (true, false) => changed.push(*other),
                    _ => {}
                }
            }
        }
        Ok(changed)
    }

    /// Refuses an argument whose place shows a parameter that changes, or may be a parameter and is written.
    fn no_param(&mut self, name: &str, place: usize, writes: bool) -> Result<(), GraphFault> {
        let root = self.root(place)?;
        if let Some(View { of: Origin::Param(param), .. }) = self.places.view(root)
            && (writes || self.shared.written.contains(param))
        {
            let what = format!("{} takes a view of a parameter that is written in place", crate::Printable(name));
            return Err(GraphFault::Unsupported(what));
        }
        if writes && self.places.is_param(root) {
            return Err(GraphFault::Unsupported(may_be(name, "a parameter")));
        }
        Ok(())
    }

    /// From now on it is not known what a value's place holds, nor what the others hold that a write to it changes.
    pub(super) fn doubt(&mut self, by: &str, value: ValueId) -> Result<(), GraphFault> {
        let why: Rc<str> = self.may_be(by, value).into();
        let place = self.places.place(value);
        self.reached(place)?.into_iter().for_each(|place| self.places.doubt(place, why.clone()));
        Ok(())
    }

    /// What an input of the graph holds in the end. If that is not known, the callers are told.
    pub(super) fn last(&mut self, input: ValueId) -> Result<ValueId, GraphFault> {
        let place = self.places.place(input);
        match (self.places.is_doubted(place), self.places.now(place), &self.graph.value(input).def) {
            (true, Some(now), Def::Input(own)) => {
                self.shared.writes.find_doubt((self.number, *own));
                Ok(now)
            }
            _ => self.latest(input),
        }
    }

    fn may_be(&self, by: &str, value: ValueId) -> String {
        may_be(by, &self.graph.value(value).name)
    }

    /// What the results of the graph under construction may be the same tensors as.
    pub(super) fn origins(&mut self, outputs: &[ValueId]) -> Result<Results, GraphFault> {
        let mut earlier: HashMap<usize, (usize, usize)> = HashMap::new();
        let mut results = Vec::with_capacity(outputs.len());
        for (number, value) in outputs.iter().enumerate() {
            let place = self.places.place(*value);
            let mut same = BTreeMap::new();
            for (step, reached) in self.reached(place)?.into_iter().enumerate() {
                if let Some(origin) = self.origin(reached)? {
                    *same.entry(origin).or_insert(false) |= step == 0 && reached == place && origin != Same::Param;
                }
                if let Some((result, other)) = earlier.get(&reached) {
                    same.insert(Same::Result(*result), step == 0 && *other == place);
                }
            }
            let root = self.root(place)?;
            earlier.entry(root).or_insert((number, place));
            results.push(same);
        }
        Ok(results)
    }

    /// What a place was before the graph ran.
    fn origin(&mut self, root: usize) -> Result<Option<Same>, GraphFault> {
        if self.places.view(root).is_some() || self.places.is_param(root) {
            return Ok(Some(Same::Param));
        }
        let Some(first) = self.places.first_of(root) else { return Ok(None) };
        Ok(match self.graph.value(first).def {
            Def::Input(input) => Some(Same::Input(input)),
            Def::Param(_) => Some(Same::Param),
            Def::Node => {
                self.shared.spend(self.graph.nodes.len() / 64)?;
                let made = self.graph.nodes.iter().rev().find(|node| node.outputs.contains(&first));
                let loads = made
                    .is_some_and(|node| matches!(node.kind, NodeKind::Op(def) if def.name == Framework::Load.name()));
                loads.then_some(Same::Param)
            }
            _ => None,
        })
    }

    /// Takes note of what the results of a call may be the same tensors as; `choice` is the condition of one of two graphs.
    pub(super) fn relate(
        &mut self,
        results: &[ValueId],
        called: &[Called],
        choice: Option<ValueId>,
    ) -> Result<(), GraphFault> {
        let known = called.iter().filter(|graph| graph.results.is_some()).count();
        for (number, value) in results.iter().enumerate() {
            let mut others: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
            let mut param = false;
            for (branch, Called { results: same, args }) in called.iter().enumerate() {
                for (same, certain) in same.iter().filter_map(|same| same.get(number)).flatten() {
                    self.shared.spend(1)?;
                    let other = match same {
                        Same::Input(input) => args.get(*input).cloned(),
                        Same::Result(result) => results.get(*result).copied().map(Arg::Value),
                        Same::Param => None,
                    };
                    param |= *same == Same::Param;
                    let Some(Arg::Value(other)) = other else { continue };
                    let branches = others.entry(self.places.place(other)).or_default();
                    match branches.last_mut() {
                        Some((last, sure)) if *last == branch => *sure |= *certain,
                        _ => branches.push((branch, *certain)),
                    }
                }
            }
            let always = |branches: &[(usize, bool)]| branches.len() == known && branches.iter().all(|(_, sure)| *sure);
            if let Some((place, _)) = others.iter().find(|(_, branches)| always(branches)) {
                // At the end of a graph, what the call wrote is in its results only.
                if self.ends() { self.places.set(*place, *value) } else { self.places.join(*value, *place) }
            }
            let place = self.places.place(*value);
            if param {
                self.places.mark_param(place);
            }
            self.link_all(place, &others, choice.filter(|_| known == called.len()))?;
        }
        Ok(())
    }

    /// Links a place to others, and to what those may be.
    fn link_all(
        &mut self,
        place: usize,
        others: &BTreeMap<usize, Vec<(usize, bool)>>,
        choice: Option<ValueId>,
    ) -> Result<(), GraphFault> {
        let mut behind = Vec::new();
        for (other, branches) in others.iter().filter(|(other, _)| **other != place) {
            let when = match branches.as_slice() {
                [(branch, true)] => choice.map(|choice| (choice, *branch == 0)),
                _ => None,
            };
            behind.extend(self.reached(*other)?.into_iter().skip(1));
            let (root, own) = (self.root(*other)?, self.root(place)?);
            self.places.link(own, root, when.filter(|_| root == *other && own == place));
        }
        let own = self.root(place)?;
        for other in behind {
            let linked = self.places.links(own).iter().any(|link| link.other == other);
            self.shared.spend(1 + self.places.links(own).len())?;
            if !linked {
                self.places.link(own, other, None);
            }
        }
        Ok(())
    }

    /// Tells the places that may be this one that `new` was written.
    pub(super) fn spread(&mut self, place: usize, new: ValueId) -> Result<(), GraphFault> {
        let by = self.graph.nodes.last().map_or_else(|| "".into(), |node| node.path.clone());
        if self.places.is_param(place) {
            return Err(GraphFault::Unsupported(may_be(&by, "a parameter")));
        }
        for Link { other, when } in self.places.links(place).to_vec() {
            self.shared.spend(1)?;
            match (when, self.places.now(other)) {
                (Some(when), Some(old)) => {
                    let picked = self.pick(when, new, old)?;
                    self.places.set(other, picked);
                }
                _ => {
                    let name = self.places.first_of(other).map(|first| self.graph.value(first).name.clone());
                    self.places.doubt(other, may_be(&by, &name.unwrap_or_default()).into());
                }
            }
        }
        Ok(())
    }

    /// `new` if a condition is what it must be, else `old`.
    fn pick(&mut self, when: (ValueId, bool), new: ValueId, old: ValueId) -> Result<ValueId, GraphFault> {
        let graph = self.shared.same()?;
        let spec = self.graph.value(new).spec.clone();
        let spec = if spec == self.graph.value(old).spec { spec } else { Spec::default() };
        let name: Arc<str> = self.graph.value(old).name.clone();
        let value = self.result(&name, spec);
        let (choice, holds) = when;
        let (then, otherwise) = if holds { (new, old) } else { (old, new) };
        let closure = |value| Closure { graph, args: vec![Arg::Value(value)] };
        let kind = NodeKind::If { then: closure(then), otherwise: closure(otherwise) };
        self.emit_named(&name, None, kind, vec![Some(Arg::Value(choice))], vec![value], false)?;
        Ok(value)
    }
}

fn may_be(by: &str, name: &str) -> String {
    let (by, name) = (crate::Printable(by), crate::Printable(name));
    format!("{by} writes in place a value that may be the same tensor as {name}, which is used afterwards")
}
