//! Messages of a `.ckpt` file (proto2, no package).
//!
//! A file is a row of [`Checkpoint`] messages, one for each entry, which together are one message as well: no magic number,
//! no length prefix. It may be followed by [`CRC_MARK`] and ten bytes.
//!
//! Names and types are text in the schema; here they are [`Bytes`] that share the file.

use bytes::Bytes;
use prost::Message;

/// Start of the 17 bytes that may follow the messages; the other ten are the CRC-32 of everything before, big endian.
pub const CRC_MARK: &[u8; 7] = b"crc_num";

/// Entries in the order in which they were saved.
#[derive(Clone, PartialEq, Message)]
pub struct Checkpoint {
    /// The entries. A large tensor takes several in a row.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// One entry.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Name of the parameter or of an appended value.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub tag: Option<Bytes>,
    /// A tensor or a text.
    #[prost(message, optional, tag = "2")]
    pub tensor: Option<TensorProto>,
    /// A hash table.
    #[prost(message, optional, boxed, tag = "3")]
    pub maptensor: Option<Box<MapTensorProto>>,
}

/// A tensor, a part of one, or a text.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Dimensions of the whole tensor; none for a scalar. `[0]` for a text, and in old files for a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type such as `Float32`; `str` for a text.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub tensor_type: Option<Bytes>,
    /// Elements, little endian and row-major; code points of four bytes for a text.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub tensor_content: Option<Bytes>,
}

/// A hash table of a parameter server.
#[derive(Clone, PartialEq, Message)]
pub struct MapTensorProto {
    /// Keys.
    #[prost(message, optional, tag = "1")]
    pub key_tensor: Option<TensorProto>,
    /// Values.
    #[prost(message, optional, tag = "2")]
    pub value_tensor: Option<TensorProto>,
    /// States of the entries.
    #[prost(message, optional, tag = "3")]
    pub status_tensor: Option<TensorProto>,
}
