//! Field tables of the ONNX messages, for the walk before anything is decoded.

use mindir_proto::onnx::*;

use crate::mindir::schema::{
    Kind, Role, Schema, blob, blobs, boxed, field, gap, inline, list, name, names, number, numbers, schema, text,
};

pub(super) static MODEL: Schema = schema(
    "ModelProto",
    Role::Other,
    &[
        number("ir_version"),
        name("producer_name"),
        name("producer_version"),
        name("domain"),
        number("model_version"),
        text("doc_string"),
        boxed::<GraphProto>("graph", &GRAPH),
        list::<OperatorSetIdProto>("opset_import", &OPERATOR_SET),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        list::<StringStringEntryProto>("metadata_props", &ENTRY),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        list::<FunctionProto>("functions", &FUNCTION),
    ],
);

static OPERATOR_SET: Schema = schema("OperatorSetIdProto", Role::Other, &[name("domain"), number("version")]);

static ENTRY: Schema = schema("StringStringEntryProto", Role::Other, &[name("key"), text("value")]);

static GRAPH: Schema = schema(
    "GraphProto",
    Role::Other,
    &[
        list::<NodeProto>("node", &NODE),
        name("name"),
        gap(),
        gap(),
        list::<TensorProto>("initializer", &TENSOR),
        gap(),
        gap(),
        gap(),
        gap(),
        text("doc_string"),
        list::<ValueInfoProto>("input", &VALUE_INFO),
        list::<ValueInfoProto>("output", &VALUE_INFO),
        list::<ValueInfoProto>("value_info", &VALUE_INFO),
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
        name("domain"),
        name("overload"),
    ],
);

static ATTRIBUTE: Schema = schema(
    "AttributeProto",
    Role::Attribute,
    &[
        name("name"),
        field("f", Kind::Fixed32, false, 0),
        number("i"),
        blob("s"),
        boxed::<TensorProto>("t", &TENSOR),
        boxed::<GraphProto>("g", &GRAPH),
        field("floats", Kind::Fixed32, true, 4),
        numbers::<i64>("ints"),
        blobs("strings"),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        gap(),
        number("type"),
        name("ref_attr_name"),
    ],
);

static TENSOR: Schema = schema(
    "TensorProto",
    Role::Tensor,
    &[
        numbers::<i64>("dims"),
        number("data_type"),
        gap(),
        field("float_data", Kind::Fixed32, true, 4),
        numbers::<i32>("int32_data"),
        blobs("string_data"),
        numbers::<i64>("int64_data"),
        name("name"),
        blob("raw_data"),
        field("double_data", Kind::Fixed64, true, 8),
        numbers::<u64>("uint64_data"),
        gap(),
        list::<StringStringEntryProto>("external_data", &ENTRY),
        number("data_location"),
    ],
);

static VALUE_INFO: Schema = schema("ValueInfoProto", Role::Other, &[name("name"), inline("type", &TYPE)]);

static TYPE: Schema = schema(
    "TypeProto",
    Role::Other,
    &[
        inline("tensor_type", &TENSOR_TYPE),
        gap(),
        gap(),
        blob("sequence_type"),
        blob("map_type"),
        gap(),
        blob("opaque_type"),
        blob("sparse_tensor_type"),
        blob("optional_type"),
    ],
);

static TENSOR_TYPE: Schema = schema("TensorTypeProto", Role::Other, &[number("elem_type"), inline("shape", &SHAPE)]);

static SHAPE: Schema = schema("TensorShapeProto", Role::Other, &[list::<DimensionProto>("dim", &DIMENSION)]);

static DIMENSION: Schema = schema("DimensionProto", Role::Other, &[number("dim_value"), name("dim_param")]);

static FUNCTION: Schema = schema(
    "FunctionProto",
    Role::Other,
    &[
        name("name"),
        gap(),
        gap(),
        names("input"),
        names("output"),
        names("attribute"),
        list::<NodeProto>("node", &NODE),
        text("doc_string"),
        list::<OperatorSetIdProto>("opset_import", &OPERATOR_SET),
        name("domain"),
        list::<AttributeProto>("attribute_proto", &ATTRIBUTE),
        gap(),
        name("overload"),
    ],
);

#[cfg(test)]
mod tests {
    use mindir_proto::prost::{DecodeError, Message};

    use super::*;

    /// The complaint about field `number` given as eight bytes, which no field here is.
    fn refusal<M: Message + Default>(number: u32) -> Option<DecodeError> {
        let key = number << 3 | 1;
        M::decode(&[key as u8 | 0x80, (key >> 7) as u8, 0, 0, 0, 0, 0, 0, 0, 0][..]).err()
    }

    #[test]
    fn tables_agree_with_the_messages() {
        type Refusal = fn(u32) -> Option<DecodeError>;
        let all: [(&Schema, Refusal); 12] = [
            (&MODEL, refusal::<ModelProto>),
            (&OPERATOR_SET, refusal::<OperatorSetIdProto>),
            (&ENTRY, refusal::<StringStringEntryProto>),
            (&GRAPH, refusal::<GraphProto>),
            (&NODE, refusal::<NodeProto>),
            (&ATTRIBUTE, refusal::<AttributeProto>),
            (&VALUE_INFO, refusal::<ValueInfoProto>),
            (&TYPE, refusal::<TypeProto>),
            (&TENSOR_TYPE, refusal::<TensorTypeProto>),
            (&SHAPE, refusal::<TensorShapeProto>),
            (&DIMENSION, refusal::<DimensionProto>),
            (&FUNCTION, refusal::<FunctionProto>),
        ];
        for (schema, refusal) in all {
            for number in 1..32 {
                let found = refusal(number).map(|e| e.to_string().replace("r#", ""));
                match (schema.field(number), found) {
                    (Some(field), Some(text)) => {
                        assert!(text.contains(&format!("{}.{}:", schema.name, field.name)), "{text}");
                    }
                    (None, None) => {}
                    (field, text) => panic!("{} {number}: {:?} {text:?}", schema.name, field.map(|f| f.name)),
                }
            }
        }
    }
}
