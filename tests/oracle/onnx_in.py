#!/usr/bin/env python3
"""ONNX models read by `mindir`: the tests of the `onnx` package, PyTorch's exports and networks among them.

  onnx_in.py --command MINDIR [KIND...]     kinds: node (ONNX's own cases of each operator), pytorch (exports of PyTorch's layers),
                                            light (whole networks), style (networks as PyTorch exports them, made here),
                                            or a folder that onnx_torch.py wrote
  --only TEXT                               cases whose name contains TEXT
  --table FILE                              write what agrees and, by operator and reason, what is not supported
  --expect FILE                             fail unless exactly the operators in FILE (lines `NAME reason`) are not supported
  --to-mindir COMMAND                       also write models as MindIR with COMMAND IN OUT, and run them in real MindSpore: those of
                                            the kind `style` and of folders
"""
import argparse
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

import onnx_style
from onnx_out import difference

DATA = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
TOLERANCE = {"light": 1e-4}
BFLOAT16 = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


def node_cases():
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        if case.model is None:
            continue
        for inputs, outputs in case.data_sets:
            value = lambda v: numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
            inputs, outputs = [value(v) for v in inputs], [value(v) for v in outputs]
            halves = any(getattr(v, "dtype", None) == BFLOAT16 for v in outputs)
            yield case.name, case.model, inputs, outputs, max(2.0**-8 if halves else 1e-5, case.rtol)


def folder_cases(kind):
    for folder in sorted(glob.glob(os.path.join(DATA, kind, "*"))):
        model = onnx.load(os.path.join(folder, "model.onnx"))
        for data in sorted(glob.glob(os.path.join(folder, "test_data_set_*"))):
            def read(what):
                paths = sorted(glob.glob(os.path.join(data, what + "_*.pb")), key=lambda p: int(re.findall(r"\d+", os.path.basename(p))[0]))
                return [numpy_helper.to_array(onnx.load_tensor(p)) for p in paths]
            yield os.path.basename(folder), model, read("input"), read("output"), 1e-5


def folder_models(folder):
    """Models that are files, with the inputs beside them."""
    for path in sorted(glob.glob(os.path.join(folder, "*.onnx"))):
        inputs = np.load(path[:-len("onnx")] + "npz")
        yield os.path.basename(path), path, [inputs[key] for key in inputs.files]


def runtime_cases(models, tolerance):
    """Models with inputs; ONNX Runtime says what they compute."""
    for name, model, inputs in models:
        source = model if isinstance(model, str) else model.SerializeToString()
        session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
        wants = session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))
        yield name, model, inputs, wants, tolerance


def light_models():
    for path in sorted(glob.glob(os.path.join(DATA, "light", "*.onnx"))):
        model = onnx.load(path)
        given = {t.name for t in model.graph.initializer}
        shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input if v.name not in given]
        rng = np.random.default_rng(0)
        yield os.path.basename(path), model, [rng.uniform(0, 1, s).astype(np.float32) for s in shapes]


def cases(kind):
    if kind == "node":
        return node_cases()
    if kind == "pytorch":
        return [c for k in ("pytorch-converted", "pytorch-operator") for c in folder_cases(k)]
    models = {"light": light_models, "style": onnx_style.models}.get(kind) or (lambda: folder_models(kind))
    return runtime_cases(models(), TOLERANCE.get(kind, 1e-5))


def stored(model, work):
    """The path of a model, which may have one already."""
    if isinstance(model, str):
        return model
    path = os.path.join(work, "model.onnx")
    onnx.save(model, path)
    return path


def loaded(model):
    """The structure of a model, which may be a path."""
    return onnx.load(model, load_external_data=False) if isinstance(model, str) else model


def run(command, model, inputs, work):
    """The results, or the complaint and exit code."""
    path, graph = stored(model, work), loaded(model).graph
    names = [v.name for v in graph.input if v.name not in {t.name for t in graph.initializer}]
    args = [command, "run", path, "--output", os.path.join(work, "out"), "--threads", "2"]
    for i, (name, x) in enumerate(zip(names, inputs)):
        np.save(os.path.join(work, f"in_{i}.npy"), np.asarray(x))
        args += ["-i", f"{name}={os.path.join(work, f'in_{i}.npy')}"]
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip(), done.returncode
    count = len(glob.glob(os.path.join(work, "out", "out_*.npy")))
    return [np.load(os.path.join(work, "out", f"out_{i}.npy")) for i in range(count)], "", 0


