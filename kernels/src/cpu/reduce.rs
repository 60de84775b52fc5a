//! Reductions of rows, and of strided columns side by side.

use mindir_graph::task::{Reduce, ReduceKind, Task};
use mindir_graph::{DType, Element, checked_count};

use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::simd::{Kernel, MAX_LANES, Simd, fold_vectors, load_part, math, pieces};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// The kernel of a reduction of `f32`, or of `i32`, `i64` and `bool` to values of their type.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    offer_values(request).or_else(|| offer_positions(request)).or_else(|| offer_whole(request))
}

/// Elements that a thread takes at a time, and the longest line that is reduced in one go.
const CHUNK: usize = 16 * 1024;
/// Columns that are reduced together.
const COLUMNS: usize = 64;
/// Columns of whole numbers that are.
const WHOLE_COLUMNS: usize = 512;
/// Elements of a column that are added before their sum is added to the rest: it keeps errors small.
const RUN: usize = 64;

fn shaped<'a>(view: &TaskView<'a>) -> Option<&'a Reduce> {
    let (Task::Reduce(r), [x], [y]) = (view.task, view.ins, view.outs) else { return None };
    let fits = x.dtype == DType::F32
        && r.dtype == DType::F32
        && Some(x.count()) == checked_count(&[r.outer, r.len, r.inner])
        && Some(y.count()) == checked_count(&[r.outer, r.inner])
        && y.dtype == r.out;
    fits.then_some(r)
}

/// The task, if its result is a number.
fn values<'a>(view: &TaskView<'a>) -> Option<&'a Reduce> {
    let r = shaped(view).filter(|r| r.out == DType::F32)?;
    let empty = matches!(r.kind, ReduceKind::Max | ReduceKind::Min) && r.len == 0;
    (!empty && fold(r.kind).is_some()).then_some(r)
}

/// The task, if its result is a position.
fn positions<'a>(view: &TaskView<'a>) -> Option<&'a Reduce> {
    let r = shaped(view).filter(|r| matches!(r.out, DType::I32 | DType::I64))?;
    let positions = matches!(r.kind, ReduceKind::ArgMax | ReduceKind::ArgMin);
    (positions && r.len > 0 && r.len <= i32::MAX as usize).then_some(r)
}

