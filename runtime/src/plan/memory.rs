//! Which values share memory.

use std::collections::HashMap;
use std::ops::Range;

use mindir_graph::task::{TaskGraph, V};
use mindir_kernels::device::{MemoryModel, Slot};

use super::place::Placed;

/// Memory that is taken from step `first` to step `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub first: usize,
    pub last: usize,
    pub bytes: usize,
}

/// Blocks of a stage, and the block of each root that lies in one.
#[derive(Default)]
pub(crate) struct Blocks {
    pub list: Vec<Block>,
    pub of: HashMap<V, usize>,
}

/// A block for every root that is written in the stage and does not leave it. A result takes over the block of an operand
/// that is read there for the last time, where the kernel allows it.
pub(crate) fn blocks(
    tasks: &TaskGraph,
    placed: &[Placed],
    range: Range<usize>,
    leaves: impl Fn(V) -> bool,
    last_use: &[usize],
) -> Blocks {
    let mut out = Blocks::default();
    for i in range {
        let node = &tasks.nodes[i];
        for (nth, &v) in node.outs.iter().enumerate().filter(|(_, v)| !leaves(**v)) {
            let bytes = tasks.fact(v).bytes();
            let last = last_use[v.0 as usize].max(i);
            let taken = if nth == 0 { takeover(tasks, placed, i, bytes, &out, last_use) } else { None };
            let block = taken.unwrap_or_else(|| {
                out.list.push(Block { first: i, last, bytes });
                out.list.len() - 1
            });
            out.list[block].last = out.list[block].last.max(last);
            out.of.insert(v, block);
        }
    }
    out
}

fn takeover(
    tasks: &TaskGraph,
    placed: &[Placed],
    i: usize,
    bytes: usize,
    blocks: &Blocks,
    last_use: &[usize],
) -> Option<usize> {
    let node = &tasks.nodes[i];
    placed[i].choice.in_place.iter().find_map(|&operand| {
        let root = tasks.root(node.ins[operand]);
        let block = *blocks.of.get(&root)?;
        let once = node.ins.iter().filter(|v| tasks.root(**v) == root).count() == 1;
        let dies = last_use[root.0 as usize] == i && blocks.list[block].last == i;
        (once && dies && blocks.list[block].bytes == bytes).then_some(block)
    })
}

/// A slot for every block, and the size of the arena.
pub(crate) fn assign(blocks: &[Block], model: MemoryModel) -> (Vec<Slot>, usize) {
    match model {
        MemoryModel::Arena => arena(blocks),
        MemoryModel::Buffers => (blocks.iter().map(|b| Slot { offset: 0, bytes: b.bytes }).collect(), 0),
    }
}

/// Offsets in one arena: the largest blocks first, each at the lowest place that is free during its life.
fn arena(blocks: &[Block]) -> (Vec<Slot>, usize) {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(blocks[i].bytes), blocks[i].first));
    let mut slots = vec![Slot { offset: 0, bytes: 0 }; blocks.len()];
    let mut done: Vec<usize> = Vec::new();
    let mut size = 0;
    for i in order {
        let bytes = blocks[i].bytes.next_multiple_of(64);
        let mut busy: Vec<(usize, usize)> = done
            .iter()
            .filter(|&&d| blocks[d].first <= blocks[i].last && blocks[i].first <= blocks[d].last)
            .map(|&d| (slots[d].offset, slots[d].offset + slots[d].bytes.next_multiple_of(64)))
            .collect();
        busy.sort_unstable();
        let mut offset = 0;
        for (from, to) in busy {
            if offset + bytes <= from {
                break;
            }
            offset = offset.max(to);
        }
        slots[i] = Slot { offset, bytes: blocks[i].bytes };
        size = size.max(offset + bytes);
        done.push(i);
    }
    (slots, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_do_not_live_together_share_memory() {
        let block = |first, last, bytes| Block { first, last, bytes };
        let blocks = [block(0, 1, 100), block(1, 2, 100), block(2, 3, 100), block(0, 3, 10)];
        let (slots, size) = arena(&blocks);
        for i in 0..blocks.len() {
            for j in 0..i {
                let together = blocks[i].first <= blocks[j].last && blocks[j].first <= blocks[i].last;
                let apart = slots[i].offset + slots[i].bytes <= slots[j].offset
                    || slots[j].offset + slots[j].bytes <= slots[i].offset;
                assert!(!together || apart, "{i} {j} {slots:?}");
            }
        }
        assert_eq!(size, 128 + 128 + 64);
    }
}
