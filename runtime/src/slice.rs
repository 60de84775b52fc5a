//! Inputs of a session.

use mindir_graph::{DType, Element, Tensor};

/// The elements of one input, in the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<'a> {
    /// Element type; `u8` is taken for `bool` as well.
    pub dtype: DType,
    /// The elements, dense and little-endian.
    pub bytes: &'a [u8],
}

impl<'a, T: Element> From<&'a [T]> for Slice<'a> {
    fn from(elements: &'a [T]) -> Slice<'a> {
        Slice { dtype: T::DTYPE, bytes: bytemuck::cast_slice(elements) }
    }
}

impl<'a, T: Element> From<&'a &[T]> for Slice<'a> {
    fn from(elements: &'a &[T]) -> Slice<'a> {
        Slice::from(*elements)
    }
}

impl<'a, T: Element, const N: usize> From<&'a [T; N]> for Slice<'a> {
    fn from(elements: &'a [T; N]) -> Slice<'a> {
        Slice::from(elements.as_slice())
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Slice<'a> {
    fn from(elements: &'a Vec<T>) -> Slice<'a> {
        Slice::from(elements.as_slice())
    }
}

impl<'a> From<&'a Tensor> for Slice<'a> {
    fn from(tensor: &'a Tensor) -> Slice<'a> {
        Slice { dtype: tensor.dtype(), bytes: tensor.bytes() }
    }
}

/// Inputs of any element types for [`Session::run`](crate::Session::run): vectors, arrays, slices and tensors.
///
/// ```
/// let (ids, mask) = (vec![101i64, 102], [1.0f32, 1.0]);
/// let inputs = mindir::inputs![ids, mask];
/// assert_eq!(inputs[1].dtype, mindir::DType::F32);
/// ```
#[macro_export]
macro_rules! inputs {
    ($($x:expr),* $(,)?) => { [$($crate::Slice::from(&$x)),*] };
}
