//! Errors as Python's exceptions, by kind.

use mindir::{Error, ErrorKind, Limit, LoadErrorKind, ckpt};
use pyo3::prelude::*;

/// The exception for an error of the library: a class of `mindir.errors`.
pub fn raised(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    exception(class(&error), &error, error.node_path())
}

/// The exception for an error about a checkpoint.
pub fn checkpoint(error: ckpt::CheckpointError) -> PyErr {
    exception(of_file(error.kind()), &error, None)
}

/// Wrong usage that only this crate can see.
pub fn usage(message: impl std::fmt::Display) -> PyErr {
    exception("InputError", &message, None)
}

fn exception(class: &str, message: &impl ToString, node: Option<&str>) -> PyErr {
    let make = |py: Python<'_>| {
        let class = py.import("mindir.errors")?.getattr(class)?;
        Ok(PyErr::from_value(class.call1((message.to_string(), node))?))
    };
    Python::attach(|py| make(py).unwrap_or_else(|e: PyErr| e))
}

fn class(error: &Error) -> &'static str {
    match error {
        Error::Limit { what: Limit::Cancelled, .. } => "CancelledError",
        Error::Load(e) => of_file(e.kind()),
        Error::NoDevice { .. } => "DeviceError",
        _ => match error.kind() {
            ErrorKind::Usage => "InputError",
            ErrorKind::Unsupported => "UnsupportedError",
            ErrorKind::Corrupt => "CorruptError",
            ErrorKind::Limit => "LimitError",
            ErrorKind::Device if matches!(error, Error::Device(_)) => "DeviceError",
            ErrorKind::Device => "FileError",
            _ => "Error",
        },
    }
}

fn of_file(kind: LoadErrorKind) -> &'static str {
    match kind {
        LoadErrorKind::NotFound | LoadErrorKind::Io => "FileError",
        LoadErrorKind::Foreign | LoadErrorKind::Corrupt => "CorruptError",
        LoadErrorKind::Unsupported => "UnsupportedError",
        LoadErrorKind::Encrypted => "EncryptedError",
        LoadErrorKind::Limit => "LimitError",
        _ => "Error",
    }
}
