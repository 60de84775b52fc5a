//! Reading `.mindir` files: bytes to a checked [`WireModel`].
//!
//! The steps, each in its own module: a [`Source`] finds the bytes; `scan` walks them with the field tables of `schema` and
//! refuses what would not decode or would take too much memory; `wire` decodes; `weights` fetches contents from data files,
//! checks every tensor and aligns its bytes; `legacy` gathers the weights of the oldest split layout.
//!
//! What nodes and attributes mean is not decided here.

mod legacy;
mod read;
mod scan;
mod schema;
mod source;
mod tensor;
mod weights;
mod wire;

pub use read::{Layout, Origin, WireModel};
pub use source::Source;
pub use tensor::TensorData;
