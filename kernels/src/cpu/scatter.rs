//! Slices replaced or added to by index.

use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Scatter, ScatterKind, Task};
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
        match (self.task.kind, self.task.dtype) {
            (ScatterKind::Replace, _) => {
                let x = if io.is_shared(0) { None } else { Some(io.operand_bytes(0)?) };
                update(gang, x, io.operand_bytes(2)?, io.result_bytes(0)?, places, <[u8]>::copy_from_slice);
                Ok(())
            }
            (_, DType::F32) => add::<f32>(io, gang, places, |y, u| y + u),
            (_, DType::F64) => add::<f64>(io, gang, places, |y, u| y + u),
            (_, DType::I32) => add::<i32>(io, gang, places, i32::wrapping_add),
            _ => add::<i64>(io, gang, places, i64::wrapping_add),
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
                let outside = || Failed::Data(format!("index {i} is out of range for {len} elements"));
                *place = *place * len + normalize_axis(i, len).ok_or_else(outside)?;
            }
        }
        Ok(())
    }
}

fn add<T: Element>(io: &mut Io<'_>, gang: &mut Gang, places: &[usize], plus: fn(T, T) -> T) -> Result<(), Failed> {
    let x = if io.is_shared(0) { None } else { Some(io.operand::<T>(0)?) };
    let (u, y) = (io.operand::<T>(2)?, io.result::<T>(0)?);
    update(gang, x, u, y, places, |y, u| y.iter_mut().zip(u).for_each(|(y, &u)| *y = plus(*y, u)));
    Ok(())
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
        ] {
            for kind in [ScatterKind::Replace, ScatterKind::Add] {
                for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::F16, DType::Bool, DType::C64] {
                    let numeric = dtype.is_float() || dtype.is_int();
                    if kind == ScatterKind::Add && !numeric {
                        continue;
                    }
                    let bound = match dtype {
                        DType::F16 => Bound { absolute: 0.0, relative: 2e-3 },
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
