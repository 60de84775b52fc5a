//! Maximum and average pooling.

use mindir_graph::bounds::Exceeded;
use mindir_graph::task::{Layout, Pool, PoolKind, Task};
use mindir_graph::{DType, Fact, checked_count};

use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::memory::Table;
use super::packed::Constants;
use super::simd::{Kernel, Simd, load_part, math, store_part};
use super::{Gang, Isa, Request};
use crate::device::{Refused, TaskView};

/// Input elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;
/// A row that reaches farther, and much farther than the image and the result, is mostly pads.
const WIDE: usize = 16 * 1024;
/// Elements of rows that are computed together.
const HELD: usize = 2048;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Pool> {
    let (Task::Pool(p), [x], [y]) = (view.task, view.ins, view.outs) else { return None };
    let fits = |f: &Fact, n: usize| f.dtype == DType::F32 && f.count() == n;
    let sizes =
        [p.h, p.w, p.out_h, p.out_w].into_iter().chain(p.kernel).chain(p.stride).chain(p.dilation).chain(p.pads);
    let good = p.dtype == DType::F32
        && sizes.into_iter().all(|s| s <= i32::MAX as usize)
        && fits(x, checked_count(&[p.n, p.c, p.h, p.w])?)
        && fits(y, checked_count(&[p.n, p.c, p.out_h, p.out_w])?)
        && (p.layout == Layout::Nhwc
            || p.out_w == 0
            || reach(p, 1, p.out_w)?.max(p.pads[2]) <= WIDE + 4 * (p.w + p.out_w));
    good.then_some(p)
}

/// The kernel of a pooling of `f32`.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let p = task(&request.view)?.clone();
    let &Request { isa, threads, .. } = request;
    let name = format!("{isa}-f32-{}", if p.layout == Layout::Nhwc { "channels" } else { "planes" });
    let (rows, cols) = (Axis::new(&p, 0, p.out_h), Axis::new(&p, 1, p.out_w));
    Some(Box::new(Windows { name, isa, p, rows, cols, threads }))
}

/// The windows along one dimension.
struct Axis {
    /// For each output, the first tap inside the input, the input element it reads, and the number of taps inside.
    inside: Table<(usize, usize, usize)>,
    /// For each output, the taps that an average counts; 0 if none is inside.
    counts: Table<f32>,
    dilation: usize,
    /// Pads before the input.
    before: usize,
    /// Elements from the first one of the first window to the last one of the last.
    reach: usize,
}

impl Axis {
    /// Without the tables of outputs.
    fn new(p: &Pool, d: usize, out: usize) -> Axis {
        let (dilation, before, reach) = (p.dilation[d], p.pads[2 * d], reach(p, d, out).unwrap_or(0));
        Axis { inside: Table::default(), counts: Table::default(), dilation, before, reach }
    }

    /// The tables of `out` outputs over `size` elements.
    fn fill(&mut self, p: &Pool, d: usize, size: usize, out: usize) -> Result<(), Exceeded> {
        let [before, after] = [p.pads[2 * d], p.pads[2 * d + 1]];
        let (kernel, stride, dilation) = (p.kernel[d], p.stride[d], p.dilation[d].max(1));
        let counted = matches!(p.kind, PoolKind::Avg { count_pads: true });
        // Taps of output `o` before the place `end`, counted from the first pad.
        let taps = |o: usize, end: usize| end.saturating_sub(o * stride).div_ceil(dilation).min(kernel);
        let inside = |o: usize| (taps(o, before), taps(o, before + size));
        self.inside = Table::new(out, |o| {
            let (first, end) = inside(o);
            let at = if end > first { o * stride + first * dilation - before } else { 0 };
            (first, at, end - first)
        })?;
        self.counts = Table::new(out, |o| {
            let (first, end) = inside(o);
            (if counted && end > first { taps(o, size + before + after) } else { end - first }) as f32
        })?;
        Ok(())
    }
}

/// [`Axis::reach`], if there is such a number.
fn reach(p: &Pool, d: usize, out: usize) -> Option<usize> {
    let last = out.checked_sub(1)?.checked_mul(p.stride[d])?;
    last.checked_add(p.kernel[d].checked_sub(1)?.checked_mul(p.dilation[d])?)?.checked_add(1)
}

struct Windows {
    name: String,
    isa: Isa,
    p: Pool,
    rows: Axis,
    cols: Axis,
    threads: usize,
}

impl CpuKernel for Windows {
    fn name(&self) -> &str {
        &self.name
    }

