//! The portable operator graph.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod bounds;
pub mod builder;
pub mod diff;
#[macro_use]
mod dtype;
mod error;
mod forms;
pub mod graph;
mod infer;
pub mod lower;
pub mod onnx;
pub mod op;
pub mod ops;
pub mod order;
pub mod passes;
pub mod preprocess;
mod printable;
pub mod random;
mod shape;
mod table;
pub mod task;
mod tensor;
mod verify;

pub use dtype::{DType, Element};
pub use error::OpError;
pub use half::{bf16, f16};
pub use infer::infer;
pub use printable::Printable;
pub use shape::{
    Dim, Fact, Shape, Spec, Strides, around, broadcast, broadcast_strides, checked_count, count, dense_strides,
    normalize_axis, shape,
};
pub use table::{Id, Table};
pub use tensor::{Buffer, Tensor, TensorError, aligned_copy, no_bool};
pub use verify::{VerifyError, VerifyFault, verify};
