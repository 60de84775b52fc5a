//! The first elements of lines, in order.
//!
//! An element becomes a key, an unsigned number of the same order, and a key with its position a pair, of which no two are equal: sorting
//! pairs keeps the order of equal elements, whoever sorts them.

use std::ops::{BitXor, Not, Range};

use bytemuck::Pod;
use half::{bf16, f16};
use mindir_graph::bounds::Pulse;
use mindir_graph::order::select;
use mindir_graph::task::{Sort, Task};
use mindir_graph::{DType, Element, checked_count};

use super::kernel::{CpuKernel, Failed, Io};
use super::simd::{Kernel, Simd};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Elements that are compared with the bound at a time.
const BLOCK: usize = 64;
/// Most pairs that are wanted of a line where it is read once, keeping what may be among them.
const FEW: usize = 1 << 16;
/// Longest line that is sorted by comparisons.
const SHORT: usize = 1 << 10;
/// Least elements of a part of a line.
const PART: usize = 1 << 15;
/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 13;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Sort> {
    let (Task::Sort(t), [x], [outs @ .., index]) = (view.task, view.ins, view.outs) else { return None };
    let [all, kept] = [t.len, t.k].map(|len| checked_count(&[t.outer, len, t.inner]));
    let values = match outs {
        [] => !t.values,
        [y] => t.values && y.dtype == t.dtype && Some(y.count()) == kept,
        _ => false,
    };
    let positions = index.dtype == t.index && matches!(t.index, DType::I32 | DType::I64) && Some(index.count()) == kept;
    let fits = x.dtype == t.dtype && Some(x.count()) == all && t.k <= t.len && t.len <= i32::MAX as usize;
    (fits && values && positions && !t.dtype.is_complex()).then_some(t)
}

/// The kernel of sorting.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let task = task(&request.view)?.clone();
    let plan = Plan::new(&task, request.threads)?;
    let name = format!("{}-{}-{}", request.isa, task.dtype, if plan.few { "few" } else { "all" });
    Some(Box::new(Lines { name, isa: request.isa, task, plan }))
}

/// How lines are worked on.
#[derive(Clone, Copy)]
struct Plan {
    /// Pairs that are wanted of a line, in order: those of the results, and one more where equal elements must be noticed.
    first: usize,
    /// Whether a line is read once, keeping few pairs, or all of it is sorted.
    few: bool,
    /// Parts of a line, each of which gives its first pairs.
    parts: usize,
    /// Pairs that the work on a line or part needs.
    room: usize,
    /// Rooms, one for each thread, or for each part if these are fewer.
    rooms: usize,
    /// Bytes of the rooms, and of what parts give.
    bytes: [usize; 2],
    threads: usize,
}

impl Plan {
    fn new(t: &Sort, threads: usize) -> Option<Plan> {
        let first = t.k + usize::from(t.selects() && t.len > 0);
        let few = first <= FEW.min(t.len / 4);
        let lines = checked_count(&[t.outer, t.inner])?;
        let most = if few && lines < threads { t.len / PART.max(8 * first) } else { 1 };
        let parts = most.clamp(1, threads);
        let room = if few { 2 * first + BLOCK } else { 2 * t.len };
        // What is selected needs all of a line.
        let room = if t.selects() { room.max(t.len) } else { room };
        let rooms = threads.min(lines.saturating_mul(parts));
        let pair = if t.dtype.size() == 8 { size_of::<u128>() } else { size_of::<u64>() };
        let bytes = |dims: &[usize]| checked_count(dims)?.checked_mul(pair)?.checked_next_multiple_of(64);
        let given = if parts > 1 { bytes(&[lines, parts, first])? } else { 0 };
        Some(Plan { first, few, parts, room, rooms, bytes: [bytes(&[room, rooms])?, given], threads })
    }

    /// Which room is for a chunk of several.
    fn seat(&self, chunk: usize, chunks: usize, worker: usize) -> usize {
        if chunks <= self.rooms { chunk } else { worker }
    }
}

struct Lines {
    name: String,
    isa: Isa,
    task: Sort,
    plan: Plan,
}

