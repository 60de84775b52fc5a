//! Gradients of functions whose results depend on whole rows, and of those that share parameters.

use crate::op::{Case, Ints, Operand, Operator, Rule, ints};
use crate::ops::elementwise::prelu::beside;
use crate::ops::kit::broadcasting::{float_of, real};
use crate::ops::kit::composite::composite;
use crate::ops::kit::formula::Term;
use crate::ops::kit::indices::dim;
use crate::ops::kit::sample::{filled, sample, wave};
use crate::ops::shape::concat::Joined;
use crate::ops::shape::cut::Cut;
use crate::task::Unary;
use crate::{DType, Fact, OpError, ensure, op};

/// Refuses operands that are not floats of one shape; their common type.
fn alike(a: &Operand, b: &Operand) -> Result<DType, OpError> {
    let fits = a.shape() == b.shape() && a.dtype().is_float() && b.dtype().is_float();
    ensure!(fits, "expected floats of one shape, found {} and {}", a.fact, b.fact);
    Ok(DType::promote(a.dtype(), b.dtype()))
}

op! {
    /// `(dout − Σ dout · out) · out` with sums along `dim`: the gradient of the softmax whose result is `out`. Floats.
    SoftmaxBackward { dout: Operand, out: Operand, dim: i64 = -1 }
}

impl Operator for SoftmaxBackward {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (d, axes) = (alike(&self.dout, &self.out)?, vec![self.out.axis(self.dim)?]);
        Ok(composite(vec![Fact::new(d, self.out.shape())], move |at| {
            let (g, y) = (at.wide(&self.dout, d)?, at.wide(&self.out, d)?);
            let each = at.formula([&g, &y], |[g, y]| g * y)?;
            let sum = at.sum(&each, &axes)?;
            Ok(vec![at.formula([&g, &y, &sum], |[g, y, sum]| (g - sum) * y)?])
        }))
    }

    fn cases() -> Vec<Case> {
        let share = |d: DType, dims: &[usize]| filled(d, dims, |i| (i % 5) as f64 / 10.0);
        vec![
            sample().arg(wave(DType::F32, &[3, 7])).arg(share(DType::F32, &[3, 7])).case("last"),
            sample().arg(wave(DType::F32, &[2, 3, 4])).arg(share(DType::F32, &[2, 3, 4])).int(1).case("middle"),
            sample().arg(wave(DType::F16, &[5, 3])).arg(share(DType::F16, &[5, 3])).int(0).case("f16"),
        ]
    }
}

op! {
    /// `grad − e^logits · Σ grad` with sums along `axis`: the gradient of the logarithm of the softmax whose result is `logits`.
    /// Floats.
    LogSoftmaxGrad { logits: Operand, grad: Operand, axis: i64 = -1 }
}

impl Operator for LogSoftmaxGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (d, axes) = (alike(&self.logits, &self.grad)?, vec![self.grad.axis(self.axis)?]);
        Ok(composite(vec![Fact::new(d, self.grad.shape())], move |at| {
            let (y, g) = (at.wide(&self.logits, d)?, at.wide(&self.grad, d)?);
            let sum = at.sum(&g, &axes)?;
            Ok(vec![at.formula([&g, &y, &sum], |[g, y, sum]| g - y.exp() * sum)?])
        }))
    }

    fn cases() -> Vec<Case> {
        let log = |d: DType, dims: &[usize]| filled(d, dims, |i| -0.5 - (i % 5) as f64 / 2.0);
        vec![
            sample().arg(log(DType::F32, &[3, 7])).arg(wave(DType::F32, &[3, 7])).case("last"),
            sample().arg(log(DType::F32, &[2, 3, 4])).arg(wave(DType::F32, &[2, 3, 4])).int(1).case("middle"),
        ]
    }
}

op! {
    /// `(dy − y · Σ y · dy) / √max(Σ x², epsilon)` with sums along `axis`: the gradient of a tensor divided by its norm, whose
    /// result is `y`. Floats of one shape.
    classic L2NormalizeGrad {
        x: Operand,
        y: Operand,
        dy: Operand,
        axis: Ints as List = ints(&[0]),
        epsilon: f64 = 1e-4,
    }
}

