use smallvec::SmallVec;

use super::{Notes, join};
use crate::task::{Part, Source, Task, TaskGraph};
use crate::{Strides, dense_strides};

/// Joins a one-block copy with the one-block copy that it reads, and turns copies that move nothing into aliases.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    let mut at = 0;
    while at < graph.nodes.len() {
        merge(graph, at, notes);
        if !drop_identity(graph, at, notes) {
            at += 1;
        }
    }
}

fn merge(graph: &mut TaskGraph, at: usize, notes: &mut Notes) {
    let Some(second) = single(graph, at) else { return };
    let root = graph.root(graph.nodes[at].ins[0]);
    let Some(from) = graph.nodes[..at].iter().rposition(|n| n.outs.contains(&root)) else { return };
    let Some(first) = single(graph, from) else { return };
    let (offset, src) = match compose(&first, &second) {
        Some(found) => found,
        None => {
            let path = graph.nodes[at].path.clone();
            notes.refused(&path, format!("no single stride describes it after {}", graph.nodes[from].ops));
            return;
        }
    };
    let (path, ins) = (graph.nodes[at].path.clone(), graph.nodes[from].ins.clone());
    notes.applied(&path, format!("reads through {} {}", graph.nodes[from].ops, graph.nodes[from].path));
    let ops = join(&graph.nodes[from].ops, &graph.nodes[at].ops);
    let node = &mut graph.nodes[at];
    if let Task::Copy(copy) = &mut node.task {
        copy.parts[0].src_offset = offset;
        copy.parts[0].src = src;
    }
    (node.ins, node.ops) = (ins, ops);
}

/// The only block of a copy that writes its whole output in order.
fn single(graph: &TaskGraph, at: usize) -> Option<Part> {
    let Task::Copy(copy) = &graph.nodes[at].task else { return None };
    let [part] = copy.parts.as_slice() else { return None };
    let dense = part.dst == dense_strides(&part.shape) && part.dst_offset == 0;
    (dense && copy.fill.is_none()).then(|| part.clone())
}

/// Where the second copy's elements lie in the first copy's input: each of its steps must stay within one dimension of the
/// first copy's block.
fn compose(first: &Part, second: &Part) -> Option<(usize, Strides)> {
    let dense = dense_strides(&first.shape);
    let start: SmallVec<[usize; 6]> = {
        let mut rest = second.src_offset;
        dense
            .iter()
            .map(|&s| {
                let i = rest / s.max(1) as usize;
                rest %= s.max(1) as usize;
                i
            })
            .collect()
    };
    let mut position: SmallVec<[isize; 6]> = start.iter().map(|&i| i as isize).collect();
    let mut strides = Strides::new();
    for (d, &step) in second.src.iter().enumerate() {
        let extent = second.shape[d] as isize;
        if step == 0 || extent == 1 {
            strides.push(0);
            continue;
        }
        // The dimension of the first block along which this step walks.
        let along = (0..dense.len()).find(|&k| {
            first.shape[k] > 1 && step % dense[k] == 0 && {
                let last = position[k] + step / dense[k] * (extent - 1);
                last >= 0 && last < first.shape[k] as isize
            }
        })?;
        strides.push(first.src[along] * (step / dense[along]));
        // Two steps along one dimension together must stay inside it.
        position[along] += step / dense[along] * (extent - 1);
    }
    let offset = start.iter().zip(&first.src).map(|(&i, &s)| i as isize * s).sum::<isize>() + first.src_offset as isize;
    Some((usize::try_from(offset).ok()?, strides))
}

/// Replaces a copy that reads its input in order by an alias.
fn drop_identity(graph: &mut TaskGraph, at: usize, notes: &mut Notes) -> bool {
    let Some(part) = single(graph, at) else { return false };
    let dense = dense_strides(&part.shape);
    let in_order = (0..part.shape.len()).all(|d| part.shape[d] == 1 || part.src[d] == dense[d]);
    let (input, out) = (graph.nodes[at].ins[0], graph.nodes[at].outs[0]);
    let whole = graph.fact(input).count() == graph.fact(out).count();
    if part.src_offset != 0 || !in_order || !whole {
        return false;
    }
    let path = graph.nodes[at].path.clone();
    notes.applied(&path, "moves nothing");
    let root = graph.root(input);
    graph.values[out.0 as usize].source = Source::Alias(root);
    graph.nodes.remove(at);
    true
}
