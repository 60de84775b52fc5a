//! Elements that are chosen or put in another order.

use super::draw::{Draw, room, weights};
use crate::bounds;
use crate::op::{Case, Effect, Operand, Operator, Rule};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{around, item, only, result, size, slices_at, taken};
use crate::ops::kit::sample::{between, flags, sample, wave};
use crate::ops::sparse::coo::coordinates;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

/// Rows of `n` numbers, each chosen by the weights of a row of `x`.
fn chosen(x: &Operand, n: i64, dtype: DType) -> Result<Fact, OpError> {
    let Some((classes, rows)) = x.shape().split_last().filter(|_| matches!(x.rank(), 1 | 2)) else {
        return Err(OpError::Invalid(format!("expected rows of weights, found {}", x.fact)));
    };
    ensure!(x.dtype().is_float() && *classes > 0, "expected rows of floats, found {}", x.fact);
    ensure!(dtype.is_int(), "expected a type of integers, found {dtype}");
    let shape: Shape = rows.iter().copied().chain([size(n, "the number of samples")?]).collect();
    result(dtype, &shape)
}

/// The numbers of `chosen`; `weight` makes the weights of a row.
fn choose(
    x: &Operand,
    fact: &Fact,
    mut draw: Draw,
    weight: impl Fn(&[f64]) -> Vec<f64>,
) -> Result<Vec<Tensor>, OpError> {
    let (classes, n) = (x.shape().last().copied().unwrap_or(1), fact.shape.last().copied().unwrap_or(0));
    let _room = room(fact.count())?;
    let mut y = Vec::with_capacity(fact.count());
    for row in x.f64s()?.chunks_exact(classes.max(1)) {
        bounds::check()?;
        let mut sum = 0.0;
        let sums: Vec<f64> = weight(row)
            .into_iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        ensure!(sum.is_finite() && sum > 0.0, "expected weights with a positive sum, found {sum}");
        y.extend((0..n).map(|_| draw.weighted(&sums) as i64));
    }
    Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y)?])
}

op! {
    /// `num_samples` numbers of columns for each row of `x`, chosen by the weights that it holds, perhaps several times, in `dtype`.
    classic Multinomial { x: Operand, num_samples: i64 as Input, seed: i64 = 0, seed2: i64 = 0, dtype: DType = DType::I32 }
}

impl Operator for Multinomial {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let results = |facts| {
            weights(x.tensor()?)?;
            choose(x, &only(facts)?, Draw::over(self.seed, self.seed2, x)?, <[f64]>::to_vec)
        };
        Ok(host(|| Ok(vec![chosen(x, self.num_samples, self.dtype)?]), results))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(between(DType::F32, &[2, 4], 0.0, 1.0)).int(3).int(1).int(2).exact("rows"),
            sample().arg(between(DType::F32, &[4], 0.0, 1.0)).int(2).exact("vector"),
        ]
    }
}

op! {
    /// As `Multinomial`, with `numsamples` numbers in `i64`; without `replacement` each at most once in a row.
    classic MultinomialWithReplacement {
        x: Operand,
        seed: i64 as Input,
        offset: i64 as Input,
        numsamples: i64,
        replacement: bool = false,
    }
}

