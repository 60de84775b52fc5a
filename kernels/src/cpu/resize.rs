//! Nearest and bilinear resizing of images.

use mindir_graph::bounds::Exceeded;
use mindir_graph::task::{Layout, Resize, ResizeMode, Task};
use mindir_graph::{DType, checked_count};

use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::memory::Table;
use super::packed::Constants;
use super::simd::{Kernel, Simd, load_part, store_part};
use super::{Gang, Isa, Request, Shared};
use crate::device::{Refused, TaskView};
use crate::plain::{linear_source, nearest_source};

/// Bytes that a thread writes at a time.
const CHUNK: usize = 64 * 1024;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Resize> {
    let (Task::Resize(r), [x], [y]) = (view.task, view.ins, view.outs) else { return None };
    let small = [r.h, r.w, r.out_h, r.out_w].iter().all(|&s| s <= i32::MAX as usize);
    let fits = small
        && x.dtype == r.dtype
        && y.dtype == r.dtype
        && Some(x.count()) == checked_count(&[r.n, r.c, r.h, r.w])
        && Some(y.count()) == checked_count(&[r.n, r.c, r.out_h, r.out_w])
        && (x.count() > 0 || y.count() == 0);
    let typed = if r.mode == ResizeMode::Bilinear { r.dtype == DType::F32 } else { r.dtype.size() <= 8 };
    (fits && typed).then_some(r)
}

/// The kernel of a resize: nearest of every element type, bilinear of `f32`.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let r = task(&request.view)?.clone();
    let &Request { isa, threads, .. } = request;
    let mode = if r.mode == ResizeMode::Nearest { "nearest" } else { "bilinear" };
    let name = format!("{isa}-{}-{mode}", r.dtype);
    if r.mode == ResizeMode::Nearest {
        return Some(Box::new(Nearest { name, r, rows: Table::default(), cols: Table::default(), doubled: false }));
    }
    Some(Box::new(Bilinear { name, isa, threads, r, rows: Table::default(), cols: Columns::default() }))
}

struct Nearest {
    name: String,
    r: Resize,
    /// For each output row, the input row.
    rows: Table<usize>,
    /// For each output column, the input column.
    cols: Table<usize>,
    /// Whether every input column becomes two.
    doubled: bool,
}

impl CpuKernel for Nearest {
    fn name(&self) -> &str {
        &self.name
    }

