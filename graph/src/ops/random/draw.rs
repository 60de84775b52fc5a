//! Where random numbers come from.

use crate::bounds::{self, Reservation};
use crate::op::Operand;
use crate::random::SplitMix;
use crate::{OpError, Tensor};

use std::f64::consts::TAU;

/// A source of numbers.
pub(super) struct Draw(SplitMix);

impl Draw {
    /// Begun from two seeds.
    pub fn new(seed: i64, other: i64) -> Draw {
        let mut first = SplitMix(seed as u64);
        Draw(SplitMix(first.bits() ^ (other as u64).rotate_left(32)))
    }

    /// Begun from two seeds and what an operand holds.
    pub fn over(seed: i64, other: i64, x: &Operand) -> Result<Draw, OpError> {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in x.tensor()?.bytes() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(Draw::new(seed ^ hash as i64, other))
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Above 0, up to 1.
    pub fn positive(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.positive().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Of mean 0 and deviation 1 between bounds, which must not be apart from all that is likely.
    pub fn truncated(&mut self, low: f64, high: f64) -> Result<f64, OpError> {
        for _ in 0..10_000 {
            let x = self.normal();
            if (low..=high).contains(&x) {
                return Ok(x);
            }
        }
        // So far out that numbers between the bounds are as good as equally likely.
        Ok(low.max(-38.0) + self.unit() * (high.min(38.0) - low.max(-38.0)))
    }

    /// Of Laplace's distribution around 0 with scale 1.
    pub fn laplace(&mut self) -> f64 {
        let x = self.unit() - 0.5;
        -x.signum() * (1.0 - 2.0 * x.abs()).max(f64::MIN_POSITIVE).ln()
    }

    /// Of the gamma distribution with scale 1 (Marsaglia and Tsang).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let raised = if shape < 1.0 { shape + 1.0 } else { shape };
        let d = raised - 1.0 / 3.0;
        let x = loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.positive().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                break d * v;
            }
        };
        if shape < 1.0 { x * self.positive().powf(1.0 / shape) } else { x }
    }

    /// How many events there are where `rate` are expected; from 1000 on by the normal distribution.
    pub fn poisson(&mut self, rate: f64) -> f64 {
        if rate >= 1000.0 {
            return (rate + rate.sqrt() * self.normal()).round().max(0.0);
        }
        let (mut events, mut time) = (0.0, -self.positive().ln());
        while time < rate {
            events += 1.0;
            time -= self.positive().ln();
        }
        events
    }

    /// A number by its weight; `sums` are the sums of the weights up to each.
    pub fn weighted(&mut self, sums: &[f64]) -> usize {
        let place = self.unit() * sums.last().copied().unwrap_or(0.0);
        sums.partition_point(|sum| *sum <= place).min(sums.len().saturating_sub(1))
    }

    /// The numbers below `n` in some order.
    pub fn permutation(&mut self, n: usize) -> Result<Vec<usize>, OpError> {
        let _room = room(n)?;
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64 + 1) as usize);
        }
        Ok(order)
    }
}

/// Room for `n` numbers.
pub(super) fn room(n: usize) -> Result<Reservation, OpError> {
    Ok(bounds::room(n.saturating_mul(bounds::NUMBERS))?)
}

/// The elements of a tensor as `f64`, all of them finite and at least 0.
pub(super) fn weights(x: &Tensor) -> Result<Vec<f64>, OpError> {
    let values = x.to_f64s()?;
    match values.iter().find(|x| !(x.is_finite() && **x >= 0.0)) {
        Some(bad) => Err(OpError::Invalid(format!("expected finite numbers of at least 0, found {bad}"))),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many numbers.
    fn moments(mut next: impl FnMut(&mut Draw) -> f64) -> (f64, f64) {
        let mut draw = Draw::new(3, 4);
        let all: Vec<f64> = (0..40_000).map(|_| next(&mut draw)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64)
    }

    #[test]
    fn means_and_variances_are_those_of_the_distributions() {
        let near = |name, (mean, variance): (f64, f64), want: (f64, f64)| {
            let fits = (mean - want.0).abs() < 0.03 * want.1.sqrt() && (variance / want.1 - 1.0).abs() < 0.06;
            assert!(fits, "{name}: mean {mean}, variance {variance}, not {want:?}");
        };
        near("unit", moments(Draw::unit), (0.5, 1.0 / 12.0));
        near("normal", moments(Draw::normal), (0.0, 1.0));
        near("laplace", moments(Draw::laplace), (0.0, 2.0));
        near("truncated", moments(|draw| draw.truncated(-2.0, 2.0).unwrap()), (0.0, 0.774));
        for shape in [0.3, 1.0, 7.5] {
            near("gamma", moments(|draw| draw.gamma(shape)), (shape, shape));
        }
        for rate in [0.5, 20.0, 5000.0] {
            near("poisson", moments(|draw| draw.poisson(rate)), (rate, rate));
        }
        near("weighted", moments(|draw| draw.weighted(&[1.0, 1.0, 4.0]) as f64), (1.5, 0.75));
    }

    #[test]
    fn permutations_name_each_number_once() {
        let mut order = Draw::new(1, 2).permutation(100).unwrap();
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
    }
}