impl MultinomialWithReplacement {
    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (x, fact) = (&self.x, only(facts)?);
        let all = weights(x.tensor()?)?;
        let mut draw = Draw::over(self.seed, self.offset, x)?;
        if self.replacement {
            return choose(x, &fact, draw, <[f64]>::to_vec);
        }
        let (classes, n) = (x.shape().last().copied().unwrap_or(1), fact.shape.last().copied().unwrap_or(0));
        ensure!(n <= classes, "expected at most {classes} samples, found {n}");
        let mut y = Vec::with_capacity(fact.count());
        for row in all.chunks_exact(classes.max(1)) {
            bounds::check()?;
            // Those with the earliest of events that come at rates of the weights.
            let mut times: Vec<(f64, i64)> =
                row.iter().zip(0..).map(|(weight, i)| (-draw.positive().ln() / weight, i)).collect();
            times.sort_by(|a, b| a.0.total_cmp(&b.0));
            y.extend(times.iter().take(n).map(|(_, i)| *i));
        }
        Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for MultinomialWithReplacement {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || Ok(vec![chosen(&self.x, self.numsamples, DType::I64)?]);
        Ok(host(facts, |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let s = || sample().arg(between(DType::F32, &[2, 4], 0.5, 1.0)).int(1).int(2).int(3);
        vec![s().flag(true).exact("several times"), s().flag(false).exact("once")]
    }
}

op! {
    /// `num_sample` numbers of columns for each row of `logits`, chosen by the softmax of the row, in `dtype`.
    classic RandomCategorical {
        logits: Operand,
        num_sample: i64 as Input,
        seed: i64 as Input = 0,
        dtype: DType = DType::I64,
    }
}

impl Operator for RandomCategorical {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.logits;
        let softmax = |row: &[f64]| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter().map(|x| (x - most).exp()).collect()
        };
        let results = move |facts| choose(x, &only(facts)?, Draw::over(self.seed, 0, x)?, softmax);
        Ok(host(|| Ok(vec![chosen(x, self.num_sample, self.dtype)?]), results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(wave(DType::F32, &[2, 4])).int(3).int(5).exact("rows")]
    }
}

op! {
    /// The slices of `x` along the first dimension in some order. Any type.
    classic RandomShuffle { x: Operand, seed: i64 = 0, seed2: i64 = 0 }
}

impl Operator for RandomShuffle {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let results = |_| {
            if x.rank() == 0 {
                return Ok(vec![x.tensor()?.clone()]);
            }
            let around = around(x.shape(), 0)?;
            let order = Draw::new(self.seed, self.seed2).permutation(around[1])?;
            Ok(vec![taken(x.tensor()?, x.shape(), slices_at(around, &order))?])
        };
        Ok(host(|| Ok(vec![x.fact.clone()]), results))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[5, 3])).int(1).int(2).exact("rows"),
            sample().arg(wave(DType::F32, &[])).exact("number"),
        ]
    }
}

op! {
    /// The integers from 0 to below `n` in some order, in `dtype`.
    RandpermV2 { n: i64, seed: i64 = 0, offset: i64 = 0, dtype: DType = DType::I64 }
}

impl Operator for RandpermV2 {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || Ok(vec![result(self.dtype, &[size(self.n, "n")?])?]);
        let results = |facts| {
            let fact: Fact = only(facts)?;
            let order = Draw::new(self.seed, self.offset).permutation(fact.count())?;
            let order: Vec<i64> = order.into_iter().map(|i| i as i64).collect();
            Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &order)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        vec![sample().int(5).int(1).int(2).exact("five"), sample().int(0).exact("none")]
    }
}

op! {
    /// The coordinates, as `i32` rows, of `count` true elements of `input_x` in some order, each at most once, and whether each
    /// row holds one: where there are too few, rows of zeros follow.
    classic RandomChoiceWithMask { input_x: Operand, count: i64 = 256, seed: i64 = 0, seed2: i64 = 0 }
}

impl RandomChoiceWithMask {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, count) = (&self.input_x, size(self.count, "count")?);
        let _room = room(count.saturating_mul(x.rank() + 1))?;
        let hits: Vec<usize> = x.i64s()?.iter().enumerate().filter(|(_, x)| **x != 0).map(|(i, _)| i).collect();
        let order = Draw::over(self.seed, self.seed2, x)?.permutation(hits.len())?;
        let mut y = Vec::with_capacity(count * x.rank());
        for i in order.iter().take(count) {
            y.extend(coordinates(x.shape(), *item(&hits, *i)?));
        }
        y.resize(count * x.rank(), 0);
        let mask: Vec<bool> = (0..count).map(|i| i < hits.len()).collect();
        Ok(vec![Tensor::from_i64s(DType::I32, &[count, x.rank()], &y)?, Tensor::from_bools(&[count], &mask)?])
    }
}

impl Operator for RandomChoiceWithMask {
    const EFFECT: Effect = Effect::Random;

    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input_x;
        let facts = move || {
            ensure!(x.dtype() == DType::Bool && x.rank() > 0, "expected bool, found {}", x.fact);
            let count = size(self.count, "count")?;
            Ok(vec![result(DType::I32, &[count, x.rank()])?, result(DType::Bool, &[count])?])
        };
        Ok(host(facts, |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(flags(&[3, 4])).int(3).int(1).exact("some"),
            sample().arg(flags(&[3, 4])).int(16).exact("too few"),
        ]
    }
}