    fn pack(&mut self, _: &mut Constants<'_>) -> Result<(), Refused> {
        let r = &self.r;
        self.rows = Table::new(r.out_h, |i| nearest_source(r.coordinates, i, r.h, r.out_h))?;
        self.cols = Table::new(r.out_w, |i| nearest_source(r.coordinates, i, r.w, r.out_w))?;
        self.doubled = r.out_w == 2 * r.w && self.cols.of.iter().enumerate().all(|(i, &col)| col == i / 2);
        Ok(())
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let (x, y) = (io.operand_bytes(0)?, io.result_bytes(0)?);
        if y.is_empty() {
            return Ok(());
        }
        // Channels that lie together are one wide element.
        let r = &self.r;
        let (planes, size) = match r.layout {
            Layout::Nchw => (r.n * r.c, r.dtype.size()),
            Layout::Nhwc => (r.n, r.c * r.dtype.size()),
        };
        let row = r.out_w * size;
        let rows = CHUNK.div_ceil(row);
        let to = Shared::new(y.as_mut_ptr());
        let all = planes * r.out_h;
        gang.parallel(all.div_ceil(rows), |chunk, _| {
            let (mut above, first) = (None, chunk * rows);
            // SAFETY: every chunk has rows of its own.
            let y = unsafe { to.slice(first * row, (all.min(first + rows) - first) * row) };
            for i in 0..y.len() / row {
                let (above_y, y) = y[..(i + 1) * row].split_at_mut(i * row);
                let line = (first + i) / r.out_h * r.h + self.rows.of[(first + i) % r.out_h];
                if above.replace(line) == Some(line) {
                    y.copy_from_slice(&above_y[(i - 1) * row..]);
                    continue;
                }
                let from = &x[line * r.w * size..][..r.w * size];
                match size {
                    4 if self.doubled => double(from, y),
                    1 => pick::<1>(&self.cols.of, from, y),
                    2 => pick::<2>(&self.cols.of, from, y),
                    4 => pick::<4>(&self.cols.of, from, y),
                    8 => pick::<8>(&self.cols.of, from, y),
                    _ => {
                        for (&col, y) in self.cols.of.iter().zip(y.chunks_exact_mut(size)) {
                            y.copy_from_slice(&from[col * size..(col + 1) * size]);
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

/// Every element of 4 bytes twice.
fn double(from: &[u8], to: &mut [u8]) {
    for (to, x) in to.as_chunks_mut::<8>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        let [a, b, c, d] = *x;
        *to = [a, b, c, d, a, b, c, d];
    }
}

/// Picks elements of `N` bytes.
fn pick<const N: usize>(cols: &[usize], from: &[u8], to: &mut [u8]) {
    let (from, to) = (from.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
    for (to, &col) in to.iter_mut().zip(cols) {
        *to = from[col];
    }
}

/// Two neighbours and how far the output lies from the first towards the second.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    second: usize,
    part: f32,
}

impl Pair {
    fn new((first, second, part): (usize, usize, f64)) -> Pair {
        Pair { first, second, part: part as f32 }
    }
}

struct Bilinear {
    name: String,
    isa: Isa,
    threads: usize,
    r: Resize,
    rows: Table<Pair>,
    cols: Columns,
}

/// The [`Pair`] of every output column, below the width of the input.
#[derive(Default)]
struct Columns {
    first: Table<i32>,
    second: Table<i32>,
    part: Table<f32>,
}

impl Columns {
    fn new(r: &Resize) -> Result<Columns, Exceeded> {
        let pair = |i| Pair::new(linear_source(r.coordinates, i, r.w, r.out_w));
        let inside = |at: usize| at.min(r.w.saturating_sub(1)) as i32;
        Ok(Columns {
            first: Table::new(r.out_w, |i| inside(pair(i).first))?,
            second: Table::new(r.out_w, |i| inside(pair(i).second))?,
            part: Table::new(r.out_w, |i| pair(i).part)?,
        })
    }

    fn pair(&self, i: usize) -> Pair {
        Pair { first: self.first.of[i] as usize, second: self.second.of[i] as usize, part: self.part.of[i] }
    }
}

impl Bilinear {
    /// Planes, and elements of a pixel in them.
    fn planes(&self) -> (usize, usize) {
        match self.r.layout {
            Layout::Nchw => (self.r.n * self.r.c, 1),
            Layout::Nhwc => (self.r.n, self.r.c),
        }
    }
}

impl CpuKernel for Bilinear {
    fn name(&self) -> &str {
        &self.name
    }

    fn pack(&mut self, _: &mut Constants<'_>) -> Result<(), Refused> {
        let r = &self.r;
        self.rows = Table::new(r.out_h, |i| Pair::new(linear_source(r.coordinates, i, r.h, r.out_h)))?;
        self.cols = Columns::new(r)?;
        Ok(())
    }

    fn scratch(&self) -> usize {
        self.threads * scratch_bytes::<f32>(&[self.r.w * self.planes().1])
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let (x, y) = (io.operand::<f32>(0)?, io.result::<f32>(0)?);
        let (planes, pixel) = self.planes();
        if y.is_empty() {
            return Ok(());
        }
        let (width, row) = (self.r.w * pixel, self.r.out_w * pixel);
        let scratch = io.scratch::<f32>(self.threads * width.next_multiple_of(16))?;
        let rows = CHUNK.div_ceil(row * size_of::<f32>());
        let to = Shared::new(y.as_mut_ptr());
        let (all, h, out_h) = (planes * self.r.out_h, self.r.h, self.r.out_h);
        gang.parallel_with(all.div_ceil(rows), scratch, |chunk, _, scratch| {
            for i in chunk * rows..all.min((chunk + 1) * rows) {
                let Pair { first, second, part } = self.rows.of[i % out_h];
                let line = |r: usize| &x[(i / out_h * h + r) * width..][..width];
                // SAFETY: every iteration has a row of its own.
                let y = unsafe { to.slice(i * row, row) };
                let between = &mut scratch[..width];
                let (a, b) = (line(first), line(second));
                self.isa.run(Row { a, b, part, between, cols: &self.cols, pixel, y });
            }
        });
        Ok(())
    }
}

/// One output row, between two input rows.
struct Row<'a> {
    a: &'a [f32],
    b: &'a [f32],
    part: f32,
    between: &'a mut [f32],
    cols: &'a Columns,
    pixel: usize,
    y: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        mix(s, self.a, self.b, self.part, self.between);
        if self.pixel == 1 {
            return pick_between(s, self.between, self.cols, self.y);
        }
        for (i, y) in self.y.chunks_exact_mut(self.pixel).enumerate() {
            let c = self.cols.pair(i);
            let pixel = |at: usize| &self.between[at * self.pixel..][..self.pixel];
            mix(s, pixel(c.first), pixel(c.second), c.part, y);
        }
    }
}

/// Every output column, between two columns of a row.
#[inline(always)]
fn pick_between<S: Simd>(s: S, row: &[f32], cols: &Columns, y: &mut [f32]) {
    let (first, second, part) = (&cols.first.of[..y.len()], &cols.second.of[..y.len()], &cols.part.of[..y.len()]);
    let whole = y.len() - y.len() % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: `LANES` elements are left in each list, and columns are below the width of the input, which is that of `row`.
        let (a, b) = unsafe {
            let (first, second) = (s.load_i(first.as_ptr().add(i)), s.load_i(second.as_ptr().add(i)));
            (s.gather(row.as_ptr(), first), s.gather(row.as_ptr(), second))
        };
        let part = s.get(part, i);
        s.put(y, i, s.add(s.mul(a, s.sub(s.splat(1.0), part)), s.mul(b, part)));
    }
    for i in whole..y.len() {
        let Pair { first, second, part } = cols.pair(i);
        y[i] = row[first] * (1.0 - part) + row[second] * part;
    }
}

/// a · (1 − part) + b · part.
#[inline(always)]
fn mix<S: Simd>(s: S, a: &[f32], b: &[f32], part: f32, y: &mut [f32]) {
    let (n, part, rest) = (y.len(), s.splat(part), s.splat(1.0 - part));
    let (a, b) = (&a[..n], &b[..n]);
    for i in (0..n).step_by(S::LANES) {
        // SAFETY: each holds `n` elements.
        unsafe {
            let (a, b) = (load_part(s, a.as_ptr().add(i), n - i), load_part(s, b.as_ptr().add(i), n - i));
            store_part(s, y.as_mut_ptr().add(i), s.fma(b, part, s.mul(a, rest)), n - i);
        }
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::Fact;
    use mindir_graph::task::Coordinates;

    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, tensor};

    #[test]
    fn images_of_every_layout() {
        let mut cases = Vec::new();
        for [n, c, h, w, out_h, out_w] in [
            [1, 1, 1, 1, 3, 2],
            [2, 3, 5, 7, 10, 14],
            [1, 20, 9, 8, 4, 3],
            [1, 2, 40, 50, 81, 99],
            [1, 70, 6, 6, 13, 13],
        ] {
            for layout in [Layout::Nchw, Layout::Nhwc] {
                for coordinates in [Coordinates::Asymmetric, Coordinates::AlignCorners, Coordinates::HalfPixel] {
                    for (mode, dtype) in [
                        (ResizeMode::Nearest, DType::U8),
                        (ResizeMode::Nearest, DType::F16),
                        (ResizeMode::Nearest, DType::F32),
                        (ResizeMode::Nearest, DType::I64),
                        (ResizeMode::Bilinear, DType::F32),
                    ] {
                        let task = Resize { mode, coordinates, n, c, h, w, out_h, out_w, layout, dtype };
                        let x = tensor(1, dtype, &layout.dims([n, c, h, w]), 100.0);
                        let y = Fact::new(dtype, &layout.dims([n, c, out_h, out_w]));
                        let exact = mode == ResizeMode::Nearest;
                        let bound = if exact { EXACT } else { Bound { absolute: 1e-4, relative: 1e-6 } };
                        let name = format!("{mode:?} {coordinates:?} {layout:?} {h}×{w} to {out_h}×{out_w} {dtype}");
                        cases.push(Case::new(name, Task::Resize(task), vec![x], vec![y], bound));
                    }
                }
            }
        }
        check(&cases);
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let (n, c, h, w, dtype) = (1, 1, 2, 3, DType::F32);
        let mut cases = Vec::new();
        for [out_h, out_w] in [[3, 5], [2, 3], [4, 3], [1, 7]] {
            for coordinates in [Coordinates::Asymmetric, Coordinates::AlignCorners, Coordinates::HalfPixel] {
                let (mode, layout) = (ResizeMode::Bilinear, Layout::Nchw);
                let task = Resize { mode, coordinates, n, c, h, w, out_h, out_w, layout, dtype };
                let x = vec![1.0f32, f32::INFINITY, 2.0, 3.0, 4.0, f32::NEG_INFINITY];
                let x = mindir_graph::Tensor::from_vec(&[n, c, h, w], x).unwrap();
                let y = Fact::new(dtype, &[n, c, out_h, out_w]);
                let bound = Bound { absolute: 1e-5, relative: 1e-6 };
                cases.push(Case::new(
                    format!("{coordinates:?} to {out_h}×{out_w}"),
                    Task::Resize(task),
                    vec![x],
                    vec![y],
                    bound,
                ));
            }
        }
        check(&cases);
    }
}
