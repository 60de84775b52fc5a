//! How a command ends.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use mindir::ckpt::CheckpointError;
use mindir::{Error, ErrorKind, LoadError, LoadErrorKind};
use serde::Serialize;

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
    /// Whether the text only tells what was done, which --quiet leaves out.
    pub is_notice: bool,
}

impl Outcome {
    /// Success.
    pub fn ok(text: String) -> Outcome {
        Outcome { text, code: 0, is_notice: false }
    }

    /// Success, and a text that only tells what was done.
    pub fn done(text: String) -> Outcome {
        Outcome { is_notice: true, ..Outcome::ok(text) }
    }

    /// What was asked about does not hold: exit code [`DIFFERS`].
    pub fn differs(text: String) -> Outcome {
        Outcome { code: DIFFERS, ..Outcome::ok(text) }
    }

    /// The model has something that is not supported.
    pub fn unsupported(text: String) -> Outcome {
        Outcome { code: UNSUPPORTED, ..Outcome::ok(text) }
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
    /// A file could not be read or written, or its contents are not what they should be.
    File { path: PathBuf, source: io::Error },
    /// A file is not what it should be.
    Corrupt { path: PathBuf, what: String },
    /// A failure of one of several models or devices.
    Of { which: String, failure: Box<Failure> },
}

impl Failure {
    /// A file that would be replaced by what is made of it.
    pub fn same(path: &Path) -> Failure {
        Failure::Usage(format!("{}: it would be replaced by what is made of it; --force does so", path.display()))
    }

    /// The failure of one of several models or devices.
    pub fn of<E: Into<Failure>>(which: &str) -> impl Fn(E) -> Failure {
        move |failure| Failure::Of { which: which.into(), failure: Box::new(failure.into()) }
    }

    /// A failure to read or write `path`.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
        let path = path.to_path_buf();
        move |source| Failure::File { path, source }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Corrupt { .. } => CORRUPT,
            Failure::Of { failure, .. } => failure.code(),
            Failure::File { source, .. } => match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => CORRUPT,
                io::ErrorKind::OutOfMemory => LIMIT,
                // Of contents; a system that cannot do something gives a number.
                io::ErrorKind::Unsupported if source.raw_os_error().is_none() => UNSUPPORTED,
                _ => DEVICE,
            },
            Failure::Checkpoint(CheckpointError::Name { .. }) => USAGE,
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
                _ => DEVICE,
            },
        }
    }

    /// Which kind of failure the exit code stands for.
    fn kind(&self) -> &'static str {
        match self.code() {
            USAGE => "usage",
            UNSUPPORTED => "unsupported",
            CORRUPT => "corrupt",
            LIMIT => "limit",
            _ => "device",
        }
    }

    /// The message without its causes.
    pub fn message(&self) -> String {
        match self {
            Failure::Usage(what) => what.clone(),
            Failure::Model(Error::Load(e)) => absent(e),
            Failure::Model(e) => e.to_string(),
            Failure::Checkpoint(CheckpointError::Load(e)) => absent(e),
            Failure::Checkpoint(e) => e.to_string(),
            Failure::File { path, source } => file_message(path, source),
            Failure::Corrupt { path, what } => format!("{}: {what}", path.display()),
            Failure::Of { which, failure } => format!("{which}: {}", failure.message()),
        }
    }

    /// What led to it, and is not in the message already.
    fn causes(&self) -> Vec<String> {
        let mut cause = match self {
            Failure::Of { failure, .. } => return failure.causes(),
            // Their messages hold the operator's complaint already.
            Failure::Model(Error::Node(_) | Error::Refused(_) | Error::Shapes { .. }) => None,
            Failure::Model(e) => e.source(),
            Failure::File { source, .. } => source.source(),
            _ => None,
        };
        let (mut said, mut causes) = (self.message(), Vec::new());
        while let Some(e) = cause {
            let line = e.to_string();
            if !said.contains(&line) {
                said.push_str(&line);
                causes.push(line);
            }
            cause = e.source();
        }
        causes
    }

    /// The message with its causes, one a line.
    pub fn text(&self) -> String {
        let causes: String = self.causes().iter().map(|line| format!("  caused by: {line}\n")).collect();
        format!("error: {}\n{causes}", self.message())
    }

    /// The failure as an object that stands where results would.
    pub fn report(&self) -> Report {
        let (kind, exit_code) = (self.kind(), self.code());
        Report { error: Fault { kind, exit_code, message: self.message(), causes: self.causes() } }
    }
}

/// What --json prints of a failure.
#[derive(Serialize)]
pub struct Report {
    error: Fault,
}

#[derive(Serialize)]
struct Fault {
    kind: &'static str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
}

/// The message of a file that could not be read or written.
fn file_message(path: &Path, source: &io::Error) -> String {
    if path.as_os_str().is_empty() {
        return "the name of a file is empty".into();
    }
    let what = match (source.kind(), missing_folder(path)) {
        (io::ErrorKind::NotFound, Some(folder)) => format!("there is no folder {}", folder.display()),
        (io::ErrorKind::NotFound, None) => "there is no such file".into(),
        (io::ErrorKind::IsADirectory, _) => "it is a folder".into(),
        _ => source.to_string(),
    };
    format!("{}: {what}", path.display())
}

/// The message of a file that could not be loaded, with the folder that is missing.
fn absent(e: &LoadError) -> String {
    let is_absent = match e {
        LoadError::NotFound { .. } => true,
        LoadError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    };
    let folder = missing_folder(e.file().as_ref()).filter(|_| is_absent);
    folder.map_or_else(|| e.to_string(), |folder| format!("{e}; there is no folder {}", folder.display()))
}

/// The first folder on the way to a file that does not exist.
fn missing_folder(path: &Path) -> Option<PathBuf> {
    let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    folders.take_while(|folder| !folder.exists()).last().map(Path::to_path_buf)
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
        match e {
            mindir::TensorError::Limit(e) => Failure::Model(e.into()),
            other => Failure::Usage(other.to_string()),
        }
    }
}
