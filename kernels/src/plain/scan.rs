use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Scan, ScanKind};
use mindir_graph::{Fact, OpError, Tensor};

use super::number::{Number, with_number};
use super::{operand, result};

pub(super) fn run(s: &Scan, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let dims = [s.outer, s.len, s.inner];
    let x = operand("scan", ins, 0, s.dtype, &dims)?;
    let out = result("scan", outs, 0, s.dtype, &dims)?;
    with_number!(s.dtype, N => Ok(vec![N::write(out, &running(s, &N::read(x)?)?)?]))
}

fn running<N: Number>(s: &Scan, x: &[N]) -> Result<Vec<N>, OpError> {
    let (mut y, mut pulse) = (vec![N::ZERO; x.len()], Pulse::default());
    for o in 0..s.outer {
        for i in 0..s.inner {
            let mut total = if s.kind == ScanKind::Sum { N::ZERO } else { N::ONE };
            for step in 0..s.len {
                pulse.beat()?;
                let l = if s.reverse { s.len - 1 - step } else { step };
                let at = (o * s.len + l) * s.inner + i;
                let next = if s.kind == ScanKind::Sum { total.add(x[at]) } else { total.mul(x[at]) };
                y[at] = if s.exclusive { total } else { next };
                total = next;
            }
        }
    }
    Ok(y)
}
