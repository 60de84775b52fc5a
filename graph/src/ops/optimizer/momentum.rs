//! Gradient descent, plain and with momentum.

// `SGD` is MindSpore's name.
#![allow(clippy::upper_case_acronyms)]

use super::step::{in_turn, parameter, positive, rows, state, step, toward_zero};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::formula::{Num, Term};
use crate::ops::kit::sample::{cycle, sample};
use crate::{DType, OpError, op};

op! {
    /// Gradient descent with momentum: `accumulation = accumulation · momentum + gradient · gradient_scale`, then
    /// `variable −= learning_rate · accumulation`, or with `use_nesterov`
    /// `variable −= learning_rate · (gradient · gradient_scale + accumulation · momentum)`. Writes both. Returns `variable`.
    classic ApplyMomentum {
        variable: Operand,
        accumulation: Operand,
        learning_rate: Operand,
        gradient: Operand,
        momentum: Operand,
        use_nesterov: bool = false,
        use_locking: bool = false,
        gradient_scale: f64 = 1.0,
    }
}

/// A parameter and its accumulated gradients after a step.
fn descent<'p>([w, a]: [Num<'p>; 2], g: Num<'p>, [rate, momentum]: [Num<'p>; 2], nesterov: bool) -> [Num<'p>; 2] {
    let a = a * momentum + g;
    let change = if nesterov { g + a * momentum } else { a };
    [w - rate * change, a]
}

/// `x · by`.
fn scaled(x: Num<'_>, by: f64) -> Num<'_> {
    if by == 1.0 { x } else { x * by }
}

impl Operator for ApplyMomentum {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 1, ..Writes::results(&[0, 1]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (nesterov, by) = (self.use_nesterov, self.gradient_scale);
        let numbers = [&self.learning_rate, &self.momentum];
        Ok(step([&self.variable, &self.accumulation], &self.gradient, numbers, move |old, g, numbers| {
            descent(old, scaled(g, by), numbers, nesterov)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || state(1, &[0.1]).arg(parameter()).real(0.9);
        vec![step().case("plain"), step().flag(true).flag(false).real(0.5).case("nesterov")]
    }
}

op! {
    /// As `ApplyMomentum` for the rows `indices`, one after the other, whose gradients are rows of `grad`. MindSpore's CPU takes
    /// no notice of `use_nesterov`. Writes `var` and `accum`. Returns `var`.
    classic SparseApplyMomentum {
        var: Operand,
        accum: Operand,
        lr: Operand,
        grad: Operand,
        indices: Operand,
        momentum: Operand,
        use_locking: bool = false,
        use_nesterov: bool = false,
    }
}

impl Operator for SparseApplyMomentum {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 1, ..Writes::results(&[0, 1]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let nesterov = self.use_nesterov;
        let (gradient, numbers) = ([&self.grad, &self.indices], [&self.lr, &self.momentum]);
        Ok(in_turn([&self.var, &self.accum], gradient, numbers, move |old, g, numbers| {
            descent(old, g, numbers, nesterov)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || rows(state(1, &[0.1])).real(0.9);
        vec![step().case("plain"), step().flag(false).flag(true).case("nesterov")]
    }
}

op! {
    /// Gradient descent: `var −= alpha · delta`. Writes and returns `var`.
    object ApplyGradientDescent { var: Operand, alpha: Operand, delta: Operand }
}

impl Operator for ApplyGradientDescent {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(step([&self.var], &self.delta, [&self.alpha], |[w], g, [rate]| [w - rate * g]))
    }

    fn cases() -> Vec<Case> {
        vec![state(0, &[0.1]).arg(parameter()).case("plain")]
    }
}

/// A parameter after a step and, with `l1` above 0, a move toward 0.
pub(super) fn proximal<'p>(w: Num<'p>, change: Num<'p>, [rate, l1, l2]: [Num<'p>; 3]) -> Num<'p> {
    let x = w - change;
    l1.gt(0.0).choose(toward_zero(x, rate * l1), x) / (1.0 + rate * l2)
}

op! {
    /// Gradient descent toward 0: with `x = var − alpha · delta`, `var = sign(x) · max(|x| − alpha · l1, 0) / (1 + alpha · l2)`, and
    /// without `l1` unless it is above 0. Writes and returns `var`.
    object ApplyProximalGradientDescent { var: Operand, alpha: Operand, l1: Operand, l2: Operand, delta: Operand }
}

impl Operator for ApplyProximalGradientDescent {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.alpha, &self.l1, &self.l2];
        Ok(step([&self.var], &self.delta, numbers, |[w], g, n @ [rate, ..]| [proximal(w, rate * g, n)]))
    }

    fn cases() -> Vec<Case> {
        vec![state(0, &[0.1, 0.2, 0.3]).arg(parameter()).case("plain")]
    }
}

op! {
    /// As `ApplyProximalGradientDescent` for the rows `indices`, one after the other, whose gradients are rows of `grad`. Writes
    /// and returns `var`.
    classic SparseApplyProximalGradientDescent {
        var: Operand,
        alpha: Operand,
        l1: Operand,
        l2: Operand,
        grad: Operand,
        indices: Operand,
        use_locking: bool = false,
    }
}

impl Operator for SparseApplyProximalGradientDescent {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (gradient, numbers) = ([&self.grad, &self.indices], [&self.alpha, &self.l1, &self.l2]);
        Ok(in_turn([&self.var], gradient, numbers, |[w], g, n @ [rate, ..]| [proximal(w, rate * g, n)]))
    }

    fn cases() -> Vec<Case> {
        vec![rows(state(0, &[0.1, 0.2, 0.3])).case("rows")]
    }
}

