#!/usr/bin/env python3
"""Check .air files against the MindIR files they were made from, with Google's protobuf instead of ours.

  air.py MODEL.mindir=MODEL.air ...

Checks that every edge leads from an output that exists, that producers come first, that the operators of both files are the same
under the names of the table below, and that every weight of the model is there with the same bytes.
"""
import sys
from collections import Counter

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mindspore.train import mind_ir_pb2

F = descriptor_pb2.FieldDescriptorProto
ONE, MANY = F.LABEL_OPTIONAL, F.LABEL_REPEATED
TEXT, BYTES, INT, INT32, FLOAT, BOOL, UINT32 = (F.TYPE_STRING, F.TYPE_BYTES, F.TYPE_INT64, F.TYPE_INT32, F.TYPE_FLOAT, F.TYPE_BOOL,
                                                F.TYPE_UINT32)
# Field: (name, number, type or message, label); "map" is map<string, AttrDef>.
MESSAGES = {
    "ShapeDef": [("dim", 1, INT, MANY)],
    "TensorDescriptor": [("name", 1, TEXT, ONE), ("dtype", 2, INT32, ONE), ("shape", 3, "ShapeDef", ONE), ("layout", 4, TEXT, ONE)],
    "TensorDef": [("desc", 1, "TensorDescriptor", ONE), ("data", 2, BYTES, ONE)],
    "ListValue": [("s", 2, BYTES, MANY), ("i", 3, INT, MANY), ("f", 4, FLOAT, MANY), ("val_type", 20, INT32, ONE)],
    "AttrDef": [("list", 1, "ListValue", ONE), ("s", 2, BYTES, ONE), ("i", 3, INT, ONE), ("f", 4, FLOAT, ONE), ("b", 5, BOOL, ONE),
                ("t", 12, "TensorDef", ONE), ("dt", 15, INT32, ONE)],
    "OpDef": [("name", 1, TEXT, ONE), ("type", 2, TEXT, ONE), ("input", 5, TEXT, MANY), ("attr", 10, "map", MANY), ("id", 21, INT, ONE),
              ("input_desc", 33, "TensorDescriptor", MANY), ("output_desc", 34, "TensorDescriptor", MANY)],
    "GraphDef": [("name", 1, TEXT, ONE), ("input", 4, TEXT, MANY), ("output", 5, TEXT, MANY), ("op", 6, "OpDef", MANY),
                 ("attr", 11, "map", MANY)],
    "ModelDef": [("name", 1, TEXT, ONE), ("version", 2, UINT32, ONE), ("custom_version", 3, TEXT, ONE), ("graph", 7, "GraphDef", MANY),
                 ("attr", 11, "map", MANY)],
}
# MindSpore's operators that have another name in the graph engine.
NAMES = {
    "ACos": "Acos", "AddExt": "Add", "AddScalar": "Add", "Argmax": "ArgMaxD", "Argmin": "ArgMinD",
    "BitwiseAndScalar": "BitwiseAnd", "BitwiseOrScalar": "BitwiseOr", "BitwiseXorScalar": "BitwiseXor",
    "BroadcastToView": "BroadcastTo", "CeLU": "CeluV2", "ClampScalar": "ClipByValue", "Clone": "Identity", "Concat": "ConcatD",
    "Contiguous": "Identity", "CumProd": "Cumprod", "CumSum": "Cumsum", "CumsumExt": "Cumsum", "Dense": "BatchMatMulV2",
    "DepthwiseConv2dNative": "DepthwiseConv2D", "Divs": "Div", "EluExt": "Elu", "Embedding": "GatherV2", "EqScalar": "Equal",
    "FillScalar": "Fill", "FillV2": "Fill", "FlattenExt": "FlattenV2", "FloorDivScalar": "FloorDiv", "FullLike": "Fill",
    "Gather": "GatherV2", "GatherD": "GatherElements", "GeLU": "Gelu", "GeluExt": "GeluV2",
    "GreaterEqualScalar": "GreaterEqual", "HShrink": "HardShrink", "HSigmoid": "HardSigmoid", "HSwish": "HardSwish",
    "IndexSelect": "GatherV2", "InplaceAddExt": "Add", "InplaceMul": "Mul", "InplaceMuls": "Muls", "Inv": "Reciprocal",
    "LayerNormExt": "LayerNormV3", "LeakyReLUExt": "LeakyRelu", "LessScalar": "Less", "LogSoftmax": "LogSoftmaxV2",
    "LogSoftmaxExt": "LogSoftmaxV2", "LogSumExp": "ReduceLogSumExp", "MatMul": "MatMulV2", "MatMulExt": "BatchMatMul",
    "Max": "ReduceMax", "MaxPool3DWithArgmax": "MaxPool3DWithArgmaxV2", "MeanExt": "ReduceMean", "Min": "ReduceMin",
    "MishExt": "Mish", "OnesLikeExt": "OnesLike", "PReLU": "PRelu", "PowScalarTensor": "Pow", "PowTensorScalar": "Pow",
    "ProdExt": "ReduceProd", "ReLU": "Relu", "ReLU6": "Relu6", "RemainderScalarTensor": "FloorMod",
    "RemainderTensorScalar": "FloorMod", "RemainderTensorTensor": "FloorMod", "SeLU": "Selu", "SelectExtView": "GatherV2",
    "SiLU": "Swish", "Softmax": "SoftmaxV2", "SoftplusExt": "SoftplusV2", "Split": "SplitD", "SplitTensor": "SplitD",
    "Stack": "Pack", "StackExt": "Pack", "StopGradient": "Identity", "SubExt": "Sub", "SubScalar": "Sub", "SumExt": "ReduceSum",
    "TransposeExtView": "Transpose", "TrilExt": "Tril", "TruncateMod": "Mod", "Unstack": "Unpack", "XLogYScalarOther": "Xlogy",
    "ZerosLikeExt": "ZerosLike",
}
# What reading resolves, so that no node is left of it.
BOOKKEEPING = {"Load", "UpdateState", "Depend", "MakeTuple", "TupleGetItem", "Return", "make_list"}


