//! Graphs that never return, because all ways through them end in an exception.

use std::collections::HashSet;

use mindir_graph::op::Effect;

use super::super::framework::Framework;
use super::form::Form;
use super::program::{Program, Ref, WireGraph, WireKind, WireNode};

/// How a graph ends.
enum Ending {
    /// With an exception.
    Raises,
    /// With what one of these graphs returns.
    Calls(Vec<usize>),
    /// With a result of its own.
    Returns,
}

impl Program<'_> {
    /// Marks the graphs that never return.
    pub(super) fn mark_endings(&mut self) {
        let endings: Vec<Ending> = self.graphs.iter().map(Ending::of).collect();
        let mut callers: Vec<Vec<usize>> = self.graphs.iter().map(|_| Vec::new()).collect();
        let mut open: Vec<usize> = Vec::with_capacity(endings.len());
        let mut known = Vec::new();
        for (graph, ending) in endings.iter().enumerate() {
            open.push(match ending {
                Ending::Calls(called) => {
                    called.iter().for_each(|to| callers.get_mut(*to).into_iter().for_each(|list| list.push(graph)));
                    called.len()
                }
                _ => 0,
            });
            if matches!(ending, Ending::Raises) {
                known.push(graph);
            }
        }
        while let Some(graph) = known.pop() {
            if let Some(wire) = self.graphs.get_mut(graph) {
                wire.form = Form::Never;
            }
            for caller in callers.get(graph).into_iter().flatten() {
                if let Some(left) = open.get_mut(*caller) {
                    *left -= 1;
                    if *left == 0 {
                        known.push(*caller);
                    }
                }
            }
        }
    }
}

impl Ending {
    fn of(wire: &WireGraph<'_>) -> Ending {
        let [result] = wire.outputs.as_slice() else { return Ending::Returns };
        let Some(node) = last(wire, *result) else { return Ending::Returns };
        match node.kind {
            WireKind::Operator(operator) if operator.def.is_some_and(|def| def.effect == Effect::Raises) => {
                Ending::Raises
            }
            WireKind::Call(target) => called(wire, target).map_or(Ending::Returns, Ending::Calls),
            _ => Ending::Returns,
        }
    }
}

/// The node whose result `from` is, behind what only orders effects.
fn last<'w, 'a>(wire: &'w WireGraph<'a>, mut from: Ref) -> Option<&'w WireNode<'a>> {
    for _ in 0..=wire.nodes.len() {
        let Ref::Node(_, node) = from else { return None };
        let node = wire.nodes.get(node)?;
        match node.kind {
            WireKind::Framework(Framework::Depend | Framework::Return) => from = *node.inputs.first()?,
            _ => return Some(node),
        }
    }
    None
}

/// The graphs behind a function, each once, if it says which they are.
fn called(wire: &WireGraph<'_>, target: Ref) -> Option<Vec<usize>> {
    let (mut seen, mut rest, mut graphs) = (HashSet::new(), vec![target], Vec::new());
    while let Some(function) = rest.pop() {
        if !seen.insert(function) {
            continue;
        }
        let node = match function {
            Ref::Graph(graph) => {
                graphs.push(graph);
                continue;
            }
            Ref::Node(_, node) => wire.nodes.get(node)?,
            _ => return None,
        };
        let WireKind::Framework(what) = node.kind else { return None };
        rest.extend(match what {
            Framework::Partial => node.inputs.get(..1)?,
            Framework::Switch | Framework::SwitchLayer => node.inputs.get(1..)?,
            Framework::MakeTuple | Framework::MakeList => node.inputs.as_slice(),
            _ => return None,
        });
    }
    Some(graphs)
}

impl WireGraph<'_> {
    /// Whether it never returns.
    pub(super) fn ends(&self) -> bool {
        self.form == Form::Never
    }
}
