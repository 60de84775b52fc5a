use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Reduce, ReduceKind};
use mindir_graph::{Fact, OpError, Tensor, ensure};

use super::number::{Number, with_number};
use super::{operand, result};

pub(super) fn run(r: &Reduce, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let x = operand("reduce", ins, 0, r.dtype, &[r.outer, r.len, r.inner])?;
    let out = result("reduce", outs, 0, r.out, &[r.outer, r.inner])?;
    let position = matches!(r.kind, ReduceKind::ArgMax | ReduceKind::ArgMin);
    let extreme = position || matches!(r.kind, ReduceKind::Max | ReduceKind::Min);
    ensure!(!extreme || r.len > 0 || out.count() == 0, "reduce: {:?} of nothing", r.kind);
    with_number!(r.dtype, N => {
        let x = N::read(x)?;
        if position {
            let places = lines(r, &x, |line| best(r.kind, line).unwrap_or(0) as i128)?;
            return Ok(vec![i128::write(out, &places)?]);
        }
        ensure!(r.out == r.dtype, "reduce: {} gives {}", r.dtype, r.out);
        Ok(vec![N::write(out, &lines(r, &x, |line| value(r.kind, line))?)?])
    })
}

fn lines<N: Number, M>(r: &Reduce, x: &[N], f: impl Fn(&[N]) -> M) -> Result<Vec<M>, OpError> {
    let (mut y, mut pulse) = (Vec::with_capacity(r.outer * r.inner), Pulse::default());
    for o in 0..r.outer {
        for i in 0..r.inner {
            pulse.turns(r.len)?;
            let line: Vec<N> = (0..r.len).map(|l| x[(o * r.len + l) * r.inner + i]).collect();
            y.push(f(&line));
        }
    }
    Ok(y)
}

/// Position of the first largest or smallest element.
fn best<N: Number>(kind: ReduceKind, line: &[N]) -> Option<usize> {
    let largest = matches!(kind, ReduceKind::Max | ReduceKind::ArgMax);
    (0..line.len()).reduce(|b, i| {
        let wins = if largest { line[i].above(line[b]) } else { line[i].below(line[b]) };
        if wins { i } else { b }
    })
}

fn value<N: Number>(kind: ReduceKind, line: &[N]) -> N {
    let truth = |t| if t { N::ONE } else { N::ZERO };
    let sum = || line.iter().fold(N::ZERO, |s, &x| s.add(x));
    match kind {
        ReduceKind::Sum => sum(),
        ReduceKind::Mean => sum().over(line.len()),
        ReduceKind::Prod => line.iter().fold(N::ONE, |s, &x| s.mul(x)),
        ReduceKind::All => truth(line.iter().all(|x| x.truth())),
        ReduceKind::Any => truth(line.iter().any(|x| x.truth())),
        _ => best(kind, line).map_or(N::ZERO, |i| line[i]),
    }
}
