//! Multi-indices and byte-wise moves of elements: what the references of data movement are made of.

use std::convert::Infallible;

use crate::bounds::{Exceeded, Pulse};
use crate::{Buffer, DType, Fact, OpError, Shape, Tensor, checked_count, ensure};

/// Calls `f` with every multi-index below `dims`, the last dimension fastest, until the thread has to stop.
pub(in crate::ops) fn each_index(dims: &[usize], mut f: impl FnMut(&[usize])) -> Result<(), Exceeded> {
    let mut pulse = Pulse::default();
    walk(dims, |index| {
        f(index);
        pulse.beat()
    })
}

/// As [`each_index`] for so few indices that it is not worth stopping.
pub(in crate::ops) fn each_tap(dims: &[usize], mut f: impl FnMut(&[usize])) {
    let Ok(()) = walk(dims, |index| {
        f(index);
        Ok::<_, Infallible>(())
    });
}

fn walk<E>(dims: &[usize], mut f: impl FnMut(&[usize]) -> Result<(), E>) -> Result<(), E> {
    if dims.contains(&0) {
        return Ok(());
    }
    let mut index = vec![0; dims.len()];
    loop {
        f(&index)?;
        if !advance(&mut index, dims) {
            return Ok(());
        }
    }
}

/// Moves on to the next multi-index; whether there is one.
pub(super) fn advance(index: &mut [usize], dims: &[usize]) -> bool {
    // The last coordinate that is not at its end goes on, those behind it start again.
    index.iter_mut().zip(dims).rev().any(|(i, d)| {
        *i = (*i + 1) % d;
        *i > 0
    })
}

/// The length of dimension `axis`.
pub(in crate::ops) fn dim(dims: &[usize], axis: usize) -> Result<usize, OpError> {
    Ok(parted(dims, axis)?.1)
}

/// The dimensions before `axis`, its length, and the dimensions behind it.
pub(in crate::ops) fn parted(dims: &[usize], axis: usize) -> Result<(&[usize], usize, &[usize]), OpError> {
    match dims.split_at_checked(axis) {
        Some((before, [len, behind @ ..])) => Ok((before, *len, behind)),
        _ => Err(no_dimension(dims, axis)),
    }
}

fn no_dimension(dims: &[usize], axis: usize) -> OpError {
    OpError::Invalid(format!("expected a dimension {axis}, found {dims:?}"))
}

/// As [`parted`], with the numbers of elements of both sides.
pub(in crate::ops) fn around(dims: &[usize], axis: usize) -> Result<[usize; 3], OpError> {
    crate::around(dims, axis).ok_or_else(|| no_dimension(dims, axis))
}

/// The dimensions or coordinates, with `by` in the place of the one of `axis`.
pub(in crate::ops) fn replaced(list: &[usize], axis: usize, by: usize) -> Shape {
    list.iter().enumerate().map(|(d, &other)| if d == axis { by } else { other }).collect()
}

/// A dimension of `len` elements and `behind` of one.
pub(in crate::ops) fn column(len: usize, behind: usize) -> Shape {
    std::iter::once(len).chain(std::iter::repeat_n(1, behind)).collect()
}

/// The positions of the elements of slices `rows` along an axis, which has these numbers of elements [`around`] it.
pub(in crate::ops) fn slices_at([outer, len, inner]: [usize; 3], rows: &[usize]) -> impl Iterator<Item = usize> {
    let slice = move |at: usize| at * inner..(at + 1) * inner;
    (0..outer).flat_map(move |o| rows.iter().flat_map(move |row| slice(o * len + row)))
}

/// The dimensions or coordinates in the order of `perm`.
pub(in crate::ops) fn permuted(list: &[usize], perm: &[usize]) -> Shape {
    perm.iter().filter_map(|&p| list.get(p).copied()).collect()
}

/// The permutation that takes back what `perm` does.
pub(in crate::ops) fn inverse(perm: &[usize]) -> Vec<usize> {
    (0..perm.len()).filter_map(|d| perm.iter().position(|&p| p == d)).collect()
}

/// The first of a plan's results.
pub(in crate::ops) fn only<T>(results: Vec<T>) -> Result<T, OpError> {
    results.into_iter().next().ok_or_else(|| OpError::Invalid("expected a result, found none".into()))
}

/// Element `at`.
pub(in crate::ops) fn item<T>(data: &[T], at: usize) -> Result<&T, OpError> {
    data.get(at).ok_or_else(|| OpError::Invalid(format!("expected an element {at}, found {} elements", data.len())))
}

