//! ONNX files: models written to them, and read from them.

mod read;
mod write;

pub use read::{is_onnx, load};
#[cfg(test)]
pub(crate) use write::write;
pub use write::{WriteError, Written, export};
