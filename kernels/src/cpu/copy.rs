//! Strided copies: runs of bytes, tiles of a transpose, or single elements.

use mindir_graph::task::{Copy, Part, Task};
use mindir_graph::{Fact, checked_count};
use smallvec::SmallVec;

use super::kernel::{CpuKernel, Failed, Io};
use super::simd::{Kernel, Simd};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Bytes that a thread copies at a time.
const CHUNK: usize = 128 * 1024;
/// Elements below which a line is not worth walking, nor a side of a matrix transposing.
const FEW: usize = 4;
/// Rows and columns of a tile of a transpose.
const TILE: usize = 8;

/// One dimension of a block.
#[derive(Clone, std::marker::Copy, Debug, PartialEq)]
struct Dim {
    n: usize,
    src: isize,
    dst: isize,
}

/// A block with as few dimensions as its strides allow, the one with the smallest steps through the result last, unless it has few.
#[derive(Clone, Debug)]
struct Block {
    input: usize,
    src: usize,
    dst: usize,
    dims: SmallVec<[Dim; 6]>,
    /// Iterations of the outer dimensions that a thread takes at a time.
    per_chunk: usize,
    chunks: usize,
}

struct Plan {
    size: usize,
    fill: Option<Vec<u8>>,
    blocks: Vec<Block>,
}

fn plan(view: &TaskView<'_>) -> Option<Plan> {
    let (Task::Copy(c), [out]) = (view.task, view.outs) else { return None };
    let size = c.dtype.size();
    if out.dtype != c.dtype || c.fill.as_ref().is_some_and(|f| f.len() != size) {
        return None;
    }
    let mut blocks = Vec::new();
    let mut covered = 0;
    for part in &c.parts {
        let input = view.ins.get(part.input).filter(|f| f.dtype == c.dtype)?;
        covered += block(part, size, input, out, &mut blocks)?;
    }
    let fill = if covered == out.count() { None } else { Some(fill(c)) };
    Some(Plan { size, fill, blocks })
}

fn fill(c: &Copy) -> Vec<u8> {
    c.fill.clone().unwrap_or_else(|| vec![0; c.dtype.size()])
}

/// Adds the block of `part`, if it has elements, and returns how many.
fn block(part: &Part, size: usize, input: &Fact, out: &Fact, blocks: &mut Vec<Block>) -> Option<usize> {
    let count = checked_count(&part.shape).filter(|&n| n <= out.count())?;
    if part.src.len() != part.shape.len() || part.dst.len() != part.shape.len() {
        return None;
    }
    if count == 0 {
        return Some(0);
    }
    if !inside(part.src_offset, &part.shape, &part.src, input.count())
        || !inside(part.dst_offset, &part.shape, &part.dst, out.count())
    {
        return None;
    }
    let dims = part.shape.iter().zip(&part.src).zip(&part.dst).map(|((&n, &src), &dst)| Dim { n, src, dst });
    let mut dims: SmallVec<[Dim; 6]> = dims.filter(|d| d.n != 1).collect();
    dims.sort_by_key(|d| std::cmp::Reverse(d.dst.unsigned_abs()));
    let dims = merge(&dims);
    let whole = Block { input: part.input, src: part.src_offset, dst: part.dst_offset, dims, per_chunk: 1, chunks: 1 };
    let (first, rest) = whole.split(size);
    blocks.extend([first].into_iter().chain(rest).map(|b| b.in_chunks(size)));
    Some(count)
}

fn inside(offset: usize, dims: &[usize], strides: &[isize], count: usize) -> bool {
    let (mut low, mut high) = (offset as i128, offset as i128);
    for (&n, &s) in dims.iter().zip(strides) {
        let reach = (n as i128 - 1).saturating_mul(s as i128);
        (low, high) = (low.saturating_add(reach.min(0)), high.saturating_add(reach.max(0)));
    }
    low >= 0 && high < count as i128
}

