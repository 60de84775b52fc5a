//! Run MindSpore models outside Python.
//!
//! ```no_run
//! use mindir::{GraphCell, Options, Tensor};
//!
//! let model = mindir::load("lenet5.mindir")?;
//! let cell = GraphCell::new(model, Options::default())?;
//! let x = Tensor::zeros(mindir::DType::F32, &[1, 1, 32, 32])?;
//! let y = cell.run(&[x])?;
//! println!("{:?}", y[0].view::<f32>()?);
//! # Ok::<(), mindir::Error>(())
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

#[cfg(feature = "ndarray")]
pub mod array;
mod cell;
pub mod check;
mod devices;
mod error;
mod held;
mod interpret;
pub mod machine;
mod memory;
pub mod metrics;
#[cfg(feature = "onnx")]
pub mod onnx;
mod options;
#[cfg(feature = "image")]
pub mod picture;
mod plan;
mod plans;
mod profile;
mod session;
mod shelf;
mod slice;
mod state;

use std::path::Path;

pub use cell::{GraphCell, Port};
pub use check::check;
pub use devices::{DEVICES, DeviceEntry};
pub use error::{DeclinedNode, Error, ErrorKind, InputError, OptionError, UnsupportedNode};
pub use mindir_graph::bounds::{CancelOnDrop, CancelToken, Limit};
pub use mindir_graph::lower::NodeError;
pub use mindir_graph::op::OpDef;
pub use mindir_graph::passes::Precision;
pub use mindir_graph::{
    Buffer, DType, Dim, Element, Fact, OpError, Spec, Tensor, TensorError, bf16, builder, diff, f16, graph, ops,
    passes, preprocess, random, task,
};
pub use mindir_graph::{op, op_enum};
#[cfg(feature = "cuda")]
pub use mindir_kernels::cuda;
pub use mindir_kernels::device;
#[cfg(feature = "wgpu")]
pub use mindir_kernels::wgpu;
#[cfg(feature = "air")]
pub use mindir_loader::air;
pub use mindir_loader::mindir::{ExportError, ExportOptions, Layout, ModelFile, Source, Written};
#[cfg(feature = "npy")]
pub use mindir_loader::npy;
pub use mindir_loader::{Access, Cipher, ErrorKind as LoadErrorKind, Limits, ckpt, crypto, store};
pub use mindir_loader::{LoadError, LoadReport, Loaded, Printable, Warning};
pub use options::{Fallback, Options};
pub use plan::{Decline, Life, Plan, StageReport, StepReport};
pub use profile::{Profile, TimedStep};
pub use session::Session;
pub use shelf::PackedWeights;
pub use slice::Slice;
pub use state::State;

/// Reads a MindIR model: one file, or `NAME_graph.mindir` with `NAME_variables/`.
///
/// # Errors
/// [`Error::Load`] saying what is wrong with which file.
pub fn load(path: impl AsRef<Path>) -> Result<graph::Model, Error> {
    Ok(load_reported(path)?.model)
}

/// As [`load`], and says what reading took.
///
/// # Errors
/// As [`load`].
pub fn load_reported(path: impl AsRef<Path>) -> Result<Loaded, Error> {
    Ok(mindir_loader::load(path.as_ref())?)
}

/// Reads a model from a [`Source`]: from memory, with a key, without mapping files.
///
/// ```no_run
/// use mindir::{Access, Source, crypto};
///
/// let key = crypto::Key::from_env("MODEL_KEY")?;
/// let source = Source::open("secret.mindir", Access::Map)?.with_decryption(crypto::Decryption::new(key));
/// let model = mindir::load_source(source)?.model;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`load`].
pub fn load_source(source: Source) -> Result<Loaded, Error> {
    Ok(mindir_loader::load_source(source, &Limits::default())?)
}

/// As [`load_source`] within other bounds than [`Limits::default`].
///
/// ```no_run
/// use mindir::{Access, Limits, Source};
///
/// let limits = Limits { max_nodes: 10_000, max_decoded_bytes: 64 << 20, ..Limits::default() };
/// let model = mindir::load_within(Source::open("strangers.mindir", Access::Map)?, &limits)?.model;
/// # Ok::<(), mindir::Error>(())
/// ```
///
/// # Errors
/// As [`load`].
pub fn load_within(source: Source, limits: &Limits) -> Result<Loaded, Error> {
    Ok(mindir_loader::load_source(source, limits)?)
}

/// Writes a model as a MindIR file that MindSpore 2.10 loads: one file, or `NAME_graph.mindir` with `NAME_variables/`.
///
/// What is written is the portable graph as it was read or built. Plans and the passes over them are no part of it.
///
/// ```
/// use mindir::builder::Builder;
/// use mindir::{DType, ExportOptions, Spec};
///
/// let mut b = Builder::new("net");
/// let x = b.input("x", Spec::fixed(DType::F32, &[3]));
/// let y = b.op("ReLU", [x.into()])?;
/// let path = std::env::temp_dir().join("example_of_export.mindir");
/// mindir::export(&b.finish(&[y]), &path, &ExportOptions::default())?;
/// assert_eq!(mindir::load(&path)?.entry().nodes[0].op_name(), "ReLU");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Export`] saying what could not be written; then the files are as they were.
pub fn export(model: &graph::Model, path: impl AsRef<Path>, options: &ExportOptions) -> Result<Written, Error> {
    Ok(mindir_loader::mindir::export(model, path, options)?)
}
