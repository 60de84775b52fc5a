//! Convolution of 3 × 3 taps as sixteen products: F(2 × 2, 3 × 3) of Lavin and Gray (arXiv:1509.09308).
//!
//! A tile of 2 × 2 pixels reads 4 × 4 pixels. Their transform is met with that of the weights element by element, sixteen
//! products over the channels in place of thirty-six, and transformed back. The sums are shorter than those of a plain
//! convolution and not less exact, as long as all that a tile reads is of one size: what two pixels of a tile do not share cancels
//! in the transform, to the precision of the largest. Tiles with pixels of very different size, or whose transform is not
//! finite, are computed as dot products.

use std::ops::Range;

use mindir_graph::task::Conv;

use super::super::gang::{Gang, Shared};
use super::super::gemm::blocks::{Blocks, Pointers};
use super::super::gemm::dense::table_of;
use super::super::gemm::dot;
use super::super::gemm::panels::Panels;
use super::super::gemm::tile::{Finish, MAX_VECTORS};
use super::super::simd::{Kernel, MAX_LANES, Simd, load_part, store_part};
use super::super::{Isa, Request};
use super::{Body, Operands};

/// Elements of a transformed tile.
const POINTS: usize = 16;
/// Floats of transformed tiles and of their products that a thread holds: most of a second-level cache.
const HELD: usize = 160 << 10;
/// Floats in a cache line.
const LINE: usize = 16;
/// Input channels whose weights a thread packs at a time.
const PACKED: usize = 32;
/// Elements in which a thread looks for levels at a time.
const LEVELS: usize = 32 << 10;
/// What a tile costs beside its products, in multiply-adds.
const TILE: f64 = 10_000.0;
/// What each of its channels costs.
const CHANNEL: f64 = 125.0;
/// What it costs to read the sixteen weights of a pair of channels rather than nine.
const WEIGHT: f64 = 220.0;
/// How many times the smallest of what the pixels of a tile read may go into the largest.
const SPREAD: f32 = 256.0;
/// Weights below which transforms would be denormal.
const TINY: f32 = 1e-30;
/// Columns of a block, roughly.
const BLOCK_COLS: usize = 256;

/// Whether sixteen products are less work than nine taps: for one image, so that it does not depend on how many there are.
pub fn accepts(request: &Request<'_>, c: &Conv) -> bool {
    let plain = [c.kernel, c.stride, c.dilation] == [[3, 3], [1, 1], [1, 1]] && c.groups == 1;
    if !plain || !request.view.known[1] || c.c_in.min(c.c_out) < 16 {
        return false;
    }
    let [pixels, tiles] = [c.out_h * c.out_w, tiles(c).iter().product()].map(|n| n as f64);
    let [c_in, c_out] = [c.c_in, c.c_out].map(|n| n as f64);
    let transforms = tiles * (TILE + CHANNEL * (c_in + c_out));
    (POINTS as f64 * tiles + WEIGHT) * c_in * c_out + transforms < 9.0 * pixels * c_in * c_out
}

/// Floats from one point to the next, of which each has `len`: an odd number of cache lines, or the points of a tile would fall
/// on one place in the cache.
fn apart(len: usize) -> usize {
    (len.div_ceil(LINE) | 1) * LINE
}

/// Rows and columns of tiles of an image.
fn tiles(c: &Conv) -> [usize; 2] {
    [c.out_h.div_ceil(2), c.out_w.div_ceil(2)]
}

pub struct Winograd {
    name: String,
    isa: Isa,
    conv: Conv,
    /// The product of one point: tiles by output channels.
    blocks: Blocks,
    threads: usize,
}

impl Winograd {
    pub fn new(request: &Request<'_>, c: &Conv) -> Winograd {
        let &Request { isa, threads, batch_invariant, .. } = request;
        let [rows, cols] = tiles(c);
        let held = POINTS * (c.c_in + c.c_out.min(BLOCK_COLS));
        let size = [(HELD / held).clamp(12, 96), BLOCK_COLS];
        let product = [c.n * rows * cols, c.c_out, c.c_in];
        let blocks = Blocks::of_size(isa, batch_invariant, product, POINTS, size, threads);
        Winograd { name: format!("{isa}-f32-winograd"), isa, conv: c.clone(), blocks, threads }
    }

