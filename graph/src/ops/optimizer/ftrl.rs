//! Follow the regularised leader.

use super::step::{in_turn, lazy, parameter, rows, state, step};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::formula::{Num, Term};
use crate::{OpError, op};

/// A parameter, the sum of squares and the linear term after a step.
fn leader<'p, T: Term<'p>>(
    [w, accum, linear]: [Num<'p>; 3],
    g: Num<'p>,
    [rate, l1, l2, power]: [T; 4],
) -> [Num<'p>; 3] {
    let [rate, l1, l2, power] = [rate, l1, l2, power].map(|x| x.like(w));
    let sum = accum + g.square();
    let [old, new] = [accum, sum].map(|x| x.pow(-power));
    let linear = linear + g - (new - old) / rate * w;
    let moved = (linear.sign() * l1 - linear) / (new / rate + l2 * 2.0);
    [moved.only_if(linear.abs().gt(l1)), sum, linear]
}

op! {
    /// With `a = accum + grad²` and `p = −lr_power`: `linear += grad − (aᵖ − accumᵖ) / lr · var`, `accum = a`, and
    /// `var = (sign(linear) · l1 − linear) / (aᵖ / lr + 2 · l2)` where `|linear| > l1`, else 0. MindSpore's CPU
    /// is off where `linear` is below 0 and `l1` is not 0, if `lr_power` is not −0.5. Writes all three. Returns `var`.
    classic ApplyFtrl {
        var: Operand,
        accum: Operand,
        linear: Operand,
        grad: Operand,
        lr: Operand,
        l1: Operand,
        l2: Operand,
        lr_power: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyFtrl {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 2, ..Writes::results(&[0, 1, 2]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.lr, &self.l1, &self.l2, &self.lr_power];
        Ok(step([&self.var, &self.accum, &self.linear], &self.grad, numbers, |old, g, numbers| leader(old, g, numbers)))
    }

    fn cases() -> Vec<Case> {
        let step = |power: f32| state(2, &[]).arg(parameter()).real(0.1).real(0.2).real(0.3).real(power);
        vec![step(-0.5).case("root"), step(-0.4).case("power")]
    }
}

macro_rules! sparse_ftrl {
    ($($(#[doc = $doc:literal])+ $name:ident = $how:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            classic $name {
                var: Operand,
                accum: Operand,
                linear: Operand,
                grad: Operand,
                indices: Operand,
                lr: f64,
                l1: f64,
                l2: f64,
                lr_power: f64,
                use_locking: bool = false,
            }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

            fn rule(&self) -> Result<impl Rule, OpError> {
                let numbers = [self.lr, self.l1, self.l2, self.lr_power];
                let (variables, gradient) = ([&self.var, &self.accum, &self.linear], [&self.grad, &self.indices]);
                Ok($how(variables, gradient, [], move |old, g, []| leader(old, g, numbers)))
            }

            fn cases() -> Vec<Case> {
                let step = |power: f32| rows(state(2, &[])).real(0.1).real(0.2).real(0.3).real(power);
                vec![step(-0.5).case("root"), step(-0.4).case("power")]
            }
        }
    )*};
}

sparse_ftrl! {
    /// As `ApplyFtrl` for the rows `indices`, one after the other, whose gradients are rows of `grad`. Writes and returns `var`,
    /// `accum` and `linear`.
    SparseApplyFtrl = in_turn;
    /// As `ApplyFtrl` for the rows `indices`, whose gradients are rows of `grad`; several for one row are added up. Writes and
    /// returns `var`, `accum` and `linear`.
    FusedSparseFtrl = lazy;
}
