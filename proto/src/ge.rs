//! Messages of an `.air` file (protobuf package `ge.proto`, proto3): models for Ascend's graph engine.
//!
//! A file is one bare [`ModelDef`]. Edges are text: `producer:index` in [`OpDef::input`].

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

/// Element types as the graph engine numbers them.
pub mod data_type {
    /// 32-bit float.
    pub const FLOAT: i32 = 1;
    /// 16-bit float.
    pub const FLOAT16: i32 = 2;
    /// 8-bit integer.
    pub const INT8: i32 = 3;
    /// 8-bit integer without sign.
    pub const UINT8: i32 = 4;
    /// 16-bit integer.
    pub const INT16: i32 = 5;
    /// 16-bit integer without sign.
    pub const UINT16: i32 = 6;
    /// 32-bit integer.
    pub const INT32: i32 = 7;
    /// 64-bit integer.
    pub const INT64: i32 = 8;
    /// 32-bit integer without sign.
    pub const UINT32: i32 = 9;
    /// 64-bit integer without sign.
    pub const UINT64: i32 = 10;
    /// Truth value, one byte.
    pub const BOOL: i32 = 11;
    /// 64-bit float.
    pub const DOUBLE: i32 = 12;
    /// Two 32-bit floats.
    pub const COMPLEX64: i32 = 16;
    /// Two 64-bit floats.
    pub const COMPLEX128: i32 = 17;
    /// The upper half of a 32-bit float.
    pub const BF16: i32 = 27;
}

/// Values of [`ListValue::val_type`].
pub mod list_type {
    /// [`super::ListValue::s`].
    pub const STRING: i32 = 1;
    /// [`super::ListValue::i`].
    pub const INT: i32 = 2;
    /// [`super::ListValue::f`].
    pub const FLOAT: i32 = 3;
}

/// A model.
#[derive(Clone, PartialEq, Message)]
pub struct ModelDef {
    /// Name of the model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Version of the format.
    #[prost(uint32, tag = "2")]
    pub version: u32,
    /// Version that the user gives.
    #[prost(string, tag = "3")]
    pub custom_version: String,
    /// The main graph, then the others.
    #[prost(message, repeated, tag = "7")]
    pub graph: Vec<GraphDef>,
    /// Attributes by name.
    #[prost(btree_map = "string, message", tag = "11")]
    pub attr: BTreeMap<String, AttrDef>,
}

/// A graph.
#[derive(Clone, PartialEq, Message)]
pub struct GraphDef {
    /// Name of the graph.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `node:0` for each argument.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// `node:index` for each result.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Nodes, producers first.
    #[prost(message, repeated, tag = "6")]
    pub op: Vec<OpDef>,
    /// Attributes by name.
    #[prost(btree_map = "string, message", tag = "11")]
    pub attr: BTreeMap<String, AttrDef>,
}

/// A node.
#[derive(Clone, PartialEq, Message)]
pub struct OpDef {
    /// Name of the node.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Name of the operator.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// `producer:index` for each data input, empty for one that is left out; then `producer:-1` for what must run before.
    #[prost(string, repeated, tag = "5")]
    pub input: Vec<String>,
    /// Attributes by name.
    #[prost(btree_map = "string, message", tag = "10")]
    pub attr: BTreeMap<String, AttrDef>,
    /// Place in the graph.
    #[prost(int64, tag = "21")]
    pub id: i64,
    /// What each data input is.
    #[prost(message, repeated, tag = "33")]
    pub input_desc: Vec<TensorDescriptor>,
    /// What each result is.
    #[prost(message, repeated, tag = "34")]
    pub output_desc: Vec<TensorDescriptor>,
}

/// What a tensor is.
#[derive(Clone, PartialEq, Message)]
pub struct TensorDescriptor {
    /// Name of the port.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number of [`data_type`].
    #[prost(int32, tag = "2")]
    pub dtype: i32,
    /// Dimensions.
    #[prost(message, optional, tag = "3")]
    pub shape: Option<ShapeDef>,
    /// `ND`, `NCHW`, …
    #[prost(string, tag = "4")]
    pub layout: String,
}

/// Dimensions; -1 is unknown, -2 alone an unknown rank.
#[derive(Clone, PartialEq, Message)]
pub struct ShapeDef {
    /// The dimensions, outermost first.
    #[prost(int64, repeated, tag = "1")]
    pub dim: Vec<i64>,
}

/// A tensor with its contents.
#[derive(Clone, PartialEq, Message)]
pub struct TensorDef {
    /// What it is.
    #[prost(message, optional, tag = "1")]
    pub desc: Option<TensorDescriptor>,
    /// Contents, little-endian and row-major.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct AttrDef {
    /// The value.
    #[prost(oneof = "AttrValue", tags = "1, 2, 3, 4, 5, 12, 15")]
    pub value: Option<AttrValue>,
}

/// Kinds of values.
#[derive(Clone, PartialEq, Oneof)]
pub enum AttrValue {
    /// Several values.
    #[prost(message, tag = "1")]
    List(ListValue),
    /// A text.
    #[prost(bytes = "bytes", tag = "2")]
    S(Bytes),
    /// An integer.
    #[prost(int64, tag = "3")]
    I(i64),
    /// A float.
    #[prost(float, tag = "4")]
    F(f32),
    /// A truth value.
    #[prost(bool, tag = "5")]
    B(bool),
    /// A tensor.
    #[prost(message, tag = "12")]
    T(TensorDef),
    /// An element type.
    #[prost(int32, tag = "15")]
    Dt(i32),
}

/// Several values of one kind.
#[derive(Clone, PartialEq, Message)]
pub struct ListValue {
    /// Texts.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub s: Vec<Bytes>,
    /// Integers.
    #[prost(int64, repeated, tag = "3")]
    pub i: Vec<i64>,
    /// Floats.
    #[prost(float, repeated, tag = "4")]
    pub f: Vec<f32>,
    /// Which of the lists holds the values; readers pass over lists without it.
    #[prost(int32, tag = "20")]
    pub val_type: i32,
}
