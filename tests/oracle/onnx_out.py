#!/usr/bin/env python3
"""ONNX files written by `mindir convert`: onnx.checker accepts them, and ONNX Runtime computes the expected numbers.

  onnx_out.py --cases FOLDER             every case of every operator, or random models over open dimensions, as
                                         `cargo run -p mindir-tests --example onnx_cases` writes them
  onnx_out.py --command MINDIR GOLDEN... goldens, converted with that command; compared with MindSpore's stored results
  --opset N                              operator set for goldens
  --split                                with the constants of goldens in a data file
  --tolerance X                          largest difference relative to max(1, max |result|), for goldens; without it 1e-5, or what the
                                         golden itself allows if that is more
  --expect FILE                          fail unless exactly the goldens in FILE (lines `NAME reason`) have no ONNX form

Where ONNX Runtime has no kernel for an element type, the `onnx` package's own evaluator computes the result.
"""
import argparse
import collections
import glob
import json
import os
import subprocess
import sys
import tempfile

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

DTYPES = {"bool": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u16": np.uint16,
          "u32": np.uint32, "u64": np.uint64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64, "c64": np.complex64, "c128": np.complex128}


# Cases whose results are meant to differ, with the reason.
DIFFERS = {
    ("Gather", "out of range"): "an index out of range is an error in ONNX",
    ("GatherD", "out of range"): "an index out of range is an error in ONNX",
    ("GatherNd", "out of range"): "an index out of range is an error in ONNX",
    ("EmbeddingLookup", "offset"): "an index out of range is an error in ONNX",
    ("ArgSort", "ties"): "NaN has no place of its own in ONNX's order",
    ("Sort", "ties"): "NaN has no place of its own in ONNX's order",
    ("SortExt", "descending ties"): "NaN has no place of its own in ONNX's order",
    ("MeanExt", "empty"): "ONNX Runtime's mean of nothing is 0",
    ("ReduceMean", "empty"): "ONNX Runtime's mean of nothing is 0",
}


def check(path):
    """onnx.checker with shape inference; strict inference where every operator has it."""
    onnx.checker.check_model(path, full_check=True)


def fits(path, inputs):
    """Whether the inputs keep the model's promise that dimensions of one name are equally long, and no type is complex."""
    if any(x.dtype.kind == "c" for x in inputs):
        return False
    lengths = {}
    for value, x in zip(onnx.load(path, load_external_data=False).graph.input, inputs):
        for dim, n in zip(value.type.tensor_type.shape.dim, x.shape):
            if dim.dim_param and lengths.setdefault(dim.dim_param, n) != n:
                return False
    return True


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    # Weights that are optimised away would hide errors in nodes; layout changes and fusions would not.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path, inputs):
    """Results, and which implementation computed them."""
    if not any(x.dtype == ml_dtypes.bfloat16 for x in inputs):
        try:
            s = session(path)
            names = [i.name for i in s.get_inputs()]
            return s.run(None, dict(zip(names, inputs))), "ort"
        except Exception as error:
            if not any(text in str(error) for text in ("NOT_IMPLEMENTED", "not currently registered", "bfloat16")):
                raise
    evaluator = ReferenceEvaluator(path)
    return evaluator.run(None, dict(zip(evaluator.input_names, inputs))), "onnx"


