//! Softmax of rows, and of strided columns side by side.

use mindir_graph::task::{Softmax, Task};
use mindir_graph::{DType, Fact, checked_count};

use super::kernel::{CpuKernel, Failed, Io};
use super::simd::{Kernel, MAX_LANES, Simd, fold_vectors, load_part, math, pieces, store_part};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Elements that a thread takes at a time.
const CHUNK: usize = 8 * 1024;
/// Columns that are computed together.
const COLUMNS: usize = 64;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Softmax> {
    let (Task::Softmax(t), [x], [y]) = (view.task, view.ins, view.outs) else { return None };
    let count = checked_count(&[t.outer, t.len, t.inner])?;
    let fits = |f: &Fact| f.dtype == DType::F32 && f.count() == count;
    (t.dtype == DType::F32 && fits(x) && fits(y)).then_some(t)
}

/// The kernel of softmax and its logarithm.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (isa, task) = (request.isa, task(&request.view)?.clone());
    let name = format!("{isa}-f32-{}", if task.inner > 1 { "columns" } else { "rows" });
    Some(Box::new(Rows { name, isa, task }))
}

struct Rows {
    name: String,
    isa: Isa,
    task: Softmax,
}

impl CpuKernel for Rows {
    fn name(&self) -> &str {
        &self.name
    }

    fn in_place(&self) -> Vec<usize> {
        vec![0]
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let Softmax { len, inner, log, .. } = self.task;
        let x = if io.is_shared(0) { None } else { Some(io.operand::<f32>(0)?) };
        let y = io.result::<f32>(0)?;
        if y.is_empty() {
            return Ok(());
        }
        if inner == 1 {
            let piece = CHUNK.div_ceil(len) * len;
            gang.parallel_pieces(y, piece, |chunk, y| {
                let x = x.map(|x| &x[chunk * piece..][..y.len()]);
                self.isa.run(Contiguous { x, y, len, log });
            });
            return Ok(());
        }
        let pieces = inner.div_ceil(COLUMNS);
        let out = Shared::new(y.as_mut_ptr());
        let x = x.map_or(out.at(0).cast_const(), <[f32]>::as_ptr);
        let work = Strided { x, y: out, len, inner, log };
        gang.parallel(self.task.outer * pieces, |chunk, _| {
            let (o, at) = (chunk / pieces, chunk % pieces * COLUMNS);
            self.isa.run(Columns { work: &work, first: o * len * inner + at, n: COLUMNS.min(inner - at) });
        });
        Ok(())
    }
}

/// Rows of `len` elements, in place without `x`.
struct Contiguous<'a> {
    x: Option<&'a [f32]>,
    y: &'a mut [f32],
    len: usize,
    log: bool,
}

impl Kernel for Contiguous<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, y) in self.y.chunks_exact_mut(self.len).enumerate() {
            row(s, self.x.map(|x| &x[i * self.len..][..self.len]), y, self.log);
        }
    }
}

#[inline(always)]
fn row<S: Simd>(s: S, x: Option<&[f32]>, y: &mut [f32], log: bool) {
    let low = s.splat(f32::NEG_INFINITY);
    let whole = y.len() - y.len() % S::LANES;
    let from = x.unwrap_or(y);
    let largest = fold_vectors(
        s,
        from,
        low,
        #[inline(always)]
        |m, x| s.max(x, m),
        #[inline(always)]
        |a, b| s.max(a, b),
    );
    let largest = s.reduce_max(largest);
    let largest = from[whole..].iter().fold(largest, |m, &v| if v > m { v } else { m });
    let shift = s.splat(largest);
    let mut sums = s.zero();
    for piece in pieces(whole) {
        for i in piece.step_by(S::LANES) {
            let d = s.sub(s.get(x.unwrap_or(y), i), shift);
            let e = math::exp(s, d);
            s.put(y, i, if log { d } else { e });
            sums = s.add(sums, e);
        }
    }
    let mut sum = s.reduce_sum(sums);
    if whole < y.len() {
        let d = s.sub(s.get_tail(x.unwrap_or(y), whole), shift);
        let e = math::exp(s, d);
        s.put_tail(y, whole, if log { d } else { e });
        let mut lanes = [0.0; MAX_LANES];
        s.put(&mut lanes, 0, e);
        sum += lanes[..y.len() - whole].iter().sum::<f32>();
    }
    let last = s.splat(if log { -(f64::from(sum).ln() as f32) } else { 1.0 / sum });
    for piece in pieces(whole) {
        for i in piece.step_by(S::LANES) {
            let v = s.get(y, i);
            s.put(y, i, if log { s.add(v, last) } else { s.mul(v, last) });
        }
    }
    if whole < y.len() {
        let v = s.get_tail(y, whole);
        s.put_tail(y, whole, if log { s.add(v, last) } else { s.mul(v, last) });
    }
}

