//! Layer and RMS normalisation of rows.

use mindir_graph::task::{Norm, NormKind, Task};
use mindir_graph::{DType, Fact};

use super::kernel::{CpuKernel, Failed, Io};
use super::simd::{Kernel, MAX_LANES, Simd, fold_vectors, pieces};
use super::{Gang, Isa, Request, Shared};
use crate::device::TaskView;

/// Elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

fn task<'a>(view: &TaskView<'a>) -> Option<&'a Norm> {
    let Task::Norm(t) = view.task else { return None };
    let fits = |f: &Fact, n: usize| f.dtype == DType::F32 && f.count() == n;
    let stats = if !t.stats {
        0
    } else if t.kind == NormKind::Layer {
        2
    } else {
        1
    };
    let (x, rest) = view.ins.split_first()?;
    let (y, more) = view.outs.split_first()?;
    let count = t.rows.checked_mul(t.cols)?;
    let good = t.dtype == DType::F32
        && rest.len() == usize::from(t.gamma) + usize::from(t.beta)
        && more.len() == stats
        && fits(x, count)
        && fits(y, count)
        && rest.iter().all(|f| fits(f, t.cols))
        && more.iter().all(|f| fits(f, t.rows));
    good.then_some(t)
}

/// The kernel of normalisation.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (isa, task) = (request.isa, task(&request.view)?.clone());
    Some(Box::new(Rows { name: format!("{isa}-f32-rows"), isa, task }))
}

struct Rows {
    name: String,
    isa: Isa,
    task: Norm,
}

impl CpuKernel for Rows {
    fn name(&self) -> &str {
        &self.name
    }

    fn in_place(&self) -> Vec<usize> {
        vec![0]
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let t = &self.task;
        let x = if io.is_shared(0) { None } else { Some(io.operand::<f32>(0)?) };
        let gamma = if t.gamma { Some(io.operand::<f32>(1)?) } else { None };
        let beta = if t.beta { Some(io.operand::<f32>(1 + usize::from(t.gamma))?) } else { None };
        let y = io.result::<f32>(0)?;
        let mean = if t.stats && t.kind == NormKind::Layer { io.result::<f32>(1)? } else { &mut [] };
        let scale = if t.stats { io.result::<f32>(1 + usize::from(t.kind == NormKind::Layer))? } else { &mut [] };
        let (means, scales) = (Shared::new(mean.as_mut_ptr()), Shared::new(scale.as_mut_ptr()));
        let (means_len, scales_len) = (mean.len(), scale.len());
        let rows = CHUNK.div_ceil(t.cols.max(1));
        let piece = (rows * t.cols).max(1);
        gang.parallel_pieces(y, piece, |chunk, y| {
            if let Some(x) = x {
                y.copy_from_slice(&x[chunk * piece..][..y.len()]);
            }
            let count = y.len() / t.cols;
            let first = chunk * rows;
            // SAFETY: every chunk has rows of its own, which lie inside the statistics if there are any.
            let part = |p: Shared<f32>, len: usize| unsafe { p.slice(first.min(len), count.min(len)) };
            let (means, scales) = (part(means, means_len), part(scales, scales_len));
            self.isa.run(Work { task: t, y, gamma, beta, means, scales });
        });
        if t.cols == 0 {
            mean.fill(f32::NAN);
            scale.fill(f32::NAN);
        }
        Ok(())
    }
}

struct Work<'a> {
    task: &'a Norm,
    /// Rows, normalised in place.
    y: &'a mut [f32],
    gamma: Option<&'a [f32]>,
    beta: Option<&'a [f32]>,
    means: &'a mut [f32],
    scales: &'a mut [f32],
}

impl Kernel for Work<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (r, y) in self.y.chunks_exact_mut(self.task.cols).enumerate() {
            let n = self.task.cols as f32;
            let mut centre = [0.0; 2];
            if self.task.kind == NormKind::Layer {
                centre[0] = sum(
                    s,
                    y,
                    #[inline(always)]
                    |x| x,
                ) / n;
                if centre[0].is_finite() {
                    let shift = s.splat(centre[0]);
                    centre[1] = sum(
                        s,
                        y,
                        #[inline(always)]
                        |x| s.sub(x, shift),
                    ) / n;
                }
            }
            // The mean in two parts: the second is what rounding took from the first.
            let [high, low] = [s.splat(centre[0]), s.splat(centre[1])];
            let square = sum(
                s,
                y,
                #[inline(always)]
                |x| {
                    let d = s.sub(s.sub(x, high), low);
                    s.mul(d, d)
                },
            );
            let scale = (1.0 / (f64::from(square / n) + self.task.eps).sqrt()) as f32;
            normalise(s, y, [high, low, s.splat(scale)], self.gamma, self.beta);
            if let Some(m) = self.means.get_mut(r) {
                *m = centre[0] + centre[1];
            }
            if let Some(m) = self.scales.get_mut(r) {
                *m = scale;
            }
        }
    }
}

