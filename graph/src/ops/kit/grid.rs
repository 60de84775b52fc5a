//! Numbers of tensors by multi-index, for references. The number of dimensions is part of the type.

use super::indices::{advance, flat, item, item_mut};
use crate::bounds::{self, Pulse};
use crate::op::Operand;
use crate::{DType, OpError, Tensor, checked_count, dense_strides, ensure};

/// Numbers in row-major order.
#[derive(Clone)]
pub(in crate::ops) struct Grid<const N: usize> {
    pub dims: [usize; N],
    data: Vec<f64>,
}

impl<const N: usize> Grid<N> {
    /// `data` with these dimensions.
    pub fn new(dims: [usize; N], data: Vec<f64>) -> Result<Self, OpError> {
        ensure!(checked_count(&dims) == Some(data.len()), "expected elements of {dims:?}, found {}", data.len());
        Ok(Grid { dims, data })
    }

    /// The contents of an operand of rank `N`.
    pub fn read(x: &Operand) -> Result<Self, OpError> {
        Self::new(x.fact.ranked()?, x.f64s()?)
    }

    /// Zeros.
    pub fn zeros(dims: [usize; N]) -> Result<Self, OpError> {
        let count = checked_count(&dims).ok_or_else(|| OpError::Invalid(format!("{dims:?} is too large")))?;
        bounds::room(count.saturating_mul(size_of::<f64>()))?;
        Self::new(dims, vec![0.0; count])
    }

    fn place(&self, index: [usize; N]) -> Result<usize, OpError> {
        let inside = index.iter().zip(&self.dims).all(|(i, d)| i < d);
        ensure!(inside, "expected an element of {:?}, found {index:?}", self.dims);
        Ok(flat(&self.dims, &index))
    }

    /// The number at `index`.
    pub fn at(&self, index: [usize; N]) -> Result<f64, OpError> {
        item(&self.data, self.place(index)?).copied()
    }

    /// The number at `index`, to write it.
    pub fn at_mut(&mut self, index: [usize; N]) -> Result<&mut f64, OpError> {
        let place = self.place(index)?;
        item_mut(&mut self.data, place)
    }

    /// A tensor of these numbers.
    pub fn tensor(&self, dtype: DType) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(dtype, &self.dims, &self.data)?)
    }
}

/// Row-major strides of a dense tensor.
pub(in crate::ops) fn strides<const N: usize>(dims: [usize; N]) -> [isize; N] {
    let mut out = [0; N];
    out.iter_mut().zip(dense_strides(&dims)).for_each(|(to, stride)| *to = stride);
    out
}

/// As [`indices::rearrange`](super::indices::rearrange), with as many dimensions as the type says.
pub(in crate::ops) fn rearrange<const N: usize>(
    x: &Tensor,
    dims: [usize; N],
    mut source: impl FnMut([usize; N]) -> Option<usize>,
) -> Result<Tensor, OpError> {
    super::indices::rearrange(x, &dims, |index| source(index.try_into().ok()?))
}

/// `values` moved so that each is at the place that `order`, a permutation, has beside it.
pub(in crate::ops) fn placed<T: Copy, const N: usize>(order: [usize; N], values: [T; N]) -> [T; N] {
    let mut out = values;
    for (place, value) in order.into_iter().zip(values) {
        out.get_mut(place).into_iter().for_each(|to| *to = value);
    }
    out
}

/// The `values` at the places of `order`, a permutation.
pub(in crate::ops) fn picked<T: Copy, const N: usize>(order: [usize; N], values: [T; N]) -> [T; N] {
    placed(placed(order, std::array::from_fn(|place| place)), values)
}

/// Calls `f` with every multi-index below `dims`, the last dimension fastest, until it fails or the thread has to stop.
pub(in crate::ops) fn each<const N: usize>(
    dims: [usize; N],
    mut f: impl FnMut([usize; N]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let mut pulse = Pulse::default();
    let (mut index, mut more) = ([0; N], !dims.contains(&0));
    while more {
        f(index)?;
        pulse.beat()?;
        more = advance(&mut index, &dims);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_checked() {
        let (mut grid, mut seen) = (Grid::zeros([2, 3]).unwrap(), Vec::new());
        let count = |index: [usize; 2]| {
            seen.push(index);
            *grid.at_mut(index)? += seen.len() as f64;
            Ok(())
        };
        each([2, 3], count).unwrap();
        assert_eq!((grid.at([0, 0]).unwrap(), grid.at([1, 0]).unwrap()), (1.0, 4.0));
        assert!(grid.at([0, 3]).is_err() && grid.at_mut([2, 0]).is_err());
        assert!(Grid::new([2], vec![0.0]).is_err() && Grid::zeros([usize::MAX, 2]).is_err());
        assert!(each([], |[]| Err(OpError::Dynamic)).is_err());
        each([3, 0], |_| Err(OpError::Dynamic)).unwrap();
    }

    #[test]
    fn orders_take_back_each_other() {
        assert_eq!(placed([2, 0, 1], picked([2, 0, 1], [5, 6, 7])), [5, 6, 7]);
        assert_eq!(picked([2, 0, 1], [5, 6, 7]), [7, 5, 6]);
    }
}
