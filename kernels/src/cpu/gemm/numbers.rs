//! Products of matrices of `f64`, `i32` and `i64`: tiles in registers over panels of `b`, a sum from its first term to its last.

use mindir_graph::task::{Gemm, Task};
use mindir_graph::{DType, Element};

use super::super::gang::{Gang, Shared};
use super::super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::super::simd::{Kernel, Simd};
use super::super::{Isa, Request};
use super::dense::{inside, start, writes_once};

/// Rows of a tile.
const ROWS: usize = 4;
/// Most columns of a panel.
const MAX_COLS: usize = 16;

/// The kernel of a product without an epilogue.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let view = &request.view;
    let (Task::Gemm(g), [a, b], [c]) = (view.task, view.ins, view.outs) else { return None };
    let fits = g.epilogue.is_none()
        && [a.dtype, b.dtype, c.dtype, g.out].iter().all(|&d| d == g.dtype)
        && inside(g, &g.a, g.m, g.k, a.count())
        && inside(g, &g.b, g.k, g.n, b.count())
        && inside(g, &g.c, g.m, g.n, c.count())
        && g.c.col == 1
        && g.batch_count() * g.m * g.n == c.count()
        && writes_once(g);
    if !fits || !matches!(g.dtype, DType::F64 | DType::I32 | DType::I64) {
        return None;
    }
    let name = format!("{}-{}-panels", request.isa, g.dtype);
    Some(Box::new(Panels { name, isa: request.isa, threads: request.threads, gemm: g.clone() }))
}

struct Panels {
    name: String,
    isa: Isa,
    threads: usize,
    gemm: Gemm,
}

impl Panels {
    /// Elements of a packed panel.
    fn panel(&self) -> usize {
        self.gemm.k * MAX_COLS
    }
}

impl CpuKernel for Panels {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        self.threads * scratch_bytes::<u64>(&[self.panel()])
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        match self.gemm.dtype {
            DType::F64 => self.products::<f64>(io, gang),
            DType::I32 => self.products::<i32>(io, gang),
            _ => self.products::<i64>(io, gang),
        }
    }
}

impl Panels {
    fn products<T: Term>(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let g = &self.gemm;
        let (a, b) = (io.operand::<T>(0)?, io.operand::<T>(1)?);
        let scratch = io.scratch::<T>(self.threads * self.panel())?;
        let c = Shared::new(io.result::<T>(0)?.as_mut_ptr());
        // A panel is as wide as two vectors of `f64`.
        let cols = if self.isa.lanes() == MAX_COLS { MAX_COLS } else { MAX_COLS / 2 };
        let panels = g.n.div_ceil(cols);
        gang.parallel_with(g.batch_count() * panels, scratch, |chunk, _, panel| {
            let (batch, first) = (chunk / panels, chunk % panels * cols);
            self.isa.run(Product { g, batch, first, cols: cols.min(g.n - first), a, b, panel, c });
        });
        Ok(())
    }
}

/// Some columns of a product.
struct Product<'a, T> {
    g: &'a Gemm,
    batch: usize,
    first: usize,
    cols: usize,
    a: &'a [T],
    b: &'a [T],
    panel: &'a mut [T],
    c: Shared<T>,
}

impl<T: Term> Kernel for Product<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if S::LANES == MAX_COLS { self.columns::<S, MAX_COLS>(s) } else { self.columns::<S, { MAX_COLS / 2 }>(s) }
    }
}

