#!/usr/bin/env python3
"""Write small convolutions with element-wise tails, for `peers.py`.

  tails.py --mindir PATH --out DIR

DIR/NAME holds model.onnx, model.mindir and in_0.npy, at three sizes of each kind: depthwise (dw), few channels (conv3_8), pointwise (pw),
each with scale and h-swish in five operators, a strided convolution with SiLU (silu), and a convolution over volumes (conv3d).
"""
import argparse
import os
import subprocess

import numpy as np
import onnx
from onnx import helper, numpy_helper

random = np.random.default_rng(1)


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value, np.float32), name)


def normal(*dims):
    return random.standard_normal(dims) * 0.3


HSWISH = [
    helper.make_node("Mul", ["v", "scale"], ["m"]),
    helper.make_node("Add", ["m", "three"], ["a"]),
    helper.make_node("Clip", ["a", "zero", "six"], ["k"]),
    helper.make_node("Mul", ["m", "k"], ["p"]),
    helper.make_node("Div", ["p", "six"], ["y"]),
]
SILU = [helper.make_node("Sigmoid", ["v"], ["g"]), helper.make_node("Mul", ["v", "g"], ["y"])]
RELU = [helper.make_node("Relu", ["v"], ["y"])]


def model(folder, name, tail, x, w, y, **attributes):
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    channels = w[0]
    constants = [constant("three", 3), constant("zero", 0), constant("six", 6), constant("w", normal(*w)), constant("b", normal(channels))]
    constants.append(constant("scale", normal(1, channels, *[1] * (len(x) - 2))))
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["v"], **attributes), *tail]
    ports = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, dims) for n, dims in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, name, ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), os.path.join(folder, name, "model.onnx"))
    np.save(os.path.join(folder, name, "in_0.npy"), random.standard_normal(x).astype(np.float32))


def models(folder):
    for c in (8, 16, 32):
        model(folder, f"dw{c}_160", HSWISH, [1, c, 160, 160], [c, 1, 3, 3], [1, c, 160, 160], pads=[1] * 4, group=c)
    for n in (48, 96, 192):
        model(folder, f"conv3_8_{n}", HSWISH, [1, 3, n, n], [8, 3, 3, 3], [1, 8, n, n], pads=[1] * 4)
    for n in (40, 80, 160):
        model(folder, f"pw16_{n}", HSWISH, [1, 16, n, n], [16, 16, 1, 1], [1, 16, n, n])
    for n in (80, 160, 320):
        model(folder, f"silu3_16_{n}", SILU, [1, 3, n, n], [16, 3, 3, 3], [1, 16, n // 2, n // 2], pads=[1] * 4, strides=[2, 2])
    for n in (8, 16, 32):
        model(folder, f"conv3d_4_8_{n}", RELU, [1, 4, n, n, n], [8, 4, 3, 3, 3], [1, 8, n, n, n], pads=[1] * 6)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--out", required=True)
    args = ap.parse_args()
    models(args.out)
    for name in sorted(os.listdir(args.out)):
        file = os.path.join(args.out, name, "model")
        subprocess.run([args.mindir, "convert", file + ".onnx", file + ".mindir"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
