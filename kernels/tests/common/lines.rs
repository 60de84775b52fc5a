//! Softmax, norms and reductions.

use mindir_graph::DType::{self, F32, I8, I32, I64};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Norm, NormKind, Reduce, ReduceKind, Softmax, Task};
use mindir_graph::{Fact, Tensor};

use super::{Case, FLOATS, Noise, TYPES, check, check_narrow, close, tensor};

fn softmax(x: Tensor, [outer, len, inner]: [usize; 3], log: bool) -> Case {
    let (dtype, fact) = (x.dtype(), x.fact());
    let task = Task::Softmax(Softmax { outer, len, inner, log, dtype });
    let (absolute, relative) = close(dtype);
    let near = if log { (20.0 * relative, relative) } else { (absolute, 4.0 * relative) };
    Case::new(format!("{outer} {len} {inner} {log} of {dtype}"), task, vec![x], vec![fact]).near(near)
}

fn softmaxes_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(9));
    let mut cases = Vec::new();
    let sizes =
        [[1, 1, 1], [5, 10, 1], [3, 33, 1], [7, 1000, 1], [2, 9, 6], [4, 100, 3], [70, 257, 1], [3, 0, 2], [0, 3, 1]];
    for &dtype in FLOATS {
        for dims in sizes {
            let x = noise.tensor(dtype, &dims, -20.0, 20.0);
            cases.extend([false, true].map(|log| softmax(x.clone(), dims, log)));
        }
        let masked = [0.5, f64::NEG_INFINITY, 1.5, 0.0].repeat(20);
        cases.push(softmax(tensor(dtype, &[2, 40], &masked), [2, 40, 1], false));
        let mut special = masked;
        special[3] = f64::NAN;
        special[40..].fill(f64::NEG_INFINITY);
        cases.push(softmax(tensor(dtype, &[2, 40], &special), [2, 40, 1], false));
    }
    cases
}

#[test]
fn softmaxes() {
    check(&softmaxes_cases());
    check_narrow(&softmaxes_cases(), 3);
}

/// A norm; the bits of `parts` say which parts it has.
fn norm(noise: &mut Noise, dtype: DType, (rows, cols): (usize, usize), parts: u8) -> Case {
    let [rms, gamma, beta, stats] = [0, 1, 2, 3].map(|b| parts >> b & 1 == 1);
    let kind = if rms { NormKind::Rms } else { NormKind::Layer };
    let task = Norm { kind, rows, cols, eps: 1e-5, gamma, beta, stats, dtype };
    let mut ins = vec![noise.tensor(dtype, &[rows, cols], 1.0, 5.0)];
    ins.extend((0..u8::from(gamma) + u8::from(beta)).map(|_| noise.tensor(dtype, &[cols], -2.0, 2.0)));
    let mut outs = vec![ins[0].fact()];
    outs.extend((0..if stats { 2 - usize::from(rms) } else { 0 }).map(|_| Fact::new(F32, &[rows])));
    let (absolute, relative) = close(dtype);
    let near = (4.0 * absolute + 2.0 * relative, 2.0 * relative);
    let near = if stats { (near.0.max(1e-6), near.1.max(1e-6)) } else { near };
    Case::new(format!("{rows} {cols} {parts:04b} of {dtype}"), Task::Norm(task), ins, outs).near(near)
}

fn norms_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(10));
    let mut cases = Vec::new();
    for &dtype in FLOATS {
        for size in [(1, 1), (3, 7), (5, 768), (2, 1025), (3, 0), (0, 5)] {
            cases.extend((0..16).map(|parts| norm(&mut noise, dtype, size, parts)));
        }
    }
    cases
}

#[test]
fn norms() {
    check(&norms_cases());
    check_narrow(&norms_cases(), 3);
}

fn reductions_cases() -> Vec<Case> {
    use ReduceKind::{All, Any, ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    let mut noise = Noise(SplitMix(11));
    let mut cases = Vec::new();
    for dims in [[1, 1, 1], [3, 20, 1], [5, 255, 1], [2, 1000, 1], [3, 11, 7], [2, 1300, 2], [4, 0, 3]] {
        let [outer, len, inner] = dims;
        for kind in [Sum, Mean, Prod, Max, Min, All, Any, ArgMax, ArgMin] {
            if len == 0 && matches!(kind, Max | Min | ArgMax | ArgMin) {
                continue;
            }
            for &dtype in TYPES {
                let out = match (kind, dtype) {
                    (ArgMax | ArgMin, I8) => I64,
                    (ArgMax | ArgMin, _) => I32,
                    _ => dtype,
                };
                let (low, high) = if kind == Prod { (0.95, 1.05) } else { (-9.0, 9.0) };
                // Sums of 64 bits wrap before they are divided.
                let small = kind == Mean && dtype.size() == 8;
                let x = if small { noise.tensor(dtype, &dims, low, high) } else { noise.any(dtype, &dims, low, high) };
                let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
                let (absolute, relative) = close(dtype);
                let case = Case::new(
                    format!("{kind:?} of {dtype} {dims:?}"),
                    task,
                    vec![x],
                    vec![Fact::new(out, &[outer, inner])],
                );
                cases.push(case.within(absolute * 4.0 * len as f64, 8.0 * relative));
            }
        }
    }
    for &dtype in FLOATS {
        let x = tensor(dtype, &[4], &[1.0, f64::NAN, 7.0, f64::NAN]);
        for (kind, out) in [(Max, dtype), (Min, dtype), (ArgMax, I32), (ArgMin, I32), (Any, dtype), (All, dtype)] {
            let task = Task::Reduce(Reduce { kind, outer: 1, len: 4, inner: 1, dtype, out });
            let outs = vec![Fact::new(out, &[1])];
            cases.push(Case::new(format!("{kind:?} of {dtype} with NaN"), task, vec![x.clone()], outs));
        }
    }
    cases
}

#[test]
fn reductions() {
    check(&reductions_cases());
    check_narrow(&reductions_cases(), 3);
}
