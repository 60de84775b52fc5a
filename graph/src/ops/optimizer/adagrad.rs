//! Steps over the root of the sum of squares of gradients.

use super::momentum::proximal;
use super::step::{in_turn, lazy, parameter, rows, state, step, toward_zero};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::formula::{Num, Term};
use crate::task::Binary;
use crate::{DType, OpError, op};

/// A parameter and the sum of squares after a step, which leaves the sum as it was unless `sums`. A gradient of 0 moves nothing, also
/// where the sum is 0.
fn adagrad<'p>([w, a]: [Num<'p>; 2], g: Num<'p>, rate: Num<'p>, eps: f64, sums: bool) -> [Num<'p>; 2] {
    let a = if sums { a + g.square() } else { a };
    let root = if eps == 0.0 { a.sqrt() } else { a.sqrt() + eps };
    [g.by(Binary::Eq, 0.0).choose(w, w - rate * g / root), a]
}

op! {
    /// `accum += grad²` if `update_slots`, of which MindSpore's CPU takes no notice, then `var −= lr · grad / √accum`; a gradient of 0
    /// moves nothing. Writes and returns both.
    classic ApplyAdagrad { var: Operand, accum: Operand, lr: Operand, grad: Operand, update_slots: bool = true }
}

impl Operator for ApplyAdagrad {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let sums = self.update_slots;
        Ok(step([&self.var, &self.accum], &self.grad, [&self.lr], move |old, g, [rate]| {
            adagrad(old, g, rate, 0.0, sums)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || state(1, &[0.1]).arg(parameter());
        vec![step().case("plain"), step().flag(false).case("kept sums")]
    }
}

op! {
    /// `accum += grad²` if `update_slots`, then `var −= lr · grad / (√accum + epsilon)`. Writes and returns both.
    classic ApplyAdagradV2 {
        var: Operand,
        accum: Operand,
        lr: Operand,
        grad: Operand,
        epsilon: f64,
        update_slots: bool = true,
    }
}

impl Operator for ApplyAdagradV2 {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (eps, sums) = (self.epsilon, self.update_slots);
        Ok(step([&self.var, &self.accum], &self.grad, [&self.lr], move |old, g, [rate]| {
            adagrad(old, g, rate, eps, sums)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || state(1, &[0.1]).arg(parameter()).real(0.01);
        vec![step().case("plain"), step().flag(false).case("kept sums")]
    }
}

op! {
    /// As `ApplyAdagrad` for the rows `indices`, whose gradients are rows of `grad`; several for one row are added up. Writes
    /// and returns `var` and `accum`.
    classic SparseApplyAdagrad {
        var: Operand,
        accum: Operand,
        grad: Operand,
        indices: Operand,
        lr: f64,
        update_slots: bool = true,
        use_locking: bool = false,
    }
}

impl Operator for SparseApplyAdagrad {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (rate, sums) = (self.lr, self.update_slots);
        Ok(lazy([&self.var, &self.accum], [&self.grad, &self.indices], [], move |old, g, []| {
            adagrad(old, g, rate.like(g), 0.0, sums)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || rows(state(1, &[])).real(0.1);
        vec![step().case("rows"), step().flag(false).case("kept sums")]
    }
}

op! {
    /// As `ApplyAdagradV2` for the rows `indices`, one after the other, whose gradients are rows of `grad`. MindSpore's
    /// CPU takes duplicates from the last on and has `√(accum + epsilon)`. Writes and returns `var` and `accum`.
    classic SparseApplyAdagradV2 {
        var: Operand,
        accum: Operand,
        grad: Operand,
        indices: Operand,
        lr: f64,
        epsilon: f64,
        use_locking: bool = false,
        update_slots: bool = true,
    }
}

impl Operator for SparseApplyAdagradV2 {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (rate, eps, sums) = (self.lr, self.epsilon, self.update_slots);
        Ok(in_turn([&self.var, &self.accum], [&self.grad, &self.indices], [], move |old, g, []| {
            adagrad(old, g, rate.like(g), eps, sums)
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || rows(state(1, &[])).real(0.1).real(0.01);
        vec![step().case("rows"), step().flag(false).flag(false).case("kept sums")]
    }
}

/// A parameter and the sum of squares after a step and a move toward 0.
fn proximal_adagrad<'p>([w, a]: [Num<'p>; 2], g: Num<'p>, numbers: [Num<'p>; 3]) -> [Num<'p>; 2] {
    let ([rate, l1, l2], a) = (numbers, a + g.square());
    let rate = rate / a.sqrt();
    let change = g.by(Binary::Eq, 0.0).choose(g, rate * g);
    [proximal(w, change, [rate, l1, l2]), a]
}

op! {
    /// `accum += grad²`, and with `r = lr / √accum` and `x = var − r · grad`,
    /// `var = sign(x) · max(|x| − r · l1, 0) / (1 + r · l2)`, without `l1` unless it is above 0; a gradient of 0 has `x = var`. MindSpore's text has `lr` in the place of the last two `r`. Writes and
    /// returns both.
    classic ApplyProximalAdagrad {
        var: Operand,
        accum: Operand,
        lr: Operand,
        l1: Operand,
        l2: Operand,
        grad: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyProximalAdagrad {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(step([&self.var, &self.accum], &self.grad, [&self.lr, &self.l1, &self.l2], proximal_adagrad))
    }

    fn cases() -> Vec<Case> {
        vec![state(1, &[0.1, 0.2, 0.3]).arg(parameter()).case("plain")]
    }
}

op! {
    /// As `ApplyProximalAdagrad` for the rows `indices`, whose gradients are rows of `grad`; several for one row are added up.
    /// Writes and returns `var` and `accum`.
    classic FusedSparseProximalAdagrad {
        var: Operand,
        accum: Operand,
        lr: Operand,
        l1: Operand,
        l2: Operand,
        grad: Operand,
        indices: Operand,
        use_locking: bool = false,
    }
}

impl Operator for FusedSparseProximalAdagrad {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (gradient, numbers) = ([&self.grad, &self.indices], [&self.lr, &self.l1, &self.l2]);
        Ok(lazy([&self.var, &self.accum], gradient, numbers, proximal_adagrad))
    }

    fn cases() -> Vec<Case> {
        vec![rows(state(1, &[0.1, 0.2, 0.3])).case("rows")]
    }
}

/// A parameter and the sums of gradients and their squares after a step of dual averaging.
fn averaged<'p>([_, sum, squares]: [Num<'p>; 3], g: Num<'p>, [rate, l1, l2, steps]: [Num<'p>; 4]) -> [Num<'p>; 3] {
    let (sum, squares) = (sum + g, squares + g.square());
    let left = l1.gt(0.0).choose(toward_zero(sum, l1 * steps), sum);
    [-(rate * left) / (l2 * steps * rate + squares.sqrt()), sum, squares]
}

op! {
    /// Dual averaging: `gradient_accumulator += grad`, `gradient_squared_accumulator += grad²`, and with the accumulated gradient
    /// `s`, if `l1 > 0` moved toward 0 by `l1 · global_step`,
    /// `var = −lr · s / (l2 · global_step · lr + √gradient_squared_accumulator)`. MindSpore's CPU moves `s` down where
    /// it is below 0 too. Writes all three. Returns `var`.
    classic ApplyAdagradDA {
        var: Operand,
        gradient_accumulator: Operand,
        gradient_squared_accumulator: Operand,
        grad: Operand,
        lr: Operand,
        l1: Operand,
        l2: Operand,
        global_step: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyAdagradDA {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 2, ..Writes::results(&[0, 1, 2]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyAdagradDA { var, gradient_accumulator, gradient_squared_accumulator, grad, .. } = self;
        let numbers = [&self.lr, &self.l1, &self.l2, &self.global_step];
        Ok(step([var, gradient_accumulator, gradient_squared_accumulator], grad, numbers, averaged))
    }

    fn cases() -> Vec<Case> {
        let step = |l1: f32| state(2, &[]).arg(parameter()).real(0.1).real(l1).real(0.3).index(DType::I32, &[], &[3]);
        vec![step(0.2).case("toward 0"), step(0.0).case("plain")]
    }
}

op! {
    /// As `ApplyAdagradDA` for the rows `indices`, one after the other, whose gradients are rows of `grad`. Writes `var`,
    /// `grad_accum` and `grad_square_accum`. Returns `var`.
    classic SparseApplyAdagradDA {
        var: Operand,
        grad_accum: Operand,
        grad_square_accum: Operand,
        grad: Operand,
        indices: Operand,
        lr: Operand,
        l1: Operand,
        l2: Operand,
        global_step: Operand,
        use_locking: bool = false,
    }
}

impl Operator for SparseApplyAdagradDA {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 2, ..Writes::results(&[0, 1, 2]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let SparseApplyAdagradDA { var, grad_accum, grad_square_accum, grad, indices, .. } = self;
        let numbers = [&self.lr, &self.l1, &self.l2, &self.global_step];
        Ok(in_turn([var, grad_accum, grad_square_accum], [grad, indices], numbers, averaged))
    }

    fn cases() -> Vec<Case> {
        vec![rows(state(2, &[])).real(0.1).real(0.2).real(0.3).index(DType::I64, &[], &[3]).case("rows")]
    }
}
