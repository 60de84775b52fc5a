//! Convolution of groups of one or a few channels: vectors of channels, several pixels of a row at a time.

use std::ops::Range;

use mindir_graph::task::Conv;

use super::super::gang::Gang;
use super::super::gemm::tile::{Finish, load};
use super::super::simd::{Kernel, MAX_LANES, Simd};
use super::super::{Isa, Request};
use super::{Body, Operands};

/// Whether groups have as many outputs as inputs, so few that whole ones fill a vector.
pub fn accepts(isa: Isa, c: &Conv) -> bool {
    let own = c.c_in / c.groups;
    c.is_depthwise() || c.c_in == c.c_out && c.groups > 1 && matches!(own, 2 | 4 | 8) && isa.lanes().is_multiple_of(own)
}

pub struct Depthwise {
    name: String,
    isa: Isa,
    conv: Conv,
    /// Output rows that a thread takes at a time.
    rows: usize,
    /// Output columns whose taps all lie inside the input.
    inner: Range<usize>,
}

impl Depthwise {
    pub fn new(request: &Request<'_>, c: &Conv) -> Depthwise {
        let &Request { isa, threads, .. } = request;
        let own = c.c_in / c.groups;
        let taps = c.kernel[0] * c.kernel[1] * own;
        let name = if own == 1 { format!("{isa}-f32-dw") } else { format!("{isa}-f32-dw{own}") };
        // A few microseconds of work at least.
        let worth = (40_000 / (c.out_w * c.c_out * taps).max(1)).max(1);
        let rows = (c.n * c.out_h).div_ceil(4 * threads).clamp(worth, 100 * worth);
        Depthwise { name, isa, conv: c.clone(), rows, inner: inner(c) }
    }
}

/// Weights `[c, own, kh, kw]` to `[kh · kw, own, c]`.
fn pack(c: &Conv, w: &[f32], scale: Option<&[f32]>, out: &mut [f32]) {
    let (taps, own) = (c.kernel[0] * c.kernel[1], c.c_in / c.groups);
    for channel in 0..c.c_out {
        let factor = scale.map_or(1.0, |s| s[channel]);
        for (i, w) in w[channel * own * taps..][..own * taps].iter().enumerate() {
            // The weight of tap `i % taps` and input `i / taps`.
            out[(i % taps * own + i / taps) * c.c_out + channel] = w * factor;
        }
    }
}

/// Output columns whose taps all lie inside the input.
fn inner(c: &Conv) -> Range<usize> {
    let first = c.pads[2].div_ceil(c.stride[1]).min(c.out_w);
    let reach = (c.kernel[1] - 1) * c.dilation[1];
    let last = match (c.w + c.pads[2]).checked_sub(reach + 1) {
        Some(room) => (room / c.stride[1] + 1).min(c.out_w),
        None => 0,
    };
    first..last.max(first)
}

/// Indices `i` below `taps` for which `base + i · step − pad` lies below `size`.
fn valid(base: usize, step: usize, pad: usize, size: usize, taps: usize) -> Range<usize> {
    let first = pad.saturating_sub(base).div_ceil(step).min(taps);
    let last = (size + pad).saturating_sub(base).div_ceil(step).min(taps);
    first..last.max(first)
}

impl Body for Depthwise {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> String {
        "taps by inputs of a group by channels".into()
    }

    fn packed_len(&self) -> usize {
        self.conv.kernel[0] * self.conv.kernel[1] * self.conv.c_in / self.conv.groups * self.conv.c_out
    }

    fn pack(&self, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], _: &mut Gang) {
        pack(&self.conv, w, scale, out);
    }

    fn scratch(&self) -> (usize, usize) {
        (0, 0)
    }

    fn run(&self, o: Operands<'_>, _: &mut [f32], _: &mut [usize], gang: &mut Gang) {
        let (c, weights) = (&self.conv, o.weights);
        let finite = weights.iter().all(|w| w.is_finite());
        let (all, line) = (c.n * c.out_h, c.out_w * c.c_out);
        gang.parallel(all.div_ceil(self.rows), |chunk, _| {
            for row in chunk * self.rows..((chunk + 1) * self.rows).min(all) {
                // SAFETY: every row of the result belongs to one chunk.
                let y = unsafe { o.y.slice(row * line, line) };
                let (image, oy) = (row / c.out_h, row % c.out_h);
                let x = &o.x[image * c.h * c.w * c.c_in..][..c.h * c.w * c.c_in];
                let finish = o.tail.finish(0, row * line);
                let of = Row { conv: c, inner: self.inner.clone(), weights, finite, x, oy, y: &mut *y, finish };
                match c.c_in / c.groups {
                    1 => self.isa.run(Grouped::<1>(of)),
                    2 => self.isa.run(Grouped::<2>(of)),
                    4 => self.isa.run(Grouped::<4>(of)),
                    _ => self.isa.run(Grouped::<8>(of)),
                }
                o.tail.rows(y, c.c_out, row * c.out_w, 0, row * line);
            }
        });
    }
}

