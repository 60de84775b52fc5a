//! Models to and from ONNX.

use std::path::Path;

use crate::Error;
use crate::graph::Model;

pub use mindir_graph::onnx::{ExportError, OPSETS, Unmapped};
pub use mindir_loader::onnx::{Options, WriteError, Written, to_bytes};

/// Writes `model` to the ONNX file `path`; constants beyond what `options` allow inside go to `NAME.data_N` beside it.
///
/// ```no_run
/// let model = mindir::load("net.mindir")?;
/// let written = mindir::onnx::export(&model, "net.onnx", &mindir::onnx::Options { opset: 18, ..Default::default() })?;
/// println!("{} constants", written.constants);
/// # Ok::<(), mindir::Error>(())
/// ```
///
/// # Errors
/// [`Error::Onnx`] naming every node that has no ONNX form, or what could not be written.
pub fn export(model: &Model, path: impl AsRef<Path>, options: &Options) -> Result<Written, Error> {
    Ok(mindir_loader::onnx::export(model, path, options)?)
}
