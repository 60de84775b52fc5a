//! Losses of scores with a label each.

use super::Row;
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("NegativeLogLikelihoodLoss", |m, c| Ok(vec![label_loss(m, c, &c.input(0)?)?])),
    ("SoftmaxCrossEntropyLoss", |m, c| cross_entropy(m, c)),
];

/// The loss of the logarithms of shares that scores have, and these.
fn cross_entropy(m: &mut Import, c: &Call) -> Steps {
    let shares = m.op("LogSoftmax", vec![c.input(0)?.into(), 1i64.into()])?;
    Ok(vec![label_loss(m, c, &shares)?, shares])
}

/// `−weight[label] · x[label]` with the labels along dimension 1 of `x`, where a label is not to be ignored: each, their sum, or
/// their mean by weight.
fn label_loss(m: &mut Import, c: &Call, x: &Val) -> Step {
    let labels = c.input(1)?;
    let (kept, labels) = match c.has("ignore_index") {
        true => {
            let kept = m.with("NotEqual", &labels, c.int("ignore_index", 0) as f64)?;
            (Some(kept.clone()), m.select_or(&kept, &labels, 0.0)?)
        }
        false => (None, labels),
    };
    let column = m.with_ones(&labels, &[1])?;
    let taken = m.op("GatherD", vec![x.into(), 1i64.into(), column.into()])?;
    let taken = m.op("Squeeze", vec![taken.into(), vec![1].into()])?;
    let weights = match c.option(2) {
        Some(weights) => m.gathered(&weights, &labels, 0)?,
        None => m.one("OnesLike", &taken)?,
    };
    let loss = m.two("Mul", &taken, &weights)?;
    let loss = m.one("Neg", &loss)?;
    let counted = |m: &mut Import, v: Val| kept.as_ref().map_or(Ok(v.clone()), |kept| m.select_or(kept, &v, 0.0));
    let loss = counted(m, loss)?;
    let all: Vec<i64> = (0..loss.rank()? as i64).collect();
    match c.text("reduction", "mean").as_str() {
        "none" => Ok(loss),
        "sum" => m.reduce("ReduceSum", &loss, &all, false),
        "mean" => {
            let weights = counted(m, weights)?;
            let (sum, weight) =
                (m.reduce("ReduceSum", &loss, &all, false)?, m.reduce("ReduceSum", &weights, &all, false)?);
            m.two("Div", &sum, &weight)
        }
        other => Err(format!("reduction {other} is not supported")),
    }
}
