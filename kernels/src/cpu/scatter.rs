//! Slices updated by index.

use std::ops::{Add, Mul};

use mindir_graph::bounds::{self, Pulse};
use mindir_graph::task::{Gather, Scatter, ScatterKind, Task};
use mindir_graph::{DType, Element, checked_count, normalize_axis};

use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::{Gang, Request, Shared};
use crate::device::TaskView;

/// Elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;
/// Columns that a thread takes at least.
const COLUMNS: usize = 64;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Scatter> {
    let (Task::Scatter(s), [x, index, u], [y]) = (view.task, view.ins, view.outs) else { return None };
    let typed = s.kind == ScatterKind::Replace || matches!(s.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
    let dims: Vec<usize> = s.axes.iter().copied().chain([s.inner]).collect();
    let fits = [x, u, y].iter().all(|f| f.dtype == s.dtype)
        && index.dtype == s.index
        && matches!(s.index, DType::I32 | DType::I64)
        && [x, y].iter().all(|f| Some(f.count()) == checked_count(&dims))
        && Some(index.count()) == checked_count(&[s.count, s.axes.len()])
        && Some(u.count()) == checked_count(&[s.count, s.inner]);
    (typed && fits).then_some(s)
}

/// The kernel that updates slices.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let task = task(&request.view)?.clone();
    Some(Box::new(Slices { name: format!("any-{}_{}-slices", task.dtype, task.index), task }))
}

struct Slices {
    name: String,
    task: Scatter,
}

impl CpuKernel for Slices {
    fn name(&self) -> &str {
        &self.name
    }

    fn in_place(&self) -> Vec<usize> {
        vec![0]
    }

    fn scratch(&self) -> usize {
        scratch_bytes::<usize>(&[self.updates()])
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let places = io.scratch::<usize>(self.updates())?;
        match self.task.index {
            DType::I32 => self.locate(io.operand::<i32>(1)?, places)?,
            _ => self.locate(io.operand::<i64>(1)?, places)?,
        }
        let typed = matches!(self.task.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
        match (self.task.kind, self.task.dtype) {
            (ScatterKind::Replace, _) if self.task.inner > 1 || !typed => {
                let x = if io.is_shared(0) { None } else { Some(io.operand_bytes(0)?) };
                update(gang, x, io.operand_bytes(2)?, io.result_bytes(0)?, places, <[u8]>::copy_from_slice);
                Ok(())
            }
            (kind, DType::F32) => combine::<f32>(io, gang, places, kind),
            (kind, DType::F64) => combine::<f64>(io, gang, places, kind),
            (kind, DType::I32) => combine::<i32>(io, gang, places, kind),
            (kind, _) => combine::<i64>(io, gang, places, kind),
        }
    }
}

impl Slices {
    /// Number of updates with elements.
    fn updates(&self) -> usize {
        if self.task.inner == 0 { 0 } else { self.task.count }
    }

    /// The slices that the rows of coordinates name, counted in slices.
    fn locate<I: Copy + Into<i64>>(&self, index: &[I], places: &mut [usize]) -> Result<(), Failed> {
        let (axes, mut pulse) = (&self.task.axes, Pulse::default());
        for (c, place) in places.iter_mut().enumerate() {
            pulse.beat().map_err(Failed::Limit)?;
            *place = 0;
            for (&i, &len) in index[c * axes.len()..].iter().zip(axes) {
                let i = i.into();
                let outside = || match i {
                    ..=Gather::OUTSIDE => Failed::Data("an index is out of range".into()),
                    _ => Failed::Data(format!("index {i} is out of range for {len} elements")),
                };
                *place = *place * len + normalize_axis(i, len).ok_or_else(outside)?;
            }
        }
        Ok(())
    }
}

fn combine<T: Number>(io: &mut Io<'_>, gang: &mut Gang, places: &[usize], kind: ScatterKind) -> Result<(), Failed> {
    let x = if io.is_shared(0) { None } else { Some(io.operand::<T>(0)?) };
    let (u, y) = (io.operand::<T>(2)?, io.result::<T>(0)?);
    match kind {
        ScatterKind::Replace => update(gang, x, u, y, places, each(|_, u| u)),
        ScatterKind::Add => update(gang, x, u, y, places, each(T::plus)),
        ScatterKind::Mul => update(gang, x, u, y, places, each(T::times)),
        ScatterKind::Max => {
            update(gang, x, u, y, places, each(|y: T, u: T| if u > y || u.partial_cmp(&u).is_none() { u } else { y }))
        }
        ScatterKind::Min => {
            update(gang, x, u, y, places, each(|y: T, u: T| if u < y || u.partial_cmp(&u).is_none() { u } else { y }))
        }
    }
    Ok(())
}

/// `f` of every element of a slice and of an update.
fn each<T: Copy>(f: impl Fn(T, T) -> T + Sync) -> impl Fn(&mut [T], &[T]) + Sync {
    move |y, u| y.iter_mut().zip(u).for_each(|(y, &u)| *y = f(*y, u))
}

/// A number that updates change.
trait Number: Element + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! number {
    ($($t:ty, $plus:path, $times:path;)*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn plus(self, other: $t) -> $t { $plus(self, other) }
            #[inline(always)]
            fn times(self, other: $t) -> $t { $times(self, other) }
        }
    )*};
}
number! {
    f32, Add::add, Mul::mul;
    f64, Add::add, Mul::mul;
    i32, i32::wrapping_add, i32::wrapping_mul;
    i64, i64::wrapping_add, i64::wrapping_mul;
}

