//! ONNX files: models written to them, and read from them.

mod read;
mod write;

pub use read::load;
pub use write::{Options, WriteError, Written, export, to_bytes};
