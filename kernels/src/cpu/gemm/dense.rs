//! Products of `f32` matrices, batched and strided.

use std::sync::Arc;

use mindir_graph::bounds::Exceeded;
use mindir_graph::task::{Gemm, Matrix, Task};
use mindir_graph::{DType, Strides};

use super::super::epilogue::{BoundTail, Tail};
use super::super::gang::{Gang, Shared};
use super::super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::super::memory::Block;
use super::super::{Build, Candidate, Isa};
use super::blocks::{Blocks, Pointers};
use super::dot;
use super::panels::{Origin, Panels};
use crate::device::{Declined, Refused, TaskView};

/// Tiles in registers over packed panels of `b`.
pub const TILES: Candidate = Candidate {
    accepts: |isa, view| checked(isa, view).is_some(),
    name: |isa, view| checked(isa, view).map_or_else(String::new, |g| tiles_name(isa, g)),
    in_place: |_| Vec::new(),
    build: build_tiles,
};

/// Dot products over `b` as it lies, for few rows.
pub const DOTS: Candidate = Candidate {
    accepts: |isa, view| {
        let few_rows = |g: &Gemm| g.m <= dot::MAX_ROWS && g.m * g.n * g.batch_count() > 0;
        checked(isa, view).is_some_and(|g| few_rows(g) && g.b.row == 1 && g.a.col == 1 && g.k > 1)
    },
    name: |isa, _| format!("{isa}-f32-gemv"),
    in_place: |_| Vec::new(),
    build: build_dots,
};

fn tiles_name(isa: Isa, g: &Gemm) -> String {
    let panels = Panels::new(g.n, g.k, isa.lanes());
    format!("{isa}-f32-{}x{}", panels.tile_rows(), panels.width())
}

/// The task, if it is one over `f32` whose strides stay inside its operands and write no element twice.
fn checked<'a>(isa: Isa, view: &TaskView<'a>) -> Option<&'a Gemm> {
    let Task::Gemm(g) = view.task else { return None };
    let ([a, b, ..], [c]) = (view.ins, view.outs) else { return None };
    let floats = [a.dtype, b.dtype, c.dtype, g.dtype, g.out].iter().all(|&d| d == DType::F32);
    let sound = floats
        && inside(g, &g.a, g.m, g.k, a.count())
        && inside(g, &g.b, g.k, g.n, b.count())
        && inside(g, &g.c, g.m, g.n, c.count())
        && g.c.col == 1
        && g.batch_count() * g.m * g.n == c.count()
        && (g.a.col == 1 || g.a.row == 1 || g.k <= 1)
        && writes_once(g)
        && tail(isa, g, view).is_ok();
    sound.then_some(g)
}

fn tail(isa: Isa, g: &Gemm, view: &TaskView<'_>) -> Result<Tail, Declined> {
    let size = [g.batch_count() * g.m, g.n, view.outs[0].count()];
    Tail::compile(isa, g.epilogue.as_ref(), view.ins, 2, size)
}

/// Whether every element of a matrix lies below `count`.
fn inside(g: &Gemm, matrix: &Matrix, rows: usize, cols: usize, count: usize) -> bool {
    if matrix.batch.len() != g.batch.len() {
        return false;
    }
    if rows * cols * g.batch_count() == 0 {
        return true;
    }
    let dims = g.batch.iter().zip(&matrix.batch).map(|(&n, &s)| (n, s as i128));
    let dims = dims.chain([(rows, matrix.row as i128), (cols, matrix.col as i128)]);
    let (mut low, mut high) = (matrix.offset as i128, matrix.offset as i128);
    for (n, stride) in dims {
        let reach = (n as i128 - 1) * stride;
        low += reach.min(0);
        high += reach.max(0);
    }
    low >= 0 && high < count as i128
}

