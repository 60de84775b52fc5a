//! Dense tensors over shared bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::bounds::{self, Exceeded, Reservation};
use crate::dtype::{DType, Element};
use crate::forms::{self, Forms};
use crate::shape::{Fact, Shape, checked_count, shape};

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

/// Bytes that are handled between two questions whether to stop.
const PIECE: usize = 4 << 20;

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

/// The elements of tensors, with their forms.
pub(crate) struct Data {
    bytes: Bytes,
    /// A copy of bytes that are misaligned, once somebody needs it.
    aligned: OnceLock<Bytes>,
    /// What `bytes` are of, if they were a [`Buffer`].
    lines: Option<Arc<Owner<Line>>>,
    forms: Forms,
}

impl Data {
    fn new(bytes: Bytes) -> Arc<Data> {
        Arc::new(Data { bytes, aligned: OnceLock::new(), lines: None, forms: Forms::default() })
    }

    fn of(lines: Arc<Owner<Line>>) -> Arc<Data> {
        let bytes = Bytes::from_owner(Lines(lines.clone()));
        Arc::new(Data { bytes, aligned: OnceLock::new(), lines: Some(lines), forms: Forms::default() })
    }

    #[cfg(test)]
    pub fn forms(&self) -> &Forms {
        &self.forms
    }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Elements, their length in bytes, and what they take of an account.
struct Owner<T>(Vec<T>, usize, Reservation);

impl<T: bytemuck::Pod> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}

/// The memory of a [`Buffer`], which its tensor holds too.
struct Lines(Arc<Owner<Line>>);

impl AsRef<[u8]> for Lines {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// A copy of `bytes` that starts at a multiple of 64.
///
/// # Errors
/// [`TensorError::Limit`].
pub fn aligned_copy(bytes: &[u8]) -> Result<Bytes, TensorError> {
    let mut buffer = Buffer::new(bytes.len())?;
    buffer.copy_from(bytes)?;
    Ok(buffer.into_bytes())
}

/// An empty list with room for `len` elements.
fn list<T>(len: usize) -> Result<Vec<T>, TensorError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| Exceeded::system(len.saturating_mul(size_of::<T>())))?;
    Ok(list)
}

/// `f` of every element.
fn converted<T: Copy, U>(from: &[T], f: impl Fn(T) -> U) -> Result<Vec<U>, TensorError> {
    let mut out = list(from.len())?;
    for piece in from.chunks(PIECE / 8) {
        bounds::check()?;
        out.extend(piece.iter().map(|&x| f(x)));
    }
    Ok(out)
}

/// Writable memory that starts at a multiple of 64; becomes a [`Tensor`] without a copy.
#[derive(Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
    reservation: Reservation,
}

impl Buffer {
    /// `len` zero bytes.
    ///
    /// # Errors
    /// [`TensorError::Limit`].
    pub fn new(len: usize) -> Result<Buffer, TensorError> {
        let reservation = bounds::reserve(len)?;
        let all = len.div_ceil(64);
        let mut lines = list(all)?;
        while lines.len() < all {
            bounds::check()?;
            lines.resize(all.min(lines.len() + PIECE / 64), Line([0; 64]));
        }
        Ok(Buffer { lines, len, reservation })
    }

    /// Copies as many bytes as there are.
    ///
    /// # Errors
    /// [`TensorError::Limit`] if the run is to stop before all are copied.
    ///
    /// # Panics
    /// If `from` has another length.
    pub fn copy_from(&mut self, from: &[u8]) -> Result<(), TensorError> {
        assert_eq!(from.len(), self.len, "bytes of a buffer");
        for (to, from) in self.bytes_mut().chunks_mut(PIECE).zip(from.chunks(PIECE)) {
            bounds::check()?;
            to.copy_from_slice(from);
        }
        Ok(())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// The bytes, shared from now on.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Owner(self.lines, self.len, self.reservation))
    }
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

    /// A tensor of what `buffer` holds; [`Tensor::into_buffer`] gives the buffer back.
    ///
    /// # Errors
    /// As [`Tensor::from_bytes`].
    pub fn from_buffer(dtype: DType, dims: &[usize], buffer: Buffer) -> Result<Tensor, TensorError> {
        check(dtype, dims, buffer.bytes())?;
        Ok(Tensor {
            dtype,
            shape: shape(dims),
            data: Data::of(Arc::new(Owner(buffer.lines, buffer.len, buffer.reservation))),
        })
    }

