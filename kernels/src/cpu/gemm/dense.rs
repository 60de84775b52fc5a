//! Products of `f32` matrices, batched and strided.

use mindir_graph::task::{Gemm, Matrix, Task};
use mindir_graph::{DType, Strides};

use super::super::epilogue::{BoundTail, Tail};
use super::super::gang::{Gang, Shared};
use super::super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::super::packed::{Constants, Packed};
use super::super::{Isa, Request};
use super::blocks::{Blocks, Pointers};
use super::dot;
use super::panels::Origin;
use crate::device::Refused;

/// Multiply-adds below which the caller of a product of few rows works alone: they take no longer than helpers to arrive.
const MIN_SHARED: usize = 50_000;

/// The kernel of a product: dot products over `b` as it lies for few rows, else tiles in registers over packed panels of `b`.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (g, tail) = checked(request)?;
    // They add up in another order than tiles do.
    let few_rows = g.m <= dot::MAX_ROWS && !request.batch_invariant && g.m * g.n * g.batch_count() > 0;
    if few_rows && g.b.row == 1 && g.a.col == 1 && g.k > 1 {
        return Some(Box::new(Dotted::new(request, g, tail)));
    }
    Some(Box::new(Tiled::new(request, g, tail)))
}

/// The task with its epilogue, if it is one over `f32` whose strides stay inside its operands and write no element twice.
fn checked<'a>(request: &Request<'a>) -> Option<(&'a Gemm, Tail)> {
    let view = &request.view;
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
        && writes_once(g);
    let size = [g.batch_count() * g.m, g.n, c.count()];
    let tail = if sound { Tail::compile(request.isa, g.epilogue.as_ref(), view.ins, 2, size).ok() } else { None };
    tail.map(|tail| (g, tail))
}

/// Whether every element of a matrix lies below `count`.
pub fn inside(g: &Gemm, matrix: &Matrix, rows: usize, cols: usize, count: usize) -> bool {
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
pub fn writes_once(g: &Gemm) -> bool {
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
pub fn start(g: &Gemm, matrix: &Matrix, batch: usize) -> usize {
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
    /// In panels.
    Panels(Packed),
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
    /// Panels of `b` that were made before the run.
    panels: Option<&'a [f32]>,
    c: Shared<f32>,
    tail: BoundTail<'a>,
}

impl Tiled {
    fn new(request: &Request<'_>, g: &Gemm, tail: Tail) -> Tiled {
        let &Request { isa, threads, batch_invariant, view } = request;
        let by_batch = g.batch_count() >= threads && g.batch_count() > 1;
        let blocks = Blocks::new(isa, batch_invariant, g.m, g.n, 1, g.k, if by_batch { 1 } else { threads });
        let panels = &blocks.panels;
        let known = view.known[1] && repeats(&g.b.batch);
        let direct = !known && g.b.col == 1 && g.m <= 2 * panels.tile_rows();
        let b = if direct { B::Direct } else { B::Panels(Packed::of(known)) };
        let name = format!("{isa}-f32-{}x{}", panels.tile_rows(), panels.width());
        Tiled { name, gemm: g.clone(), tail, blocks, b, threads, by_batch }
    }

    /// Elements of `a` that are copied: all, if they are not stored row by row.
    fn a_len(&self) -> usize {
        if self.gemm.a.col == 1 || self.gemm.k <= 1 { 0 } else { self.gemm.m * self.gemm.k }
    }

    fn b_len(&self) -> usize {
        let panels = &self.blocks.panels;
        match &self.b {
            B::Panels(packed) => packed.scratch(panels.len()),
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

    /// One product of the batch, with the panels of `b` if they were made before the run.
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
            B::Panels(_) => match o.panels {
                Some(panels) => pointers.b = panels.as_ptr(),
                None => origin(g, o.b, batch).pack_all(&self.blocks.panels, b_copy, gang),
            },
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

    fn pack(&mut self, constants: &mut Constants<'_>) -> Result<(), Refused> {
        let (B::Panels(packed @ Packed::Awaited), Some(b)) = (&mut self.b, &constants.known[1]) else { return Ok(()) };
        let (g, panels) = (&self.gemm, &self.blocks.panels);
        let layout = format!("panels {panels:?} of {:?}", g.b);
        *packed = Packed::Made(constants.pack(b, &layout, &[], panels.len(), |b, _, out, gang| {
            origin(g, b, 0).pack_all(panels, out, gang);
        })?);
        Ok(())
    }

    fn reads(&self, i: usize) -> bool {
        i != 1 || matches!(self.b, B::Direct | B::Panels(Packed::Each))
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let ((floats, words), n) = (self.needs(), self.at_once());
        let floats = io.scratch::<f32>(floats * n)?;
        let tables = io.scratch::<usize>(words * n)?;
        let tail = self.tail.bind(io)?;
        let panels = if let B::Panels(packed) = &self.b { packed.made()? } else { None };
        let (a, b) = (io.operand::<f32>(0)?, if panels.is_some() { &[] } else { io.operand::<f32>(1)? });
        let o = Operands { a, b, panels, c: Shared::new(io.result::<f32>(0)?.as_mut_ptr()), tail };
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

impl Dotted {
    fn new(request: &Request<'_>, g: &Gemm, tail: Tail) -> Dotted {
        let &Request { isa, threads, .. } = request;
        // 32 KiB of `b` take longer than a thread takes to fetch its next piece.
        let worth = (8192 / g.k).max(1);
        let wanted = if g.batch_count() > 1 { g.n } else { g.n.div_ceil(4 * threads) };
        let piece = wanted.clamp(worth, 100 * worth).next_multiple_of(8);
        Dotted { name: format!("{isa}-f32-gemv"), isa, gemm: g.clone(), tail, piece }
    }
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
        if g.m * g.n * g.k * g.batch_count() < MIN_SHARED {
            (0..g.batch_count() * pieces).for_each(work);
        } else {
            gang.parallel(g.batch_count() * pieces, |chunk, _| work(chunk));
        }
        Ok(())
    }
}
