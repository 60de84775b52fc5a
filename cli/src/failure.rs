//! How a command ends.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use mindir::ckpt::CheckpointError;
use mindir::{Error, ErrorKind, LoadErrorKind};

/// Exit code when results differ from what was expected.
pub const DIFFERS: u8 = 1;
/// Exit code when arguments are wrong.
pub const USAGE: u8 = 2;
const UNSUPPORTED: u8 = 3;
const CORRUPT: u8 = 4;
const DEVICE: u8 = 5;
const LIMIT: u8 = 6;

/// What a command prints to stdout, and its exit code.
#[derive(Debug)]
pub struct Outcome {
    pub text: String,
    pub code: u8,
}

impl Outcome {
    /// Success.
    pub fn ok(text: String) -> Outcome {
        Outcome { text, code: 0 }
    }

    /// What was asked about does not hold: exit code [`DIFFERS`].
    pub fn differs(text: String) -> Outcome {
        Outcome { text, code: DIFFERS }
    }

    /// The model has something that is not supported.
    pub fn unsupported(text: String) -> Outcome {
        Outcome { text, code: UNSUPPORTED }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Wrong arguments.
    Usage(String),
    /// The runtime refused.
    Model(Error),
    /// A checkpoint could not be read or written.
    Checkpoint(CheckpointError),
    /// A file could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// A file is not what it should be.
    Corrupt { path: PathBuf, what: String },
}

impl Failure {
    /// A failure to read or write `path`.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Failure::Corrupt { path, what: source.to_string() }
            }
            _ => Failure::File { path, source },
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Corrupt { .. } => CORRUPT,
            Failure::File { .. } => DEVICE,
            Failure::Checkpoint(e) => match e.kind() {
                LoadErrorKind::Corrupt | LoadErrorKind::Foreign | LoadErrorKind::Limit => CORRUPT,
                LoadErrorKind::Unsupported | LoadErrorKind::Encrypted => UNSUPPORTED,
                _ => DEVICE,
            },
            Failure::Model(e) => match (e.kind(), e) {
                (ErrorKind::Usage, _) => USAGE,
                (ErrorKind::Unsupported, _) => UNSUPPORTED,
                (ErrorKind::Corrupt, _) | (ErrorKind::Limit, Error::Load(_)) => CORRUPT,
                (ErrorKind::Limit, _) => LIMIT,
                (ErrorKind::Device, _) => DEVICE,
            },
        }
    }

    /// The message with its causes, one a line.
    pub fn text(&self) -> String {
        let mut text = match self {
            Failure::Usage(what) => format!("error: {what}\n"),
            Failure::Model(e) => format!("error: {e}\n"),
            Failure::Checkpoint(e) => format!("error: {e}\n"),
            Failure::File { path, source } => format!("error: {}: {source}\n", path.display()),
            Failure::Corrupt { path, what } => format!("error: {}: {what}\n", path.display()),
        };
        let mut cause = match self {
            // Their messages hold the operator's complaint already.
            Failure::Model(Error::Node(_) | Error::Contradiction(_) | Error::Shapes { .. }) => None,
            Failure::Model(e) => e.source(),
            _ => None,
        };
        while let Some(e) = cause {
            let line = e.to_string();
            if !text.contains(&line) {
                text.push_str(&format!("  caused by: {line}\n"));
            }
            cause = e.source();
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Model(e)
    }
}

impl From<CheckpointError> for Failure {
    fn from(e: CheckpointError) -> Failure {
        Failure::Checkpoint(e)
    }
}

impl From<mindir::TensorError> for Failure {
    fn from(e: mindir::TensorError) -> Failure {
        Failure::Usage(e.to_string())
    }
}