/// Whether the strides of `c` reach every element once at most: sorted by stride, each dimension steps over those before.
fn writes_once(g: &Gemm) -> bool {
    let mut dims: Vec<(usize, usize)> = vec![(g.c.row, g.m), (1, g.n)];
    dims.extend(g.c.batch.iter().map(|s| s.unsigned_abs()).zip(g.batch.iter().copied()));
    dims.retain(|d| d.1 > 1);
    dims.sort_unstable();
    let mut reach = 0;
    dims.iter().all(|&(stride, n)| {
        let apart = stride > reach;
        reach += stride * (n - 1);
        apart
    })
}

/// First element of a matrix in a batch.
fn start(g: &Gemm, matrix: &Matrix, batch: usize) -> usize {
    let mut left = batch;
    let mut at = matrix.offset as isize;
    if batch == 0 {
        return matrix.offset;
    }
    for (&n, &stride) in g.batch.iter().zip(&matrix.batch).rev() {
        at += (left % n) as isize * stride;
        left /= n;
    }
    at as usize
}

fn repeats(strides: &Strides) -> bool {
    strides.iter().all(|&s| s == 0)
}

/// Where `b` is found.
enum B {
    /// Packed before the run.
    Packed(Arc<Block<f32>>),
    /// Packed in every run.
    Pack,
    /// Read as it lies, all but a last panel that is not full.
    Direct,
}

struct Tiled {
    name: String,
    gemm: Gemm,
    blocks: Blocks,
    b: B,
    tail: Tail,
    threads: usize,
    /// Whether batches, not blocks, are divided among the threads.
    by_batch: bool,
}

fn build_tiles(build: &mut Build<'_>) -> Result<Box<dyn CpuKernel>, Refused> {
    let g = checked(build.isa, &build.view).ok_or_else(|| Declined("not an f32 product".into()))?;
    let threads = build.gang.threads();
    let by_batch = g.batch_count() >= threads && g.batch_count() > 1;
    let blocks = Blocks::new(build.isa, g.m, g.n, 1, g.k, if by_batch { 1 } else { threads });
    let b = match &build.view.known[1] {
        Some(t) if repeats(&g.b.batch) => {
            let data = t.view::<f32>().map_err(|e| Declined(e.to_string()))?;
            let panels = blocks.panels;
            let layout = format!("panels {panels:?} of {:?}", g.b);
            B::Packed(build.weights.get(t, &layout, &[], || {
                let mut packed = Block::zeroed(panels.len())?;
                origin(g, data, 0).pack_all(&panels, &mut packed, build.gang);
                Ok::<_, Exceeded>(packed)
            })?)
        }
        _ if g.b.col == 1 && g.m <= 2 * blocks.panels.tile_rows() => B::Direct,
        _ => B::Pack,
    };
    Ok(Box::new(Tiled {
        name: tiles_name(build.isa, g),
        gemm: g.clone(),
        tail: tail(build.isa, g, &build.view)?,
        blocks,
        b,
        threads,
        by_batch,
    }))
}

fn origin<'a>(g: &Gemm, data: &'a [f32], batch: usize) -> Origin<'a> {
    Origin {
        data,
        offset: start(g, &g.b, batch),
        taps: 1,
        tap_stride: 0,
        len: g.k,
        stride: g.b.row,
        col_stride: g.b.col,
        scale: None,
    }
}

/// Operands and result of a run.
#[derive(Clone, Copy)]
struct Operands<'a> {
    a: &'a [f32],
    b: &'a [f32],
    c: Shared<f32>,
    tail: BoundTail<'a>,
}

impl Tiled {
    /// Elements of `a` that are copied: all, if they are not stored row by row.
    fn a_len(&self) -> usize {
        if self.gemm.a.col == 1 || self.gemm.k <= 1 { 0 } else { self.gemm.m * self.gemm.k }
    }

    fn b_len(&self) -> usize {
        let panels = &self.blocks.panels;
        match self.b {
            B::Packed(_) => 0,
            B::Pack => panels.len(),
            B::Direct => panels.width() * panels.k,
        }
    }