impl CpuKernel for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        let [rooms, given] = self.plan.bytes;
        rooms.saturating_add(given)
    }

    /// Where selecting by exchanges would take long, a line is sorted.
    fn heap(&self) -> usize {
        if self.task.selects() { self.plan.bytes[0] } else { 0 }
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        match self.task.dtype {
            DType::F16 => self.sort::<f16>(io, gang),
            DType::BF16 => self.sort::<bf16>(io, gang),
            DType::F32 => self.sort::<f32>(io, gang),
            DType::F64 => self.sort::<f64>(io, gang),
            DType::I8 => self.sort::<i8>(io, gang),
            DType::I16 => self.sort::<i16>(io, gang),
            DType::I32 => self.sort::<i32>(io, gang),
            DType::I64 => self.sort::<i64>(io, gang),
            DType::U16 => self.sort::<u16>(io, gang),
            DType::U32 => self.sort::<u32>(io, gang),
            DType::U64 => self.sort::<u64>(io, gang),
            _ => self.sort::<u8>(io, gang),
        }
    }
}

impl Lines {
    fn sort<T: Item>(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let (t, plan) = (&self.task, self.plan);
        if gang.threads() > plan.threads {
            return Err(Failed::Data(format!("expected {} threads, found {}", plan.threads, gang.threads())));
        }
        let work = Work::<T>::new(self, io)?;
        let lines = t.outer * t.inner;
        if lines * t.k == 0 {
            return Ok(());
        }
        let rooms = Shared::new(io.scratch::<T::Pair>(plan.room * plan.rooms)?.as_mut_ptr());
        // SAFETY: chunks have rooms of their own if there are as many, else workers, who work on one chunk at a time.
        let room = |seat: usize| unsafe { rooms.slice(seat * plan.room, plan.room) };
        if plan.parts > 1 {
            let chunks = lines * plan.parts;
            let given = Shared::new(io.scratch::<T::Pair>(chunks * plan.first)?.as_mut_ptr());
            // SAFETY: parts have places of their own, and so have lines; all are inside.
            let given = |part: usize, n: usize| unsafe { given.slice(part * plan.first, n * plan.first) };
            gang.parallel(chunks, |chunk, worker| {
                let room = room(plan.seat(chunk, chunks, worker));
                let [from, end] = [0, 1].map(|next| (chunk % plan.parts + next) * t.len / plan.parts);
                if let Some(at) = work.first(chunk / plan.parts, from..end, room) {
                    given(chunk, 1).copy_from_slice(&room[at..][..plan.first]);
                }
            });
            gang.parallel(lines, |line, worker| {
                let all = given(line * plan.parts, plan.parts);
                all.sort_unstable();
                if work.has_equals(&all[..plan.first]) {
                    let room = room(plan.seat(line, lines, worker));
                    return work.select(line, room).map_or((), |()| work.write(line, room));
                }
                work.write(line, all);
            });
            return Ok(());
        }
        let each = CHUNK.div_ceil(t.len);
        let chunks = lines.div_ceil(each);
        gang.parallel(chunks, |chunk, worker| {
            let room = room(plan.seat(chunk, chunks, worker));
            for line in chunk * each..lines.min((chunk + 1) * each) {
                let Some(mut at) = work.first(line, 0..t.len, room) else { return };
                if work.has_equals(&room[at..][..plan.first]) {
                    let Some(()) = work.select(line, room) else { return };
                    at = 0;
                }
                work.write(line, &room[at..]);
            }
        });
        Ok(())
    }
}

/// Where positions are written.
enum Positions {
    I32(Shared<i32>),
    I64(Shared<i64>),
}

/// What threads share.
struct Work<'a, T: Item> {
    lines: &'a Lines,
    x: &'a [T],
    values: Option<Shared<T>>,
    positions: Positions,
    /// Turns keys around where the largest come first.
    flip: Key<T>,
}

