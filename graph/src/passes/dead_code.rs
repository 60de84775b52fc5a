use super::Notes;
use crate::task::TaskGraph;

/// Drops tasks whose results nobody reads.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    let mut live = vec![false; graph.values.len()];
    let roots: Vec<_> = graph.outputs.iter().chain(graph.writes.iter().map(|(_, v)| v)).copied().collect();
    for v in roots {
        live[graph.root(v).0 as usize] = true;
    }
    notes.visits += graph.nodes.len() as u64;
    let mut keep = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        keep[i] = node.outs.iter().any(|o| live[o.0 as usize]);
        if keep[i] {
            node.ins.iter().for_each(|v| live[graph.root(*v).0 as usize] = true);
        } else {
            notes.applied(&node.path, format!("nobody reads the result of {}", node.ops));
        }
    }
    let mut keep = keep.into_iter();
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
}
