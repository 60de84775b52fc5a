//! MindSpore's `LSTM` for layers of which it says the same.

use mindir_graph::{DType, Tensor};

use super::shape::{dims_of, part, reshaped};
use crate::onnx::read::import::{Call, Import, Steps, Val};

/// Whether MindSpore's operator says the same: constant weights of `f32`, no peepholes.
pub(super) fn own_lstm(c: &Call, x: &Val) -> bool {
    let constant = |i: usize| c.option(i).is_none_or(|v| v.constant().is_some());
    x.dtype() == DType::F32 && (1..4).all(constant) && c.option(7).is_none()
}

/// MindSpore keeps all weights in one tensor, with the gates in another order.
pub(super) fn lstm(m: &mut Import, c: &Call, x: &Val, start: &[Val], directions: i64, hidden: i64) -> Steps {
    let [h, cell] = start else { return Err("LSTM has two states".into()) };
    let input = c.input(1)?.dim(2)?;
    let weights = weights(c, directions as usize, hidden as usize, input as usize)?;
    let w = m.constant(weights);
    let two = directions == 2;
    let args = vec![
        x.into(),
        h.into(),
        cell.into(),
        w.into(),
        input.into(),
        hidden.into(),
        1i64.into(),
        true.into(),
        two.into(),
        0.0.into(),
    ];
    let out = m.op_n("LSTM", args, 5)?;
    let [y, h, cell, ..] = out.as_slice() else { return Err("LSTM has five results".into()) };
    let dims = dims_of(m, x)?;
    let (lead, rest) = (part(m, &dims, 0, 2)?, m.vector(&[directions, hidden]));
    let y = reshaped(m, y.clone(), vec![lead, rest])?;
    let y = m.op("Transpose", vec![y.into(), vec![0, 2, 1, 3].into()])?;
    Ok(vec![y, h.clone(), cell.clone()])
}

/// MindSpore's order of the gates input, output, forget, cell: input, forget, cell, output.
const GATES: [usize; 4] = [0, 2, 3, 1];

fn weights(c: &Call, count: usize, hidden: usize, input: usize) -> Result<Tensor, String> {
    let (w, r) = (c.input(1)?.numbers()?, c.input(2)?.numbers()?);
    let bias = c.option(3).map(|b| b.numbers()).transpose()?;
    // Of `parts` blocks of `hidden · cols` numbers for each direction, the four from `first` on.
    let gates = |data: &[f64], parts: usize, first: usize, cols: usize| -> Result<Vec<f64>, String> {
        let block = hidden.checked_mul(cols).filter(|n| *n <= data.len()).ok_or("weights of another size")?;
        let mut rows = Vec::new();
        for d in 0..count {
            for gate in GATES {
                let at = (d * parts + first + gate) * block;
                rows.extend_from_slice(data.get(at..at + block).ok_or("weights of another size")?);
            }
        }
        Ok(rows)
    };
    let mut out = gates(&w, 4, 0, input)?;
    out.extend(gates(&r, 4, 0, hidden)?);
    let sums = match bias {
        Some(b) => {
            let (own, other) = (gates(&b, 8, 0, 1)?, gates(&b, 8, 4, 1)?);
            own.iter().zip(&other).map(|(a, b)| a + b).collect::<Vec<f64>>()
        }
        None => vec![0.0; count * 4 * hidden],
    };
    out.extend(sums);
    let n = out.len();
    Tensor::from_f64s(DType::F32, &[n, 1, 1], &out).map_err(|e| e.to_string())
}