    /// Floats and pointers that one product needs.
    fn needs(&self) -> (usize, usize) {
        let per_block = self.blocks.table_len().next_multiple_of(8);
        let tables = if self.by_batch { per_block } else { per_block * self.threads };
        ((self.a_len() + self.b_len()).next_multiple_of(16), tables)
    }

    /// Products that need memory at the same time.
    fn at_once(&self) -> usize {
        if self.by_batch { self.threads } else { 1 }
    }

    fn product(&self, batch: usize, o: Operands<'_>, floats: &mut [f32], tables: &mut [usize], gang: &mut Gang) {
        let g = &self.gemm;
        let (a_copy, b_copy) = floats.split_at_mut(self.a_len());
        let (a, a_stride) = self.rows_of_a(batch, o.a, a_copy, gang);
        let c_at = start(g, &g.c, batch);
        let mut pointers = Pointers {
            b: b_copy.as_ptr(),
            b_direct: None,
            b_last: b_copy.as_ptr(),
            c: o.c.at(c_at),
            c_stride: g.c.row,
            finish: o.tail.finish(0, c_at),
        };
        match &self.b {
            B::Packed(packed) => pointers.b = packed.as_ptr(),
            B::Pack => origin(g, o.b, batch).pack_all(&self.blocks.panels, b_copy, gang),
            B::Direct => {
                let from = origin(g, o.b, batch);
                let last = self.blocks.panels.count() - 1;
                if self.blocks.panels.cols(last) < self.blocks.panels.width() {
                    from.pack(&self.blocks.panels, last, b_copy);
                }
                pointers.b = o.b.as_ptr().wrapping_add(from.offset);
                pointers.b_direct = Some((g.b.row, self.blocks.panels.width()));
            }
        }
        let a = Shared::new(a.as_ptr().cast_mut());
        gang.parallel_with(self.blocks.count(), tables, |block, _, table| {
            let rows = self.blocks.rows(block);
            let table = table_of(table, rows.len());
            for (pointer, i) in table.iter_mut().zip(rows.clone()) {
                *pointer = a.at(i * a_stride);
            }
            // SAFETY: `checked` found every element of `a`, `b` and `c` inside its operand and no element of `c` reached
            // twice; blocks divide `c`; packed panels are whole; the epilogue's operands have the lengths of their kinds.
            unsafe { self.blocks.run(block, table, &pointers) };
            let (stride, row, at) =
                (self.gemm.c.row, batch * self.gemm.m + rows.start, c_at + rows.start * self.gemm.c.row);
            // SAFETY: as above.
            unsafe { o.tail.block(o.c, [rows.len(), stride], self.blocks.cols(block), row, at) };
        });
    }

    /// Rows of `a` with unit stride, and the distance between them.
    fn rows_of_a<'s>(&self, batch: usize, a: &'s [f32], copy: &'s mut [f32], gang: &mut Gang) -> (&'s [f32], usize) {
        let g = &self.gemm;
        let from = &a[start(g, &g.a, batch).min(a.len())..];
        if copy.is_empty() {
            return (from, g.a.row);
        }
        gang.parallel_pieces(copy, g.k, |i, row| {
            for (p, x) in row.iter_mut().enumerate() {
                *x = from[i * g.a.row + p * g.a.col];
            }
        });
        (copy, g.k)
    }
}