impl<'a, T: Item> Work<'a, T> {
    fn new<'b: 'a>(lines: &'a Lines, io: &mut Io<'b>) -> Result<Work<'a, T>, Failed> {
        let Sort { values, descending, index, .. } = lines.task;
        let x = io.operand(0)?;
        let (values, at) = if values { (Some(Shared::new(io.result(0)?.as_mut_ptr())), 1) } else { (None, 0) };
        let positions = match index {
            DType::I32 => Positions::I32(Shared::new(io.result(at)?.as_mut_ptr())),
            _ => Positions::I64(Shared::new(io.result(at)?.as_mut_ptr())),
        };
        let flip = if descending { !Key::<T>::default() } else { Key::<T>::default() };
        Ok(Work { lines, x, values, positions, flip })
    }

    /// The elements of a line from element `from` on.
    fn line(&self, line: usize, from: usize) -> (&'a [T], usize) {
        let Sort { len, inner, .. } = self.lines.task;
        (&self.x[((line / inner) * len + from) * inner + line % inner..], inner)
    }

    /// Finds the first pairs of a part of a line, and where they start in `room`; nothing if the thread has to stop.
    fn first(&self, line: usize, part: Range<usize>, room: &mut [T::Pair]) -> Option<usize> {
        let Plan { first, few, .. } = self.lines.plan;
        if few {
            let n = self.lines.isa.run(Few { work: self, line, part, room: &mut *room })?;
            room[..n].select_nth_unstable(first - 1);
            room[..first].sort_unstable();
            return Some(0);
        }
        let n = part.len();
        self.pairs(line, part, room)?;
        if n > SHORT {
            return radix(&mut room[..2 * n], size_of::<T>());
        }
        if first < n {
            room[..n].select_nth_unstable(first);
        }
        room[..first].sort_unstable();
        Some(0)
    }

    /// All pairs of a part of a line, in front of `room`; nothing if the thread has to stop.
    fn pairs(&self, line: usize, part: Range<usize>, room: &mut [T::Pair]) -> Option<()> {
        let (x, step) = self.line(line, part.start);
        let mut pulse = Pulse::default();
        for ((to, &x), at) in room.iter_mut().zip(x.iter().step_by(step)).zip(part) {
            pulse.beat().ok()?;
            *to = T::Pair::new(x.key() ^ self.flip, at);
        }
        Some(())
    }

    /// Whether the order of equal elements is to be looked at.
    fn has_equals(&self, found: &[T::Pair]) -> bool {
        self.lines.task.selects() && found.windows(2).any(|two| two[0].key() == two[1].key())
    }

    /// The pairs of a line as exchanges select them, in front of `room`; nothing if the thread has to stop.
    fn select(&self, line: usize, room: &mut [T::Pair]) -> Option<()> {
        let Sort { len, k, .. } = self.lines.task;
        self.pairs(line, 0..len, room)?;
        select(&mut room[..len], k, |a, b| a.key().cmp(&b.key())).ok()?;
        let (found, kept) = room[..2 * k].split_at_mut(k);
        kept.copy_from_slice(found);
        // Equal elements keep the order that they have now.
        found.iter_mut().enumerate().for_each(|(place, pair)| *pair = T::Pair::new(pair.key(), place));
        found.sort_unstable();
        found.iter_mut().for_each(|pair| *pair = kept[pair.place()]);
        Some(())
    }

    /// Writes the results of a line.
    fn write(&self, line: usize, found: &[T::Pair]) {
        let Sort { k, inner, .. } = self.lines.task;
        let (x, _) = self.line(line, 0);
        let first = (line / inner) * k * inner + line % inner;
        for (n, pair) in found[..k].iter().enumerate() {
            let (at, place) = (first + n * inner, pair.place());
            // SAFETY: the results of the line are this call's own and lie inside.
            unsafe {
                if let Some(values) = self.values {
                    values.at(at).write(x[place * inner]);
                }
                match self.positions {
                    Positions::I32(to) => to.at(at).write(place as i32),
                    Positions::I64(to) => to.at(at).write(place as i64),
                }
            }
        }
    }
}

/// Gathers what may be among the first pairs of a part of a line; gives how many these are, or nothing if the thread has to stop.
struct Few<'a, T: Item> {
    work: &'a Work<'a, T>,
    line: usize,
    part: Range<usize>,
    room: &'a mut [T::Pair],
}