def schema():
    """The message class of a model."""
    file = descriptor_pb2.FileDescriptorProto(name="ge.proto", package="ge.proto", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            if kind == "map":
                entry = message.nested_type.add(name="".join(p.capitalize() for p in field.split("_")) + "Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=TEXT, label=ONE)
                entry.field.add(name="value", number=2, type=F.TYPE_MESSAGE, type_name=".ge.proto.AttrDef", label=ONE)
                kind = f"{name}.{entry.name}"
            if isinstance(kind, str):
                message.field.add(name=field, number=number, type=F.TYPE_MESSAGE, type_name=f".ge.proto.{kind}", label=label)
            else:
                message.field.add(name=field, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ge.proto.ModelDef"))


def check_edges(graph):
    """Problems with the edges of a graph."""
    outputs, problems = {}, []
    for place, op in enumerate(graph.op):
        if op.id != place or op.name in outputs:
            problems.append(f"{op.name}: id {op.id} at place {place}, or the name is taken")
        data = [edge for edge in op.input if not edge.endswith(":-1")]
        if op.type != "Data" and len(data) != len(op.input_desc):
            problems.append(f"{op.name}: {len(data)} inputs, {len(op.input_desc)} descriptions")
        for edge in filter(None, data):
            producer, index = edge.rsplit(":", 1)
            if int(index) >= outputs.get(producer, 0):
                problems.append(f"{op.name}: no output {edge}")
        outputs[op.name] = len(op.output_desc)
    for edge in list(graph.input) + list(graph.output):
        producer, index = edge.rsplit(":", 1)
        if int(index) >= outputs.get(producer, 0):
            problems.append(f"the graph: no output {edge}")
    return problems


def operators(model):
    """How often each operator is in a MindIR file, under the graph engine's names."""
    primitives = {p.name: p.op_type for p in model.primitives}
    used = (primitives.get(n.op_type.removeprefix("REF::"), "?") for n in model.graph.node if n.op_type != "Constant")
    return Counter(NAMES.get(op, op) for op in used if op not in BOOKKEEPING)


def kind(op):
    """The operator of a node; products with an offset have one name whatever their rank."""
    offset = op.type in ("MatMulV2", "BatchMatMulV2") and any(desc.name == "bias" for desc in op.input_desc)
    return "BatchMatMulV2" if offset else op.type


def check(mindir, air, message):
    """Problems with one pair of files."""
    model, written = mind_ir_pb2.ModelProto(), message()
    with open(mindir, "rb") as f:
        model.ParseFromString(f.read())
    with open(air, "rb") as f:
        written.ParseFromString(f.read())
    if len(written.graph) != 1:
        return [f"{len(written.graph)} graphs"]
    graph = written.graph[0]
    problems = check_edges(graph)
    ops = Counter(kind(op) for op in graph.op if op.type not in ("Data", "Const"))
    more, fewer = ops - operators(model), operators(model) - ops
    if fewer or set(more) - {"Cast"}:  # sums of integers are converted first
        problems.append(f"operators differ: {more} more, {fewer} fewer")
    if len(graph.input) != len(model.graph.input):
        problems.append(f"{len(graph.input)} inputs for {len(model.graph.input)}")
    consts = {op.name: op.attr["value"].t for op in graph.op if op.type == "Const"}
    used = {name for node in model.graph.node for name in node.input}
    for p in model.graph.parameter:
        if p.name not in used:
            continue
        name = p.name.split(":", 1)[1]
        const = consts.get(f"{name}_const")
        if const is None or const.data != p.raw_data or list(const.desc.shape.dim) != list(p.dims):
            problems.append(f"weight {name} is missing or differs")
    return problems


def main():
    message, failed = schema(), False
    for pair in sys.argv[1:]:
        mindir, air = pair.split("=", 1)
        problems = check(mindir, air, message)
        print(f"{air}: {'; '.join(problems[:5]) or 'agrees'}")
        failed |= bool(problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
