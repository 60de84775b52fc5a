//! ZIP archives: NumPy's `.npz` files and PyTorch's checkpoints.

use std::io::{self, Read, Seek};

use zip::ZipArchive;

/// Opens an archive whose files have names of their own: of several with one name only the last would be seen.
///
/// # Errors
/// The reader's; [`io::ErrorKind::InvalidData`] if names repeat, and what `zip` says of what is no archive.
pub(crate) fn open<R: Read + Seek>(reader: R) -> io::Result<ZipArchive<R>> {
    let archive = ZipArchive::new(reader)?;
    if archive.has_duplicate_names() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the archive has several files of one name"));
    }
    Ok(archive)
}
