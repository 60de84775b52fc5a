//! Attention for a block of queries at a time: their scores stay in the cache until the values are weighed with them.

use std::sync::OnceLock;

use mindir_graph::task::{Attention, Gemm, Map, Matrix, Softmax, Task};
use mindir_graph::{DType, Fact, Strides, broadcast_strides, shape};
use smallvec::SmallVec;

use super::gemm::dense::{inside, start, writes_once};
use super::kernel::{CpuKernel, Failed, Io, Operand, Target};
use super::{Gang, Request, Shared, own};
use crate::device::TaskView;

/// Scores of a block: as many as half of a small second-level cache holds.
const SCORES: usize = 32 * 1024;

/// Fewest rows of a block that is cut from a larger one.
const ROWS: usize = 16;

/// So many blocks keep several threads busy.
const BLOCKS: usize = 8;

/// The kernel of attention.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let Task::Attention(task) = request.view.task else { return None };
    if !sound(task, &request.view) {
        return None;
    }
    let (batches, m, n) = (task.scores.batch_count(), task.scores.m, task.scores.n);
    // The number of threads decides nothing, for the bits of a sum depend on how many rows are computed with it.
    let wanted = m.div_ceil((SCORES / n).max(ROWS)).max(BLOCKS.div_ceil(batches).min(m.div_ceil(ROWS)));
    let rows = m.div_ceil(wanted);
    let blocks = m.div_ceil(rows);
    let others = others(task, &request.view)?;
    let full = Block::new(request, task, &others, rows)?;
    let last = Block::new(request, task, &others, m - (blocks - 1) * rows)?;
    let name = format!("{}-f32-attention{rows}", request.isa);
    Some(Box::new(Blocks { name, task: task.as_ref().clone(), others, full, last, blocks, threads: request.threads }))
}

/// Whether the products are what they seem: inside their operands, and the result written once.
fn sound(task: &Attention, view: &TaskView<'_>) -> bool {
    let Attention { scores, values, .. } = task;
    let ([q, k, .., v], [y]) = (view.ins, view.outs) else { return false };
    let count = y.count();
    [q, k, v, y].iter().all(|fact| fact.dtype == DType::F32)
        && [scores.dtype, scores.out, values.dtype, values.out].iter().all(|dtype| *dtype == DType::F32)
        && scores.epilogue.as_ref().is_none_or(|e| e.inputs.is_empty())
        && values.epilogue.is_none()
        && (scores.m, scores.n, scores.batch_count()) == (values.m, values.k, values.batch_count())
        && scores.batch_count() * scores.m * scores.n * scores.k * values.n > 0
        && inside(scores, &scores.a, scores.m, scores.k, q.count())
        && inside(scores, &scores.b, scores.k, scores.n, k.count())
        && inside(values, &values.b, values.k, values.n, v.count())
        && inside(values, &values.c, values.m, values.n, count)
        && values.c.col == 1
        && values.batch_count() * values.m * values.n == count
        && writes_once(values)
}

/// What the map reads besides the scores.
struct Other {
    dtype: DType,
    /// From one batch to the next, for each dimension before the last two, and from one row of scores to the next.
    lead: Strides,
    row: usize,
    /// Whether there is an element for each row of scores, and for each column.
    varies: [bool; 2],
}

fn others(task: &Attention, view: &TaskView<'_>) -> Option<Vec<Other>> {
    let facts = view.ins.get(2..view.ins.len().checked_sub(1)?)?;
    let Some(map) = &task.map else { return facts.is_empty().then(Vec::new) };
    let lead = map.shape.len().checked_sub(2)?;
    let fits = map.shape[lead..] == [task.scores.m, task.scores.n]
        && map.shape[..lead].iter().product::<usize>() == task.scores.batch_count();
    let other = |fact: &Fact| {
        let strides = broadcast_strides(&fact.shape, &map.shape)?;
        let row = strides[lead].unsigned_abs();
        let varies = [row != 0, strides[lead + 1] != 0];
        Some(Other { dtype: fact.dtype, lead: Strides::from_slice(&strides[..lead]), row, varies })
    };
    if fits { facts.iter().map(other).collect() } else { None }
}

impl Other {
    /// Its part for `rows` rows of scores of `n` columns.
    fn fact(&self, rows: usize, n: usize) -> Fact {
        let [by_row, by_col] = self.varies;
        Fact::new(self.dtype, &[if by_row { rows } else { 1 }, if by_col { n } else { 1 }])
    }