    /// Floats that all threads read: zeros, and the levels of the pixels.
    fn shared(&self) -> [usize; 2] {
        let [rows, cols] = self.padded();
        [self.conv.c_in, self.conv.n * rows * cols]
    }

    /// Rows and columns of an image with its padding, as far as tiles read.
    fn padded(&self) -> [usize; 2] {
        tiles(&self.conv).map(|tiles| 2 * tiles + 2)
    }

    /// Finds the level of every pixel of the padded images, row by row.
    fn find_levels(&self, x: &[f32], levels: &mut [f32], gang: &mut Gang) {
        let (c, [rows, cols]) = (&self.conv, self.padded());
        // Some rows at a time, or the threads would spend their time asking for work.
        let together = (LEVELS / (cols * c.c_in)).max(1);
        gang.parallel_pieces(levels, together * cols, |chunk, levels| {
            for (i, levels) in levels.chunks_exact_mut(cols).enumerate() {
                let (image, y) = ((chunk * together + i) / rows, (chunk * together + i) % rows);
                levels.fill(0.0);
                let (Some(y), Some(levels)) = (y.checked_sub(c.pads[0]), levels.get_mut(c.pads[2]..)) else { continue };
                if y < c.h {
                    self.isa.run(Levels {
                        x: &x[(image * c.h + y) * c.w * c.c_in..][..c.w * c.c_in],
                        c_in: c.c_in,
                        levels,
                    });
                }
            }
        });
    }

    /// Floats that a thread needs: tiles, their products, and what four pixels read.
    fn held(&self) -> [usize; 3] {
        let rows = self.blocks.max_block_rows();
        let points = |channels: usize| POINTS * apart(rows * channels);
        [points(self.conv.c_in), points(self.blocks.max_block_cols()), 4 * 9 * self.conv.c_in]
    }

    /// Image, first row and first column of the pixels of tile `t`.
    fn place(&self, t: usize) -> [usize; 3] {
        let [rows, cols] = tiles(&self.conv);
        [t / (rows * cols), t / cols % rows * 2, t % cols * 2]
    }

    /// How many rows and columns of what a tile reads are outside of the image.
    fn outside(&self, [y, x]: [usize; 2]) -> usize {
        let c = &self.conv;
        let beyond = |at: usize, pad: usize, len: usize| pad.saturating_sub(at) + (at + 4).saturating_sub(pad + len);
        beyond(y, c.pads[0], c.h) + beyond(x, c.pads[2], c.w)
    }

