use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Scatter, ScatterKind};
use mindir_graph::{DType, Fact, OpError, Tensor, aligned_copy, ensure, normalize_axis};

use super::number::{Number, with_number};
use super::{operand, result};

pub(super) fn run(s: &Scatter, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    ensure!(matches!(s.index, DType::I32 | DType::I64), "scatter: index of {}", s.index);
    let dims: Vec<usize> = s.axes.iter().copied().chain([s.inner]).collect();
    let x = operand("scatter", ins, 0, s.dtype, &dims)?;
    let index = operand("scatter", ins, 1, s.index, &[s.count, s.axes.len()])?.to_i64s()?;
    let u = operand("scatter", ins, 2, s.dtype, &[s.count, s.inner])?;
    let out = result("scatter", outs, 0, s.dtype, &dims)?;
    let rows = (0..if s.inner == 0 { 0 } else { s.count }).map(|c| &index[c * s.axes.len()..][..s.axes.len()]);
    let places = rows.map(|row| place(&s.axes, row)).collect::<Result<Vec<usize>, _>>()?;
    let mut pulse = Pulse::default();
    match s.kind {
        ScatterKind::Replace => {
            let (mut y, slice) = (x.bytes().to_vec(), s.inner * s.dtype.size());
            for (c, at) in places.into_iter().enumerate() {
                pulse.turns(s.inner)?;
                y[at * slice..][..slice].copy_from_slice(&u.bytes()[c * slice..][..slice]);
            }
            Ok(vec![Tensor::from_bytes(s.dtype, &out.shape, aligned_copy(&y)?)?])
        }
        kind => with_number!(s.dtype, N => {
            let (mut y, u) = (N::read(x)?, N::read(u)?);
            for (c, at) in places.into_iter().enumerate() {
                pulse.turns(s.inner)?;
                for i in 0..s.inner {
                    let y = &mut y[at * s.inner + i];
                    *y = updated(kind, *y, u[c * s.inner + i]);
                }
            }
            Ok(vec![N::write(out, &y)?])
        }),
    }
}

fn updated<N: Number>(kind: ScatterKind, y: N, u: N) -> N {
    match kind {
        ScatterKind::Replace => u,
        ScatterKind::Add => y.add(u),
        ScatterKind::Mul => y.mul(u),
        ScatterKind::Max if u.above(y) => u,
        ScatterKind::Min if u.below(y) => u,
        ScatterKind::Max | ScatterKind::Min => y,
    }
}

/// The slice at the coordinates `row`, counted in slices.
fn place(axes: &[usize], row: &[i64]) -> Result<usize, OpError> {
    let mut at = 0;
    for (&i, &len) in row.iter().zip(axes) {
        let outside = || OpError::Invalid(format!("index {i} is out of range for {len} elements"));
        at = at * len + normalize_axis(i, len).ok_or_else(outside)?;
    }
    Ok(at)
}