op! {
    /// Stochastic gradient descent. With `g = gradient + weight_decay · parameters`: without momentum
    /// `parameters −= learning_rate · g`; else `accum = accum · momentum + (1 − dampening) · g` (`accum = g` where `stat` is
    /// above 0, which then becomes 0) and `parameters −= learning_rate · accum`, with `nesterov` of `g + accum · momentum`.
    /// Writes `parameters`, `accum` and `stat`. Returns `parameters`.
    classic SGD {
        parameters: Operand,
        gradient: Operand,
        learning_rate: Operand,
        accum: Operand,
        momentum: Operand,
        stat: Operand,
        dampening: f64 = 0.0,
        weight_decay: f64 = 0.0,
        nesterov: bool = false,
    }
}

impl Operator for SGD {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 2, ..Writes::results(&[0, 3, 5]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (damp, decay, nesterov) = (1.0 - self.dampening, self.weight_decay, self.nesterov);
        let (variables, numbers) = ([&self.parameters, &self.accum, &self.stat], [&self.learning_rate, &self.momentum]);
        Ok(step(variables, &self.gradient, numbers, move |[w, old, stat], g, [rate, momentum]| {
            let g = if decay == 0.0 { g } else { g + w * decay };
            let (moving, fresh, zero) = (momentum.gt(0.0), stat.gt(0.0), 0.0.like(stat));
            let a = moving.choose(fresh.choose(g, old * momentum + scaled(g, damp)), old);
            let change = if nesterov { g + a * momentum } else { a };
            [w - rate * moving.choose(change, g), a, moving.choose(zero, stat)]
        }))
    }

    fn cases() -> Vec<Case> {
        let step = |momentum: f32| {
            let stat = cycle(DType::F32, &[3, 5], &[1.0, 0.0]);
            sample().args([parameter(), parameter()]).real(0.1).arg(positive()).real(momentum).arg(stat)
        };
        vec![
            step(0.0).case("plain"),
            step(0.9).real(0.1).real(0.01).flag(false).case("momentum"),
            step(0.9).real(0.1).real(0.01).flag(true).case("nesterov"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Signature;
    use crate::ops::kit::sample::facts;

    /// Of the variables of `SGD` only `stat`, argument 5, becomes 0 where there is momentum.
    #[test]
    fn variables_take_values_in_order() {
        let Effect::Writes(writes) = SGD::EFFECT else { panic!("it writes") };
        let values = facts(&SGD::cases()[1], |args| SGD::parse(args)?.rule()?.reference()).unwrap();
        assert_eq!(values.len() - writes.hidden, 1);
        let zero = |value: usize| values[value].to_f64s().unwrap().iter().all(|x| *x == 0.0);
        let zeros: Vec<usize> = writes.pairs().filter(|(_, value)| zero(*value)).map(|(arg, _)| arg).collect();
        assert_eq!(zeros, [5]);
    }
}