def baked(model, inputs):
    """The model with all inputs but the first as constants."""
    made = onnx.ModelProto()
    made.CopyFrom(onnx.load(model) if isinstance(model, str) else model)
    for value, x in list(zip(model.graph.input, inputs))[1:]:
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(x), value.name))
    return made, inputs[:1]


def plain(values):
    """Whether NumPy files can hold the values."""
    return all(isinstance(v, (np.ndarray, np.generic, int, float, bool)) and np.asarray(v).dtype.kind in "biuf" and np.asarray(v).dtype.isbuiltin == 1
               for v in values)


def unheld(values):
    """What kind of values there are that NumPy files cannot hold, or nothing."""
    kinds = {"a sequence" if isinstance(v, list) else "an optional value" if v is None else "strings"
             for v in values if not isinstance(v, (np.ndarray, np.generic, int, float, bool)) or np.asarray(v).dtype.kind in "OSU"}
    return ", ".join(sorted(kinds))


def widened(model, inputs, wants):
    """The model with inputs and results of types that NumPy lacks as `float32`, which holds their numbers: cast inside."""
    if plain(inputs) and plain(wants):
        return model, inputs, wants
    made = onnx.ModelProto()
    made.CopyFrom(model)
    lacks = lambda value: not np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).isbuiltin == 1
    for value in filter(lacks, made.graph.input):
        for node in made.graph.node:
            node.input[:] = [n + "_own" if n == value.name else n for n in node.input]
        made.graph.node.insert(0, onnx.helper.make_node("Cast", [value.name], [value.name + "_own"], to=value.type.tensor_type.elem_type))
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for value in filter(lacks, made.graph.output):
        for node in made.graph.node:
            node.output[:] = [n + "_own" if n == value.name else n for n in node.output]
        made.graph.node.append(onnx.helper.make_node("Cast", [value.name + "_own"], [value.name], to=onnx.TensorProto.FLOAT))
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    wide = lambda v: v if plain([v]) else np.asarray(v).astype(np.float32)
    return made, [wide(v) for v in inputs], [wide(v) for v in wants]


# Cases that are not compared, by their names, with the reason.
DIFFERS = {
    "test_gridsample_nearest": "places exactly between two elements: ONNX rounds to even, MindSpore away from zero",
    "test_ai_onnx": "another domain",
    "test_ada": "another domain",
    "test_momentum": "another domain",
    "test_nesterov": "another domain",
    "test_bernoulli": "random numbers",
    "test_training_dropout_default": "random numbers",
    "test_training_dropout_mask": "random numbers",
    "test_training_dropout": "random numbers",
    "test_maxunpool_export_with_output_shape": "positions in a smaller tensor than the result; ONNX Runtime takes those in the result",
    "test_resize_downsample_scales_linear_align_corners": "a length with a fraction; ONNX Runtime and the text take that of the result",
    "test_resize_downsample_scales_cubic_align_corners": "a length with a fraction; ONNX Runtime and the text take that of the result",
    "test_optional": "a value that is no tensor",
    "test_reduce_max_empty": "MindSpore has no largest element of nothing",
    "test_reduce_min_empty": "MindSpore has no smallest element of nothing",
}
# Cases that names in DIFFERS do not mean.
COMPARED = ("test_training_dropout_zero_ratio",)


def differs(name):
    """Why a case is not compared, or nothing."""
    found = (why for prefix, why in DIFFERS.items() if name.startswith(prefix) and not name.startswith(COMPARED))
    return next(found, "")


def check(kind, command, only, unsupported, left_out, counts, wrong):
    for name, model, inputs, wants, tolerance in cases(kind):
        if only and only not in name:
            continue
        ops = {n.op_type for n in loaded(model).graph.node}
        why = differs(name) or unheld(inputs + wants)
        if why:
            counts[kind, "not compared"] += 1
            left_out[why].add(name)
            continue
        if not isinstance(model, str):
            model, inputs, wants = widened(model, inputs, wants)
        with tempfile.TemporaryDirectory() as work:
            got, complaint, code = run(command, model, inputs, work)
        if code == 3 and ("must be constant" in complaint or "known at run time only" in complaint) and len(inputs) > 1:
            with tempfile.TemporaryDirectory() as work:
                got, complaint, code = run(command, *baked(model, inputs), work)
        if code == 3:
            counts[kind, "not supported"] += 1
            for line in complaint.splitlines()[1:] or [complaint]:
                op = "the file" if line.startswith("error") else line.split(": ")[1] if ": " in line else line
                unsupported[op].add(f"{name}: {line.strip()}")
            continue
        if code:
            counts[kind, "wrong"] += 1
            wrong.append(f"{kind} {name} ({', '.join(sorted(ops))}): {complaint.splitlines()[0][:250]}")
            continue
        for i, want in enumerate(wants):
            d = difference(got[i], np.asarray(want)) if i < len(got) else "is missing"
            if isinstance(d, str) or d > tolerance:
                counts[kind, "wrong"] += 1
                wrong.append(f"{kind} {name} ({', '.join(sorted(ops))}): result {i}: {d}")
                break
        else:
            counts[kind, "agree"] += 1


