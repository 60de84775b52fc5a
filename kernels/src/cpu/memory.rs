//! Memory aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Zeroable;
use memmap2::MmapMut;
use mindir_graph::bounds::{self, Exceeded, Reservation};

/// Alignment of every [`Block`] in bytes.
pub const ALIGN: usize = 64;

/// Bytes from which a block has pages of its own, large ones where the system has them: what is read from end to end needs few of
/// them.
const PAGED: usize = 4 << 20;

/// A fixed number of elements, zero at first, aligned to 64 bytes.
pub struct Block<T> {
    ptr: NonNull<T>,
    len: usize,
    /// The pages that the elements lie in, if they are not the allocator's.
    pages: Option<MmapMut>,
    #[expect(dead_code, reason = "given back when it is dropped")]
    reservation: Reservation,
}

impl<T: Zeroable + Copy> Block<T> {
    /// `len` zeros. The system hands out the pages when they are first written.
    ///
    /// # Errors
    /// [`Exceeded`] if the bounds of the thread or the system have no room for them.
    pub fn zeroed(len: usize) -> Result<Block<T>, Exceeded> {
        let refused = || Exceeded::system(len.saturating_mul(size_of::<T>()));
        let layout = Block::<T>::layout(len).ok_or_else(refused)?;
        if layout.size() == 0 {
            let nowhere = NonNull::without_provenance(NonZero::new(ALIGN).unwrap_or(NonZero::<usize>::MIN));
            return Ok(Block { ptr: nowhere, len: 0, pages: None, reservation: Reservation::default() });
        }
        let reservation = bounds::reserve(layout.size())?;
        let mut pages = (layout.size() >= PAGED).then(|| pages(layout.size())).transpose().map_err(|_| refused())?;
        let ptr = match &mut pages {
            Some(pages) => pages.as_mut_ptr(),
            // SAFETY: the layout is not empty.
            None => unsafe { alloc_zeroed(layout) },
        };
        let ptr = NonNull::new(ptr.cast()).ok_or_else(refused)?;
        Ok(Block { ptr, len, pages, reservation })
    }
}

/// Zeroed pages for `len` bytes.
fn pages(len: usize) -> io::Result<MmapMut> {
    let pages = MmapMut::map_anon(len)?;
    // Without large pages there are small ones.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Ok(pages)
}

impl<T> Block<T> {
    /// `None` if the elements do not fit the address space.
    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.checked_mul(size_of::<T>())?, ALIGN.max(align_of::<T>())).ok()
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if let (None, Some(layout)) = (&self.pages, Block::<T>::layout(self.len).filter(|layout| layout.size() > 0)) {
            // SAFETY: allocated with the same layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) };
        }
    }
}

impl<T> Deref for Block<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were allocated or mapped, and zeroed, and zeros are a valid `T`; without provenance only if there
        // are none.
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

/// Something for every row or column of a result, made when the kernel is built; it counts as memory of the cell.
pub struct Table<T> {
    pub of: Vec<T>,
    _room: Reservation,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { of: Vec::new(), _room: Reservation::default() }
    }
}

impl<T> Table<T> {
    /// # Errors
    /// [`Exceeded`] if the bounds of the thread have no room for it.
    pub fn new(len: usize, of: impl FnMut(usize) -> T) -> Result<Table<T>, Exceeded> {
        let room = bounds::room(len.saturating_mul(size_of::<T>()))?;
        Ok(Table { of: (0..len).map(of).collect(), _room: room })
    }
}
