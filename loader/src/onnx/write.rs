//! Models to ONNX files.
//!
//! Weights go from where they are to the file: nothing but the structure is put together in memory.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use mindir_graph::graph::Model;
use mindir_graph::onnx::{Attr, Body, Dimension, Edge, ExportError, Exported, Port, Record, data_type};
use mindir_graph::{DType, Tensor};
use mindir_proto::onnx::*;
use mindir_proto::prost::{Message, encoding};

use crate::Printable;
use crate::limits::MOST_NAME;
use crate::store::{self, StoreError, Writer};

/// Constants smaller than this stay in the model's file.
const LEAST_OUTSIDE: usize = 1 << 10;
/// Constants in a file of their own start at multiples of this, as ONNX recommends for memory maps.
const PAGE: u64 = 4096;

/// How to write a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// The operator set, one of [`OPSETS`](mindir_graph::onnx::OPSETS).
    pub opset: i64,
    /// Constants that take more bytes than this together go to a data file, those below 1 KiB excepted. Protobuf messages, and
    /// so files without one, end at 2 GiB.
    pub split_above: u64,
    /// Whether parameters that the model writes are inputs of their names, which may be left out where they hold what the model
    /// has, and what they hold afterwards results called `NAME_out`.
    pub state_as_io: bool,
    /// How files are replaced.
    pub store: store::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            opset: mindir_graph::onnx::Options::default().opset,
            split_above: 1900 << 20,
            state_as_io: false,
            store: store::Options::default(),
        }
    }
}

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The model has no ONNX form.
    #[error(transparent)]
    Model(#[from] ExportError),
    /// The path has no file name that data files can be called after.
    #[error("{0}: not a name for a model")]
    Name(String),
    /// Readers would refuse a name in the model.
    #[error("nothing can be called {}: the name has {} bytes, and readers take {MOST_NAME}", Printable(.0), .0.len())]
    TooLong(String),
    /// The file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Nodes, those of inner graphs included.
    pub nodes: usize,
    /// Constants, weights included.
    pub constants: usize,
    /// Bytes of all constants.
    pub constant_bytes: u64,
    /// The file beside the model that holds large constants, if there is one.
    pub data_file: Option<String>,
}

/// Writes `model` to the ONNX file `path`, in place of the one that may be there.
///
/// Constants go to `NAME.data_N` beside the file if they take more bytes than `options` allow inside.
///
/// # Errors
/// [`WriteError::Model`] naming every node that has no ONNX form; [`WriteError::TooLong`]; [`WriteError::Store`].
pub fn export(model: &Model, path: impl AsRef<Path>, options: &Options) -> Result<Written, WriteError> {
    let Options { opset, state_as_io, .. } = *options;
    let exported = mindir_graph::onnx::export(model, mindir_graph::onnx::Options { opset, state_as_io })?;
    write(&exported, path.as_ref(), options)
}

/// The bytes of `model` as one ONNX file of operator set `opset`, with all constants in it.
///
/// # Errors
/// [`ExportError`] as [`export`].
pub fn to_bytes(model: &Model, opset: i64) -> Result<Vec<u8>, ExportError> {
    let options = mindir_graph::onnx::Options { opset, ..Default::default() };
    let exported = mindir_graph::onnx::export(model, options)?;
    let mut bytes = Vec::new();
    let wire = Wire { exported: &exported, outside: &HashMap::new(), data_file: "" };
    // A vector takes every byte.
    let _ = wire.write(&mut bytes);
    Ok(bytes)
}

fn write(exported: &Exported, path: &Path, options: &Options) -> Result<Written, WriteError> {
    if let Some(name) = exported.names.values().find(|name| name.len() > MOST_NAME) {
        return Err(WriteError::TooLong(name.clone()));
    }
    let mut writer = Writer::begin(path, &options.store)?;
    let bytes: u64 = exported.constants.iter().map(|c| c.1.bytes().len() as u64).sum();
    let mut outside = HashMap::new();
    let mut data_file = None;
    if bytes > options.split_above {
        outside = places(&exported.constants);
    }
    if !outside.is_empty() {
        let name = path.file_name().and_then(|n| n.to_str());
        let name = name.ok_or_else(|| WriteError::Name(path.display().to_string()))?;
        let location = writer.add(&format!("{name}.data_"), |out| pour(out, &exported.constants, &outside))?;
        data_file = Some(location);
    }
    let wire = Wire { exported, outside: &outside, data_file: data_file.as_deref().unwrap_or_default() };
    wire.write(&mut writer).map_err(|e| writer.failed(e))?;
    writer.commit()?;
    let (nodes, constants) = (count(&exported.body), exported.constants.len());
    Ok(Written { nodes, constants, constant_bytes: bytes, data_file })
}

