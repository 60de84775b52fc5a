#!/usr/bin/env python3
"""Networks that ONNX Runtime quantises, in every way that it has, run by `mindir` and by ONNX Runtime.

  onnx_quantized.py --command MINDIR
  --table FILE      write the differences
  --keep FOLDER     keep the files

Nodes of ONNX Runtime are not fused, so that QuantizeLinear and DequantizeLinear are what the file says. The unit of differences is
the largest magnitude of the result; a sum that lies between two levels may be rounded to either.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Net:
    """A graph under construction."""

    def __init__(self, seed):
        self.rng, self.nodes, self.weights = np.random.default_rng(seed), [], []

    def weight(self, *shape, scale=None):
        name = f"w{len(self.weights)}"
        x = self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(max(1, np.prod(shape[1:]))))
        self.weights.append(numpy_helper.from_array(x.astype(np.float32), name))
        return name

    def ints(self, *values):
        name = f"i{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def op(self, kind, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{kind}_{len(self.nodes)}", **attributes))
        return name

    def save(self, path, shape, result):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, "net", [value("x", TensorProto.FLOAT, shape)], [value(result, TensorProto.FLOAT, None)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)


def pictures(path):
    n = Net(1)
    x = n.op("Conv", "x", n.weight(8, 3, 3, 3), n.weight(8, scale=.1), pads=[1, 1, 1, 1])
    x = n.op("MaxPool", n.op("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    y = n.op("Conv", x, n.weight(8, 1, 3, 3), n.weight(8, scale=.1), pads=[1, 1, 1, 1], group=8)
    y = n.op("LeakyRelu", y, alpha=.1)
    y = n.op("Mul", y, n.op("Sigmoid", n.op("GlobalAveragePool", y)))
    x = n.op("Concat", n.op("Add", x, y), n.op("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), axis=1)
    x = n.op("Relu", n.op("Conv", x, n.weight(12, 16, 3, 3), n.weight(12, scale=.1), strides=[2, 2]))
    x = n.op("Flatten", n.op("GlobalAveragePool", x))
    x = n.op("Softmax", n.op("Gemm", x, n.weight(10, 12), n.weight(10, scale=.1), transB=1))
    n.save(path, ["n", 3, 16, 16], x)
    return lambda rng, count: rng.uniform(-1, 1, (count, 3, 16, 16)).astype(np.float32)


def words(path):
    n, (steps, width, heads) = Net(2), (6, 32, 4)
    x = "x"
    for _ in range(2):
        parts = [n.op("Add", n.op("MatMul", x, n.weight(width, width)), n.weight(width, scale=.1)) for _ in range(3)]
        split = n.ints(0, steps, heads, width // heads)
        q, k, v = (n.op("Reshape", p, split) for p in parts)
        q, v = (n.op("Transpose", p, perm=[0, 2, 1, 3]) for p in (q, v))
        shares = n.op("Softmax", n.op("MatMul", q, n.op("Transpose", k, perm=[0, 2, 3, 1])), axis=-1)
        y = n.op("Reshape", n.op("Transpose", n.op("MatMul", shares, v), perm=[0, 2, 1, 3]), n.ints(0, steps, width))
        x = n.op("Add", x, n.op("MatMul", y, n.weight(width, width)))
        x = n.op("LayerNormalization", x, n.weight(width), n.weight(width))
        y = n.op("Add", n.op("MatMul", x, n.weight(width, 2 * width)), n.weight(2 * width, scale=.1))
        y = n.op("Mul", y, n.op("Sigmoid", y))
        x = n.op("Add", x, n.op("MatMul", y, n.weight(2 * width, width)))
    x = n.op("Gather", x, n.ints(0), axis=1)
    n.save(path, ["n", steps, width], n.op("Gemm", n.op("Flatten", x), n.weight(5, width), n.weight(5, scale=.1), transB=1))
    return lambda rng, count: rng.standard_normal((count, steps, width)).astype(np.float32)


class Samples(CalibrationDataReader):
    def __init__(self, made):
        self.left = iter([{"x": made(np.random.default_rng(i), 2)} for i in range(8)])

    def get_next(self):
        return next(self.left, None)


U8, I8, U16, I16, I4, U4 = (getattr(QuantType, "Q" + n) for n in ("UInt8", "Int8", "UInt16", "Int16", "Int4", "UInt4"))
STATIC = {
    "QDQ u8 u8": dict(quant_format=QuantFormat.QDQ, activation_type=U8, weight_type=U8),
    "QDQ u8 i8 by channel": dict(quant_format=QuantFormat.QDQ, activation_type=U8, weight_type=I8, per_channel=True),
    "QDQ i8 i8": dict(quant_format=QuantFormat.QDQ, activation_type=I8, weight_type=I8),
    "QDQ u16 i8": dict(quant_format=QuantFormat.QDQ, activation_type=U16, weight_type=I8),
    "QDQ u16 i4 by channel": dict(quant_format=QuantFormat.QDQ, activation_type=U16, weight_type=I4, per_channel=True),
    "QOperator u8 u8": dict(quant_format=QuantFormat.QOperator, activation_type=U8, weight_type=U8),
    "QOperator u8 i8 by channel": dict(quant_format=QuantFormat.QOperator, activation_type=U8, weight_type=I8, per_channel=True),
    "QOperator i8 i8": dict(quant_format=QuantFormat.QOperator, activation_type=I8, weight_type=I8),
}
DYNAMIC = {
    "dynamic u8": dict(weight_type=U8),
    "dynamic i8 by channel": dict(weight_type=I8, per_channel=True),
}
BLOCKS = {"blocks of 4 bits": (4, False), "blocks of 4 bits, even": (4, True), "blocks of 8 bits": (8, False)}


def blocks(source, path, bits, even, size=16):
    """Products with weights as `MatMulNBits`, as ONNX Runtime's quantiser writes it."""
    model = onnx.load(source)
    weights = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        w = numpy_helper.to_array(weights[node.input[1]]).T
        n, k = w.shape
        w = w.reshape(n, k // size, size)
        low, high = w.min(-1, keepdims=True), w.max(-1, keepdims=True)
        most, half = 2**bits - 1, 2 ** (bits - 1)
        scale = np.maximum(abs(low), abs(high)) / (half - 1) if even else (high - low) / most
        zero = np.full_like(scale, half) if even else np.clip(np.rint(-low / scale), 0, most)
        made = [np.clip(np.rint(w / scale) + zero, 0, most), scale.reshape(-1), zero.reshape(n, -1)]
        pack = lambda q: q.astype(np.uint8) if bits == 8 else q[..., ::2].astype(np.uint8) | q[..., 1::2].astype(np.uint8) << 4
        values = [pack(made[0]), made[1].astype(np.float32)] + ([] if even else [pack(made[2]).reshape(-1)])
        names = [f"{node.input[1]}_{part}" for part in ("bits", "scales", "zeros")[: len(values)]]
        model.graph.initializer.extend(numpy_helper.from_array(v, name) for v, name in zip(values, names))
        node.input[1:] = names
        node.op_type, node.domain = "MatMulNBits", "com.microsoft"
        node.attribute.extend(helper.make_attribute(a, v) for a, v in [("K", k), ("N", n), ("bits", bits), ("block_size", size)])
    read = {name for node in model.graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)


def files(net, made, source, work):
    """Names of ways to quantise with the files."""
    ways = [(name, lambda path, s=s: quantize_static(source, path, Samples(made), **s)) for name, s in STATIC.items()]
    ways += [(name, lambda path, s=s: quantize_dynamic(source, path, **s)) for name, s in DYNAMIC.items()]
    if net == "words":
        ways += [(name, lambda path, s=s: blocks(source, path, *s)) for name, s in BLOCKS.items()]
    for i, (name, quantize) in enumerate(ways):
        path = os.path.join(work, f"{net}_{i}.onnx")
        quantize(path)
        yield name, path


def compared(command, path, x, work):
    """The largest difference relative to the largest magnitude, or what went wrong."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    want = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.save(os.path.join(work, "x.npy"), x)
    out = os.path.join(work, "out")
    done = subprocess.run([command, "run", path, "-i", os.path.join(work, "x.npy"), "-o", out], capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip()
    got = np.load(os.path.join(out, "out_0.npy"))
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype} {got.shape} is not {want.dtype} {want.shape}"
    return float(np.abs(got - want).max() / np.abs(want).max())


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--command", default="mindir")
    ap.add_argument("--table")
    ap.add_argument("--keep")
    args = ap.parse_args()
    lines, wrong = [], 0
    with tempfile.TemporaryDirectory() as work:
        folder = args.keep or work
        os.makedirs(folder, exist_ok=True)
        for net, build in [("pictures", pictures), ("words", words)]:
            plain, source = (os.path.join(folder, f"{net}{end}.onnx") for end in ("", "_prepared"))
            made = build(plain)
            quant_pre_process(plain, source, skip_symbolic_shape=True)
            for name, path in files(net, made, source, folder):
                found = compared(args.command, path, made(np.random.default_rng(99), 3), work)
                # A level of the result, or of what comes before it.
                fits = isinstance(found, float) and found <= 2e-2
                wrong += not fits
                lines.append(f"{net:9} {name:28} {found if isinstance(found, str) else format(found, '.1e')}{'' if fits else '  WRONG'}")
                print(lines[-1], flush=True)
    if args.table:
        with open(args.table, "w") as out:
            print("# Networks quantised by ONNX Runtime: the largest difference to it, relative to the largest magnitude of the result.", file=out)
            print(f"# tests/oracle/onnx_quantized.py, onnx {onnx.__version__}, ONNX Runtime {ort.__version__}.", file=out)
            print("\n".join(lines), file=out)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