    /// The pixels of tile `t`, each by its number and place.
    fn pixels(&self, t: usize) -> impl Iterator<Item = (usize, [usize; 3])> + '_ {
        let (c, [image, y, x]) = (&self.conv, self.place(t));
        let all = [[y, x], [y, x + 1], [y + 1, x], [y + 1, x + 1]];
        let inside = all.into_iter().enumerate().filter(|(_, [y, x])| *y < c.out_h && *x < c.out_w);
        inside.map(move |(i, [y, x])| (i, [image, y, x]))
    }

    /// The sixteen products of the tiles `rows` and the channels `cols`.
    fn products(&self, block: usize, weights: &[f32], v: &[f32], m: &mut [f32], table: &mut [usize]) {
        let (c, rows, cols) = (&self.conv, self.blocks.rows(block), self.blocks.cols(block));
        let panels = self.blocks.panels.len();
        let table = table_of(table, rows.len());
        for point in 0..POINTS {
            let v = &v[point * apart(rows.len() * c.c_in)..][..rows.len() * c.c_in];
            table.iter_mut().zip(v.chunks_exact(c.c_in)).for_each(|(row, v)| *row = v.as_ptr());
            let m = &mut m[point * apart(rows.len() * cols.len())..][..rows.len() * cols.len()];
            let pointers = Pointers {
                b: weights[point * panels..][..panels].as_ptr(),
                b_direct: None,
                b_last: std::ptr::null(),
                c: m.as_mut_ptr().wrapping_sub(rows.start * cols.len() + cols.start),
                c_stride: cols.len(),
                finish: Finish::NONE,
            };
            // SAFETY: every row has `c_in` elements, panels are whole, and the block's rows and columns are those of `m`.
            unsafe { self.blocks.run(block, table, &pointers) };
        }
    }

    /// The pixels of tile `t` as dot products, in the channels `cols`.
    fn directly(&self, t: usize, cols: &Range<usize>, o: &Operands<'_>, patches: &mut [f32]) {
        let (c, k) = (&self.conv, 9 * self.conv.c_in);
        let mut at = [0; 4];
        let mut count = 0;
        for (patch, (_, [image, y, x])) in patches.chunks_exact_mut(k).zip(self.pixels(t)) {
            self.patch(o.x, [image, y, x], patch);
            at[count] = ((image * c.out_h + y) * c.out_w + x) * c.c_out;
            count += 1;
        }
        let rows: [&[f32]; 4] = std::array::from_fn(|i| &patches[i * k..][..k]);
        let put = &mut |i: usize, j: usize, sum: f32| {
            let col = cols.start + j;
            let sum = o.plain.scale.map_or(sum, |s| sum * s[col]);
            // SAFETY: the pixels of a tile, and the columns of a block, belong to one chunk.
            unsafe { o.y.slice(at[i] + col, 1)[0] = sum };
        };
        let weights = &o.plain.weights[cols.start * k..cols.end * k];
        self.isa.run(dot::Dots { a: &rows[..count], b: weights, b_stride: k, k, cols: cols.len(), put });
        for at in &at[..count] {
            // SAFETY: as above.
            let row = unsafe { o.y.slice(at + cols.start, cols.len()) };
            o.tail.finish_row(self.isa, row, cols.start, at + cols.start);
        }
    }

    /// What a pixel reads, in the order of the weights.
    fn patch(&self, x: &[f32], [image, oy, ox]: [usize; 3], to: &mut [f32]) {
        let c = &self.conv;
        to.fill(0.0);
        for tap in 0..9 {
            let (iy, ix) = ((oy + tap / 3).wrapping_sub(c.pads[0]), (ox + tap % 3).wrapping_sub(c.pads[2]));
            if iy < c.h && ix < c.w {
                let from = &x[((image * c.h + iy) * c.w + ix) * c.c_in..][..c.c_in];
                to[tap..].iter_mut().step_by(9).zip(from).for_each(|(to, x)| *to = *x);
            }
        }
    }

    /// What the epilogue does outside of registers, line by line.
    fn rows(&self, tiles_of_block: Range<usize>, cols: &Range<usize>, o: &Operands<'_>) {
        if !o.tail.has_rows() {
            return;
        }
        let (c, [_, per_row]) = (&self.conv, tiles(&self.conv));
        let mut t = tiles_of_block.start;
        while t < tiles_of_block.end {
            let end = (t / per_row * per_row + per_row).min(tiles_of_block.end);
            let [image, y, x] = self.place(t);
            let count = (2 * (end - t)).min(c.out_w - x);
            for y in y..(y + 2).min(c.out_h) {
                let first = (image * c.out_h + y) * c.out_w + x;
                // SAFETY: these pixels are those of the block's tiles, and belong to one chunk.
                unsafe { o.tail.block(o.y, [count, c.c_out], cols.clone(), first, first * c.c_out) };
            }
            t = end;
        }
    }
}

/// `[c_out, c_in, 3, 3]` to the panels of every point.
fn pack(panels: &Panels, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], gang: &mut Gang) {
    let pieces = panels.k.div_ceil(PACKED);
    let base = Shared::new(out[..POINTS * panels.len()].as_mut_ptr());
    gang.parallel(panels.count() * pieces, |chunk, _| {
        let (j, first) = (chunk / pieces, chunk % pieces * PACKED);
        let (cols, width) = (j * panels.width(), panels.vectors_of(j) * panels.lanes);
        for k in first..panels.k.min(first + PACKED) {
            let mut points = [[0.0; MAX_VECTORS * MAX_LANES]; POINTS];
            for i in 0..panels.cols(j) {
                let factor = scale.map_or(1.0, |s| s[cols + i]);
                let u = transformed(&w[((cols + i) * panels.k + k) * 9..][..9], factor);
                points.iter_mut().zip(u).for_each(|(point, u)| point[i] = u);
            }
            for (i, point) in points.iter().enumerate() {
                // SAFETY: a line of a panel belongs to one chunk, and lies inside `out`.
                let line = unsafe { base.slice(i * panels.len() + panels.start(j) + k * width, width) };
                line.copy_from_slice(&point[..width]);
            }
        }
    });
}

