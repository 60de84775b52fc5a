//! Reading `.mindir` files: bytes to a checked [`WireModel`].
//!
//! The steps, each in its own module: a [`Source`] finds the bytes; `scan` walks them with the field tables of `schema` and
//! refuses what would not decode or would take too much memory; `wire` decodes; `weights` fetches contents from data files,
//! checks every tensor and aligns its bytes; `legacy` gathers the weights of the oldest split layout.
//!
//! `build` decides what nodes and attributes mean and makes a [`Model`](mindir_graph::graph::Model).

mod build;
mod framework;
mod legacy;
mod read;
pub(crate) mod scan;
pub(crate) mod schema;
mod source;
pub(crate) mod tensor;
mod weights;
mod wire;
mod write;

use crate::{Limits, LoadError, Loaded};

pub use build::GraphFault;
pub use read::{Layout, Origin, WireModel};
pub use source::Source;
pub use tensor::TensorData;
pub use write::{ExportError, ExportOptions, ModelFile, NameFault, NodeFault, Written, export, to_bytes};

/// Reads the model from `source`.
pub(crate) fn load(source: Source, limits: &Limits) -> Result<Loaded, LoadError> {
    let operators = source.operators;
    let WireModel { model, report, origin } = WireModel::read(source, limits)?;
    Ok(Loaded { model: build::model(&origin.name, &model, operators)?, report, layout: origin.layout })
}