/// Copies `x` to `y`, unless it is there, and combines slice `places[c]` with slice `c` of `u`. Threads have columns of their
/// own, so that updates of one slice keep their order.
fn update<T: Copy + Send + Sync>(
    gang: &mut Gang,
    x: Option<&[T]>,
    u: &[T],
    y: &mut [T],
    places: &[usize],
    combine: impl Fn(&mut [T], &[T]) + Sync,
) {
    if let Some(x) = x {
        gang.parallel_pieces(y, CHUNK, |i, y| y.copy_from_slice(&x[i * CHUNK..][..y.len()]));
    }
    if u.is_empty() {
        return;
    }
    let inner = u.len() / places.len();
    let columns = (CHUNK / places.len()).max(COLUMNS);
    if inner == 1 {
        return elements(u, y, places, combine);
    }
    let to = Shared::new(y.as_mut_ptr());
    gang.parallel(inner.div_ceil(columns), |piece, _| {
        let first = piece * columns;
        let n = columns.min(inner - first);
        let mut pulse = Pulse::default();
        for (c, place) in places.iter().enumerate() {
            if pulse.beat().is_err() {
                return;
            }
            // SAFETY: the slice lies inside of `y`, and the columns are this call's own.
            let y = unsafe { to.slice(place * inner + first, n) };
            combine(y, &u[c * inner + first..][..n]);
        }
    });
}

/// Updates of single elements, all by the calling thread: the next may meet the same one.
fn elements<T: Copy>(u: &[T], y: &mut [T], places: &[usize], combine: impl Fn(&mut [T], &[T])) {
    for (places, u) in places.chunks(CHUNK).zip(u.chunks(CHUNK)) {
        if bounds::check().is_err() {
            return;
        }
        for (&place, u) in places.iter().zip(u.chunks_exact(1)) {
            combine(&mut y[place..place + 1], u);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, tensor};
    use mindir_graph::{Fact, Tensor};

    #[test]
    fn slices_are_updated() {
        let mut cases = Vec::new();
        for (axes, inner, count) in [
            (&[5][..], 3, 4),
            (&[3, 4], 1, 7),
            (&[2, 3, 2], 200, 9),
            (&[4], 20_000, 3),
            (&[6], 2, 0),
            (&[4], 0, 3),
            (&[], 5, 2),
            (&[40], 1, 30),
        ] {
            for kind in [ScatterKind::Replace, ScatterKind::Add, ScatterKind::Mul, ScatterKind::Max, ScatterKind::Min] {
                for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::F16, DType::Bool, DType::C64] {
                    let numeric = dtype.is_float() || dtype.is_int();
                    if kind != ScatterKind::Replace && !numeric {
                        continue;
                    }
                    let bound = match dtype {
                        DType::F16 => Bound { absolute: 0.0, relative: 2e-3 },
                        DType::F32 if kind == ScatterKind::Mul => Bound { absolute: 0.0, relative: 1e-5 },
                        DType::F32 => Bound { absolute: 1e-5, relative: 1e-6 },
                        _ => EXACT,
                    };
                    for index in [DType::I32, DType::I64] {
                        cases.push(case(kind, axes, inner, count, dtype, index, bound));
                    }
                }
            }
        }
        check(&cases);
    }

    fn case(
        kind: ScatterKind,
        axes: &[usize],
        inner: usize,
        count: usize,
        dtype: DType,
        index: DType,
        bound: Bound,
    ) -> Case {
        let task = Scatter { kind, axes: axes.iter().copied().collect(), inner, count, dtype, index };
        let dims: Vec<usize> = axes.iter().copied().chain([inner]).collect();
        let coordinate = |i: usize| {
            let len = axes[i % axes.len()] as i64;
            (i * i + 3 * i) as i64 % (2 * len) - len
        };
        let picks: Vec<i64> = (0..count * axes.len()).map(coordinate).collect();
        let picks = Tensor::from_i64s(index, &[count, axes.len()], &picks).unwrap();
        let ins = vec![tensor(1, dtype, &dims, 20.0), picks, tensor(2, dtype, &[count, inner], 20.0)];
        let name = format!("{kind:?} {dtype} {dims:?} {count} {index}");
        Case::new(name, Task::Scatter(task), ins, vec![Fact::new(dtype, &dims)], bound)
    }
}
