//! Slices picked by index.

use std::sync::atomic::{AtomicBool, Ordering};

use mindir_graph::task::{Gather, Task};
use mindir_graph::{DType, checked_count, normalize_axis};

use super::kernel::{CpuKernel, Failed, Io};
use super::{Gang, Request, Shared};
use crate::device::TaskView;

/// Bytes that a thread copies at a time.
const CHUNK: usize = 64 * 1024;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Gather> {
    let (Task::Gather(g), [x, index], [y]) = (view.task, view.ins, view.outs) else { return None };
    let fits = x.dtype == g.dtype
        && y.dtype == g.dtype
        && index.dtype == g.index
        && matches!(g.index, DType::I32 | DType::I64)
        && Some(x.count()) == checked_count(&[g.outer, g.axis, g.inner])
        && Some(index.count()) == checked_count(&[if g.batch { g.outer } else { 1 }, g.count])
        && Some(y.count()) == checked_count(&[g.outer, g.count, g.inner]);
    fits.then_some(g)
}

/// The kernel that picks slices.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let task = task(&request.view)?.clone();
    Some(Box::new(Slices { name: format!("any-{}_{}-slices", task.dtype, task.index), task }))
}

struct Slices {
    name: String,
    task: Gather,
}

impl CpuKernel for Slices {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let x = io.operand_bytes(0)?;
        let y = io.result_bytes(0)?;
        if self.task.index == DType::I32 {
            let index = io.operand::<i32>(1)?;
            self.pick(gang, x, y, index)
        } else {
            let index = io.operand::<i64>(1)?;
            self.pick(gang, x, y, index)
        }
    }
}

impl Slices {
    fn pick<I: Copy + Into<i64> + Sync>(
        &self,
        gang: &mut Gang,
        x: &[u8],
        y: &mut [u8],
        index: &[I],
    ) -> Result<(), Failed> {
        let Gather { outer, axis, inner, count, batch, .. } = self.task;
        let slice = inner * self.task.dtype.size();
        if y.is_empty() {
            return Ok(());
        }
        let (outside, whole) = (AtomicBool::new(false), |i: &I| normalize_axis((*i).into(), axis));
        let per_chunk = (CHUNK / slice).max(1);
        let (all, to) = (outer * count, Shared::new(y.as_mut_ptr()));
        gang.parallel(all.div_ceil(per_chunk), |chunk, _| {
            let (first, end) = (chunk * per_chunk, all.min((chunk + 1) * per_chunk));
            // SAFETY: every chunk has slices of its own.
            let y = unsafe { to.slice(first * slice, (end - first) * slice) };
            for (p, y) in (first..end).zip(y.chunks_exact_mut(slice)) {
                match whole(&index[if batch { p } else { p % count }]) {
                    Some(i) => pick(&x[(p / count * axis + i) * slice..][..slice], y),
                    None => {
                        outside.store(true, Ordering::Relaxed);
                        y.fill(0);
                    }
                }
            }
        });
        if self.task.zeros || !outside.into_inner() {
            return Ok(());
        }
        let wrong = index.iter().find(|i| whole(i).is_none()).map_or(0, |i| (*i).into());
        Err(Failed::Data(self.task.outside(wrong)))
    }
}

/// Copies a slice; small ones without a call.
#[inline(always)]
fn pick(from: &[u8], to: &mut [u8]) {
    match (<&[u8; 4]>::try_from(from), <&[u8; 8]>::try_from(from)) {
        (Ok(x), _) => to.copy_from_slice(x),
        (_, Ok(x)) => to.copy_from_slice(x),
        _ => to.copy_from_slice(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Case, EXACT, check, tensor};
    use mindir_graph::{Fact, Tensor};

    #[test]
    fn slices_are_picked() {
        let mut cases = Vec::new();
        for dtype in [DType::U8, DType::F16, DType::F32, DType::I64, DType::C64] {
            for [outer, axis, inner, count] in
                [[1, 30, 8, 13], [3, 7, 1, 5], [2, 5, 3, 4], [1, 1000, 300, 400], [2, 3, 2, 0]]
            {
                for batch in [false, true] {
                    let n = if batch { outer * count } else { count };
                    let index: Vec<i64> =
                        (0..n).map(|i| (i * i + 3 * i) as i64 % (2 * axis as i64 + 2) - axis as i64 - 1).collect();
                    let x = tensor(1, dtype, &[outer, axis, inner], 50.0);
                    for index_type in [DType::I32, DType::I64] {
                        let index = Tensor::from_i64s(index_type, &[n], &index).unwrap();
                        let zeros = true;
                        let task = Gather { outer, axis, inner, count, batch, zeros, dtype, index: index_type };
                        let out = Fact::new(dtype, &[outer, count, inner]);
                        let name = format!("{dtype} {outer} {axis} {inner} {count} {batch} {index_type}");
                        cases.push(Case::new(name, Task::Gather(task), vec![x.clone(), index], vec![out], EXACT));
                    }
                }
            }
        }
        check(&cases);
    }
}
