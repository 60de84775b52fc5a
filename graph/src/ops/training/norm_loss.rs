//! Sums of squares, what is limited by their roots, and distances.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::formula::Num;
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, broadcast, ensure, op};

/// `by · Σ x²` along `axes`, which stay.
fn squares(at: &mut At, x: &Operand, by: f64, axes: &[usize]) -> Result<Operand, OpError> {
    let x = at.wide(x, x.dtype())?;
    let each = at.formula([&x], |[x]| if by == 1.0 { x.square() } else { x.square() * by })?;
    at.sum(&each, axes)
}

fn all(x: &Operand) -> Vec<usize> {
    (0..x.rank()).collect()
}

fn float(x: &Operand) -> Result<(), OpError> {
    ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
    Ok(())
}

op! {
    /// Half the sum of `input_x²`. Floats.
    object L2Loss { input_x: Operand }
}

impl Operator for L2Loss {
    fn rule(&self) -> Result<impl Rule, OpError> {
        float(&self.input_x)?;
        let x = &self.input_x;
        Ok(composite(vec![Fact::new(x.dtype(), &[])], move |at| {
            let sum = squares(at, x, 0.5, &all(x))?;
            Ok(vec![at.reshape(&sum, &[])?])
        }))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[3, 5]).case("f32"), sample().tensor(DType::F16, &[7]).case("f16")]
    }
}

op! {
    /// The sums of `x²` and of `y²`. Floats.
    object SquareSumAll { x: Operand, y: Operand }
}

impl Operator for SquareSumAll {
    fn rule(&self) -> Result<impl Rule, OpError> {
        float(&self.x)?;
        float(&self.y)?;
        let both = [&self.x, &self.y];
        Ok(composite(both.iter().map(|x| Fact::new(x.dtype(), &[])).collect(), move |at| {
            let mut one = |x: &Operand| {
                let sum = squares(at, x, 1.0, &all(x))?;
                at.reshape(&sum, &[])
            };
            both.iter().map(|x| one(x)).collect()
        }))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]).case("f32")]
    }
}

op! {
    /// `x` times `clip_norm / max(n, clip_norm)` with its norm `n` along `axis`, all dimensions if there is none; along some of them
    /// MindSpore's CPU gives other norms. Floats; the result is `f32`.
    classic ClipByNorm { x: Operand, clip_norm: Operand, axis: Ints = Ints::new() }
}

impl Operator for ClipByNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, limit) = (&self.x, &self.clip_norm);
        float(x)?;
        float(limit)?;
        let axes = x.axes(&self.axis)?;
        let fits = broadcast(x.shape(), limit.shape()).is_some_and(|dims| dims.as_slice() == x.shape());
        ensure!(fits, "expected a limit that fits {}, found {}", x.fact, limit.fact);
        Ok(composite(vec![Fact::new(DType::F32, x.shape())], move |at| {
            let sum = squares(at, x, 1.0, &axes)?;
            let (x, limit) = (at.wide(x, x.dtype())?, at.wide(limit, x.dtype())?);
            Ok(vec![at.formula([&x, &limit, &sum], |[x, limit, sum]| x * limit / sum.sqrt().max(limit))?])
        }))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]);
        vec![x().real(1.5).case("all"), x().real(0.75).ints(&[1]).case("rows"), x().real(100.0).case("short")]
    }
}

op! {
    /// The gradient of the distances `cdist` of the rows of `input_x` and those of `input_y` for the former, with exponent `p`: the sum over
    /// rows of `input_y` of `grad · sign(d) · |d|ᵖ⁻¹ / cdistᵖ⁻¹` for the difference `d`; where `p` is infinite, of `grad · sign(d)` where
    /// `|d|` is the distance; 0 for `p` = 0 and for distances of 0. Floats.
    CdistGrad { grad: Operand, input_x: Operand, input_y: Operand, cdist: Operand, p: f64 = 2.0 }
}

/// What a difference adds to the gradient.
fn slope<'p>([g, d, distance]: [Num<'p>; 3], p: f64) -> Num<'p> {
    let (size, some) = (d.abs(), distance.gt(0.0));
    let each = if p == 1.0 {
        return g * d.sign();
    } else if p.is_infinite() {
        return (g * d.sign()).only_if(size.ge(distance));
    } else if p == 2.0 {
        g * d / distance
    } else {
        (g * d.sign() * (size / distance).pow(p - 1.0)).only_if(size.gt(0.0))
    };
    each.only_if(some)
}

impl Operator for CdistGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let CdistGrad { grad, input_x: x, input_y: y, cdist, p } = self;
        let ([bx @ .., n, k], [by @ .., m, ky]) = (x.shape(), y.shape()) else {
            return Err(OpError::Invalid(format!("expected rows, found {} and {}", x.fact, y.fact)));
        };
        let distances = [bx, &[*n, *m][..]].concat();
        let fits = bx == by && k == ky && grad.shape() == distances && cdist.shape() == distances;
        ensure!(fits, "expected distances {distances:?} and gradients of rows, found {} and {}", cdist.fact, grad.fact);
        ensure!((0.0..=f64::INFINITY).contains(p), "expected an exponent of 0 or more, found {p}");
        for x in [grad, x, y, cdist] {
            float(x)?;
        }
        let d = x.dtype();
        let dims = move |a: usize, b: usize, c: usize| [bx, &[a, b, c][..]].concat();
        Ok(composite(vec![x.fact.clone()], move |at| {
            if *p == 0.0 {
                return Ok(vec![at.constant(x, Tensor::zeros(d, x.shape())?)]);
            }
            let mut wide = |t: &Operand, dims: Vec<usize>| {
                let t = at.wide(t, d)?;
                at.reshape(&t, &dims)
            };
            let (a, b) = (wide(x, dims(*n, 1, *k))?, wide(y, dims(1, *m, *k))?);
            let (g, c) = (wide(grad, dims(*n, *m, 1))?, wide(cdist, dims(*n, *m, 1))?);
            let off = at.formula([&a, &b], |[a, b]| a - b)?;
            // The largest difference was rounded when it became the distance.
            let off = if p.is_infinite() { at.cast(&off, d)? } else { off };
            let off = at.wide(&off, d)?;
            let each = at.formula([&g, &off, &c], |x| slope(x, *p))?;
            let sum = at.sum(&each, &[bx.len() + 1])?;
            Ok(vec![at.reshape(&sum, x.shape())?])
        }))
    }

    fn cases() -> Vec<Case> {
        let on = |p: f32, name| {
            let x =
                sample().tensor(DType::F32, &[2, 3, 2]).tensor(DType::F32, &[2, 3, 4]).tensor(DType::F32, &[2, 2, 4]);
            x.positive(DType::F32, &[2, 3, 2]).real(p).case(name)
        };
        vec![on(1.0, "sizes"), on(2.0, "Euclidean"), on(3.0, "cubes"), on(1.5, "between"), on(0.0, "counts")]
    }
}
