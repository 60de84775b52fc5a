//! Operators under the names that the graph engine has for them.

use mindir_graph::graph::{Node, NodeKind};
use mindir_graph::op::OpDef;

use super::ports::Port::{self, *};
use super::restate::RESTATED;

/// How an operator is written.
#[derive(Debug)]
pub(super) struct Row {
    /// MindSpore's operator.
    pub op: &'static str,
    /// The graph engine's.
    pub ge: &'static str,
    /// One for each argument in the operator's signature; arguments without one are left out.
    pub ports: &'static [Port],
    /// Names of the results.
    pub outputs: &'static [&'static str],
    /// Attributes that are true for this operator.
    pub flags: &'static [&'static str],
}

const fn row(op: &'static str, ge: &'static str, ports: &'static [Port]) -> Row {
    rows(op, ge, ports, &["y"])
}

const fn rows(op: &'static str, ge: &'static str, ports: &'static [Port], outputs: &'static [&'static str]) -> Row {
    Row { op, ge, ports, outputs, flags: &[] }
}

const ONE: &[Port] = &[In("x")];
const TWO: &[Port] = &[In("x1"), In("x2")];
const WITH_NUMBER: &[Port] = &[In("x1"), Like("x2")];
const DENSE: &[Port] = &[Matrices("x1"), Matrices("x2"), Vector("bias")];
const NORMALIZED: &[Port] =
    &[In("x"), In("gamma"), In("beta"), Int("begin_norm_axis"), Int("begin_params_axis"), Float("epsilon")];
const BEST: &[Port] = &[In("x"), Int("dimension"), Flag("keep_dims")];
const BLENDED: &[Port] = &[In("input_data"), In("x1"), In("x2"), Like("value")];
const SHRUNK: &[Port] = &[In("input_x"), Float("lambd")];
const RUNNING: &[Port] = &[In("x"), Numbers("axis"), Flag("exclusive"), Flag("reverse")];
const SCALED: &[Port] = &[In("x1"), In("x2"), One];
const SCATTERED: &[Port] = &[In("x"), In("indices"), In("updates")];
const SCATTERED_EXTREME: &[Port] = &[In("input"), In("indices"), In("updates")];
const REDUCED: &[Port] = &[In("x"), Axes("axes"), Flag("keep_dims")];
const POOLED: &[Port] = &[In("x"), Window("ksize"), Window("strides"), Mode("padding"), Layout("data_format")];
const CONVOLVED: &[Port] = &[
    In("x"),
    In("filter"),
    Skip,
    Skip,
    Skip,
    Pads("pads"),
    Skip,
    Skip,
    Ints("strides"),
    Ints("dilations"),
    Int("groups"),
    Layout("data_format"),
];

macro_rules! same {
    ($($ports:ident: $($op:ident),*;)*) => { &[$($(row(stringify!($op), stringify!($op), $ports)),*),*] };
}

/// Operators that have one name in both, by their ports.
const SAME: &[Row] = same! {
    ONE: Abs, Acosh, Asin, Asinh, Atan, Atanh, Ceil, Cos, Cosh, Diag, Digamma, Erf, Erfc, Exp, Expm1, Flatten, Floor,
        Identity, IsFinite, IsInf, IsNan, Lgamma, Log, Log1p, LogicalNot, Mish, Neg, OnesLike, Reciprocal, Rint, Round,
        Rsqrt, Sigmoid, Sign, Sin, Sinh, Softplus, Softsign, Sqrt, Square, Tan, Tanh, TensorMove, ZerosLike;
    TWO: Add, Atan2, BitwiseAnd, BitwiseOr, BitwiseXor, Div, DivNoNan, Equal, FloorDiv, FloorMod, Greater, GreaterEqual,
        Less, LessEqual, LogicalAnd, LogicalOr, Maximum, Minimum, Mod, Mul, MulNoNan, NotEqual, Pow, RealDiv,
        SquaredDifference, Sub, TruncateDiv, Xdivy, Xlogy;
    BLENDED: Addcdiv, Addcmul;
    POOLED: AvgPool, MaxPool;
    REDUCED: ReduceAll, ReduceAny, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum;
    SCATTERED: TensorScatterAdd, TensorScatterSub, TensorScatterUpdate;
};

/// The other operators that can be written.
const ROWS: &[Row] = &[
    row("ACos", "Acos", ONE),
    row("AddExt", "Add", SCALED),
    row("AddN", "AddN", &[Many("x")]),
    row("AddScalar", "Add", &[In("x1"), Like("x2"), One]),
    rows("ArgMaxWithValue", "ArgMaxWithValue", BEST, &["indice", "values"]),
    rows("ArgMinWithValue", "ArgMinWithValue", BEST, &["indice", "values"]),
    row("Argmax", "ArgMaxD", &[In("x"), Int("dimension"), Type("dtype")]),
    row("Argmin", "ArgMinD", &[In("x"), Int("dimension"), Type("dtype")]),
    row("BatchMatMul", "BatchMatMul", &[In("x1"), In("x2"), Flag("adj_x1"), Flag("adj_x2")]),
    rows(
        "BatchNorm",
        "BatchNorm",
        &[
            In("x"),
            In("scale"),
            In("offset"),
            In("mean"),
            In("variance"),
            Flag("is_training"),
            Float("epsilon"),
            Skip,
            Layout("data_format"),
        ],
        &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"],
    ),
    row("BiasAdd", "BiasAdd", &[In("x"), In("bias"), Layout("data_format")]),
    row("BitwiseAndScalar", "BitwiseAnd", WITH_NUMBER),
    row("BitwiseOrScalar", "BitwiseOr", WITH_NUMBER),
    row("BitwiseXorScalar", "BitwiseXor", WITH_NUMBER),
    row("BroadcastTo", "BroadcastTo", &[In("x"), Numbers("shape")]),
    row("Cast", "Cast", &[In("x"), Code("dst_type")]),
    row("CeLU", "CeluV2", &[In("x"), Float("alpha")]),
    row("ClampScalar", "ClipByValue", &[In("x"), Like("clip_value_min"), Like("clip_value_max")]),
    row("Clone", "Identity", ONE),
    row("Concat", "ConcatD", &[Many("x"), Int("concat_dim")]),
    row("Contiguous", "Identity", ONE),
    row("Conv2D", "Conv2D", CONVOLVED),
    row("CumProd", "Cumprod", RUNNING),
    row("CumSum", "Cumsum", RUNNING),
    Row { flags: &["adj_x2"], ..row("Dense", "BatchMatMulV2", DENSE) },
    row(
        "DepthwiseConv2dNative",
        "DepthwiseConv2D",
        &[
            In("x"),
            In("filter"),
            Skip,
            Skip,
            Skip,
            Pads("pads"),
            Skip,
            Skip,
            Ints("strides"),
            Ints("dilations"),
            Skip,
            Layout("data_format"),
        ],
    ),
    row("Divs", "Div", WITH_NUMBER),
    row("Elu", "Elu", &[In("x"), Float("alpha")]),
    row("EqScalar", "Equal", WITH_NUMBER),
    rows("Erfinv", "Erfinv", &[In("input_x")], &["output_y"]),
    row("ExpandDims", "ExpandDims", &[In("x"), Numbers("axis")]),
    row("FillV2", "Fill", &[Numbers("dims"), In("value")]),
    row("FlattenExt", "FlattenV2", &[In("x"), Int("axis"), Int("end_axis")]),
    row("FloorDivScalar", "FloorDiv", WITH_NUMBER),
    row("Gather", "GatherV2", &[In("x"), In("indices"), Numbers("axis"), Int("batch_dims")]),
    row("GatherD", "GatherElements", &[In("x"), Int("dim"), In("index")]),
    row("GatherNd", "GatherNd", &[In("x"), In("indices")]),
    row("GeLU", "Gelu", ONE),
    row("GeluExt", "GeluV2", &[In("x"), Named("approximate", &["none", "tanh"])]),
    row("GreaterEqualScalar", "GreaterEqual", WITH_NUMBER),
    rows("HShrink", "HardShrink", SHRUNK, &["output_y"]),
    rows("HSigmoid", "HardSigmoid", &[In("input_x")], &["output_y"]),
    row("HSwish", "HardSwish", ONE),
    row("L2Normalize", "L2Normalize", &[In("x"), Ints("axis"), Float("eps")]),
    rows("LayerNorm", "LayerNorm", NORMALIZED, &["y", "mean", "variance"]),
    rows("LayerNormV3", "LayerNormV3", NORMALIZED, &["y", "mean", "rstd"]),
    row("LeakyReLUExt", "LeakyRelu", &[In("x"), Float("negative_slope")]),
    rows("LeftShift", "LeftShift", &[In("x"), In("y")], &["z"]),
    row("Lerp", "Lerp", &[In("start"), In("end"), In("weight")]),
    row("LessScalar", "Less", WITH_NUMBER),
    rows("LogSoftmax", "LogSoftmaxV2", &[In("logits"), Ints("axes")], &["logsoftmax"]),
    row("LogSumExp", "ReduceLogSumExp", REDUCED),
    row("MaskedFill", "MaskedFill", &[In("x"), In("mask"), Like("value")]),
    row("MatMul", "MatMulV2", &[In("x1"), In("x2"), Flag("transpose_x1"), Flag("transpose_x2")]),
    row("MatMulExt", "BatchMatMul", &[Matrices("x1"), Matrices("x2")]),
    rows(
        "MaxPool3DWithArgmax",
        "MaxPool3DWithArgmaxV2",
        &[
            In("x"),
            Volume("ksize"),
            Volume("strides"),
            Volume("pads"),
            Volume("dilation"),
            Flag("ceil_mode"),
            Layout("data_format"),
            Code("dtype"),
        ],
        &["y", "argmax"],
    ),
    row("Muls", "Muls", &[In("x"), Float("value")]),
    row("OneHot", "OneHot", &[In("x"), Numbers("depth"), In("on_value"), In("off_value"), Int("axis")]),
    row("PReLU", "PRelu", &[In("x"), In("weight")]),
    row("PowTensorScalar", "Pow", WITH_NUMBER),
    row("ReLU", "Relu", ONE),
    row("ReLU6", "Relu6", ONE),
    row("RemainderTensorScalar", "FloorMod", WITH_NUMBER),
    row("Reshape", "Reshape", &[In("x"), Numbers("shape")]),
    row("ReverseSequence", "ReverseSequence", &[In("x"), In("seq_lengths"), Int("seq_dim"), Int("batch_dim")]),
    row("ReverseV2", "ReverseV2", &[In("x"), Numbers("axis")]),
    rows("RightShift", "RightShift", &[In("x"), In("y")], &["z"]),
    rows("RmsNorm", "RmsNorm", &[In("x"), In("gamma"), Float("epsilon")], &["y", "rstd"]),
    row("Roll", "Roll", &[In("x"), Ints("shifts"), Ints("dims")]),
    row("ScatterNd", "ScatterNd", &[In("indices"), In("x"), Numbers("shape")]),
    row("SeLU", "Selu", ONE),
    row("Select", "Select", &[In("condition"), In("x1"), In("x2")]),
    row("SiLU", "Swish", ONE),
    row("Slice", "Slice", &[In("x"), Numbers("offsets"), Numbers("size")]),
    rows("SoftShrink", "SoftShrink", SHRUNK, &["output_y"]),
    row("Softmax", "SoftmaxV2", &[In("x"), Ints("axes")]),
    row("SoftplusExt", "SoftplusV2", &[In("x"), Float("beta"), Float("threshold")]),
    rows("Sort", "Sort", &[In("x"), Int("axis"), Flag("descending")], &["y1", "y2"]),
    rows("Split", "SplitD", &[In("x"), Int("split_dim"), Int("num_split")], &["y*"]),
    row("Squeeze", "Squeeze", &[In("x"), Ints("axis")]),
    row("Stack", "Pack", &[Many("x"), Int("axis")]),
    row("StopGradient", "Identity", ONE),
    row(
        "StridedSlice",
        "StridedSlice",
        &[
            In("x"),
            Numbers("begin"),
            Numbers("end"),
            Numbers("strides"),
            Int("begin_mask"),
            Int("end_mask"),
            Int("ellipsis_mask"),
            Int("new_axis_mask"),
            Int("shrink_axis_mask"),
        ],
    ),
    row("SubExt", "Sub", SCALED),
    row("SubScalar", "Sub", &[In("x1"), Like("x2"), One]),
    rows("TensorScatterMax", "TensorScatterMax", SCATTERED_EXTREME, &["output"]),
    rows("TensorScatterMin", "TensorScatterMin", SCATTERED_EXTREME, &["output"]),
    row("Tile", "Tile", &[In("x"), Numbers("multiples")]),
    rows("TopK", "TopK", &[In("x"), Word("k"), Flag("sorted")], &["values", "indices"]),
    row("Transpose", "Transpose", &[In("x"), Numbers("perm")]),
    row("Tril", "Tril", &[In("x"), Int("diagonal")]),
    row("TrilExt", "Tril", &[In("x"), Int("diagonal")]),
    row("Triu", "Triu", &[In("x"), Int("diagonal")]),
    rows("Trunc", "Trunc", &[In("input_x")], &["output_y"]),
    row("UnsortedSegmentSum", "UnsortedSegmentSum", &[In("x"), In("segment_ids"), Numbers("num_segments")]),
    rows("Unstack", "Unpack", &[In("x"), Int("axis"), Int("num")], &["y*"]),
    row("XLogYScalarOther", "Xlogy", WITH_NUMBER),
];

/// `Dense` of two matrices.
pub(super) const DENSE_MATRICES: Row = Row { flags: &["transpose_x2"], ..row("Dense", "MatMulV2", DENSE) };

/// The operator of a node, if some node of it can be written: it has a row, or needs none.
pub(super) fn has_form(node: &Node) -> Result<&'static OpDef, String> {
    let NodeKind::Op(def) = &node.kind else { return Err("control flow and unknown operators have none".into()) };
    let known = find(def.name).is_some() || def.name == "Shape" || RESTATED.contains(&def.name);
    if known { Ok(def) } else { Err("the table of operators has no row for it".into()) }
}

/// The row of an operator.
pub(super) fn find(op: &str) -> Option<&'static Row> {
    SAME.iter().chain(ROWS).find(|row| row.op == op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir_graph::ops;

    #[test]
    fn rows_fit_the_signatures() {
        assert!(ROWS.is_sorted_by(|a, b| a.op < b.op));
        let mut seen = std::collections::HashSet::new();
        for row in SAME.iter().chain(ROWS) {
            assert!(seen.insert(row.op), "{} has two rows", row.op);
            let def = ops::find(row.op).unwrap_or_else(|| panic!("no operator {}", row.op));
            assert!(def.name == row.op, "{} is an alias of {}", row.op, def.name);
            assert!(row.ports.len() <= def.params.len(), "{}: more ports than arguments", row.op);
            for (port, param) in row.ports.iter().zip(def.params) {
                assert!(port.fits(param), "{}: {port:?} for {}", row.op, param.name);
            }
        }
    }
}