/// Tiles with fewer rows and columns than this outside of the image may be transformed with these weights of an output channel.
/// Where the largest are many times those of another tap, pixels at the border may read no large ones, and only inner tiles are of
/// one size; where all are next to nothing, transforms would lose their last digits.
fn limit_of(filter: &[f32]) -> f32 {
    let mut taps = [0f32; 9];
    for weights in filter.chunks_exact(9) {
        taps.iter_mut().zip(weights).for_each(|(tap, w)| *tap = tap.max(w.abs()));
    }
    let (high, low) = (taps.into_iter().fold(0.0, f32::max), taps.into_iter().fold(f32::INFINITY, f32::min));
    match high {
        0.0 => f32::INFINITY,
        _ if high < TINY => 0.0,
        _ if high <= SPREAD * low => f32::INFINITY,
        _ => 1.0,
    }
}

/// The transform of nine weights times a factor.
fn transformed(w: &[f32], factor: f32) -> [f32; POINTS] {
    let line = |a: f64, b: f64, c: f64| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let w: [f64; 9] = std::array::from_fn(|i| f64::from(w[i] * factor));
    let columns: [[f64; 4]; 3] = std::array::from_fn(|x| line(w[x], w[3 + x], w[6 + x]));
    let rows: [[f64; 4]; 4] = std::array::from_fn(|y| line(columns[0][y], columns[1][y], columns[2][y]));
    std::array::from_fn(|i| rows[i / 4][i % 4] as f32)
}

/// The transforms of tiles: for every point, for every tile, its channels.
struct Transform<'a> {
    winograd: &'a Winograd,
    x: &'a [f32],
    /// As many zeros as there are channels.
    zeros: &'a [f32],
    tiles: Range<usize>,
    v: &'a mut [f32],
}

impl Transform<'_> {
    /// The pixels that a tile reads, each of `c_in` elements.
    #[inline(always)]
    fn pixels(&self, [image, oy, ox]: [usize; 3]) -> [[*const f32; 4]; 4] {
        let c = &self.winograd.conv;
        let (y, x) = (oy.wrapping_sub(c.pads[0]), ox.wrapping_sub(c.pads[2]));
        let mut pixels = [[self.zeros.as_ptr(); 4]; 4];
        for (i, line) in pixels.iter_mut().enumerate() {
            // Before the first row or column wraps to a huge number.
            let y = y.wrapping_add(i);
            if y >= c.h {
                continue;
            }
            let row = &self.x[(image * c.h + y) * c.w * c.c_in..][..c.w * c.c_in];
            for (j, pixel) in line.iter_mut().enumerate() {
                let x = x.wrapping_add(j);
                if x < c.w {
                    *pixel = row.as_ptr().wrapping_add(x * c.c_in);
                }
            }
        }
        pixels
    }
}

