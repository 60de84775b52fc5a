//! Tensors of independent numbers.

use super::draw::{Draw, room};
use crate::bounds::Pulse;
use crate::op::{Case, Effect, Ints, Operand, Operator, Rule};
use crate::ops::create::numbers::shape_of;
use crate::ops::kit::broadcasting::{broadcast_index, real};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{item, only, result};
use crate::ops::kit::sample::{between, filled, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// `one` number for each element.
fn fill(
    fact: &Fact,
    mut draw: Draw,
    mut one: impl FnMut(&mut Draw, usize) -> Result<f64, OpError>,
) -> Result<Vec<Tensor>, OpError> {
    let (_room, mut pulse) = (room(fact.count())?, Pulse::default());
    let mut y = Vec::with_capacity(fact.count());
    for i in 0..fact.count() {
        pulse.beat()?;
        y.push(one(&mut draw, i)?);
    }
    Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
}

macro_rules! shaped {
    ($($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $t:ty = $default:expr),* } ($dtype:expr) |$op:ident, $draw:ident| $one:expr, $cases:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            classic $name { shape: Ints as Input, $($field: $t = $default,)* seed: i64 = 0, seed2: i64 = 0 }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Random;

            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                let facts = || {
                    let dtype: DType = $dtype;
                    ensure!(dtype.is_float(), "expected a float type, found {dtype}");
                    Ok(vec![Fact { dtype, shape: shape_of(&self.shape)? }])
                };
                let results = |facts| {
                    fill(&only(facts)?, Draw::new(self.seed, self.seed2), |$draw, _| $one)
                };
                Ok(host(facts, results))
            }

            fn cases() -> Vec<Case> {
                $cases
            }
        }
    )*};
}

fn seeded() -> Vec<Case> {
    vec![
        sample().ints(&[2, 3]).int(1).int(2).exact("seeds"),
        sample().ints(&[0]).exact("none"),
        sample().ints(&[]).exact("one number"),
    ]
}

shaped! {
    /// Numbers of mean 0 and deviation 1, of shape `shape`, as `f32`.
    StandardNormal {} (DType::F32) |_op, draw| Ok(draw.normal()), seeded();
    /// Numbers of Laplace's distribution around 0 with scale 1, of shape `shape`, as `f32`.
    StandardLaplace {} (DType::F32) |_op, draw| Ok(draw.laplace()), seeded();
    /// Numbers from 0 to below 1, of shape `shape`, as `f32`.
    UniformReal {} (DType::F32) |_op, draw| Ok(below_one(draw.unit())), seeded();
    /// Numbers of mean 0 and deviation 1, none beyond 2, of shape `shape`, in `dtype`.
    TruncatedNormal { dtype: DType = DType::F32 } (op.dtype) |op, draw| draw.truncated(-2.0, 2.0), vec![
        sample().ints(&[2, 3]).dtype(DType::F16).int(1).int(2).exact("f16"),
    ];
}

/// The next number below 1 in `f32` at most.
fn below_one(x: f64) -> f64 {
    x.min(1.0 - f64::from(f32::EPSILON) / 2.0)
}

op! {
    /// Integers from `minval` to below `maxval`, of shape `shape`, as `i32`.
    classic UniformInt { shape: Ints as Input, minval: i64 as Input, maxval: i64 as Input, seed: i64 = 0, seed2: i64 = 0 }
}

impl Operator for UniformInt {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let fits =
                self.minval < self.maxval && i32::try_from(self.minval).is_ok() && i32::try_from(self.maxval).is_ok();
            ensure!(fits, "expected a range of i32, found {} to {}", self.minval, self.maxval);
            Ok(vec![Fact { dtype: DType::I32, shape: shape_of(&self.shape)? }])
        };
        let results = |facts| {
            let span = self.maxval.abs_diff(self.minval);
            let one = |draw: &mut Draw, _| Ok((self.minval + draw.below(span) as i64) as f64);
            fill(&only(facts)?, Draw::new(self.seed, self.seed2), one)
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().ints(&[2, 3]).int(-2).int(5).int(1).exact("seven")]
    }
}

op! {
    /// Numbers from `minval` to below `maxval` in the type and shape of `x`, floats.
    classic Uniform { x: Operand, minval: f64 = 0.0, maxval: f64 = 1.0, seed: i64 = 0, offset: i64 = 0 }
}