/// A task whose axis has elements after it.
struct Strided {
    x: *const f32,
    y: Shared<f32>,
    len: usize,
    inner: usize,
    log: bool,
}

// SAFETY: `x` is only read, or the result's memory, of which every thread touches columns of its own.
unsafe impl Sync for Strided {}

/// `n` columns from element `first`.
struct Columns<'a> {
    work: &'a Strided,
    first: usize,
    n: usize,
}

impl Kernel for Columns<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.n).step_by(S::LANES) {
            self.vector(s, self.first + i, self.n - i);
        }
    }
}

impl Columns<'_> {
    /// The `n` columns, at most `LANES`, at element `i` of the operand or result.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, x: *const f32, i: usize, n: usize) -> S::F {
        // SAFETY: the columns of every line lie inside the operand and the result, which only this thread touches there.
        unsafe { load_part(s, x.add(i), n) }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, s: S, i: usize, v: S::F, n: usize) {
        // SAFETY: as `load`.
        unsafe { store_part(s, self.work.y.at(i), v, n) };
    }

    /// Up to `LANES` columns, `n` of which exist, from element `at`.
    #[inline(always)]
    fn vector<S: Simd>(&self, s: S, at: usize, n: usize) {
        let &Strided { x, y, len, inner, log } = self.work;
        let mut largest = s.splat(f32::NEG_INFINITY);
        for piece in pieces(len) {
            for l in piece {
                largest = s.max(self.load(s, x, at + l * inner, n), largest);
            }
        }
        let mut sum = s.zero();
        for piece in pieces(len) {
            for l in piece {
                let d = s.sub(self.load(s, x, at + l * inner, n), largest);
                let e = math::exp(s, d);
                sum = s.add(sum, e);
                self.store(s, at + l * inner, if log { d } else { e }, n);
            }
        }
        let last = if log { s.neg(math::log(s, sum)) } else { s.div(s.splat(1.0), sum) };
        for piece in pieces(len) {
            for l in piece {
                let v = self.load(s, y.at(0), at + l * inner, n);
                self.store(s, at + l * inner, if log { s.add(v, last) } else { s.mul(v, last) }, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Bound, Case, check, tensor};
    use mindir_graph::Tensor;

    #[test]
    fn rows_and_columns() {
        let mut cases = Vec::new();
        for dims in [
            [1, 1, 1],
            [3, 7, 1],
            [2, 8, 1],
            [5, 33, 1],
            [2, 1000, 1],
            [200, 197, 1],
            [2, 5, 3],
            [3, 40, 70],
            [1, 3, 9],
            [0, 4, 1],
            [2, 3, 0],
        ] {
            for log in [false, true] {
                for range in [1.0, 30.0] {
                    let [outer, len, inner] = dims;
                    let x = tensor(1, DType::F32, &dims, range);
                    let out = Fact::new(DType::F32, &dims);
                    let task = Task::Softmax(Softmax { outer, len, inner, log, dtype: DType::F32 });
                    let bound = if log {
                        Bound { absolute: 3e-7, relative: 1e-6 }
                    } else {
                        Bound { absolute: 1e-7, relative: 5e-7 }
                    };
                    cases.push(Case::new(format!("{dims:?} log {log} range {range}"), task, vec![x], vec![out], bound));
                }
            }
        }
        check(&cases);
    }

    #[test]
    fn masks_and_nan() {
        let (low, nan) = (f32::NEG_INFINITY, f32::NAN);
        let mut values = vec![0.5; 4 * 20];
        values[3] = low;
        values[20..40].fill(low);
        values[45] = nan;
        values[70] = f32::INFINITY;
        let bound = Bound { absolute: 1e-7, relative: 5e-7 };
        let mut cases = Vec::new();
        for (outer, len, inner) in [(4, 20, 1), (1, 4, 20)] {
            let x = Tensor::from_slice(&[80], &values).unwrap();
            let task = Task::Softmax(Softmax { outer, len, inner, log: false, dtype: DType::F32 });
            cases.push(Case::new(format!("inner {inner}"), task, vec![x.clone()], vec![x.fact()], bound));
        }
        check(&cases);
    }
}
