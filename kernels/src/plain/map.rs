use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Map, Scalar};
use mindir_graph::{Fact, OpError, Strides, Tensor, broadcast_strides};

use super::finish::check;
use super::number::{from_scalars, scalars};
use super::{at, indices, result};

pub(super) fn run(m: &Map, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    check(&m.program, ins.len())?;
    let dtype = m.program.dtype().ok_or_else(|| OpError::Invalid("map: no instructions".into()))?;
    let out = result("map", outs, 0, dtype, &m.shape)?;
    let operands = ins.iter().map(|t| broadcast(m, t)).collect::<Result<Vec<_>, OpError>>()?;
    let mut pulse = Pulse::default();
    let eval = |index: Vec<usize>| {
        pulse.beat()?;
        let inputs: Vec<Scalar> = operands.iter().map(|(values, strides)| values[at(0, &index, strides)]).collect();
        Ok(m.program.eval(&inputs))
    };
    let data: Vec<Scalar> = indices(&m.shape).map(eval).collect::<Result<_, OpError>>()?;
    Ok(vec![from_scalars(out, &data)?])
}

fn broadcast(m: &Map, t: &Tensor) -> Result<(Vec<Scalar>, Strides), OpError> {
    let Some(strides) = broadcast_strides(t.shape(), &m.shape) else {
        return Err(OpError::Invalid(format!("map: operand {} does not broadcast to {:?}", t.fact(), m.shape)));
    };
    Ok((scalars(t)?, strides))
}
