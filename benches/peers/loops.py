#!/usr/bin/env python3
"""Make models that go round, at three lengths each, for peers.py: recurrent layers, and loops as ONNX's Loop and MindSpore's while.

  loops.py --out DIR [--lengths 100,400,1600]

DIR/NAME_LENGTH holds model.onnx and in_0.npy...  Where MindSpore exports a loop of its own, model.mindir is beside it.
"""
import argparse
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

WIDTH = 64


def save(folder, nodes, outs, weights, arrays):
    """An ONNX model with inputs in_0, in_1... like `arrays`, and the arrays."""
    os.makedirs(folder, exist_ok=True)
    ins = [h.make_tensor_value_info(f"in_{i}", h.np_dtype_to_tensor_dtype(a.dtype), a.shape) for i, a in enumerate(arrays)]
    graph = h.make_graph(nodes, "loops", ins, outs, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for i, a in enumerate(arrays):
        np.save(os.path.join(folder, f"in_{i}.npy"), a)


def layer(folder, op, length, batch=1, direction="forward", **attributes):
    """A recurrent layer whose input and state have WIDTH elements."""
    rng, gates, directions = np.random.default_rng(1), {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 1 + (direction == "bidirectional")
    uniform = lambda *dims: rng.uniform(-1, 1, dims).astype(np.float32) / WIDTH**0.5
    weights = {"w": uniform(directions, gates * WIDTH, WIDTH), "r": uniform(directions, gates * WIDTH, WIDTH),
               "b": uniform(directions, 2 * gates * WIDTH)}
    node = h.make_node(op, ["in_0", "w", "r", "b"], ["y"], hidden_size=WIDTH, direction=direction, **attributes)
    out = h.make_tensor_value_info("y", T.FLOAT, [length, directions, batch, WIDTH])
    save(folder, [node], [out], weights, [rng.standard_normal((length, batch, WIDTH)).astype(np.float32)])


def loop(folder, length, width, keep):
    """`while i < n: s += x[i]`; with `keep` the sums of all turns are results."""
    dims = [width] if width else []
    info = h.make_tensor_value_info
    nodes = [h.make_node("Gather", ["in_0", "i"], ["row"], axis=0), h.make_node("Add", ["s", "row"], ["sum"]),
             h.make_node("Identity", ["more"], ["again"]), h.make_node("Identity", ["sum"], ["kept"])]
    ins = [info("i", T.INT64, []), info("more", T.BOOL, []), info("s", T.FLOAT, dims)]
    outs = [info("again", T.BOOL, []), info("sum", T.FLOAT, dims), info("kept", T.FLOAT, dims)]
    body = h.make_graph(nodes[: 4 if keep else 3], "body", ins, outs[: 3 if keep else 2])
    results = [info("y", T.FLOAT, dims), info("rows", T.FLOAT, [None, *dims])][: 2 if keep else 1]
    turns = h.make_node("Cast", ["in_1"], ["turns"], to=T.INT64)
    node = h.make_node("Loop", ["turns", "yes", "start"], [r.name for r in results], body=body)
    x = np.random.default_rng(1).standard_normal((length, *dims)).astype(np.float32)
    weights = {"yes": np.array(True), "start": np.zeros(dims, np.float32)}
    save(folder, [turns, node], results, weights, [x, np.array(length, np.int32)])


def mindspore_loops(out, lengths):
    """The same loops as MindSpore exports them."""
    import mindspore as ms
    from mindspore import Tensor, nn, ops

    class Sum(nn.Cell):
        def construct(self, x, n):
            i, s = Tensor(0, ms.int32), ops.zeros_like(x[0])
            while i < n:
                s = s + x[i]
                i = i + 1
            return s

    class Rows(nn.Cell):
        def construct(self, x, n):
            i, s, rows = Tensor(0, ms.int32), ops.zeros_like(x[0]), ops.zeros_like(x)
            while i < n:
                s = s + x[i]
                rows[i] = s
                i = i + 1
            return s, rows

    for name, net in (("sum", Sum()), ("rows", Rows())):
        for n in lengths:
            folder = os.path.join(out, f"while_{name}_{n}")
            loop(folder, n, WIDTH if name == "rows" else 0, name == "rows")
            arrays = [Tensor(np.load(os.path.join(folder, f"in_{i}.npy"))) for i in range(2)]
            ms.export(net, *arrays, file_name=os.path.join(folder, "model"), file_format="MINDIR")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", required=True)
    ap.add_argument("--lengths", default="100,400,1600")
    args = ap.parse_args()
    lengths = [int(n) for n in args.lengths.split(",")]
    for n in lengths:
        path = lambda name: os.path.join(args.out, f"{name}_{n}")
        layer(path("gru"), "GRU", n)
        layer(path("gru_reset"), "GRU", n, linear_before_reset=1)
        layer(path("gru_both"), "GRU", n, direction="bidirectional")
        layer(path("rnn"), "RNN", n)
        layer(path("lstm"), "LSTM", n)
        layer(path("lstm_batch8"), "LSTM", n, batch=8)
        loop(path("loop_sum"), n, 0, False)
        loop(path("loop_rows"), n, WIDTH, True)
    layer(os.path.join(args.out, "lstm_2000"), "LSTM", 2000)
    mindspore_loops(args.out, lengths)


if __name__ == "__main__":
    main()
