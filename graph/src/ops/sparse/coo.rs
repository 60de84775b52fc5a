//! Coordinates.

use crate::op::Operand;
use crate::ops::index::gather::place;
use crate::ops::kit::indices::sizes;
use crate::{DType, OpError, Tensor, ensure};

/// Where the elements of a sparse tensor are: in a dense one of `dims`, at these row-major positions.
pub(in crate::ops) struct Coo {
    pub dims: Vec<usize>,
    pub places: Vec<usize>,
}

/// Refuses what is no list of `indices`, one row of coordinates for each of `values`.
pub(in crate::ops) fn check_coo(indices: &Operand, values: &Operand) -> Result<(), OpError> {
    ensure!(indices.dtype().is_int(), "expected integer indices, found {}", indices.fact);
    let each = matches!((indices.shape(), values.shape()), ([n, _], [count]) if n == count);
    ensure!(each, "expected a row of indices for each value, found {} and {}", indices.fact, values.fact);
    Ok(())
}

/// Refuses a shape that has not one length for each coordinate.
pub(in crate::ops) fn check_shape(indices: &Operand, shape: &Operand) -> Result<(), OpError> {
    let fits = shape.dtype().is_int() && matches!((indices.shape(), shape.shape()), ([_, r], [rank]) if r == rank);
    ensure!(fits, "expected a length for each coordinate of {}, found {}", indices.fact, shape.fact);
    Ok(())
}

impl Coo {
    /// The elements at these coordinates, `dims.len()` for each.
    pub fn new(dims: &[i64], coordinates: &[i64]) -> Result<Coo, OpError> {
        let dims = sizes(dims, "the dense shape")?;
        let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        ensure!(count.is_some(), "a dense tensor of {dims:?} is too large");
        let flat = |row: &[i64]| {
            row.iter().zip(&dims).try_fold(0, |at, (&i, &len)| {
                ensure!(i >= 0, "expected indices of at least 0, found {i}");
                Ok(at * len + place(i, len)?)
            })
        };
        let places = coordinates.chunks_exact(dims.len().max(1)).map(flat).collect::<Result<_, OpError>>()?;
        Ok(Coo { dims, places })
    }

    /// Those that operands hold.
    pub fn read(indices: &Operand, shape: &Operand) -> Result<Coo, OpError> {
        check_shape(indices, shape)?;
        Coo::new(&shape.i64s()?, &indices.i64s()?)
    }
}

/// The coordinates of a row-major position.
pub(in crate::ops) fn coordinates(dims: &[usize], mut place: usize) -> Vec<i64> {
    let mut row = vec![0; dims.len()];
    for (i, len) in row.iter_mut().zip(dims).rev() {
        *i = (place % len) as i64;
        place /= len;
    }
    row
}

/// A matrix with a row of coordinates for each position.
pub(super) fn indices(dtype: DType, dims: &[usize], places: &[usize]) -> Result<Tensor, OpError> {
    let rows: Vec<i64> = places.iter().flat_map(|place| coordinates(dims, *place)).collect();
    Ok(Tensor::from_i64s(dtype, &[places.len(), dims.len()], &rows)?)
}

/// Lengths as a vector.
pub(super) fn lengths(dtype: DType, dims: &[usize]) -> Result<Tensor, OpError> {
    let dims: Vec<i64> = dims.iter().map(|d| *d as i64).collect();
    Ok(Tensor::from_i64s(dtype, &[dims.len()], &dims)?)
}
