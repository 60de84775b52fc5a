//! Wire types of the files that MindSpore writes.
//!
//! Each module holds the protobuf messages of one format, as [`prost`] structs with the field numbers of the original
//! schema. Fields that the schema calls optional are `Option`s, so decoding and encoding a file keeps which fields were
//! present. `bytes` fields are [`bytes::Bytes`]: decoding from a `Bytes` buffer shares the buffer instead of copying it.
//!
//! This crate knows numbers and names only. What a field means for a model, which combinations are valid and where files
//! live is the business of `mindir-loader`.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod ge;
mod lean;
pub mod mindir;
pub mod onnx;

pub use prost;
