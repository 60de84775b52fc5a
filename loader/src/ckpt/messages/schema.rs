//! Field tables of the messages, for the walk before anything is decoded.

use mindir_proto::checkpoint::MapTensorProto;

use crate::mindir::schema::{Kind, Role, Schema, blob, boxed, field, inline, name, numbers, schema};

/// Memory that an entry takes in a [`Checkpoint`](crate::ckpt::Checkpoint), its name not counted.
const ENTRY: usize = 160;

pub(super) static CHECKPOINT: Schema =
    schema("Checkpoint", Role::Other, &[field("value", Kind::Message(&VALUE), true, ENTRY)]);

static VALUE: Schema = schema(
    "Value",
    Role::Other,
    &[name("tag"), inline("tensor", &TENSOR), boxed::<MapTensorProto>("maptensor", &MAP_TENSOR)],
);

static TENSOR: Schema =
    schema("TensorProto", Role::Tensor, &[numbers::<i64>("dims"), name("tensor_type"), blob("tensor_content")]);

static MAP_TENSOR: Schema = schema(
    "MapTensorProto",
    Role::Other,
    &[inline("key_tensor", &TENSOR), inline("value_tensor", &TENSOR), inline("status_tensor", &TENSOR)],
);

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use mindir_proto::{
        checkpoint,
        prost::{DecodeError, Message},
    };

    use super::*;
    use crate::ckpt::Value;

    fn refusal<M: Message + Default>(number: u8) -> Option<DecodeError> {
        // A fixed number, which no field is.
        M::decode(&[number << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0][..]).err()
    }

    #[test]
    fn tables_agree_with_the_messages() {
        type Refusal = fn(u8) -> Option<DecodeError>;
        let all: [(&Schema, Refusal); 4] = [
            (&CHECKPOINT, refusal::<checkpoint::Checkpoint>),
            (&VALUE, refusal::<checkpoint::Value>),
            (&TENSOR, refusal::<checkpoint::TensorProto>),
            (&MAP_TENSOR, refusal::<MapTensorProto>),
        ];
        for (schema, refusal) in all {
            for (position, field) in schema.fields.iter().enumerate() {
                let error = refusal(position as u8 + 1).unwrap().to_string();
                assert!(error.contains(&format!("{}.{}:", schema.name, field.name)), "{error}");
            }
            assert!(refusal(schema.fields.len() as u8 + 1).is_none(), "{}", schema.name);
        }
    }

    #[test]
    fn entries_take_what_is_counted() {
        let bucket = size_of::<u64>() + size_of::<(String, Value)>();
        assert!(bucket + 2 * size_of::<usize>() <= ENTRY, "{bucket}");
        let _: IndexMap<String, Value>;
    }
}
