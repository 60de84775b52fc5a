#!/usr/bin/env python3
"""Turn MindIR files of feed-forward networks into ONNX twins with the same weights.

  to_onnx.py DIR/NAME...         writes DIR/NAME/model.onnx beside model.mindir and compares ONNX Runtime's result with out_0.npy..

Only what the benchmark networks need is covered: static shapes, one graph, no control flow, no recurrent layers.
"""
import argparse
import glob
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "oracle"))

import mindir  # noqa: E402

OPSET = 20
SAME_NAME = {"Add": "Add", "Sub": "Sub", "Mul": "Mul", "Div": "Div", "Erf": "Erf", "ReLU": "Relu", "Sigmoid": "Sigmoid",
             "Tanh": "Tanh", "Sqrt": "Sqrt", "Exp": "Exp"}


def scalar_or_tuple(attr, pb):
    """The Python value of a constant or attribute; tensors become arrays, monads None."""
    t = pb.AttributeProto
    if attr.type in (t.TUPLE, t.LIST):
        return [scalar_or_tuple(v, pb) for v in attr.values]
    if attr.type == t.STRING:
        return (attr.strings[0] if attr.strings else attr.s).decode()
    if attr.type == t.FLOAT:
        return float(attr.floats[0] if attr.floats else attr.f)
    if attr.type in (t.TENSOR, t.TENSORS):
        tensor = attr.tensors[0] if attr.tensors else attr.t
        return np.frombuffer(tensor.raw_data, mindir.dtype_name(tensor.data_type)).reshape(list(tensor.dims))
    if attr.type in (t.BOOL, t.INT8, t.INT16, t.INT32, t.INT64, t.UINT8, t.UINT16, t.UINT32, t.UINT64):
        return int(attr.ints[0] if attr.ints else attr.i)
    return None