    /// The buffer that the tensor was made of, to be written anew.
    ///
    /// # Errors
    /// The tensor, if it was made of something else or somebody shares its elements.
    pub fn into_buffer(self) -> Result<Buffer, Tensor> {
        if self.data.lines.is_none() {
            return Err(self);
        }
        let Tensor { dtype, shape, data } = self;
        let data = match Arc::try_unwrap(data) {
            Ok(data) => data,
            Err(data) => return Err(Tensor { dtype, shape, data }),
        };
        let Data { bytes, lines, .. } = data;
        let Some(lines) = lines else { return Err(Tensor { dtype, shape, data: Data::new(bytes) }) };
        // The bytes hold the lines too.
        drop(bytes);
        match Arc::try_unwrap(lines) {
            Ok(Owner(lines, len, reservation)) => Ok(Buffer { lines, len, reservation }),
            Err(lines) => Err(Tensor { dtype, shape, data: Data::of(lines) }),
        }
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
        with_element!(dtype, T => Tensor::from_vec(dims, converted(data, T::from_f64)?),
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

    /// Every element as `f64`; `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn to_f64s(&self) -> Result<Vec<f64>, TensorError> {
        with_element!(self.dtype, T => converted(&self.elements::<T>()?, Element::to_f64),
            complex => Err(TensorError::DType { expected: DType::F64, found: self.dtype }))
    }

    /// Whether no element is infinite or NaN; false for complex types.
    pub fn is_finite(&self) -> bool {
        with_element!(self.dtype, T => self.elements::<T>().is_ok_and(|v| v.iter().all(|&x| Element::to_f64(x).is_finite())),
            complex => false)
    }

    /// Every element as `i64`: floats truncate, `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn to_i64s(&self) -> Result<Vec<i64>, TensorError> {
        with_element!(self.dtype, T => converted(&self.elements::<T>()?, Element::to_i64),
            complex => Err(TensorError::DType { expected: DType::I64, found: self.dtype }))
    }

    /// Every element as a whole number; `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for types that are neither integers nor `bool`.
    pub fn to_i128s(&self) -> Result<Vec<i128>, TensorError> {
        if self.dtype == DType::U64 {
            return Ok(self.elements::<u64>()?.iter().map(|&x| x.into()).collect());
        }
        if !self.dtype.is_int() && self.dtype != DType::Bool {
            return Err(TensorError::DType { expected: DType::I64, found: self.dtype });
        }
        Ok(self.to_i64s()?.into_iter().map(i128::from).collect())
    }

    /// The same elements with other dimensions.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the number of elements differs.
    pub fn reshape(&self, dims: &[usize]) -> Result<Tensor, TensorError> {
        check_length(self.dtype, dims, self.bytes().len())?;
        Ok(Tensor { dtype: self.dtype, shape: shape(dims), data: self.data.clone() })
    }

    /// The elements converted to `dtype`. From floats to integers truncates toward zero and saturates; between integers
    /// wraps; to `bool` is `x != 0`.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn cast(&self, dtype: DType) -> Result<Tensor, TensorError> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        let _room = bounds::reserve(self.count().saturating_mul(size_of::<f64>()))?;
        let through_f64 =
            !self.dtype.is_int() && self.dtype != DType::Bool || self.dtype == DType::U64 && dtype.is_float();
        if through_f64 {
            Tensor::from_f64s(dtype, &self.shape, &self.to_f64s()?)
        } else {
            Tensor::from_i64s(dtype, &self.shape, &self.to_i64s()?)
        }
    }

    /// The elements converted to `dtype`, if it holds all of them: floats are rounded to other floats, but to no infinity;
    /// every other conversion leaves the number as it is.
    ///
    /// # Errors
    /// [`TensorError::Range`] naming the first element that `dtype` does not hold; [`TensorError::DType`] for complex types.
    pub fn convert(&self, dtype: DType) -> Result<Tensor, TensorError> {
        let converted = self.cast(dtype)?;
        if dtype == self.dtype {
            return Ok(converted);
        }
        let misfit = if self.dtype.is_float() && dtype.is_float() {
            let pairs = self.to_f64s()?.into_iter().zip(converted.to_f64s()?);
            pairs
                .enumerate()
                .find(|(_, (old, new))| old.is_finite() && !new.is_finite())
                .map(|(i, (x, _))| (i, x.to_string()))
        } else {
            let mut pairs = self.numbers()?.into_iter().zip(converted.numbers()?).enumerate();
            pairs.find(|(_, (old, new))| !old.equals(*new)).map(|(i, (x, _))| (i, x.to_string()))
        };
        match misfit {
            Some((index, value)) => Err(TensorError::Range { index, value, dtype }),
            None => Ok(converted),
        }
    }

    fn numbers(&self) -> Result<Vec<Number>, TensorError> {
        if self.dtype.is_float() {
            return Ok(self.to_f64s()?.into_iter().map(Number::Float).collect());
        }
        Ok(self.to_i128s()?.into_iter().map(Number::Whole).collect())
    }
}

