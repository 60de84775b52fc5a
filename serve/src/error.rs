//! Why a request is not answered with results.

use std::time::Duration;

use mindir::{Error, ErrorKind};

/// Why a request is not answered with results. What it says is for the client, and names no place on the server.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is not as the protocol or the model wants it.
    #[error("{0}")]
    Invalid(String),
    /// There is no such model, version or address.
    #[error("{0}")]
    NotFound(String),
    /// A model is known, but not ready.
    #[error("{0}")]
    NotReady(String),
    /// A part of the request is larger than the server takes.
    #[error("{what}: expected at most {most} bytes")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// The bound.
        most: u64,
    },
    /// The client sent its request too slowly.
    #[error("the request did not arrive within {0:?}")]
    Slow(Duration),
    /// No token, or a wrong one.
    #[error("expected the header `Authorization: Bearer TOKEN` with the server's token")]
    Unauthorized,
    /// What the server was started without.
    #[error("{0}")]
    Forbidden(String),
    /// As many requests wait as may.
    #[error("{model}: {waiting} requests wait already")]
    Busy {
        /// Name of the model.
        model: String,
        /// The bound of its queue.
        waiting: usize,
    },
    /// The request's time is over.
    #[error("{model}: no result within {time:?}")]
    Late {
        /// Name of the model.
        model: String,
        /// The request's time.
        time: Duration,
    },
    /// The server ends.
    #[error("the server ends")]
    Ending,
    /// The protocol has this, the server does not.
    #[error("{0}")]
    Unsupported(String),
    /// The model refused, or a bound of the run.
    #[error("{model}: {message}")]
    Model {
        /// Name of the model.
        model: String,
        /// What went wrong.
        message: String,
        /// Class of the error.
        kind: ErrorKind,
    },
    /// Something that is nobody's fault but the server's.
    #[error("{0}")]
    Internal(String),
}

/// Most characters of a message.
const LONGEST: usize = 2000;

impl RequestError {
    /// The error of a run of the model called `model`.
    pub(crate) fn of_run(model: &str, e: &Error) -> RequestError {
        RequestError::Model { model: model.into(), message: e.to_string(), kind: e.kind() }
    }

    /// What the client is told: not more than can be read.
    pub(crate) fn message(&self) -> String {
        let text = self.to_string();
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// The status of an answer over HTTP.
    pub fn status(&self) -> u16 {
        match self {
            RequestError::Invalid(_) => 400,
            RequestError::NotFound(_) => 404,
            RequestError::TooLarge { .. } => 413,
            RequestError::Slow(_) => 408,
            RequestError::Unauthorized => 401,
            RequestError::Forbidden(_) => 403,
            RequestError::NotReady(_) | RequestError::Busy { .. } | RequestError::Ending => 503,
            RequestError::Late { .. } => 504,
            RequestError::Unsupported(_) => 501,
            RequestError::Model { kind, .. } => match kind {
                ErrorKind::Usage => 400,
                ErrorKind::Unsupported => 501,
                ErrorKind::Limit => 503,
                _ => 500,
            },
            RequestError::Internal(_) => 500,
        }
    }

    /// What metrics call it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            RequestError::Busy { .. } | RequestError::Ending | RequestError::NotReady(_) => "rejected",
            RequestError::Late { .. } | RequestError::Slow(_) => "late",
            RequestError::Internal(_) | RequestError::Model { kind: ErrorKind::Device, .. } => "server",
            RequestError::Model { kind: ErrorKind::Limit, .. } => "limit",
            _ => "request",
        }
    }
}
