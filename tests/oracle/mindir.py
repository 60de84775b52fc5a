"""Reading MindIR files as protobuf: operator counts, declared inputs, parameters."""
import collections
import glob
import importlib.util
import os
import sys

import numpy as np

STRUCTURE = {"Constant", "MakeTuple", "TupleGetItem", "Load", "UpdateState", "Depend", "Partial"}


def messages():
    """MindSpore's message classes, without importing the whole of MindSpore."""
    for base in sys.path:
        path = os.path.join(base, "mindspore", "train", "mind_ir_pb2.py")
        if os.path.exists(path):
            if "mind_ir_pb2" not in sys.modules:
                spec = importlib.util.spec_from_file_location("mind_ir_pb2", path)
                sys.modules["mind_ir_pb2"] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(sys.modules["mind_ir_pb2"])
            return sys.modules["mind_ir_pb2"]
    raise ImportError("mind_ir_pb2 not found")


def read(path):
    """The ModelProto of a file."""
    proto = messages().ModelProto()
    with open(path, "rb") as f:
        proto.ParseFromString(f.read())
    return proto


def graph_file(folder):
    """The graph file of a golden: model.mindir or the *_graph.mindir of a split model."""
    for pattern in ("model.mindir", "*_graph.mindir"):
        found = glob.glob(os.path.join(folder, pattern))
        if found:
            return found[0]
    raise FileNotFoundError(folder)


def ops(proto):
    """Operator type -> number of nodes, over the main graph and all functions; calls of functions are `call`."""
    types = {p.name: p.op_type or p.name for p in proto.primitives}
    count = collections.Counter()
    for graph in [proto.graph, *proto.functions]:
        for node in graph.node:
            name = node.op_type
            if name.startswith("REF::"):
                name = types.get(name[5:], "call")
            count[name] += 1
    return dict(sorted(count.items()))


def dtype_name(value):
    """`FLOAT` -> `float32` and so on."""
    name = messages().TensorProto.DataType.Name(value).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def declared(values):
    """Inputs or outputs as the file states them; -1 is an unknown dimension, [-2] an unknown rank."""
    rows = []
    for v in values:
        row = {"name": v.name}
        if v.tensor:
            row.update(shape=list(v.tensor[0].dims), dtype=dtype_name(v.tensor[0].data_type))
        elif v.HasField("attr_info"):
            row["kind"] = messages().AttributeProto.AttributeType.Name(v.attr_info.type).lower()
        rows.append(row)
    return rows


def parameters(proto):
    """Parameter name -> array, for models whose parameters lie inside the file."""
    arrays = {}
    for p in proto.graph.parameter:
        name, dtype = p.name.split(":")[-1], dtype_name(p.data_type)
        raw = np.frombuffer(p.raw_data, np.uint16 if dtype == "bfloat16" else dtype)
        arrays[name] = raw.reshape(list(p.dims))
    return arrays


def parameter_count(proto):
    """Number of parameter elements."""
    return int(sum(np.prod(list(p.dims), dtype=np.int64) for p in proto.graph.parameter))


def summary(folders):
    """A table of the operators in the goldens: how many goldens and nodes use each, and which goldens."""
    users, nodes = collections.defaultdict(list), collections.Counter()
    for folder in folders:
        for op, n in ops(read(graph_file(folder))).items():
            users[op].append(os.path.basename(os.path.normpath(folder)))
            nodes[op] += n
    lines = [f"{'operator':28} {'goldens':>7} {'nodes':>7}  in"]
    for op in sorted(users, key=lambda o: (-len(users[o]), o)):
        if op not in STRUCTURE:
            lines.append(f"{op:28} {len(users[op]):7} {nodes[op]:7}  {' '.join(users[op][:4])}{' ...' if len(users[op]) > 4 else ''}")
    return "\n".join(lines)