/// An element of any real type.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    /// Whether both are the same number.
    fn equals(self, other: Number) -> bool {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a == b,
            (Number::Float(a), Number::Float(b)) => a == b,
            // Whole numbers of tensors are below 2^64, where the conversion back is exact.
            (Number::Whole(a), Number::Float(x)) | (Number::Float(x), Number::Whole(a)) => {
                x.fract() == 0.0 && x as i128 == a
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(a) => a.fmt(f),
            Number::Float(x) => x.fmt(f),
        }
    }
}

/// A copy of elements that exist already.
fn owned<T: Element>(data: &[T]) -> Bytes {
    Bytes::from_owner(Owner(data.to_vec(), size_of_val(data), Reservation::default()))
}

fn is_aligned(bytes: &[u8], dtype: DType) -> bool {
    bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(dtype.align())
}

fn check_bools(bytes: &[u8]) -> Result<(), TensorError> {
    for (i, piece) in bytes.chunks(PIECE).enumerate() {
        bounds::check()?;
        if let Some(at) = piece.iter().position(|b| *b > 1) {
            return Err(TensorError::Bool { index: i * PIECE + at, value: piece[at] });
        }
    }
    Ok(())
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
        let shown = values.len().min(8);
        write!(f, " {:?}{}", &values[..shown], if shown < values.len() { " …" } else { "" })
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

    #[test]
    fn casts_truncate_wrap_and_saturate() {
        let t = Tensor::vector(&[-1.7f32, 300.0, 0.0]);
        assert_eq!(t.cast(DType::I32).unwrap().view::<i32>().unwrap(), [-1, 300, 0]);
        assert_eq!(t.cast(DType::Bool).unwrap().view::<u8>().unwrap(), [1, 1, 0]);
        let i = Tensor::vector(&[300i32, -1]);
        assert_eq!(i.cast(DType::U8).unwrap().view::<u8>().unwrap(), [44, 255]);
    }

    #[test]
    fn conversions_keep_every_number() {
        let wide = Tensor::vector(&[0.1f32, 65_504.0, f32::INFINITY, f32::NAN]);
        assert_eq!(wide.convert(DType::F16).unwrap(), wide.cast(DType::F16).unwrap());
        let whole = Tensor::vector(&[0i64, 1]);
        for dtype in DType::ALL.into_iter().filter(|d| !d.is_complex()) {
            assert_eq!(whole.convert(dtype).unwrap().convert(DType::I64).unwrap(), whole, "{dtype}");
        }
        let refused = |t: Tensor, dtype, text: &str| {
            let TensorError::Range { index: 1, value, .. } = t.convert(dtype).unwrap_err() else { panic!("{t:?}") };
            assert_eq!(value, text, "{t:?} {dtype}");
        };
        refused(Tensor::vector(&[1.0f32, 70_000.0]), DType::F16, "70000");
        refused(Tensor::vector(&[255i64, 300]), DType::U8, "300");
        refused(Tensor::vector(&[0u64, u64::MAX]), DType::I64, "18446744073709551615");
        refused(Tensor::vector(&[1i32, -1]), DType::U64, "-1");
        refused(Tensor::vector(&[1i32, 2]), DType::Bool, "2");
        refused(Tensor::vector(&[0.0f32, 0.5]), DType::Bool, "0.5");
        refused(Tensor::vector(&[2.0f32, 1.5]), DType::I32, "1.5");
        refused(Tensor::vector(&[2.0f64, f64::NAN]), DType::I32, "NaN");
        refused(Tensor::vector(&[0i32, 16_777_217]), DType::F32, "16777217");
        refused(Tensor::vector(&[0u64, u64::MAX]), DType::F64, "18446744073709551615");
    }
}
