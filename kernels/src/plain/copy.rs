use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Copy, Part};
use mindir_graph::{Fact, OpError, Tensor, aligned_copy, checked_count, ensure};

use super::{at, indices, within};

pub(super) fn run(c: &Copy, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let [out] = outs else { return Err(OpError::Invalid("copy: expected one result".into())) };
    ensure!(out.dtype == c.dtype, "copy: result {out}, expected {}", c.dtype);
    let size = c.dtype.size();
    let fill = c.fill.clone().unwrap_or_else(|| vec![0; size]);
    ensure!(fill.len() == size, "copy: fill of {} bytes for {}", fill.len(), c.dtype);
    let mut bytes = fill.repeat(out.count());
    for part in &c.parts {
        let Some(t) = ins.get(part.input) else {
            return Err(OpError::Invalid(format!("copy: operand {} is missing", part.input)));
        };
        ensure!(t.dtype() == c.dtype, "copy: operand {}, expected {}", t.fact(), c.dtype);
        block(part, size, t.bytes(), &mut bytes)?;
    }
    Ok(vec![Tensor::from_bytes(c.dtype, &out.shape, aligned_copy(&bytes)?)?])
}

fn block(p: &Part, size: usize, from: &[u8], to: &mut [u8]) -> Result<(), OpError> {
    within("copy", from.len() / size, p.src_offset, &p.shape, &p.src)?;
    within("copy", to.len() / size, p.dst_offset, &p.shape, &p.dst)?;
    let small = checked_count(&p.shape).is_some_and(|n| n <= to.len() / size);
    ensure!(small, "copy: part {:?} is larger than the result", p.shape);
    let mut pulse = Pulse::default();
    for index in indices(&p.shape) {
        pulse.beat()?;
        let (s, d) = (at(p.src_offset, &index, &p.src) * size, at(p.dst_offset, &index, &p.dst) * size);
        to[d..d + size].copy_from_slice(&from[s..s + size]);
    }
    Ok(())
}