impl Kernel for Transform<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c, count) = (&self.winograd.conv, self.tiles.len());
        let apart = apart(count * c.c_in);
        let v = self.v[..POINTS * apart].as_mut_ptr();
        for (i, t) in self.tiles.clone().enumerate() {
            let pixels = self.pixels(self.winograd.place(t));
            for first in (0..c.c_in).step_by(S::LANES) {
                let n = c.c_in - first;
                let mut d = [[s.splat(0.0); 4]; 4];
                for y in 0..4 {
                    for x in 0..4 {
                        // SAFETY: every pixel has `c_in` elements, of which `first` are behind.
                        d[y][x] = unsafe { load_part(s, pixels[y][x].add(first), n) };
                    }
                    d[y] = forward(s, d[y]);
                }
                for x in 0..4 {
                    let column = forward(s, [d[0][x], d[1][x], d[2][x], d[3][x]]);
                    for y in 0..4 {
                        // SAFETY: `v` has a row of `c_in` elements for every point and tile.
                        unsafe { store_part(s, v.add((y * 4 + x) * apart + i * c.c_in + first), column[y], n) };
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn forward<S: Simd>(s: S, [a, b, c, d]: [S::F; 4]) -> [S::F; 4] {
    [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
}

#[inline(always)]
fn back<S: Simd>(s: S, [a, b, c, d]: [S::F; 4]) -> [S::F; 2] {
    [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d)]
}

/// The largest magnitude of every pixel: its level.
struct Levels<'a> {
    x: &'a [f32],
    c_in: usize,
    levels: &'a mut [f32],
}

impl Kernel for Levels<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (level, pixel) in self.levels.iter_mut().zip(self.x.chunks_exact(self.c_in)) {
            let mut most = s.splat(0.0);
            for at in (0..pixel.len()).step_by(S::LANES) {
                // SAFETY: the pixel's elements from `at` on.
                let x = unsafe { load_part(s, pixel.as_ptr().add(at), pixel.len() - at) };
                most = s.max(s.abs(x), most);
            }
            *level = s.reduce_max(most);
        }
    }
}

/// Whether the pixels of a tile read elements of about one size. `levels` begin where the tile does, in rows of `stride`.
#[inline(always)]
fn is_even(levels: &[f32], stride: usize) -> bool {
    let most = |a: f32, b: f32| if a > b { a } else { b };
    let mut lines = [[0.0; 2]; 4];
    for (y, line) in lines.iter_mut().enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|x| levels[y * stride + x]);
        *line = [most(a, most(b, c)), most(most(b, c), d)];
    }
    let (mut high, mut low) = (0.0, f32::INFINITY);
    for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let window = most(lines[y][x], most(lines[y + 1][x], lines[y + 2][x]));
        (high, low) = (most(window, high), if window < low { window } else { low });
    }
    high <= SPREAD * low
}

/// Tiles of the result from the products of their points. Says which of them are uneven or not finite, a vector of channels at a time, so
/// that it does not depend on how the result is cut.
struct Finished<'a> {
    winograd: &'a Winograd,
    levels: &'a [f32],
    /// For every vector of channels, how many rows and columns of a tile must be outside of the image to compute it as dot
    /// products.
    limits: &'a [f32],
    m: &'a [f32],
    tiles: Range<usize>,
    cols: Range<usize>,
    y: Shared<f32>,
    /// At the first element.
    finish: Finish,
    bad: &'a mut dyn FnMut(usize, Range<usize>),
}