/// One output row of one image.
struct Row<'a> {
    conv: &'a Conv,
    inner: Range<usize>,
    weights: &'a [f32],
    /// Whether all weights are finite, so that taps in the padding add nothing.
    finite: bool,
    /// The image.
    x: &'a [f32],
    oy: usize,
    y: &'a mut [f32],
    /// Epilogue, at the first element of the row.
    finish: Finish,
}

/// A row of a convolution whose groups have `G` channels.
struct Grouped<'a, const G: usize>(Row<'a>);

impl<const G: usize> Kernel for Grouped<'_, G> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.run::<S, G>(s);
    }
}

impl Row<'_> {
    #[inline(always)]
    fn run<S: Simd, const G: usize>(mut self, s: S) {
        let c = self.conv;
        let ky = valid(self.oy * c.stride[0], c.dilation[0], c.pads[0], c.h, c.kernel[0]);
        let mut ox = 0;
        while ox < c.out_w {
            if !self.inner.contains(&ox) {
                let kx = valid(ox * c.stride[1], c.dilation[1], c.pads[2], c.w, c.kernel[1]);
                self.pixels::<S, G, 1>(s, ox, &ky, kx);
                ox += 1;
                continue;
            }
            let kx = 0..c.kernel[1];
            match self.inner.end - ox {
                4.. => {
                    self.pixels::<S, G, 4>(s, ox, &ky, kx);
                    ox += 4;
                }
                2.. => {
                    self.pixels::<S, G, 2>(s, ox, &ky, kx);
                    ox += 2;
                }
                _ => {
                    self.pixels::<S, G, 1>(s, ox, &ky, kx);
                    ox += 1;
                }
            }
        }
    }

    /// `N` pixels from `ox` on, for the given taps.
    #[inline(always)]
    fn pixels<S: Simd, const G: usize, const N: usize>(
        &mut self,
        s: S,
        ox: usize,
        ky: &Range<usize>,
        kx: Range<usize>,
    ) {
        let c = self.conv;
        let channels = c.c_out;
        // The first tap's elements, and how far the last tap of the last pixel is from them.
        let first = [ky.start, kx.start];
        let y0 = (self.oy * c.stride[0] + first[0] * c.dilation[0]).wrapping_sub(c.pads[0]);
        let x0 = (ox * c.stride[1] + first[1] * c.dilation[1]).wrapping_sub(c.pads[2]);
        let (down, right) = (c.dilation[0] * c.w * channels, c.dilation[1] * channels);
        let next = c.stride[1] * channels;
        let (rows, cols) = (ky.len(), kx.len());
        let none = rows * cols == 0;
        let from = if none {
            &[]
        } else {
            let reach = (rows - 1) * down + (cols - 1) * right + (N - 1) * next + channels;
            &self.x[(y0 * c.w + x0) * channels..][..reach]
        };
        let place = Pixels {
            from,
            taps: [rows, cols],
            steps: [down, right, next],
            weights: &self.weights[..c.kernel[0] * c.kernel[1] * G * channels],
            finite: self.finite,
            tap: first[0] * c.kernel[1] + first[1],
            tap_row: c.kernel[1],
            channels,
            y: &mut self.y[ox * channels..][..N * channels],
            finish: Finish {
                residual: if self.finish.residual.is_null() {
                    self.finish.residual
                } else {
                    self.finish.residual.wrapping_add(ox * channels)
                },
                ..self.finish
            },
        };
        place.run::<S, G, N>(s);
    }
}

/// For each input of a group of `G` channels, where the channels of a vector find it.
#[inline(always)]
fn lanes_of<S: Simd, const G: usize>(s: S) -> [S::I; G] {
    std::array::from_fn(
        #[inline(always)]
        |i| {
            let mut lanes = [0; MAX_LANES];
            for (lane, from) in lanes.iter_mut().enumerate() {
                *from = (lane / G * G + i) as i32;
            }
            // SAFETY: a vector has `MAX_LANES` lanes at most.
            unsafe { s.load_i(lanes.as_ptr()) }
        },
    )
}

