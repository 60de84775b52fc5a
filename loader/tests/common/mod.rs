//! Small models made by hand, and the ways the tests read them.
// Every test program uses some of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mindir_loader::mindir::{Source, WireModel};
use mindir_loader::{Access, Limits, LoadError};
use mindir_proto::mindir::*;
use mindir_proto::prost::Message;

/// A file of the folder `data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub fn read_path(path: &Path) -> Result<WireModel, LoadError> {
    WireModel::read(Source::open(path, Access::Map)?, &Limits::default())
}

pub fn read_bytes(bytes: impl Into<Bytes>) -> Result<WireModel, LoadError> {
    WireModel::read(Source::from_bytes("net.mindir", bytes), &Limits::default())
}

pub fn read_model(model: &ModelProto) -> Result<WireModel, LoadError> {
    read_bytes(model.encode_to_vec())
}

/// Reads a model with the data file `net_variables/data_0`.
pub fn read_with(model: &ModelProto, data_0: impl Into<Bytes>) -> Result<WireModel, LoadError> {
    let files = BTreeMap::from([("net_variables/data_0".to_string(), data_0.into())]);
    WireModel::read(Source::from_bytes("net_graph.mindir", model.encode_to_vec()).with_files(files), &Limits::default())
}

/// A valid model with the given parameters.
pub fn model(parameter: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: Some("1.1".to_string()),
        producer_name: Some("MindSpore".to_string()),
        model_version: Some("2.10.0".to_string()),
        graph: Some(Box::new(GraphProto { name: Some("net".to_string()), parameter, ..Default::default() })),
        little_endian: Some(true),
        mind_ir_version: Some(3),
        ..Default::default()
    }
}

/// A valid model with one node that has the given attribute.
pub fn model_with_attribute(attribute: AttributeProto) -> ModelProto {
    let mut model = model(vec![]);
    let node = NodeProto { name: Some("node".to_string()), attribute: vec![attribute], ..Default::default() };
    model.graph.as_mut().unwrap().node.push(node);
    model
}

/// A tensor of single precision numbers with contents.
pub fn tensor(name: &str, dims: &[i64], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_string()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        raw_data: Some(bytes.into()),
        ..Default::default()
    }
}

/// A tensor of single precision numbers in a data file.
pub fn external(name: &str, dims: &[i64], location: &str, offset: i64, length: i64) -> TensorProto {
    let external =
        ExternalDataProto { location: Some(location.to_string()), offset: Some(offset), length: Some(length) };
    TensorProto { raw_data: None, external_data: Some(Box::new(external)), ..tensor(name, dims, vec![]) }
}

/// A data file: the header and `len` bytes.
pub fn data_file(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 64 + len];
    bytes[0] = 1;
    bytes
}

/// A number in base 128.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field with contents.
pub fn field(number: u32, contents: &[u8]) -> Vec<u8> {
    [&varint(u64::from(number << 3 | 2)), &varint(contents.len() as u64), contents].concat()
}

/// A field with a number.
pub fn number(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number << 3)), varint(value)].concat()
}