/// Room for pointers.
pub fn table_of(words: &mut [usize], len: usize) -> &mut [*const f32] {
    let words = &mut words[..len];
    // SAFETY: a pointer to a sized type has the size and alignment of `usize`, and every bit pattern is one.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

impl CpuKernel for Tiled {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        let ((floats, words), n) = (self.needs(), self.at_once());
        scratch_bytes::<f32>(&[floats * n]) + scratch_bytes::<usize>(&[words * n])
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let ((floats, words), n) = (self.needs(), self.at_once());
        let floats = io.scratch::<f32>(floats * n)?;
        let tables = io.scratch::<usize>(words * n)?;
        let (a, b) = (io.operand::<f32>(0)?, io.operand::<f32>(1)?);
        let tail = self.tail.bind(io)?;
        let o = Operands { a, b, c: Shared::new(io.result::<f32>(0)?.as_mut_ptr()), tail };
        let batches = self.gemm.batch_count();
        if batches * self.gemm.m * self.gemm.n == 0 {
            return Ok(());
        }
        if !self.by_batch {
            (0..batches).for_each(|batch| self.product(batch, o, floats, tables, gang));
            return Ok(());
        }
        let (each, words, tables) = (floats.len() / n, tables.len() / n, Shared::new(tables.as_mut_ptr()));
        let floats = Shared::new(floats.as_mut_ptr());
        gang.parallel(batches, |batch, worker| {
            // SAFETY: workers are below `n` and run one call at a time.
            let (floats, tables) = unsafe { (floats.slice(worker * each, each), tables.slice(worker * words, words)) };
            self.product(batch, o, floats, tables, &mut Gang::alone());
        });
        Ok(())
    }
}

struct Dotted {
    name: String,
    isa: Isa,
    gemm: Gemm,
    tail: Tail,
    /// Columns that a thread takes at a time.
    piece: usize,
}

fn build_dots(build: &mut Build<'_>) -> Result<Box<dyn CpuKernel>, Refused> {
    let g = checked(build.isa, &build.view).ok_or_else(|| Declined("not an f32 product".into()))?;
    // 32 KiB of `b` take longer than a thread takes to fetch its next piece.
    let worth = (8192 / g.k).max(1);
    let wanted = if g.batch_count() > 1 { g.n } else { g.n.div_ceil(4 * build.gang.threads()) };
    let piece = wanted.clamp(worth, 100 * worth);
    Ok(Box::new(Dotted {
        name: format!("{}-f32-gemv", build.isa),
        isa: build.isa,
        gemm: g.clone(),
        tail: tail(build.isa, g, &build.view)?,
        piece: piece.next_multiple_of(8),
    }))
}

impl CpuKernel for Dotted {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let g = &self.gemm;
        let (a, b) = (io.operand::<f32>(0)?, io.operand::<f32>(1)?);
        let tail = self.tail.bind(io)?;
        let c = Shared::new(io.result::<f32>(0)?.as_mut_ptr());
        let pieces = g.n.div_ceil(self.piece);
        let work = |chunk: usize| {
            let (batch, first) = (chunk / pieces, chunk % pieces * self.piece);
            let cols = self.piece.min(g.n - first);
            let a = &a[start(g, &g.a, batch)..];
            let rows: [&[f32]; dot::MAX_ROWS] = std::array::from_fn(|i| &a[(i.min(g.m - 1)) * g.a.row..]);
            let at = start(g, &g.c, batch) + first;
            let put = &mut |i: usize, j: usize, sum: f32| {
                // SAFETY: `checked` found `c` inside the result and no element reached twice; this piece is this call's.
                unsafe { c.slice(at + i * g.c.row + j, 1)[0] = sum };
            };
            let b = &b[start(g, &g.b, batch) + first * g.b.col..];
            self.isa.run(dot::Dots { a: &rows[..g.m], b, b_stride: g.b.col, k: g.k, cols, put });
            for i in 0..g.m {
                let at = at + i * g.c.row;
                // SAFETY: as above.
                let row = unsafe { c.slice(at, cols) };
                tail.whole_row(self.isa, row, batch * g.m + i, first, at);
            }
        };
        if g.m * g.n * g.k * g.batch_count() < 50_000 {
            (0..g.batch_count() * pieces).for_each(work);
        } else {
            gang.parallel(g.batch_count() * pieces, |chunk, _| work(chunk));
        }
        Ok(())
    }
}