fn name(isa: Isa, r: &Reduce) -> String {
    let types = if r.out == DType::F32 { "f32".into() } else { format!("f32_{}", r.out) };
    format!("{isa}-{types}-{}", if r.inner > 1 { "columns" } else { "rows" })
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fold {
    Sum,
    Prod,
    Max,
    Min,
}

fn fold(kind: ReduceKind) -> Option<Fold> {
    match kind {
        ReduceKind::Sum | ReduceKind::Mean => Some(Fold::Sum),
        ReduceKind::Prod => Some(Fold::Prod),
        ReduceKind::Max => Some(Fold::Max),
        ReduceKind::Min => Some(Fold::Min),
        _ => None,
    }
}

impl Fold {
    fn start(self) -> f32 {
        match self {
            Fold::Sum => 0.0,
            Fold::Prod => 1.0,
            Fold::Max => f32::NEG_INFINITY,
            Fold::Min => f32::INFINITY,
        }
    }

    #[inline(always)]
    fn of<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F {
        match self {
            Fold::Sum => s.add(a, b),
            Fold::Prod => s.mul(a, b),
            Fold::Max => math::max_nan(s, a, b),
            Fold::Min => math::min_nan(s, a, b),
        }
    }

    /// All lanes of `a`.
    #[inline(always)]
    fn across<S: Simd>(self, s: S, a: S::F) -> f32 {
        match self {
            Fold::Max | Fold::Min if s.any(s.is_nan(a)) => f32::NAN,
            Fold::Max => s.reduce_max(a),
            Fold::Min => s.reduce_min(a),
            Fold::Sum | Fold::Prod => s.reduce_sum(a),
        }
    }

    #[inline(always)]
    fn of_two(self, a: f32, b: f32) -> f32 {
        match self {
            Fold::Sum => a + b,
            Fold::Prod => a * b,
            Fold::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Fold::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
        }
    }
}

fn offer_values(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let r = values(&request.view)?;
    let fold = fold(r.kind)?;
    let factor = if r.kind == ReduceKind::Mean { 1.0 / r.len as f64 } else { 1.0 };
    // Long lines are cut into parts of a fixed length, so that threads can share them.
    let part = (CHUNK / r.inner.max(1)).clamp(RUN, CHUNK);
    let parts = r.len.div_ceil(part).max(1);
    let task = Lines { fold, outer: r.outer, len: r.len, inner: r.inner, part, parts };
    Some(Box::new(Values { name: name(request.isa, r), isa: request.isa, task, factor: factor as f32 }))
}

/// Lines of `len` elements, `inner` apart, each cut into `parts` of `part` elements.
#[derive(Clone, Copy)]
struct Lines {
    fold: Fold,
    outer: usize,
    len: usize,
    inner: usize,
    part: usize,
    parts: usize,
}

struct Values {
    name: String,
    isa: Isa,
    task: Lines,
    factor: f32,
}

impl CpuKernel for Values {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        let t = &self.task;
        if t.parts > 1 { scratch_bytes::<f32>(&[t.outer * t.parts * t.inner]) } else { 0 }
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let t = self.task;
        let x = io.operand::<f32>(0)?;
        let y = io.result::<f32>(0)?;
        if t.parts == 1 {
            self.lines(gang, t, x, y);
        } else {
            let partial = io.scratch::<f32>(t.outer * t.parts * t.inner)?;
            self.lines(gang, t, x, partial);
            self.lines(gang, Lines { len: t.parts, part: t.parts, parts: 1, ..t }, partial, y);
        }
        if self.factor != 1.0 {
            y.iter_mut().for_each(|y| *y *= self.factor);
        }
        Ok(())
    }
}

impl Values {
    /// Reduces every part of every line of `x` to one element of `y`, as `[outer, parts, inner]`.
    fn lines(&self, gang: &mut Gang, t: Lines, x: &[f32], y: &mut [f32]) {
        if t.inner == 1 {
            let lines = (CHUNK / t.part.max(1)).max(1);
            gang.parallel_pieces(y, lines, |chunk, y| self.isa.run(Rows { t, x, first: chunk * lines, y }));
            return;
        }
        let pieces = t.inner.div_ceil(COLUMNS);
        let y = Shared::new(y.as_mut_ptr());
        let per_chunk = (CHUNK / (t.part * COLUMNS).max(1)).max(1);
        let all = t.outer * t.parts * pieces;
        gang.parallel(all.div_ceil(per_chunk), |chunk, _| {
            for piece in chunk * per_chunk..all.min((chunk + 1) * per_chunk) {
                let (line, at) = (piece / pieces, piece % pieces * COLUMNS);
                let n = COLUMNS.min(t.inner - at);
                // SAFETY: every piece is its own range of `y`, which has `inner` elements for every part of a line.
                let y = unsafe { y.slice(line * t.inner + at, n) };
                self.isa.run(Columns { t, x, line, at, y });
            }
        });
    }
}

impl Lines {
    /// First element and number of elements of part `i`, counted over all lines, along the line.
    #[inline(always)]
    fn range(&self, i: usize) -> (usize, usize) {
        let (o, p) = (i / self.parts, i % self.parts);
        (o * self.len + p * self.part, self.part.min(self.len - p * self.part))
    }
}

/// Parts of contiguous lines from the part `first`.
struct Rows<'a> {
    t: Lines,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, y) in self.y.iter_mut().enumerate() {
            let (at, n) = self.t.range(self.first + i);
            let x = &self.x[at..at + n];
            *y = match self.t.fold {
                Fold::Sum => line(s, x, Fold::Sum),
                Fold::Prod => line(s, x, Fold::Prod),
                Fold::Max => line(s, x, Fold::Max),
                Fold::Min => line(s, x, Fold::Min),
            };
        }
    }
}

