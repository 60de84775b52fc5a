//! What every graph needs from its caller besides its inputs: parameters and effect tokens.

use std::collections::BTreeSet;

use mindir_graph::graph::{Def, Graph, Model, Node, NodeKind, Opaque};
use mindir_graph::op::{Const, Effect};

/// What a graph and the graphs that it calls use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Needs {
    /// Parameters, by their numbers.
    pub params: BTreeSet<usize>,
    /// Whether it reads or writes parameters that change.
    pub memory: bool,
    /// Whether it talks to the outside.
    pub io: bool,
}

impl Needs {
    /// The needs of every graph of `model`.
    pub(super) fn of(model: &Model) -> Vec<Needs> {
        let mut needs: Vec<Needs> = model.graphs.iter().map(|graph| Needs::own(model, graph)).collect();
        let calls: Vec<BTreeSet<usize>> = model.graphs.iter().map(callees).collect();
        loop {
            let mut changed = false;
            for (graph, calls) in calls.iter().enumerate() {
                let theirs: Vec<Needs> = calls.iter().filter_map(|callee| needs.get(*callee)).cloned().collect();
                let Some(mine) = needs.get_mut(graph) else { continue };
                let before = mine.clone();
                theirs.into_iter().for_each(|other| mine.add(other));
                changed |= *mine != before;
            }
            if !changed {
                return needs;
            }
        }
    }

    /// What a graph uses itself.
    fn own(model: &Model, graph: &Graph) -> Needs {
        let mut needs = Needs::default();
        let mut uses = Vec::new();
        graph.nodes.iter().for_each(|node| node.each_input(&mut |value| uses.push(value)));
        for value in uses.iter().chain(&graph.outputs) {
            if let Some(Def::Param(param)) = graph.values.find(*value).map(|value| &value.def) {
                needs.params.insert(*param);
                needs.memory |= model.params.get(*param).is_some_and(|param| param.mutable);
            }
        }
        for node in &graph.nodes {
            let effects = Effects::of(node);
            needs.memory |= effects.memory;
            needs.io |= effects.io;
        }
        needs
    }

    fn add(&mut self, other: Needs) {
        self.params.extend(other.params);
        self.memory |= other.memory;
        self.io |= other.io;
    }
}

fn callees(graph: &Graph) -> BTreeSet<usize> {
    let called = |node: &Node| {
        let direct = if let NodeKind::Call(graph) = node.kind { Some(graph) } else { None };
        direct.into_iter().chain(node.closures().iter().map(|closure| closure.graph)).collect::<Vec<_>>()
    };
    graph.nodes.iter().flat_map(called).map(|graph| graph.0 as usize).collect()
}

/// The tokens that an operator takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    pub memory: bool,
    pub io: bool,
}

impl Effects {
    pub(super) fn of(node: &Node) -> Effects {
        if let NodeKind::Opaque(opaque) = &node.kind {
            return Effects { memory: flag(opaque, "side_effect_mem"), io: flag(opaque, "side_effect_io") };
        }
        let effect = node.effect();
        Effects { memory: matches!(effect, Effect::Writes(_)), io: matches!(effect, Effect::Io | Effect::Raises) }
    }
}

fn flag(opaque: &Opaque, name: &str) -> bool {
    opaque.attrs.iter().any(|(key, value)| &**key == name && *value == Const::Bool(true))
}