    /// The first element for a batch and a row.
    fn start(&self, map: &Map, mut batch: usize, row: usize) -> usize {
        let mut at = row * self.row;
        for (&n, &stride) in map.shape.iter().zip(&self.lead).rev() {
            at += batch % n * stride.unsigned_abs();
            batch /= n;
        }
        at
    }
}

/// The kernels for a block of queries of one batch.
struct Block {
    rows: usize,
    scores: Box<dyn CpuKernel>,
    map: Option<Box<dyn CpuKernel>>,
    softmax: Box<dyn CpuKernel>,
    values: Box<dyn CpuKernel>,
    /// Operands and results of the products.
    q: Fact,
    k: Fact,
    v: Fact,
}

impl Block {
    fn new(request: &Request<'_>, task: &Attention, others: &[Other], rows: usize) -> Option<Block> {
        let Attention { scores, map, values } = task;
        let kernel = |task: &Task, ins: &[Fact], out: Fact| {
            let view = TaskView { task, ins, known: &vec![false; ins.len()], outs: &[out] };
            own(&Request { threads: 1, view, ..*request })
        };
        let block = Fact::new(DType::F32, &[rows, scores.n]);
        let (q, k) = (span(&scores.a, rows, scores.k), span(&scores.b, scores.k, scores.n));
        let v = span(&values.b, values.k, values.n);
        let product = alone(scores, rows);
        let weighed = alone(values, rows);
        let softmax = Softmax { outer: rows, len: scores.n, inner: 1, log: false, dtype: DType::F32 };
        let map = match map {
            None => None,
            Some(map) => {
                let map = Map { shape: shape(&[rows, scores.n]), program: map.program.clone() };
                let read = others.iter().map(|other| other.fact(rows, scores.n));
                let ins: Vec<Fact> = std::iter::once(block.clone()).chain(read).collect();
                Some(kernel(&Task::Map(map), &ins, block.clone()).filter(|map| map.in_place().contains(&0))?)
            }
        };
        let result = Fact::new(DType::F32, &[rows, values.n]);
        Some(Block {
            rows,
            scores: kernel(&Task::Gemm(product), &[q.clone(), k.clone()], block.clone())?,
            map,
            softmax: kernel(&Task::Softmax(softmax), std::slice::from_ref(&block), block.clone())?,
            values: kernel(&Task::Gemm(weighed), &[block, v.clone()], result)?,
            q,
            k,
            v,
        })
    }

    fn kernels(&self) -> impl Iterator<Item = &dyn CpuKernel> {
        [Some(&self.scores), self.map.as_ref(), Some(&self.softmax), Some(&self.values)]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
    }

    /// Bytes of scratch that one of its kernels needs.
    fn scratch(&self) -> usize {
        self.kernels().map(CpuKernel::scratch).max().unwrap_or(0).next_multiple_of(64)
    }
}

/// The elements from the first to the last of a matrix.
fn span(matrix: &Matrix, rows: usize, cols: usize) -> Fact {
    Fact::new(DType::F32, &[(rows - 1) * matrix.row + (cols - 1) * matrix.col + 1])
}

/// The product of the first `rows` rows of one batch, whose operands start at their first elements and whose result is dense.
fn alone(g: &Gemm, rows: usize) -> Gemm {
    let matrix = |of: &Matrix| Matrix { batch: Strides::new(), offset: 0, ..of.clone() };
    let c = Matrix { batch: Strides::new(), row: g.n, col: 1, offset: 0 };
    Gemm { batch: shape(&[]), m: rows, a: matrix(&g.a), b: matrix(&g.b), c, ..g.clone() }
}

struct Blocks {
    name: String,
    task: Attention,
    others: Vec<Other>,
    full: Block,
    /// The last block of a batch, which may have fewer rows.
    last: Block,
    /// Blocks of a batch.
    blocks: usize,
    threads: usize,
}

/// Memory of a run.
#[derive(Clone, Copy)]
struct Memory<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    others: &'a [&'a [u8]],
    y: Shared<f32>,
}

impl Blocks {
    /// Bytes of the scores and of the result of a block.
    fn room(&self) -> [usize; 2] {
        [self.task.scores.n, self.task.values.n].map(|cols| (4 * self.full.rows * cols).next_multiple_of(64))
    }

    /// Bytes of scratch of one thread.
    fn each(&self) -> usize {
        self.room().iter().sum::<usize>() + self.full.scratch().max(self.last.scratch())
    }