impl Kernel for Finished<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (c, count, width) = (&self.winograd.conv, self.tiles.len(), self.cols.len());
        let [rows, padded] = self.winograd.padded();
        let apart = apart(count * width);
        let m = self.m[..POINTS * apart].as_ptr();
        for (i, t) in self.tiles.enumerate() {
            let [image, y, x] = self.winograd.place(t);
            if !is_even(&self.levels[(image * rows + y) * padded + x..], padded) {
                (self.bad)(t, self.cols.clone());
                continue;
            }
            let outside = self.winograd.outside([y, x]) as f32;
            let first = ((image * c.out_h + y) * c.out_w + x) * c.c_out + self.cols.start;
            let (below, beside) = (y + 1 < c.out_h, x + 1 < c.out_w);
            let at = [
                Some(first),
                beside.then_some(first + c.c_out),
                below.then_some(first + c.out_w * c.c_out),
                (below && beside).then_some(first + (c.out_w + 1) * c.c_out),
            ];
            for first in (0..width).step_by(S::LANES) {
                let n = width - first;
                let channels = self.cols.start + first..(self.cols.start + first + S::LANES).min(self.cols.end);
                if outside >= self.limits[channels.start / S::LANES] {
                    (self.bad)(t, channels);
                    continue;
                }
                let mut sums = [[s.splat(0.0); 2]; 4];
                for y in 0..4 {
                    let mut line = [s.splat(0.0); 4];
                    for x in 0..4 {
                        // SAFETY: `m` has a row of `width` elements for every point and tile.
                        line[x] = unsafe { load_part(s, m.add((y * 4 + x) * apart + i * width + first), n) };
                    }
                    sums[y] = back(s, line);
                }
                let columns = [
                    back(s, [sums[0][0], sums[1][0], sums[2][0], sums[3][0]]),
                    back(s, [sums[0][1], sums[1][1], sums[2][1], sums[3][1]]),
                ];
                let mut probe = s.splat(0.0);
                for j in 0..4 {
                    let sum = columns[j % 2][j / 2];
                    probe = s.fma(sum, s.splat(0.0), probe);
                    if let Some(at) = at[j] {
                        // SAFETY: the pixels of a tile, and the columns of a block, belong to one chunk; operands of the
                        // epilogue have the lengths of their kinds.
                        unsafe {
                            let (col, at) = (self.cols.start + first, at + first);
                            let sum = if n < S::LANES {
                                self.finish.apply::<S, false>(s, sum, col, at, n)
                            } else {
                                self.finish.apply::<S, true>(s, sum, col, at, n)
                            };
                            store_part(s, self.y.at(at), sum, n);
                        }
                    }
                }
                if s.any(s.not_m(s.eq(probe, probe))) {
                    (self.bad)(t, channels);
                }
            }
        }
    }
}

impl Body for Winograd {
    const KEEPS: bool = true;

    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> String {
        format!("winograd {:?}", self.blocks.panels)
    }

    fn packed_len(&self) -> usize {
        let panels = &self.blocks.panels;
        POINTS * panels.len() + panels.n.div_ceil(panels.lanes)
    }

    fn pack(&self, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], gang: &mut Gang) {
        let panels = &self.blocks.panels;
        let (points, limits) = out.split_at_mut(POINTS * panels.len());
        pack(panels, w, scale, points, gang);
        for (limit, filters) in limits.iter_mut().zip(w.chunks(panels.lanes * panels.k * 9)) {
            *limit = filters.chunks_exact(panels.k * 9).map(limit_of).fold(f32::INFINITY, f32::min);
        }
    }

    fn scratch(&self) -> (usize, usize) {
        let held: usize = self.held().iter().sum();
        let shared: usize = self.shared().iter().sum();
        (shared + held * self.threads, self.blocks.max_block_rows().next_multiple_of(8) * self.threads)
    }

    fn run(&self, o: Operands<'_>, floats: &mut [f32], tables: &mut [usize], gang: &mut Gang) {
        let ([zeros, levels], [v, m, patches]) = (self.shared(), self.held());
        let (zeros, rest) = floats.split_at_mut(zeros);
        let (levels, held) = rest.split_at_mut(levels);
        zeros.fill(0.0);
        self.find_levels(o.x, levels, gang);
        let (zeros, levels): (&[f32], &[f32]) = (zeros, levels);
        let (points, limits) = o.weights.split_at(POINTS * self.blocks.panels.len());
        let (held, each) = (Shared::new(held.as_mut_ptr()), v + m + patches);
        gang.parallel_with(self.blocks.count(), tables, |block, worker, table| {
            // SAFETY: workers are below the number of threads, and each runs one call at a time.
            let (v, rest) = unsafe { held.slice(worker * each, each) }.split_at_mut(v);
            let (m, patches) = rest.split_at_mut(m);
            let (tiles, cols) = (self.blocks.rows(block), self.blocks.cols(block));
            self.isa.run(Transform { winograd: self, x: o.x, zeros, tiles: tiles.clone(), v });
            self.products(block, points, v, m, table);
            let bad = &mut |t, cols| self.directly(t, &cols, &o, patches);
            let (finish, tiles_of, cols_of) = (o.tail.finish(0, 0), tiles.clone(), cols.clone());
            self.isa.run(Finished {
                winograd: self,
                levels,
                limits,
                m,
                tiles: tiles_of,
                cols: cols_of,
                y: o.y,
                finish,
                bad,
            });
            self.rows(tiles, &cols, &o);
        });
    }
}
