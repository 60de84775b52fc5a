//! Convolution of few planes: rows of the input are lines of a product whose rows are output channels, so that nothing is
//! rearranged but the padding.

use mindir_graph::task::{Conv, Layout};

use super::super::Request;
use super::super::gang::Gang;
use super::super::gemm::dense::table_of;
use super::super::gemm::tile::{AllLineTiles, LineTile, LineTiles, MAX_LINE_ROWS, MAX_LINE_VECTORS};
use super::super::simd::MAX_LANES;
use super::{Body, Operands};

/// Most input channels that are worth reading line by line.
const MAX_CHANNELS: usize = 4;

pub fn accepts(c: &Conv) -> bool {
    c.layout == Layout::Nchw && c.groups == 1 && c.c_in <= MAX_CHANNELS && c.c_out > 1 && c.out_w > 1
}

pub struct Planes {
    name: String,
    conv: Conv,
    tiles: LineTiles,
    lanes: usize,
    /// Elements of a padded row that one column of taps in `stride` reads, and a vector more than that.
    part: usize,
    /// Output rows that a thread takes at a time.
    rows: usize,
    /// Output rows that the epilogue takes at a time, while they are in cache.
    together: usize,
    threads: usize,
}

impl Planes {
    pub fn new(request: &Request<'_>, c: &Conv) -> Planes {
        let &Request { isa, threads, .. } = request;
        let taps = c.c_in * c.kernel[0] * c.kernel[1];
        let worth = (100_000 / (c.out_w * c.c_out * taps).max(1)).max(1);
        let reach = (c.kernel[1] - 1) * c.dilation[1] / c.stride[1];
        Planes {
            name: format!("{isa}-f32-planes"),
            tiles: isa.run(AllLineTiles),
            lanes: isa.lanes(),
            part: (c.out_w + reach + MAX_LINE_VECTORS * MAX_LANES).next_multiple_of(16),
            rows: (c.n * c.out_h).div_ceil(4 * threads).clamp(worth, 100 * worth),
            together: (512 / c.out_w.max(1)).max(1),
            threads,
            conv: c.clone(),
        }
    }

    fn taps(&self) -> usize {
        self.conv.c_in * self.conv.kernel[0] * self.conv.kernel[1]
    }

    /// Rows of a padded plane: those of the input and one of zeros.
    fn padded_rows(&self) -> usize {
        self.conv.h + 1
    }

    fn padded_row(&self) -> usize {
        self.part * self.conv.stride[1]
    }

    /// Copies every row between zeros, elements that are `stride` apart side by side, and a row of zeros after each plane.
    fn pad(&self, x: &[f32], to: &mut [f32], gang: &mut Gang) {
        let (c, step, row_len) = (&self.conv, self.conv.stride[1], self.padded_row());
        let plane = self.padded_rows() * row_len;
        gang.parallel_pieces(&mut to[..c.n * c.c_in * plane], plane, |p, to| {
            let from = &x[p * c.h * c.w..][..c.h * c.w];
            for (y, row) in to.chunks_exact_mut(row_len).enumerate() {
                row.fill(0.0);
                if y == c.h {
                    continue;
                }
                let from = &from[y * c.w..][..c.w];
                if step == 1 {
                    let (left, count) = (c.pads[2].min(row_len), c.w.min(row_len.saturating_sub(c.pads[2])));
                    row[left..left + count].copy_from_slice(&from[..count]);
                    continue;
                }
                for (i, &v) in from.iter().enumerate() {
                    let at = i + c.pads[2];
                    if at / step < self.part {
                        row[at % step * self.part + at / step] = v;
                    }
                }
            }
        });
    }

    /// The lines of all taps for an output row.
    fn lines(&self, padded: &[f32], image: usize, oy: usize, table: &mut [*const f32]) {
        let (c, row_len) = (&self.conv, self.padded_row());
        let mut entry = table.iter_mut();
        for channel in 0..c.c_in {
            let plane = &padded[(image * c.c_in + channel) * self.padded_rows() * row_len..];
            for ky in 0..c.kernel[0] {
                // Before the first row wraps to after the last.
                let y = (oy * c.stride[0] + ky * c.dilation[0]).wrapping_sub(c.pads[0]).min(c.h);
                let row = &plane[y * row_len..][..row_len];
                for (kx, line) in (0..c.kernel[1]).zip(&mut entry) {
                    let at = kx * c.dilation[1];
                    *line = row[at % c.stride[1] * self.part + at / c.stride[1]..].as_ptr();
                }
            }
        }
    }

