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
        let outside = AtomicBool::new(false);
        let per_chunk = (CHUNK / slice).max(1);
        let (all, to) = (outer * count, Shared::new(y.as_mut_ptr()));
        gang.parallel(all.div_ceil(per_chunk), |chunk, _| {
            let (mut first, end) = (chunk * per_chunk, all.min((chunk + 1) * per_chunk));
            while first < end {
                // The slices that are left of those that are picked of the same ones.
                let (o, at) = (first / count, first % count);
                let n = (count - at).min(end - first);
                let from = &x[o * axis * slice..][..axis * slice];
                let index = &index[if batch { first } else { at }..][..n];
                // SAFETY: every chunk has slices of its own.
                let y = unsafe { to.slice(first * slice, n * slice) };
                let inside = match slice {
                    1 => elements::<1, I>(from, index, y),
                    2 => elements::<2, I>(from, index, y),
                    4 => elements::<4, I>(from, index, y),
                    8 => elements::<8, I>(from, index, y),
                    16 => elements::<16, I>(from, index, y),
                    _ => slices(from, index, y, axis),
                };
                if !inside {
                    outside.store(true, Ordering::Relaxed);
                }
                first += n;
            }
        });
        if self.task.zeros || !outside.into_inner() {
            return Ok(());
        }
        let wrong = index.iter().find(|i| normalize_axis((**i).into(), axis).is_none()).map_or(0, |i| (*i).into());
        Err(Failed::Data(self.task.outside(wrong)))
    }
}

/// Picks elements of `N` bytes, zeros where an index is out of range; whether none is.
fn elements<const N: usize, I: Copy + Into<i64>>(from: &[u8], index: &[I], to: &mut [u8]) -> bool {
    let (from, to) = (from.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
    let (len, mut inside) = (from.len() as i64, true);
    for (to, &i) in to.iter_mut().zip(index) {
        let i: i64 = i.into();
        // What is before the first wraps to far behind the last.
        let picked = from.get(if i < 0 { i + len } else { i } as usize);
        inside &= picked.is_some();
        *to = picked.copied().unwrap_or([0; N]);
    }
    inside
}

/// As [`elements`], of `axis` slices of any length.
fn slices<I: Copy + Into<i64>>(from: &[u8], index: &[I], to: &mut [u8], axis: usize) -> bool {
    let (slice, mut inside) = (to.len() / index.len().max(1), true);
    for (to, &i) in to.chunks_exact_mut(slice.max(1)).zip(index) {
        match normalize_axis(i.into(), axis) {
            Some(i) => to.copy_from_slice(&from[i * slice..][..slice]),
            None => {
                inside = false;
                to.fill(0);
            }
        }
    }
    inside
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