    /// Computes block `i` of all batches. `scratch` has [`Blocks::each`] bytes.
    fn block(&self, i: usize, memory: Memory<'_>, scratch: &mut [u8]) -> Result<(), Failed> {
        let Attention { scores, map, values } = &self.task;
        let (batch, nth) = (i / self.blocks, i % self.blocks);
        let block = if nth + 1 == self.blocks { &self.last } else { &self.full };
        let first = nth * self.full.rows;
        let [room, result] = self.room();
        let (s, rest) = scratch.split_at_mut(room);
        let (o, rest) = rest.split_at_mut(result);
        let scratch = (rest.as_mut_ptr(), rest.len());
        let (s, o) = (s.as_mut_ptr(), o.as_mut_ptr());
        let bytes = 4 * block.rows * scores.n;
        let read = |data: &[f32], at: usize, fact: &Fact| {
            let ptr = data[at..][..fact.count()].as_ptr().cast();
            Operand { ptr, len: fact.bytes(), dtype: DType::F32, shared: false, read: true }
        };
        let floats = |ptr: *mut u8, len: usize| Target { ptr, len, dtype: DType::F32, taken: false };
        let own = |shared: bool| Operand { ptr: s.cast_const(), len: bytes, dtype: DType::F32, shared, read: true };
        let q = read(memory.q, start(scores, &scores.a, batch) + first * scores.a.row, &block.q);
        let k = read(memory.k, start(scores, &scores.b, batch), &block.k);
        call(block.scores.as_ref(), &[q, k], floats(s, bytes), scratch)?;
        if let (Some(kernel), Some(map)) = (&block.map, map) {
            let mut ins: SmallVec<[Operand; 8]> = SmallVec::from_elem(own(true), 1);
            for (other, data) in self.others.iter().zip(memory.others) {
                let (fact, size) = (other.fact(block.rows, scores.n), other.dtype.size());
                let ptr = data[other.start(map, batch, first) * size..][..fact.bytes()].as_ptr();
                ins.push(Operand { ptr, len: fact.bytes(), dtype: other.dtype, shared: false, read: true });
            }
            call(kernel.as_ref(), &ins, floats(s, bytes), scratch)?;
        }
        call(block.softmax.as_ref(), &[own(true)], floats(s, bytes), scratch)?;
        let v = read(memory.v, start(values, &values.b, batch), &block.v);
        let len = 4 * block.rows * values.n;
        call(block.values.as_ref(), &[own(false), v], floats(o, len), scratch)?;
        for row in 0..block.rows {
            let at = start(values, &values.c, batch) + (first + row) * values.c.row;
            // SAFETY: `sound` found every element of the result inside it and reached once, and blocks divide its rows; `o` has
            // been written with as many rows, and is aligned to 64.
            unsafe {
                let from = std::slice::from_raw_parts(o.cast::<f32>().add(row * values.n), values.n);
                memory.y.slice(at, values.n).copy_from_slice(from);
            }
        }
        Ok(())
    }
}

/// Runs a kernel on the calling thread.
fn call(kernel: &dyn CpuKernel, ins: &[Operand], out: Target, scratch: (*mut u8, usize)) -> Result<(), Failed> {
    let mut outs = [out];
    // SAFETY: operands are slices of the caller's operands or of scratch that was written before, results and the kernel's own scratch
    // are parts of this thread's scratch that overlap nothing else, apart from operands marked as shared; all are aligned.
    let mut io = unsafe { Io::new(ins, &mut outs, scratch) };
    kernel.run(&mut io, &mut Gang::alone())
}

