//! The folder that keeps packed weights.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mindir_kernels::device::Shelf;
use mindir_loader::store;

/// A folder whose files belong to this user alone.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Shelf for Folder {
    fn find(&self, name: &str, len: usize) -> Option<Bytes> {
        let path = self.0.join(name);
        // What is no plain file, a pipe for one, could keep whoever opens it waiting.
        path.metadata().ok().filter(Metadata::is_file)?;
        let file = File::open(path).ok()?;
        let fits = file.metadata().ok()?.len() == len as u64 && is_own(&file).unwrap_or(false);
        mindir_loader::map(&file).ok().filter(|bytes| fits && bytes.len() == len)
    }

    fn keep(&self, name: &str, parts: &[&[u8]]) {
        let options = store::Options { mode: Some(0o600), ..store::Options::default() };
        let write = || {
            make(&self.0)?;
            let fill = |out: &mut dyn io::Write| parts.iter().try_for_each(|part| out.write_all(part));
            store::replace(self.0.join(name), &options, fill).map_err(io::Error::other)
        };
        // What cannot be kept is made again.
        let _: io::Result<()> = write();
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