def difference(got, want):
    """Largest |got - want| / max(1, max |want|); infinities and NaN have to agree."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"shape {got.shape} instead of {want.shape}"
    if want.size == 0:
        return 0.0
    if want.dtype == ml_dtypes.bfloat16 or got.dtype == ml_dtypes.bfloat16:
        got, want = got.astype(np.float32), want.astype(np.float32)
    elif got.dtype != want.dtype:
        return f"type {got.dtype} instead of {want.dtype}"
    g, w = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(w)
    odd = ~finite & ~((g == w) | (np.isnan(g) & np.isnan(w)))
    if odd.any() or not np.isfinite(g[finite]).all():
        return "infinities or NaN differ"
    if not finite.any():
        return 0.0
    scale = max(1.0, float(np.abs(w[finite]).max()))
    return float(np.abs(g[finite] - w[finite]).max() / scale)


def promise(path, inputs, got):
    """None, or what the declared sizes of the results say that is not so."""
    graph = onnx.load(path, load_external_data=False).graph
    lengths = {}
    for value, x in [*zip(graph.input, inputs), *zip(graph.output, got)]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) != np.ndim(x):
            return f"{value.name} has shape {np.shape(x)}, declared with rank {len(dims)}"
        for dim, n in zip(dims, np.shape(x)):
            if dim.HasField("dim_value") and dim.dim_value != n or dim.dim_param and lengths.setdefault(dim.dim_param, n) != n:
                return f"{value.name} has shape {np.shape(x)}, declared {[d.dim_param or d.dim_value for d in dims]}"
    return None


def compare(path, inputs, wants, tolerance):
    """None or what is wrong, which implementation computed the results, and their largest difference."""
    try:
        check(path)
        got, who = run(path, inputs)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}", "-", 0.0
    broken = promise(path, inputs, got)
    if broken:
        return broken, who, 0.0
    worst = 0.0
    for i, want in enumerate(wants):
        if want is None:
            continue
        d = difference(got[i], want)
        if isinstance(d, str) or d > tolerance:
            return f"result {i}: {d if isinstance(d, str) else f'differs by {d:.2e}, allowed {tolerance:.0e}'}", who, worst
        worst = max(worst, d)
    return None, who, worst


def cases(folder, only):
    rows = json.load(open(os.path.join(folder, "cases.json")))
    data = open(os.path.join(folder, "data.bin"), "rb").read()

    def tensor(t):
        kind = DTYPES[t["dtype"]]
        return np.frombuffer(data, kind, int(np.prod(t["shape"])), t["offset"]).reshape(t["shape"])

    counts, wrong, missing = collections.Counter(), [], collections.defaultdict(set)
    for row in rows:
        if only and row["op"] not in only:
            continue
        kind = "open" if row["open"] else "fixed"
        if row["reason"]:
            counts[kind, "no form"] += 1
            missing[row["op"], kind].add(row["reason"].splitlines()[-1].strip())
            continue
        # ONNX Runtime's functions are not as exact as the definitions in f64.
        tolerance = max(row["tolerance"], 1e-5 if row["tolerance"] else 0.0)
        path, inputs = os.path.join(folder, row["file"]), [tensor(t) for t in row["inputs"]]
        if (row["op"], row["case"]) in DIFFERS or not fits(path, inputs):
            counts[kind, "not compared"] += 1
            continue
        what, who, _ = compare(path, inputs, [tensor(t) for t in row["outputs"]], tolerance)
        counts[kind, "wrong" if what else who] += 1
        if what:
            wrong.append(f"{row['op']} ({row['case']}, {kind}): {what}")
    for (op, kind), reasons in sorted(missing.items()):
        for reason in sorted(reasons):
            print(f"no form: {kind}: {reason}")
    for key, n in sorted(counts.items()):
        print(f"{key[0]} shapes, {key[1]}: {n}")
    return wrong


def read_golden(folder):
    meta = json.load(open(os.path.join(folder, "meta.json")))
    sets = meta.get("steps") or meta.get("cases")
    return meta, sets


def flat_nest(nest):
    return [leaf for n in nest for leaf in flat_nest(n)] if isinstance(nest, list) else [nest]


def load(folder, name, entry):
    path = os.path.join(folder, name + ".npy")
    if not os.path.exists(path):
        return None
    x = np.load(path)
    return x.astype(ml_dtypes.bfloat16) if entry.get("dtype") == "bfloat16" else x


def golden(folder, args, work):
    """The largest difference, what is wrong, or ("no form", reason)."""
    meta, sets = read_golden(folder)
    path = os.path.join(work, "model.onnx")
    graph = os.path.join(folder, meta.get("graph", "model.mindir"))
    convert = [args.command, "convert", graph, path, "--state-as-io", "--opset", str(args.opset)] + (["--split"] if args.split else [])
    done = subprocess.run(convert, capture_output=True, text=True)
    if done.returncode == 3:
        return ("no form", done.stderr.strip())
    if done.returncode != 0:
        return f"convert: {done.stderr.strip()}"
    if args.split and not glob.glob(path + ".data_*"):
        return "there is no data file"
    tolerance = args.tolerance or max(1e-5, meta.get("tolerance", 1e-5))
    differences, state = [], {}
    for s in sets:
        where = os.path.join(folder, s["dir"])
        inputs = [load(where, f"in_{i}", e) for i, e in enumerate(s["inputs"])]
        kinds = [k for k in flat_nest(s["nest"])]
        wants = []
        for i, (entry, kind) in enumerate(zip(s["outputs"], kinds)):
            if kind == "str":
                continue
            want = load(where, f"out_{i}", entry)
            if want is not None and kind == "float":
                want = want.astype(np.float32)
            wants.append(None if str(i) in (meta.get("differs") or {}) else want)
        if [list(x.shape) for x in inputs] != declared(path, inputs):
            continue
        what, largest = step(path, inputs, wants, tolerance, state)
        if what:
            return f"{s['dir']}: {what}"
        differences.append(largest)
    for name, got in state.items():
        want = os.path.join(folder, "after", name + ".npy")
        d = difference(got, np.load(want)) if os.path.exists(want) else 0.0
        if isinstance(d, str) or d > tolerance:
            return f"{name} afterwards: {d}"
    return max(differences) if differences else "no inputs have the shapes that the model declares"


def step(path, inputs, wants, tolerance, state):
    """As `compare`; what the model keeps goes in, and comes out for the next step."""
    graph = onnx.load(path, load_external_data=False).graph
    kept = [v.name for v in graph.input][len(inputs):]
    if not kept:
        what, _, largest = compare(path, inputs, wants, tolerance)
        return what, largest
    try:
        check(path)
        s = session(path)
        feed = dict(zip([v.name for v in graph.input], inputs)) | state
        got = s.run(None, feed)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}", 0.0
    results = dict(zip([v.name for v in graph.output], got))
    state.update({name: results[name + "_out"] for name in kept})
    found = [difference(g, w) for g, w in zip(got, wants) if w is not None]
    worst = next((d for d in found if isinstance(d, str)), None)
    largest = max((d for d in found if not isinstance(d, str)), default=0.0)
    return worst or (f"differs by {largest:.2e}" if largest > tolerance else None), largest


def declared(path, inputs):
    """The shapes that the model declares, open dimensions as those of the inputs."""
    values = onnx.load(path, load_external_data=False).graph.input
    return [[d.dim_value if d.HasField("dim_value") else n for d, n in zip(v.type.tensor_type.shape.dim, x.shape)] for v, x in zip(values, inputs)]


def goldens(folders, args):
    wrong, missing, expected = [], {}, args.expect
    for folder in sorted(folders):
        name = os.path.basename(folder.rstrip("/"))
        with tempfile.TemporaryDirectory() as work:
            what = golden(folder, args, work)
        if isinstance(what, tuple):
            missing[name] = what[1]
        elif isinstance(what, str):
            wrong.append(f"{name}: {what}")
        elif args.tolerance:
            print(f"{name}: largest difference {what:.1e}", flush=True)
    for name, reason in missing.items():
        lines = reason.splitlines()
        print(f"{name}: no form: {lines[0]}")
        for line in lines[1:]:
            print(f"    {line.strip()}")
    print(f"{len(folders) - len(wrong) - len(missing)} of {len(folders)} goldens agree, {len(missing)} have no ONNX form")
    if expected is not None:
        stated = {line.split()[0] for line in open(expected) if line.strip() and not line.startswith("#")}
        wrong += [f"{n}: has no ONNX form, which {expected} does not say" for n in sorted(missing.keys() - stated)]
        names = {os.path.basename(f.rstrip("/")) for f in folders}
        wrong += [f"{n}: has an ONNX form, other than {expected} says" for n in sorted(stated & names - missing.keys())]
    return wrong


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--cases")
    ap.add_argument("--only", nargs="*", help="operators")
    ap.add_argument("--command")
    ap.add_argument("--opset", type=int, default=17)
    ap.add_argument("--split", action="store_true")
    ap.add_argument("--tolerance", type=float)
    ap.add_argument("--expect")
    ap.add_argument("folders", nargs="*")
    args = ap.parse_args()
    wrong = cases(args.cases, args.only) if args.cases else []
    folders = [f for g in args.folders for f in glob.glob(g) if os.path.exists(os.path.join(f, "meta.json"))]
    if folders:
        wrong += goldens(folders, args)
    for line in wrong:
        print("WRONG", line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
