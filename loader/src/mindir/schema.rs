//! Field tables of the MindIR messages: what the wire walk needs to know, and what decoding a field costs.
//!
//! The tables repeat the field numbers of `mindir-proto`; a test compares both.

use std::mem::size_of;

use bytes::Bytes;
use mindir_proto::mindir::*;

/// Most fields of one message.
pub(crate) const MOST_FIELDS: usize = 25;

/// The fields of one message; the field with number `n` is entry `n - 1`.
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    /// Which count of the census the message adds to.
    pub(crate) role: Role,
}

impl Schema {
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.get(usize::try_from(number).ok()?.checked_sub(1)?).filter(|field| !field.name.is_empty())
    }
}

/// What a message counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Node,
    Attribute,
    Tensor,
    Other,
}

/// One field of a message.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether the field holds a list.
    pub(crate) many: bool,
    /// Bytes that one value takes outside of the message struct, its own contents not counted.
    pub(crate) size: usize,
    /// A form that old releases wrote under the same number.
    pub(crate) old: Option<OldForm>,
}

/// What the value of a field is on the wire.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A number of variable length.
    Varint,
    /// Four bytes.
    Fixed32,
    /// Eight bytes.
    Fixed64,
    /// Text that names something.
    Name,
    /// Text of any length.
    Text,
    /// Bytes, shared with the file when decoded.
    Blob,
    /// A message.
    Message(&'static Schema),
}

/// A form of a field that old releases wrote and that is skipped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldForm {
    /// A number instead of a message.
    Varint,
    /// A text instead of a message.
    Text,
}

pub(crate) const fn field(name: &'static str, kind: Kind, many: bool, size: usize) -> Field {
    Field { name, kind, many, size, old: None }
}

/// A number that is no field.
#[cfg(feature = "onnx")]
pub(crate) const fn gap() -> Field {
    field("", Kind::Varint, false, 0)
}

pub(crate) const fn number(name: &'static str) -> Field {
    field(name, Kind::Varint, false, 0)
}

pub(crate) const fn numbers<T>(name: &'static str) -> Field {
    field(name, Kind::Varint, true, size_of::<T>())
}

pub(crate) const fn name(name: &'static str) -> Field {
    field(name, Kind::Name, false, 0)
}

pub(crate) const fn names(name: &'static str) -> Field {
    field(name, Kind::Name, true, size_of::<String>())
}

pub(crate) const fn text(name: &'static str) -> Field {
    field(name, Kind::Text, false, 0)
}

pub(crate) const fn blob(name: &'static str) -> Field {
    field(name, Kind::Blob, false, 0)
}

pub(crate) const fn blobs(name: &'static str) -> Field {
    field(name, Kind::Blob, true, size_of::<Bytes>())
}

/// A message stored inside of its parent.
pub(crate) const fn inline(name: &'static str, schema: &'static Schema) -> Field {
    field(name, Kind::Message(schema), false, 0)
}

/// A message in its own allocation.
pub(crate) const fn boxed<T>(name: &'static str, schema: &'static Schema) -> Field {
    field(name, Kind::Message(schema), false, size_of::<T>())
}

pub(crate) const fn list<T>(name: &'static str, schema: &'static Schema) -> Field {
    field(name, Kind::Message(schema), true, size_of::<T>())
}

const fn once_was(old: OldForm, field: Field) -> Field {
    Field { old: Some(old), ..field }
}

pub(crate) const fn schema(name: &'static str, role: Role, fields: &'static [Field]) -> Schema {
    assert!(fields.len() <= MOST_FIELDS);
    Schema { name, fields, role }
}

pub(crate) static MODEL: Schema = schema(
    "ModelProto",
    Role::Other,
    &[
        name("ir_version"),
        name("producer_name"),
        name("producer_version"),
        name("domain"),
        name("model_version"),
        text("doc_string"),
        boxed::<GraphProto>("graph", &GRAPH),
        list::<GraphProto>("functions", &GRAPH),
        once_was(OldForm::Text, inline("preprocessor", &PREPROCESSOR)),
        number("little_endian"),
        inline("parallel", &PARALLEL),
        list::<PrimitiveProto>("primitives", &PRIMITIVE),
        number("mind_ir_version"),
        // An entry of the map, with the share of a tree node that is at worst its own.
        field("user_info", Kind::Message(&USER_INFO_ENTRY), true, 640),
    ],
);

static USER_INFO_ENTRY: Schema = schema("UserInfoEntry", Role::Other, &[text("key"), text("value")]);

pub(crate) static GRAPH: Schema = schema(
    "GraphProto",
    Role::Other,
    &[
        list::<NodeProto>("node", &NODE),
        name("name"),
        list::<TensorProto>("parameter", &TENSOR),
        text("doc_string"),
        list::<ValueInfoProto>("input", &VALUE_INFO),
        list::<ValueInfoProto>("output", &VALUE_INFO),
        name("bprop_hash"),
        list::<AttributeProto>("attribute", &ATTRIBUTE),
        name("bprop_filepath"),
        list::<MapTensorProto>("map_parameter", &MAP_TENSOR),
    ],
);

