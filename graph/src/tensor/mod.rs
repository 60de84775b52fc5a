//! Dense tensors over shared bytes.

mod convert;
mod memory;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::bounds::{self, Exceeded};
use crate::dtype::{DType, Element};
use crate::forms;
use crate::shape::{Fact, Shape, checked_count, shape};
use convert::converted;
pub(crate) use memory::Data;
pub use memory::{Buffer, aligned_copy};
use memory::{Owner, PIECE, list, owned};

/// Why bytes do not make a tensor, or a tensor not the view that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The product of the dimensions does not fit the address space.
    #[error("shape {0:?} has too many elements")]
    TooLarge(Vec<usize>),
    /// The number of bytes is not the product of the dimensions times the element size.
    #[error("{fact} needs {expected} bytes, found {found}")]
    Length {
        /// Element type and shape asked for.
        fact: Fact,
        /// Bytes that it needs.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A typed view of another element type.
    #[error("tensor of {found} viewed as {expected}")]
    DType {
        /// Element type of the view.
        expected: DType,
        /// Element type of the tensor.
        found: DType,
    },
    /// A number that another element type does not hold.
    #[error("element {index} is {value}, which is no {dtype}")]
    Range {
        /// Position of the element.
        index: usize,
        /// The number.
        value: String,
        /// The type that was asked for.
        dtype: DType,
    },
    /// A byte other than 0 and 1 in a `bool` tensor.
    #[error("byte {value} at index {index} is no bool")]
    Bool {
        /// Position of the byte.
        index: usize,
        /// The byte.
        value: u8,
    },
    /// There is no memory for the elements, or the run was to stop before they were there.
    #[error(transparent)]
    Limit(#[from] Exceeded),
}

/// A dense row-major tensor. Cloning and reshaping share the elements, and with them what was made of them
/// ([`Tensor::form`]).
///
/// The bytes are aligned for the element type unless the tensor was made by [`Tensor::over`].
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    data: Arc<Data>,
}

impl Tensor {
    /// A tensor over `bytes`, little endian and row-major. Bytes that are misaligned for `dtype` are copied.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Length`], [`TensorError::Bool`], [`TensorError::Limit`].
    pub fn from_bytes(dtype: DType, dims: &[usize], bytes: Bytes) -> Result<Tensor, TensorError> {
        check(dtype, dims, &bytes)?;
        let data = Data::new(if is_aligned(&bytes, dtype) { bytes } else { aligned_copy(&bytes)? });
        Ok(Tensor { dtype, shape: shape(dims), data })
    }

    /// A tensor over `bytes`, little endian and row-major, wherever they lie. Misaligned bytes are copied when somebody needs
    /// them [aligned](Tensor::aligned), not before.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Length`], [`TensorError::Bool`].
    pub fn over(dtype: DType, dims: &[usize], bytes: Bytes) -> Result<Tensor, TensorError> {
        check(dtype, dims, &bytes)?;
        Ok(Tensor { dtype, shape: shape(dims), data: Data::new(bytes) })
    }

    /// A tensor that owns `data`.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`] and [`TensorError::Length`].
    pub fn from_vec<T: Element>(dims: &[usize], data: Vec<T>) -> Result<Tensor, TensorError> {
        let len = size_of_val(data.as_slice());
        let reservation = bounds::reserve(len)?;
        Tensor::from_bytes(T::DTYPE, dims, Bytes::from_owner(Owner(data, len, reservation)))
    }

    /// A tensor with a copy of `data`.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`] and [`TensorError::Length`].
    pub fn from_slice<T: Element>(dims: &[usize], data: &[T]) -> Result<Tensor, TensorError> {
        Tensor::from_bytes(T::DTYPE, dims, aligned_copy(bytemuck::cast_slice(data))?)
    }

    /// A `bool` tensor.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`] and [`TensorError::Length`].
    pub fn from_bools(dims: &[usize], data: &[bool]) -> Result<Tensor, TensorError> {
        let bytes: Vec<u8> = converted(data, u8::from)?;
        let (len, reservation) = (bytes.len(), bounds::reserve(bytes.len())?);
        Tensor::from_bytes(DType::Bool, dims, Bytes::from_owner(Owner(bytes, len, reservation)))
    }