    fn pack(&mut self, _: &mut Constants<'_>) -> Result<(), Refused> {
        let p = &self.p;
        self.rows.fill(p, 0, p.h, p.out_h)?;
        self.cols.fill(p, 1, p.w, p.out_w)?;
        Ok(())
    }

    fn scratch(&self) -> usize {
        let rows = self.together() * self.row();
        if self.p.layout == Layout::Nchw { self.threads * scratch_bytes::<f32>(&[rows, rows]) } else { 0 }
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let p = &self.p;
        let x = io.operand::<f32>(0)?;
        let y = io.result::<f32>(0)?;
        if y.is_empty() {
            return Ok(());
        }
        if p.layout == Layout::Nhwc {
            let row = p.out_w * p.c;
            let rows = CHUNK.div_ceil((row * p.kernel[0] * p.kernel[1]).max(1));
            gang.parallel_pieces(y, row * rows, |chunk, y| {
                self.isa.run(Channels { windows: self, x, first: chunk * rows, y });
            });
            return Ok(());
        }
        let held = self.together() * self.row();
        let scratch = io.scratch::<f32>(self.threads * 2 * held)?;
        let rows = CHUNK.div_ceil((p.w * p.kernel[0]).max(1));
        let out = super::Shared::new(y.as_mut_ptr());
        let all = p.n * p.c * p.out_h;
        gang.parallel_with(all.div_ceil(rows), scratch, |chunk, _, scratch| {
            let (first, end) = (chunk * rows, all.min((chunk + 1) * rows));
            // SAFETY: every chunk has rows of its own.
            let y = unsafe { out.slice(first * p.out_w, (end - first) * p.out_w) };
            let (rows, singles) = scratch.split_at_mut(held);
            self.isa.run(Planes { windows: self, x, first, y, rows, singles });
        });
        Ok(())
    }
}

impl Windows {
    /// What the sum of a window is multiplied by.
    fn factor(&self, oy: usize, ox: usize) -> f32 {
        let count = self.rows.counts.of[oy] * self.cols.counts.of[ox];
        if count == 0.0 { 0.0 } else { 1.0 / count }
    }

    /// Elements of an input row with what is around it.
    fn row(&self) -> usize {
        self.cols.reach.max(self.cols.before + self.p.w).next_multiple_of(16)
    }

    /// Output rows that are computed together: what is stored of one has time to arrive before it is read.
    fn together(&self) -> usize {
        (HELD / self.row().max(1)).clamp(1, 8)
    }

    /// What a window starts from.
    fn start(&self) -> f32 {
        if self.p.kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 }
    }
}

/// Rows of output pixels from row `first`, channels last.
struct Channels<'a> {
    windows: &'a Windows,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
}

impl Kernel for Channels<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = &self.windows.p;
        for (r, y) in self.y.chunks_exact_mut(p.out_w * p.c).enumerate() {
            let (n, oy) = ((self.first + r) / p.out_h, (self.first + r) % p.out_h);
            for (ox, y) in y.chunks_exact_mut(p.c).enumerate() {
                let image = &self.x[n * p.h * p.w * p.c..][..p.h * p.w * p.c];
                pixel(s, self.windows, image, oy, ox, y);
            }
        }
    }
}

#[inline(always)]
fn pixel<S: Simd>(s: S, windows: &Windows, image: &[f32], oy: usize, ox: usize, y: &mut [f32]) {
    let factor = s.splat(windows.factor(oy, ox));
    let max = windows.p.kind == PoolKind::Max;
    let mut i = 0;
    while i < y.len() {
        let left = y.len() - i;
        if left >= 4 * S::LANES {
            let acc = window::<S, 4>(s, windows, image, oy, ox, i, left);
            for (v, a) in acc.into_iter().enumerate() {
                s.put(y, i + v * S::LANES, if max { a } else { s.mul(a, factor) });
            }
            i += 4 * S::LANES;
        } else {
            let [a] = window::<S, 1>(s, windows, image, oy, ox, i, left);
            let a = if max { a } else { s.mul(a, factor) };
            // SAFETY: `left` elements are left.
            unsafe { store_part(s, y.as_mut_ptr().add(i), a, left) };
            i += S::LANES;
        }
    }
}

