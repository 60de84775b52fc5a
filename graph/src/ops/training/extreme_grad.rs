//! Gradients of the larger and the smaller of two numbers.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{common_shape, number_of, real};
use crate::ops::kit::composite::composite;
use crate::ops::kit::formula::{Num, Term};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::task::Binary;
use crate::{DType, Fact, OpError, ensure, op};

/// The gradient where `a` wins by `f`; where none wins, half of it, and 0 where the other one does.
fn share<'p>(f: Binary, [a, b, g]: [Num<'p>; 3]) -> Num<'p> {
    let rest = b.by(f, a).choose(0.0.like(g), g / 2.0);
    a.by(f, b).choose(g, rest)
}

fn gradients<'a>(wins: Binary, x: &'a Operand, y: &'a Operand, g: &'a Operand) -> Result<impl Rule + 'a, OpError> {
    let d = number_of(DType::promote(real(x)?, real(y)?));
    let shape = common_shape(&[x, y])?;
    ensure!(g.shape() == shape.as_slice(), "expected gradients of shape {shape:?}, found {}", g.fact);
    real(g)?;
    Ok(composite(vec![Fact::new(d, x.shape()), Fact::new(d, y.shape())], move |at| {
        let (a, b, g) = (at.wide(x, d)?, at.wide(y, d)?, at.wide(g, d)?);
        let dx = at.formula([&a, &b, &g], |numbers| share(wins, numbers))?;
        let dy = at.formula([&b, &a, &g], |numbers| share(wins, numbers))?;
        Ok(vec![at.sum_to(&dx, x.shape())?, at.sum_to(&dy, y.shape())?])
    }))
}

fn cases() -> Vec<Case> {
    let [a, b] = [&[1.0, 2.0, 3.0][..], &[2.0, 2.0, f64::NAN, 1.0]].map(|edges| cycle(DType::F32, &[9], edges));
    vec![
        sample().args([wave(DType::F32, &[3, 5]), wave(DType::F32, &[5]), wave(DType::F32, &[3, 5])]).case("repeated"),
        sample().args([wave(DType::F16, &[1]), wave(DType::F16, &[4, 3]), wave(DType::F16, &[4, 3])]).case("f16"),
        sample().args([a, b, wave(DType::F32, &[9])]).exact("equal"),
        sample()
            .index(DType::I32, &[3], &[1, 2, 2])
            .index(DType::I32, &[3], &[2, 1, 2])
            .args([wave(DType::I32, &[3])])
            .exact("i32"),
    ]
}

macro_rules! extreme_grad {
    ($($(#[doc = $doc:literal])+ $name:ident($x:ident, $y:ident) = $wins:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $x: Operand, $y: Operand, grads: Operand, grad_x: bool = true, grad_y: bool = true }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                gradients(Binary::$wins, &self.$x, &self.$y, &self.grads)
            }

            fn cases() -> Vec<Case> {
                cases()
            }
        }
    )*};
}

extreme_grad! {
    /// `grads` for `x` where it is larger and for `y` where that is, half of it for both where none is, summed up where
    /// broadcasting repeated an operand. Real numbers; halves of integers truncate. Both results are given whatever the flags.
    MaximumGrad(x, y) = Gt;
    /// As [`MaximumGrad`] for the smaller one.
    MinimumGrad(x1, x2) = Lt;
}

/// Zeros of `a` and `b`, and of the second gradients the one of the operand that counts: `x` where `counts` says so.
fn second<'a>(counts: Binary, [a, b, x, y]: [&'a Operand; 4]) -> Result<impl Rule + 'a, OpError> {
    let d = number_of(real(a)?);
    for other in [b, x, y] {
        let fits = other.shape() == a.shape() && number_of(real(other)?) == d;
        ensure!(fits, "expected operands like {}, found {}", a.fact, other.fact);
    }
    Ok(composite(vec![Fact::new(d, a.shape()); 3], move |at| {
        let zeros = crate::Tensor::zeros(d, a.shape())?;
        let zeros = at.constant(a, zeros);
        let [p, q, x, y] = [a, b, x, y].map(|x| at.wide(x, d));
        let counted = at.formula([&p?, &q?, &x?, &y?], |[a, b, x, y]| a.by(counts, b).choose(x, y))?;
        Ok(vec![zeros.clone(), zeros, counted])
    }))
}

fn second_cases() -> Vec<Case> {
    let all =
        |d: DType, dims: &[usize]| sample().args([wave(d, dims), cycle(d, dims, &[1.0, 0.0, -3.0]), wave(d, dims)]);
    vec![
        all(DType::F32, &[3, 5]).arg(cycle(DType::F32, &[3, 5], &[2.0])).exact("f32"),
        all(DType::I32, &[4]).arg(cycle(DType::I32, &[4], &[2.0])).exact("i32"),
    ]
}

op! {
    /// The second gradient of the larger number: zeros for `x` and `y`, and `dx` where `x` is not below `y`, else `dy`. Operands of
    /// one shape and type.
    MaximumGradGrad { x: Operand, y: Operand, dx: Operand, dy: Operand, grad_x: bool = true, grad_y: bool = true }
}

impl Operator for MaximumGradGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        second(Binary::Ge, [&self.x, &self.y, &self.dx, &self.dy])
    }

    fn cases() -> Vec<Case> {
        second_cases()
    }
}

op! {
    /// As [`MaximumGradGrad`] for the smaller number: `grad_y1` where `x1` is not above `x2`, else `grad_y2`.
    object MinimumGradGrad { x1: Operand, x2: Operand, grad_y1: Operand, grad_y2: Operand }
}

impl Operator for MinimumGradGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        second(Binary::Le, [&self.x1, &self.x2, &self.grad_y1, &self.grad_y2])
    }

    fn cases() -> Vec<Case> {
        second_cases()
    }
}
