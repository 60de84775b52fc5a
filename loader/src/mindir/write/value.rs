//! Constants, descriptions and tensors as messages.

use bytes::Bytes;
use mindir_graph::graph::Nest;
use mindir_graph::op::Const;
use mindir_graph::{DType, Dim, Spec, Tensor};
use mindir_proto::mindir::{
    AttributeProto, AttributeType, CompressionType, DataType, SeqInfoProto, TensorProto, ValueInfoProto,
};

/// The number of an element type in files.
pub(super) fn code(dtype: DType) -> i32 {
    let code = match dtype {
        DType::Bool => DataType::Bool,
        DType::I8 => DataType::Int8,
        DType::I16 => DataType::Int16,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::U8 => DataType::Uint8,
        DType::U16 => DataType::Uint16,
        DType::U32 => DataType::Uint32,
        DType::U64 => DataType::Uint64,
        DType::F16 => DataType::Float16,
        DType::BF16 => DataType::Bfloat16,
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
        DType::C64 => DataType::Complex64,
        DType::C128 => DataType::Complex128,
    };
    code as i32
}

fn typed(kind: AttributeType) -> AttributeProto {
    AttributeProto { r#type: Some(kind as i32), ..Default::default() }
}

/// `value` as the attribute `name`.
pub(super) fn attribute(name: &str, value: &Const) -> AttributeProto {
    let value = match value {
        Const::Bool(flag) => AttributeProto { i: Some(i64::from(*flag)), ..typed(AttributeType::Bool) },
        Const::Int(number) => AttributeProto { i: Some(*number), ..typed(AttributeType::Int64) },
        Const::DType(dtype) => AttributeProto { i: Some(dtype.type_id()), ..typed(AttributeType::Int64) },
        Const::Float(number) => AttributeProto { f: Some(*number), ..typed(AttributeType::Float) },
        Const::Double(number) => AttributeProto { d: Some(*number), ..typed(AttributeType::Double) },
        Const::Str(text) => AttributeProto { s: Some(bytes(text)), ..typed(AttributeType::String) },
        other => element(other),
    };
    // MindSpore writes these as lists of texts, whatever they are in a graph.
    let value = match (name, value.attribute_type()) {
        ("input_names" | "output_names", Some(AttributeType::Tuple)) => {
            AttributeProto { r#type: Some(AttributeType::List as i32), ..value }
        }
        _ => value,
    };
    AttributeProto { name: Some(name.to_string()), ..value }
}

/// `value` as the attribute `name` of a primitive, where an element type is a tensor of it without dimensions or elements.
pub(super) fn held(name: &str, value: &Const) -> AttributeProto {
    let Const::DType(dtype) = value else { return attribute(name, value) };
    let tensor = TensorProto { name: Some("value0".to_string()), data_type: Some(code(*dtype)), ..Default::default() };
    AttributeProto { name: Some(name.to_string()), tensors: vec![tensor], ..typed(AttributeType::Tensors) }
}

/// `value` as an element of a tuple, where numbers and texts stand in lists of one.
fn element(value: &Const) -> AttributeProto {
    match value {
        Const::None => typed(AttributeType::None),
        Const::Bool(flag) => AttributeProto { ints: vec![i64::from(*flag)], ..typed(AttributeType::Bool) },
        Const::Int(number) => AttributeProto { ints: vec![*number], ..typed(AttributeType::Int64) },
        Const::DType(dtype) => AttributeProto { ints: vec![dtype.type_id()], ..typed(AttributeType::Int64) },
        Const::Float(number) => AttributeProto { floats: vec![*number], ..typed(AttributeType::Float) },
        Const::Double(number) => AttributeProto { doubles: vec![*number], ..typed(AttributeType::Double) },
        Const::Str(text) => AttributeProto { strings: vec![bytes(text)], ..typed(AttributeType::String) },
        Const::Tuple(items) => {
            AttributeProto { values: items.iter().map(element).collect(), ..typed(AttributeType::Tuple) }
        }
        Const::Tensor(tensor) => {
            let proto = TensorProto { name: Some("value0".to_string()), ..contents(tensor) };
            AttributeProto { tensors: vec![proto], ..typed(AttributeType::Tensors) }
        }
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// An effect token as the attribute `name`.
pub(super) fn token(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_string()), ..typed(kind) }
}

/// A tensor without a name.
fn contents(tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape().iter().map(|dim| *dim as i64).collect(),
        data_type: Some(code(tensor.dtype())),
        raw_data: Some(tensor.bytes().clone()),
        ..Default::default()
    }
}

/// The parameter `key`, called `name` in the file.
pub(super) fn parameter(name: String, key: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: Some(name),
        ref_key: Some(key.to_string()),
        compression_type: Some(CompressionType::NoCompression as i32),
        ..contents(tensor)
    }
}

