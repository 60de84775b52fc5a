//! Elements counted, ranked and put into buckets.

use super::order::{SearchSorted, compare};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, number_of, real, scalars, tensor_of};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{item, item_mut, result, size};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// How many of `boundaries`, which are in order, are not above each element; all of them for NaN. The result is `i32`.
    classic Bucketize { input: Operand, boundaries: Vec<f64> }
}

impl Operator for Bucketize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            real(&self.input)?;
            ensure!(self.boundaries.is_sorted(), "expected boundaries in order, found {:?}", self.boundaries);
            Ok(vec![Fact::new(DType::I32, self.input.shape())])
        };
        let results = |_| {
            let below = |x: &f64| self.boundaries.partition_point(|bound| x >= bound || x.is_nan()) as i64;
            let y: Vec<i64> = self.input.f64s()?.iter().map(below).collect();
            Ok(vec![Tensor::from_i64s(DType::I32, self.input.shape(), &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let x = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, f64::NAN, f64::INFINITY, -0.0];
        vec![
            sample().arg(cycle(DType::F32, &[3, 3], &x)).reals(&[0.0, 1.0, 2.0]).exact("floats"),
            sample().arg(wave(DType::I32, &[5])).reals(&[0.5]).exact("integers"),
            sample().arg(wave(DType::F32, &[2])).reals(&[]).exact("no boundary"),
        ]
    }
}

macro_rules! bound_op {
    ($(#[doc = $doc:literal])+ $name:ident $right:literal) => {
        op! {
            $(#[doc = $doc])+
            classic $name { sorted_x: Operand, values: Operand, out_type: DType = DType::I32 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (s, v) = (&self.sorted_x, &self.values);
                ensure!(s.rank() == 2 && v.rank() == 2, "expected matrices, found {} and {}", s.fact, v.fact);
                let (sorted_sequence, values) = (s.clone(), v.clone());
                Ok(SearchSorted { sorted_sequence, values, sorter: None, dtype: self.out_type, right: $right })
            }

            fn cases() -> Vec<Case> {
                let rows = cycle(DType::F32, &[2, 4], &[1.0, 3.0, 3.0, 5.0]);
                let values = cycle(DType::F32, &[2, 3], &[3.0, 6.0, 0.0, f64::NAN, 5.0]);
                vec![sample().arg(rows).arg(values).dtype(DType::I64).exact("rows")]
            }
        }
    };
}

bound_op! {
    /// The place of the first element of a row of `sorted_x`, which is in order, that is not below each element of the row of
    /// `values`; the length of the row for none and for NaN. Matrices of as many rows. The result has type `out_type`.
    LowerBound false
}
bound_op! {
    /// As `LowerBound`, with the place of the first element that is above.
    UpperBound true
}

op! {
    /// How many elements lie in each of `bins` equal parts of the range from `min` to `max`, as `i32` for integers and `f32` for
    /// floats. The last part has its upper end; elements outside and NaN are left out. If both ends are equal, the range is that
    /// of the elements, and if these are equal too, one less to one more.
    classic Histogram { x: Operand, bins: i64 = 100, min: f64 = 0.0, max: f64 = 0.0 }
}

impl Histogram {
    fn range(&self, x: &[f64]) -> (f64, f64) {
        let (mut low, mut high) = (self.min, self.max);
        if low == high {
            let ends = x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
            (low, high) = if ends.0 <= ends.1 { ends } else { (0.0, 0.0) };
        }
        if low == high { (low - 1.0, high + 1.0) } else { (low, high) }
    }

    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let dtype = if real(&self.x)?.is_float() { DType::F32 } else { DType::I32 };
        let bins = size(self.bins, "bins")?;
        ensure!((1..=1 << 24).contains(&bins), "expected 1 to 16777216 bins, found {bins}");
        ensure!((self.min..=f64::MAX).contains(&self.max), "expected a range, found {} to {}", self.min, self.max);
        Ok(vec![result(dtype, &[bins])?])
    }

    fn results(&self, facts: &[Fact]) -> Result<Vec<Tensor>, OpError> {
        let (fact, x) = (item(facts, 0)?, self.x.f64s()?);
        let (low, high) = self.range(&x);
        ensure!(low.is_finite() && high.is_finite(), "expected finite elements or a range, found {low} to {high}");
        let bins = fact.count();
        let mut y = vec![0i64; bins];
        for x in x.into_iter().filter(|x| (low..=high).contains(x)) {
            let at = ((x - low) / (high - low) * bins as f64) as usize;
            *item_mut(&mut y, at.min(bins - 1))? += 1;
        }
        Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for Histogram {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(&facts)))
    }

    fn cases() -> Vec<Case> {
        let x = [0.0, 1.0, 2.0, 1.0, 3.0, 2.875, -1.0, 4.0, f64::NAN];
        vec![
            sample().arg(cycle(DType::F32, &[3, 3], &x)).int(4).real(0.0).real(3.0).exact("given range"),
            sample().arg(wave(DType::I32, &[9])).int(4).exact("own range"),
            sample().arg(cycle(DType::F32, &[3], &[1.0])).int(4).exact("equal elements"),
            sample().arg(wave(DType::F32, &[0])).int(2).exact("no elements"),
        ]
    }
}

op! {
    /// How many elements of `x` and `y` are equal, as one element of their type. NaN equals nothing.
    object EqualCount { x: Operand, y: Operand }
}

impl Operator for EqualCount {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, y) = (&self.x, &self.y);
        let facts = || {
            let alike = x.dtype() == y.dtype() && x.shape() == y.shape();
            ensure!(alike, "expected tensors of one type and shape, found {} and {}", x.fact, y.fact);
            Ok(vec![Fact::new(number_of(real(x)?), &[1])])
        };
        let results = |_| {
            let d = x.dtype();
            let (a, b) = (scalars(x.tensor()?, d)?, scalars(y.tensor()?, d)?);
            let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count();
            Ok(vec![Tensor::from_i64s(number_of(d), &[1], &[equal as i64])?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let nan = || cycle(DType::F32, &[4], &[1.0, f64::NAN, -0.0]);
        let zero = cycle(DType::F32, &[4], &[1.0, f64::NAN, 0.0]);
        vec![
            sample().arg(nan()).arg(zero).exact("floats"),
            sample().arg(wave(DType::I32, &[2, 3])).arg(cycle(DType::I32, &[2, 3], &[-3.0])).exact("integers"),
        ]
    }
}

op! {
    /// The `n`-th smallest element along the last dimension, from 0, or with `reverse` the `n`-th largest. NaN is above all.
    classic NthElement { input: Operand, n: i64 as Input, reverse: bool = false }
}

impl NthElement {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let x = &self.input;
        let Some((last, rows)) = x.shape().split_last() else {
            return Err(OpError::Invalid(format!("expected a dimension, found {}", x.fact)));
        };
        let n = size(self.n, "n")?;
        ensure!(n < *last, "expected n below {last}, found {n}");
        Ok(vec![Fact::new(real(x)?, rows)])
    }

    fn results(&self, facts: &[Fact]) -> Result<Vec<Tensor>, OpError> {
        let (x, fact, d) = (&self.input, item(facts, 0)?, self.input.dtype());
        let n = size(self.n, "n")?;
        let nth = |row: &[_]| {
            let mut row = row.to_vec();
            row.sort_by(|a, b| if self.reverse { compare(*b, *a, d) } else { compare(*a, *b, d) });
            item(&row, n).copied()
        };
        let rows = Groups::new(x.shape(), &[x.rank().saturating_sub(1)]).map(&scalars(x.tensor()?, d)?, nth)?;
        Ok(vec![tensor_of(d, &fact.shape, &rows.into_iter().collect::<Result<Vec<_>, _>>()?)?])
    }
}

impl Operator for NthElement {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(&facts)))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[2, 3, 5])).int(1).exact("smallest"),
            sample().arg(wave(DType::I32, &[5])).int(0).flag(true).exact("largest"),
        ]
    }
}
