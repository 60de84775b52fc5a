//! What can go wrong while a file is replaced.

use std::fmt::{self, Display, Formatter};
use std::io;

use thiserror::Error;

use crate::Printable;
use crate::error::FileFault;

/// Why a file was not, or not certainly, written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else is writing the same file.
    #[error("{}: another writer is busy with this file", Printable(.file))]
    Busy {
        /// The file.
        file: String,
    },
    /// The path cannot be written to.
    #[error("{}: {fault}", Printable(.file))]
    Target {
        /// The file.
        file: String,
        /// Why not.
        fault: FileFault,
    },
    /// The operating system, or whoever makes the contents, failed.
    #[error("{}: cannot {step}: {source}{}", Printable(.file), if *.replaced { AFTER } else { "" })]
    Io {
        /// The file.
        file: String,
        /// What was being done.
        step: Step,
        /// The failure.
        source: io::Error,
        /// Whether the new contents are in place.
        replaced: bool,
    },
}

const AFTER: &str = "; the new contents are in place, but a power failure could undo that";

impl StoreError {
    /// Whether the new contents are in place all the same: everything worked but the last step, which makes it certain that
    /// they survive a loss of power.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Io { replaced: true, .. })
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        match self {
            Self::Busy { file } | Self::Target { file, .. } | Self::Io { file, .. } => file,
        }
    }
}

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Looking at what is there.
    Look,
    /// Taking the lock.
    Lock,
    /// Finding the folder that the file is to be in.
    Folder,
    /// Removing what a writer that died has left.
    Clean,
    /// Making a new file or folder.
    Create,
    /// Writing the contents.
    Write,
    /// Setting permissions.
    Permit,
    /// Bringing contents to the disk.
    Sync,
    /// Putting the new file in the place of the old one.
    Rename,
    /// Bringing names to the disk.
    SyncFolder,
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Look => "look at it",
            Self::Lock => "lock it",
            Self::Folder => "find its folder",
            Self::Clean => "remove a left-over file",
            Self::Create => "create a file",
            Self::Write => "write",
            Self::Permit => "set permissions",
            Self::Sync => "bring the contents to the disk",
            Self::Rename => "replace the file",
            Self::SyncFolder => "bring the folder to the disk",
        })
    }
}
