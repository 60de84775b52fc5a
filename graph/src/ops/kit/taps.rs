//! Weighted sums of few elements along a dimension.

use super::indices::{around, replaced};
use crate::task::{Binary, Lowering, ReduceKind, V};
use crate::{DType, OpError, Tensor};

/// `x` with other elements along dimension `axis`: element `i` is the sum of the elements that `taps[i]` names, each times its
/// weight. It depends on no other element, whatever that holds; without elements it is 0.
pub(in crate::ops) fn weigh(b: &mut Lowering, x: V, axis: usize, taps: &[Vec<(usize, f64)>]) -> Result<V, OpError> {
    let fact = b.fact(x).clone();
    let [outer, len, inner] = around(&fact.shape, axis)?;
    let width = taps.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let (mut picks, mut weights) = (Vec::new(), Vec::new());
    let mut all = true;
    for list in taps {
        let Some(((last, weight), before)) = list.split_last() else {
            // Elements behind the last one are zeros.
            picks.extend(std::iter::repeat_n(len as i64, width));
            weights.extend(std::iter::repeat_n(0.0, width));
            all = false;
            continue;
        };
        // Shorter sums take their last element several times, with a share of its weight each.
        let copies = width - before.len();
        let shares = std::iter::repeat_n((*last, weight / copies as f64), copies);
        for (pick, weight) in before.iter().copied().chain(shares) {
            picks.push(pick as i64);
            weights.push(weight);
        }
    }
    let wide = DType::promote(fact.dtype, DType::F32);
    let picks = b.constant(Tensor::vector(&picks));
    let weights = b.constant(Tensor::from_f64s(wide, &[taps.len(), width, 1], &weights)?);
    let y = if all { b.gather(x, picks, axis)? } else { b.gather_or_zeros(x, picks, axis)? };
    let y = b.cast(y, wide);
    let y = b.reshape(y, &[outer, taps.len(), width, inner])?;
    let y = b.binary(Binary::Mul, y, weights)?;
    let y = b.reduce(ReduceKind::Sum, y, &[2], false, wide)?;
    let y = b.cast(y, fact.dtype);
    b.reshape(y, &replaced(&fact.shape, axis, taps.len()))
}