    /// A tensor of rank 0.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { dtype: T::DTYPE, shape: Shape::new(), data: Data::new(owned(&[value])) }
    }

    /// A tensor of rank 1.
    pub fn vector<T: Element>(data: &[T]) -> Tensor {
        Tensor { dtype: T::DTYPE, shape: shape(&[data.len()]), data: Data::new(owned(data)) }
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Limit`].
    pub fn zeros(dtype: DType, dims: &[usize]) -> Result<Tensor, TensorError> {
        let n = checked_count(dims).and_then(|n| n.checked_mul(dtype.size()));
        let len = n.ok_or_else(|| TensorError::TooLarge(dims.to_vec()))?;
        Tensor::from_bytes(dtype, dims, Buffer::new(len)?.into_bytes())
    }

    /// A tensor of `dtype` with every element `element`, given as bytes.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Length`], [`TensorError::Bool`], [`TensorError::Limit`].
    pub fn filled(dtype: DType, dims: &[usize], element: &[u8]) -> Result<Tensor, TensorError> {
        check_length(dtype, &[], element.len())?;
        let n = checked_count(dims).and_then(|n| n.checked_mul(dtype.size()));
        let mut buffer = Buffer::new(n.ok_or_else(|| TensorError::TooLarge(dims.to_vec()))?)?;
        for piece in buffer.bytes_mut().chunks_mut(PIECE) {
            bounds::check()?;
            piece.chunks_exact_mut(element.len()).for_each(|to| to.copy_from_slice(element));
        }
        Tensor::from_bytes(dtype, dims, buffer.into_bytes())
    }

    /// A tensor of `dtype` with every element converted from `f64`; for `bool`, everything but 0 is true.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Length`]; [`TensorError::DType`] for complex types.
    pub fn from_f64s(dtype: DType, dims: &[usize], data: &[f64]) -> Result<Tensor, TensorError> {
        if dtype == DType::Bool {
            let bools = converted(data, |x| x != 0.0)?;
            return Tensor::from_bools(dims, &bools);
        }
        with_element!(dtype, T => Tensor::from_vec(dims, converted(data, <T as Element>::from_f64)?),
            complex => Err(TensorError::DType { expected: DType::F64, found: dtype }))
    }

    /// A tensor of `dtype` with every element converted from `i64`; for `bool`, everything but 0 is true.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], [`TensorError::Length`]; [`TensorError::DType`] for complex types.
    pub fn from_i64s(dtype: DType, dims: &[usize], data: &[i64]) -> Result<Tensor, TensorError> {
        if dtype == DType::Bool {
            let bools = converted(data, |x| x != 0)?;
            return Tensor::from_bools(dims, &bools);
        }
        with_element!(dtype, T => Tensor::from_vec(dims, converted(data, T::from_i64)?),
            complex => Err(TensorError::DType { expected: DType::I64, found: dtype }))
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.bytes().len() / self.dtype.size()
    }

    /// Element type and shape.
    pub fn fact(&self) -> Fact {
        Fact { dtype: self.dtype, shape: self.shape.clone() }
    }

    /// The elements as little-endian bytes, row-major. Those of [`Tensor::over`] may be misaligned.
    pub fn bytes(&self) -> &Bytes {
        &self.data.bytes
    }

    /// The elements as bytes that are aligned for them: a copy that lives as long as the tensor, if the tensor's own are not.
    ///
    /// # Errors
    /// [`TensorError::Limit`].
    pub fn aligned(&self) -> Result<&Bytes, TensorError> {
        if is_aligned(self.bytes(), self.dtype) {
            return Ok(self.bytes());
        }
        if let Some(copy) = self.data.aligned.get() {
            return Ok(copy);
        }
        let copy = bounds::kept(|| aligned_copy(self.bytes()))?;
        Ok(self.data.aligned.get_or_init(|| copy))
    }

    pub(crate) fn data(&self) -> &Arc<Data> {
        &self.data
    }

    /// Whether an equal tensor made anew stands for this one in [`Tensor::form`].
    pub fn is_small(&self) -> bool {
        forms::is_small(self)
    }

    /// The form of this tensor that is made as `how` says, together with the tensors `with`; `make` makes it if nobody
    /// holds it. Clones share forms, and callers at the same time wait for the first. Only callers hold a form: what none of
    /// them holds any more is dropped.
    ///
    /// Tensors in `with` are told apart by their elements' place, small ones by their contents; `make` must depend on nothing
    /// but the tensors and `how`, and ask for no form that depends on this one.
    ///
    /// # Errors
    /// What `make` says; the next caller makes it again. [`Exceeded`] if the thread may not wait any longer for another that
    /// makes it.
    pub fn form<T: Send + Sync + 'static, E: From<Exceeded>>(
        &self,
        how: &str,
        with: &[&Tensor],
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.data.forms.get(self, how, with, make)
    }

    /// The elements as a typed slice, row-major. `bool` tensors are viewed as `u8`.
    ///
    /// # Errors
    /// [`TensorError::DType`] if `T` is another type; [`TensorError::Limit`] as [`Tensor::aligned`].
    pub fn view<T: Element>(&self) -> Result<&[T], TensorError> {
        self.expect::<T>()?;
        self.cast_bytes(self.aligned()?)
    }

    /// The elements as [`Tensor::view`] gives them, to be read once: a copy of misaligned ones is not kept.
    ///
    /// # Errors
    /// As [`Tensor::view`].
    pub fn elements<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        self.expect::<T>()?;
        if is_aligned(self.bytes(), self.dtype) || self.data.aligned.get().is_some() {
            return Ok(Cow::Borrowed(self.cast_bytes(self.aligned()?)?));
        }
        let size = size_of::<T>();
        let mut copy = list(self.bytes().len() / size)?;
        for piece in self.bytes().chunks(PIECE) {
            bounds::check()?;
            copy.extend(piece.chunks_exact(size).map(bytemuck::pod_read_unaligned::<T>));
        }
        Ok(Cow::Owned(copy))
    }

    fn expect<T: Element>(&self) -> Result<(), TensorError> {
        if T::DTYPE == self.dtype || self.dtype == DType::Bool && T::DTYPE == DType::U8 {
            return Ok(());
        }
        Err(TensorError::DType { expected: T::DTYPE, found: self.dtype })
    }

    fn cast_bytes<'a, T: Element>(&self, bytes: &'a [u8]) -> Result<&'a [T], TensorError> {
        // Nothing has to be aligned in an empty slice, but a cast wants it.
        if bytes.is_empty() {
            return Ok(&[]);
        }
        bytemuck::try_cast_slice(bytes).map_err(|_| TensorError::DType { expected: T::DTYPE, found: self.dtype })
    }

    /// The same elements with other dimensions.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the number of elements differs.
    pub fn reshape(&self, dims: &[usize]) -> Result<Tensor, TensorError> {
        check_length(self.dtype, dims, self.bytes().len())?;
        Ok(Tensor { dtype: self.dtype, shape: shape(dims), data: self.data.clone() })
    }
}

