//! Steps that are longer where gradient and moment have one sign.

use super::step::{blend, parameter, state, step};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::{OpError, op};

op! {
    /// `m = beta · m + (1 − beta) · grad`, `var −= lr · (alpha + sign_decay · sign(grad) · sign(m)) · grad`. Writes and returns
    /// `var` and `m`.
    object ApplyAddSign {
        var: Operand,
        m: Operand,
        lr: Operand,
        alpha: Operand,
        sign_decay: Operand,
        beta: Operand,
        grad: Operand,
    }
}

impl Operator for ApplyAddSign {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.lr, &self.alpha, &self.sign_decay, &self.beta];
        Ok(step([&self.var, &self.m], &self.grad, numbers, |[w, m], g, [rate, alpha, decay, beta]| {
            let m = blend(beta, m, g);
            [w - rate * (alpha + decay * g.sign() * m.sign()) * g, m]
        }))
    }

    fn cases() -> Vec<Case> {
        vec![state(1, &[0.1, 1.1, 0.7, 0.9]).arg(parameter()).case("plain")]
    }
}

op! {
    /// `m = beta · m + (1 − beta) · grad`, `var −= lr · exp(logbase · sign_decay · sign(grad) · sign(m)) · grad`. Writes and
    /// returns `var` and `m`.
    object ApplyPowerSign {
        var: Operand,
        m: Operand,
        lr: Operand,
        logbase: Operand,
        sign_decay: Operand,
        beta: Operand,
        grad: Operand,
    }
}

impl Operator for ApplyPowerSign {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let numbers = [&self.lr, &self.logbase, &self.sign_decay, &self.beta];
        Ok(step([&self.var, &self.m], &self.grad, numbers, |[w, m], g, [rate, logbase, decay, beta]| {
            let m = blend(beta, m, g);
            [w - rate * (logbase * decay * g.sign() * m.sign()).exp() * g, m]
        }))
    }

    fn cases() -> Vec<Case> {
        vec![state(1, &[0.1, 0.8, 0.7, 0.9]).arg(parameter()).case("plain")]
    }
}
