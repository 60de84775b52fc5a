//! Primitives: which arguments are attributes, and the table of a file.

use std::{collections::HashMap, sync::Arc};

use mindir_graph::op::{Const, OpDef, Param, ParamKind};
use mindir_proto::{
    mindir::{PrimType, PrimitiveProto},
    prost::Message,
};

use super::{names::Names, value};

/// Attributes by name.
pub(super) type Attributes = Vec<(Arc<str>, Const)>;

/// Values that classic primitives take as inputs all the same.
const INPUTS: &[(&str, &[&str])] = &[
    ("Conv2DBackpropFilter", &["filter_size", "filter_sizes"]),
    ("Conv2DBackpropInput", &["input_size", "input_sizes"]),
    ("EmbeddingLookup", &["offset"]),
    ("IndexFill", &["dim", "value"]),
    ("MirrorPad", &["paddings"]),
    ("PadV3", &["paddings", "constant_value"]),
    ("TopK", &["k"]),
];

/// Names of classic operators under which MindSpore has primitives that take everything as inputs.
const NOT_CLASSIC: [&str; 2] = ["TrilExt", "UnstackExtView"];

/// Whether the operator, called `name` here, keeps arguments as attributes.
pub(super) fn is_classic(def: &OpDef, name: &str) -> bool {
    def.classic && !NOT_CLASSIC.contains(&name)
}

/// Whether a classic operator has this argument as an attribute.
pub(super) fn is_attribute(def: &OpDef, param: &Param) -> bool {
    let inputs = INPUTS.iter().find(|(name, _)| *name == def.name).map_or(&[][..], |(_, inputs)| *inputs);
    param.kind == ParamKind::Value && !inputs.contains(&param.name)
}

/// Sets an attribute unless it is there.
pub(super) fn complete(attributes: &mut Attributes, name: &str, value: Const) {
    if !attributes.iter().any(|(key, _)| &**key == name) {
        attributes.push((name.into(), value));
    }
}

/// The primitives of a file, each kept once.
#[derive(Default)]
pub(super) struct Primitives {
    pub list: Vec<PrimitiveProto>,
    /// Names by contents.
    known: HashMap<Vec<u8>, String>,
}

impl Primitives {
    /// What `op_type` of a node says about this primitive.
    pub(super) fn reference(&mut self, names: &mut Names, op: &str, classic: bool, attributes: &Attributes) -> String {
        let kind = if classic { PrimType::Primitive } else { PrimType::PrimitiveFunction };
        let proto = PrimitiveProto {
            op_type: Some(op.to_string()),
            attribute: attributes.iter().map(|(name, value)| value::attribute(name, value)).collect(),
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