impl<T: Term> Product<'_, T> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(self, s: S) {
        let Product { g, batch, first, cols, a, b, panel, c } = self;
        let panel = &mut panel.as_chunks_mut::<N>().0[..g.k];
        let from = start(g, &g.b, batch) + first * g.b.col;
        for (p, row) in panel.iter_mut().enumerate() {
            let from = from + p * g.b.row;
            *row = [T::ZERO; N];
            if g.b.col == 1 {
                row[..cols].copy_from_slice(&b[from..from + cols]);
            } else {
                row[..cols].iter_mut().enumerate().for_each(|(j, x)| *x = b[from + j * g.b.col]);
            }
        }
        let (from, to) = (start(g, &g.a, batch), start(g, &g.c, batch) + first);
        for i in (0..g.m).step_by(ROWS) {
            // Rows beyond the last are computed from the last and dropped.
            let rows: [usize; ROWS] = std::array::from_fn(
                #[inline(always)]
                |r| from + (i + r).min(g.m - 1) * g.a.row,
            );
            let tile = tile(s, a, rows, g.a.col, panel);
            for (r, sums) in tile.iter().enumerate().take(g.m - i) {
                // SAFETY: `offer` found that the product lies inside of the result and that no element is written twice.
                unsafe { c.slice(to + (i + r) * g.c.row, cols) }.copy_from_slice(&sums[..cols]);
            }
        }
    }
}

#[inline(always)]
fn tile<S: Simd, T: Term, const N: usize>(
    s: S,
    a: &[T],
    rows: [usize; ROWS],
    step: usize,
    panel: &[[T; N]],
) -> [[T; N]; ROWS] {
    let mut sums = [[T::ZERO; N]; ROWS];
    for (p, b) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            let a = a[row + p * step];
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = T::add_product(s, a, b, *sum);
            }
        }
    }
    sums
}

/// An element of a product.
trait Term: Element {
    const ZERO: Self;

    /// a · b + c.
    fn add_product<S: Simd>(s: S, a: Self, b: Self, c: Self) -> Self;
}

impl Term for f64 {
    const ZERO: f64 = 0.0;

    #[inline(always)]
    fn add_product<S: Simd>(s: S, a: f64, b: f64, c: f64) -> f64 {
        s.fma64(a, b, c)
    }
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Term for $t {
            const ZERO: $t = 0;

            #[inline(always)]
            fn add_product<S: Simd>(_: S, a: $t, b: $t, c: $t) -> $t {
                a.wrapping_mul(b).wrapping_add(c)
            }
        }
    )*};
}
integer!(i32, i64);

#[cfg(test)]
mod tests {
    use mindir_graph::task::Matrix;
    use mindir_graph::{Fact, shape};

    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, tensor};

    fn case(dtype: DType, [batch, m, n, k]: [usize; 4], turned: [bool; 2]) -> Case {
        let matrix = |rows: usize, cols: usize, turned: bool| Matrix {
            batch: [(rows * cols) as isize].into_iter().collect(),
            row: if turned { 1 } else { cols },
            col: if turned { rows } else { 1 },
            offset: 0,
        };
        let gemm = Gemm {
            batch: shape(&[batch]),
            m,
            n,
            k,
            a: matrix(m, k, turned[0]),
            b: matrix(k, n, turned[1]),
            c: matrix(m, n, false),
            dtype,
            out: dtype,
            tf32: false,
            epilogue: None,
        };
        let range = if dtype.is_float() { 1.0 } else { 1e5 };
        let ins = vec![tensor(1, dtype, &[batch, m, k], range), tensor(2, dtype, &[batch, k, n], range)];
        let bound = if dtype.is_float() { Bound { absolute: 1e-13, relative: 0.0 } } else { EXACT };
        let name = format!("{batch} x {m} x {n} x {k} of {dtype} {turned:?}");
        Case::new(name, Task::Gemm(gemm), ins, vec![Fact::new(dtype, &[batch, m, n])], bound)
    }

    #[test]
    fn products_of_other_numbers() {
        let mut cases = Vec::new();
        for dtype in [DType::F64, DType::I32, DType::I64] {
            for dims in
                [[1, 1, 1, 1], [2, 3, 5, 7], [1, 4, 16, 9], [3, 9, 33, 20], [1, 1, 40, 65], [1, 6, 17, 0], [0, 2, 2, 2]]
            {
                for turned in [[false, false], [true, false], [false, true], [true, true]] {
                    cases.push(case(dtype, dims, turned));
                }
            }
        }
        let kernels = check(&cases);
        assert!(kernels.iter().all(|k| k.ends_with("-panels")), "{kernels:?}");
    }
}
