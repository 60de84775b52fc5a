//! Adam and its relatives: steps along the first moment of gradients over the root of the second.

use super::step::{blend, lazy, parameter, rows, sparse, state, step};
use crate::op::{Case, Effect, Operand, Operator, Rule, Writes};
use crate::ops::kit::formula::{Num, Term};
use crate::ops::kit::sample::wave;
use crate::{DType, OpError, op};

/// The moments `m` and `v` after gradient `g`.
fn moments<'p, T: Term<'p> + Copy>([m, v]: [Num<'p>; 2], g: Num<'p>, [beta1, beta2]: [T; 2]) -> [Num<'p>; 2] {
    [blend(beta1, m, g), blend(beta2, v, g.square())]
}

/// The change of a parameter: `rate · √(1 − power2) / (1 − power1) · m / (√v + eps)`.
fn change<'p>([m, v]: [Num<'p>; 2], [power1, power2, rate]: [Num<'p>; 3], eps: impl Term<'p>) -> Num<'p> {
    let rate = rate * ((1.0 - power2).sqrt() / (1.0 - power1));
    rate * m / (v.sqrt() + eps)
}

/// What a step of Adam changes a parameter by, and the moments after it. With `ahead` the change is that of the moment after
/// the next step with the same gradient.
fn adam<'p>(old: [Num<'p>; 2], g: Num<'p>, numbers: [Num<'p>; 6], ahead: bool) -> [Num<'p>; 3] {
    let [power1, power2, rate, beta1, beta2, eps] = numbers;
    let [m, v] = moments(old, g, [beta1, beta2]);
    let along = if ahead { blend(beta1, m, g) } else { m };
    [change([along, v], [power1, power2, rate], eps), m, v]
}

op! {
    /// Adam: `m = beta1·m + (1 − beta1)·g`, `v = beta2·v + (1 − beta2)·g²`, and
    /// `var −= lr · √(1 − beta2_power) / (1 − beta1_power) · m / (√v + epsilon)`; with `use_nesterov` of
    /// `beta1·m + (1 − beta1)·g` in place of `m`. Writes and returns `var`, `m` and `v`.
    classic Adam {
        var: Operand,
        m: Operand,
        v: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        gradient: Operand,
        use_locking: bool = false,
        use_nesterov: bool = false,
    }
}

