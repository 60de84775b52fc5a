//! Which values share memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use mindir_graph::task::{TaskGraph, TaskNode, V};
use mindir_graph::{Id, Table};
use mindir_kernels::device::{MemoryModel, Slot};

use super::place::{Part, Placed};

/// Memory that is taken from step `first` to step `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub first: usize,
    pub last: usize,
    pub bytes: usize,
}

/// The number of a block, and of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockId(pub usize);

impl Id for BlockId {
    fn new(at: usize) -> BlockId {
        BlockId(at)
    }

    fn at(self) -> usize {
        self.0
    }
}

/// Blocks of a stage, and the block of each root that lies in one.
#[derive(Default)]
pub(crate) struct Blocks {
    pub list: Table<BlockId, Block>,
    pub of: HashMap<V, BlockId>,
}

/// A block for every root that is written in the stage and does not leave it. A result takes over the block of an operand
/// that is read there for the last time, where the kernel allows it.
pub(crate) fn blocks(
    tasks: &TaskGraph,
    part: Part<'_>,
    leaves: impl Fn(V) -> bool,
    last_use: &Table<V, usize>,
) -> Blocks {
    let mut out = Blocks::default();
    for (i, node, placed) in part.tasks() {
        for (nth, &v) in node.outs.iter().enumerate().filter(|(_, v)| !leaves(**v)) {
            let bytes = tasks.fact(v).bytes();
            let last = last_use[v].max(i);
            let dies = |root: V| last_use[root] == i;
            let taken = if nth == 0 { takeover(tasks, node, placed, i, bytes, &out, dies) } else { None };
            let block = taken.unwrap_or_else(|| out.list.add(Block { first: i, last, bytes }));
            out.list[block].last = out.list[block].last.max(last);
            out.of.insert(v, block);
        }
    }
    out
}

fn takeover(
    tasks: &TaskGraph,
    node: &TaskNode,
    placed: &Placed,
    i: usize,
    bytes: usize,
    blocks: &Blocks,
    dies: impl Fn(V) -> bool,
) -> Option<BlockId> {
    placed.offer.in_place.iter().find_map(|&operand| {
        let root = tasks.root(*node.ins.get(operand)?);
        let block = *blocks.of.get(&root)?;
        let once = node.ins.iter().filter(|v| tasks.root(**v) == root).count() == 1;
        let Block { last, bytes: room, .. } = blocks.list[block];
        (once && dies(root) && last == i && room == bytes).then_some(block)
    })
}

impl Blocks {
    /// Slots for the blocks, and the size of the arena; `of` names slots from then on.
    pub fn assign(&mut self, model: MemoryModel) -> (Vec<Slot>, usize) {
        match model {
            MemoryModel::Arena => arena(&self.list),
            MemoryModel::Buffers => {
                let (slots, slot_of) = buffers(&self.list);
                self.of.values_mut().for_each(|block| *block = slot_of[*block]);
                (slots.into(), 0)
            }
        }
    }
}

/// Buffers that blocks share which do not live at one time, and the one of each block. A block takes the smallest that is free
/// and large enough, else the largest that is free, which grows. Blocks are in the order of their first steps.
fn buffers(blocks: &Table<BlockId, Block>) -> (Table<BlockId, Slot>, Table<BlockId, BlockId>) {
    let mut slots: Table<BlockId, Slot> = Table::default();
    let (mut taken, mut free) = (BinaryHeap::new(), BTreeSet::new());
    let mut place = |block: &Block| {
        while let Some(&Reverse((last, slot))) = taken.peek()
            && last < block.first
        {
            taken.pop();
            free.insert((slots[BlockId(slot)].bytes, slot));
        }
        let found = free.range((block.bytes, 0)..).next().or_else(|| free.last()).copied();
        let slot = match found {
            Some((bytes, slot)) => {
                free.remove(&(bytes, slot));
                slots[BlockId(slot)].bytes = bytes.max(block.bytes);
                BlockId(slot)
            }
            None => slots.add(Slot { offset: 0, bytes: block.bytes }),
        };
        taken.push(Reverse((block.last, slot.0)));
        slot
    };
    let slot_of = blocks.map(&mut place);
    (slots, slot_of)
}

/// As many blocks are placed with all others in mind; that takes time with the square of their number.
const LARGE: usize = 2048;

/// Offsets in one arena: the largest blocks first, each at the lowest place that is free during its life. Where there are very
/// many, the smallest share a part of their own, in the order in which they are needed.
pub(crate) fn arena(blocks: &Table<BlockId, Block>) -> (Vec<Slot>, usize) {
    let mut order: Vec<BlockId> = blocks.ids().collect();
    order.sort_by_key(|&i| (Reverse(blocks[i].bytes), blocks[i].first));
    let mut small = order.split_off(order.len().min(LARGE));
    let mut slots = blocks.map(|b| Slot { offset: 0, bytes: b.bytes });
    let (mut size, mut placed, mut busy) = (0, Vec::with_capacity(order.len()), Vec::new());
    for i in order {
        let block = blocks[i];
        taken(&placed, block, &mut busy);
        let offset = lowest(&busy, room(&block));
        placed.push((block, offset));
        slots[i].offset = offset;
        size = size.max(offset + room(&block));
    }
    let mut queue = Queue { end: size, ..Queue::default() };
    small.sort_by_key(|&i| blocks[i].first);
    for i in small {
        slots[i].offset = queue.place(&blocks[i]);
    }
    (slots.into(), queue.end)
}

/// The bytes of a block in an arena.
fn room(block: &Block) -> usize {
    block.bytes.next_multiple_of(64)
}

