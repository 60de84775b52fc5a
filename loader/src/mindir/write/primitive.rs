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
    ("Col2Im", &["output_size"]),
    ("Conv2DBackpropFilter", &["filter_size"]),
    ("Conv2DBackpropInput", &["input_sizes"]),
    ("CumulativeLogsumexp", &["axis"]),
    ("EmbeddingLookup", &["offset"]),
    ("GetTupleIndexInfo", &["fancy_position"]),
    ("IndexFill", &["dim", "value"]),
    ("MatrixBandPart", &["lower", "upper"]),
    ("MirrorPad", &["paddings"]),
    ("PadV3", &["paddings", "constant_value"]),
    ("RemoveExpandedDims", &["has_false", "broadcast_shape", "idx_advanced"]),
    ("SliceToIndices", &["start", "stop", "step"]),
    ("TopK", &["k"]),
    ("UnsortedSegmentMax", &["num_segments"]),
    ("UnsortedSegmentMin", &["num_segments"]),
    ("UnsortedSegmentProd", &["num_segments"]),
    ("raise", &["exception"]),
];

/// Operators that MindSpore 2.10 does not declare as functions, in order.
const OBJECTS: &[&str] = &[
    "Adam",
    "AdaptiveAvgPool2D",
    "AdaptiveAvgPool3D",
    "AdaptiveMaxPool3D",
    "All",
    "ApplyMomentum",
    "ApproximateEqual",
    "AvgPool3D",
    "BatchToSpaceND",
    "BesselI0",
    "BesselI1",
    "Bincount",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "ChannelShuffle",
    "Col2Im",
    "Conv2D",
    "Conv2DBackpropFilter",
    "Conv2DBackpropInput",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "CumulativeLogsumexp",
    "DepthToSpace",
    "DepthwiseConv2dNative",
    "DiagPart",
    "Digamma",
    "DivNoNan",
    "EmbeddingLookup",
    "Fill",
    "FillV2",
    "Fmax",
    "Fmin",
    "GetTupleIndexInfo",
    "Hypot",
    "IOU",
    "Im2Col",
    "InSequence",
    "IndexFill",
    "InstanceNorm",
    "IsNan",
    "JoinedStr",
    "KLDivLoss",
    "L2Normalize",
    "LRN",
    "LSTM",
    "Lgamma",
    "LpNorm",
    "MatrixBandPart",
    "MaxPool",
    "MaxPool3D",
    "MaxPool3DWithArgmax",
    "MaxPoolGrad",
    "MaxPoolWithArgmax",
    "MaxPoolWithArgmaxV2",
    "MirrorPad",
    "Mish",
    "Mod",
    "MulNoNan",
    "NMSWithMask",
    "NormalizeTupleIndex",
    "Pad",
    "PadV3",
    "Print",
    "ROIAlign",
    "RemoveExpandedDims",
    "ReverseSequence",
    "Rint",
    "SGD",
    "ScatterAdd",
    "ScatterDiv",
    "ScatterMax",
    "ScatterMin",
    "ScatterMul",
    "ScatterNdAdd",
    "ScatterNdDiv",
    "ScatterNdMax",
    "ScatterNdMin",
    "ScatterNdMul",
    "ScatterNdSub",
    "ScatterNdUpdate",
    "ScatterSub",
    "ScatterUpdate",
    "SeLU",
    "Size",
    "SliceToIndices",
    "SoftmaxCrossEntropyWithLogits",
    "Softplus",
    "Softsign",
    "Sort",
    "SpaceToBatchND",
    "SpaceToDepth",
    "SparseSoftmaxCrossEntropyWithLogits",
    "SquaredDifference",
    "Stack",
    "StopGradient",
    "TensorMove",
    "TensorScatterDiv",
    "TensorScatterMax",
    "TensorScatterMin",
    "TensorScatterMul",
    "TensorScatterSub",
    "TensorScatterUpdate",
    "TensorToScalar",
    "TensorToTuple",
    "TopK",
    "Tril",
    "TruncateDiv",
    "TupleGetItem",
    "Unique",
    "UniqueWithPad",
    "UnsortedSegmentMax",
    "UnsortedSegmentMin",
    "UnsortedSegmentProd",
    "Unstack",
    "Xdivy",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_eq",
    "bool_not",
    "bool_or",
    "list_equal",
    "raise",
    "sequence_len",
    "shape_mul",
    "tuple_equal",
];

/// Names of classic operators under which MindSpore has primitives that take everything as inputs.
const NOT_CLASSIC: [&str; 2] = ["TrilExt", "UnstackExtView"];

/// Names of other operators under which MindSpore has primitives that keep arguments as attributes.
const CLASSIC: [&str; 1] = ["MaxPoolWithArgmaxV2"];

/// Operators that MindSpore has on CPUs only as views, and their names as such.
const VIEWS: &[(&str, &str)] = &[
    ("Chunk", "ChunkView"),
    ("Narrow", "NarrowView"),
    ("SliceExt", "SliceExtView"),
    ("SplitTensor", "SplitTensorView"),
];

/// MindSpore's name for an operator that the file it comes from does not call otherwise.
pub(super) fn name(def: &OpDef) -> &'static str {
    VIEWS.iter().find(|(name, _)| *name == def.name).map_or(def.name, |(_, view)| view)
}

/// Whether the operator, called `name` here, keeps arguments as attributes.
pub(super) fn is_classic(def: &OpDef, name: &str) -> bool {
    CLASSIC.contains(&name) || def.classic && !NOT_CLASSIC.contains(&name)
}

/// Whether MindSpore declares the primitive `name` as a function.
pub(super) fn is_function(name: &str) -> bool {
    OBJECTS.binary_search(&name).is_err()
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
    pub(super) fn reference(&mut self, names: &mut Names, op: &str, function: bool, attributes: &Attributes) -> String {
        let kind = if function { PrimType::PrimitiveFunction } else { PrimType::Primitive };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_name_operators() {
        assert!(OBJECTS.is_sorted());
        let inputs = INPUTS.iter().map(|(name, _)| *name);
        let views = VIEWS.iter().flat_map(|(name, view)| [*name, *view]);
        for name in OBJECTS.iter().copied().chain(inputs).chain(NOT_CLASSIC).chain(CLASSIC).chain(views) {
            assert!(mindir_graph::ops::find(name).is_some(), "{name}");
        }
        for (name, inputs) in INPUTS {
            let params = mindir_graph::ops::find(name).map_or(&[][..], |def| def.params);
            assert!(inputs.iter().all(|input| params.iter().any(|param| param.name == *input)), "{name}");
        }
    }
}
