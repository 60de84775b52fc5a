#!/usr/bin/env python3
"""Time single operators beside ONNX Runtime, on shapes of transformers, detectors and recommenders.

  operators.py --mindir PATH [--names TopK,conv] [--threads 1,2] [--out table.md] [--models DIR]

Writes a model of one operator for each case, lets ONNX Runtime and this runtime take turns as in peers.py, and prints a table of
the fastest runs, worst ratio first.  `--names` picks the cases whose names begin with one of these words.
"""
import argparse
import os
import statistics
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper as h
from onnx import numpy_helper

import peers

RNG = np.random.default_rng(1)
CASES = {}
DOMAIN = {"Gelu": 20, "GridSample": 20}


def floats(*dims, low=-3.0, high=3.0, dtype=np.float32):
    return RNG.uniform(low, high, dims).astype(dtype)


def whole(high, *dims, dtype=np.int64):
    return RNG.integers(0, high, dims).astype(dtype)


def case(name, op, *operands, outs=1, **attributes):
    """A case: operands are arrays that a run is given, or weights if they stand in a tuple; `None` is left out."""
    CASES[name] = (op, operands, outs, attributes)


def const(*values, dtype=np.int64):
    """A weight."""
    return (np.array(values, dtype),)


def weight(array):
    return (array,)


def elementwise():
    x, y = floats(4, 256, 1024), floats(4, 256, 1024)
    for op in ("Exp", "Erf", "Gelu", "Sigmoid", "Tanh", "Atan", "Sin", "Elu", "Selu", "Celu", "Mish", "HardSwish", "Softplus", "Relu",
               "Floor", "Abs", "Neg", "Sign", "Reciprocal", "Sinh", "Softsign", "IsNaN"):
        case(op, op, x)
    for op in ("Acos", "Asin", "Atanh"):
        case(op, op, x / 3.1)
    for op in ("Log", "Sqrt"):
        case(op, op, abs(x))
    case("Tan", "Tan", x)
    case("Acosh", "Acosh", abs(x) + 1)
    case("LeakyRelu", "LeakyRelu", x, alpha=0.1)
    case("Clip", "Clip", x, const(-1.0, dtype=np.float32)[0].reshape(()), const(1.0, dtype=np.float32)[0].reshape(()))
    for op in ("Add", "Mul", "Div", "Max", "Greater", "Equal", "PRelu"):
        case(op, op, x, y)
    case("Add row", "Add", x, floats(1024))
    case("Add column", "Add", x, floats(4, 256, 1))
    case("Pow", "Pow", abs(x), y)
    for e in (3.0, 2.2, 0.5):
        case(f"Pow {e}", "Pow", abs(x), weight(np.array(e, np.float32)))
    case("Mod i32", "Mod", whole(1000, 1 << 20, dtype=np.int32), whole(30, 1 << 20, dtype=np.int32) + 1)
    case("Add i64", "Add", whole(1000, 1 << 20), whole(1000, 1 << 20))
    case("Div i64", "Div", whole(1000, 1 << 20), whole(30, 1 << 20) + 1)
    case("Where", "Where", x > 0, x, y)
    case("And", "And", x > 0, y > 0)
    for op in ("Tanh", "Exp", "Log", "Add"):
        more = [y.astype(np.float64)] if op == "Add" else []
        case(f"{op} f64", op, (abs(x) if op == "Log" else x).astype(np.float64), *more)
    for a, b in (("f32", "f16"), ("f16", "f32"), ("f32", "i32"), ("i32", "f32"), ("f32", "i64"), ("i64", "f32"), ("f32", "bool"),
                 ("bool", "f32"), ("i64", "i32"), ("i32", "i64"), ("f32", "f64"), ("f64", "f32"), ("f32", "u8"), ("u8", "f32")):
        types = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i32": np.int32, "i64": np.int64, "bool": np.bool_, "u8": np.uint8}
        case(f"Cast {a} {b}", "Cast", abs(x).astype(types[a]), to=h.np_dtype_to_tensor_dtype(np.dtype(types[b])))