impl Operator for Adam {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ahead = self.use_nesterov;
        let Adam { var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient, .. } = self;
        let numbers = [beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        Ok(step([var, m, v], gradient, numbers, move |[w, m, v], g, numbers| {
            let [change, m, v] = adam([m, v], g, numbers, ahead);
            [w - change, m, v]
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || state(2, &[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]).arg(parameter());
        vec![step().case("plain"), step().flag(false).flag(true).case("nesterov")]
    }
}

op! {
    /// What [`Adam`] adds to a parameter. Writes `m` and `v`.
    classic AdamNoUpdateParam {
        m: Operand,
        v: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        gradient: Operand,
        use_locking: bool = false,
        use_nesterov: bool = false,
    }
}

impl Operator for AdamNoUpdateParam {
    const EFFECT: Effect = Effect::Writes(Writes { args: &[0, 1], from: 1, hidden: 2 });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ahead = self.use_nesterov;
        let AdamNoUpdateParam { m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient, .. } = self;
        let numbers = [beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        // The change takes the place of a parameter.
        Ok(step([gradient, m, v], gradient, numbers, move |[_, m, v], g, numbers| {
            let [change, m, v] = adam([m, v], g, numbers, ahead);
            [-change, m, v]
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || state(1, &[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]).arg(parameter());
        vec![step().case("plain"), step().flag(false).flag(true).case("nesterov")]
    }
}

op! {
    /// [`Adam`] with a gradient for the rows `indices` only, which are rows of `grad`; several for one row are added up. All
    /// rows go on, with `use_nesterov` too, where MindSpore's CPU moves rows without a gradient anywhere. Writes and returns `var`,
    /// `m` and `v`.
    classic FusedSparseAdam {
        var: Operand,
        m: Operand,
        v: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        grad: Operand,
        indices: Operand,
        use_locking: bool = false,
        use_nesterov: bool = false,
    }
}

impl Operator for FusedSparseAdam {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ahead = self.use_nesterov;
        let FusedSparseAdam { var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad, indices, .. } =
            self;
        let numbers = [beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        Ok(sparse([var, m, v], [grad, indices], numbers, move |[w, m, v], g, _, numbers| {
            let [change, m, v] = adam([m, v], g, numbers, ahead);
            [w - change, m, v]
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || rows(state(2, &[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]));
        vec![step().case("rows"), step().flag(false).flag(true).case("nesterov")]
    }
}

op! {
    /// [`Adam`] for the rows `indices`, whose gradients are rows of `grad`; several for one row are added up. The other rows
    /// stay. Writes and returns `var`, `m` and `v`.
    classic FusedSparseLazyAdam {
        var: Operand,
        m: Operand,
        v: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        grad: Operand,
        indices: Operand,
        use_locking: bool = false,
        use_nesterov: bool = false,
    }
}

impl Operator for FusedSparseLazyAdam {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ahead = self.use_nesterov;
        let FusedSparseLazyAdam {
            var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad, indices, ..
        } = self;
        let numbers = [beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        Ok(lazy([var, m, v], [grad, indices], numbers, move |[w, m, v], g, numbers| {
            let [change, m, v] = adam([m, v], g, numbers, ahead);
            [w - change, m, v]
        }))
    }

    fn cases() -> Vec<Case> {
        let step = || rows(state(2, &[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]));
        vec![step().case("rows"), step().flag(false).flag(true).case("nesterov")]
    }
}

/// The moments with the largest `v` so far, and the parameter after the step with it.
fn amsgrad<'p, T: Term<'p> + Copy>(
    [w, m, v, most]: [Num<'p>; 4],
    g: Num<'p>,
    numbers: [Num<'p>; 3],
    [beta1, beta2, eps]: [T; 3],
) -> [Num<'p>; 4] {
    let [m, v] = moments([m, v], g, [beta1, beta2]);
    let most = most.max(v);
    [w - change([m, most], numbers, eps), m, v, most]
}

op! {
    /// [`Adam`] with `vhat`, the largest `v` so far, in the place of `v` in the step. Writes and returns `var`, `m`, `v` and
    /// `vhat`.
    classic ApplyAdamWithAmsgrad {
        var: Operand,
        m: Operand,
        v: Operand,
        vhat: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        grad: Operand,
        beta1: f64 = 0.9,
        beta2: f64 = 0.999,
        epsilon: f64 = 1e-8,
        use_locking: bool = false,
    }
}

impl Operator for ApplyAdamWithAmsgrad {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2, 3]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyAdamWithAmsgrad { var, m, v, vhat, beta1_power, beta2_power, lr, grad, .. } = self;
        let fixed = [self.beta1, self.beta2, self.epsilon];
        let numbers = [beta1_power, beta2_power, lr];
        Ok(step([var, m, v, vhat], grad, numbers, move |old, g, numbers| amsgrad(old, g, numbers, fixed)))
    }

    fn cases() -> Vec<Case> {
        vec![state(3, &[0.9, 0.999, 0.01]).arg(parameter()).real(0.8).real(0.9).real(1e-3).case("plain")]
    }
}

op! {
    /// As [`ApplyAdamWithAmsgrad`].
    classic ApplyAdamWithAmsgradV2 {
        var: Operand,
        m: Operand,
        v: Operand,
        vhat: Operand,
        beta1_power: Operand,
        beta2_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        grad: Operand,
        use_locking: bool = false,
    }
}

impl Operator for ApplyAdamWithAmsgradV2 {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2, 3]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyAdamWithAmsgradV2 {
            var, m, v, vhat, beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad, ..
        } = self;
        let numbers = [beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        Ok(step([var, m, v, vhat], grad, numbers, |old, g, [power1, power2, rate, beta1, beta2, eps]| {
            amsgrad(old, g, [power1, power2, rate], [beta1, beta2, eps])
        }))
    }

    fn cases() -> Vec<Case> {
        vec![state(3, &[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]).arg(parameter()).case("plain")]
    }
}

/// A parameter and its moments after a step with decoupled weight decay.
fn decayed<'p>([w, m, v]: [Num<'p>; 3], g: Num<'p>, [rate, beta1, beta2, eps, decay]: [Num<'p>; 5]) -> [Num<'p>; 3] {
    let [m, v] = moments([m, v], g, [beta1, beta2]);
    [w - rate * (m / (v.sqrt() + eps) + decay * w), m, v]
}

op! {
    /// Adam with decoupled weight decay: `m = beta1·m + (1 − beta1)·g`, `v = beta2·v + (1 − beta2)·g²`, and
    /// `var −= lr · (m / (√v + epsilon) + decay · var)`. Writes and returns `var`, `m` and `v`.
    AdamWeightDecay {
        var: Operand,
        m: Operand,
        v: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        decay: Operand,
        gradient: Operand,
        use_locking: bool = false,
    }
}

impl Operator for AdamWeightDecay {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let AdamWeightDecay { var, m, v, lr, beta1, beta2, epsilon, decay, gradient, .. } = self;
        Ok(step([var, m, v], gradient, [lr, beta1, beta2, epsilon, decay], decayed))
    }

    fn cases() -> Vec<Case> {
        vec![state(2, &[0.01, 0.9, 0.999, 1e-6, 0.1]).arg(parameter()).case("plain")]
    }
}

op! {
    /// [`AdamWeightDecay`] with a gradient of another float type that is divided by `global_norm` first. Writes and returns `var`, `m`
    /// and `v`.
    classic FusedCastAdamWeightDecay {
        var: Operand,
        m: Operand,
        v: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        decay: Operand,
        grad: Operand,
        global_norm: Operand,
        use_locking: bool = false,
    }
}

impl Operator for FusedCastAdamWeightDecay {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let FusedCastAdamWeightDecay { var, m, v, lr, beta1, beta2, epsilon, decay, grad, global_norm, .. } = self;
        let numbers = [lr, beta1, beta2, epsilon, decay, global_norm];
        Ok(step([var, m, v], grad, numbers, |old, g, [rate, beta1, beta2, eps, decay, norm]| {
            decayed(old, g / norm, [rate, beta1, beta2, eps, decay])
        }))
    }

    fn cases() -> Vec<Case> {
        let step = state(2, &[0.01, 0.9, 0.999, 1e-6, 0.1]);
        vec![step.arg(wave(DType::F16, &[3, 5])).real(2.0).case("plain")]
    }
}

op! {
    /// Adam with the largest of decayed sizes in the place of the second moment: `m = beta1·m + (1 − beta1)·g`,
    /// `v = max(beta2·v, |g|)`, and `var −= lr / (1 − beta1_power) · m / (v + epsilon)`. Writes and returns `var`, `m` and `v`.
    object ApplyAdaMax {
        var: Operand,
        m: Operand,
        v: Operand,
        beta1_power: Operand,
        lr: Operand,
        beta1: Operand,
        beta2: Operand,
        epsilon: Operand,
        grad: Operand,
    }
}

impl Operator for ApplyAdaMax {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0, 1, 2]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let ApplyAdaMax { var, m, v, beta1_power, lr, beta1, beta2, epsilon, grad } = self;
        let numbers = [beta1_power, lr, beta1, beta2, epsilon];
        Ok(step([var, m, v], grad, numbers, |[w, m, v], g, [power1, rate, beta1, beta2, eps]| {
            let (m, v) = (blend(beta1, m, g), (beta2 * v).max(g.abs()));
            [w - rate / (1.0 - power1) * m / (v + eps), m, v]
        }))
    }

    fn cases() -> Vec<Case> {
        vec![state(2, &[0.9, 0.01, 0.9, 0.999, 1e-6]).arg(parameter()).case("plain")]
    }
}