/// As [`item`], to write it.
pub(in crate::ops) fn item_mut<T>(data: &mut [T], at: usize) -> Result<&mut T, OpError> {
    let n = data.len();
    data.get_mut(at).ok_or_else(|| OpError::Invalid(format!("expected an element {at}, found {n} elements")))
}

/// Row-major position of a multi-index.
pub(in crate::ops) fn flat(dims: &[usize], index: &[usize]) -> usize {
    dims.iter().zip(index).fold(0, |at, (&d, &i)| at * d + i)
}

/// A tensor of `dims`; the element at each multi-index is element `source.1` of `xs[source.0]`, or `fill` without a source.
pub(in crate::ops) fn rearrange_many(
    xs: &[&Tensor],
    dims: &[usize],
    fill: &[u8],
    mut source: impl FnMut(&[usize]) -> Option<(usize, usize)>,
) -> Result<Tensor, OpError> {
    let Some(first) = xs.first() else { return Err(OpError::Invalid("no operand to take elements from".into())) };
    let (dtype, size) = (first.dtype(), first.dtype().size());
    ensure!(fill.len() == size, "fill of {} bytes for elements of {size}", fill.len());
    let bytes = checked_count(dims).and_then(|n| n.checked_mul(size));
    let mut out = Buffer::new(bytes.ok_or_else(|| OpError::Invalid(format!("{dims:?} is too large")))?)?;
    let (mut places, mut outside) = (out.bytes_mut().chunks_exact_mut(size), None);
    each_index(dims, |index| {
        let element = match source(index) {
            None => Some(fill),
            Some((x, at)) => xs.get(x).and_then(|x| x.bytes().get(at * size..(at + 1) * size)),
        };
        match (element, places.next()) {
            (Some(e), Some(place)) => place.copy_from_slice(e),
            _ => outside = Some(index.to_vec()),
        }
    })?;
    ensure!(outside.is_none(), "element {outside:?} has no source");
    Ok(Tensor::from_bytes(dtype, dims, out.into_bytes())?)
}

/// As [`rearrange_many`] from one tensor; zero where `source` gives none.
pub(in crate::ops) fn rearrange(
    x: &Tensor,
    dims: &[usize],
    mut source: impl FnMut(&[usize]) -> Option<usize>,
) -> Result<Tensor, OpError> {
    rearrange_many(&[x], dims, &vec![0; x.dtype().size()], |index| source(index).map(|at| (0, at)))
}

/// A tensor of `dims` whose elements are those of `x` at `places`, in order; an error if these are too few.
pub(in crate::ops) fn taken(
    x: &Tensor,
    dims: &[usize],
    mut places: impl Iterator<Item = usize>,
) -> Result<Tensor, OpError> {
    rearrange(x, dims, |_| Some(places.next().unwrap_or(x.count())))
}

/// A result of these dimensions, unless it is too large.
pub(in crate::ops) fn result(dtype: DType, dims: &[usize]) -> Result<Fact, OpError> {
    ensure!(checked_count(dims).is_some(), "the result {dims:?} is too large");
    Ok(Fact::new(dtype, dims))
}

/// A dimension or position given as `i64`.
pub(in crate::ops) fn size(value: i64, what: &str) -> Result<usize, OpError> {
    let fits = (0..=i64::from(i32::MAX)).contains(&value);
    ensure!(fits, "{what}: expected a number from 0 to 2147483647, found {value}");
    Ok(value as usize)
}

/// Dimensions given as `i64`.
pub(in crate::ops) fn sizes(values: &[i64], what: &str) -> Result<Vec<usize>, OpError> {
    values.iter().map(|&v| size(v, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_row_major() {
        let mut seen = Vec::new();
        each_index(&[2, 2], |i| seen.push(flat(&[2, 2], i))).unwrap();
        assert_eq!(seen, [0, 1, 2, 3]);
        let mut scalars = 0;
        each_index(&[], |_| scalars += 1).unwrap();
        each_index(&[3, 0], |_| scalars += 10).unwrap();
        assert_eq!(scalars, 1);
    }

    #[test]
    fn sources_are_checked() {
        let x = Tensor::vector(&[1i32, 2, 3]);
        let y = rearrange(&x, &[2, 2], |i| (i[0] == 0).then_some(2 - i[1])).unwrap();
        assert_eq!(y.view::<i32>().unwrap(), [3, 2, 0, 0]);
        assert!(rearrange(&x, &[1], |_| Some(3)).is_err());
    }
}
