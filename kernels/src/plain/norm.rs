use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Norm, NormKind};
use mindir_graph::{DType, Fact, OpError, Tensor, ensure};

use super::number::Number;
use super::{operand, result};

pub(super) fn run(n: &Norm, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    ensure!(n.dtype.is_float(), "norm: of {}", n.dtype);
    let x = f64::read(operand("norm", ins, 0, n.dtype, &[n.rows, n.cols])?)?;
    let gamma = optional(n, ins, n.gamma.then_some(1))?;
    let beta = optional(n, ins, n.beta.then_some(1 + usize::from(n.gamma)))?;
    let mut y = Vec::with_capacity(x.len());
    let (mut means, mut scales) = (Vec::new(), Vec::new());
    let mut pulse = Pulse::default();
    for r in 0..n.rows {
        pulse.turns(n.cols)?;
        let row = &x[r * n.cols..(r + 1) * n.cols];
        let (mean, scale) = statistics(n, row);
        let normal = |(j, &v): (usize, &f64)| {
            (v - mean) * scale * gamma.as_ref().map_or(1.0, |g| g[j]) + beta.as_ref().map_or(0.0, |b| b[j])
        };
        y.extend(row.iter().enumerate().map(normal));
        means.push(mean);
        scales.push(scale);
    }
    let mut results = vec![f64::write(result("norm", outs, 0, n.dtype, &[n.rows, n.cols])?, &y)?];
    if n.stats {
        let stats: &[&[f64]] = if n.kind == NormKind::Layer { &[&means, &scales] } else { &[&scales] };
        for (i, values) in stats.iter().enumerate() {
            results.push(f64::write(result("norm", outs, i + 1, DType::F32, &[n.rows])?, values)?);
        }
    }
    Ok(results)
}

fn optional(n: &Norm, ins: &[Tensor], index: Option<usize>) -> Result<Option<Vec<f64>>, OpError> {
    index.map(|i| f64::read(operand("norm", ins, i, n.dtype, &[n.cols])?)).transpose()
}

/// Mean (0 for RMS) and the factor that normalises.
fn statistics(n: &Norm, row: &[f64]) -> (f64, f64) {
    let mean_of = |f: &dyn Fn(f64) -> f64| row.iter().map(|&v| f(v)).sum::<f64>() / row.len() as f64;
    let mean = if n.kind == NormKind::Layer { mean_of(&|v| v) } else { 0.0 };
    let spread = mean_of(&|v| (v - mean) * (v - mean));
    (mean, 1.0 / (spread + n.eps).sqrt())
}