impl Operator for L2NormalizeGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (d, axes) = (alike(&self.x, &self.y)?, self.x.axes(&self.axis)?);
        alike(&self.x, &self.dy)?;
        Ok(composite(vec![Fact::new(d, self.x.shape())], move |at| {
            let (x, y, g) = (at.wide(&self.x, d)?, at.wide(&self.y, d)?, at.wide(&self.dy, d)?);
            let (squares, each) = (at.formula([&x], |[x]| x.square())?, at.formula([&y, &g], |[y, g]| y * g)?);
            let (squares, sum) = (at.sum(&squares, &axes)?, at.sum(&each, &axes)?);
            let eps = self.epsilon;
            Ok(vec![at.formula([&g, &y, &sum, &squares], |[g, y, sum, s]| (g - y * sum) / s.max(eps).sqrt())?])
        }))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]);
        vec![x().case("first"), x().ints(&[-1]).real(2.0).case("last")]
    }
}

op! {
    /// The gradient of `a · sigmoid(b)`, where `a` and `b` are the halves of `x` along `axis`. `grads` has the shape of a half. Floats.
    GluGrad { grads: Operand, x: Operand, axis: i64 }
}

impl Operator for GluGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, axis) = (&self.x, self.x.axis(self.axis)?);
        ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
        real(&self.grads)?;
        let (len, d) = (dim(x.shape(), axis)?, x.dtype());
        let fits =
            len % 2 == 0 && Cut::range(x, axis, 0, len / 2)?.infer()?.iter().all(|f| f.shape == self.grads.fact.shape);
        ensure!(fits, "expected gradients of half of {} along {axis}, found {}", x.fact, self.grads.fact);
        Ok(composite(vec![x.fact.clone()], move |at| {
            let (x, g) = (at.wide(x, d)?, at.wide(&self.grads, d)?);
            let [a, b] = [0, len / 2].map(|begin| at.run(&x, &Cut::range(&x, axis, begin, len / 2)?));
            let (a, b) = (a?, b?);
            let da = at.formula([&g, &b], |[g, b]| g * b.map(Unary::Sigmoid))?;
            let db = at.formula([&g, &a, &b], |[g, a, b]| {
                let s = b.map(Unary::Sigmoid);
                g * a * s * (1.0 - s)
            })?;
            Ok(vec![at.run(&da, &Joined::new(vec![&da, &db], axis as i64)?)?])
        }))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 2]).tensor(DType::F32, &[2, 3, 4]).int(-1).case("last"),
            sample().tensor(DType::F16, &[1, 5]).tensor(DType::F16, &[2, 5]).int(0).case("f16"),
        ]
    }
}

op! {
    /// The gradient of `PReLU` for its operand: `dy` where `x` is above 0, else `weight · dy`; and for its weights: the sums of `x · dy`
    /// where `x` is not above 0.
    PReLUGrad { dy: Operand, x: Operand, weight: Operand }
}

impl Operator for PReLUGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, w) = (&self.x, &self.weight);
        let d = float_of(DType::promote(alike(&self.dy, x)?, real(w)?));
        let dims = beside(x, w)?;
        Ok(composite(vec![Fact::new(d, x.shape()), Fact::new(d, w.shape())], move |at| {
            let (g, x, w) = (at.wide(&self.dy, d)?, at.wide(x, d)?, at.wide(w, d)?);
            let column = at.reshape(&w, &dims)?;
            let dx = at.formula([&g, &x, &column], |[g, x, w]| x.gt(0.0).choose(g, w * g))?;
            let each = at.formula([&g, &x], |[g, x]| x.gt(0.0).choose(0.0.like(g), x * g))?;
            let dw = at.sum_to(&each, &dims)?;
            Ok(vec![dx, at.reshape(&dw, self.weight.shape())?])
        }))
    }

    fn cases() -> Vec<Case> {
        let x = |dims: &[usize]| sample().tensor(DType::F32, dims).tensor(DType::F32, dims);
        vec![
            x(&[2, 3, 4]).positive(DType::F32, &[3]).case("channels"),
            x(&[2, 3, 4]).positive(DType::F32, &[1]).case("one weight"),
            x(&[5, 3]).positive(DType::F32, &[3]).case("matrix"),
        ]
    }
}