def through_mindspore(program, kinds, only, wrong):
    """Models written as MindIR load in real MindSpore and give ONNX Runtime's numbers, as far as its functions are exact."""
    import mindspore as ms
    for name, model, inputs, wants, tolerance in (case for kind in kinds for case in cases(kind)):
        if only and only not in name:
            continue
        with tempfile.TemporaryDirectory() as work:
            made = os.path.join(work, "model.mindir")
            done = subprocess.run([*program.split(), stored(model, work), made], capture_output=True, text=True)
            if done.returncode:
                wrong.append(f"mindspore {name}: {done.stderr.strip()[:400]}")
                continue
            try:
                got = ms.nn.GraphCell(ms.load(made))(*[ms.Tensor(x) for x in inputs])
            except Exception as error:
                wrong.append(f"mindspore {name}: {str(error).strip()[:600]}")
                continue
        got = [g.asnumpy() for g in (got if isinstance(got, (tuple, list)) else [got])]
        worst = [difference(g, w) for g, w in zip(got, wants)]
        if any(isinstance(d, str) or d > max(tolerance, 1e-4) for d in worst):
            wrong.append(f"mindspore {name}: {worst}")
        else:
            print(f"mindspore {name}: largest difference {max(worst):.1e}", flush=True)


def table(kinds, unsupported, left_out, counts, wrong):
    """Numbers of cases, and names of those that do not agree, by reason."""
    versions = f"onnx {onnx.__version__}, ONNX Runtime {ort.__version__}"
    lines = [f"# What the cases of the package onnx give here: tests/oracle/onnx_in.py --table, {' '.join(kinds)}; {versions}."]
    lines += [f"{kind}: {what}: {n}" for (kind, what), n in sorted(counts.items())]
    lines += [f"wrong  {line}" for line in wrong]
    by_reason = collections.defaultdict(set)
    for op, cases in unsupported.items():
        for case in cases:
            name, reason = case.split(": ", 1)
            by_reason[f"{op}: {reason.split(': ')[-1]}"].add(name)
    for title, groups in [("not supported", by_reason), ("not compared", left_out)]:
        for why, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
            lines.append(f"{title}, {len(names)}: {why}: {' '.join(sorted(n.removeprefix('test_') for n in names))}")
    return "\n".join(lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--command", default="mindir")
    ap.add_argument("--only")
    ap.add_argument("--table")
    ap.add_argument("--expect")
    ap.add_argument("--to-mindir")
    ap.add_argument("kinds", nargs="*", default=[])
    args = ap.parse_args()
    unsupported, left_out, counts, wrong = collections.defaultdict(set), collections.defaultdict(set), collections.Counter(), []
    for kind in args.kinds:
        check(kind, args.command, args.only, unsupported, left_out, counts, wrong)
    if args.to_mindir:
        kinds = [k for k in args.kinds if k not in ("node", "pytorch", "light")]
        through_mindspore(args.to_mindir, kinds or ["style"], args.only, wrong)
    for op, names in sorted(unsupported.items()):
        for line in sorted(names)[:3]:
            print(f"not supported: {line}")
    for (kind, what), n in sorted(counts.items()):
        print(f"{kind}: {what}: {n}")
    if args.table:
        with open(args.table, "w") as out:
            print(table(args.kinds, unsupported, left_out, counts, wrong), file=out)
    if args.expect:
        stated = {line.split()[0] for line in open(args.expect) if line.strip() and not line.startswith("#")}
        wrong += [f"{op}: not supported, which {args.expect} does not say" for op in sorted(unsupported.keys() - stated)]
    for line in wrong:
        print("WRONG", line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
