//! What elements lie in.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Tensor, TensorError, check};
use crate::bounds::{self, Exceeded, Reservation};
use crate::dtype::{DType, Element};
use crate::forms::Forms;
use crate::shape::shape;

/// Bytes that are handled between two questions whether to stop.
pub(super) const PIECE: usize = 4 << 20;

/// The elements of tensors, with their forms.
pub(crate) struct Data {
    pub bytes: Bytes,
    /// A copy of bytes that are misaligned, once somebody needs it.
    pub aligned: OnceLock<Bytes>,
    /// What `bytes` are of, if they were a [`Buffer`].
    lines: Option<Arc<Owner<Line>>>,
    pub forms: Forms,
}

impl Data {
    pub fn new(bytes: Bytes) -> Arc<Data> {
        Arc::new(Data { bytes, aligned: OnceLock::new(), lines: None, forms: Forms::default() })
    }

    fn of(lines: Arc<Owner<Line>>) -> Arc<Data> {
        let bytes = Bytes::from_owner(Lines(lines.clone()));
        Arc::new(Data { bytes, aligned: OnceLock::new(), lines: Some(lines), forms: Forms::default() })
    }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Elements, their length in bytes, and what they take of an account.
pub(super) struct Owner<T>(pub Vec<T>, pub usize, pub Reservation);

impl<T: bytemuck::Pod> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        first(&self.0, self.1)
    }
}

/// The first `len` bytes of elements, which have as many.
fn first<T: bytemuck::Pod>(elements: &[T], len: usize) -> &[u8] {
    bytemuck::cast_slice(elements).split_at(len).0
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
pub(super) fn list<T>(len: usize) -> Result<Vec<T>, TensorError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| Exceeded::system(len.saturating_mul(size_of::<T>())))?;
    Ok(list)
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
        first(&self.lines, self.len)
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines).split_at_mut(self.len).0
    }

    /// The bytes, shared from now on.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Owner(self.lines, self.len, self.reservation))
    }
}

impl Tensor {
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
}

/// A copy of elements that exist already.
pub(super) fn owned<T: Element>(data: &[T]) -> Bytes {
    Bytes::from_owner(Owner(data.to_vec(), size_of_val(data), Reservation::default()))
}
