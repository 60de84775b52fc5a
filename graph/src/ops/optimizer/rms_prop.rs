//! Steps over the root of the mean square of gradients.

use super::step::{blend, in_turn, parameter, rows, state, step};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::formula::{Num, Term};
use crate::{OpError, op};

/// A parameter, the mean square of gradients and the moment after a step.
fn rms<'p, T: Term<'p> + Copy>(
    [w, square, moment]: [Num<'p>; 3],
    g: Num<'p>,
    rate: Num<'p>,
    [rho, momentum, eps]: [T; 3],
) -> [Num<'p>; 3] {
    let square = blend(rho, square, g.square());
    let moment = moment * momentum + rate * g / (square + eps).sqrt();
    [w - moment, square, moment]
}

/// As [`rms`], with the variance of gradients in the place of their mean square; their mean is second. Where variance and `eps`
/// are not above 0, parameter and moment stay.
fn centered<'p>(
    [w, mean, square, moment]: [Num<'p>; 4],
    g: Num<'p>,
    [rate, rho, momentum, eps]: [Num<'p>; 4],
) -> [Num<'p>; 4] {
    let (mean, square) = (blend(rho, mean, g), blend(rho, square, g.square()));
    let variance = square - mean.square() + eps;
    let (moves, new) = (variance.gt(0.0), momentum * moment + rate * g / variance.sqrt());
    [moves.choose(w - new, w), mean, square, moves.choose(new, moment)]
}

op! {
    /// `mean_square = rho · mean_square + (1 − rho) · grad²`,
    /// `moment = momentum · moment + learning_rate · grad / √(mean_square + epsilon)`, `var −= moment`. Writes all three. Returns
    /// `var`.
    classic ApplyRMSProp {
        var: Operand,
        mean_square: Operand,
        moment: Operand,
        learning_rate: Operand,
        grad: Operand,
        rho: Operand,
        momentum: Operand,
        epsilon: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyRMSProp {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 2, ..Writes::results(&[0, 1, 2]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyRMSProp { var, mean_square, moment, learning_rate, grad, rho, momentum, epsilon, .. } = self;
        let numbers = [learning_rate, rho, momentum, epsilon];
        Ok(step([var, mean_square, moment], grad, numbers, |old, g, [rate, fixed @ ..]| rms(old, g, rate, fixed)))
    }

    fn cases() -> Vec<Case> {
        vec![state(2, &[0.1]).arg(parameter()).real(0.9).real(0.8).real(1e-3).case("plain")]
    }
}

op! {
    /// As `ApplyRMSProp` for the rows `indices`, one after the other, whose gradients are rows of `grad`. Writes and returns
    /// `var`, `ms` and `mom`.
    classic SparseApplyRMSProp {
        var: Operand,
        ms: Operand,
        mom: Operand,
        lr: Operand,
        grad: Operand,
        indices: Operand,
        rho: f64,
        momentum: f64,
        epsilon: f64,
        use_locking: bool = false,
    }
}

impl Operator for SparseApplyRMSProp {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let fixed = [self.rho, self.momentum, self.epsilon];
        let (variables, gradient) = ([&self.var, &self.ms, &self.mom], [&self.grad, &self.indices]);
        Ok(in_turn(variables, gradient, [&self.lr], move |old, g, [rate]| rms(old, g, rate, fixed)))
    }

    fn cases() -> Vec<Case> {
        vec![rows(state(2, &[0.1])).real(0.9).real(0.8).real(1e-3).case("rows")]
    }
}

op! {
    /// As `ApplyRMSProp` with the variance of gradients: `mean_gradient = rho · mean_gradient + (1 − rho) · grad`, and
    /// `mean_square − mean_gradient²` in the place of `mean_square` in the step; where that with `epsilon` is not above 0, `moment`
    /// and `var` stay. Writes all four. Returns `var`.
    classic ApplyCenteredRMSProp {
        var: Operand,
        mean_gradient: Operand,
        mean_square: Operand,
        moment: Operand,
        grad: Operand,
        learning_rate: Operand,
        rho: Operand,
        momentum: Operand,
        epsilon: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyCenteredRMSProp {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 3, ..Writes::results(&[0, 1, 2, 3]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.learning_rate, &self.rho, &self.momentum, &self.epsilon];
        Ok(step([&self.var, &self.mean_gradient, &self.mean_square, &self.moment], &self.grad, numbers, centered))
    }

    fn cases() -> Vec<Case> {
        vec![state(3, &[]).arg(parameter()).real(0.1).real(0.9).real(0.8).real(0.5).case("plain")]
    }
}

op! {
    /// As `ApplyCenteredRMSProp` for the rows `indices`, one after the other, whose gradients are rows of `grad`. Writes `var`,
    /// `mg`, `ms` and `mom`. Returns `var`.
    classic SparseApplyCenteredRMSProp {
        var: Operand,
        mg: Operand,
        ms: Operand,
        mom: Operand,
        lr: Operand,
        rho: Operand,
        momentum: Operand,
        epsilon: Operand,
        grad: Operand,
        indices: Operand,
        use_locking: bool = false,
    }
}

impl Operator for SparseApplyCenteredRMSProp {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 3, ..Writes::results(&[0, 1, 2, 3]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.lr, &self.rho, &self.momentum, &self.epsilon];
        Ok(in_turn([&self.var, &self.mg, &self.ms, &self.mom], [&self.grad, &self.indices], numbers, centered))
    }

    fn cases() -> Vec<Case> {
        vec![rows(state(3, &[0.1, 0.9, 0.8, 0.5])).case("rows")]
    }
}

op! {
    /// `accum = rho · accum + (1 − rho) · grad²`, the change `u = √((accum_update + epsilon) / (accum + epsilon)) · grad`,
    /// `accum_update = rho · accum_update + (1 − rho) · u²`, `var −= lr · u`. Writes and returns all three.
    object ApplyAdadelta {
        var: Operand,
        accum: Operand,
        accum_update: Operand,
        lr: Operand,
        rho: Operand,
        epsilon: Operand,
        grad: Operand,
    }
}

impl Operator for ApplyAdadelta {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyAdadelta { var, accum, accum_update, lr, rho, epsilon, grad } = self;
        Ok(step([var, accum, accum_update], grad, [lr, rho, epsilon], |[w, square, changes], g, [rate, rho, eps]| {
            let square = blend(rho, square, g.square());
            let change = (changes + eps).sqrt() / (square + eps).sqrt() * g;
            [w - rate * change, square, blend(rho, changes, change.square())]
        }))
    }

    fn cases() -> Vec<Case> {
        vec![state(2, &[0.1, 0.9, 1e-3]).arg(parameter()).case("plain")]
    }
}