/// Element type and dimensions: -1 is an unknown dimension, -2 alone an unknown rank. `None` without element type.
fn described(spec: &Spec) -> Option<TensorProto> {
    let dim = |dim: &Dim| dim.size().map_or(-1, |n| n as i64);
    let dims = spec.dims.as_ref().map_or(vec![-2], |dims| dims.iter().map(dim).collect());
    Some(TensorProto { dims, data_type: Some(code(spec.dtype?)), ..Default::default() })
}

/// What there is to say about something of this nest whose tensors are like `specs`. `None` if an element type is unknown.
pub(super) fn description(nest: &Nest, specs: &mut dyn Iterator<Item = Spec>) -> Option<AttributeProto> {
    Some(match nest {
        Nest::Leaf => AttributeProto { tensors: vec![described(&specs.next()?)?], ..typed(AttributeType::Tensors) },
        Nest::Number => number(specs.next()?.dtype?),
        Nest::Numbers => numbers(&specs.next()?)?,
        Nest::None => typed(AttributeType::None),
        Nest::Text(_) => typed(AttributeType::String),
        Nest::Tuple(items) => sequence(AttributeType::Tuple, items, specs)?,
        Nest::List(items) => sequence(AttributeType::List, items, specs)?,
    })
}

/// A number, whose dimensions MindSpore writes as a single zero.
fn number(dtype: DType) -> AttributeProto {
    let tensor = TensorProto { dims: vec![0], data_type: Some(code(dtype)), ..Default::default() };
    AttributeProto { tensors: vec![tensor], ..typed(AttributeType::Scalar) }
}

/// A tuple of as many numbers as a tensor of one dimension has elements.
fn numbers(spec: &Spec) -> Option<AttributeProto> {
    let item = number(spec.dtype?);
    let known = spec.shape().and_then(|shape| shape.first().copied());
    let seq_info = SeqInfoProto {
        is_dyn_len: Some(known.is_none()),
        tuple_elem_item: known.is_none().then(|| Box::new(item.clone())),
    };
    let values = vec![item; known.unwrap_or(1)];
    Some(AttributeProto { values, seq_info: Some(Box::new(seq_info)), ..typed(AttributeType::Tuple) })
}

fn sequence(kind: AttributeType, items: &[Nest], specs: &mut dyn Iterator<Item = Spec>) -> Option<AttributeProto> {
    let values = items.iter().map(|item| description(item, specs)).collect::<Option<Vec<_>>>()?;
    let seq_info = SeqInfoProto { is_dyn_len: Some(false), tuple_elem_item: None };
    Some(AttributeProto { values, seq_info: Some(Box::new(seq_info)), ..typed(kind) })
}

/// An input or result of a graph.
pub(super) fn info(name: &str, nest: &Nest, specs: &mut dyn Iterator<Item = Spec>) -> ValueInfoProto {
    let info = ValueInfoProto { name: Some(name.to_string()), ..Default::default() };
    let Some(description) = description(nest, specs) else { return info };
    let denotation = match nest {
        Nest::Leaf => return ValueInfoProto { tensor: description.tensors, ..info },
        Nest::Number => match description.tensors.first().and_then(|tensor| tensor.data_type) {
            Some(kind) if kind == code(DType::Bool) => "Bool",
            Some(kind) if kind == code(DType::F32) || kind == code(DType::F64) => "Float",
            _ => "Int",
        },
        Nest::None => "TypeNone",
        Nest::Text(_) => "String",
        Nest::Tuple(_) | Nest::Numbers => "Tuple",
        Nest::List(_) => "List",
    };
    ValueInfoProto { denotation: Some(denotation.to_string()), attr_info: Some(Box::new(description)), ..info }
}

/// An effect token that a graph takes.
pub(super) fn token_info(name: &str, kind: AttributeType) -> ValueInfoProto {
    let denotation = if kind == AttributeType::Iomonad { "IOMonadType" } else { "UMonadType" };
    ValueInfoProto {
        name: Some(name.to_string()),
        denotation: Some(denotation.to_string()),
        attr_info: Some(Box::new(typed(kind))),
        ..Default::default()
    }
}