impl Block {
    /// Number of dimensions that one iteration walks: a matrix or a line.
    fn inner(&self) -> usize {
        if transposed(&self.dims).is_some() { 2 } else { 1 }
    }

    /// Cuts the longer side of a large matrix, or a long line, into pieces: a block with one more dimension, and what is left.
    fn split(mut self, size: usize) -> (Block, Option<Block>) {
        let inner = self.dims.len() - self.inner();
        let d = (inner..self.dims.len()).max_by_key(|&d| self.dims[d].n).unwrap_or(inner);
        let other: usize = self.dims[inner..].iter().map(|d| d.n).product::<usize>() / self.dims[d].n;
        let piece = (CHUNK / (size * other)).max(1).next_multiple_of(4 * TILE);
        let Dim { n, src, dst } = self.dims[d];
        if n <= piece {
            return (self, None);
        }
        let (pieces, left) = (n / piece, n % piece);
        let at = (pieces * piece) as isize;
        let rest = (left > 0).then(|| {
            let mut rest = self.clone();
            rest.dims[d].n = left;
            (rest.src, rest.dst) = ((rest.src as isize + at * src) as usize, (rest.dst as isize + at * dst) as usize);
            rest
        });
        self.dims[d].n = piece;
        self.dims.insert(inner, Dim { n: pieces, src: src * piece as isize, dst: dst * piece as isize });
        (self, rest)
    }

    fn in_chunks(mut self, size: usize) -> Block {
        let (outer, inner) = self.dims.split_at(self.dims.len() - self.inner());
        let count = |dims: &[Dim]| dims.iter().map(|d| d.n).product::<usize>();
        self.per_chunk = (CHUNK / (count(inner) * size)).max(1);
        self.chunks = count(outer).div_ceil(self.per_chunk);
        self
    }
}

/// Merges neighbours that are walked as one.
fn merge(dims: &[Dim]) -> SmallVec<[Dim; 6]> {
    let mut out: SmallVec<[Dim; 6]> = SmallVec::new();
    for &d in dims {
        let joins = |o: &Dim| o.src == d.src * d.n as isize && o.dst == d.dst * d.n as isize;
        match out.last_mut() {
            Some(o) if joins(o) => *o = Dim { n: o.n * d.n, ..d },
            _ => out.push(d),
        }
    }
    if out.is_empty() {
        out.push(Dim { n: 1, src: 1, dst: 1 });
    }
    if transposed_by(&out).is_some_and(|d| d + 2 != out.len()) {
        // The dimension that the input walks in single steps joins the innermost.
        let d = transposed_by(&out).unwrap_or(0);
        let dim = out.remove(d);
        out.insert(out.len() - 1, dim);
    }
    if let [.., long, short] = &mut out[..]
        && short.n < FEW
        && long.n >= FEW
    {
        std::mem::swap(long, short);
    }
    out
}

/// The dimension along which the input has single steps, if the result has them along the last.
fn transposed_by(dims: &[Dim]) -> Option<usize> {
    let last = dims.last()?;
    if last.dst != 1 || last.src == 1 || last.src == 0 {
        return None;
    }
    dims.iter().position(|d| d.src == 1).filter(|&d| dims[d].n >= FEW && last.n >= FEW)
}

/// The last two dimensions, if they are a matrix to transpose.
fn transposed(dims: &[Dim]) -> Option<(Dim, Dim)> {
    let d = transposed_by(dims)?;
    (d + 2 == dims.len()).then(|| (dims[d], dims[d + 1]))
}

/// The kernel of strided copies.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (isa, plan) = (request.isa, plan(&request.view)?);
    Some(Box::new(Strides { name: format!("{isa}-{}-strides", request.view.outs[0].dtype), isa, plan }))
}

struct Strides {
    name: String,
    isa: Isa,
    plan: Plan,
}