impl<T: Item> Kernel for Few<'_, T> {
    type Out = Option<usize>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Option<usize> {
        let Few { work, line, part, room } = self;
        let (first, flip) = (work.lines.plan.first, work.flip);
        let start = part.start + part.len().min(2 * first);
        work.pairs(line, part.start..start, room)?;
        let mut n = start - part.start;
        let mut bound = prune(&mut room[..n], first);
        let mut pulse = Pulse::default();
        let (x, step) = work.line(line, 0);
        let mut keys = [Key::<T>::default(); BLOCK];
        for at in (start..part.end).step_by(BLOCK) {
            pulse.turns(BLOCK).ok()?;
            let keys = &mut keys[..BLOCK.min(part.end - at)];
            if step == 1 {
                keys.iter_mut().zip(&x[at..]).for_each(|(key, x)| *key = x.key() ^ flip);
            } else {
                keys.iter_mut().zip(x[at * step..].iter().step_by(step)).for_each(|(key, x)| *key = x.key() ^ flip);
            }
            if !keys.iter().fold(false, |any, key| any | (*key < bound)) {
                continue;
            }
            for (place, &key) in keys.iter().enumerate() {
                room[n] = T::Pair::new(key, at + place);
                n += usize::from(key < bound);
            }
            if n >= 2 * first {
                bound = prune(&mut room[..n], first);
                n = first;
            }
        }
        Some(n)
    }
}

/// Brings the first `n` pairs, of which there are more or as many, in front; gives the last one's key.
fn prune<P: Pair>(pairs: &mut [P], n: usize) -> P::Key {
    pairs.select_nth_unstable(n - 1).1.key()
}

/// Sorts the first half of `room` by keys of so many bytes, where positions are in order already; gives where the sorted half starts,
/// or nothing if the thread has to stop.
fn radix<P: Pair>(room: &mut [P], bytes: usize) -> Option<usize> {
    let n = room.len() / 2;
    let (mut from, mut to) = room.split_at_mut(n);
    let (mut at, mut pulse) = (0, Pulse::default());
    for byte in 0..bytes {
        let mut ends = [0usize; 256];
        from.iter().for_each(|pair| ends[pair.byte(byte)] += 1);
        if ends.contains(&n) {
            continue;
        }
        let mut next = 0;
        ends.iter_mut().for_each(|end| next += std::mem::replace(end, next));
        for pairs in from.chunks(CHUNK) {
            pulse.turns(pairs.len()).ok()?;
            for &pair in pairs {
                let end = &mut ends[pair.byte(byte)];
                to[*end] = pair;
                *end += 1;
            }
        }
        std::mem::swap(&mut from, &mut to);
        at = n - at;
    }
    Some(at)
}

/// A key above a position, in one number.
trait Pair: Copy + Ord + Pod + Send + Sync {
    type Key: Copy + Default + Ord + BitXor<Output = Self::Key> + Not<Output = Self::Key> + Send + Sync;
    fn new(key: Self::Key, place: usize) -> Self;
    fn key(self) -> Self::Key;
    fn place(self) -> usize;
    /// A byte of the key.
    fn byte(self, at: usize) -> usize;
}

macro_rules! pair {
    ($($pair:ty: $key:ty);*) => {$(
        impl Pair for $pair {
            type Key = $key;

            #[inline(always)]
            fn new(key: $key, place: usize) -> $pair { (key as $pair) << <$key>::BITS | place as $pair }

            #[inline(always)]
            fn key(self) -> $key { (self >> <$key>::BITS) as $key }

            #[inline(always)]
            fn place(self) -> usize { self as u32 as usize }

            #[inline(always)]
            fn byte(self, at: usize) -> usize { (self >> (<$key>::BITS as usize + 8 * at)) as u8 as usize }
        }
    )*};
}
pair!(u64: u32; u128: u64);

type Key<T> = <<T as Item>::Pair as Pair>::Key;

/// An element that is sorted.
trait Item: Element {
    type Pair: Pair;
    /// Keys have the order of elements, and as many bytes that differ.
    fn key(self) -> Key<Self>;
}

macro_rules! integers {
    ($($t:ty, $bits:ty, $pair:ty);*) => {$(
        impl Item for $t {
            type Pair = $pair;

            #[inline(always)]
            fn key(self) -> Key<$t> { (self as $bits ^ <$t>::MIN as $bits).into() }
        }
    )*};
}
integers!(
    i8, u8, u64; i16, u16, u64; i32, u32, u64; i64, u64, u128;
    u8, u8, u64; u16, u16, u64; u32, u32, u64; u64, u64, u128
);

