//! The layout of `b`: panels of a tile's width.

use super::super::gang::{Gang, Shared};
use super::tile::{max_rows, max_vectors};

/// How the columns of `b` are cut into panels. A panel holds `k` lines of its width, padded with zeros; the last panel is as
/// narrow as its columns allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// Columns.
    pub n: usize,
    /// Lines.
    pub k: usize,
    /// Lanes of a vector.
    pub lanes: usize,
    /// Vectors in a line of every panel but the last.
    pub vectors: usize,
}

impl Panels {
    /// Panels for a product with `k × n` elements of `b`.
    pub fn new(n: usize, k: usize, lanes: usize) -> Panels {
        Panels { n, k, lanes, vectors: n.div_ceil(lanes).clamp(1, max_vectors(lanes)) }
    }

    /// Columns of every panel but the last.
    pub fn width(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        self.n.div_ceil(self.width())
    }

    /// Columns of panel `j`.
    pub fn cols(&self, j: usize) -> usize {
        self.width().min(self.n - j * self.width())
    }

    /// Vectors in a line of panel `j`.
    pub fn vectors_of(&self, j: usize) -> usize {
        self.cols(j).div_ceil(self.lanes)
    }

    /// First element of panel `j`.
    pub fn start(&self, j: usize) -> usize {
        j * self.width() * self.k
    }

    /// Elements of panel `j`.
    pub fn len_of(&self, j: usize) -> usize {
        self.vectors_of(j) * self.lanes * self.k
    }

    /// Elements of all panels.
    pub fn len(&self) -> usize {
        self.n.div_ceil(self.lanes) * self.lanes * self.k
    }

    /// Largest number of rows of a tile over these panels.
    pub fn tile_rows(&self) -> usize {
        max_rows(self.lanes, self.vectors)
    }
}

/// Where the elements of `b` come from: line `tap · len + p`, column `j` is at
/// `offset + tap · tap_stride + p · stride + j · col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// First element.
    pub offset: usize,
    /// Taps.
    pub taps: usize,
    /// From one tap to the next.
    pub tap_stride: usize,
    /// Lines of a tap.
    pub len: usize,
    /// From one line to the next.
    pub stride: usize,
    /// From one column to the next.
    pub col_stride: usize,
    /// One factor per column.
    pub scale: Option<&'a [f32]>,
}

impl Origin<'_> {
    /// Fills `panel` (number `j`) from here.
    pub fn pack(&self, panels: &Panels, j: usize, panel: &mut [f32]) {
        let (first, cols) = (j * panels.width(), panels.cols(j));
        let width = panels.vectors_of(j) * panels.lanes;
        for tap in 0..self.taps {
            for p in 0..self.len {
                let from = self.offset + tap * self.tap_stride + p * self.stride + first * self.col_stride;
                let line = &mut panel[(tap * self.len + p) * width..][..width];
                let (line, rest) = line.split_at_mut(cols);
                if self.col_stride == 1 {
                    line.copy_from_slice(&self.data[from..from + cols]);
                } else {
                    for (x, &y) in line.iter_mut().zip(self.data[from..].iter().step_by(self.col_stride)) {
                        *x = y;
                    }
                }
                rest.fill(0.0);
            }
        }
        if let Some(scale) = self.scale {
            for line in panel.chunks_exact_mut(width) {
                line.iter_mut().zip(&scale[first..first + cols]).for_each(|(x, s)| *x *= s);
            }
        }
    }

    /// Fills `out` with all panels.
    pub fn pack_all(&self, panels: &Panels, out: &mut [f32], gang: &mut Gang) {
        let out = &mut out[..panels.len()];
        let base = Shared::new(out.as_mut_ptr());
        gang.parallel(panels.count(), |j, _| {
            // SAFETY: panels lie one after the other in `out`, and each is packed once.
            self.pack(panels, j, unsafe { base.slice(panels.start(j), panels.len_of(j)) });
        });
    }
}