static NODE: Schema = schema(
    "NodeProto",
    Role::Node,
    &[
        names("input"),
        names("output"),
        name("name"),
        name("op_type"),
        list::<AttributeProto>("attribute", &ATTRIBUTE),
        text("doc_string"),
        text("domain"),
        list::<AttributeProto>("node_attr", &ATTRIBUTE),
        list::<AttributeProto>("primal_attr", &ATTRIBUTE),
    ],
);

static VALUE_INFO: Schema = schema(
    "ValueInfoProto",
    Role::Other,
    &[
        name("name"),
        list::<TensorProto>("tensor", &TENSOR),
        text("doc_string"),
        name("denotation"),
        boxed::<AttributeProto>("attr_info", &ATTRIBUTE),
    ],
);

static ATTRIBUTE: Schema = schema(
    "AttributeProto",
    Role::Attribute,
    &[
        name("name"),
        field("f", Kind::Fixed32, false, 0),
        number("i"),
        field("d", Kind::Fixed64, false, 0),
        blob("s"),
        boxed::<TensorProto>("t", &TENSOR),
        boxed::<GraphProto>("g", &GRAPH),
        field("floats", Kind::Fixed32, true, 4),
        field("doubles", Kind::Fixed64, true, 8),
        numbers::<i64>("ints"),
        blobs("strings"),
        list::<TensorProto>("tensors", &TENSOR),
        list::<GraphProto>("graphs", &GRAPH),
        text("doc_string"),
        text("ref_attr_name"),
        number("type"),
        list::<AttributeProto>("values", &ATTRIBUTE),
        once_was(OldForm::Varint, boxed::<SeqInfoProto>("seq_info", &SEQ_INFO)),
        boxed::<FunctorProto>("functor", &FUNCTOR),
        boxed::<ScalarGraphHolderProto>("graph_holder", &SCALAR_GRAPH_HOLDER),
    ],
);

static SEQ_INFO: Schema = schema(
    "SeqInfoProto",
    Role::Other,
    &[number("is_dyn_len"), boxed::<AttributeProto>("tuple_elem_item", &ATTRIBUTE)],
);

static FUNCTOR: Schema =
    schema("FunctorProto", Role::Other, &[number("type"), name("name"), list::<AttributeProto>("values", &ATTRIBUTE)]);

static TENSOR: Schema = schema(
    "TensorProto",
    Role::Tensor,
    &[
        numbers::<i64>("dims"),
        number("data_type"),
        field("float_data", Kind::Fixed32, true, 4),
        numbers::<i32>("int32_data"),
        blobs("string_data"),
        numbers::<i64>("int64_data"),
        name("name"),
        text("doc_string"),
        blob("raw_data"),
        field("double_data", Kind::Fixed64, true, 8),
        numbers::<u64>("uint64_data"),
        boxed::<ExternalDataProto>("external_data", &EXTERNAL_DATA),
        name("ref_key"),
        numbers::<i64>("min_dims"),
        numbers::<i64>("max_dims"),
        number("compression_type"),
        list::<QuantParamProto>("quant_params", &QUANT_PARAM),
    ],
);

static EXTERNAL_DATA: Schema =
    schema("ExternalDataProto", Role::Other, &[name("location"), number("offset"), number("length")]);

static QUANT_PARAM: Schema =
    schema("QuantParamProto", Role::Other, &[name("quant_algo_name"), list::<AttributeProto>("attribute", &ATTRIBUTE)]);

static MAP_TENSOR: Schema = schema(
    "MapTensorProto",
    Role::Other,
    &[
        name("name"),
        boxed::<AttributeProto>("default_value", &ATTRIBUTE),
        boxed::<TensorProto>("key_tensor", &TENSOR),
        boxed::<TensorProto>("value_tensor", &TENSOR),
        boxed::<TensorProto>("status_tensor", &TENSOR),
    ],
);

static PARALLEL: Schema = schema("ParallelProto", Role::Other, &[list::<LayoutProto>("layout", &LAYOUT)]);

static LAYOUT: Schema = schema(
    "LayoutProto",
    Role::Other,
    &[
        name("name"),
        numbers::<i64>("device_arrangement_int"),
        numbers::<i64>("tensor_map_int"),
        numbers::<i64>("slice_shape_int"),
        number("field_size"),
        number("uniform_split"),
        name("opt_shard_group"),
        number("pipeline_shared"),
        number("is_send"),
        number("peer_rank"),
        number("sr_tag"),
        numbers::<i64>("opt_shard_slice_shape_int"),
    ],
);

static PRIMITIVE: Schema = schema(
    "PrimitiveProto",
    Role::Other,
    &[
        name("name"),
        name("op_type"),
        list::<AttributeProto>("attribute", &ATTRIBUTE),
        name("instance_name"),
        number("prim_type"),
    ],
);

static PREPROCESSOR: Schema =
    schema("PreprocessorProto", Role::Other, &[list::<PreprocessOpProto>("op", &PREPROCESS_OP)]);

