//! Element-wise programs, compiled to passes over blocks that stay in the innermost cache.

mod code;
mod exec;
mod finish;
mod layout;
#[cfg(test)]
mod tests;

use mindir_graph::Fact;
use mindir_graph::task::{Map, Task};

use code::Code;
use exec::Given;
pub use finish::Finish;
use layout::{Access, Layout};

use super::kernel::{CpuKernel, Failed, Io, dtypes};
use super::simd::MAX_LANES;
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Bytes of operands and result that a thread takes at a time.
const CHUNK: usize = 192 * 1024;
/// As [`CHUNK`], of programs that take long for an element.
const HEAVY_CHUNK: usize = 48 * 1024;

fn compile(view: &TaskView<'_>) -> Option<(Code, Option<Layout>)> {
    let (Task::Map(map), [out]) = (view.task, view.outs) else { return None };
    let types: Vec<_> = view.ins.iter().map(|f| f.dtype).collect();
    let (code, block) = Code::new(&map.program, &types)
        .filter(|c| c.dtype == out.dtype && out.count() == mindir_graph::count(&map.shape))?
        .long(out.count());
    if out.count() == 0 {
        return Some((code, None));
    }
    let shapes = view.ins.iter().map(|f| f.shape.as_slice());
    Some((code, Some(Layout::new(&map.shape, shapes, block)?)))
}

fn in_place(view: &TaskView<'_>) -> Vec<usize> {
    let Task::Map(Map { shape, .. }) = view.task else { return Vec::new() };
    let same = |f: &Fact| view.outs.first().is_some_and(|o| o.dtype == f.dtype && o.count() == f.count());
    let dense = |f: &Fact| mindir_graph::broadcast_strides(&f.shape, shape).is_some();
    (0..view.ins.len()).filter(|&i| same(&view.ins[i]) && dense(&view.ins[i])).collect()
}

/// The kernel of an element-wise program.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let &Request { isa, threads, view, .. } = request;
    let (code, layout) = compile(&view)?;
    let scratch = code.scratch().next_multiple_of(64);
    let name = format!("{isa}-{}-blocks", dtypes(view.outs));
    Some(Box::new(Blocks { name, isa, code, layout, in_place: in_place(&view), scratch, threads }))
}

struct Blocks {
    name: String,
    isa: Isa,
    code: Code,
    /// `None` without elements.
    layout: Option<Layout>,
    in_place: Vec<usize>,
    /// Bytes for one thread.
    scratch: usize,
    threads: usize,
}

impl CpuKernel for Blocks {
    fn name(&self) -> &str {
        &self.name
    }

    fn in_place(&self) -> Vec<usize> {
        self.in_place.clone()
    }

    fn scratch(&self) -> usize {
        self.scratch * self.threads
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let scratch = io.scratch::<u8>(self.scratch * self.threads)?;
        let mut inputs = smallvec::SmallVec::<[Source; 8]>::new();
        let out = io.result_bytes(0)?.as_mut_ptr();
        for i in 0..self.code.inputs.len() {
            let ptr = if io.is_shared(i) { out.cast_const() } else { io.operand_bytes(i)?.as_ptr() };
            inputs.push(Source { ptr, size: self.code.inputs[i].size() });
        }
        let work = Work { kernel: self, layout, inputs: &inputs, out: Shared::new(out) };
        let chunk = if self.code.heavy { HEAVY_CHUNK } else { CHUNK };
        let per_chunk = chunk.div_ceil(layout.block() * self.code.element());
        let blocks = layout.blocks();
        gang.parallel_with(blocks.div_ceil(per_chunk), scratch, |chunk, _, scratch| {
            work.run(chunk * per_chunk, blocks.min((chunk + 1) * per_chunk), scratch);
        });
        Ok(())
    }
}

/// The memory of an operand.
#[derive(Clone, Copy)]
struct Source {
    ptr: *const u8,
    size: usize,
}

struct Work<'a> {
    kernel: &'a Blocks,
    layout: &'a Layout,
    inputs: &'a [Source],
    out: Shared<u8>,
}

// SAFETY: operands are only read, apart from those that are the result's memory, of which each block touches its own part.
unsafe impl Sync for Work<'_> {}

impl Work<'_> {
    /// Computes the blocks from `first` up to `end`.
    fn run(&self, first: usize, end: usize, scratch: &mut [u8]) {
        let code = &self.kernel.code;
        let rows = scratch.as_mut_ptr();
        // SAFETY: scratch has `Code::scratch` bytes and is aligned to 64.
        unsafe { code.prepare(rows, self.layout.longest()) };
        let mut operands = smallvec::SmallVec::<[Given; 8]>::new();
        for block in first..end {
            let (start, n) = self.layout.range(block);
            operands.clear();
            for i in 0..self.inputs.len() {
                let spread = rows.wrapping_add((code.rows + i) * code.row_bytes);
                operands.push(self.operand(i, start, n, spread, block == first));
            }
            let out = self.out.at(start * code.dtype.size());
            let block = exec::Block { n, inputs: &operands, out, rows };
            // SAFETY: `start + n` elements lie inside the result and dense operands, `operand` gives `n` elements, and no two
            // blocks overlap. An operand in the result's memory is dense and has its type.
            unsafe { code.run(self.kernel.isa, block) };
        }
    }

    /// The `n` elements of operand `i` for the block from `start`: in place if they are consecutive, else in `spread`.
    fn operand(&self, i: usize, start: usize, n: usize, spread: *mut u8, first: bool) -> Given {
        let Source { ptr, size } = self.inputs[i];
        let given = |first: *const u8, same| Given { first, same };
        let access = self.layout.access(i);
        if access == Access::Dense {
            return given(ptr.wrapping_add(start * size), false);
        }
        let same = self.kernel.code.narrow[i] && self.layout.is_same(i);
        if access == Access::Fixed && !first {
            return given(spread, same);
        }
        // What stays is as long as the longest block.
        let (start, n) = if access == Access::Fixed { (0, self.layout.longest()) } else { (start, n) };
        let n = if same { n.min(MAX_LANES) } else { n };
        let mut direct = None;
        self.layout.runs(i, start, n, |from, at, length, repeated| {
            if length == n && !repeated {
                direct = Some(ptr.wrapping_add(from * size));
                return;
            }
            // SAFETY: runs lie inside the operand and the block, and `spread` has room for a block.
            unsafe {
                let (from, to) = (ptr.add(from * size), spread.add(at * size));
                if repeated { repeat(from, to, size, length) } else { from.copy_to_nonoverlapping(to, length * size) }
            }
        });
        match direct {
            // A later block of a fixed operand may not start where this one does.
            Some(from) if access == Access::Broadcast => given(from, false),
            Some(from) => {
                // SAFETY: as above.
                unsafe { from.copy_to_nonoverlapping(spread, n * size) };
                given(spread, false)
            }
            None => given(spread, same),
        }
    }
}

/// Writes the element of `size` bytes at `from` to `length` places from `to`.
///
/// # Safety
/// The memory is there and aligned to the element.
unsafe fn repeat(from: *const u8, to: *mut u8, size: usize, length: usize) {
    // SAFETY: the caller's.
    unsafe {
        match size {
            1 => std::slice::from_raw_parts_mut(to, length).fill(*from),
            2 => std::slice::from_raw_parts_mut(to.cast::<u16>(), length).fill(*from.cast()),
            4 => std::slice::from_raw_parts_mut(to.cast::<u32>(), length).fill(*from.cast()),
            _ => std::slice::from_raw_parts_mut(to.cast::<u64>(), length).fill(*from.cast()),
        }
    }
}