/// The product of numbers, in `f64`: in `f32`, what numbers close to 1 have in common would be lost every time.
#[inline(always)]
fn product(x: &[f32]) -> f32 {
    let mut lanes = [1.0f64; MAX_LANES];
    for piece in pieces(x.len()) {
        for some in x[piece].chunks(MAX_LANES) {
            lanes.iter_mut().zip(some).for_each(|(y, &x)| *y *= f64::from(x));
        }
    }
    lanes.into_iter().product::<f64>() as f32
}

#[inline(always)]
fn line<S: Simd>(s: S, x: &[f32], fold: Fold) -> f32 {
    if fold == Fold::Prod {
        return product(x);
    }
    let start = s.splat(fold.start());
    let mut total = start;
    let whole = x.len() - x.len() % S::LANES;
    let run = RUN * S::LANES;
    if x.len() < 4 * S::LANES {
        // Too few for vectors side by side.
        for i in (0..whole).step_by(S::LANES) {
            total = fold.of(s, total, s.get(x, i));
        }
    } else {
        for piece in pieces(whole) {
            for base in piece.step_by(run) {
                let sum = fold_vectors(
                    s,
                    &x[base..whole.min(base + run)],
                    start,
                    #[inline(always)]
                    |a, x| fold.of(s, a, x),
                    #[inline(always)]
                    |a, b| fold.of(s, a, b),
                );
                total = fold.of(s, total, sum);
            }
        }
    }
    if whole == x.len() {
        return fold.across(s, total);
    }
    if fold == Fold::Sum {
        return fold.across(s, s.add(total, s.get_tail(x, whole)));
    }
    if whole == 0 {
        return x.iter().fold(fold.start(), |a, &b| fold.of_two(a, b));
    }
    // Some elements twice, which changes nothing.
    fold.across(s, fold.of(s, total, s.get(x, x.len() - S::LANES)))
}

/// Columns from `at` of one part of a line.
struct Columns<'a> {
    t: Lines,
    x: &'a [f32],
    line: usize,
    at: usize,
    y: &'a mut [f32],
}

impl Kernel for Columns<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.t.fold {
            Fold::Sum => self.fold(s, Fold::Sum),
            Fold::Prod => self.products(),
            Fold::Max => self.fold(s, Fold::Max),
            Fold::Min => self.fold(s, Fold::Min),
        }
    }
}

impl Columns<'_> {
    #[inline(always)]
    fn fold<S: Simd>(self, s: S, fold: Fold) {
        let mut i = 0;
        while i + 4 * S::LANES <= self.y.len() {
            self.vectors::<S, 4>(s, fold, i)
                .into_iter()
                .enumerate()
                .for_each(|(v, a)| s.put(self.y, i + v * S::LANES, a));
            i += 4 * S::LANES;
        }
        while i < self.y.len() {
            let [a] = self.vectors::<S, 1>(s, fold, i);
            s.put_tail(self.y, i, a);
            i += S::LANES;
        }
    }

    /// As [`product`].
    #[inline(always)]
    fn products(self) {
        let (first, n) = self.t.range(self.line);
        let mut lanes = [1.0f64; COLUMNS];
        for l in first..first + n {
            let x = &self.x[l * self.t.inner + self.at..][..self.y.len()];
            lanes.iter_mut().zip(x).for_each(|(y, &x)| *y *= f64::from(x));
        }
        self.y.iter_mut().zip(lanes).for_each(|(y, x)| *y = x as f32);
    }

    /// `V` vectors of columns from `i`, the last of which may reach beyond the columns.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(&self, s: S, fold: Fold, i: usize) -> [S::F; V] {
        let inner = self.t.inner;
        let (first, n) = self.t.range(self.line);
        assert!((first + n) * inner <= self.x.len() && self.at + self.y.len() <= inner);
        let x = self.x[first * inner..].as_ptr().wrapping_add(self.at + i);
        let left = self.y.len() - i;
        let mut total = [s.splat(fold.start()); V];
        for base in (0..n).step_by(RUN) {
            let mut acc = [s.splat(fold.start()); V];
            for l in base..n.min(base + RUN) {
                for (v, a) in acc.iter_mut().enumerate() {
                    // SAFETY: element `l · inner` and the `left` elements from `at + i` lie inside `x`, as asserted.
                    let x = unsafe { load_part(s, x.add(l * inner + v * S::LANES), left - v * S::LANES) };
                    *a = fold.of(s, *a, x);
                }
            }
            for (t, a) in total.iter_mut().zip(acc) {
                *t = fold.of(s, *t, a);
            }
        }
        total
    }
}

