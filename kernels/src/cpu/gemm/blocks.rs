//! How a product is cut: blocks of rows and panels for caches and threads, blocks of lines for the first-level cache.

use std::ops::Range;

use mindir_graph::bounds;

use super::super::isa::Isa;
use super::panels::Panels;
use super::tile::{AllTiles, Finish, Tile, Tiles};

/// Lines of `b` that a tile takes at a time.
const LINES: usize = 384;
/// Rows of a block, roughly.
const BLOCK_ROWS: usize = 96;
/// Columns of a block, roughly.
const BLOCK_COLS: usize = 256;
/// Multiply-adds that make a block worth a thread.
const MIN_WORK: usize = 100_000;

/// Consecutive lines of `b` with the elements of `a` that they meet.
#[derive(Clone, Copy, Debug)]
struct Lines {
    tap: usize,
    taps: usize,
    skip: usize,
    len: usize,
    first: usize,
}

/// A product `m × (taps · len) × n`, cut for a number of threads.
pub struct Blocks {
    tiles: Tiles,
    /// Rows of the result.
    pub m: usize,
    /// Taps of every row.
    pub taps: usize,
    /// Layout of `b`.
    pub panels: Panels,
    lines: Vec<Lines>,
    tile_count: usize,
    row_blocks: usize,
    col_blocks: usize,
}

/// Pointers of a product. Elements, not bytes.
#[derive(Clone, Copy)]
pub struct Pointers {
    /// First element of the first panel.
    pub b: *const f32,
    /// From one line of `b` to the next and from one panel to the next, if `b` is not packed (see [`Panels`]).
    pub b_direct: Option<(usize, usize)>,
    /// A packed last panel, if `b` is not packed and the last panel is not full.
    pub b_last: *const f32,
    /// First element of the result.
    pub c: *mut f32,
    /// From one row of the result to the next.
    pub c_stride: usize,
    /// Epilogue in registers, at the first element.
    pub finish: Finish,
}

// SAFETY: threads divide the result among themselves by blocks; the rest is read only.
unsafe impl Send for Pointers {}
// SAFETY: as above.
unsafe impl Sync for Pointers {}

impl Blocks {
    /// Cuts a product for `threads` threads, with sums over `taps` times `len` elements. If `batch_invariant`, a row of the result
    /// does not depend on how many there are.
    pub fn new(isa: Isa, batch_invariant: bool, m: usize, n: usize, taps: usize, len: usize, threads: usize) -> Blocks {
        let work = m.saturating_mul(n).saturating_mul(taps * len);
        Blocks::cut(isa, batch_invariant, [m, n], [taps, len], [BLOCK_ROWS, BLOCK_COLS], work, threads)
    }

    /// As [`Blocks::new`] for one tap of `len` elements, in blocks of about `block` rows and columns, each of which is computed
    /// `times` times.
    pub fn of_size(
        isa: Isa,
        batch_invariant: bool,
        [m, n, len]: [usize; 3],
        times: usize,
        block: [usize; 2],
        threads: usize,
    ) -> Blocks {
        let work = m.saturating_mul(n).saturating_mul(len).saturating_mul(times);
        Blocks::cut(isa, batch_invariant, [m, n], [1, len], block, work, threads)
    }

    fn cut(
        isa: Isa,
        batch_invariant: bool,
        [m, n]: [usize; 2],
        [taps, len]: [usize; 2],
        block: [usize; 2],
        work: usize,
        threads: usize,
    ) -> Blocks {
        let panels = Panels::new(n, taps * len, isa.lanes());
        let tile_count = m.div_ceil(panels.tile_rows()).max(1);
        let wanted = if threads == 1 { 1 } else { (work / MIN_WORK).clamp(1, 4 * threads) };
        let (row_blocks, col_blocks) = grid([m, n], [tile_count, panels.count()], block, wanted);
        Blocks {
            tiles: isa.run(AllTiles { batch_invariant }),
            m,
            taps,
            panels,
            lines: lines(taps, len),
            tile_count,
            row_blocks,
            col_blocks,
        }
    }

