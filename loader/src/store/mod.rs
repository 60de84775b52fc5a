//! Files that survive a crash.
//!
//! A [`Writer`] writes beside its target and puts the complete file in its place at the very end:
//!
//! 1. Take the lock `.NAME.lock`, so that a second writer of the same target is refused ([`StoreError::Busy`]).
//! 2. Remove what writers that died have left behind.
//! 3. Write `.NAME.<random>.tmp`, a new file in the same folder, and bring it to the disk (`fsync`).
//! 4. Rename it to `NAME`. This is the moment at which the new contents appear, all at once.
//! 5. Bring the folder to the disk.
//!
//! Whatever fails or dies before step 4 leaves the file as it was, bit for bit; an error says on which side it happened
//! ([`StoreError::is_replaced`]). The lock is the operating system's and goes away with its process.
//!
//! A target that consists of several files keeps that promise by giving new files new names ([`Writer::add`]): they are on
//! the disk before the main file is renamed, and the ones that it no longer refers to go afterwards.
//!
//! [`Layer`] is the list of things that the store asks of the operating system. [`Disk`] is the real one, [`DryRun`] changes
//! nothing; the tests use one that fails or loses power at every operation in turn.
//!
//! Permissions of a new file are those that the process gives to new files, those of a replaced file stay
//! ([`Options::mode`] sets others). A hard link to a replaced file keeps the old contents. A target that is a symbolic link
//! is refused.

mod dry;
mod error;
mod layer;
mod leftover;
mod lock;
mod members;
mod target;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

pub use dry::DryRun;
pub use error::{Step, StoreError};
pub use layer::{Disk, Kind, Layer, Output};
pub use leftover::sweep;
pub use watch::Watch;
use watch::Watched;
pub use writer::Writer;

/// How files are written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Permission bits of the file, such as `0o400`. Ignored where the system has none.
    pub mode: Option<u32>,
    /// Where files are written.
    pub layer: Arc<dyn Layer>,
    /// Is told how many bytes were written.
    pub watch: Option<Watch>,
}

impl Options {
    /// Makes a new file, whose progress is told.
    fn create(&self, path: &Path, mode: Option<u32>) -> io::Result<Box<dyn Output>> {
        let out = self.layer.create(path, mode)?;
        Ok(match &self.watch {
            Some(watch) => Box::new(Watched { out, watch: watch.clone() }),
            None => out,
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: None, layer: Arc::new(Disk), watch: None }
    }
}

/// Refuses a file that could not be written: the folder takes no new files, or what is there is no plain file. Nothing is left of
/// the attempt.
///
/// # Errors
/// As [`Writer::begin`].
pub fn try_target(path: impl AsRef<Path>, options: &Options) -> Result<(), StoreError> {
    Writer::begin(path, options).map(drop)
}

/// Refuses a folder that takes no new files. Nothing is left of the attempt.
///
/// # Errors
/// As [`Writer::begin`].
pub fn try_folder(folder: impl AsRef<Path>, options: &Options) -> Result<(), StoreError> {
    match try_target(folder.as_ref().join("mindir.try"), options) {
        // Somebody else tries it, and could make a file.
        Err(StoreError::Busy { .. }) => Ok(()),
        tried => tried,
    }
}

/// Writes a file with what `fill` writes, in place of the one that may be there.
///
/// An error of `fill` leaves the old file and comes back as [`StoreError::Io`] of [`Step::Write`].
///
/// ```
/// use mindir_loader::store;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes");
/// store::replace(&path, &store::Options::default(), |out| out.write_all(b"first"))?;
/// let failed = store::replace(&path, &store::Options::default(), |out| {
///     out.write_all(b"sec")?;
///     Err(std::io::Error::other("the second part is missing"))
/// });
/// assert!(!failed.unwrap_err().is_replaced());
/// assert_eq!(std::fs::read(&path)?, b"first");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What could not be done with which file, and whether the new contents are in place.
pub fn replace(
    path: impl AsRef<Path>,
    options: &Options,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), StoreError> {
    let mut writer = Writer::begin(path, options)?;
    fill(&mut writer).map_err(|source| writer.failed(source))?;
    writer.commit()
}
