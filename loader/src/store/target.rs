//! The file to be replaced, and the names of the files that this takes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Step, StoreError};
use crate::error::FileFault;

/// Hexadecimal digits between a target's name and the ending of its temporary file.
const DIGITS: usize = 16;

/// A file by its folder and name.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) folder: PathBuf,
    name: String,
}

impl Target {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let refuse = |why| StoreError::Target { file: path.display().to_string(), fault: FileFault::Name(why) };
        let name = path.file_name().ok_or_else(|| refuse("it names no file"))?;
        let name = name.to_str().ok_or_else(|| refuse("the name is not UTF-8"))?.to_string();
        let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        Ok(Self { folder: folder.to_path_buf(), name })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The file that stands for the right to write the target.
    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join(format!(".{}.lock", self.name))
    }

    /// A name that nobody can foresee.
    pub(super) fn temporary(&self) -> PathBuf {
        let random = RandomState::new().hash_one(std::process::id());
        self.folder.join(format!(".{}.{random:0DIGITS$x}.tmp", self.name))
    }

    /// Whether `name` is one of [`Self::temporary`].
    pub(super) fn owns_temporary(&self, name: &str) -> bool {
        temporary_of(name) == Some(&self.name)
    }

    pub(super) fn refused(&self, fault: FileFault) -> StoreError {
        StoreError::Target { file: self.to_string(), fault }
    }

    pub(super) fn busy(&self) -> StoreError {
        StoreError::Busy { file: self.to_string() }
    }

    /// The error for a step after which the old file is still there.
    pub(super) fn failed(&self, step: Step, source: io::Error) -> StoreError {
        StoreError::Io { file: self.to_string(), step, source, replaced: false }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path().display().fmt(f)
    }
}

/// The name of the target that a file of the store belongs to.
pub(super) fn owner(name: &str) -> Option<&str> {
    temporary_of(name).or_else(|| name.strip_prefix('.')?.strip_suffix(".lock").filter(|target| !target.is_empty()))
}

fn temporary_of(name: &str) -> Option<&str> {
    let (target, digits) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    let ours = !target.is_empty() && digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    ours.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_store_are_told_from_others() {
        for (name, target) in [
            (".net.ckpt.0123456789abcdef.tmp", Some("net.ckpt")),
            (".a.0123456789abcdef.0123456789abcdef.tmp", Some("a.0123456789abcdef")),
            (".net.ckpt.lock", Some("net.ckpt")),
            ("net.ckpt", None),
            ("net.ckpt.0123456789abcdef.tmp", None),
            (".net.ckpt.0123456789abcdeg.tmp", None),
            (".net.ckpt.tmp", None),
            (".0123456789abcdef.tmp", None),
            ("..0123456789abcdef.tmp", None),
            (".lock", None),
            ("..lock", None),
            ("", None),
        ] {
            assert_eq!(owner(name), target, "{name}");
        }
        let target = Target::of(Path::new("folder/net.ckpt")).unwrap();
        let (one, two) = (target.temporary(), target.temporary());
        assert_ne!(one, two);
        assert!(target.owns_temporary(one.file_name().unwrap().to_str().unwrap()));
        assert_eq!(owner(target.lock().file_name().unwrap().to_str().unwrap()), Some("net.ckpt"));
    }

    #[test]
    fn paths_without_a_name_are_refused() {
        for path in ["", "/", "..", "a/.."] {
            assert!(matches!(Target::of(Path::new(path)), Err(StoreError::Target { .. })), "{path}");
        }
    }
}