impl CpuKernel for Strides {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let Plan { size, fill, blocks } = &self.plan;
        let out = io.result_bytes(0)?;
        if let Some(fill) = fill {
            gang.parallel_pieces(out, CHUNK, |_, piece| repeat(fill, piece));
        }
        let to = Shared::new(out.as_mut_ptr());
        let mut sources: SmallVec<[&[u8]; 8]> = SmallVec::new();
        for block in blocks {
            sources.push(io.operand_bytes(block.input)?);
        }
        let total: usize = blocks.iter().map(|b| b.chunks).sum();
        gang.parallel(total, |chunk, _| {
            let mut chunk = chunk;
            for (block, source) in blocks.iter().zip(&sources) {
                if chunk < block.chunks {
                    self.isa.run(Chunk { block, size: *size, from: source.as_ptr(), to, chunk });
                    return;
                }
                chunk -= block.chunks;
            }
        });
        Ok(())
    }
}

/// Fills `to` with copies of an element.
fn repeat(element: &[u8], to: &mut [u8]) {
    if element.iter().all(|b| *b == element[0]) {
        to.fill(element[0]);
        return;
    }
    to.chunks_exact_mut(element.len()).for_each(|t| t.copy_from_slice(element));
}

/// Some iterations of a block's outer dimensions.
struct Chunk<'a> {
    block: &'a Block,
    size: usize,
    from: *const u8,
    to: Shared<u8>,
    chunk: usize,
}

impl Kernel for Chunk<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let dims = &self.block.dims;
        let matrix = transposed(dims);
        let outer = &dims[..dims.len() - if matrix.is_some() { 2 } else { 1 }];
        let all: usize = outer.iter().map(|d| d.n).product();
        let first = self.chunk * self.block.per_chunk;
        for i in first..all.min(first + self.block.per_chunk) {
            let (mut src, mut dst, mut rest) = (self.block.src as isize, self.block.dst as isize, i);
            for d in outer.iter().rev() {
                let at = (rest % d.n) as isize;
                (src, dst, rest) = (src + at * d.src, dst + at * d.dst, rest / d.n);
            }
            let from = self.from.wrapping_offset(src * self.size as isize);
            let to = self.to.at(0).wrapping_offset(dst * self.size as isize);
            // SAFETY: `plan` checked that every element of the block lies inside operand and result; blocks do not overlap in
            // the result, and neither do iterations of their outer dimensions.
            unsafe {
                match (matrix, self.size) {
                    (Some((r, c)), 1) => tiles::<u8>(from, to, r, c),
                    (Some((r, c)), 2) => squares(
                        from,
                        to,
                        r,
                        c,
                        #[inline(always)]
                        |x, n, y, m| s.transpose_8x8_u16(x, n, y, m),
                    ),
                    (Some((r, c)), 4) => squares(
                        from,
                        to,
                        r,
                        c,
                        #[inline(always)]
                        |x, n, y, m| s.transpose_8x8(x, n, y, m),
                    ),
                    (Some((r, c)), 8) => tiles::<u64>(from, to, r, c),
                    (Some((r, c)), _) => tiles::<[u64; 2]>(from, to, r, c),
                    (None, size) => line(from, to, size, dims[dims.len() - 1]),
                }
            }
        }
    }
}

/// Copies one line.
///
/// # Safety
/// Its elements are inside.
#[inline(always)]
unsafe fn line(from: *const u8, to: *mut u8, size: usize, d: Dim) {
    // SAFETY: the caller's; `steps` reads and writes elements of `size` bytes.
    unsafe {
        match size {
            _ if d.src == 1 && d.dst == 1 => from.copy_to_nonoverlapping(to, d.n * size),
            1 => steps::<u8>(from, to, d),
            2 => steps::<u16>(from, to, d),
            4 => steps::<u32>(from, to, d),
            8 => steps::<u64>(from, to, d),
            _ => steps::<[u64; 2]>(from, to, d),
        }
    }
}

