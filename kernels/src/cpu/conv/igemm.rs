//! Convolution as a product whose rows are found through pointers: one row per output pixel, one pointer per kernel tap.

use mindir_graph::task::Conv;

use super::super::Request;
use super::super::gang::{Gang, Shared};
use super::super::gemm::blocks::{Blocks, Pointers};
use super::super::gemm::dense::table_of;
use super::super::gemm::panels::{Origin, Panels};
use super::{Body, Operands};

/// Input channels below which a whole row of kernel taps is one tap.
const FEW_CHANNELS: usize = 16;

/// How the input is read.
enum Source {
    /// As it lies; taps in the padding read a row of zeros.
    Taps,
    /// From a copy with the padding in it, where a row of taps is one piece. Rows and columns of a padded image.
    Rows([usize; 2]),
}

pub struct Igemm {
    name: String,
    conv: Conv,
    /// The product of one group.
    blocks: Blocks,
    source: Source,
    threads: usize,
}

impl Igemm {
    pub fn new(request: &Request<'_>, c: &Conv) -> Igemm {
        let &Request { isa, threads, batch_invariant, .. } = request;
        let [kh, kw] = c.kernel;
        let (c_in, c_out) = (c.c_in / c.groups, c.c_out / c.groups);
        let (source, taps, len) = if c.groups == 1 && c_in < FEW_CHANNELS && kw > 1 && c.dilation[1] == 1 {
            (Source::Rows(padded(c)), kh, kw * c_in)
        } else {
            (Source::Taps, kh * kw, c_in)
        };
        let divided = if c.groups >= threads && c.groups > 1 { 1 } else { threads };
        let blocks = Blocks::new(isa, batch_invariant, c.n * c.out_h * c.out_w, c_out, taps, len, divided);
        let name = format!("{isa}-f32-igemm{}x{}", blocks.panels.tile_rows(), blocks.panels.width());
        Igemm { name, conv: c.clone(), blocks, source, threads }
    }

    fn table_len(&self) -> usize {
        self.blocks.table_len().next_multiple_of(8)
    }

    /// Floats of the row of zeros, or of the padded copy.
    fn extra_len(&self) -> usize {
        match self.source {
            Source::Taps => self.conv.c_in / self.conv.groups,
            Source::Rows([h, w]) => self.conv.n * h * w * self.conv.c_in,
        }
    }

    /// Fills the row pointers of the pixels from `first` on, of which there are `rows`, for a group. `extra` is the row of
    /// zeros, or the padded copy.
    fn rows(&self, [x, extra]: [&[f32]; 2], group: usize, first: usize, rows: usize, table: &mut [*const f32]) {
        let c = &self.conv;
        let mut pixel = Pixel { image: first / (c.out_h * c.out_w), y: first / c.out_w % c.out_h, x: first % c.out_w };
        for r in 0..rows {
            match &self.source {
                Source::Taps => taps(c, x, extra, group, &pixel, &mut table[r..], rows),
                Source::Rows([h, w]) => {
                    let line = w * c.c_in;
                    let at = (pixel.image * h + pixel.y * c.stride[0]) * line + pixel.x * c.stride[1] * c.c_in;
                    for ky in 0..c.kernel[0] {
                        table[ky * rows + r] = extra[at + ky * c.dilation[0] * line..].as_ptr();
                    }
                }
            }
            pixel.step(c);
        }
    }
}

/// An output position.
struct Pixel {
    image: usize,
    y: usize,
    x: usize,
}

impl Pixel {
    fn step(&mut self, c: &Conv) {
        self.x += 1;
        if self.x == c.out_w {
            (self.x, self.y) = (0, self.y + 1);
        }
        if self.y == c.out_h {
            (self.y, self.image) = (0, self.image + 1);
        }
    }
}

/// Pointers of all taps of a pixel, `stride` apart.
fn taps(c: &Conv, x: &[f32], zeros: &[f32], group: usize, p: &Pixel, table: &mut [*const f32], stride: usize) {
    let [kh, kw] = c.kernel;
    let channel = group * (c.c_in / c.groups);
    for ky in 0..kh {
        // Coordinates before the first row or column wrap to huge ones, which are outside as well.
        let iy = (p.y * c.stride[0] + ky * c.dilation[0]).wrapping_sub(c.pads[0]);
        let line = (p.image * c.h).wrapping_add(iy).wrapping_mul(c.w);
        for kx in 0..kw {
            let ix = (p.x * c.stride[1] + kx * c.dilation[1]).wrapping_sub(c.pads[2]);
            table[(ky * kw + kx) * stride] =
                if iy < c.h && ix < c.w { x[(line + ix) * c.c_in + channel..].as_ptr() } else { zeros.as_ptr() };
        }
    }
}

