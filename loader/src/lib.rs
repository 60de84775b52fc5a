//! Files of MindSpore: reading them, checking them, and saying clearly what is wrong with them.
//!
//! Every input is treated as hostile. A file is walked with fixed limits ([`Limits`]) before anything is decoded, lengths
//! and offsets are checked against the bytes that exist, and no allocation is sized by a number from a file alone. A
//! problem is a [`LoadError`] that names the file, the place and what was expected; nothing in this crate panics on any
//! input.
//!
//! Weights are not copied: they are slices of the memory map. Those that the file does not align are copied where they are
//! needed aligned ([`LoadReport`] counts both kinds).
//!
//! This crate computes nothing and knows no device.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

#[cfg(feature = "air")]
pub mod air;
#[cfg(any(feature = "npy", feature = "torch"))]
mod archive;
pub mod ckpt;
pub mod crypto;

mod element;
mod error;
mod files;
mod foreign;
mod limits;
mod load;
mod map;
pub mod mindir;
#[cfg(feature = "npy")]
pub mod npy;
#[cfg(feature = "onnx")]
pub mod onnx;
mod report;
pub mod store;

pub use element::ElementType;
pub use error::{ErrorKind, Excess, ExternalFault, FileFault, LoadError, TensorFault, WireFault, WireProblem};
pub use files::{Access, DataFiles, Folder, NoFiles};
pub use foreign::{Cipher, Foreign};
pub use limits::Limits;
pub use load::{Loaded, load, load_bytes, load_source};
pub use map::{is_mapped, map, release};
pub use mindir::GraphFault;
pub use mindir_graph::Printable;
pub use report::{Census, FileRead, LoadReport, Warning};
