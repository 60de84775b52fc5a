use mindir_graph::bounds::Pulse;
use mindir_graph::task::Gather;
use mindir_graph::{DType, Fact, OpError, Tensor, aligned_copy, ensure, normalize_axis};

use super::{operand, result};

pub(super) fn run(g: &Gather, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    ensure!(matches!(g.index, DType::I32 | DType::I64), "gather: index of {}", g.index);
    let x = operand("gather", ins, 0, g.dtype, &[g.outer, g.axis, g.inner])?.bytes();
    let index = operand("gather", ins, 1, g.index, &[if g.batch { g.outer } else { 1 }, g.count])?.to_i64s()?;
    let out = result("gather", outs, 0, g.dtype, &[g.outer, g.count, g.inner])?;
    let slice = g.inner * g.dtype.size();
    let (mut y, mut pulse) = (vec![0u8; out.bytes()], Pulse::default());
    for o in 0..g.outer {
        for c in 0..g.count {
            pulse.turns(g.inner)?;
            let index = index[if g.batch { o * g.count + c } else { c }];
            let Some(i) = normalize_axis(index, g.axis) else {
                ensure!(g.zeros, "{}", g.outside(index));
                continue;
            };
            let (from, to) = ((o * g.axis + i) * slice, (o * g.count + c) * slice);
            y[to..to + slice].copy_from_slice(&x[from..from + slice]);
        }
    }
    Ok(vec![Tensor::from_bytes(g.dtype, &out.shape, aligned_copy(&y)?)?])
}
