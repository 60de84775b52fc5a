//! Optimizers: each step returns the new contents of the parameters that it writes.

// `SGD` is MindSpore's name.
#![allow(clippy::upper_case_acronyms)]

use crate::op::{Case, CaseArg, Effect, Lowers, Operand, Operator, Rule, Writes};
use crate::ops::kit::broadcasting::{emit, evaluate_f64, real, wide};
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{Sample, cycle, filled, sample, wave};
use crate::task::{Binary, Lowering, Program, Reg, Unary};
use crate::{DType, Fact, OpError, Tensor, broadcast_strides, ensure, op};

type Definition<const N: usize> = Box<dyn Fn([f64; N]) -> f64>;
type Steps<const N: usize> = Box<dyn Fn(&mut Program, [Reg; N]) -> Reg>;

/// One new tensor: what it replaces, its definition, and its program over all operands.
struct Update<'a, const N: usize> {
    old: &'a Operand,
    definition: Definition<N>,
    program: Steps<N>,
}

impl<'a, const N: usize> Update<'a, N> {
    fn new(
        old: &'a Operand,
        definition: impl Fn([f64; N]) -> f64 + 'static,
        program: impl Fn(&mut Program, [Reg; N]) -> Reg + 'static,
    ) -> Self {
        Update { old, definition: Box::new(definition), program: Box::new(program) }
    }
}

/// A step over tensors of one shape and `numbers`: the new contents of the tensors that it writes.
struct Step<'a, const N: usize> {
    operands: [&'a Operand; N],
    gradient: &'a Operand,
    numbers: Vec<&'a Operand>,
    updates: Vec<Update<'a, N>>,
}

impl<const N: usize> Rule for Step<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let shape = self.gradient.shape();
        for x in self.updates.iter().map(|u| u.old).chain([self.gradient]) {
            ensure!(x.shape() == shape, "expected tensors of shape {shape:?}, found {}", x.fact);
            real(x)?;
        }
        for x in &self.numbers {
            let fits = x.count() == 1 && broadcast_strides(x.shape(), shape).is_some();
            ensure!(fits, "expected a single number, found {}", x.fact);
            real(x)?;
        }
        Ok(self.updates.iter().map(|u| u.old.fact.clone()).collect())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let ins = self.operands.map(|x| (x, DType::F64));
        let one = |u: &Update<N>| only(evaluate_f64(&ins, u.old.dtype(), &u.definition)?);
        self.updates.iter().map(one).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let one = |u: &Update<N>| {
            let d = wide(u.old.dtype());
            emit(b, &self.operands.map(|x| (x, d)), u.old.dtype(), &u.program)
        };
        self.updates.iter().map(one).collect::<Result<_, _>>().map(Some)
    }
}

fn mul(p: &mut Program, a: Reg, b: Reg) -> Reg {
    p.binary(Binary::Mul, a, b)
}

fn add(p: &mut Program, a: Reg, b: Reg) -> Reg {
    p.binary(Binary::Add, a, b)
}

fn sub(p: &mut Program, a: Reg, b: Reg) -> Reg {
    p.binary(Binary::Sub, a, b)
}

/// `x · c` with a constant.
fn scale(p: &mut Program, x: Reg, c: f64) -> Reg {
    if c == 1.0 {
        return x;
    }
    let dtype = p.type_of(x);
    let c = p.constant(c, dtype);
    p.binary(Binary::Mul, x, c)
}

/// `1 − x`.
fn rest(p: &mut Program, x: Reg) -> Reg {
    let dtype = p.type_of(x);
    let one = p.constant(1.0, dtype);
    sub(p, one, x)
}

/// `rate · old + (1 − rate) · new`.
fn blend(p: &mut Program, rate: Reg, old: Reg, new: Reg) -> Reg {
    let kept = mul(p, rate, old);
    let left = rest(p, rate);
    let added = mul(p, left, new);
    add(p, kept, added)
}

fn parameter() -> CaseArg {
    wave(DType::F32, &[3, 5])
}

fn positive() -> CaseArg {
    filled(DType::F32, &[3, 5], |i| 0.01 + (i % 7) as f64 * 0.1)
}

/// A parameter and its two moments, `numbers`, and a gradient.
fn moments(numbers: &[f32]) -> Sample {
    let numbers = numbers.iter().map(|&x| CaseArg::from(x));
    sample().args([parameter(), parameter(), positive()]).args(numbers).arg(parameter())
}

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

