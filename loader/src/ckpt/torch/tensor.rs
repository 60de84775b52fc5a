//! Tensors that are views of storages.

use std::rc::Rc;

use bytes::Bytes;
use mindir_graph::Buffer;
use smallvec::SmallVec;

use crate::ckpt::Array;
use crate::element::ElementType;
use crate::error::TensorFault;

/// Numbers in a file of the archive.
pub(super) struct Storage {
    pub(super) element: ElementType,
    /// Name of the file.
    pub(super) key: Rc<str>,
    /// Number of elements.
    pub(super) len: u64,
}

/// A view of a storage; offset and strides count elements.
pub(super) struct Strided {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// A view whose elements are all there.
pub(super) struct View {
    element: ElementType,
    dims: SmallVec<[usize; 4]>,
    strides: SmallVec<[usize; 4]>,
    offset: usize,
    count: usize,
    is_dense: bool,
}

impl Strided {
    /// Checks the view against the bytes of its storage.
    pub(super) fn array(&self, storage: &[u8], max_rank: usize) -> Result<View, TensorFault> {
        let element = self.storage.element;
        let (rank, limit) = (self.shape.len(), max_rank);
        if rank > limit || self.strides.len() != rank {
            return Err(TensorFault::Rank { rank: rank.max(self.strides.len()), limit: limit.min(rank) });
        }
        let numbers =
            |list: &[u64]| list.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<SmallVec<[usize; 4]>>>();
        let whole = || {
            let (dims, strides) = (numbers(&self.shape)?, numbers(&self.strides)?);
            let count = if dims.contains(&0) { 0 } else { dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))? };
            count.checked_mul(element.size())?;
            let offset = usize::try_from(self.offset).ok()?;
            let steps = dims.iter().zip(&strides).filter(|(dim, _)| **dim > 0);
            let mut last = steps.map(|(dim, stride)| (dim - 1).checked_mul(*stride));
            let last = last.try_fold(offset, |all, step| all.checked_add(step?))?;
            let end = if count == 0 { 0 } else { last.checked_add(1)? };
            Some((dims, strides, count, offset, end))
        };
        let (dims, strides, count, offset, end) = whole().ok_or(TensorFault::Overflow)?;
        let needed = (end as u64).max(self.storage.len);
        let found = storage.len() as u64;
        if needed.saturating_mul(element.size() as u64) > found || end as u64 > self.storage.len {
            let expected = needed.saturating_mul(element.size() as u64);
            return Err(TensorFault::Length { expected, found, elements: needed, element });
        }
        let dense = mindir_graph::dense_strides(&dims);
        let is_dense = dims.iter().zip(&strides).zip(&dense).all(|((d, s), w)| *d == 1 || *s as isize == *w);
        Ok(View { element, dims, strides, offset, count, is_dense: is_dense || count == 0 })
    }
}

impl View {
    /// Whether the elements lie in order, so that they need not be copied.
    pub(super) fn is_shared(&self) -> bool {
        self.is_dense
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.count * self.element.size()
    }

    /// The tensor, copied from its storage if its elements do not lie in order.
    pub(super) fn gather(&self, storage: &Bytes) -> Result<Array, TensorFault> {
        let size = self.element.size();
        if self.is_dense {
            let start = if self.count == 0 { 0 } else { self.offset * size };
            return Array::new(self.element, &self.dims, storage.slice(start..start + self.len()));
        }
        let mut buffer = Buffer::new(self.len()).map_err(|_| TensorFault::Memory(self.len() as u64))?;
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.dims.len());
        for into in buffer.bytes_mut().chunks_exact_mut(size) {
            let at = index.iter().zip(&self.strides).fold(self.offset, |at, (i, stride)| at + i * stride) * size;
            into.copy_from_slice(storage.get(at..at + size).ok_or(TensorFault::Overflow)?);
            for (i, dim) in index.iter_mut().zip(&self.dims).rev() {
                *i += 1;
                if *i < *dim {
                    break;
                }
                *i = 0;
            }
        }
        Array::new(self.element, &self.dims, buffer.into_bytes())
    }
}
