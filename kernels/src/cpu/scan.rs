//! Running sums and products.

use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Scan, ScanKind, Task};
use mindir_graph::{DType, Element, checked_count};

use super::kernel::{CpuKernel, Failed, Io};
use super::simd::{Kernel, Simd};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;
/// Columns that are computed together.
const COLUMNS: usize = 256;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Scan> {
    let (Task::Scan(t), [x], [y]) = (view.task, view.ins, view.outs) else { return None };
    let count = checked_count(&[t.outer, t.len, t.inner])?;
    let typed = matches!(t.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
    let fits = [x, y].iter().all(|f| f.dtype == t.dtype && f.count() == count);
    (typed && fits).then_some(t)
}

/// The kernel of running sums and products.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let task = task(&request.view)?.clone();
    let isa = request.isa;
    Some(Box::new(Lines { name: format!("{isa}-{}-lines", task.dtype), isa, task }))
}

struct Lines {
    name: String,
    isa: Isa,
    task: Scan,
}

impl CpuKernel for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        match self.task.dtype {
            DType::F32 => self.scan::<f32>(io, gang),
            DType::F64 => self.scan::<f64>(io, gang),
            DType::I32 => self.scan::<i32>(io, gang),
            _ => self.scan::<i64>(io, gang),
        }
    }
}

impl Lines {
    fn scan<T: Total>(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let Scan { outer, len, inner, .. } = self.task;
        let (x, y) = (io.operand::<T>(0)?, io.result::<T>(0)?);
        if y.is_empty() {
            return Ok(());
        }
        let pieces = inner.div_ceil(COLUMNS);
        let all = outer * pieces;
        let per_chunk = CHUNK.div_ceil(len * COLUMNS.min(inner));
        let to = Shared::new(y.as_mut_ptr());
        gang.parallel(all.div_ceil(per_chunk), |chunk, _| {
            for i in chunk * per_chunk..all.min((chunk + 1) * per_chunk) {
                let (o, at) = (i / pieces, i % pieces * COLUMNS);
                let (first, n) = (o * len * inner + at, COLUMNS.min(inner - at));
                match n {
                    1 => self.line(x, to, first),
                    _ => self.isa.run(Columns { task: &self.task, x, to, first, n }),
                }
            }
        });
        Ok(())
    }
}

/// `n` columns from element `first`.
struct Columns<'a, T> {
    task: &'a Scan,
    x: &'a [T],
    to: Shared<T>,
    first: usize,
    n: usize,
}

impl<T: Total> Kernel for Columns<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match (self.task.kind, self.task.exclusive) {
            (ScanKind::Sum, false) => self.walk::<false>(T::ZERO, T::Sum::plus),
            (ScanKind::Sum, true) => self.walk::<true>(T::ZERO, T::Sum::plus),
            (ScanKind::Prod, false) => self.walk::<false>(T::ONE, T::Sum::times),
            (ScanKind::Prod, true) => self.walk::<true>(T::ONE, T::Sum::times),
        }
    }
}

impl<T: Total> Columns<'_, T> {
    #[inline(always)]
    fn walk<const EXCLUSIVE: bool>(self, start: T::Sum, f: impl Fn(T::Sum, T::Sum) -> T::Sum) {
        let Columns { task: &Scan { len, inner, reverse, .. }, x, to, first, n } = self;
        let (mut totals, mut pulse) = ([start; COLUMNS], Pulse::default());
        for step in 0..len {
            if pulse.turns(n).is_err() {
                return;
            }
            let at = first + if reverse { len - 1 - step } else { step } * inner;
            // SAFETY: the columns are this call's own and lie inside.
            let y = unsafe { to.slice(at, n) };
            for ((total, &x), y) in totals.iter_mut().zip(&x[at..at + n]).zip(y) {
                let next = f(*total, x.widen());
                *y = T::narrow(if EXCLUSIVE { *total } else { next });
                *total = next;
            }
        }
    }
}

impl Lines {
    /// One column, from element `first`.
    fn line<T: Total>(&self, x: &[T], to: Shared<T>, first: usize) {
        let Scan { kind, len, inner, exclusive, reverse, .. } = self.task;
        let mut total = if kind == ScanKind::Sum { T::ZERO } else { T::ONE };
        let mut pulse = Pulse::default();
        for step in 0..len {
            if pulse.beat().is_err() {
                return;
            }
            let at = first + if reverse { len - 1 - step } else { step } * inner;
            let x = x[at].widen();
            let next = if kind == ScanKind::Sum { total.plus(x) } else { total.times(x) };
            // SAFETY: the column is this call's own and lies inside.
            unsafe { to.at(at).write(T::narrow(if exclusive { total } else { next })) };
            total = next;
        }
    }
}

/// What running totals of a type are kept in.
trait Wide: Copy {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! wide {
    ($($t:ty, $plus:ident, $times:ident);*) => {$(
        impl Wide for $t {
            #[inline(always)]
            fn plus(self, other: $t) -> $t { self.$plus(other) }
            #[inline(always)]
            fn times(self, other: $t) -> $t { self.$times(other) }
        }
    )*};
}
use std::ops::{Add, Mul};
wide!(f64, add, mul; i32, wrapping_add, wrapping_mul; i64, wrapping_add, wrapping_mul);

/// An element with running totals.
trait Total: Element {
    type Sum: Wide;
    const ZERO: Self::Sum;
    const ONE: Self::Sum;
    fn widen(self) -> Self::Sum;
    fn narrow(total: Self::Sum) -> Self;
}

macro_rules! total {
    ($($t:ty, $sum:ty);*) => {$(
        impl Total for $t {
            type Sum = $sum;
            const ZERO: $sum = 0 as $sum;
            const ONE: $sum = 1 as $sum;
            #[inline(always)]
            fn widen(self) -> $sum { self as $sum }
            #[inline(always)]
            fn narrow(total: $sum) -> $t { total as $t }
        }
    )*};
}
total!(f32, f64; f64, f64; i32, i32; i64, i64);

#[cfg(test)]
mod tests {
    use mindir_graph::Fact;

    use super::*;
    use crate::cpu::cases::{Case, EXACT, check, tensor};

    #[test]
    fn lines_accumulate() {
        let mut cases = Vec::new();
        for [outer, len, inner] in [[1, 1, 1], [3, 50, 1], [2, 9, 5], [2, 30, 150], [1, 20_000, 1], [0, 3, 2]] {
            for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
                for kind in [ScanKind::Sum, ScanKind::Prod] {
                    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
                        let dims = [outer, len, inner];
                        let x = tensor(1, dtype, &dims, 3.0);
                        let task = Task::Scan(Scan { kind, outer, len, inner, exclusive, reverse, dtype });
                        let name = format!("{kind:?} {dims:?} {dtype} exclusive {exclusive} reverse {reverse}");
                        cases.push(Case::new(name, task, vec![x], vec![Fact::new(dtype, &dims)], EXACT));
                    }
                }
            }
        }
        check(&cases);
    }
}
