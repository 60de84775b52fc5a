//! The file map: the one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

/// Address ranges of the maps that live, so that [`release`] can tell mapped bytes from others.
static LIVE: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

fn live() -> MutexGuard<'static, Vec<(usize, usize)>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map that is in [`LIVE`] as long as it exists.
struct Listed(Mmap);

impl Listed {
    fn range(&self) -> (usize, usize) {
        (self.0.as_ptr().addr(), self.0.len())
    }
}

impl AsRef<[u8]> for Listed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let range = self.range();
        live().retain(|r| *r != range);
    }
}

/// Maps a whole file for reading.
///
/// The bytes follow the file: a process that shortens it while the map lives makes reads beyond the new end stop this
/// process with a bus error. Files that others may change belong into memory instead
/// ([`Access::Read`](crate::Access::Read)).
///
/// # Errors
/// What the system says.
pub fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the map is private to this process and only ever read. Rust requires that mapped bytes do not change while
    // they are borrowed, which no program can enforce on a shared file; callers choose a map for files they trust to stay
    // as they are, as the documentation of `Access::Map` says. No invariant of any type depends on the contents: all
    // numbers read from them are plain bytes that are checked where they are used.
    let map: Mmap = unsafe { MmapOptions::new().map(file)? };
    let map = Listed(map);
    live().push(map.range());
    Ok(Bytes::from_owner(map))
}

/// Whether `bytes` lie in a file that this crate has mapped.
pub fn is_mapped(bytes: &[u8]) -> bool {
    let (from, to) = (bytes.as_ptr().addr(), bytes.as_ptr().addr() + bytes.len());
    live().iter().any(|&(at, len)| at <= from && to <= at + len)
}

/// Says that `bytes` will not be read again soon. Where they lie in a file that this crate has mapped, their pages leave the
/// process and come back from the file when they are read after all. Contents never change; other memory stays as it is.
pub fn release(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let (from, to) = (bytes.as_ptr().addr(), bytes.as_ptr().addr() + bytes.len());
        let (start, end) = (from.next_multiple_of(PAGE), to / PAGE * PAGE);
        if start < end && is_mapped(bytes) {
            let first = bytes.as_ptr().wrapping_add(start - from).cast_mut().cast();
            // SAFETY: the pages lie inside `bytes`, which lie inside a live map of a file: the caller's borrow keeps it. The
            // map is private and never written, so that pages which leave are read from the file again with the same
            // contents, and the borrow stays true. A failure changes nothing.
            unsafe { libc::madvise(first, end - start, libc::MADV_DONTNEED) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn contents_stay_when_released() {
        let path = std::env::temp_dir().join(format!("mindir-map-{}", std::process::id()));
        let data: Vec<u8> = (0..1 << 16).map(|i| (i / 7) as u8).collect();
        File::create(&path).unwrap().write_all(&data).unwrap();
        let mapped = map(&File::open(&path).unwrap()).unwrap();
        release(&mapped.slice(100..60_000));
        release(&data);
        assert_eq!(mapped, data);
        drop(mapped);
        std::fs::remove_file(&path).unwrap();
    }
}