impl CpuKernel for Blocks {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        self.each() * self.threads
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let scratch = io.scratch::<u8>(self.each() * self.threads)?;
        let mut others: SmallVec<[&[u8]; 8]> = SmallVec::new();
        for i in 0..self.others.len() {
            others.push(io.operand_bytes(2 + i)?);
        }
        let v = io.operand::<f32>(2 + self.others.len())?;
        let y = Shared::new(io.result::<f32>(0)?.as_mut_ptr());
        let memory = Memory { q: io.operand::<f32>(0)?, k: io.operand::<f32>(1)?, v, others: &others, y };
        let failed = OnceLock::new();
        gang.parallel_with(self.task.scores.batch_count() * self.blocks, scratch, |i, _, scratch| {
            if let Err(e) = self.block(i, memory, scratch) {
                // The first of several counts.
                let _ = failed.set(e);
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::Tensor;
    use mindir_graph::task::{Binary, Program};

    use super::*;
    use crate::cpu::cases::{Bound, Case, check, tensor};

    /// Attention of `[b, h, m, k]` with keys `[b, h, n, k]` and values `[b, h, n, e]`; with `split`, heads lie within rows, as
    /// `[b, m, h, k]`.
    fn attention([b, h, m, n, k, e]: [usize; 6], split: bool, map: Option<Map>) -> Attention {
        let matrix = |rows: usize, cols: usize, transposed: bool| {
            let row = if split { h * cols } else { cols };
            let head = if split { cols } else { rows * cols };
            let (row, col) = if transposed { (1, row) } else { (row, 1) };
            let batch = Strides::from_slice(&[(rows * h * cols) as isize, head as isize]);
            Matrix { batch, row, col, offset: 0 }
        };
        let dense = |rows: usize, cols: usize| {
            let batch = Strides::from_slice(&[(h * rows * cols) as isize, (rows * cols) as isize]);
            Matrix { batch, row: cols, col: 1, offset: 0 }
        };
        let (batch, dtype) = (shape(&[b, h]), DType::F32);
        let (q, keys) = (matrix(m, k, false), matrix(n, k, true));
        let scores =
            Gemm { batch, m, n, k, a: q, b: keys, c: dense(m, n), dtype, out: dtype, tf32: false, epilogue: None };
        let (v, y) = (matrix(n, e, false), matrix(m, e, false));
        let values = Gemm { n: e, k: n, a: dense(m, n), b: v, c: y, ..scores.clone() };
        Attention { scores, map, values }
    }

    /// `scores · 0.3 + mask`.
    fn masked(dims: &[usize]) -> Map {
        let mut program = Program::new();
        let (x, scale) = (program.input(0, DType::F32), program.constant(0.3, DType::F32));
        let mask = program.input(1, DType::F32);
        let scaled = program.binary(Binary::Mul, x, scale);
        program.binary(Binary::Add, scaled, mask);
        Map { shape: shape(dims), program }
    }

    /// The scores where the mask says so, else −∞.
    fn chosen(dims: &[usize]) -> Map {
        let mut program = Program::new();
        let (x, low) = (program.input(0, DType::F32), program.constant(f64::NEG_INFINITY, DType::F32));
        let mask = program.input(1, DType::Bool);
        program.select(mask, x, low);
        Map { shape: shape(dims), program }
    }

    #[test]
    fn blocks_of_queries() {
        let mut cases = Vec::new();
        let bound = Bound { absolute: 2e-6, relative: 2e-6 };
        for sizes in [
            [1, 1, 1, 1, 1, 1],
            [2, 3, 5, 7, 4, 6],
            [1, 2, 130, 33, 16, 8],
            [2, 1, 37, 300, 8, 20],
            [1, 4, 1, 65, 12, 12],
        ] {
            let [b, h, m, n, k, e] = sizes;
            let masks =
                [None, Some([1, 1, m, n]), Some([b, 1, 1, n]), Some([b, h, m, 1]), Some([1; 4]), Some([b, h, m, n])];
            for (i, masks) in masks.into_iter().enumerate() {
                let (dims, split) = ([b, h, m, n], i % 2 == 0);
                let operand = |seed, count| tensor(seed, DType::F32, &[count], 2.0);
                let [q, keys, v] = [(1, m * k), (2, n * k), (3, n * e)].map(|(seed, each)| operand(seed, b * h * each));
                let mask = masks.map(|dims| tensor(4, DType::F32, &dims, 3.0));
                let ins = [Some(q), Some(keys), mask, Some(v)].into_iter().flatten().collect();
                let task = Task::Attention(attention(sizes, split, masks.map(|_| masked(&dims))).into());
                let out = Fact::new(DType::F32, &[b * h * m * e]);
                cases.push(Case::new(format!("{sizes:?} split {split} mask {masks:?}"), task, ins, vec![out], bound));
            }
        }
        let kernels = check(&cases);
        assert!(kernels.iter().all(|kernel| kernel.contains("attention")), "{kernels:?}");
    }

    #[test]
    fn rows_that_are_masked_out_are_nan() {
        let sizes = [1, 1, 2, 4, 3, 3];
        let operand = |seed, count| tensor(seed, DType::F32, &[count], 2.0);
        let mask = Tensor::from_bools(&[1, 1, 2, 4], &[true, false, true, true, false, false, false, false]).unwrap();
        let ins = vec![operand(1, 6), operand(2, 12), mask, operand(3, 12)];
        let task = Task::Attention(attention(sizes, false, Some(chosen(&[1, 1, 2, 4]))).into());
        let bound = Bound { absolute: 2e-6, relative: 2e-6 };
        check(&[Case::new("masked", task, ins, vec![Fact::new(DType::F32, &[6])], bound)]);
    }
}
