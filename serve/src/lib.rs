//! Serves models to clients of the Open Inference Protocol.
//!
//! A [`Repository`] loads the models of a folder and keeps them; a [`Server`] answers requests about them. Each model has a
//! queue of its own: what waits there together runs as one batch, if the model gives every row the result that it has alone.
//! Nothing here knows how a model is computed, and nothing in `mindir` knows that there are servers.

#![forbid(unsafe_code)]

mod batch;
mod cache;
mod classes;
mod config;
mod connection;
mod datatype;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod infer;
mod metrics;
mod model;
mod parameters;
mod pbtxt;
mod repository;
mod rest;
mod room;
mod sequence;
mod server;
mod tls;
mod triton;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use config::{Cache, ConfigError, MOST_INSTANCES, ModelConfig, Versions};
pub use error::RequestError;
pub use repository::{Repository, RepositoryError, RepositoryOptions};
pub use server::{MetricsForm, Server, ServerError, ServerOptions, Token};
pub use tls::Identity;

/// What a mutex guards, also if a thread that held it panicked: no guarded change is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