def rows():
    x = floats(16, 256, 512)
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceProd", "ReduceL2", "ReduceLogSumExp"):
        for axis in (0, 1, 2):
            case(f"{op} axis {axis}", op, x, const(axis), keepdims=1)
    case("ReduceMean all", "ReduceMean", x, keepdims=0)
    case("ReduceSum i64 last", "ReduceSum", whole(9, 16, 256, 512), const(2))
    for axis in (0, 1, 2):
        case(f"Softmax axis {axis}", "Softmax", x, axis=axis)
        case(f"ArgMax axis {axis}", "ArgMax", x, axis=axis)
        case(f"CumSum axis {axis}", "CumSum", x, weight(np.array(axis)))
    case("LogSoftmax", "LogSoftmax", x, axis=2)
    case("LayerNorm", "LayerNormalization", x, weight(floats(512)), weight(floats(512)))
    case("InstanceNorm", "InstanceNormalization", floats(4, 64, 56, 56), weight(floats(64)), weight(floats(64)))
    case("LRN", "LRN", floats(1, 96, 55, 55), size=5)
    case("TopK of 8400", "TopK", floats(80, 8400), const(100), outs=2, axis=1)
    case("TopK of 100000", "TopK", floats(1, 100000), const(1000), outs=2)
    case("TopK 5 of 1000", "TopK", floats(256, 1000), const(5), outs=2)
    case("TopK sorts 4096", "TopK", floats(32, 4096), const(4096), outs=2)
    case("NonZero", "NonZero", floats(512, 512) > 2)
    case("Unique", "Unique", whole(5000, 100000), outs=4)
    case("OneHot", "OneHot", whole(1000, 1024), const(1000), const(0.0, 1.0, dtype=np.float32))


def moves():
    x = floats(8, 64, 56, 56)
    for perm in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 2, 1, 3), (1, 0, 2, 3), (3, 2, 1, 0)):
        case("Transpose " + "".join(map(str, perm)), "Transpose", x, perm=perm)
    case("Transpose i64", "Transpose", whole(9, 1024, 1024), perm=(1, 0))
    case("Transpose f16", "Transpose", floats(12, 128, 512, dtype=np.float16), perm=(0, 2, 1))
    case("Concat channels", "Concat", floats(4, 64, 56, 56), floats(4, 64, 56, 56), axis=1)
    case("Concat last", "Concat", floats(4096, 64), floats(4096, 64), floats(4096, 64), axis=1)
    case("Split", "Split", floats(4, 64, 56, 56), outs=2, axis=1, num_outputs=2)
    case("Slice step 2", "Slice", x, const(0, 0), const(56, 56), const(2, 3), const(2, 2))
    case("Slice reversed", "Slice", x, const(-1), const(-100), const(3), const(-1))
    case("Slice part", "Slice", x, const(8, 8), const(48, 48), const(2, 3))
    case("Gather rows", "Gather", floats(50000, 64), whole(50000, 16, 512))
    case("Gather columns", "Gather", floats(2048, 512), whole(512, 256), axis=1)
    case("GatherElements axis 0", "GatherElements", floats(2048, 512), whole(2048, 1024, 512), axis=0)
    case("GatherElements axis 1", "GatherElements", floats(2048, 512), whole(512, 2048, 256), axis=1)
    case("GatherND", "GatherND", floats(64, 64, 128), whole(64, 4096, 2))
    case("ScatterND", "ScatterND", floats(4096, 128), whole(4096, 2048, 1), floats(2048, 128))
    case("ScatterND add", "ScatterND", floats(4096, 128), whole(4096, 2048, 1), floats(2048, 128), reduction="add")
    for reduction in ("none", "add", "mul", "max", "min"):
        for axis in (0, 1):
            indices = np.argsort(floats(1024, 512), axis=axis)
            case(f"ScatterElements {reduction} axis {axis}", "ScatterElements", floats(1024, 512), indices, floats(1024, 512), axis=axis,
                 reduction=reduction)
    case("Pad", "Pad", x, const(0, 0, 1, 1, 0, 0, 1, 1))
    case("Pad reflect", "Pad", x, const(0, 0, 3, 3, 0, 0, 3, 3), mode="reflect")
    case("Pad edge", "Pad", x, const(0, 0, 3, 3, 0, 0, 3, 3), mode="edge")
    case("Expand", "Expand", floats(256, 1, 64), const(256, 128, 64))
    case("Tile", "Tile", floats(64, 256), const(16, 4))
    case("DepthToSpace", "DepthToSpace", floats(4, 64, 56, 56), blocksize=2)
    case("DepthToSpace CRD", "DepthToSpace", floats(4, 64, 56, 56), blocksize=2, mode="CRD")
    case("SpaceToDepth", "SpaceToDepth", floats(4, 16, 112, 112), blocksize=2)
    case("Trilu", "Trilu", floats(16, 512, 512))
    case("Einsum bij,bjk", "Einsum", floats(16, 128, 64), floats(16, 64, 128), equation="bij,bjk->bik")
    case("Einsum bhid,bhjd", "Einsum", floats(4, 8, 128, 64), floats(4, 8, 128, 64), equation="bhid,bhjd->bhij")
    case("ReverseSequence", "ReverseSequence", floats(128, 64, 128), weight(whole(128, 64) + 1))