class Twin:
    """Builds the ONNX graph node by node; `values` maps MindIR names to ONNX names (str), constants, arrays or lists of these."""

    def __init__(self, proto):
        self.pb = mindir.messages()
        self.proto, self.nodes, self.weights, self.values = proto, [], {}, {}
        self.primitives = {p.name: p for p in proto.primitives}

    # ---- building blocks

    def emit(self, op, inputs, outputs=1, **attributes):
        """Add a node; gives its output name, or a list of names."""
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, [self.name(x) for x in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def name(self, value):
        """The ONNX name of a value; constants become initializers."""
        if isinstance(value, str):
            return value
        if not isinstance(value, np.ndarray):
            is_int = isinstance(value, (list, tuple)) or isinstance(value, int)
            value = np.asarray(value, np.int64 if is_int else np.float32)
        key = (value.shape, value.dtype.str, value.tobytes() if value.size < 64 else id(value))
        if key not in self.weights:
            self.weights[key] = (f"w{len(self.weights)}", value)
        return self.weights[key][0]

    def attributes(self, primitive):
        return {a.name: scalar_or_tuple(a, self.pb) for a in primitive.attribute}

    # ---- the walk

    def convert(self):
        graph = self.proto.graph
        for p in graph.parameter:
            self.values[p.name] = np.frombuffer(p.raw_data, mindir.dtype_name(p.data_type)).reshape(list(p.dims))
        inputs = [self.input(i, v) for i, v in enumerate(graph.input)]
        for node in graph.node:
            self.values[node.output[0]] = self.node(node)
        outputs = [self.output(i, v) for i, v in enumerate(self.results(graph))]
        weights = [numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in self.weights.values()]
        made = helper.make_graph(self.nodes, "twin", inputs, outputs, weights)
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)

    def input(self, i, value):
        tensor = value.tensor[0]
        self.values[value.name] = f"in_{i}"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(mindir.dtype_name(tensor.data_type)))
        return helper.make_tensor_value_info(f"in_{i}", kind, list(tensor.dims))

    def results(self, graph):
        found = [self.values[v.name] for v in graph.output]
        return found[0] if isinstance(found[0], list) else found

    def output(self, i, value):
        self.nodes.append(helper.make_node("Identity", [self.name(value)], [f"out_{i}"]))
        return helper.make_tensor_value_info(f"out_{i}", TensorProto.FLOAT, None)

    def node(self, node):
        if node.op_type == "Constant":
            return scalar_or_tuple(next(a for a in node.attribute if a.name == "value"), self.pb)
        primitive = self.primitives[node.op_type[5:]]
        op = primitive.op_type or primitive.name
        args = [self.values[i] for i in node.input]
        if op in SAME_NAME:
            return self.emit(SAME_NAME[op], args[:2])
        handler = getattr(self, "op_" + op, None)
        if handler is None:
            raise NotImplementedError(f"operator {op}")
        if op == "Cast":
            return self.emit("Cast", args[:1], to=self.result_type(node))
        return handler(args, self.attributes(primitive))

    def result_type(self, node):
        shape = next(a for a in node.attribute if a.name == "shape")
        return helper.np_dtype_to_tensor_dtype(np.dtype(mindir.dtype_name(shape.tensors[0].data_type)))

    # ---- structure

    def op_Load(self, x, _):
        return x[0]

    op_Depend = op_Load

    def op_UpdateState(self, x, _):
        return None

    op_Cast = op_UpdateState              # handled in `node`, it needs the result's type

    def op_MakeTuple(self, x, _):
        return x

    def op_TupleGetItem(self, x, _):
        return x[0][x[1]]

    # ---- shapes

    def op_Reshape(self, x, _):
        return self.emit("Reshape", [x[0], x[1]])

    def op_Flatten(self, x, _):
        return self.emit("Flatten", x, axis=1)

    def op_Transpose(self, x, _):
        return self.emit("Transpose", x[:1], perm=x[1])

    def op_ExpandDims(self, x, _):
        return self.emit("Unsqueeze", [x[0], [x[1]]])

    def op_Squeeze(self, x, _):
        axes = x[1] if isinstance(x[1], list) else [x[1]]
        return self.emit("Squeeze", [x[0], axes])

    def op_BroadcastTo(self, x, _):
        return self.emit("Expand", [x[0], x[1]])

    def op_Concat(self, x, _):
        return self.emit("Concat", x[0], axis=x[1])

    def op_Split(self, x, _):
        return self.emit("Split", x[:1], outputs=x[2], axis=x[1], num_outputs=x[2])

    def op_Stack(self, x, attributes):
        axis = attributes["axis"]
        return self.emit("Concat", [self.emit("Unsqueeze", [v, [axis]]) for v in x[0]], axis=axis)

    def op_Gather(self, x, _):
        return self.emit("Gather", x[:2], axis=x[2])

    def op_StridedSlice(self, x, _):
        begin, end, strides = x[1], x[2], x[3]
        begin_mask, end_mask, ellipsis, new_axis, shrink = x[4:9]
        if (ellipsis | new_axis) & (1 << len(begin)) - 1:
            raise NotImplementedError("slices with an ellipsis or a new axis")
        starts = [0 if begin_mask >> i & 1 else b for i, b in enumerate(begin)]
        ends = [2 ** 31 if end_mask >> i & 1 else e for i, e in enumerate(end)]
        y = self.emit("Slice", [x[0], starts, ends, list(range(len(begin))), strides])
        gone = [i for i in range(len(begin)) if shrink >> i & 1]
        return self.emit("Squeeze", [y, gone]) if gone else y

    def op_ResizeNearestNeighbor(self, x, _):
        if x[2]:
            raise NotImplementedError("resize with aligned corners")
        return self.emit("Resize", [x[0], "", "", x[1]], axes=[2, 3], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    # ---- arithmetic

    def op_Muls(self, x, _):
        return self.emit("Mul", [x[0], float(x[1])])

    def op_Divs(self, x, _):
        return self.emit("Div", [x[0], float(x[1])])

    def op_ReLU6(self, x, _):
        return self.emit("Clip", [x[0], np.float32(0).reshape(()), np.float32(6).reshape(())])

    def op_ClampScalar(self, x, _):
        return self.emit("Clip", [x[0], np.asarray(x[1], np.float32)] + ([np.asarray(x[2], np.float32)] if x[2] is not None else []))

    def op_SiLU(self, x, _):
        return self.emit("Mul", [x[0], self.emit("Sigmoid", x[:1])])

    def op_GeLU(self, x, _):
        return self.emit("Gelu", x[:1], approximate="tanh")

    def op_Softmax(self, x, _):
        return self.emit("Softmax", x[:1], axis=x[1][0] if isinstance(x[1], list) else x[1])

    def op_ReduceMean(self, x, _):
        return self.emit("ReduceMean", [x[0], x[1] if isinstance(x[1], list) else [x[1]]], keepdims=x[2])

    def op_SumExt(self, x, _):
        return self.emit("ReduceSum", [x[0], x[1] if isinstance(x[1], list) else [x[1]]], keepdims=x[2])

    def op_L2Normalize(self, x, attributes):
        total = self.emit("ReduceSumSquare", [x[0], attributes["axis"]], keepdims=1)
        return self.emit("Div", [x[0], self.emit("Sqrt", [self.emit("Max", [total, np.asarray(attributes["epsilon"], np.float32)])])])

    # ---- products, convolutions, norms, pooling

    def matrix(self, value, transposed):
        if not transposed:
            return value
        if isinstance(value, np.ndarray):
            key = ("transposed", id(value))
            if key not in self.values:
                self.values[key] = np.ascontiguousarray(np.swapaxes(value, -1, -2))
            return self.values[key]
        return self.emit("Transpose", [value], perm=[0, 1, 3, 2])

    def op_MatMul(self, x, _):
        return self.emit("MatMul", [self.matrix(x[0], x[2]), self.matrix(x[1], x[3])])

    op_BatchMatMul = op_MatMul

    def op_BiasAdd(self, x, _):
        conv = next((n for n in self.nodes[-1:] if n.op_type == "Conv" and n.output[0] == x[0]), None)
        if conv is None:
            return self.emit("Add", x[:2])
        conv.input.append(self.name(x[1]))
        return x[0]

    def op_Conv2D(self, x, a):
        same = {"same": "SAME_UPPER", "valid": "VALID"}.get(a["pad_mode"].lower())
        top, bottom, left, right = a["pad_list"]
        place = {"auto_pad": same} if same else {"pads": [top, left, bottom, right]}
        return self.emit("Conv", x[:2], strides=a["stride"][2:], dilations=a["dilation"][2:], group=a["group"], **place)

    def op_BatchNorm(self, x, _):
        return [self.emit("BatchNormalization", x[:5], epsilon=x[6])]

    def op_LayerNorm(self, x, _):
        return [self.emit("LayerNormalization", x[:3], axis=x[3], epsilon=x[5])]

    def op_MaxPool(self, x, a):
        mode = {"SAME": "SAME_UPPER", "VALID": "VALID"}[a["pad_mode"].upper()]
        return self.emit("MaxPool", x[:1], kernel_shape=a["kernel_size"][2:], strides=a["strides"][2:], auto_pad=mode)

    def op_MaxPool3DWithArgmax(self, x, a):
        return [self.emit("MaxPool", x[:1], kernel_shape=a["ksize"], strides=a["strides"], pads=a["pads"] * 2)]


def convert(folder):
    """Write model.onnx for a golden; gives its path."""
    path = os.path.join(folder, "model.onnx")
    onnx.save(Twin(mindir.read(mindir.graph_file(folder))).convert(), path)
    return path


def compare(folder):
    """Largest difference between ONNX Runtime on the twin and MindSpore's stored outputs, relative to their magnitude."""
    import onnxruntime as ort
    session = ort.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    got = session.run(None, {n: np.load(os.path.join(folder, n + ".npy")) for n in names})
    worst = 0.0
    for i, value in enumerate(got):
        want = np.load(os.path.join(folder, f"out_{i}.npy"))
        assert value.shape == want.shape, (value.shape, want.shape)
        worst = max(worst, float(np.abs(value - want).max() / max(1.0, np.abs(want).max())))
    return worst, len(glob.glob(os.path.join(folder, "out_*.npy"))) == len(got)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folders", nargs="+")
    failed = 0
    for folder in ap.parse_args().folders:
        try:
            convert(folder)
            worst, complete = compare(folder)
            failed += not complete or worst > 1e-4
            print(f"{folder}: largest difference {worst:.2g}", flush=True)
        except NotImplementedError as error:
            failed += 1
            print(f"{folder}: no twin: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