    /// All channels of an output row.
    fn row(&self, weights: &[f32], table: &[*const f32], image: usize, oy: usize, o: &Operands<'_>) {
        let (c, taps, size) = (&self.conv, self.taps(), self.conv.out_h * self.conv.out_w);
        let tiles = c.c_out.div_ceil(MAX_LINE_ROWS);
        let width = MAX_LINE_VECTORS * self.lanes;
        for tile in 0..tiles {
            let (first, last) = (tile * c.c_out / tiles, (tile + 1) * c.c_out / tiles);
            for ox in (0..c.out_w).step_by(width) {
                let cols = width.min(c.out_w - ox);
                let at = (image * c.c_out + first) * size + oy * c.out_w + ox;
                let args = LineTile {
                    a: weights[first * taps..].as_ptr(),
                    a_stride: taps,
                    lines: table.as_ptr(),
                    skip: ox,
                    len: taps,
                    c: o.y.at(at),
                    c_stride: size,
                    cols,
                    finish: o.tail.finish_plane(first, at),
                };
                let kernel = self.tiles[last - first - 1][cols.div_ceil(self.lanes) - 1];
                // SAFETY: weights have `taps` elements for every channel; a line starts at most `reach` elements into a
                // part and is read for `out_w` rounded up to vectors, which a part has room for; this row of these
                // channels of the result is this call's; the epilogue's operands have the lengths of their kinds.
                unsafe { kernel(&args) };
            }
        }
    }

    /// The rest of the epilogue, for all channels of `rows` output rows of an image from `oy` on.
    fn finish(&self, image: usize, oy: usize, rows: usize, o: &Operands<'_>) {
        let c = &self.conv;
        if !o.tail.has_rows() {
            return;
        }
        for channel in 0..c.c_out {
            let at = ((image * c.c_out + channel) * c.out_h + oy) * c.out_w;
            // SAFETY: inside the result, and these rows of the image are this call's.
            let piece = unsafe { o.y.slice(at, rows * c.out_w) };
            o.tail.plane(piece, channel, (image * c.out_h + oy) * c.out_w, at);
        }
    }
}

fn pack(c: &Conv, w: &[f32], scale: Option<&[f32]>, out: &mut [f32]) {
    let taps = c.c_in * c.kernel[0] * c.kernel[1];
    for (channel, row) in out[..c.c_out * taps].chunks_exact_mut(taps.max(1)).enumerate() {
        let factor = scale.map_or(1.0, |s| s[channel]);
        row.iter_mut().zip(&w[channel * taps..]).for_each(|(x, w)| *x = w * factor);
    }
}

impl Body for Planes {
    const PLANES: bool = true;

    fn name(&self) -> &str {
        &self.name
    }

    /// Rows of `c_in · kh · kw` weights, one for each output channel.
    fn layout(&self) -> String {
        "rows".into()
    }

    fn packed_len(&self) -> usize {
        self.conv.c_out * self.taps()
    }

    fn pack(&self, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], _: &mut Gang) {
        pack(&self.conv, w, scale, out);
    }

    fn scratch(&self) -> (usize, usize) {
        let c = &self.conv;
        (c.n * c.c_in * self.padded_rows() * self.padded_row(), self.taps() * self.threads)
    }

    fn run(&self, o: Operands<'_>, padded: &mut [f32], tables: &mut [usize], gang: &mut Gang) {
        let (c, weights) = (&self.conv, o.weights);
        self.pad(o.x, padded, gang);
        let padded: &[f32] = padded;
        let all = c.n * c.out_h;
        gang.parallel_with(all.div_ceil(self.rows), tables, |chunk, _, table| {
            let table = table_of(table, self.taps());
            let (mut row, end) = (chunk * self.rows, ((chunk + 1) * self.rows).min(all));
            while row < end {
                let (image, oy) = (row / c.out_h, row % c.out_h);
                let rows = self.together.min(c.out_h - oy).min(end - row);
                for oy in oy..oy + rows {
                    self.lines(padded, image, oy, table);
                    self.row(weights, table, image, oy, &o);
                }
                self.finish(image, oy, rows, &o);
                row += rows;
            }
        });
    }
}
