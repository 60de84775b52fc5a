//! Operators under the names that the graph engine has for them.

use mindir_graph::{
    graph::{Arg, Node, NodeKind},
    op::{Const, OpDef},
};

use super::ports::Port::{self, *};

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
}

const fn row(op: &'static str, ge: &'static str, ports: &'static [Port]) -> Row {
    Row { op, ge, ports, outputs: &["y"] }
}

const ONE: &[Port] = &[In("x")];
const TWO: &[Port] = &[In("x1"), In("x2")];
const SCALED: &[Port] = &[In("x1"), In("x2"), One];
const SCATTERED: &[Port] = &[In("x"), In("indices"), In("updates")];
const REDUCED: &[Port] = &[In("x"), Numbers("axes"), Flag("keep_dims")];
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

/// The operators that can be written.
pub(super) const ROWS: &[Row] = &[
    row("Abs", "Abs", ONE),
    row("Add", "Add", TWO),
    row("AddExt", "Add", SCALED),
    row("AddN", "AddN", &[Many("x")]),
    row("AddScalar", "Add", &[In("x1"), Like("x2"), One]),
    row("Argmax", "ArgMaxD", &[In("x"), Int("dimension"), Type("dtype")]),
    row("AvgPool", "AvgPool", POOLED),
    row("BatchMatMul", "BatchMatMul", &[In("x1"), In("x2"), Flag("adj_x1"), Flag("adj_x2")]),
    Row {
        op: "BatchNorm",
        ge: "BatchNorm",
        ports: &[
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
        outputs: &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"],
    },
    row("BiasAdd", "BiasAdd", &[In("x"), In("bias"), Layout("data_format")]),
    row("BroadcastTo", "BroadcastTo", &[In("x"), Numbers("shape")]),
    row("Cast", "Cast", &[In("x"), Code("dst_type")]),
    row("Ceil", "Ceil", ONE),
    row("Concat", "ConcatD", &[Many("x"), Int("concat_dim")]),
    row("Conv2D", "Conv2D", CONVOLVED),
    row("Cos", "Cos", ONE),
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
    row("Div", "Div", TWO),
    row("Divs", "Div", &[In("x1"), Like("x2")]),
    row("Elu", "Elu", &[In("x"), Float("alpha")]),
    row("Equal", "Equal", TWO),
    row("Erf", "Erf", ONE),
    row("Exp", "Exp", ONE),
    row("ExpandDims", "ExpandDims", &[In("x"), Numbers("axis")]),
    row("Flatten", "Flatten", ONE),
    row("Floor", "Floor", ONE),
    row("FloorDiv", "FloorDiv", TWO),
    row("FloorDivScalar", "FloorDiv", &[In("x1"), Like("x2")]),
    row("FloorMod", "FloorMod", TWO),
    row("Gather", "GatherV2", &[In("x"), In("indices"), Numbers("axis"), Int("batch_dims")]),
    row("GeLU", "Gelu", ONE),
    row("Greater", "Greater", TWO),
    row("GreaterEqual", "GreaterEqual", TWO),
    row("HSwish", "HardSwish", ONE),
    Row {
        op: "LayerNorm",
        ge: "LayerNorm",
        ports: &[In("x"), In("gamma"), In("beta"), Int("begin_norm_axis"), Int("begin_params_axis"), Float("epsilon")],
        outputs: &["y", "mean", "variance"],
    },
    row("Less", "Less", TWO),
    row("LessEqual", "LessEqual", TWO),
    row("Log", "Log", ONE),
    row("LogSoftmax", "LogSoftmaxV2", &[In("logits"), Ints("axes")]),
    row("LogicalAnd", "LogicalAnd", TWO),
    row("LogicalNot", "LogicalNot", ONE),
    row("LogicalOr", "LogicalOr", TWO),
    row("MaskedFill", "MaskedFill", &[In("x"), In("mask"), Like("value")]),
    row("MatMul", "MatMulV2", &[In("x1"), In("x2"), Flag("transpose_x1"), Flag("transpose_x2")]),
    row("MatMulExt", "BatchMatMul", &[Matrices("x1"), Matrices("x2")]),
    row("MaxPool", "MaxPool", POOLED),
    Row {
        op: "MaxPool3DWithArgmax",
        ge: "MaxPool3DWithArgmaxV2",
        ports: &[
            In("x"),
            Volume("ksize"),
            Volume("strides"),
            Volume("pads"),
            Volume("dilation"),
            Flag("ceil_mode"),
            Layout("data_format"),
            Code("dtype"),
        ],
        outputs: &["y", "argmax"],
    },
    row("Maximum", "Maximum", TWO),
    row("Minimum", "Minimum", TWO),
    row("Mul", "Mul", TWO),
    row("Muls", "Muls", &[In("x"), Float("value")]),
    row("Neg", "Neg", ONE),
    row("NotEqual", "NotEqual", TWO),
    row("OnesLike", "OnesLike", ONE),
    row("PReLU", "PRelu", &[In("x"), In("weight")]),
    row("Pow", "Pow", TWO),
    row("ReLU", "Relu", ONE),
    row("ReLU6", "Relu6", ONE),
    row("RealDiv", "RealDiv", TWO),
    row("Reciprocal", "Reciprocal", ONE),
    row("ReduceMax", "ReduceMax", REDUCED),
    row("ReduceMean", "ReduceMean", REDUCED),
    row("ReduceMin", "ReduceMin", REDUCED),
    row("ReduceSum", "ReduceSum", REDUCED),
    row("RemainderTensorScalar", "FloorMod", &[In("x1"), Like("x2")]),
    row("Reshape", "Reshape", &[In("x"), Numbers("shape")]),
    row("Round", "Round", ONE),
    row("Rsqrt", "Rsqrt", ONE),
    row("Select", "Select", &[In("condition"), In("x1"), In("x2")]),
    row("SiLU", "Swish", ONE),
    row("Sigmoid", "Sigmoid", ONE),
    row("Sign", "Sign", ONE),
    row("Sin", "Sin", ONE),
    row("Slice", "Slice", &[In("x"), Numbers("offsets"), Numbers("size")]),
    row("Softmax", "SoftmaxV2", &[In("x"), Ints("axes")]),
    row("Softplus", "Softplus", ONE),
    Row { op: "Split", ge: "SplitD", ports: &[In("x"), Int("split_dim"), Int("num_split")], outputs: &["y*"] },
    row("Sqrt", "Sqrt", ONE),
    row("Square", "Square", ONE),
    row("Squeeze", "Squeeze", &[In("x"), Ints("axis")]),
    row("Stack", "Pack", &[Many("x"), Int("axis")]),
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
    row("Sub", "Sub", TWO),
    row("SubExt", "Sub", SCALED),
    row("SubScalar", "Sub", &[In("x1"), Like("x2"), One]),
    row("Tanh", "Tanh", ONE),
    row("TensorMove", "TensorMove", ONE),
    row("TensorScatterAdd", "TensorScatterAdd", SCATTERED),
    row("TensorScatterMax", "TensorScatterMax", SCATTERED),
    row("TensorScatterMin", "TensorScatterMin", SCATTERED),
    row("TensorScatterSub", "TensorScatterSub", SCATTERED),
    row("TensorScatterUpdate", "TensorScatterUpdate", SCATTERED),
    row("Tile", "Tile", &[In("x"), Numbers("multiples")]),
    row("Transpose", "Transpose", &[In("x"), Numbers("perm")]),
    row("ZerosLike", "ZerosLike", ONE),
];

/// A node as one of another operator that takes its arguments in the order in which the graph engine has them.
pub(super) fn restated(node: &Node, def: &OpDef) -> Result<Option<Node>, String> {
    let at = |name: &str| def.params.iter().position(|p| p.name == name);
    let arg = |name: &str| at(name).and_then(|place| node.args.get(place)).cloned().flatten();
    let int = |i: i64| Some(Arg::Const(Const::Int(i)));
    let (name, args) = match def.name {
        "Embedding" if !matches!(arg("max_norm"), None | Some(Arg::Const(Const::None))) => {
            return Err("max_norm changes the table".into());
        }
        "Embedding" => ("Gather", vec![arg("weight"), arg("input"), int(0), int(0)]),
        _ => return Ok(None),
    };
    let def = mindir_graph::ops::find(name).ok_or_else(|| format!("there is no operator {name}"))?;
    Ok(Some(Node { kind: NodeKind::Op(def), args, ..node.clone() }))
}

/// The operator of a node, if some node of it can be written: it has a row, or needs none.
pub(super) fn has_form(node: &Node) -> Result<&'static OpDef, String> {
    let NodeKind::Op(def) = &node.kind else { return Err("control flow and unknown operators have none".into()) };
    let known = find(def.name).is_some() || ["Embedding", "Shape"].contains(&def.name);
    if known { Ok(def) } else { Err("the table of operators has no row for it".into()) }
}

/// The row of an operator.
pub(super) fn find(op: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.op == op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir_graph::ops;

    #[test]
    fn rows_fit_the_signatures() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].op < pair[1].op, "{} and {} are out of order", pair[0].op, pair[1].op);
        }
        for row in ROWS {
            let def = ops::find(row.op).unwrap_or_else(|| panic!("no operator {}", row.op));
            assert!(def.name == row.op, "{} is an alias of {}", row.op, def.name);
            assert!(row.ports.len() <= def.params.len(), "{}: more ports than arguments", row.op);
            for (port, param) in row.ports.iter().zip(def.params) {
                assert!(port.fits(param), "{}: {port:?} for {}", row.op, param.name);
            }
        }
    }
}
