//! Files to models in one call.

use std::path::Path;

use bytes::Bytes;
use mindir_graph::graph::Model;

use crate::error::LoadError;
use crate::files::{Access, DataFiles};
use crate::limits::Limits;
use crate::mindir::{self, Layout, Source};
use crate::report::LoadReport;

/// A model with what reading it took.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The model. It is verified.
    pub model: Model,
    /// What reading it took.
    pub report: LoadReport,
    /// Where its weights were.
    pub layout: Layout,
}

/// Loads the model at `path` with the default [`Limits`]; see [`Source::open`] for what `path` may leave out.
///
/// The file is mapped and weights are used in place, so it must not change while the model lives.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, LoadError> {
    load_source(Source::open(path, Access::Map)?, &Limits::default())
}

/// Loads a model from memory with the default [`Limits`]; `files` has the data files of a split model.
///
/// # Errors
/// What is wrong with the bytes, and where. Errors call the model `name`.
pub fn load_bytes(
    name: impl Into<String>,
    bytes: impl Into<Bytes>,
    files: impl DataFiles + Send + 'static,
) -> Result<Loaded, LoadError> {
    load_source(Source::from_bytes(name, bytes).with_files(files), &Limits::default())
}

/// Loads a model: MindIR, or ONNX; see [`Source::is_onnx`].
///
/// # Errors
/// What is wrong with the model, and where.
pub fn load_source(source: Source, limits: &Limits) -> Result<Loaded, LoadError> {
    #[cfg(feature = "onnx")]
    if source.is_onnx() {
        let (model, report) = crate::onnx::load(source, limits)?;
        return Ok(Loaded { model, report, layout: Layout::Single });
    }
    mindir::load(source, limits)
}