    /// Number of blocks.
    pub fn count(&self) -> usize {
        self.row_blocks * self.col_blocks
    }

    /// Largest number of rows of a block.
    pub fn max_block_rows(&self) -> usize {
        self.tile_count.div_ceil(self.row_blocks) * self.panels.tile_rows()
    }

    /// Largest number of columns of a block.
    pub fn max_block_cols(&self) -> usize {
        (self.panels.count().div_ceil(self.col_blocks) * self.panels.width()).min(self.panels.n)
    }

    /// Row pointers that a block needs.
    pub fn table_len(&self) -> usize {
        self.max_block_rows() * self.taps.max(1)
    }

    /// Rows of block `i`.
    pub fn rows(&self, i: usize) -> Range<usize> {
        let tiles = self.block_tiles(i);
        self.tile_row(tiles.start)..self.tile_row(tiles.end)
    }

    /// Columns of block `i`.
    pub fn cols(&self, i: usize) -> Range<usize> {
        let panels = self.block_panels(i);
        panels.start * self.panels.width()..(panels.end * self.panels.width()).min(self.panels.n)
    }

    fn block_tiles(&self, i: usize) -> Range<usize> {
        part(self.tile_count, self.row_blocks, i % self.row_blocks)
    }

    fn block_panels(&self, i: usize) -> Range<usize> {
        part(self.panels.count(), self.col_blocks, i / self.row_blocks)
    }

    /// First row of a tile: tiles differ by one row at most.
    fn tile_row(&self, tile: usize) -> usize {
        part(self.m, self.tile_count, tile).start
    }

    /// Computes block `i`, or a part of it if the thread has to stop. `table` has the row pointers of the block: for every tap, one per row of [`Blocks::rows`].
    ///
    /// # Safety
    /// Row pointers are valid for the elements of a tap, the pointers of `p` for the whole product, and nobody else
    /// touches the block's part of the result.
    pub unsafe fn run(&self, i: usize, table: &[*const f32], p: &Pointers) {
        let (tiles, panels, rows) = (self.block_tiles(i), self.block_panels(i), self.rows(i));
        assert!(table.len() >= rows.len() * self.taps);
        for (l, lines) in self.lines.iter().enumerate() {
            if bounds::check().is_err() {
                return;
            }
            for j in panels.clone() {
                let (vectors, col) = (self.panels.vectors_of(j), j * self.panels.width());
                let (b, b_stride) = self.lines_of(j, lines.first, p);
                for t in tiles.clone() {
                    let (row, end) = (self.tile_row(t), self.tile_row(t + 1));
                    if row == end {
                        continue;
                    }
                    let Some(tile) = self.tiles[end - row - 1][vectors - 1] else { continue };
                    let at = row * p.c_stride + col;
                    let last = l + 1 == self.lines.len();
                    let tile_args = Tile {
                        rows: table.as_ptr().wrapping_add(lines.tap * rows.len() + row - rows.start),
                        tap_stride: rows.len(),
                        taps: lines.taps,
                        skip: lines.skip,
                        len: lines.len,
                        b,
                        b_stride,
                        c: p.c.wrapping_add(at),
                        c_stride: p.c_stride,
                        cols: self.panels.cols(j),
                        add: l > 0,
                        finish: if last { at_element(&p.finish, at, col) } else { Finish::NONE },
                    };
                    // SAFETY: the caller's, restricted to the rows of a tile and the columns of a panel.
                    unsafe { tile(&tile_args) };
                }
            }
        }
    }