/// Σ f(x), where lanes beyond the row do not count. `f` is `#[inline(always)]`.
#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32], f: impl Fn(S::F) -> S::F) -> f32 {
    let whole = x.len() - x.len() % S::LANES;
    let total = fold_vectors(
        s,
        x,
        s.zero(),
        #[inline(always)]
        |a, x| s.add(a, f(x)),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    let total = s.reduce_sum(total);
    if whole == x.len() {
        return total;
    }
    let mut lanes = [0.0; MAX_LANES];
    s.put(&mut lanes, 0, f(s.get_tail(x, whole)));
    total + lanes[..x.len() - whole].iter().sum::<f32>()
}

/// `(x − high − low) · scale · gamma + beta`.
#[inline(always)]
fn normalise<S: Simd>(s: S, y: &mut [f32], centre: [S::F; 3], gamma: Option<&[f32]>, beta: Option<&[f32]>) {
    let whole = y.len() - y.len() % S::LANES;
    for piece in pieces(whole) {
        for i in piece.step_by(S::LANES) {
            let (g, b) = (at(s, gamma, i), at(s, beta, i));
            let v = normal(s, s.get(y, i), centre, g, b);
            s.put(y, i, v);
        }
    }
    if whole < y.len() {
        let (g, b) = (tail(s, gamma, whole), tail(s, beta, whole));
        let v = normal(s, s.get_tail(y, whole), centre, g, b);
        s.put_tail(y, whole, v);
    }
}

#[inline(always)]
fn at<S: Simd>(s: S, x: Option<&[f32]>, i: usize) -> Option<S::F> {
    Some(s.get(x?, i))
}

#[inline(always)]
fn tail<S: Simd>(s: S, x: Option<&[f32]>, i: usize) -> Option<S::F> {
    Some(s.get_tail(x?, i))
}

#[inline(always)]
fn normal<S: Simd>(s: S, x: S::F, [high, low, scale]: [S::F; 3], gamma: Option<S::F>, beta: Option<S::F>) -> S::F {
    let v = s.mul(s.sub(s.sub(x, high), low), scale);
    match (gamma, beta) {
        (Some(g), Some(b)) => s.fma(v, g, b),
        (Some(g), None) => s.mul(v, g),
        (None, Some(b)) => s.add(v, b),
        (None, None) => v,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::cases::{Bound, Case, check, tensor};
    use mindir_graph::Tensor;

    #[test]
    fn the_mean_of_infinity_is_infinite() {
        let x = [1.0, f32::INFINITY, 2.0, f32::NEG_INFINITY, 1.0, 0.0, 1.0, 2.0, f32::NAN];
        let ins = vec![Tensor::from_slice(&[3, 3], &x).unwrap()];
        let outs = vec![Fact::new(DType::F32, &[3, 3]), Fact::new(DType::F32, &[3]), Fact::new(DType::F32, &[3])];
        let norm = Norm {
            kind: NormKind::Layer,
            rows: 3,
            cols: 3,
            eps: 1e-5,
            gamma: false,
            beta: false,
            stats: true,
            dtype: DType::F32,
        };
        let bound = Bound { absolute: 0.0, relative: 0.0 };
        check(&[Case::new("infinite rows", Task::Norm(norm), ins, outs, bound)]);
    }

    #[test]
    fn rows_are_normalised() {
        let mut cases = Vec::new();
        for (rows, cols) in [(1, 1), (3, 7), (2, 8), (5, 33), (100, 768), (2, 4099), (0, 5), (4, 0)] {
            for (kind, gamma, beta, stats, offset) in [
                (NormKind::Layer, true, true, true, 0.0),
                (NormKind::Layer, false, true, false, 100.0),
                (NormKind::Layer, false, false, true, 3000.0),
                (NormKind::Rms, true, false, true, 0.0),
                (NormKind::Rms, false, false, false, 5.0),
            ] {
                let x: Vec<f32> = tensor(1, DType::F32, &[rows, cols], 2.0).view().unwrap().to_vec();
                let x: Vec<f32> = x.iter().map(|v| v + offset).collect();
                let mut ins = vec![Tensor::from_slice(&[rows, cols], &x).unwrap()];
                (0..usize::from(gamma) + usize::from(beta))
                    .for_each(|i| ins.push(tensor(i as u64 + 2, DType::F32, &[cols], 2.0)));
                let mut outs = vec![Fact::new(DType::F32, &[rows, cols])];
                let count = if !stats {
                    0
                } else if kind == NormKind::Layer {
                    2
                } else {
                    1
                };
                outs.extend((0..count).map(|_| Fact::new(DType::F32, &[rows])));
                let task = Task::Norm(Norm { kind, rows, cols, eps: 1e-5, gamma, beta, stats, dtype: DType::F32 });
                // A row of one element is its own mean: all that is left of it is the rounding of the sum.
                let bound = Bound { absolute: 2e-6, relative: 2e-6 };
                cases.push(Case::new(format!("{kind:?} {rows} × {cols} + {offset}"), task, ins, outs, bound));
            }
        }
        check(&cases);
    }
}