fn offer_positions(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let task = positions(&request.view)?.clone();
    Some(Box::new(Positions { name: name(request.isa, &task), isa: request.isa, task }))
}

struct Positions {
    name: String,
    isa: Isa,
    task: Reduce,
}

impl CpuKernel for Positions {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let x = io.operand::<f32>(0)?;
        if self.task.out == DType::I32 {
            self.search(gang, x, io.result::<i32>(0)?, |i| i);
        } else {
            self.search(gang, x, io.result::<i64>(0)?, i64::from);
        }
        Ok(())
    }
}

impl Positions {
    fn search<T: Copy + Send>(&self, gang: &mut Gang, x: &[f32], y: &mut [T], f: impl Fn(i32) -> T + Sync) {
        let Reduce { outer, len, inner, kind, .. } = self.task;
        let largest = kind == ReduceKind::ArgMax;
        let lines = (CHUNK / len).max(1);
        if inner == 1 {
            gang.parallel_pieces(y, lines, |chunk, y| {
                for (i, y) in y.iter_mut().enumerate() {
                    let row = &x[(chunk * lines + i) * len..][..len];
                    *y = f(self.isa.run(First { row, largest }));
                }
            });
            return;
        }
        let pieces = inner.div_ceil(COLUMNS);
        let to = Shared::new(y.as_mut_ptr());
        gang.parallel(outer * pieces, |chunk, _| {
            let (o, at) = (chunk / pieces, chunk % pieces * COLUMNS);
            let n = COLUMNS.min(inner - at);
            let mut places = [0; COLUMNS];
            let x = &x[o * len * inner + at..(o + 1) * len * inner];
            self.isa.run(FirstInColumns { x, len, inner, largest, places: &mut places[..n] });
            // SAFETY: every piece is its own range of the result.
            let y = unsafe { to.slice(o * inner + at, n) };
            y.iter_mut().zip(places).for_each(|(y, place)| *y = f(place));
        });
    }
}

/// Position of the first largest or smallest element.
struct First<'a> {
    row: &'a [f32],
    largest: bool,
}

impl Kernel for First<'_> {
    type Out = i32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> i32 {
        // The extreme first, then where it is: both passes are fast.
        let extreme = line(s, self.row, if self.largest { Fold::Max } else { Fold::Min });
        let found = |x: &f32| *x == extreme || x.is_nan();
        let start = if extreme.is_nan() { 0 } else { skip(s, self.row, extreme) };
        self.row[start..].iter().position(found).map_or(0, |i| (start + i) as i32)
    }
}

/// An index up to which no element equals `x`.
#[inline(always)]
fn skip<S: Simd>(s: S, row: &[f32], x: f32) -> usize {
    let x = s.splat(x);
    let whole = row.len() - row.len() % S::LANES;
    for piece in pieces(whole) {
        for i in piece.step_by(S::LANES) {
            if s.any(s.eq(s.get(row, i), x)) {
                return i;
            }
        }
    }
    whole
}

