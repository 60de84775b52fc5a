//! The innermost kernel: one tile of a product, held in registers.
//!
//! A tile is `MR` rows by `NV` vectors. Rows of `a` are given by a table of pointers with one line per tap, so that the same
//! kernel serves products (one tap) and convolutions (one tap per kernel element). `b` is read as consecutive lines of
//! `NV` vectors.

use std::ptr::null;

use super::super::simd::{Kernel, Simd};

/// Largest number of rows of a tile.
pub const MAX_ROWS: usize = 12;
/// Largest number of vectors in a row of a tile.
pub const MAX_VECTORS: usize = 4;

/// What a [`TileFn`] reads and writes. Counts are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// First row pointer of the first tap; each tap has one pointer per row of the tile.
    pub rows: *const *const f32,
    /// Row pointers from one tap to the next.
    pub tap_stride: usize,
    /// Taps.
    pub taps: usize,
    /// Elements of each row to skip.
    pub skip: usize,
    /// Elements of each row to use, per tap.
    pub len: usize,
    /// First line of `b`; there are `taps · len` lines.
    pub b: *const f32,
    /// From one line of `b` to the next.
    pub b_stride: usize,
    /// First element of the result.
    pub c: *mut f32,
    /// From one row of the result to the next.
    pub c_stride: usize,
    /// Columns to write, at most the tile's.
    pub cols: usize,
    /// Whether the result holds a partial sum to add to.
    pub add: bool,
    /// What to do to finished sums.
    pub finish: Finish,
}

/// Epilogue in registers: `clamp(sum + bias + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// One element per column, or null.
    pub bias: *const f32,
    /// One element per row, or null.
    pub row_bias: *const f32,
    /// Laid out as the result, or null.
    pub residual: *const f32,
    /// Bounds of the result, if any; NaN passes.
    pub clamp: Option<(f32, f32)>,
}

impl Finish {
    /// Sums as they are.
    pub const NONE: Finish = Finish { bias: null(), row_bias: null(), residual: null(), clamp: None };

    /// It on a vector of a row, of which `left` elements are left.
    ///
    /// # Safety
    /// Bias is readable for `left` elements from `col`, the residual from `at`.
    #[inline(always)]
    pub unsafe fn apply<S: Simd, const WHOLE: bool>(
        &self,
        s: S,
        mut v: S::F,
        col: usize,
        at: usize,
        left: usize,
    ) -> S::F {
        for (p, by) in [(self.bias, col), (self.residual, at)] {
            if !p.is_null() {
                // SAFETY: the caller's.
                v = s.add(v, unsafe { load::<S, WHOLE>(s, p.add(by), left) });
            }
        }
        match self.clamp {
            Some((low, high)) => s.min(s.splat(high), s.max(s.splat(low), v)),
            None => v,
        }
    }
}

/// The next elements of which `left` are left, all of a vector if `WHOLE`.
///
/// # Safety
/// `p` is readable for `left` elements, which fill a vector if `WHOLE`.
#[inline(always)]
pub unsafe fn load<S: Simd, const WHOLE: bool>(s: S, p: *const f32, left: usize) -> S::F {
    // SAFETY: the caller's.
    unsafe { if WHOLE { s.load(p) } else { s.load_n(p, left) } }
}

/// A kernel for tiles of some number of rows and vectors.
///
/// # Safety
/// Every pointer of the tile is valid for what the fields say: row pointers for `skip + len` elements, `b` for whole lines,
/// bias for `cols` elements, row bias for the tile's rows, result (and residual) for the tile's rows of `cols` elements; nothing else uses the result.
pub type TileFn = unsafe fn(&Tile);

/// Kernels by rows − 1 and vectors − 1.
pub type Tiles = [[Option<TileFn>; MAX_VECTORS]; MAX_ROWS];

/// Every tile kernel of an instruction set.
pub struct AllTiles {
    /// Whether a row is added up in the same order in all of them.
    pub batch_invariant: bool,
}

impl Kernel for AllTiles {
    type Out = Tiles;

    fn run<S: Simd>(self, _: S) -> Tiles {
        let mut t: Tiles = [[None; MAX_VECTORS]; MAX_ROWS];
        macro_rules! tiles {
            ($nv:literal: $($mr:literal $unroll:literal),*) => {$(
                let one_sum = tile::<S, $mr, $nv, 1> as TileFn;
                t[$mr - 1][$nv - 1] = Some(if self.batch_invariant { one_sum } else { tile::<S, $mr, $nv, $unroll> });
            )*};
        }
        tiles!(1: 1 4, 2 4, 3 2, 4 2, 5 2, 6 2, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1);
        tiles!(2: 1 4, 2 2, 3 2, 4 1, 5 1, 6 1);
        if S::LANES == 16 {
            tiles!(2: 7 1, 8 1, 9 1, 10 1, 11 1, 12 1);
            tiles!(3: 1 4, 2 2, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1);
            tiles!(4: 1 2, 2 1, 3 1, 4 1, 5 1, 6 1);
        }
        t
    }
}

