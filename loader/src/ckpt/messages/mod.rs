//! `.ckpt` files: a row of protobuf messages, one for each entry.
//!
//! A large tensor takes several entries in a row, which have the same name, type and dimensions and the next part of the
//! contents each. After the messages there may be a checksum.

mod crc;
mod read;
mod schema;
mod types;
mod write;

pub(super) use read::read;
pub(super) use write::{SLICE, write};