/// Positions of the first largest or smallest elements of columns: element `l` of column `i` is `x[l · inner + i]`.
struct FirstInColumns<'a> {
    x: &'a [f32],
    len: usize,
    inner: usize,
    largest: bool,
    places: &'a mut [i32],
}

impl Kernel for FirstInColumns<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.places.len();
        for i in (0..n).step_by(S::LANES) {
            let mut best = s.get_tail(&self.x[..n], i);
            let mut place = s.splat_i(0);
            for piece in pieces(self.len) {
                for l in piece.start.max(1)..piece.end {
                    let v = s.get_tail(&self.x[l * self.inner..][..n], i);
                    let beats = if self.largest { s.lt(best, v) } else { s.lt(v, best) };
                    // NaN beats everything else.
                    let beats = s.or_m(beats, s.and_m(s.is_nan(v), s.eq(best, best)));
                    best = s.select(beats, v, best);
                    place = s.select_i(beats, s.splat_i(l as i32), place);
                }
            }
            let mut lanes = [0; MAX_LANES];
            // SAFETY: there are at least `LANES` elements.
            unsafe { s.store_i(lanes.as_mut_ptr(), place) };
            self.places[i..].iter_mut().zip(lanes).for_each(|(p, l)| *p = l);
        }
    }
}

/// Elements whose folds are the same in any order.
trait Whole: Element + Ord {
    const LEAST: Self;
    const MOST: Self;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
}

macro_rules! whole {
    ($($t:ident),*) => {$(
        impl Whole for $t {
            const LEAST: $t = $t::MIN;
            const MOST: $t = $t::MAX;
            #[inline(always)]
            fn add(self, other: $t) -> $t { self.wrapping_add(other) }
            #[inline(always)]
            fn mul(self, other: $t) -> $t { self.wrapping_mul(other) }
        }
    )*};
}
whole!(i32, i64);

impl Whole for u8 {
    // Those of `bool`.
    const LEAST: u8 = 0;
    const MOST: u8 = 1;
    #[inline(always)]
    fn add(self, other: u8) -> u8 {
        self | other
    }
    #[inline(always)]
    fn mul(self, other: u8) -> u8 {
        self & other
    }
}

fn offer_whole(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (Task::Reduce(r), [x], [y]) = (request.view.task, request.view.ins, request.view.outs) else { return None };
    let fold = match r.dtype {
        DType::Bool if r.kind == ReduceKind::All => Fold::Min,
        DType::Bool if r.kind == ReduceKind::Any => Fold::Max,
        DType::I32 | DType::I64 if r.kind != ReduceKind::Mean => fold(r.kind)?,
        _ => return None,
    };
    let nothing = r.len == 0 && r.dtype != DType::Bool && matches!(fold, Fold::Max | Fold::Min);
    let fits = [x.dtype, y.dtype, r.out] == [r.dtype; 3]
        && Some(x.count()) == checked_count(&[r.outer, r.len, r.inner])
        && Some(y.count()) == checked_count(&[r.outer, r.inner]);
    let name = format!("{}-{}-{}", request.isa, r.dtype, if r.inner > 1 { "columns" } else { "rows" });
    (fits && !nothing).then(|| Box::new(Wholes { name, isa: request.isa, fold, task: r.clone() }) as Box<dyn CpuKernel>)
}

struct Wholes {
    name: String,
    isa: Isa,
    fold: Fold,
    task: Reduce,
}

impl CpuKernel for Wholes {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        match self.task.dtype {
            DType::I32 => self.lines::<i32>(io, gang),
            DType::I64 => self.lines::<i64>(io, gang),
            _ => self.lines::<u8>(io, gang),
        }
    }
}