/// The maximum or sum of a window for `V` vectors of channels from `i`, of which `left` exist.
#[inline(always)]
fn window<S: Simd, const V: usize>(
    s: S,
    windows: &Windows,
    image: &[f32],
    oy: usize,
    ox: usize,
    i: usize,
    left: usize,
) -> [S::F; V] {
    let p = &windows.p;
    let ((_, y0, taps_y), (_, x0, taps_x)) = (windows.rows.inside.of[oy], windows.cols.inside.of[ox]);
    let max = p.kind == PoolKind::Max;
    let mut acc = [s.splat(if max { f32::NEG_INFINITY } else { 0.0 }); V];
    for ky in 0..taps_y {
        for kx in 0..taps_x {
            let at = ((y0 + ky * windows.rows.dilation) * p.w + x0 + kx * windows.cols.dilation) * p.c + i;
            let pixel = &image[at..at + left];
            for (v, a) in acc.iter_mut().enumerate() {
                // SAFETY: `left` elements are left, and more than `V - 1` vectors of them.
                let x = unsafe { load_part(s, pixel.as_ptr().add(v * S::LANES), left - v * S::LANES) };
                *a = if max { math::max_nan(s, x, *a) } else { s.add(*a, x) };
            }
        }
    }
    acc
}

/// Rows of outputs from row `first`, counted over all planes.
struct Planes<'a> {
    windows: &'a Windows,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
    /// Scratch: for each of some output rows, the input rows of a window, reduced to one, with what is around it.
    rows: &'a mut [f32],
    /// Scratch: their windows with single steps between them.
    singles: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Planes { windows, x, first, y, rows, singles } = self;
        let p = &windows.p;
        let (each, some, step) = (windows.row(), windows.together(), p.stride[1]);
        let place = |line: usize| (line / p.out_h, line % p.out_h);
        rows.fill(windows.start());
        for (b, y) in y.chunks_mut(some * p.out_w).enumerate() {
            let first = first + b * some;
            for (i, row) in rows.chunks_exact_mut(each).enumerate().take(y.len() / p.out_w) {
                let (plane, oy) = place(first + i);
                let x = &x[plane * p.h * p.w..][..p.h * p.w];
                collapse(s, windows, x, oy, &mut row[windows.cols.before..][..p.w]);
            }
            let lines = rows.chunks_exact(each).zip(singles.chunks_exact_mut(each)).zip(y.chunks_exact_mut(p.out_w));
            for ((row, single), y) in lines {
                slide(s, windows, row, if step == 1 { y } else { &mut single[..(p.out_w - 1) * step + 1] });
            }
            if step > 1 {
                for (single, y) in singles.chunks_exact(each).zip(y.chunks_exact_mut(p.out_w)) {
                    pick(&single[..(p.out_w - 1) * step + 1], step, y);
                }
            }
            if p.kind != PoolKind::Max {
                for (i, y) in y.chunks_exact_mut(p.out_w).enumerate() {
                    average(s, windows, place(first + i).1, y);
                }
            }
        }
    }
}

/// Reduces the input rows of the windows of output row `oy` to one row.
#[inline(always)]
fn collapse<S: Simd>(s: S, windows: &Windows, x: &[f32], oy: usize, row: &mut [f32]) {
    let max = windows.p.kind == PoolKind::Max;
    let (_, y0, taps) = windows.rows.inside.of[oy];
    let w = windows.p.w;
    for i in (0..w).step_by(S::LANES) {
        let mut acc = s.splat(windows.start());
        for k in 0..taps {
            let line = &x[(y0 + k * windows.rows.dilation) * w..][..w];
            // SAFETY: `w - i` elements are left.
            let v = unsafe { load_part(s, line.as_ptr().add(i), w - i) };
            acc = if max { math::max_nan(s, v, acc) } else { s.add(acc, v) };
        }
        // SAFETY: as above.
        unsafe { store_part(s, row.as_mut_ptr().add(i), acc, w - i) };
    }
}

/// Reduces the columns of every window of a collapsed row, with single steps between them.
#[inline(always)]
fn slide<S: Simd>(s: S, windows: &Windows, row: &[f32], y: &mut [f32]) {
    let ([_, taps], dilation) = (windows.p.kernel, windows.cols.dilation);
    let max = windows.p.kind == PoolKind::Max;
    let row = &row[..y.len() + (taps - 1) * dilation];
    for i in (0..y.len()).step_by(S::LANES) {
        let left = y.len() - i;
        let mut acc = s.splat(windows.start());
        for k in 0..taps {
            // SAFETY: `left` elements are left in `y`, and so many after every tap in `row`.
            let v = unsafe { load_part(s, row.as_ptr().add(i + k * dilation), left) };
            acc = if max { math::max_nan(s, v, acc) } else { s.add(acc, v) };
        }
        // SAFETY: as above.
        unsafe { store_part(s, y.as_mut_ptr().add(i), acc, left) };
    }
}

/// Every `step`-th element.
#[inline(always)]
fn pick(from: &[f32], step: usize, y: &mut [f32]) {
    if step == 2 {
        let (pairs, last) = from.as_chunks::<2>();
        y.iter_mut().zip(pairs).for_each(|(y, x)| *y = x[0]);
        return y[pairs.len()..].copy_from_slice(last);
    }
    y.iter_mut().zip(from.iter().step_by(step)).for_each(|(y, x)| *y = *x);
}