/// Some pixels of a row, with the same taps each.
struct Pixels<'a> {
    /// From the first tap of the first pixel to the last channel of the last tap of the last pixel.
    from: &'a [f32],
    /// Rows and columns of taps.
    taps: [usize; 2],
    /// From one row of taps, column of taps, pixel to the next.
    steps: [usize; 3],
    weights: &'a [f32],
    finite: bool,
    /// Number of the first tap, and of taps in a row of the kernel.
    tap: usize,
    tap_row: usize,
    channels: usize,
    y: &'a mut [f32],
    finish: Finish,
}

impl Pixels<'_> {
    #[inline(always)]
    fn run<S: Simd, const G: usize, const N: usize>(mut self, s: S) {
        let mut channel = 0;
        while channel + 2 * S::LANES <= self.channels {
            self.vectors::<S, G, N, 2, true>(s, channel);
            channel += 2 * S::LANES;
        }
        while channel + S::LANES <= self.channels {
            self.vectors::<S, G, N, 1, true>(s, channel);
            channel += S::LANES;
        }
        if channel < self.channels {
            self.vectors::<S, G, N, 1, false>(s, channel);
        }
    }

    /// What the taps in the padding add: zero times their weights.
    #[inline(always)]
    fn padding<S: Simd, const G: usize, const V: usize, const WHOLE: bool>(&self, s: S, channel: usize) -> [S::F; V] {
        let mut sum = [s.zero(); V];
        if self.finite {
            return sum;
        }
        let first = [self.tap / self.tap_row, self.tap % self.tap_row];
        let inside = |d: usize, at: usize| (first[d]..first[d] + self.taps[d]).contains(&at);
        for (n, weights) in self.weights.chunks_exact(self.channels).enumerate() {
            let tap = n / G;
            if inside(0, tap / self.tap_row) && inside(1, tap % self.tap_row) {
                continue;
            }
            for (v, sum) in sum.iter_mut().enumerate() {
                let from = channel + v * S::LANES;
                // SAFETY: every tap has weights for all channels, of which `self.channels - channel` are left.
                let w = unsafe { load::<S, WHOLE>(s, weights.as_ptr().add(from), self.channels - channel) };
                *sum = s.fma(s.zero(), w, *sum);
            }
        }
        sum
    }

    /// `V` vectors of channels, whole ones or what is left.
    #[inline(always)]
    fn vectors<S: Simd, const G: usize, const N: usize, const V: usize, const WHOLE: bool>(
        &mut self,
        s: S,
        channel: usize,
    ) {
        let left = self.channels - channel;
        let [down, right, next] = self.steps;
        let mut acc = [self.padding::<S, G, V, WHOLE>(s, channel); N];
        let lanes = lanes_of::<S, G>(s);
        for i in 0..self.taps[0] {
            let tap = self.tap + i * self.tap_row;
            let mut w = self.weights.as_ptr().wrapping_add(tap * G * self.channels + channel);
            let mut x = self.from.as_ptr().wrapping_add(i * down + channel);
            for _ in 0..self.taps[1] {
                for lanes in lanes {
                    // SAFETY: `weights` has all channels for every input of every tap of the kernel, `from` for the last tap of
                    // every pixel.
                    unsafe {
                        let mut factors = [s.zero(); V];
                        for v in 0..V {
                            factors[v] = load::<S, WHOLE>(s, w.wrapping_add(v * S::LANES), left);
                        }
                        for n in 0..N {
                            for v in 0..V {
                                let x = load::<S, WHOLE>(s, x.wrapping_add(n * next + v * S::LANES), left);
                                let x = if G == 1 { x } else { s.permute(x, lanes) };
                                acc[n][v] = s.fma(x, factors[v], acc[n][v]);
                            }
                        }
                    }
                    w = w.wrapping_add(self.channels);
                }
                x = x.wrapping_add(right);
            }
        }
        for n in 0..N {
            for v in 0..V {
                let col = channel + v * S::LANES;
                let at = n * self.channels + col;
                // SAFETY: `y` has all channels for every pixel, as has the residual; bias has them once.
                unsafe {
                    let x = self.finish.apply::<S, WHOLE>(s, acc[n][v], col, at, left);
                    let to = self.y.as_mut_ptr().wrapping_add(at);
                    if WHOLE { s.store(to, x) } else { s.store_n(to, x, left) }
                }
            }
        }
    }
}