fn count(body: &Body) -> usize {
    let inner =
        |r: &Record| r.attrs.iter().map(|(_, a)| if let Attr::Body(b) = a { count(b) } else { 0 }).sum::<usize>();
    body.nodes.iter().map(|r| 1 + inner(r)).sum()
}

/// Where in the data file constants start.
fn places(constants: &[(Edge, Tensor)]) -> HashMap<Edge, u64> {
    let mut at = 0u64;
    let mut out = HashMap::new();
    for (edge, tensor) in constants.iter().filter(|c| c.1.bytes().len() >= LEAST_OUTSIDE) {
        out.insert(*edge, at);
        at = (at + tensor.bytes().len() as u64).next_multiple_of(PAGE);
    }
    out
}

fn pour(out: &mut dyn Write, constants: &[(Edge, Tensor)], places: &HashMap<Edge, u64>) -> io::Result<()> {
    let mut at = 0u64;
    for (edge, tensor) in constants {
        let Some(&start) = places.get(edge) else { continue };
        io::copy(&mut io::Read::take(io::repeat(0), start - at), out)?;
        out.write_all(tensor.bytes())?;
        at = start + tensor.bytes().len() as u64;
    }
    Ok(())
}

struct Wire<'a> {
    exported: &'a Exported,
    outside: &'a HashMap<Edge, u64>,
    data_file: &'a str,
}

/// Numbers of the fields that are written by hand.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

