//! Reading `.mindir` files: bytes to a checked [`WireModel`].
//!
//! The steps, each in its own module: a [`Source`] finds the bytes; `scan` walks them with the field tables of `schema` and
//! refuses what would not decode or would take too much memory; `wire` decodes; `weights` fetches contents from data files,
//! checks every tensor and aligns its bytes; `legacy` gathers the weights of the oldest split layout.
//!
//! `build` decides what nodes and attributes mean and makes a [`Model`](mindir_graph::graph::Model); `load` is all of it in
//! one call.

mod build;
mod framework;
mod legacy;
mod load;
mod read;
pub(crate) mod scan;
pub(crate) mod schema;
mod source;
pub(crate) mod tensor;
mod weights;
mod wire;
mod write;

pub use build::GraphFault;
pub use load::{Loaded, load, load_bytes, load_source};
pub use read::{Layout, Origin, WireModel};
pub use source::Source;
pub use tensor::TensorData;
pub use write::{ExportError, ExportOptions, ModelFile, NodeFault, Written, export, to_bytes};