/// Rows and columns of an image that has every element that a tap reads.
fn padded(c: &Conv) -> [usize; 2] {
    let reach = |i: usize, out: usize| (out.max(1) - 1) * c.stride[i] + (c.kernel[i] - 1) * c.dilation[i] + 1;
    [reach(0, c.out_h), reach(1, c.out_w)]
}

/// Copies the images into zeros.
fn pad(c: &Conv, [h, w]: [usize; 2], x: &[f32], to: &mut [f32], gang: &mut Gang) {
    let line = w * c.c_in;
    // Some rows at a time, or the threads would spend their time asking for work.
    let together = (16_384 / line.max(1)).max(1);
    gang.parallel_pieces(&mut to[..c.n * h * line], line * together, |chunk, rows| {
        for (i, row) in rows.chunks_exact_mut(line).enumerate() {
            let (image, y) = ((chunk * together + i) / h, (chunk * together + i) % h);
            let left = (c.pads[2] * c.c_in).min(line);
            match y.checked_sub(c.pads[0]).filter(|y| *y < c.h) {
                Some(y) => {
                    let count = (c.w * c.c_in).min(line - left);
                    let from = (image * c.h + y) * c.w * c.c_in;
                    row[..left].fill(0.0);
                    row[left..left + count].copy_from_slice(&x[from..from + count]);
                    row[left + count..].fill(0.0);
                }
                None => row.fill(0.0),
            }
        }
    });
}

/// Weights `[c_out, c_in, kh, kw]` to the panels of every group.
fn pack(c: &Conv, panels: &Panels, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], gang: &mut Gang) {
    let (c_in, c_out) = (c.c_in / c.groups, c.c_out / c.groups);
    let taps = c.kernel[0] * c.kernel[1];
    for group in 0..c.groups {
        let from = Origin {
            data: w,
            offset: group * c_out * c_in * taps,
            taps,
            tap_stride: 1,
            len: c_in,
            stride: taps,
            col_stride: c_in * taps,
            scale: scale.map(|s| &s[group * c_out..][..c_out]),
        };
        from.pack_all(panels, &mut out[group * panels.len()..][..panels.len()], gang);
    }
}

impl Body for Igemm {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> String {
        format!("{:?}", self.blocks.panels)
    }

    fn packed_len(&self) -> usize {
        self.blocks.panels.len() * self.conv.groups
    }

    fn pack(&self, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], gang: &mut Gang) {
        pack(&self.conv, &self.blocks.panels, w, scale, out, gang);
    }

    fn scratch(&self) -> (usize, usize) {
        (self.extra_len(), self.table_len() * self.threads)
    }

    fn run(&self, o: Operands<'_>, extra: &mut [f32], tables: &mut [usize], gang: &mut Gang) {
        let c = &self.conv;
        match self.source {
            Source::Taps => extra.fill(0.0),
            Source::Rows(size) => pad(c, size, o.x, extra, gang),
        }
        let from: [&[f32]; 2] = [o.x, extra];
        let count = self.blocks.count();
        let weights = Shared::new(o.weights.as_ptr().cast_mut());
        gang.parallel_with(c.groups * count, tables, |chunk, _, table| {
            let (group, block) = (chunk / count, chunk % count);
            let rows = self.blocks.rows(block);
            let table = table_of(table, rows.len() * self.blocks.taps);
            self.rows(from, group, rows.start, rows.len(), table);
            let col = group * (c.c_out / c.groups);
            let pointers = Pointers {
                b: weights.at(group * self.blocks.panels.len()),
                b_direct: None,
                b_last: std::ptr::null(),
                c: o.y.at(col),
                c_stride: c.c_out,
                finish: o.tail.finish(col, col),
            };
            // SAFETY: every tap pointer is followed by the channels of a group (`checked` found the size of `x`), a row of
            // the padded copy by a row of taps, or is the row of zeros; panels are whole; blocks of groups divide the
            // result; the epilogue's operands have the lengths of their kinds.
            unsafe { self.blocks.run(block, table, &pointers) };
            let cols = self.blocks.cols(block);
            let cols = col + cols.start..col + cols.end;
            // SAFETY: as above.
            unsafe { o.tail.block(o.y, [rows.len(), c.c_out], cols, rows.start, rows.start * c.c_out) };
        });
    }
}