impl Wholes {
    fn lines<T: Whole>(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let (x, y) = (io.operand::<T>(0)?, io.result::<T>(0)?);
        let &Reduce { outer, len, inner, .. } = &self.task;
        let fold = self.fold;
        if inner == 1 {
            let lines = (CHUNK / len.max(1)).max(1);
            gang.parallel_pieces(y, lines, |chunk, y| {
                self.isa.run(WholeLines { x: &x[chunk * lines * len..], len, inner, y, fold });
            });
            return Ok(());
        }
        let pieces = inner.div_ceil(WHOLE_COLUMNS);
        let to = Shared::new(y.as_mut_ptr());
        gang.parallel(outer * pieces, |chunk, _| {
            let (o, at) = (chunk / pieces, chunk % pieces * WHOLE_COLUMNS);
            // SAFETY: every piece is its own range of the result, which has `inner` elements for every line.
            let y = unsafe { to.slice(o * inner + at, WHOLE_COLUMNS.min(inner - at)) };
            let x = if len == 0 { x } else { &x[o * len * inner + at..] };
            self.isa.run(WholeLines { x, len, inner, y, fold });
        });
        Ok(())
    }
}

/// Lines of `len` whole numbers: rows one after the other if `inner` is 1, else columns whose elements are `inner` apart.
struct WholeLines<'a, T> {
    x: &'a [T],
    len: usize,
    inner: usize,
    y: &'a mut [T],
    fold: Fold,
}

impl<T: Whole> Kernel for WholeLines<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.fold {
            Fold::Sum => self.fold(T::from_i64(0), T::add),
            Fold::Prod => self.fold(T::from_i64(1), T::mul),
            Fold::Max => self.fold(T::LEAST, T::max),
            Fold::Min => self.fold(T::MOST, T::min),
        }
    }
}

