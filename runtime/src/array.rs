//! Tensors as `ndarray` arrays and back. Elements keep their order; no conversion between element types.

use mindir_graph::{Element, Tensor, TensorError};
use ndarray::{ArrayBase, ArrayViewD, Data, Dimension, IxDyn};

/// The elements of a tensor as a view of its shape. `bool` tensors are viewed as `u8`.
///
/// # Errors
/// [`TensorError::DType`] if `T` is another type.
pub fn view<T: Element>(tensor: &Tensor) -> Result<ArrayViewD<'_, T>, TensorError> {
    let wrong = TensorError::DType { expected: T::DTYPE, found: tensor.dtype() };
    ArrayViewD::from_shape(IxDyn(tensor.shape()), tensor.view::<T>()?).map_err(|_| wrong)
}

/// A tensor with a copy of an array's elements in row-major order, whatever order the array has.
///
/// # Errors
/// [`TensorError::TooLarge`].
pub fn tensor<T: Element, S: Data<Elem = T>, D: Dimension>(array: &ArrayBase<S, D>) -> Result<Tensor, TensorError> {
    Tensor::from_vec(array.shape(), array.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_survive_in_any_order() {
        let a = ndarray::arr2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(view::<f32>(&tensor(&a).unwrap()).unwrap(), a.view().into_dyn());
        let turned = a.t();
        let t = tensor(&turned).unwrap();
        assert_eq!(t.shape(), [3, 2]);
        assert_eq!(view::<f32>(&t).unwrap(), turned.into_dyn());
        assert!(matches!(view::<f64>(&t), Err(TensorError::DType { .. })));
    }
}
