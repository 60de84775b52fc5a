//! Gradients of losses that are a function of a result and what it should be, element by element.

use super::distance::{LEAST, Reduced, halves};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::common_shape;
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::formula::Num;
use crate::ops::kit::indices::dim;
use crate::ops::kit::sample::{Sample, sample};
use crate::task::Unary;
use crate::{DType, OpError, Tensor, ensure, op};

/// What `formula` makes of the operands, of which the first has type and shape of the result; a mean takes its share of them.
/// Operands that are left out count as ones.
fn gradient<'a, const N: usize>(
    ins: [Option<&'a Operand>; N],
    how: Reduced,
    formula: impl for<'p> Fn([Num<'p>; N]) -> Num<'p> + 'a,
) -> Result<impl Rule + 'a, OpError> {
    let given: Vec<&Operand> = ins.iter().flatten().copied().collect();
    let Some(x) = given.first().copied() else { return Err(OpError::Invalid("expected a tensor, found none".into())) };
    ensure!(given.iter().all(|x| x.dtype().is_float()), "expected floats, found {}", x.fact);
    let shape = common_shape(&given)?;
    ensure!(shape.as_slice() == x.shape(), "expected operands that fit {}, found {shape:?}", x.fact);
    let share = match how {
        Reduced::Mean => 1.0 / x.count() as f64,
        Reduced::BatchMean => 1.0 / dim(x.shape(), 0)? as f64,
        Reduced::Each | Reduced::Sum => 1.0,
    };
    let d = x.dtype();
    Ok(composite(vec![x.fact.clone()], move |at| {
        let one = |at: &mut At, given: Option<&Operand>| match given {
            Some(given) => at.wide(given, d),
            None => {
                let one = at.constant(x, Tensor::scalar(1.0f32));
                at.wide(&one, d)
            }
        };
        let operands = ins.map(|given| one(at, given));
        let operands = operands.into_iter().collect::<Result<Vec<_>, _>>()?;
        let Ok(operands) = <[&Operand; N]>::try_from(operands.iter().collect::<Vec<_>>()) else {
            return Err(OpError::Invalid("expected as many operands as numbers".into()));
        };
        Ok(vec![at.formula(operands, |x| if share == 1.0 { formula(x) } else { formula(x) * share })?])
    }))
}

op! {
    /// The gradient of `SmoothL1Loss` for `prediction`: `d / beta` of the difference `d` where its size is below `beta`, else the sign of
    /// `d`; times `dout`. Floats.
    SmoothL1LossGrad {
        prediction: Operand,
        target: Operand,
        dout: Operand,
        beta: f64 = 1.0,
        reduction: Reduced = Reduced::Each,
    }
}

impl Operator for SmoothL1LossGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (beta, ins) = (self.beta, [Some(&self.prediction), Some(&self.target), Some(&self.dout)]);
        gradient(ins, self.reduction, move |[x, y, g]| {
            let d = x - y;
            d.abs().lt(beta).choose(d / beta, d.sign()) * g
        })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]);
        vec![
            x().tensor(DType::F32, &[3, 5]).real(0.5).int(2).case("each"),
            x().real(2.0).real(0.5).int(1).case("mean"),
            x().real(2.0).real(1.0).int(0).case("sum"),
        ]
    }
}

op! {
    /// The gradient of `KLDivLoss` for its first operand: `−target · grad`. Floats.
    classic KLDivLossGrad { grad: Operand, input: Operand, target: Operand, reduction: Reduced as Small = Reduced::Mean }
}

impl Operator for KLDivLossGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        gradient([Some(&self.input), Some(&self.target), Some(&self.grad)], self.reduction, |[_, y, g]| -(y * g))
    }

    fn cases() -> Vec<Case> {
        let after = |grad: Sample| grad.tensor(DType::F32, &[3, 5]).positive(DType::F32, &[3, 5]);
        vec![
            after(sample().tensor(DType::F32, &[3, 5])).text("none").case("each"),
            after(sample().real(2.0)).text("mean").case("mean"),
            after(sample().real(2.0)).text("batchmean").case("mean of rows"),
        ]
    }
}

op! {
    /// The gradient of `BinaryCrossEntropy` for `input`: `weight · (input − target) / max(input · (1 − input), 10⁻¹²) · grad_output`.
    /// Floats.
    BinaryCrossEntropyGrad {
        input: Operand,
        target: Operand,
        grad_output: Operand,
        weight: Option<Operand> = None,
        reduction: Reduced = Reduced::Mean,
    }
}

impl Operator for BinaryCrossEntropyGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let ins = [Some(&self.input), Some(&self.target), Some(&self.grad_output), self.weight.as_ref()];
        gradient(ins, self.reduction, |[x, y, g, w]| w * (x - y) / (x * (1.0 - x)).max(LEAST) * g)
    }

    fn cases() -> Vec<Case> {
        let x = || sample().arg(halves(&[3, 5])).positive(DType::F32, &[3, 5]);
        vec![
            x().tensor(DType::F32, &[3, 5]).positive(DType::F32, &[3, 5]).int(2).case("each"),
            x().real(2.0).none().int(1).case("mean"),
            x().real(2.0).positive(DType::F32, &[3, 5]).int(0).case("sum"),
        ]
    }
}

op! {
    /// The gradient of `BCEWithLogitsLoss` for `input`:
    /// `weight · ((1 − target) · σ(input) − posWeight · target · σ(−input)) · grad_output`. Floats.
    BinaryCrossEntropyWithLogitsBackward {
        grad_output: Operand,
        input: Operand,
        target: Operand,
        weight: Option<Operand> = None,
        pos_weight ["posWeight"]: Option<Operand> = None,
        reduction: Reduced = Reduced::Mean,
    }
}

impl Operator for BinaryCrossEntropyWithLogitsBackward {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (w, positive) = (self.weight.as_ref(), self.pos_weight.as_ref());
        let ins = [Some(&self.input), Some(&self.target), Some(&self.grad_output), w, positive];
        gradient(ins, self.reduction, |[x, y, g, w, positive]| {
            let [yes, no] = [x, -x].map(|x| x.map(Unary::Sigmoid));
            w * ((1.0 - y) * yes - positive * y * no) * g
        })
    }

    fn cases() -> Vec<Case> {
        let x = |g: Sample| g.tensor(DType::F32, &[3, 5]).positive(DType::F32, &[3, 5]);
        vec![
            x(sample().tensor(DType::F32, &[3, 5]))
                .positive(DType::F32, &[3, 5])
                .positive(DType::F32, &[5])
                .int(2)
                .case("each"),
            x(sample().real(2.0)).none().none().int(1).case("mean"),
            x(sample().real(2.0)).none().positive(DType::F32, &[5]).int(0).case("sum"),
        ]
    }
}