impl<T: Whole> WholeLines<'_, T> {
    #[inline(always)]
    fn fold(self, start: T, f: impl Fn(T, T) -> T) {
        let WholeLines { x, len, inner, y, .. } = self;
        y.fill(start);
        if inner == 1 {
            for (i, y) in y.iter_mut().enumerate() {
                let x = &x[i * len..][..len];
                for piece in pieces(len) {
                    *y = x[piece].iter().fold(*y, |a, &b| f(a, b));
                }
            }
            return;
        }
        for piece in pieces(len) {
            for l in piece {
                y.iter_mut().zip(&x[l * inner..]).for_each(|(y, &x)| *y = f(*y, x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, noise, tensor};
    use mindir_graph::{Fact, Tensor};

    #[test]
    fn products_of_numbers_close_to_one_are_what_they_are() {
        let n = 300_000;
        let x: Vec<f32> = noise(7, n).into_iter().map(|v| 1.0 + v * 1e-3).collect();
        let exact: f64 = x.iter().map(|&v| f64::from(v)).product();
        let bound = Bound { absolute: 0.0, relative: 1e-6 };
        let columns: Vec<f32> = x.iter().flat_map(|&v| [v, 1.0, v]).collect();
        let made = [(1, x), (3, columns)].map(|(inner, x)| {
            let x = Tensor::from_vec(&[n, inner], x).unwrap();
            Case { bound, ..case(ReduceKind::Prod, [1, n, inner], DType::F32, x) }
        });
        check(&made);
        assert!((exact - 1.0).abs() > 1e-3, "{exact}");
    }

    const SHAPES: [[usize; 3]; 14] = [
        [1, 1, 1],
        [3, 7, 1],
        [2, 8, 1],
        [5, 333, 1],
        [1, 40_000, 1],
        [2, 5, 3],
        [3, 49, 70],
        [1, 3, 9],
        [1, 5000, 7],
        [1, 700, 130],
        [0, 4, 1],
        [2, 3, 0],
        [40, 3, 100],
        [6, 50, 1],
    ];

    fn case(kind: ReduceKind, dims: [usize; 3], out: DType, x: Tensor) -> Case {
        let [outer, len, inner] = dims;
        let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype: DType::F32, out });
        let scale = if kind == ReduceKind::Mean { 1.0 } else { len as f64 };
        let bound = match kind {
            ReduceKind::Sum | ReduceKind::Mean => Bound { absolute: 1e-7 * scale, relative: 3e-7 },
            ReduceKind::Prod => Bound { absolute: 1e-30, relative: 6e-8 * len as f64 },
            _ => EXACT,
        };
        Case::new(format!("{kind:?} {dims:?}"), task, vec![x], vec![Fact::new(out, &[outer, inner])], bound)
    }

    #[test]
    fn lines_fold() {
        use ReduceKind::*;
        let mut cases = Vec::new();
        for dims in SHAPES {
            let x = tensor(1, DType::F32, &dims, 1.5);
            for kind in [Sum, Mean, Prod, Max, Min] {
                cases.push(case(kind, dims, DType::F32, x.clone()));
            }
            for kind in [ArgMax, ArgMin] {
                let coarse: Vec<f32> = x.view::<f32>().unwrap().iter().map(|v| (v * 4.0).round()).collect();
                let coarse = Tensor::from_slice(&dims, &coarse).unwrap();
                cases.push(case(kind, dims, DType::I32, coarse.clone()));
                cases.push(case(kind, dims, DType::I64, coarse));
            }
        }
        check(&cases);
    }

    #[test]
    fn whole_numbers_fold() {
        use ReduceKind::*;
        let mut cases = Vec::new();
        for dims in SHAPES.into_iter().chain([[2, 0, 1], [2, 0, 3], [3, 5, 1300]]) {
            for (dtype, kinds, range) in [
                (DType::I32, &[Sum, Prod, Max, Min][..], 3e8),
                (DType::I64, &[Sum, Prod, Max, Min], 1e5),
                (DType::Bool, &[All, Any], 1.0),
            ] {
                for &kind in kinds.iter().filter(|k| dims[1] > 0 || !matches!(k, Max | Min)) {
                    let mut x = tensor(1, dtype, &dims, range);
                    if dtype == DType::Bool {
                        // Lines that are all the same but for the first few.
                        let same: Vec<bool> = (0..x.count()).map(|i| (kind == All) == (i > 3)).collect();
                        x = Tensor::from_bools(&dims, &same).unwrap();
                    } else if kind == Prod && dtype == DType::I64 {
                        x = tensor(1, dtype, &dims, 3.0);
                    }
                    let [outer, len, inner] = dims;
                    let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out: dtype });
                    let name = format!("{kind:?} {dtype} {dims:?}");
                    cases.push(Case::new(name, task, vec![x], vec![Fact::new(dtype, &[outer, inner])], EXACT));
                }
            }
        }
        check(&cases);
    }

    #[test]
    fn nan_wins() {
        use ReduceKind::*;
        let mut cases = Vec::new();
        for dims in [[2, 37, 1], [1, 37, 2]] {
            let mut x = tensor(2, DType::F32, &dims, 1.0).view::<f32>().unwrap().to_vec();
            x[21] = f32::NAN;
            x[25] = f32::NAN;
            x[60] = f32::NAN;
            let x = Tensor::from_slice(&dims, &x).unwrap();
            for kind in [Sum, Max, Min] {
                cases.push(case(kind, dims, DType::F32, x.clone()));
            }
            for kind in [ArgMax, ArgMin] {
                cases.push(case(kind, dims, DType::I32, x.clone()));
            }
        }
        check(&cases);
    }

    #[test]
    fn sums_stay_accurate() {
        let x = Tensor::from_slice(&[1 << 20], &vec![0.1f32; 1 << 20]).unwrap();
        let mut cases = Vec::new();
        for dims in [[1, 1 << 20, 1], [1, 1 << 18, 4], [4, 1 << 18, 1]] {
            let mut case = case(ReduceKind::Sum, dims, DType::F32, x.clone());
            case.bound = Bound { absolute: 0.0, relative: 2e-6 };
            cases.push(case);
        }
        check(&cases);
    }
}
