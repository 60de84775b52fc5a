//! The folder that keeps packed weights.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mindir_kernels::device::Shelf;
use mindir_loader::store;

/// What became of the folder of [`Options::packed_weights`](crate::Options::packed_weights) so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedWeights {
    /// Files that were read.
    pub read: usize,
    /// Files that were written.
    pub written: usize,
    /// Why the first file that could not be written was not.
    pub fault: Option<String>,
}

/// A folder whose files belong to this user alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    report: Mutex<PackedWeights>,
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder { path, report: Mutex::default() }
    }

    /// What became of it so far.
    pub fn report(&self) -> PackedWeights {
        self.note().clone()
    }

    fn note(&self) -> MutexGuard<'_, PackedWeights> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for Folder {
    fn find(&self, name: &str, len: usize) -> Option<Bytes> {
        let path = self.path.join(name);
        // What is no plain file, a pipe for one, could keep whoever opens it waiting.
        path.metadata().ok().filter(Metadata::is_file)?;
        let file = File::open(path).ok()?;
        let fits = file.metadata().ok()?.len() == len as u64 && is_own(&file).unwrap_or(false);
        let found = mindir_loader::map(&file).ok().filter(|bytes| fits && bytes.len() == len)?;
        self.note().read += 1;
        Some(found)
    }

    fn keep(&self, name: &str, parts: &[&[u8]]) {
        let options = store::Options { mode: Some(0o600), ..store::Options::default() };
        let write = || {
            make(&self.path)?;
            let fill = |out: &mut dyn io::Write| parts.iter().try_for_each(|part| out.write_all(part));
            store::replace(self.path.join(name), &options, fill).map_err(io::Error::other)
        };
        let written = write();
        let mut report = self.note();
        match written {
            Ok(()) => report.written += 1,
            // What cannot be kept is made again.
            Err(e) => drop(report.fault.get_or_insert_with(|| e.to_string())),
        }
    }
}

/// Makes a folder that nobody else may enter, unless it is there.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Whether a plain file belongs to this user, and no other may write to it.
#[cfg(unix)]
fn is_own(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let found = file.metadata()?;
    Ok(found.is_file() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0)
}

/// Whether it is a plain file.
#[cfg(not(unix))]
fn is_own(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file())
}
