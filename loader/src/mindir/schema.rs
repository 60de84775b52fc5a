//! Field tables of the MindIR messages: what the wire walk needs to know, and what decoding a field costs.
//!
//! The tables repeat the field numbers of `mindir-proto`; a test compares both.

use std::mem::size_of;

use bytes::Bytes;
use mindir_proto::mindir::*;

/// Most fields of one message.
pub(crate) const MOST_FIELDS: usize = 25;

/// The fields of one message.
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    /// Which count of the census the message adds to.
    pub(crate) role: Role,
}

impl Schema {
    /// The field with this number, and its place among the fields.
    pub(crate) fn field(&self, number: u32) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.number == number)
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
    pub(crate) number: u32,
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

pub(crate) const fn field(number: u32, name: &'static str, kind: Kind, many: bool, size: usize) -> Field {
    Field { number, name, kind, many, size, old: None }
}

pub(crate) const fn number(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Varint, false, 0)
}

pub(crate) const fn numbers<T>(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Varint, true, size_of::<T>())
}

pub(crate) const fn name(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Name, false, 0)
}

pub(crate) const fn names(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Name, true, size_of::<String>())
}

pub(crate) const fn text(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Text, false, 0)
}

pub(crate) const fn blob(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Blob, false, 0)
}

pub(crate) const fn blobs(number: u32, name: &'static str) -> Field {
    field(number, name, Kind::Blob, true, size_of::<Bytes>())
}

/// A message stored inside of its parent.
pub(crate) const fn inline(number: u32, name: &'static str, schema: &'static Schema) -> Field {
    field(number, name, Kind::Message(schema), false, 0)
}

/// A message in its own allocation.
pub(crate) const fn boxed<T>(number: u32, name: &'static str, schema: &'static Schema) -> Field {
    field(number, name, Kind::Message(schema), false, size_of::<T>())
}

pub(crate) const fn list<T>(number: u32, name: &'static str, schema: &'static Schema) -> Field {
    field(number, name, Kind::Message(schema), true, size_of::<T>())
}

const fn once_was(old: OldForm, field: Field) -> Field {
    Field { old: Some(old), ..field }
}

pub(crate) const fn schema(name: &'static str, fields: &'static [Field]) -> Schema {
    counted(Role::Other, name, fields)
}

pub(crate) const fn counted(role: Role, name: &'static str, fields: &'static [Field]) -> Schema {
    assert!(fields.len() <= MOST_FIELDS);
    Schema { name, fields, role }
}

pub(crate) static MODEL: Schema = schema(
    "ModelProto",
    &[
        name(1, "ir_version"),
        name(2, "producer_name"),
        name(3, "producer_version"),
        name(4, "domain"),
        name(5, "model_version"),
        text(6, "doc_string"),
        boxed::<GraphProto>(7, "graph", &GRAPH),
        list::<GraphProto>(8, "functions", &GRAPH),
        once_was(OldForm::Text, inline(9, "preprocessor", &PREPROCESSOR)),
        number(10, "little_endian"),
        inline(11, "parallel", &PARALLEL),
        list::<PrimitiveProto>(12, "primitives", &PRIMITIVE),
        number(13, "mind_ir_version"),
        // An entry of the map, with the share of a tree node that is at worst its own.
        field(14, "user_info", Kind::Message(&USER_INFO_ENTRY), true, 640),
    ],
);

static USER_INFO_ENTRY: Schema = schema("UserInfoEntry", &[text(1, "key"), text(2, "value")]);

pub(crate) static GRAPH: Schema = schema(
    "GraphProto",
    &[
        list::<NodeProto>(1, "node", &NODE),
        name(2, "name"),
        list::<TensorProto>(3, "parameter", &TENSOR),
        text(4, "doc_string"),
        list::<ValueInfoProto>(5, "input", &VALUE_INFO),
        list::<ValueInfoProto>(6, "output", &VALUE_INFO),
        name(7, "bprop_hash"),
        list::<AttributeProto>(8, "attribute", &ATTRIBUTE),
        name(9, "bprop_filepath"),
        list::<MapTensorProto>(10, "map_parameter", &MAP_TENSOR),
    ],
);

static NODE: Schema = counted(
    Role::Node,
    "NodeProto",
    &[
        names(1, "input"),
        names(2, "output"),
        name(3, "name"),
        name(4, "op_type"),
        list::<AttributeProto>(5, "attribute", &ATTRIBUTE),
        text(6, "doc_string"),
        text(7, "domain"),
        list::<AttributeProto>(8, "node_attr", &ATTRIBUTE),
        list::<AttributeProto>(9, "primal_attr", &ATTRIBUTE),
    ],
);

