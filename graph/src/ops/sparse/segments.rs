//! Sums of slices that indices name, by segments that are in order.

use crate::bounds;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::index::gather::place;
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::host::{ByData, host};
use crate::ops::kit::indices::{around, item, item_mut, replaced, result, size};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, ensure, op};

/// What becomes of a sum of so many slices.
type Share = fn(f64) -> f64;

fn check(x: &Operand, indices: &Operand, segments: &Operand) -> Result<(), OpError> {
    real(x)?;
    let vectors = indices.rank() == 1 && indices.shape() == segments.shape() && x.rank() > 0;
    let fits = vectors && indices.dtype().is_int() && segments.dtype().is_int();
    ensure!(fits, "expected vectors of integers alike for {}, found {} and {}", x.fact, indices.fact, segments.fact);
    Ok(())
}

/// The slices `indices` of `x` added up by segments, each sum divided by what `share` makes of the number of its slices.
fn sums(
    x: &Operand,
    indices: &Operand,
    segments: &Operand,
    n: Option<usize>,
    share: Option<Share>,
) -> Result<Vec<Tensor>, OpError> {
    let ids = segments.i64s()?.into_iter().map(|id| size(id, "segment_ids")).collect::<Result<Vec<_>, _>>()?;
    ensure!(ids.is_sorted(), "expected segments in order, found {ids:?}");
    let least = ids.last().map_or(0, |last| last + 1);
    let n = n.unwrap_or(least);
    ensure!(least <= n, "expected segments below {n}, found {}", least.saturating_sub(1));
    let [_, len, inner] = around(x.shape(), 0)?;
    let fact = result(x.dtype(), &replaced(x.shape(), 0, n))?;
    let _room = bounds::room(fact.count().saturating_mul(bounds::NUMBERS))?;
    let mut counts = vec![0u32; n];
    with_arithmetic!(x.dtype(), N => {
        let (data, mut y) = (N::read(x.tensor()?)?, vec![N::ZERO; fact.count()]);
        for (index, segment) in indices.i64s()?.into_iter().zip(&ids) {
            bounds::check()?;
            let row = place(index, len)? * inner;
            *item_mut(&mut counts, *segment)? += 1;
            for k in 0..inner {
                let y = item_mut(&mut y, segment * inner + k)?;
                *y = y.add(*item(&data, row + k)?);
            }
        }
        if let Some(share) = share {
            let shared: Vec<f64> = N::write(DType::F64, &[y.len()], &y)?.to_f64s()?.into_iter().enumerate().map(|(i, y)| {
                let count = counts.get(i / inner.max(1)).copied().unwrap_or(0).max(1);
                y / share(f64::from(count))
            }).collect();
            return Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &shared)?]);
        }
        Ok(vec![N::write(fact.dtype, &fact.shape, &y)?])
    })
}

macro_rules! segment_op {
    ($($(#[doc = $doc:literal])+ $name:ident, $(#[doc = $more:literal])+ $counted:ident: $share:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            object $name { x: Operand, indices: Operand, segment_ids: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, indices, segments) = (&self.x, &self.indices, &self.segment_ids);
                check(x, indices, segments)?;
                let share: Option<Share> = $share;
                Ok(ByData { operands: vec![x, indices, segments], results: move || sums(x, indices, segments, None, share) })
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[3, 2]).index(DType::I32, &[4], &[0, 1, 2, 0]);
                vec![s.index(DType::I32, &[4], &[0, 0, 1, 1]).case("rows")]
            }
        }

        op! {
            $(#[doc = $more])+
            object $counted { x: Operand, indices: Operand, segment_ids: Operand, num_segments: i64 }
        }

        impl Operator for $counted {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, indices, segments) = (&self.x, &self.indices, &self.segment_ids);
                let n = size(self.num_segments, "num_segments")?;
                let share: Option<Share> = $share;
                let facts = move || {
                    check(x, indices, segments)?;
                    Ok(vec![result(x.dtype(), &replaced(x.shape(), 0, n))?])
                };
                Ok(host(facts, move |_| sums(x, indices, segments, Some(n), share)))
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, &[3, 2]).index(DType::I32, &[4], &[0, 1, 2, 0]);
                vec![s.index(DType::I32, &[4], &[0, 0, 2, 2]).int(4).case("rows")]
            }
        }
    )*};
}

segment_op! {
    /// Sums of the slices of `x` that `indices` names, by their numbers `segment_ids`, which are in order; 0 for numbers that
    /// are left out. Numbers; an index out of range is an error.
    SparseSegmentSum,
    /// As `SparseSegmentSum`, of `num_segments` segments.
    SparseSegmentSumWithNumSegments: None;
    /// As `SparseSegmentSum`, with means.
    SparseSegmentMean,
    /// As `SparseSegmentMean`, of `num_segments` segments.
    SparseSegmentMeanWithNumSegments: Some(|n| n);
    /// As `SparseSegmentSum`, with sums divided by the root of the number of slices.
    SparseSegmentSqrtN,
    /// As `SparseSegmentSqrtN`, of `num_segments` segments.
    SparseSegmentSqrtNWithNumSegments: Some(f64::sqrt);
}
