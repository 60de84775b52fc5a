//! Field tables of the ONNX messages, for the walk before anything is decoded.

use mindir_proto::onnx::*;

use crate::mindir::schema::{
    Kind, Role, Schema, blob, blobs, boxed, counted, field, inline, list, name, names, number, numbers, schema, text,
};

pub(super) static MODEL: Schema = schema(
    "ModelProto",
    &[
        number(1, "ir_version"),
        name(2, "producer_name"),
        name(3, "producer_version"),
        name(4, "domain"),
        number(5, "model_version"),
        text(6, "doc_string"),
        boxed::<GraphProto>(7, "graph", &GRAPH),
        list::<OperatorSetIdProto>(8, "opset_import", &OPERATOR_SET),
        list::<StringStringEntryProto>(14, "metadata_props", &ENTRY),
        list::<FunctionProto>(25, "functions", &FUNCTION),
    ],
);

static OPERATOR_SET: Schema = schema("OperatorSetIdProto", &[name(1, "domain"), number(2, "version")]);

static ENTRY: Schema = schema("StringStringEntryProto", &[name(1, "key"), text(2, "value")]);

static GRAPH: Schema = schema(
    "GraphProto",
    &[
        list::<NodeProto>(1, "node", &NODE),
        name(2, "name"),
        list::<TensorProto>(5, "initializer", &TENSOR),
        text(10, "doc_string"),
        list::<ValueInfoProto>(11, "input", &VALUE_INFO),
        list::<ValueInfoProto>(12, "output", &VALUE_INFO),
        list::<ValueInfoProto>(13, "value_info", &VALUE_INFO),
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
        name(7, "domain"),
        name(8, "overload"),
    ],
);

static ATTRIBUTE: Schema = counted(
    Role::Attribute,
    "AttributeProto",
    &[
        name(1, "name"),
        field(2, "f", Kind::Fixed32, false, 0),
        number(3, "i"),
        blob(4, "s"),
        boxed::<TensorProto>(5, "t", &TENSOR),
        boxed::<GraphProto>(6, "g", &GRAPH),
        field(7, "floats", Kind::Fixed32, true, 4),
        numbers::<i64>(8, "ints"),
        blobs(9, "strings"),
        number(20, "type"),
        name(21, "ref_attr_name"),
    ],
);

static TENSOR: Schema = counted(
    Role::Tensor,
    "TensorProto",
    &[
        numbers::<i64>(1, "dims"),
        number(2, "data_type"),
        field(4, "float_data", Kind::Fixed32, true, 4),
        numbers::<i32>(5, "int32_data"),
        blobs(6, "string_data"),
        numbers::<i64>(7, "int64_data"),
        name(8, "name"),
        blob(9, "raw_data"),
        field(10, "double_data", Kind::Fixed64, true, 8),
        numbers::<u64>(11, "uint64_data"),
        list::<StringStringEntryProto>(13, "external_data", &ENTRY),
        number(14, "data_location"),
    ],
);

static VALUE_INFO: Schema = schema("ValueInfoProto", &[name(1, "name"), inline(2, "type", &TYPE)]);

static TYPE: Schema = schema(
    "TypeProto",
    &[
        inline(1, "tensor_type", &TENSOR_TYPE),
        blob(4, "sequence_type"),
        blob(5, "map_type"),
        blob(7, "opaque_type"),
        blob(8, "sparse_tensor_type"),
        blob(9, "optional_type"),
    ],
);

static TENSOR_TYPE: Schema = schema("TensorTypeProto", &[number(1, "elem_type"), inline(2, "shape", &SHAPE)]);

static SHAPE: Schema = schema("TensorShapeProto", &[list::<DimensionProto>(1, "dim", &DIMENSION)]);

static DIMENSION: Schema = schema("DimensionProto", &[number(1, "dim_value"), name(2, "dim_param")]);

static FUNCTION: Schema = schema(
    "FunctionProto",
    &[
        name(1, "name"),
        names(4, "input"),
        names(5, "output"),
        names(6, "attribute"),
        list::<NodeProto>(7, "node", &NODE),
        text(8, "doc_string"),
        list::<OperatorSetIdProto>(9, "opset_import", &OPERATOR_SET),
        name(10, "domain"),
        list::<AttributeProto>(11, "attribute_proto", &ATTRIBUTE),
        name(13, "overload"),
    ],
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mindir::schema::tests::agree;

    #[test]
    fn tables_agree_with_the_messages() {
        agree::<ModelProto>(&MODEL);
        agree::<OperatorSetIdProto>(&OPERATOR_SET);
        agree::<StringStringEntryProto>(&ENTRY);
        agree::<GraphProto>(&GRAPH);
        agree::<NodeProto>(&NODE);
        agree::<AttributeProto>(&ATTRIBUTE);
        agree::<ValueInfoProto>(&VALUE_INFO);
        agree::<TypeProto>(&TYPE);
        agree::<TensorTypeProto>(&TENSOR_TYPE);
        agree::<TensorShapeProto>(&SHAPE);
        agree::<DimensionProto>(&DIMENSION);
        agree::<FunctionProto>(&FUNCTION);
    }
}