static VALUE_INFO: Schema = schema(
    "ValueInfoProto",
    &[
        name(1, "name"),
        list::<TensorProto>(2, "tensor", &TENSOR),
        text(3, "doc_string"),
        name(4, "denotation"),
        boxed::<AttributeProto>(5, "attr_info", &ATTRIBUTE),
    ],
);

static ATTRIBUTE: Schema = counted(
    Role::Attribute,
    "AttributeProto",
    &[
        name(1, "name"),
        field(2, "f", Kind::Fixed32, false, 0),
        number(3, "i"),
        field(4, "d", Kind::Fixed64, false, 0),
        blob(5, "s"),
        boxed::<TensorProto>(6, "t", &TENSOR),
        boxed::<GraphProto>(7, "g", &GRAPH),
        field(8, "floats", Kind::Fixed32, true, 4),
        field(9, "doubles", Kind::Fixed64, true, 8),
        numbers::<i64>(10, "ints"),
        blobs(11, "strings"),
        list::<TensorProto>(12, "tensors", &TENSOR),
        list::<GraphProto>(13, "graphs", &GRAPH),
        text(14, "doc_string"),
        text(15, "ref_attr_name"),
        number(16, "type"),
        list::<AttributeProto>(17, "values", &ATTRIBUTE),
        once_was(OldForm::Varint, boxed::<SeqInfoProto>(18, "seq_info", &SEQ_INFO)),
        boxed::<FunctorProto>(19, "functor", &FUNCTOR),
        boxed::<ScalarGraphHolderProto>(20, "graph_holder", &SCALAR_GRAPH_HOLDER),
    ],
);

static SEQ_INFO: Schema =
    schema("SeqInfoProto", &[number(1, "is_dyn_len"), boxed::<AttributeProto>(2, "tuple_elem_item", &ATTRIBUTE)]);

static FUNCTOR: Schema =
    schema("FunctorProto", &[number(1, "type"), name(2, "name"), list::<AttributeProto>(3, "values", &ATTRIBUTE)]);

static TENSOR: Schema = counted(
    Role::Tensor,
    "TensorProto",
    &[
        numbers::<i64>(1, "dims"),
        number(2, "data_type"),
        field(3, "float_data", Kind::Fixed32, true, 4),
        numbers::<i32>(4, "int32_data"),
        blobs(5, "string_data"),
        numbers::<i64>(6, "int64_data"),
        name(7, "name"),
        text(8, "doc_string"),
        blob(9, "raw_data"),
        field(10, "double_data", Kind::Fixed64, true, 8),
        numbers::<u64>(11, "uint64_data"),
        boxed::<ExternalDataProto>(12, "external_data", &EXTERNAL_DATA),
        name(13, "ref_key"),
        numbers::<i64>(14, "min_dims"),
        numbers::<i64>(15, "max_dims"),
        number(16, "compression_type"),
        list::<QuantParamProto>(17, "quant_params", &QUANT_PARAM),
    ],
);

static EXTERNAL_DATA: Schema =
    schema("ExternalDataProto", &[name(1, "location"), number(2, "offset"), number(3, "length")]);

static QUANT_PARAM: Schema =
    schema("QuantParamProto", &[name(1, "quant_algo_name"), list::<AttributeProto>(2, "attribute", &ATTRIBUTE)]);

static MAP_TENSOR: Schema = schema(
    "MapTensorProto",
    &[
        name(1, "name"),
        boxed::<AttributeProto>(2, "default_value", &ATTRIBUTE),
        boxed::<TensorProto>(3, "key_tensor", &TENSOR),
        boxed::<TensorProto>(4, "value_tensor", &TENSOR),
        boxed::<TensorProto>(5, "status_tensor", &TENSOR),
    ],
);

static PARALLEL: Schema = schema("ParallelProto", &[list::<LayoutProto>(1, "layout", &LAYOUT)]);

static LAYOUT: Schema = schema(
    "LayoutProto",
    &[
        name(1, "name"),
        numbers::<i64>(2, "device_arrangement_int"),
        numbers::<i64>(3, "tensor_map_int"),
        numbers::<i64>(4, "slice_shape_int"),
        number(5, "field_size"),
        number(6, "uniform_split"),
        name(7, "opt_shard_group"),
        number(8, "pipeline_shared"),
        number(9, "is_send"),
        number(10, "peer_rank"),
        number(11, "sr_tag"),
        numbers::<i64>(12, "opt_shard_slice_shape_int"),
    ],
);

