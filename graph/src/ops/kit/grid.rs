//! Numbers of tensors by multi-index, for references. The number of dimensions is part of the type.

use super::indices::{advance, flat};
use crate::bounds::Pulse;
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

    /// Zeros; the dimensions are those of a result that was found to fit.
    pub fn zeros(dims: [usize; N]) -> Self {
        Grid { dims, data: vec![0.0; dims.iter().product()] }
    }

    fn place(&self, index: [usize; N]) -> Option<usize> {
        index.iter().zip(&self.dims).all(|(i, d)| i < d).then(|| flat(&self.dims, &index))
    }

    /// The number at `index`.
    pub fn at(&self, index: [usize; N]) -> Result<f64, OpError> {
        let number = self.place(index).and_then(|place| self.data.get(place));
        number.copied().ok_or_else(|| outside(self.dims, index))
    }

    /// The number at `index`, to write it.
    pub fn at_mut(&mut self, index: [usize; N]) -> Result<&mut f64, OpError> {
        let number = self.place(index).and_then(|place| self.data.get_mut(place));
        number.ok_or_else(|| outside(self.dims, index))
    }

    /// A tensor of these numbers.
    pub fn tensor(&self, dtype: DType) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(dtype, &self.dims, &self.data)?)
    }
}

fn outside<const N: usize>(dims: [usize; N], index: [usize; N]) -> OpError {
    OpError::Invalid(format!("expected an element of {dims:?}, found {index:?}"))
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
        let mut grid = Grid::zeros([2, 3]);
        each([2, 3], |[y, x]| {
            *grid.at_mut([y, x])? += (3 * y + x) as f64;
            Ok(())
        })
        .unwrap();
        assert_eq!(grid.data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(grid.at([1, 0]).unwrap(), 3.0);
        assert!(grid.at([0, 3]).is_err() && grid.at_mut([2, 0]).is_err());
        assert!(Grid::new([2], vec![0.0]).is_err());
        assert_eq!((placed([2, 0, 1], [5, 6, 7]), picked([2, 0, 1], [5, 6, 7])), ([6, 7, 5], [7, 5, 6]));
        let mut scalars = 0;
        each([], |[]| {
            scalars += 1;
            Ok(())
        })
        .unwrap();
        each([3, 0], |_| Err(OpError::Dynamic)).unwrap();
        assert_eq!(scalars, 1);
    }
}