impl Wire<'_> {
    /// The model's message, the graph's constants last.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let graph = self.graph(&self.exported.body, &self.exported.name).encode_to_vec();
        let constants: Vec<(Vec<u8>, Bytes)> = self.exported.constants.iter().map(|c| self.constant(c)).collect();
        let len: u64 = constants.iter().map(|c| field_len(INITIALIZER, tensor_len(c))).sum();
        out.write_all(&self.header().encode_to_vec())?;
        open(out, GRAPH, graph.len() as u64 + len)?;
        out.write_all(&graph)?;
        for constant in &constants {
            let (head, raw) = constant;
            open(out, INITIALIZER, tensor_len(constant))?;
            out.write_all(head)?;
            if !raw.is_empty() {
                open(out, RAW_DATA, raw.len() as u64)?;
                out.write_all(raw)?;
            }
        }
        Ok(())
    }

    fn header(&self) -> ModelProto {
        let opset = self.exported.opset;
        let ir_version = match opset {
            ..=18 => 8,
            19..=20 => 9,
            _ => 10,
        };
        ModelProto {
            ir_version: Some(ir_version),
            producer_name: Some("mindir".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
            ..ModelProto::default()
        }
    }

    fn name(&self, edge: Edge) -> String {
        self.exported.names.get(&edge).cloned().unwrap_or_else(|| format!("value_{}", edge.0))
    }

    fn graph(&self, body: &Body, name: &str) -> GraphProto {
        let outer = std::ptr::eq(body, &self.exported.body);
        let (inputs, outputs) = if outer {
            let ports = |ports: &[Port]| ports.iter().map(|p| self.port(p)).collect();
            (ports(&self.exported.inputs), ports(&self.exported.outputs))
        } else {
            // The types of other values follow from the node around them.
            let kind = |i: usize| body.types.get(i).map(|(dtype, dims)| tensor_type(*dtype, dims.iter().map(any)));
            let input = |(i, e): (usize, &Edge)| ValueInfoProto { name: Some(self.name(*e)), r#type: kind(i) };
            let output = |e: &Edge| ValueInfoProto { name: Some(self.name(*e)), r#type: None };
            (body.inputs.iter().enumerate().map(input).collect(), body.outputs.iter().map(output).collect())
        };
        let node = body.nodes.iter().map(|r| self.node(r)).collect();
        let name = if name.is_empty() { "graph" } else { name };
        GraphProto { node, name: Some(name.into()), input: inputs, output: outputs, ..GraphProto::default() }
    }

    fn port(&self, port: &Port) -> ValueInfoProto {
        let dim = |d: &Dimension| match d {
            Dimension::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), dim_param: None },
            Dimension::Named(name) => DimensionProto { dim_value: None, dim_param: Some(name.clone()) },
        };
        let r#type = Some(tensor_type(port.dtype, port.dims.iter().map(dim)));
        ValueInfoProto { name: Some(self.name(port.edge)), r#type }
    }

    fn node(&self, record: &Record) -> NodeProto {
        let outputs: Vec<String> = record.outputs.iter().map(|e| self.name(*e)).collect();
        NodeProto {
            input: record.inputs.iter().map(|e| e.map_or_else(String::new, |e| self.name(e))).collect(),
            name: outputs.first().cloned(),
            output: outputs,
            op_type: Some(record.op.into()),
            attribute: record.attrs.iter().map(|(name, a)| self.attribute(name, a)).collect(),
            ..NodeProto::default()
        }
    }

    fn attribute(&self, name: &str, attr: &Attr) -> AttributeProto {
        let text = |s: &'static str| Bytes::from_static(s.as_bytes());
        let mut out = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
        let kind = match attr {
            Attr::Int(i) => {
                out.i = Some(*i);
                AttributeType::Int
            }
            Attr::Float(x) => {
                out.f = Some(*x);
                AttributeType::Float
            }
            Attr::Text(s) => {
                out.s = Some(text(s));
                AttributeType::String
            }
            Attr::Ints(values) => {
                out.ints = values.clone();
                AttributeType::Ints
            }
            Attr::Floats(values) => {
                out.floats = values.clone();
                AttributeType::Floats
            }
            Attr::Texts(values) => {
                out.strings = values.iter().map(|s| text(s)).collect();
                AttributeType::Strings
            }
            Attr::Tensor(t) => {
                out.t = Some(Box::new(TensorProto { raw_data: Some(t.bytes().clone()), ..facts(t) }));
                AttributeType::Tensor
            }
            Attr::Body(body) => {
                out.g = Some(Box::new(self.graph(body, name)));
                AttributeType::Graph
            }
        };
        out.r#type = Some(kind as i32);
        out
    }

    /// The message of a constant without its contents, and the contents if they stay inside.
    fn constant(&self, (edge, tensor): &(Edge, Tensor)) -> (Vec<u8>, Bytes) {
        let mut proto = TensorProto { name: Some(self.name(*edge)), ..facts(tensor) };
        let Some(offset) = self.outside.get(edge) else { return (proto.encode_to_vec(), tensor.bytes().clone()) };
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        proto.external_data = vec![
            entry("location", self.data_file.into()),
            entry("offset", offset.to_string()),
            entry("length", tensor.bytes().len().to_string()),
        ];
        proto.data_location = Some(DataLocation::External as i32);
        (proto.encode_to_vec(), Bytes::new())
    }
}

fn tensor_type(dtype: DType, dims: impl Iterator<Item = DimensionProto>) -> TypeProto {
    let shape = TensorShapeProto { dim: dims.collect() };
    let tensor_type = Some(TensorTypeProto { elem_type: Some(data_type(dtype)), shape: Some(shape) });
    TypeProto { tensor_type, ..TypeProto::default() }
}

/// A dimension that has a length or none.
fn any(dim: &Option<usize>) -> DimensionProto {
    DimensionProto { dim_value: dim.map(|n| n as i64), dim_param: None }
}

fn facts(tensor: &Tensor) -> TensorProto {
    // An empty message field is not written, so a tensor without elements has no contents at all.
    let dims = tensor.shape().iter().map(|&d| d as i64).collect();
    let dtype: DType = tensor.dtype();
    TensorProto { dims, data_type: Some(data_type(dtype)), ..TensorProto::default() }
}

fn tensor_len((head, raw): &(Vec<u8>, Bytes)) -> u64 {
    let raw = if raw.is_empty() { 0 } else { field_len(RAW_DATA, raw.len() as u64) };
    head.len() as u64 + raw
}

fn field_len(number: u32, len: u64) -> u64 {
    (encoding::key_len(number) + encoding::encoded_len_varint(len)) as u64 + len
}

/// Writes the key of a field with `len` bytes of contents.
fn open(out: &mut dyn Write, number: u32, len: u64) -> io::Result<()> {
    let mut key = Vec::new();
    encoding::encode_key(number, encoding::WireType::LengthDelimited, &mut key);
    encoding::encode_varint(len, &mut key);
    out.write_all(&key)
}