    fn lines_of(&self, j: usize, first: usize, p: &Pointers) -> (*const f32, usize) {
        let width = self.panels.vectors_of(j) * self.panels.lanes;
        match p.b_direct {
            Some((line, panel)) if self.panels.cols(j) == width => (p.b.wrapping_add(j * panel + first * line), line),
            Some(_) => (p.b_last.wrapping_add(first * width), width),
            None => (p.b.wrapping_add(self.panels.start(j) + first * width), width),
        }
    }
}

fn at_element(finish: &Finish, at: usize, col: usize) -> Finish {
    let moved = |p: *const f32, by: usize| if p.is_null() { p } else { p.wrapping_add(by) };
    Finish { bias: moved(finish.bias, col), residual: moved(finish.residual, at), ..*finish }
}

/// Part `i` of `parts` nearly equal parts of `0..n`.
fn part(n: usize, parts: usize, i: usize) -> Range<usize> {
    n * i / parts..n * (i + 1) / parts
}

/// Cuts the lines: whole taps together while they are short, long taps in equal pieces.
fn lines(taps: usize, len: usize) -> Vec<Lines> {
    if taps * len == 0 {
        return vec![Lines { tap: 0, taps: 0, skip: 0, len: 0, first: 0 }];
    }
    if len <= LINES {
        let groups = (taps * len).div_ceil(LINES).min(taps);
        let group = |g| part(taps, groups, g);
        return (0..groups)
            .map(|g| Lines { tap: group(g).start, taps: group(g).len(), skip: 0, len, first: group(g).start * len })
            .collect();
    }
    let pieces = len.div_ceil(LINES);
    let mut all = Vec::new();
    for tap in 0..taps {
        for piece in (0..pieces).map(|i| part(len, pieces, i)) {
            let first = tap * len + piece.start;
            all.push(Lines { tap, taps: 1, skip: piece.start, len: piece.len(), first });
        }
    }
    all
}

/// Numbers of row and column blocks of about `block` rows and columns, at least `wanted` in all if there are as many pieces.
fn grid([m, n]: [usize; 2], [tiles, panels]: [usize; 2], block: [usize; 2], wanted: usize) -> (usize, usize) {
    let mut rows = m.div_ceil(block[0]).clamp(1, tiles);
    let mut cols = n.div_ceil(block[1]).clamp(1, panels.max(1));
    while rows * cols < wanted {
        // Narrow blocks reuse rows less, flat ones reuse panels less: split the longer side.
        let (tall, wide) = (m / rows, n / cols);
        if cols < panels && (wide >= tall || rows >= tiles) {
            cols = (cols * 2).min(panels);
        } else if rows < tiles {
            rows = (rows * 2).min(tiles);
        } else {
            break;
        }
    }
    (rows, cols)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cover_every_element_once() {
        for (taps, len) in [(1, 1), (1, 384), (1, 385), (9, 64), (9, 512), (49, 3), (7, 21), (3, 400), (0, 5)] {
            let mut next = 0;
            for l in lines(taps, len) {
                assert_eq!(l.first, next, "{taps} {len}");
                assert_eq!(l.first, l.tap * len + l.skip);
                assert!(l.taps <= 1 || (l.skip == 0 && l.len == len));
                next += l.taps * l.len;
            }
            assert_eq!(next, taps * len);
        }
    }

    #[test]
    fn blocks_cover_the_result_once() {
        for isa in Isa::all() {
            for (m, n, k, threads) in
                [(1, 1, 1, 1), (7, 3, 5, 2), (100, 300, 700, 2), (196, 256, 256, 4), (3, 1000, 64, 2)]
            {
                let blocks = Blocks::new(isa, false, m, n, 1, k, threads);
                let mut seen = vec![0; m * n];
                for b in 0..blocks.count() {
                    assert!(blocks.rows(b).len() <= blocks.max_block_rows());
                    for i in blocks.rows(b) {
                        blocks.cols(b).for_each(|j| seen[i * n + j] += 1);
                    }
                }
                assert!(seen.iter().all(|&s| s == 1), "{isa} {m} {n} {k} {threads}");
            }
        }
    }
}
