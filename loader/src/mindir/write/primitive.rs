//! The primitives of a file.

use std::collections::HashMap;

use mindir_proto::mindir::{PrimType, PrimitiveProto};
use mindir_proto::prost::Message;

use super::attributes::Attributes;
use super::names::Names;
use super::value;

/// The primitives of a file, each kept once.
#[derive(Default)]
pub(super) struct Primitives {
    pub list: Vec<PrimitiveProto>,
    /// Names by contents.
    known: HashMap<Vec<u8>, String>,
}

impl Primitives {
    /// What `op_type` of a node says about this primitive.
    pub(super) fn reference(&mut self, names: &mut Names, op: &str, function: bool, attributes: &Attributes) -> String {
        let kind = if function { PrimType::PrimitiveFunction } else { PrimType::Primitive };
        let proto = PrimitiveProto {
            op_type: Some(op.to_string()),
            attribute: attributes.iter().map(|(name, value)| value::held(name, value)).collect(),
            prim_type: Some(kind as i32),
            ..Default::default()
        };
        let list = &mut self.list;
        let name = self.known.entry(proto.encode_to_vec()).or_insert_with(|| {
            let name = names.unique(format!("{op}:{}", list.len()));
            list.push(PrimitiveProto { name: Some(name.clone()), ..proto });
            name
        });
        format!("REF::{name}")
    }
}