/// The places that blocks with these offsets take during the life of `block`, in order.
fn taken(placed: &[(Block, usize)], block: Block, places: &mut Vec<(usize, usize)>) {
    places.clear();
    let meeting = placed.iter().filter(|(other, _)| other.first <= block.last && block.first <= other.last);
    places.extend(meeting.map(|(other, offset)| (*offset, offset + room(other))));
    places.sort_unstable();
}

/// The lowest place for `bytes` between places that are taken.
fn lowest(taken: &[(usize, usize)], bytes: usize) -> usize {
    let mut offset = 0;
    for &(from, to) in taken {
        if offset + bytes <= from {
            break;
        }
        offset = offset.max(to);
    }
    offset
}

/// Memory that is given to blocks in the order of their first steps.
#[derive(Default)]
struct Queue {
    end: usize,
    /// Last step, place and bytes of what is taken, the first to end on top.
    taken: BinaryHeap<Reverse<(usize, usize, usize)>>,
    /// Free pieces by place, none next to another, and by size.
    free: BTreeMap<usize, usize>,
    sizes: BTreeSet<(usize, usize)>,
}

impl Queue {
    /// A place for a block, whose first step is not before those of the blocks placed until now.
    fn place(&mut self, block: &Block) -> usize {
        while let Some(&Reverse((last, at, bytes))) = self.taken.peek()
            && last < block.first
        {
            self.taken.pop();
            self.give(at, bytes);
        }
        let bytes = room(block);
        let (size, at) = match self.sizes.range((bytes, 0)..).next() {
            Some(&(size, at)) => (size, at),
            // The last piece grows.
            None => match self.free.last_key_value().filter(|(at, size)| *at + *size == self.end) {
                Some((&at, &size)) => (size, at),
                None => (0, self.end),
            },
        };
        self.take(at, size);
        if size > bytes {
            self.give(at + bytes, size - bytes);
        }
        self.end = self.end.max(at + bytes);
        self.taken.push(Reverse((block.last, at, bytes)));
        at
    }

    /// Takes back a piece and joins it with its free neighbours.
    fn give(&mut self, mut at: usize, mut bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some((&before, &size)) = self.free.range(..at).next_back()
            && before + size == at
        {
            self.take(before, size);
            (at, bytes) = (before, size + bytes);
        }
        if let Some(&size) = self.free.get(&(at + bytes)) {
            self.take(at + bytes, size);
            bytes += size;
        }
        self.free.insert(at, bytes);
        self.sizes.insert((bytes, at));
    }

    fn take(&mut self, at: usize, size: usize) {
        self.free.remove(&at);
        self.sizes.remove(&(size, at));
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::random::SplitMix;

    use super::*;

    fn check(blocks: &[Block]) -> usize {
        let (slots, size) = arena(&blocks.to_vec().into());
        for i in 0..blocks.len() {
            assert!(slots[i].offset + slots[i].bytes <= size && slots[i].offset.is_multiple_of(64));
            for j in 0..i {
                let together = blocks[i].first <= blocks[j].last && blocks[j].first <= blocks[i].last;
                let apart = slots[i].offset + slots[i].bytes <= slots[j].offset
                    || slots[j].offset + slots[j].bytes <= slots[i].offset
                    || slots[i].bytes.min(slots[j].bytes) == 0;
                assert!(!together || apart, "{i} {j}");
            }
        }
        size
    }

    #[test]
    fn blocks_that_do_not_live_together_share_memory() {
        let block = |first, last, bytes| Block { first, last, bytes };
        let size = check(&[block(0, 1, 100), block(1, 2, 100), block(2, 3, 100), block(0, 3, 10)]);
        assert_eq!(size, 128 + 128 + 64);
    }

    #[test]
    fn very_many_blocks_share_memory() {
        let chain: Vec<Block> = (0..LARGE + 1000).map(|i| Block { first: i, last: i + 1, bytes: 100 }).collect();
        assert_eq!(check(&chain), 4 * 128, "two for the large ones and two for the others");
        let mut numbers = SplitMix(1);
        let mut random = |below: u64| numbers.below(below);
        let blocks: Vec<Block> = (0..LARGE as u64 + 1000)
            .map(|i| {
                let first = i / 3 + random(5);
                Block { first: first as usize, last: (first + random(40)) as usize, bytes: random(1000) as usize }
            })
            .collect();
        let size = check(&blocks);
        let alive = |step: usize| blocks.iter().filter(|b| (b.first..=b.last).contains(&step)).map(room).sum::<usize>();
        let most = (0..1100).map(alive).max().unwrap_or(0);
        assert!(size < 2 * most, "{size} bytes where {most} are needed at one time");
    }
    #[test]
    fn buffers_are_shared_by_blocks_that_do_not_live_together() {
        let chain: Vec<Block> = (0..10_000).map(|i| Block { first: i, last: i + 1, bytes: 100 + i % 7 }).collect();
        assert_eq!(buffers(&chain.into()).0.len(), 2);
        let mut numbers = SplitMix(2);
        let mut random = |below: u64| numbers.below(below) as usize;
        let blocks: Vec<Block> =
            (0..2000).map(|i| Block { first: i / 3, last: i / 3 + random(40), bytes: random(1000) }).collect();
        let (slots, slot_of) = buffers(&blocks.clone().into());
        let mut lives: HashMap<usize, usize> = HashMap::new();
        for (block, slot) in blocks.iter().zip(slot_of.iter()) {
            assert!(slots[*slot].bytes >= block.bytes);
            assert!(lives.insert(slot.0, block.last).is_none_or(|last| last < block.first));
        }
        let alive = |step: usize| blocks.iter().filter(|b| (b.first..=b.last).contains(&step)).count();
        assert_eq!(Some(slots.len()), (0..700).map(alive).max());
    }
}