/// Largest number of rows of a tile with `vectors` vectors of `lanes` lanes.
pub fn max_rows(lanes: usize, vectors: usize) -> usize {
    match (lanes, vectors) {
        (_, 1) | (16, 2) => 12,
        (16, 3) => 8,
        _ => 6,
    }
}

/// Largest useful number of vectors of a tile.
pub fn max_vectors(lanes: usize) -> usize {
    if lanes == 16 { 4 } else { 2 }
}

unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const U: usize>(t: &Tile) {
    // SAFETY: `AllTiles` runs only where the token exists, and hands this function only to its caller.
    let s = unsafe { S::assume() };
    s.vectorize(
        #[inline(always)]
        || {
            // SAFETY: the caller's.
            unsafe {
                let acc = sums::<S, MR, NV, U>(s, t);
                store::<S, MR, NV>(s, t, acc);
            }
        },
    );
}

/// A tile whose lines of `b` are found through pointers: `b` points to the pointers of `len` lines, `skip` elements into
/// which the columns begin; `rows` are the rows of `a`.
#[derive(Clone, Copy, Debug)]
pub struct LineTile {
    /// First element of the first row of `a`.
    pub a: *const f32,
    /// From one row of `a` to the next.
    pub a_stride: usize,
    /// Pointers of the lines of `b`.
    pub lines: *const *const f32,
    /// Elements of every line to skip.
    pub skip: usize,
    /// Number of lines.
    pub len: usize,
    /// First element of the result.
    pub c: *mut f32,
    /// From one row of the result to the next.
    pub c_stride: usize,
    /// Columns to write, at most the tile's.
    pub cols: usize,
    /// What to do to the sums.
    pub finish: Finish,
}

/// A kernel for a [`LineTile`] of some number of rows and vectors.
///
/// # Safety
/// As [`TileFn`]; lines are readable for `skip` elements and whole vectors after them.
pub type LineTileFn = unsafe fn(&LineTile);

/// Largest number of rows of a [`LineTile`].
pub const MAX_LINE_ROWS: usize = 6;
/// Largest number of vectors in a row of a [`LineTile`].
pub const MAX_LINE_VECTORS: usize = 2;

/// Kernels by rows − 1 and vectors − 1.
pub type LineTiles = [[LineTileFn; MAX_LINE_VECTORS]; MAX_LINE_ROWS];

/// Every line tile kernel of an instruction set.
pub struct AllLineTiles;

impl Kernel for AllLineTiles {
    type Out = LineTiles;

    fn run<S: Simd>(self, _: S) -> LineTiles {
        macro_rules! tiles {
            ($($mr:literal)*) => { [$([line_tile::<S, $mr, 1> as LineTileFn, line_tile::<S, $mr, 2> as LineTileFn]),*] };
        }
        tiles!(1 2 3 4 5 6)
    }
}

unsafe fn line_tile<S: Simd, const MR: usize, const NV: usize>(t: &LineTile) {
    // SAFETY: `AllLineTiles` runs only where the token exists, and hands this function only to its caller.
    let s = unsafe { S::assume() };
    s.vectorize(
        #[inline(always)]
        || {
            let mut a = [null::<f32>(); MR];
            for i in 0..MR {
                a[i] = t.a.wrapping_add(i * t.a_stride);
            }
            let mut acc = [[s.zero(); NV]; MR];
            let tile = Tile {
                rows: null(),
                tap_stride: 0,
                taps: 0,
                skip: 0,
                len: 0,
                b: null(),
                b_stride: 0,
                c: t.c,
                c_stride: t.c_stride,
                cols: t.cols,
                add: false,
                finish: t.finish,
            };
            // SAFETY: the caller's.
            unsafe {
                for p in 0..t.len {
                    step(s, &mut acc, &a, p, (*t.lines.add(p)).add(t.skip));
                }
                store::<S, MR, NV>(s, &tile, acc);
            }
        },
    );
}

