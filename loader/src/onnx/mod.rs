//! ONNX files.

mod write;

pub use write::{WriteError, Written, export};