def images():
    x = floats(1, 64, 56, 56)
    sizes = weight(np.array([1, 1, 2, 2], np.float32))
    case("Resize nearest", "Resize", x, None, sizes, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("Resize linear", "Resize", x, None, sizes, mode="linear")
    case("Resize cubic", "Resize", x, None, sizes, mode="cubic")
    case("Resize linear down", "Resize", floats(1, 3, 640, 640), None, weight(np.array([1, 1, 0.35, 0.35], np.float32)), mode="linear")
    for kind in ("MaxPool", "AveragePool"):
        case(f"{kind} 3", kind, floats(1, 64, 112, 112), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
        case(f"{kind} 5", kind, floats(1, 256, 20, 20), kernel_shape=(5, 5), strides=(1, 1), pads=(2, 2, 2, 2))
        case(f"{kind} 3-D", kind, floats(1, 32, 16, 56, 56), kernel_shape=(2, 2, 2), strides=(2, 2, 2))
    case("MaxPool places", "MaxPool", floats(1, 64, 112, 112), outs=2, kernel_shape=(2, 2), strides=(2, 2))
    case("GlobalAveragePool", "GlobalAveragePool", floats(8, 512, 7, 7))
    grid = floats(1, 100, 100, 2, low=-1.1, high=1.1)
    for mode in ("linear", "nearest", "cubic"):
        case(f"GridSample {mode}", "GridSample", floats(1, 64, 100, 100), grid, mode=mode)
    case("GridSample border", "GridSample", floats(1, 64, 100, 100), grid, mode="linear", padding_mode="border")
    case("GridSample many", "GridSample", floats(8, 32, 80, 80), floats(8, 300, 4, 2, low=-1.1, high=1.1), mode="linear")
    corners = floats(300, 2, low=0, high=400)
    boxes = np.concatenate([corners, corners + floats(300, 2, low=20, high=300)], 1)
    case("RoiAlign", "RoiAlign", floats(1, 256, 50, 50), boxes, whole(1, 300), output_height=7, output_width=7, sampling_ratio=2,
         spatial_scale=1 / 16)
    corners = floats(1, 2000, 2, low=0, high=600)
    boxes = np.concatenate([corners, corners + floats(1, 2000, 2, low=10, high=100)], 2)
    case("NonMaxSuppression", "NonMaxSuppression", boxes, floats(1, 8, 2000, low=0, high=1), const(200), const(0.5, dtype=np.float32),
         const(0.3, dtype=np.float32))
    w = lambda *dims: weight(floats(*dims, low=-0.1, high=0.1))
    case("Conv 1-D", "Conv", floats(1, 256, 1000), w(256, 256, 3), pads=(1, 1))
    case("Conv 1-D depthwise", "Conv", floats(1, 512, 1000), w(512, 1, 15), pads=(7, 7), group=512)
    case("Conv 1x1", "Conv", floats(1, 256, 28, 28), w(128, 256, 1, 1))
    case("Conv 3x3", "Conv", floats(1, 64, 56, 56), w(64, 64, 3, 3), pads=(1, 1, 1, 1))
    case("Conv 7x7", "Conv", floats(1, 3, 224, 224), w(64, 3, 7, 7), pads=(3, 3, 3, 3), strides=(2, 2))
    case("Conv 32 groups", "Conv", floats(1, 128, 56, 56), w(128, 4, 3, 3), pads=(1, 1, 1, 1), group=32)
    case("Conv 32 groups wide", "Conv", floats(1, 1024, 14, 14), w(1024, 32, 3, 3), pads=(1, 1, 1, 1), group=32)
    case("Conv 2 groups", "Conv", floats(1, 96, 28, 28), w(256, 48, 5, 5), pads=(2, 2, 2, 2), group=2)
    case("Conv depthwise", "Conv", floats(1, 192, 56, 56), w(192, 1, 3, 3), pads=(1, 1, 1, 1), group=192)
    case("Conv depthwise 7x7", "Conv", floats(1, 96, 56, 56), w(96, 1, 7, 7), pads=(3, 3, 3, 3), group=96)
    case("Conv 3-D", "Conv", floats(1, 16, 16, 28, 28), w(32, 16, 3, 3, 3), pads=(1,) * 6)
    case("Conv 3-D depthwise", "Conv", floats(1, 32, 16, 28, 28), w(32, 1, 3, 3, 3), pads=(1,) * 6, group=32)
    case("ConvTranspose 2x2", "ConvTranspose", floats(1, 128, 28, 28), w(128, 64, 2, 2), strides=(2, 2))
    case("ConvTranspose 4x4", "ConvTranspose", floats(1, 64, 28, 28), w(64, 64, 4, 4), strides=(2, 2), pads=(1, 1, 1, 1))
    case("ConvTranspose 3-D", "ConvTranspose", floats(1, 32, 8, 14, 14), w(32, 16, 2, 2, 2), strides=(2, 2, 2))


def products():
    case("MatMul 512", "MatMul", floats(512, 512), floats(512, 512))
    case("MatMul weights", "MatMul", floats(128, 768), weight(floats(768, 768)))
    case("MatMul one row", "MatMul", floats(1, 2048), weight(floats(2048, 2048)))
    case("MatMul batch", "MatMul", floats(96, 64, 64), floats(96, 64, 64))
    case("MatMul small batch", "MatMul", floats(4096, 8, 8), floats(4096, 8, 8))
    case("MatMul f64", "MatMul", floats(256, 256, dtype=np.float64), floats(256, 256, dtype=np.float64))
    case("MatMul f64 row", "MatMul", floats(1, 1024, dtype=np.float64), floats(1024, 1024, dtype=np.float64))
    case("MatMul i32", "MatMul", whole(99, 256, 256, dtype=np.int32), whole(99, 256, 256, dtype=np.int32))
    case("Gemm", "Gemm", floats(64, 1024), weight(floats(1024, 1024)), weight(floats(1024)), transB=1)
    for op, gates in (("LSTM", 4), ("GRU", 3)):
        case(op, op, floats(64, 1, 128), weight(floats(1, gates * 128, 128) / 30), weight(floats(1, gates * 128, 128) / 30), hidden_size=128)
        case(f"{op} batch 8", op, floats(64, 8, 128), weight(floats(1, gates * 128, 128) / 30), weight(floats(1, gates * 128, 128) / 30),
             hidden_size=128)


def save(folder, op, operands, outs, attributes):
    """The model of a case, and the arrays that it is given."""
    os.makedirs(folder, exist_ok=True)
    arrays = [x for x in operands if isinstance(x, np.ndarray)]
    names, ins, weights = [], [], []
    for i, x in enumerate(operands):
        names.append("" if x is None else f"x{i}")
        if isinstance(x, tuple):
            weights.append(numpy_helper.from_array(x[0], f"x{i}"))
        elif x is not None:
            ins.append(h.make_tensor_value_info(f"x{i}", h.np_dtype_to_tensor_dtype(x.dtype), x.shape))
    results = [f"y{i}" for i in range(outs)]
    graph = h.make_graph([h.make_node(op, names, results, **attributes)], "operator", ins,
                         [onnx.ValueInfoProto(name=y) for y in results], weights)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", DOMAIN.get(op, 18))], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for i, x in enumerate(arrays):
        np.save(os.path.join(folder, f"in_{i}.npy"), x)


def measure(name, folder, threads, args):
    """The row of a case: its name, threads, both fastest times and the ratio; no times if an engine cannot run it."""
    workers = []
    try:
        peers.start(workers, ["ort", "mindir"], folder, threads, args.mindir)
        if len(workers) < 2:
            return [name, threads, None, None, None]
        peers.measure(workers, args.rounds, args.slice)
        ort, ours = workers
        ratio = statistics.median(min(a) / min(b) for a, b in zip(fastest(ours), fastest(ort)))
        return [name, threads, min(ort.times), min(ours.times), ratio]
    finally:
        for w in workers:
            w.quit()


def fastest(worker):
    """The times of a worker, a list for each round."""
    return [worker.times[i : i + worker.count] for i in range(0, len(worker.times), worker.count)]


def table(lines):
    """Rows as a markdown table, worst first."""
    show = lambda x: "" if x is None else f"{x:.3f}"
    worst = sorted(lines, key=lambda line: -(line[4] or 1e9))
    body = [["operator", "threads", "ort ms", "mindir ms", "ratio"], ["---", "---:", "---:", "---:", "---:"]]
    body += [[name, threads, show(ort), show(ours), f"{ratio:.2f}" if ratio else "not run"] for name, threads, ort, ours, ratio in worst]
    return "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in body) + "\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True, help="our command-line program")
    ap.add_argument("--names", default="", help="words that the names of cases begin with")
    ap.add_argument("--threads", default="1")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--slice", type=float, default=40, help="milliseconds per engine and round")
    ap.add_argument("--models", help="folder for the models; default: one that is removed")
    ap.add_argument("--out", help="file for the table, besides standard output")
    args = ap.parse_args()
    for add in (elementwise, rows, moves, images, products):
        add()
    names = [name for name in CASES if any(name.lower().startswith(word.lower()) for word in args.names.split(","))]
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = os.path.join(args.models or temporary, name.replace(" ", "_").replace(",", "_"))
            save(folder, *CASES[name])
            for threads in map(int, args.threads.split(",")):
                lines.append(measure(name, folder, threads, args))
                print(*lines[-1], file=sys.stderr, flush=True)
    text = table(lines)
    print(text)
    if args.out:
        with open(args.out, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()