fn is_aligned(bytes: &[u8], dtype: DType) -> bool {
    bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(dtype.align())
}

fn check_bools(bytes: &[u8]) -> Result<(), TensorError> {
    for (i, piece) in bytes.chunks(PIECE).enumerate() {
        bounds::check()?;
        if let Some((at, value)) = no_bool(piece) {
            return Err(TensorError::Bool { index: i * PIECE + at, value });
        }
    }
    Ok(())
}

/// The first byte that is no element of a `bool` tensor, and where it is.
pub fn no_bool(bytes: &[u8]) -> Option<(usize, u8)> {
    if bytes.iter().fold(0, |all, byte| all | byte) <= 1 {
        return None;
    }
    bytes.iter().copied().enumerate().find(|(_, byte)| *byte > 1)
}

/// Checks that `bytes` are the elements of a tensor.
fn check(dtype: DType, dims: &[usize], bytes: &[u8]) -> Result<(), TensorError> {
    check_length(dtype, dims, bytes.len())?;
    if dtype == DType::Bool { check_bools(bytes) } else { Ok(()) }
}

fn check_length(dtype: DType, dims: &[usize], found: usize) -> Result<(), TensorError> {
    let n = checked_count(dims).and_then(|n| n.checked_mul(dtype.size()));
    let expected = n.ok_or_else(|| TensorError::TooLarge(dims.to_vec()))?;
    if found == expected {
        return Ok(());
    }
    Err(TensorError::Length { fact: Fact::new(dtype, dims), expected, found })
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fact())?;
        let Ok(values) = self.to_f64s() else { return Ok(()) };
        let shown: Vec<f64> = values.iter().copied().take(8).collect();
        write!(f, " {shown:?}{}", if shown.len() < values.len() { " …" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misaligned_bytes_are_copied() {
        let base = aligned_copy(&[0, 1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        let t = Tensor::from_bytes(DType::I32, &[2], base.slice(1..)).unwrap();
        assert_eq!(t.view::<i32>().unwrap(), [1, 2]);
        let aligned = Tensor::from_bytes(DType::I32, &[2], base.slice(0..8)).unwrap();
        assert_eq!(aligned.bytes().as_ptr(), base.as_ptr());
    }

    #[test]
    fn misaligned_bytes_stay_until_they_are_needed_aligned() {
        let base = aligned_copy(&[0, 1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        let t = Tensor::over(DType::I32, &[2], base.slice(1..)).unwrap();
        assert_eq!(t.bytes().as_ptr(), base[1..].as_ptr());
        assert_eq!((t.to_i64s().unwrap(), t.elements::<i32>().unwrap().as_ref()), (vec![1, 2], &[1, 2][..]));
        assert!(t.data().aligned.get().is_none(), "reading once keeps no copy");
        let shaped = t.reshape(&[1, 2]).unwrap();
        assert_eq!(t.view::<i32>().unwrap(), [1, 2]);
        assert_eq!(shaped.view::<i32>().unwrap().as_ptr(), t.view::<i32>().unwrap().as_ptr(), "one copy for all");
        assert_eq!(t, Tensor::vector(&[1i32, 2]));
        assert_eq!(Tensor::over(DType::I32, &[0], base.slice(1..1)).unwrap().view::<i32>().unwrap(), []);
        assert!(Tensor::over(DType::I32, &[2], base.slice(2..)).is_err());
        assert!(matches!(t.elements::<f32>(), Err(TensorError::DType { .. })));
    }

    #[test]
    fn memory_that_does_not_exist_is_an_error() {
        let dims = [1 << 21, 1 << 21];
        let Err(TensorError::Limit(e)) = Tensor::zeros(DType::F32, &dims) else { panic!("16 TiB") };
        assert_eq!((e.what, e.needed), (bounds::Limit::System, 1 << 44));
    }

    #[test]
    fn a_buffer_comes_back_from_the_tensor_that_alone_holds_it() {
        let tensor = || Tensor::from_buffer(DType::F32, &[2, 2], Buffer::new(16).unwrap()).unwrap();
        let (alone, seen, shaped) = (tensor(), tensor(), tensor());
        let (at, bytes, other) = (alone.bytes().as_ptr(), seen.bytes().clone(), shaped.reshape(&[4]).unwrap());
        let mut buffer = alone.into_buffer().unwrap();
        assert_eq!((buffer.bytes().as_ptr(), buffer.bytes().len()), (at, 16));
        buffer.bytes_mut().fill(7);
        assert_eq!(seen.into_buffer().err().unwrap().bytes(), &bytes);
        assert_eq!(shaped.into_buffer().err().unwrap().bytes(), other.bytes());
        assert!(other.into_buffer().is_ok());
        assert!(Tensor::vector(&[1.0f32]).into_buffer().is_err());
    }

    #[test]
    fn lengths_and_bools_are_checked() {
        let bytes = Bytes::from_static(&[0, 1, 2]);
        assert!(matches!(Tensor::from_bytes(DType::F32, &[1], bytes.clone()), Err(TensorError::Length { .. })));
        let bad = TensorError::Bool { index: 2, value: 2 };
        assert_eq!(Tensor::from_bytes(DType::Bool, &[3], bytes.clone()).unwrap_err(), bad);
        assert!(matches!(Tensor::from_bytes(DType::U8, &[usize::MAX, 3], bytes), Err(TensorError::TooLarge(_))));
    }
}