/// Sums over all taps. Lines of `b` go to `U` sets of accumulators in turn, so that short tiles do not wait for their own
/// additions.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn sums<S: Simd, const MR: usize, const NV: usize, const U: usize>(s: S, t: &Tile) -> [[S::F; NV]; MR] {
    let mut acc = [[[s.zero(); NV]; MR]; U];
    let mut b = t.b;
    for tap in 0..t.taps {
        let mut a = [null::<f32>(); MR];
        for i in 0..MR {
            // SAFETY: the table has `MR` pointers per tap, each valid for `skip + len` elements.
            a[i] = unsafe { (*t.rows.add(tap * t.tap_stride + i)).add(t.skip) };
        }
        let mut p = 0;
        while p + U <= t.len {
            for u in 0..U {
                // SAFETY: `p + u` is below `len`, and `b` has a line for every element of every tap.
                unsafe { step(s, &mut acc[u], &a, p + u, b) };
                b = b.wrapping_add(t.b_stride);
            }
            p += U;
        }
        while p < t.len {
            // SAFETY: as above.
            unsafe { step(s, &mut acc[0], &a, p, b) };
            b = b.wrapping_add(t.b_stride);
            p += 1;
        }
    }
    let mut total = acc[0];
    for u in 1..U {
        for i in 0..MR {
            for v in 0..NV {
                total[i][v] = s.add(total[i][v], acc[u][i][v]);
            }
        }
    }
    total
}

/// `acc[i] += a[i][p] · b` for one line of `b`.
///
/// # Safety
/// `a` are readable at `p`, `b` for `NV` vectors.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut [[S::F; NV]; MR],
    a: &[*const f32; MR],
    p: usize,
    b: *const f32,
) {
    let mut line = [s.zero(); NV];
    for v in 0..NV {
        // SAFETY: the caller's.
        line[v] = unsafe { s.load(b.add(v * S::LANES)) };
    }
    for i in 0..MR {
        // SAFETY: the caller's.
        let x = s.splat(unsafe { *a[i].add(p) });
        for v in 0..NV {
            acc[i][v] = s.fma(x, line[v], acc[i][v]);
        }
    }
}

/// Writes a tile.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn store<S: Simd, const MR: usize, const NV: usize>(s: S, t: &Tile, mut acc: [[S::F; NV]; MR]) {
    if t.cols == NV * S::LANES {
        // SAFETY: the caller's; whole vectors lie inside the columns.
        unsafe {
            finish::<S, MR, NV>(s, t, &mut acc, |p, _| s.load(p));
            for i in 0..MR {
                for v in 0..NV {
                    s.store(t.c.add(i * t.c_stride + v * S::LANES), acc[i][v]);
                }
            }
        }
    } else {
        let left = |v: usize| t.cols.saturating_sub(v * S::LANES);
        // SAFETY: the caller's; no element beyond the columns is touched.
        unsafe {
            finish::<S, MR, NV>(s, t, &mut acc, |p, v| s.load_n(p, left(v)));
            for i in 0..MR {
                for v in 0..NV {
                    s.store_n(t.c.wrapping_add(i * t.c_stride + v * S::LANES), acc[i][v], left(v));
                }
            }
        }
    }
}

/// Adds what the tile says and clamps. `load(p, v)` reads vector `v` of a row.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    t: &Tile,
    acc: &mut [[S::F; NV]; MR],
    load: impl Fn(*const f32, usize) -> S::F,
) {
    if t.add {
        add_rows::<S, MR, NV>(s, acc, t.c, t.c_stride, &load);
    }
    if !t.finish.bias.is_null() {
        add_rows::<S, MR, NV>(s, acc, t.finish.bias, 0, &load);
    }
    if !t.finish.row_bias.is_null() {
        for (i, row) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's; the bias has an element for every row.
            let x = s.splat(unsafe { *t.finish.row_bias.add(i) });
            for v in 0..NV {
                row[v] = s.add(row[v], x);
            }
        }
    }
    if !t.finish.residual.is_null() {
        add_rows::<S, MR, NV>(s, acc, t.finish.residual, t.c_stride, &load);
    }
    if let Some((low, high)) = t.finish.clamp {
        let (low, high) = (s.splat(low), s.splat(high));
        for i in 0..MR {
            for v in 0..NV {
                acc[i][v] = s.min(high, s.max(low, acc[i][v]));
            }
        }
    }
}

#[inline(always)]
fn add_rows<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &mut [[S::F; NV]; MR],
    from: *const f32,
    stride: usize,
    load: &impl Fn(*const f32, usize) -> S::F,
) {
    for i in 0..MR {
        for v in 0..NV {
            acc[i][v] = s.add(acc[i][v], load(from.wrapping_add(i * stride + v * S::LANES), v));
        }
    }
}