/// Copies one line, an element at a time.
///
/// # Safety
/// Its elements are inside.
#[inline(always)]
unsafe fn steps<T: std::marker::Copy>(from: *const u8, to: *mut u8, d: Dim) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    // SAFETY: the caller's; complex numbers need not be aligned to their size.
    unsafe {
        if d.src == 0 && d.dst == 1 {
            let x = from.read_unaligned();
            return (0..d.n).for_each(|i| to.add(i).write_unaligned(x));
        }
        for i in 0..d.n as isize {
            to.offset(i * d.dst).write_unaligned(from.offset(i * d.src).read_unaligned());
        }
    }
}

/// Transposes a matrix tile by tile: row `i` of the result starts at `i · r.dst` and reads every `c.src`-th element from
/// `i`.
///
/// # Safety
/// Its elements are inside.
#[inline(always)]
unsafe fn tiles<T: std::marker::Copy>(from: *const u8, to: *mut u8, r: Dim, c: Dim) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    for row in (0..r.n).step_by(TILE) {
        for col in (0..c.n).step_by(TILE) {
            // SAFETY: the caller's, for rows below `r.n` and columns below `c.n`.
            unsafe { tile(from, to, r, c, row..r.n.min(row + TILE), col..c.n.min(col + TILE)) };
        }
    }
}

/// Transposes one tile.
///
/// # Safety
/// Its elements are inside.
#[inline(always)]
unsafe fn tile<T: std::marker::Copy>(
    from: *const T,
    to: *mut T,
    r: Dim,
    c: Dim,
    rows: std::ops::Range<usize>,
    cols: std::ops::Range<usize>,
) {
    for i in rows {
        for j in cols.clone() {
            let (i, j) = (i as isize, j as isize);
            // SAFETY: the caller's; complex numbers need not be aligned to their size.
            unsafe { to.offset(i * r.dst + j).write_unaligned(from.offset(i + j * c.src).read_unaligned()) };
        }
    }
}