static PRIMITIVE: Schema = schema(
    "PrimitiveProto",
    &[
        name(1, "name"),
        name(2, "op_type"),
        list::<AttributeProto>(3, "attribute", &ATTRIBUTE),
        name(4, "instance_name"),
        number(5, "prim_type"),
    ],
);

static PREPROCESSOR: Schema = schema("PreprocessorProto", &[list::<PreprocessOpProto>(1, "op", &PREPROCESS_OP)]);

static PREPROCESS_OP: Schema = schema(
    "PreprocessOpProto",
    &[
        text(1, "input_columns"),
        text(2, "output_columns"),
        text(3, "project_columns"),
        text(4, "op_type"),
        text(5, "operations"),
        number(6, "offload"),
    ],
);

static SCALAR_GRAPH_HOLDER: Schema = schema(
    "ScalarGraphHolderProto",
    &[list::<ScalarNodeProto>(1, "scalar_node", &SCALAR_NODE), numbers::<u64>(2, "input_shape_index")],
);

static SCALAR_NODE: Schema = schema(
    "ScalarNodeProto",
    &[number(1, "scalar_op_type"), numbers::<i64>(2, "in_index"), numbers::<i64>(3, "value")],
);

#[cfg(test)]
pub(crate) mod tests {
    use mindir_proto::prost::Message;

    use super::*;

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

    /// Checks that the fields of a table are those of the message `M`, and are what they are there.
    pub(crate) fn fields_agree<M: Message + Default>(schema: &Schema) {
        for number in 1..32 {
            let field = schema.field(number).map(|(_, field)| field);
            // Decoding a map entry does not look at its wire type.
            for wire_type in [0, 1, 2, 5].into_iter().filter(|_| field.is_none_or(|field| field.name != "user_info")) {
                let decoded = M::decode(&message(number, wire_type)[..]);
                let expected = field.is_none_or(|field| wire_types(field).contains(&wire_type));
                assert_eq!(decoded.is_ok(), expected, "field {number} of {} as wire type {wire_type}", schema.name);
                if let (Some(field), Err(error)) = (field, decoded) {
                    let text = error.to_string().replace("r#", "");
                    assert!(text.contains(&format!("{}.{}:", schema.name, field.name)), "{text}");
                }
            }
        }
    }

    /// As [`fields_agree`]; texts and blobs are told apart, too.
    pub(crate) fn agree<M: Message + Default>(schema: &Schema) {
        fields_agree::<M>(schema);
        for field in schema.fields {
            let bytes = [message(field.number, 2).split_last().unwrap().1, &[1, 0xff]].concat();
            match field.kind {
                Kind::Name | Kind::Text => assert!(M::decode(&bytes[..]).is_err(), "{}.{}", schema.name, field.name),
                Kind::Blob => assert!(M::decode(&bytes[..]).is_ok(), "{}.{}", schema.name, field.name),
                _ => {}
            }
        }
    }

    #[test]
    fn tables_agree_with_the_messages() {
        agree::<ModelProto>(&MODEL);
        agree::<GraphProto>(&GRAPH);
        agree::<NodeProto>(&NODE);
        agree::<ValueInfoProto>(&VALUE_INFO);
        agree::<AttributeProto>(&ATTRIBUTE);
        agree::<SeqInfoProto>(&SEQ_INFO);
        agree::<FunctorProto>(&FUNCTOR);
        agree::<TensorProto>(&TENSOR);
        agree::<ExternalDataProto>(&EXTERNAL_DATA);
        agree::<QuantParamProto>(&QUANT_PARAM);
        agree::<MapTensorProto>(&MAP_TENSOR);
        agree::<ParallelProto>(&PARALLEL);
        agree::<LayoutProto>(&LAYOUT);
        agree::<PrimitiveProto>(&PRIMITIVE);
        agree::<PreprocessorProto>(&PREPROCESSOR);
        agree::<PreprocessOpProto>(&PREPROCESS_OP);
        agree::<ScalarGraphHolderProto>(&SCALAR_GRAPH_HOLDER);
        agree::<ScalarNodeProto>(&SCALAR_NODE);
    }

    #[test]
    fn fields_are_found_by_number() {
        assert_eq!(MODEL.field(1).unwrap().1.name, "ir_version");
        assert_eq!(ATTRIBUTE.field(20).unwrap().1.name, "graph_holder");
        assert!(MODEL.field(0).is_none() && MODEL.field(15).is_none());
    }
}
