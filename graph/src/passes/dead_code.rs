use super::{Aims, Notes};
use crate::task::TaskGraph;

/// Drops tasks whose results nobody reads.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    let mut live = graph.values.filled(false);
    let roots: Vec<_> = graph.outputs.iter().chain(graph.writes.iter().map(|(_, v)| v)).copied().collect();
    for v in roots {
        live[graph.root(v)] = true;
    }
    notes.visits += graph.nodes.len() as u64;
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.outs.iter().any(|o| live[*o]) {
            node.ins.iter().for_each(|v| live[graph.root(*v)] = true);
            kept.push(node);
        } else {
            notes.applied(&node.path, format!("nobody reads the result of {}", node.ops));
        }
    }
    kept.reverse();
    graph.nodes = kept;
}