/// As [`tiles`], where `square` transposes 8 × 8 elements from places with a step between them to such places.
///
/// # Safety
/// Its elements are inside.
#[inline(always)]
unsafe fn squares<T: std::marker::Copy>(
    from: *const u8,
    to: *mut u8,
    r: Dim,
    c: Dim,
    square: impl Fn(*const T, isize, *mut T, isize),
) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    let (whole_rows, whole_cols) = (r.n - r.n % TILE, c.n - c.n % TILE);
    // Several tiles read whole cache lines, and write them one after the other.
    let side = 64 / size_of::<T>();
    for rows in (0..whole_rows).step_by(side) {
        for cols in (0..whole_cols).step_by(side) {
            for row in (rows..whole_rows.min(rows + side)).step_by(TILE) {
                for col in (cols..whole_cols.min(cols + side)).step_by(TILE) {
                    let from = from.wrapping_offset(row as isize + col as isize * c.src);
                    square(from, c.src, to.wrapping_offset(row as isize * r.dst + col as isize), r.dst);
                }
            }
        }
    }
    // SAFETY: the caller's, for rows below `r.n` and columns below `c.n`.
    unsafe {
        tile(from, to, r, c, 0..whole_rows, whole_cols..c.n);
        tile(from, to, r, c, whole_rows..r.n, 0..c.n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Case, EXACT, check, tensor};
    use mindir_graph::{DType, Tensor, dense_strides, shape};

    const TYPES: [DType; 5] = [DType::Bool, DType::F16, DType::F32, DType::I64, DType::C128];

    fn case(
        name: String,
        dtype: DType,
        fill: Option<Vec<u8>>,
        parts: Vec<Part>,
        ins: Vec<Tensor>,
        out: &[usize],
    ) -> Case {
        Case::new(name, Task::Copy(Copy { dtype, fill, parts }), ins, vec![Fact::new(dtype, out)], EXACT)
    }

    fn permute(dims: &[usize], order: &[usize]) -> (Part, Vec<usize>) {
        let out: Vec<usize> = order.iter().map(|&d| dims[d]).collect();
        let strides = dense_strides(dims);
        let src = order.iter().map(|&d| strides[d]).collect();
        let part = Part { input: 0, shape: shape(&out), src_offset: 0, src, dst_offset: 0, dst: dense_strides(&out) };
        (part, out)
    }

    #[test]
    fn permutations() {
        let mut cases = Vec::new();
        let forms: [(&[usize], &[usize]); 14] = [
            (&[5, 7], &[1, 0]),
            (&[64, 48], &[1, 0]),
            (&[33, 130], &[1, 0]),
            (&[2, 9, 4, 8], &[0, 2, 1, 3]),
            (&[2, 9, 4, 8], &[0, 2, 3, 1]),
            (&[2, 3, 17, 19], &[0, 2, 3, 1]),
            (&[2, 17, 19, 3], &[0, 3, 1, 2]),
            (&[2, 3, 4, 5, 6], &[4, 2, 0, 3, 1]),
            (&[3, 1, 5], &[2, 1, 0]),
            (&[300, 200], &[1, 0]),
            (&[9, 30_000], &[1, 0]),
            (&[5, 60_001], &[0, 1]),
            (&[0, 3], &[1, 0]),
            (&[1], &[0]),
        ];
        for (dims, order) in forms {
            for dtype in TYPES {
                let (part, out) = permute(dims, order);
                let x = tensor(1, dtype, dims, 100.0);
                cases.push(case(format!("{dims:?} {order:?} {dtype}"), dtype, None, vec![part], vec![x], &out));
            }
        }
        check(&cases);
    }

    #[test]
    fn slices_pads_repeats_and_joins() {
        let mut cases = Vec::new();
        for dtype in TYPES {
            let size = dtype.size();
            let part = |input, dims: &[usize], src_offset, src: &[isize], dst_offset, dst: &[isize]| {
                let (src, dst) = (src.iter().copied().collect(), dst.iter().copied().collect());
                Part { input, shape: shape(dims), src_offset, src, dst_offset, dst }
            };
            let (x, y) = (tensor(1, dtype, &[6, 50], 100.0), tensor(2, dtype, &[3, 50], 100.0));
            let joined =
                vec![part(0, &[6, 50], 0, &[50, 1], 0, &[50, 1]), part(1, &[3, 50], 0, &[50, 1], 300, &[50, 1])];
            cases.push(case(format!("join {dtype}"), dtype, None, joined, vec![x.clone(), y], &[9, 50]));
            let padded = vec![part(0, &[6, 50], 0, &[50, 1], 61, &[60, 1])];
            let fill = Some((1..=size as u8).map(|b| b.min(1 + u8::from(dtype != DType::Bool) * b)).collect());
            cases.push(case(format!("pad {dtype}"), dtype, fill, padded.clone(), vec![x.clone()], &[8, 60]));
            cases.push(case(format!("zeros {dtype}"), dtype, None, padded, vec![x.clone()], &[8, 60]));
            let reversed = vec![part(0, &[3, 50], 249, &[-100, -1], 0, &[50, 1])];
            cases.push(case(format!("reverse {dtype}"), dtype, None, reversed, vec![x.clone()], &[3, 50]));
            let repeated = vec![part(0, &[4, 6, 50], 0, &[0, 50, 1], 0, &[300, 50, 1])];
            cases.push(case(format!("repeat {dtype}"), dtype, None, repeated, vec![x.clone()], &[4, 6, 50]));
            let spread = vec![part(0, &[6, 9], 3, &[50, 0], 0, &[9, 1])];
            cases.push(case(format!("spread {dtype}"), dtype, None, spread, vec![x.clone()], &[6, 9]));
            let apart = vec![part(0, &[6, 25], 1, &[50, 2], 0, &[50, 2])];
            cases.push(case(format!("apart {dtype}"), dtype, None, apart, vec![x], &[6, 50]));
        }
        check(&cases);
    }
}