impl Operator for ApplyMomentum {
    const EFFECT: Effect = Effect::Writes(Writes { hidden: 1, ..Writes::results(&[0, 1]) });

    fn rule(&self) -> Result<impl Rule, OpError> {
        let (nesterov, by) = (self.use_nesterov, self.gradient_scale);
        let accumulated = move |[_, a, _, g, momentum]: [f64; 5]| a * momentum + g * by;
        let moved = move |x @ [w, _, rate, g, momentum]: [f64; 5]| {
            let a = accumulated(x);
            w - rate * if nesterov { g * by + a * momentum } else { a }
        };
        let accumulate = move |p: &mut Program, [_, a, _, g, momentum]: [Reg; 5]| {
            let kept = mul(p, a, momentum);
            let g = scale(p, g, by);
            add(p, kept, g)
        };
        let step = move |p: &mut Program, r @ [w, _, rate, g, momentum]: [Reg; 5]| {
            let mut a = accumulate(p, r);
            if nesterov {
                let ahead = mul(p, a, momentum);
                let g = scale(p, g, by);
                a = add(p, g, ahead);
            }
            let change = mul(p, rate, a);
            sub(p, w, change)
        };
        let ApplyMomentum { variable, accumulation, learning_rate, gradient, momentum, .. } = self;
        Ok(Step {
            operands: [variable, accumulation, learning_rate, gradient, momentum],
            gradient,
            numbers: vec![learning_rate, momentum],
            updates: vec![Update::new(variable, moved, step), Update::new(accumulation, accumulated, accumulate)],
        })
    }

    fn cases() -> Vec<Case> {
        let step = || sample().args([parameter(), positive()]).real(0.1).arg(parameter()).real(0.9);
        vec![step().case("plain"), step().flag(true).flag(false).real(0.5).case("nesterov")]
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
        let slope = move |w: f64, g: f64| g + decay * w;
        let accumulated = move |[w, g, _, a, momentum, stat]: [f64; 6]| match (momentum > 0.0, stat > 0.0) {
            (false, _) => a,
            (true, true) => slope(w, g),
            (true, false) => a * momentum + damp * slope(w, g),
        };
        let moved = move |x @ [w, g, rate, _, momentum, _]: [f64; 6]| {
            let (g, a) = (slope(w, g), accumulated(x));
            w - rate
                * if momentum <= 0.0 {
                    g
                } else if nesterov {
                    g + a * momentum
                } else {
                    a
                }
        };
        let settled = |[.., momentum, stat]: [f64; 6]| if momentum > 0.0 { 0.0 } else { stat };
        let above = |p: &mut Program, x: Reg| {
            let dtype = p.type_of(x);
            let zero = p.constant(0.0, dtype);
            p.binary(Binary::Gt, x, zero)
        };
        let slope = move |p: &mut Program, w: Reg, g: Reg| {
            if decay == 0.0 {
                return g;
            }
            let w = scale(p, w, decay);
            add(p, g, w)
        };
        let accumulate = move |p: &mut Program, [w, g, _, a, momentum, stat]: [Reg; 6]| {
            let g = slope(p, w, g);
            let kept = mul(p, a, momentum);
            let damped = scale(p, g, damp);
            let sum = add(p, kept, damped);
            let fresh = above(p, stat);
            let new = p.select(fresh, g, sum);
            let moving = above(p, momentum);
            p.select(moving, new, a)
        };
        let step = move |p: &mut Program, r @ [w, g, rate, _, momentum, _]: [Reg; 6]| {
            let g = slope(p, w, g);
            let mut a = accumulate(p, r);
            if nesterov {
                let ahead = mul(p, a, momentum);
                a = add(p, g, ahead);
            }
            let moving = above(p, momentum);
            let a = p.select(moving, a, g);
            let change = mul(p, rate, a);
            sub(p, w, change)
        };
        let settle = move |p: &mut Program, [.., momentum, stat]: [Reg; 6]| {
            let dtype = p.type_of(stat);
            let zero = p.constant(0.0, dtype);
            let moving = above(p, momentum);
            p.select(moving, zero, stat)
        };
        let SGD { parameters, gradient, learning_rate, accum, momentum, stat, .. } = self;
        Ok(Step {
            operands: [parameters, gradient, learning_rate, accum, momentum, stat],
            gradient,
            numbers: vec![learning_rate, momentum],
            updates: vec![
                Update::new(parameters, moved, step),
                Update::new(accum, accumulated, accumulate),
                Update::new(stat, settled, settle),
            ],
        })
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
        let nesterov = self.use_nesterov;
        let first = |[_, m, _, _, _, _, beta1, _, _, g]: [f64; 10]| beta1 * m + (1.0 - beta1) * g;
        let second = |[_, _, v, _, _, _, _, beta2, _, g]: [f64; 10]| beta2 * v + (1.0 - beta2) * g * g;
        let moved = move |x @ [w, _, _, power1, power2, rate, beta1, _, eps, g]: [f64; 10]| {
            let m = if nesterov { beta1 * first(x) + (1.0 - beta1) * g } else { first(x) };
            w - rate * (1.0 - power2).sqrt() / (1.0 - power1) * m / (second(x).sqrt() + eps)
        };
        let first_program = |p: &mut Program, [_, m, _, _, _, _, beta1, _, _, g]: [Reg; 10]| blend(p, beta1, m, g);
        let second_program = |p: &mut Program, [_, _, v, _, _, _, _, beta2, _, g]: [Reg; 10]| {
            let square = p.unary(Unary::Square, g);
            blend(p, beta2, v, square)
        };
        let step = move |p: &mut Program, r @ [w, _, _, power1, power2, rate, beta1, _, eps, g]: [Reg; 10]| {
            let m = first_program(p, r);
            let m = if nesterov { blend(p, beta1, m, g) } else { m };
            let v = second_program(p, r);
            let root = p.unary(Unary::Sqrt, v);
            let below = add(p, root, eps);
            let left = rest(p, power2);
            let left = p.unary(Unary::Sqrt, left);
            let by = rest(p, power1);
            let by = p.binary(Binary::Div, left, by);
            let rate = mul(p, rate, by);
            let change = mul(p, rate, m);
            let change = p.binary(Binary::Div, change, below);
            sub(p, w, change)
        };
        let Adam { var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient, .. } = self;
        let operands = [var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient];
        let numbers = vec![beta1_power, beta2_power, lr, beta1, beta2, epsilon];
        let updates = vec![
            Update::new(var, moved, step),
            Update::new(m, first, first_program),
            Update::new(v, second, second_program),
        ];
        Ok(Step { operands, gradient, numbers, updates })
    }