static PREPROCESS_OP: Schema = schema(
    "PreprocessOpProto",
    Role::Other,
    &[
        text("input_columns"),
        text("output_columns"),
        text("project_columns"),
        text("op_type"),
        text("operations"),
        number("offload"),
    ],
);

static SCALAR_GRAPH_HOLDER: Schema = schema(
    "ScalarGraphHolderProto",
    Role::Other,
    &[list::<ScalarNodeProto>("scalar_node", &SCALAR_NODE), numbers::<u64>("input_shape_index")],
);

static SCALAR_NODE: Schema = schema(
    "ScalarNodeProto",
    Role::Other,
    &[number("scalar_op_type"), numbers::<i64>("in_index"), numbers::<i64>("value")],
);

#[cfg(test)]
mod tests {
    use mindir_proto::prost::{DecodeError, Message};

    use super::*;

    type Decode = fn(&[u8]) -> Result<(), DecodeError>;

    fn decode<M: Message + Default>(bytes: &[u8]) -> Result<(), DecodeError> {
        M::decode(bytes).map(drop)
    }

    const ALL: &[(&Schema, Decode)] = &[
        (&MODEL, decode::<ModelProto>),
        (&GRAPH, decode::<GraphProto>),
        (&NODE, decode::<NodeProto>),
        (&VALUE_INFO, decode::<ValueInfoProto>),
        (&ATTRIBUTE, decode::<AttributeProto>),
        (&SEQ_INFO, decode::<SeqInfoProto>),
        (&FUNCTOR, decode::<FunctorProto>),
        (&TENSOR, decode::<TensorProto>),
        (&EXTERNAL_DATA, decode::<ExternalDataProto>),
        (&QUANT_PARAM, decode::<QuantParamProto>),
        (&MAP_TENSOR, decode::<MapTensorProto>),
        (&PARALLEL, decode::<ParallelProto>),
        (&LAYOUT, decode::<LayoutProto>),
        (&PRIMITIVE, decode::<PrimitiveProto>),
        (&PREPROCESSOR, decode::<PreprocessorProto>),
        (&PREPROCESS_OP, decode::<PreprocessOpProto>),
        (&SCALAR_GRAPH_HOLDER, decode::<ScalarGraphHolderProto>),
        (&SCALAR_NODE, decode::<ScalarNodeProto>),
    ];

    fn message(number: u32, wire_type: u8) -> Vec<u8> {
        let key = number << 3 | u32::from(wire_type);
        let mut bytes = vec![key as u8 | 0x80, (key >> 7) as u8];
        bytes.extend(match wire_type {
            0 | 2 => &[0u8; 1][..],
            1 => &[0; 8],
            _ => &[0; 4],
        });
        bytes
    }

    fn wire_types(field: &Field) -> Vec<u8> {
        let own = match field.kind {
            Kind::Varint => 0,
            Kind::Fixed64 => 1,
            Kind::Fixed32 => 5,
            Kind::Name | Kind::Text | Kind::Blob | Kind::Message(_) => 2,
        };
        if field.many && own != 2 { vec![own, 2] } else { vec![own] }
    }

    #[test]
    fn tables_agree_with_the_messages() {
        // Decoding a map entry does not look at its wire type.
        let checked = |field: &&(usize, &Field)| field.1.name != "user_info";
        for (schema, decode) in ALL {
            for (position, field) in schema.fields.iter().enumerate().filter(|field| checked(&field)) {
                for wire_type in [0, 1, 2, 5] {
                    let decoded = decode(&message(position as u32 + 1, wire_type));
                    let expected = wire_types(field).contains(&wire_type);
                    assert_eq!(decoded.is_ok(), expected, "{}.{} as wire type {wire_type}", schema.name, field.name);
                    if let Err(error) = decoded {
                        let name = field.name;
                        let text = error.to_string().replace("r#", "");
                        assert!(text.contains(&format!("{}.{name}:", schema.name)), "{text}");
                    }
                }
            }
            for number in schema.fields.len() as u32 + 1..32 {
                for wire_type in [0, 1, 2, 5] {
                    assert!(decode(&message(number, wire_type)).is_ok(), "{} has field {number}", schema.name);
                }
            }
        }
    }

    #[test]
    fn texts_and_blobs_are_told_apart() {
        for (schema, decode) in ALL {
            for (position, field) in schema.fields.iter().enumerate() {
                let bytes = [message(position as u32 + 1, 2).split_last().unwrap().1, &[1, 0xff]].concat();
                match field.kind {
                    Kind::Name | Kind::Text => assert!(decode(&bytes).is_err(), "{}.{}", schema.name, field.name),
                    Kind::Blob => assert!(decode(&bytes).is_ok(), "{}.{}", schema.name, field.name),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn fields_are_found_by_number() {
        assert_eq!(MODEL.field(1).unwrap().name, "ir_version");
        assert_eq!(ATTRIBUTE.field(20).unwrap().name, "graph_holder");
        assert!(MODEL.field(0).is_none() && MODEL.field(15).is_none());
    }
}