impl Operator for Uniform {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            ensure!(self.x.dtype().is_float(), "expected floats, found {}", self.x.fact);
            ensure!(
                (self.minval..=f64::MAX).contains(&self.maxval),
                "expected a range, found {} to {}",
                self.minval,
                self.maxval
            );
            Ok(vec![self.x.fact.clone()])
        };
        let results = |facts| {
            let one = |draw: &mut Draw, _| Ok(self.minval + below_one(draw.unit()) * (self.maxval - self.minval));
            fill(&only(facts)?, Draw::new(self.seed, self.offset), one)
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(wave(DType::F32, &[2, 3])).real(-1.0).real(3.0).exact("f32")]
    }
}

op! {
    /// Numbers whose logarithms have mean `mean` and deviation `std`, in the type and shape of `input`, floats.
    classic LogNormalReverse { input: Operand, mean: f64 = 1.0, std: f64 = 2.0 }
}

impl Operator for LogNormalReverse {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            ensure!(self.input.dtype().is_float(), "expected floats, found {}", self.input.fact);
            Ok(vec![self.input.fact.clone()])
        };
        let results =
            |facts| fill(&only(facts)?, Draw::new(0, 0), |draw, _| Ok((self.mean + self.std * draw.normal()).exp()));
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(wave(DType::F32, &[2, 3])).real(0.5).real(0.25).case("f32")]
    }
}

op! {
    /// Numbers of Cauchy's distribution around `median` with scale `sigma`, of shape `size`, as `f32`.
    classic Cauchy { size: Ints, median: f64 = 0.0, sigma: f64 = 1.0 }
}

impl Operator for Cauchy {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || Ok(vec![Fact { dtype: DType::F32, shape: shape_of(&self.size)? }]);
        let results = |facts| {
            let one =
                |draw: &mut Draw, _| Ok(self.median + self.sigma * (std::f64::consts::PI * (draw.unit() - 0.5)).tan());
            fill(&only(facts)?, Draw::new(0, 0), one)
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().ints(&[2, 3]).real(1.0).real(0.5).case("f32")]
    }
}

op! {
    /// 1 with probability `p`, which broadcasts, else 0, in the type and shape of `x`.
    classic Bernoulli { x: Operand, p: Operand, seed: i64 = -1, offset: i64 = 0 }
}

impl Operator for Bernoulli {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            real(&self.x)?;
            broadcast_index(self.p.shape(), self.x.shape())?;
            Ok(vec![self.x.fact.clone()])
        };
        let results = |facts| {
            let fact: Fact = only(facts)?;
            let (p, at) = (self.p.f64s()?, broadcast_index(self.p.shape(), &fact.shape)?);
            ensure!(p.iter().all(|p| (0.0..=1.0).contains(p)), "expected probabilities from 0 to 1, found {p:?}");
            let one = |draw: &mut Draw, i| {
                let p = *item(&p, *item(&at, i)?)?;
                Ok(f64::from(u8::from(draw.unit() < p)))
            };
            fill(&fact, Draw::over(self.seed, self.offset, &self.p)?, one)
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().arg(wave(DType::F32, &[2, 3]));
        vec![x().real(0.5).int(3).exact("one"), x().arg(between(DType::F32, &[3], 0.0, 1.0)).exact("columns")]
    }
}

macro_rules! parameter {
    ($(#[doc = $doc:literal])+ $name:ident { $x:ident $(, $dtype:ident = $default:expr)? } ($out:expr) |$op:ident, $draw:ident, $value:ident| $one:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name { shape: Ints as Input, $x: Operand, seed: i64 = 0, seed2: i64 = 0 $(, $dtype: DType = $default)? }
        }

        impl Operator for $name {
            const EFFECT: Effect = Effect::Random;

            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                let facts = || {
                    let dtype: DType = $out;
                    real(&self.$x)?;
                    let lead = shape_of(&self.shape)?;
                    Ok(vec![result(dtype, &[&lead[..], self.$x.shape()].concat())?])
                };
                let results = |facts| {
                    let values = self.$x.f64s()?;
                    let fits = values.iter().all(|x| x.is_finite() && *x > 0.0);
                    ensure!(fits, "expected positive numbers, found {}", self.$x.fact);
                    let one = |$draw: &mut Draw, i: usize| {
                        let $value = *item(&values, i % values.len().max(1))?;
                        Ok($one)
                    };
                    fill(&only(facts)?, Draw::over(self.seed, self.seed2, &self.$x)?, one)
                };
                Ok(host(facts, results))
            }

            fn cases() -> Vec<Case> {
                vec![sample().ints(&[3]).arg(between(DType::F32, &[2], 0.5, 8.0)).int(1).int(2).case("two")]
            }
        }
    };
}

