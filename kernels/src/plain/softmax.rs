use mindir_graph::bounds::Pulse;
use mindir_graph::task::Softmax;
use mindir_graph::{Fact, OpError, Tensor, ensure};

use super::number::Number;
use super::{operand, result};

pub(super) fn run(s: &Softmax, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    ensure!(s.dtype.is_float(), "softmax: of {}", s.dtype);
    let dims = [s.outer, s.len, s.inner];
    let x = f64::read(operand("softmax", ins, 0, s.dtype, &dims)?)?;
    let out = result("softmax", outs, 0, s.dtype, &dims)?;
    let (mut y, mut pulse) = (vec![0.0; x.len()], Pulse::default());
    for o in 0..s.outer {
        for i in 0..s.inner {
            pulse.turns(s.len)?;
            let at = |l: usize| (o * s.len + l) * s.inner + i;
            let largest = (0..s.len).map(|l| x[at(l)]).fold(f64::NEG_INFINITY, |m, v| if v.above(m) { v } else { m });
            let sum: f64 = (0..s.len).map(|l| (x[at(l)] - largest).exp()).sum();
            for l in 0..s.len {
                let shifted = x[at(l)] - largest;
                y[at(l)] = if s.log { shifted - sum.ln() } else { shifted.exp() / sum };
            }
        }
    }
    Ok(vec![f64::write(out, &y)?])
}