/// Multiplies the sums of row `oy` by [`Windows::factor`].
#[inline(always)]
fn average<S: Simd>(s: S, windows: &Windows, oy: usize, y: &mut [f32]) {
    let (zero, rows) = (s.zero(), s.splat(windows.rows.counts.of[oy]));
    for i in (0..y.len()).step_by(S::LANES) {
        let count = s.mul(rows, s.get_tail(&windows.cols.counts.of, i));
        let factor = s.select(s.eq(count, zero), zero, s.div(s.splat(1.0), count));
        let sum = s.get_tail(y, i);
        s.put_tail(y, i, s.mul(sum, factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, tensor};
    use mindir_graph::Tensor;

    struct Form {
        image: [usize; 4],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        pads: [usize; 4],
    }

    fn out(size: usize, kernel: usize, stride: usize, dilation: usize, pads: usize) -> usize {
        (size + pads - dilation * (kernel - 1) - 1) / stride + 1
    }

    fn case(f: &Form, kind: PoolKind, layout: Layout, beyond: usize) -> Case {
        let [n, c, h, w] = f.image;
        let out_h = out(h, f.kernel[0], f.stride[0], f.dilation[0], f.pads[0] + f.pads[1]) + beyond;
        let out_w = out(w, f.kernel[1], f.stride[1], f.dilation[1], f.pads[2] + f.pads[3]);
        let (kernel, stride, dilation, pads) = (f.kernel, f.stride, f.dilation, f.pads);
        let p = Pool { kind, n, c, h, w, out_h, out_w, kernel, stride, dilation, pads, layout, dtype: DType::F32 };
        let x = tensor(1, DType::F32, &layout.dims(f.image), 3.0);
        let y = Fact::new(DType::F32, &layout.dims([n, c, out_h, out_w]));
        let bound = if kind == PoolKind::Max { EXACT } else { Bound { absolute: 2e-6, relative: 1e-6 } };
        let name = format!("{kind:?} {layout:?} {:?} kernel {kernel:?} stride {stride:?} pads {pads:?}", f.image);
        Case::new(name, Task::Pool(p), vec![x], vec![y], bound)
    }

    const FORMS: [Form; 11] = [
        Form { image: [1, 3, 5, 7], kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] },
        Form { image: [2, 65, 9, 9], kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [1; 4] },
        Form { image: [1, 8, 6, 20], kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1; 4] },
        Form { image: [1, 33, 7, 7], kernel: [7, 7], stride: [1, 1], dilation: [1, 1], pads: [0; 4] },
        Form { image: [3, 4, 11, 8], kernel: [3, 2], stride: [2, 3], dilation: [2, 1], pads: [0, 2, 1, 0] },
        Form { image: [1, 5, 13, 13], kernel: [5, 5], stride: [1, 1], dilation: [1, 1], pads: [2; 4] },
        Form { image: [1, 40, 40, 40], kernel: [1, 1], stride: [2, 2], dilation: [1, 1], pads: [0; 4] },
        Form { image: [1, 2, 4, 4], kernel: [2, 2], stride: [3, 3], dilation: [1, 1], pads: [3, 0, 3, 0] },
        Form { image: [1, 2, 9, 70], kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [1; 4] },
        Form { image: [1, 2, 9, 71], kernel: [2, 5], stride: [1, 3], dilation: [2, 2], pads: [1, 1, 4, 2] },
        Form { image: [2, 1, 3, 40], kernel: [3, 4], stride: [1, 1], dilation: [1, 2], pads: [0, 0, 6, 6] },
    ];

    #[test]
    fn windows_of_every_form() {
        let mut cases = Vec::new();
        for f in &FORMS {
            for layout in [Layout::Nchw, Layout::Nhwc] {
                for kind in [PoolKind::Max, PoolKind::Avg { count_pads: true }, PoolKind::Avg { count_pads: false }] {
                    cases.push(case(f, kind, layout, 0));
                    cases.push(case(f, kind, layout, 1));
                }
            }
        }
        let mut nan = case(&FORMS[2], PoolKind::Max, Layout::Nchw, 0);
        let mut x = nan.ins[0].view::<f32>().unwrap().to_vec();
        x[17] = f32::NAN;
        x[300] = f32::NAN;
        nan.ins[0] = Tensor::from_slice(nan.ins[0].shape(), &x).unwrap();
        cases.push(nan);
        check(&cases);
    }
}
