//! Products with few rows whose `b` is stored column by column: dot products that read `b` once, as it lies.

use super::super::simd::{Kernel, Simd};

/// Largest number of rows.
pub const MAX_ROWS: usize = 4;

/// `c[i][j] = Σ a[i][p] · b[j][p]` for the columns of one piece.
pub struct Dots<'a> {
    /// Rows of `a`, each at least `k` long.
    pub a: &'a [&'a [f32]],
    /// Columns of `b`, from the first of the piece.
    pub b: &'a [f32],
    /// From one column of `b` to the next.
    pub b_stride: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns.
    pub cols: usize,
    /// Called with row, column and sum.
    pub put: &'a mut dyn FnMut(usize, usize, f32),
}

impl Kernel for Dots<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.a.len() {
            1 => all::<S, 1, 8>(s, self),
            2 => all::<S, 2, 4>(s, self),
            3 => all::<S, 3, 4>(s, self),
            4 => all::<S, 4, 2>(s, self),
            _ => {}
        }
    }
}

#[inline(always)]
fn all<S: Simd, const M: usize, const N: usize>(s: S, mut d: Dots<'_>) {
    let mut j = 0;
    while j + N <= d.cols {
        columns::<S, M, N>(s, &mut d, j);
        j += N;
    }
    while j < d.cols {
        columns::<S, M, 1>(s, &mut d, j);
        j += 1;
    }
}

#[inline(always)]
fn columns<S: Simd, const M: usize, const N: usize>(s: S, d: &mut Dots<'_>, first: usize) {
    let a: [*const f32; M] = std::array::from_fn(
        #[inline(always)]
        |i| d.a[i][..d.k].as_ptr(),
    );
    let b: [*const f32; N] = std::array::from_fn(
        #[inline(always)]
        |j| d.b[(first + j) * d.b_stride..][..d.k].as_ptr(),
    );
    let mut acc = [[s.zero(); N]; M];
    let mut p = 0;
    while p < d.k {
        let left = d.k - p;
        let mut rows = [s.zero(); M];
        for i in 0..M {
            // SAFETY: every row has `k` elements, `p` of which are behind.
            rows[i] = unsafe { load(s, a[i].add(p), left) };
        }
        for j in 0..N {
            // SAFETY: as above, for columns.
            let x = unsafe { load(s, b[j].add(p), left) };
            for i in 0..M {
                acc[i][j] = s.fma(rows[i], x, acc[i][j]);
            }
        }
        p += S::LANES;
    }
    for i in 0..M {
        for j in 0..N {
            (d.put)(i, first + j, s.reduce_sum(acc[i][j]));
        }
    }
}

/// The next elements, zeros beyond `left`.
///
/// # Safety
/// `p` is readable for `left` elements.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, p: *const f32, left: usize) -> S::F {
    // SAFETY: the caller's.
    unsafe { if left >= S::LANES { s.load(p) } else { s.load_n(p, left) } }
}