    fn cases() -> Vec<Case> {
        let step = || moments(&[0.9, 0.999, 0.01, 0.9, 0.999, 1e-8]);
        vec![step().case("plain"), step().flag(false).flag(true).case("nesterov")]
    }
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
        let first = |[_, m, _, _, beta1, .., g]: [f64; 9]| beta1 * m + (1.0 - beta1) * g;
        let second = |[_, _, v, _, _, beta2, .., g]: [f64; 9]| beta2 * v + (1.0 - beta2) * g * g;
        let moved = move |x @ [w, _, _, rate, _, _, eps, decay, _]: [f64; 9]| {
            w - rate * (first(x) / (second(x).sqrt() + eps) + decay * w)
        };
        let first_program = |p: &mut Program, [_, m, _, _, beta1, .., g]: [Reg; 9]| blend(p, beta1, m, g);
        let second_program = |p: &mut Program, [_, _, v, _, _, beta2, .., g]: [Reg; 9]| {
            let square = p.unary(Unary::Square, g);
            blend(p, beta2, v, square)
        };
        let step = move |p: &mut Program, r @ [w, _, _, rate, _, _, eps, decay, _]: [Reg; 9]| {
            let (m, v) = (first_program(p, r), second_program(p, r));
            let root = p.unary(Unary::Sqrt, v);
            let below = add(p, root, eps);
            let change = p.binary(Binary::Div, m, below);
            let decayed = mul(p, decay, w);
            let change = add(p, change, decayed);
            let change = mul(p, rate, change);
            sub(p, w, change)
        };
        let AdamWeightDecay { var, m, v, lr, beta1, beta2, epsilon, decay, gradient, .. } = self;
        let operands = [var, m, v, lr, beta1, beta2, epsilon, decay, gradient];
        let numbers = vec![lr, beta1, beta2, epsilon, decay];
        let updates = vec![
            Update::new(var, moved, step),
            Update::new(m, first, first_program),
            Update::new(v, second, second_program),
        ];
        Ok(Step { operands, gradient, numbers, updates })
    }

    fn cases() -> Vec<Case> {
        vec![moments(&[0.01, 0.9, 0.999, 1e-6, 0.1]).case("plain")]
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
