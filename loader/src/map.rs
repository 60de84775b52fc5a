//! The file map: the one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::{fs::File, io};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

/// Maps a whole file for reading.
///
/// The bytes follow the file: a process that shortens it while the map lives makes reads beyond the new end stop this
/// process with a bus error. Files that others may change belong into memory instead
/// ([`Access::Read`](crate::Access::Read)).
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the map is private to this process and only ever read. Rust requires that mapped bytes do not change while
    // they are borrowed, which no program can enforce on a shared file; callers choose a map for files they trust to stay
    // as they are, as the documentation of `Access::Map` says. No invariant of any type depends on the contents: all
    // numbers read from them are plain bytes that are checked where they are used.
    let map: Mmap = unsafe { MmapOptions::new().map(file)? };
    Ok(Bytes::from_owner(map))
}
