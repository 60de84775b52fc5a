//! Writing a file in the place of another.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Options;
use super::error::{Step, StoreError};
use super::layer::{Kind, Output};
use super::leftover::clean;
use super::lock::Lock;
use super::members::Members;
use super::target::Target;
use crate::error::FileFault;

/// Only the owner reads a file that is not complete and whose permissions are not set.
const WHILE_WRITING: u32 = 0o600;

/// Small pieces are gathered to this many bytes.
pub(super) const BUFFER: usize = 256 << 10;

/// A file being written in the place of another.
///
/// Nothing is seen of it before [`commit`](Self::commit). Dropping it instead removes what was written.
pub struct Writer {
    target: Target,
    temporary: PathBuf,
    out: Option<BufWriter<Box<dyn Output>>>,
    /// Permission bits of the complete file, where they are not the usual ones.
    mode: Option<u32>,
    members: Members,
    options: Options,
    // Last: the next writer may start when everything else is put away.
    _lock: Lock,
}

impl Writer {
    /// Starts writing the file at `path`, which may exist.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while somebody else writes it; [`StoreError::Target`] if the path names a symbolic link, a folder
    /// or a device; [`StoreError::Io`].
    pub fn begin(path: impl AsRef<Path>, options: &Options) -> Result<Self, StoreError> {
        let target = Target::of(path.as_ref())?;
        let layer = &options.layer;
        let found = layer.look(&target.path()).map_err(|source| target.failed(Step::Look, source))?;
        let old = match found {
            None => None,
            Some(Kind::File(mode)) => Some(mode),
            Some(Kind::Link) => return Err(target.refused(FileFault::Symlink)),
            Some(Kind::Folder | Kind::Other) => return Err(target.refused(FileFault::NotRegular)),
        };
        let lock = Lock::take(layer, &target)?;
        clean(layer.as_ref(), &target)?;
        let mode = options.mode.or(old);
        let temporary = target.temporary();
        let out = options.create(&temporary, mode.map(|_| WHILE_WRITING));
        let out = out.map_err(|source| target.failed(Step::Create, source))?;
        let out = Some(BufWriter::with_capacity(BUFFER, out));
        Ok(Self { members: Members::default(), target, temporary, out, mode, options: options.clone(), _lock: lock })
    }

    /// Writes one more file of a target that consists of several, and returns its location relative to the target's folder.
    ///
    /// `prefix` is such a location without the number at its end, like `net_variables/data_`; its folder is made if needed. The
    /// number is larger than that of every file there, so no file is overwritten and none that a reader may still look for
    /// gets other contents. The file goes away again unless the target is committed.
    ///
    /// # Errors
    /// [`StoreError::Target`] if `prefix` could lead outside of the target's folder or through a symbolic link;
    /// [`StoreError::Io`].
    pub fn add(
        &mut self,
        prefix: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<String, StoreError> {
        self.members.add(&self.options, &self.target, prefix, self.mode, fill)
    }

    /// Says that files `prefix` + number beside the target belong to it: [`commit`](Self::commit) removes those that were not
    /// written with [`add`](Self::add).
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn owns(&mut self, prefix: &str) -> Result<(), StoreError> {
        self.members.owns(self.options.layer.as_ref(), &self.target, prefix)
    }

    /// Puts the complete file in its place.
    ///
    /// # Errors
    /// [`StoreError::Io`]; see [`StoreError::is_replaced`].
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.finish()?;
        self.members.settle(self.options.layer.as_ref(), &self.target)?;
        let renamed = self.options.layer.rename(&self.temporary, &self.target.path());
        renamed.map_err(|source| self.target.failed(Step::Rename, source))?;
        self.out = None;
        self.members.keep();
        let synced = self.options.layer.sync_folder(&self.target.folder);
        synced.map_err(|source| {
            let file = self.target.to_string();
            StoreError::Io { file, step: Step::SyncFolder, source, replaced: true }
        })?;
        self.members.remove_others(self.options.layer.as_ref(), &self.target);
        Ok(())
    }

    /// Completes the temporary file and brings it to the disk.
    fn finish(&mut self) -> Result<(), StoreError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        out.flush().map_err(|source| self.target.failed(Step::Write, source))?;
        if let Some(mode) = self.mode {
            out.get_ref().set_mode(mode).map_err(|source| self.target.failed(Step::Permit, source))?;
        }
        out.get_ref().sync().map_err(|source| self.target.failed(Step::Sync, source))
    }

    /// The error for contents that cannot be written or made.
    pub fn failed(&self, source: io::Error) -> StoreError {
        self.target.failed(Step::Write, source)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The file is there until it was renamed. What is in the buffer does not have to be written any more.
        if let Some(out) = self.out.take() {
            drop(out.into_parts());
            let _ = self.options.layer.remove(&self.temporary);
        }
        self.members.discard(self.options.layer.as_ref(), &self.target);
    }
}

impl Debug for Writer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("target", &self.target).finish_non_exhaustive()
    }
}