macro_rules! floats {
    ($($t:ty, $bits:ty, $pair:ty);*) => {$(
        impl Item for $t {
            type Pair = $pair;

            #[inline(always)]
            fn key(self) -> Key<$t> {
                const SIGN: $bits = !(<$bits>::MAX >> 1);
                let bits = self.to_bits();
                let size = bits & !SIGN;
                let key = if bits == size || size == 0 { size | SIGN } else { !bits };
                (if size > <$t>::INFINITY.to_bits() { <$bits>::MAX } else { key }).into()
            }
        }
    )*};
}
floats!(f16, u16, u64; bf16, u16, u64; f32, u32, u64; f64, u64, u128);

#[cfg(test)]
mod tests {
    use mindir_graph::task::Ties;
    use mindir_graph::{Fact, Tensor};

    use super::*;
    use crate::cpu::cases::{Case, EXACT, check, tensor};

    const TYPES: [DType; 13] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::Bool,
    ];

    fn case(x: Tensor, [outer, len, inner]: [usize; 3], k: usize, descending: bool, ties: Ties) -> Case {
        let (dtype, values) = (x.dtype(), ties == Ties::Selected || k.is_multiple_of(2));
        let index = if descending { DType::I32 } else { DType::I64 };
        let task = Sort { outer, len, inner, k, descending, ties, values, dtype, index };
        let dims = [outer, k, inner];
        let mut outs = vec![Fact::new(index, &dims)];
        if values {
            outs.insert(0, Fact::new(dtype, &dims));
        }
        let name = format!("{k} of {:?} {dtype} descending {descending} {ties:?}", [outer, len, inner]);
        Case::new(name, Task::Sort(task), vec![x], outs, EXACT)
    }

    #[test]
    fn lines_are_sorted() {
        let mut cases = Vec::new();
        for (dims, k) in [
            ([1, 1, 1], 1),
            ([3, 50, 1], 50),
            ([2, 300, 3], 7),
            ([2, 1500, 2], 700),
            ([1, 3000, 1], 3000),
            ([1, 9000, 1], 40),
            ([0, 3, 2], 2),
            ([2, 3, 2], 0),
            ([2, 0, 2], 0),
        ] {
            for (seed, dtype) in TYPES.into_iter().enumerate() {
                for (descending, ties) in [(false, Ties::Stable), (true, Ties::Stable), (true, Ties::Selected)] {
                    for range in [6.0, 100.0] {
                        let x = tensor(seed as u64, dtype, &dims, range);
                        cases.push(case(x, dims, k, descending, ties));
                    }
                }
            }
        }
        // In parts.
        let dims = [1, 70_000, 1];
        for ties in [Ties::Stable, Ties::Selected] {
            cases.push(case(tensor(1, DType::F32, &dims, 1.0), dims, 40, true, ties));
            cases.push(case(tensor(1, DType::I16, &dims, 30.0), dims, 40, true, ties));
        }
        check(&cases);
    }

    #[test]
    fn orders_that_are_there_already() {
        let dims = [1, 20_000, 1];
        let mut cases = Vec::new();
        for (descending, k) in [(false, 3), (true, 3), (false, 900), (true, 900), (true, 20_000)] {
            for step in [1.0, -1.0, 0.0] {
                let x: Vec<f64> = (0..dims[1]).map(|i| step * i as f64).collect();
                let x = Tensor::from_f64s(DType::F32, &dims, &x).unwrap();
                cases.push(case(x.clone(), dims, k, descending, Ties::Stable));
                cases.push(case(x, dims, k, descending, Ties::Selected));
            }
        }
        check(&cases);
    }

    #[test]
    fn zeros_are_equal_and_nan_comes_last() {
        let values = [0.0, f64::NAN, -0.0, f64::INFINITY, -f64::NAN, f64::NEG_INFINITY, 0.0, -1.0, 1.0, f64::NAN, -0.0];
        let mut cases = Vec::new();
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            let x = Tensor::from_f64s(dtype, &[1, 11, 1], &values).unwrap();
            for k in [2, 5, 8, 11] {
                for (descending, ties) in [(false, Ties::Stable), (true, Ties::Stable), (true, Ties::Selected)] {
                    cases.push(case(x.clone(), [1, 11, 1], k, descending, ties));
                }
            }
        }
        check(&cases);
    }
}