parameter! {
    /// Numbers of the gamma distributions with the shape parameters `alpha` and scale 1: `[shape…, alpha…]`, in their type.
    RandomGamma { alpha } (op.alpha.dtype()) |op, draw, alpha| draw.gamma(alpha)
}
parameter! {
    /// How many events there are where as many as `rate` says are expected: `[shape…, rate…]`, in `dtype`.
    RandomPoisson { rate, dtype = DType::I64 } (op.dtype) |op, draw, rate| draw.poisson(rate)
}

op! {
    /// Numbers of mean `mean` and deviation `stdevs` between `min` and `max`, of shape `shape`. The four are one number, or one for
    /// each row along the first dimension; the result has their type.
    classic ParameterizedTruncatedNormal {
        shape: Ints as Input,
        mean: Operand,
        stdevs: Operand,
        min: Operand,
        max: Operand,
        seed: i64 = 0,
        seed2: i64 = 0,
    }
}

impl ParameterizedTruncatedNormal {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let shape = shape_of(&self.shape)?;
        let rows = shape.first().copied().unwrap_or(1);
        let d = self.mean.dtype();
        for x in [&self.mean, &self.stdevs, &self.min, &self.max] {
            let fits = x.dtype() == d && d.is_float() && (x.count() == 1 || x.shape() == [rows]);
            ensure!(fits, "expected one float or {rows}, found {}", x.fact);
        }
        Ok(vec![Fact { dtype: d, shape }])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let fact = only(facts)?;
        let operands = [&self.mean, &self.stdevs, &self.min, &self.max];
        let lists = operands.iter().map(|x| x.f64s()).collect::<Result<Vec<_>, _>>()?;
        let row = fact.count() / fact.shape.first().copied().unwrap_or(1).max(1);
        let one = |draw: &mut Draw, i: usize| {
            let at = |which: usize| {
                let list = item(&lists, which)?;
                item(list, if list.len() == 1 { 0 } else { i / row.max(1) }).copied()
            };
            let (mean, std, low, high) = (at(0)?, at(1)?, at(2)?, at(3)?);
            ensure!(std > 0.0 && low < high, "expected a positive deviation and a range, found {std}, {low} to {high}");
            Ok(mean + std * draw.truncated((low - mean) / std, (high - mean) / std)?)
        };
        fill(&fact, Draw::over(self.seed, self.seed2, &self.mean)?, one)
    }
}

impl Operator for ParameterizedTruncatedNormal {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let one = |x: f64| filled(DType::F32, &[1], move |_| x);
        vec![sample().ints(&[2, 3]).arg(one(0.5)).arg(one(2.0)).arg(one(-1.0)).arg(one(3.0)).case("one for all")]
    }
}

op! {
    /// Integers of any size that `dtype` (`i32`, `i64`, `u32` or `u64`) has, of shape `shape`.
    classic NonDeterministicInts { shape: Ints as Input, dtype: DType = DType::I64 }
}

impl Operator for NonDeterministicInts {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            ensure!(self.dtype.is_int(), "expected a type of integers, found {}", self.dtype);
            Ok(vec![Fact { dtype: self.dtype, shape: shape_of(&self.shape)? }])
        };
        let results = |facts| {
            let fact: Fact = only(facts)?;
            let (_room, mut draw) = (room(fact.count())?, Draw::new(0, 0));
            let unused = 64 - 8 * fact.dtype.size() as u32;
            let y: Vec<i64> = (0..fact.count()).map(|_| (draw.bits() as i64) << unused >> unused).collect();
            Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().ints(&[2, 3]).dtype(DType::I32).exact("i32")]
    }
}
