//! Field tables of the messages, for the walk before anything is decoded.

use mindir_proto::checkpoint::MapTensorProto;

use crate::mindir::schema::{Kind, Role, Schema, blob, boxed, counted, field, inline, name, numbers, schema};

/// Memory that an entry takes in a [`Checkpoint`](crate::ckpt::Checkpoint), its name not counted.
const ENTRY: usize = 160;

pub(super) static CHECKPOINT: Schema = schema("Checkpoint", &[field(1, "value", Kind::Message(&VALUE), true, ENTRY)]);

static VALUE: Schema = schema(
    "Value",
    &[name(1, "tag"), inline(2, "tensor", &TENSOR), boxed::<MapTensorProto>(3, "maptensor", &MAP_TENSOR)],
);

static TENSOR: Schema = counted(
    Role::Tensor,
    "TensorProto",
    &[numbers::<i64>(1, "dims"), name(2, "tensor_type"), blob(3, "tensor_content")],
);

static MAP_TENSOR: Schema = schema(
    "MapTensorProto",
    &[inline(1, "key_tensor", &TENSOR), inline(2, "value_tensor", &TENSOR), inline(3, "status_tensor", &TENSOR)],
);

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use mindir_proto::checkpoint;

    use super::*;
    use crate::ckpt::Value;
    use crate::mindir::schema::tests::fields_agree;

    #[test]
    fn tables_agree_with_the_messages() {
        fields_agree::<checkpoint::Checkpoint>(&CHECKPOINT);
        fields_agree::<checkpoint::Value>(&VALUE);
        fields_agree::<checkpoint::TensorProto>(&TENSOR);
        fields_agree::<MapTensorProto>(&MAP_TENSOR);
    }

    #[test]
    fn entries_take_what_is_counted() {
        let bucket = size_of::<u64>() + size_of::<(String, Value)>();
        assert!(bucket + 2 * size_of::<usize>() <= ENTRY, "{bucket}");
        let _: IndexMap<String, Value>;
    }
}
