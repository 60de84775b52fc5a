//! Memory aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Zeroable;

/// Alignment of every [`Block`] in bytes.
pub const ALIGN: usize = 64;

/// A fixed number of elements, zero at first, aligned to 64 bytes.
pub struct Block<T> {
    ptr: NonNull<T>,
    len: usize,
}

impl<T: Zeroable + Copy> Block<T> {
    /// `len` zeros. The system hands out the pages when they are first written.
    ///
    /// # Panics
    /// If `len` elements do not fit the address space.
    pub fn zeroed(len: usize) -> Block<T> {
        let nowhere = NonNull::without_provenance(NonZero::new(ALIGN).unwrap_or(NonZero::<usize>::MIN));
        let Some(layout) = Block::<T>::layout(len) else { return Block { ptr: nowhere, len: 0 } };
        // SAFETY: the layout is not empty.
        let ptr = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(ptr.cast()) else { handle_alloc_error(layout) };
        Block { ptr, len }
    }
}

impl<T> Block<T> {
    /// `None` for an empty block.
    fn layout(len: usize) -> Option<Layout> {
        let bytes = len.checked_mul(size_of::<T>());
        let layout = bytes.and_then(|b| Layout::from_size_align(b, ALIGN.max(align_of::<T>())).ok());
        let layout = layout.unwrap_or_else(|| panic!("{len} elements are too many"));
        (layout.size() > 0).then_some(layout)
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if let Some(layout) = Block::<T>::layout(self.len) {
            // SAFETY: allocated with the same layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) };
        }
    }
}

impl<T> Deref for Block<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were allocated and zeroed, and zeros are a valid `T`; without provenance only if there are none.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Block<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as `deref`, and the block is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

// SAFETY: a block owns its elements like a `Vec`.
unsafe impl<T: Send> Send for Block<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Block<T> {}
