//! Slices combined by segments that are in order.

use super::combine::{Combine, Combined};
use crate::bounds;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::host::ByData;
use crate::ops::kit::indices::{around, item_mut, only, replaced, result, size};
use crate::ops::kit::sample::{Sample, sample};
use crate::{DType, OpError, Tensor, ensure, op};

/// What a segment makes of its slices.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Each(Combine),
    Mean,
}

/// The numbers of segments: one for each slice of `x`, in order.
fn segments(x: &Operand, ids: &Operand) -> Result<Vec<usize>, OpError> {
    let ids = ids.i64s()?.into_iter().map(|id| size(id, "segment_ids")).collect::<Result<Vec<_>, _>>()?;
    ensure!(ids.is_sorted(), "expected segments in order");
    ensure!(
        x.shape().first() == Some(&ids.len()),
        "expected a segment for each slice of {}, found {}",
        x.fact,
        ids.len()
    );
    Ok(ids)
}

fn combined(x: &Operand, ids: &Operand, of: Of) -> Result<Vec<Tensor>, OpError> {
    let segments = segments(x, ids)?;
    let shape = replaced(x.shape(), 0, segments.last().map_or(0, |last| last + 1));
    let fact = result(x.dtype(), &shape)?;
    let _room = bounds::room(fact.count().saturating_mul(bounds::NUMBERS))?;
    let [_, _, inner] = around(&shape, 0)?;
    let how = if let Of::Each(how) = of { how } else { Combine::Add };
    with_arithmetic!(x.dtype(), N => {
        let empty = only(N::read(&Tensor::scalar(i64::from(how == Combine::Mul)))?)?;
        let (data, mut y) = (N::read(x.tensor()?)?, vec![empty; fact.count()]);
        let mut rows = data.chunks_exact(inner.max(1));
        for equals in segments.chunk_by(|a, b| a == b) {
            let segment = equals.first().map_or(0, |segment| segment * inner);
            for (nth, row) in rows.by_ref().take(equals.len()).enumerate() {
                for (k, &x) in row.iter().enumerate() {
                    let y = item_mut(&mut y, segment + k)?;
                    *y = if nth == 0 { x } else { y.combine(x, how) };
                }
            }
            if of == Of::Mean {
                let n = only(N::read(&Tensor::scalar(equals.len() as i64))?)?;
                for k in 0..inner {
                    let y = item_mut(&mut y, segment + k)?;
                    *y = y.combine(n, Combine::Div);
                }
            }
        }
        Ok(vec![N::write(x.dtype(), &shape, &y)?])
    })
}

macro_rules! segment_op {
    ($(#[doc = $doc:literal])+ $name:ident $of:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name { input_x: Operand, segment_ids: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, ids) = (&self.input_x, &self.segment_ids);
                let fits = ids.dtype().is_int() && ids.rank() == 1 && x.rank() > 0;
                ensure!(fits, "expected a vector of segments for slices, found {} and {}", ids.fact, x.fact);
                Ok(ByData { operands: vec![x, ids], results: || combined(x, ids, $of) })
            }

            fn cases() -> Vec<Case> {
                let ids = |s: Sample| s.index(DType::I64, &[4], &[0, 0, 2, 2]);
                vec![
                    ids(sample().tensor(DType::F32, &[4, 3])).case("rows"),
                    ids(sample().tensor(DType::I32, &[4])).exact("elements"),
                    sample().tensor(DType::F32, &[0, 2]).index(DType::I32, &[0], &[]).exact("none"),
                ]
            }
        }
    };
}

segment_op! {
    /// Sums of the slices of `input_x` with one number of `segment_ids`, which are in order; slice `s` of the result adds those
    /// of segment `s`, and is 0 if there are none. Numbers.
    SegmentSum Of::Each(Combine::Add)
}
segment_op! {
    /// As `SegmentSum`, with means; those of integers truncate.
    SegmentMean Of::Mean
}
segment_op! {
    /// As `SegmentSum`, with the largest elements; NaN stays NaN.
    SegmentMax Of::Each(Combine::Max)
}
segment_op! {
    /// As `SegmentSum`, with the smallest elements; NaN stays NaN.
    SegmentMin Of::Each(Combine::Min)
}
segment_op! {
    /// As `SegmentSum`, with products; 1 where there are none.
    SegmentProd Of::Each(Combine::Mul)
}
