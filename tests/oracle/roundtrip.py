"""MindSpore loads and runs models written by mindir, and compares with the outputs of the originals.

    python roundtrip.py WRITTEN [GOLDENS] [--key KEY] [--mode MODE] [--only NAME]

With --own there are no originals: inputs and mindir's results lie beside each model. --expect names a file that lists the models
that MindSpore is known not to run, or to run with other results, and why: a model `OPERATOR_NUMBER`, or `OPERATOR` for all of them;
`sometimes` in front of the reason is for what may agree by chance.
WRITTEN has one folder for each golden, with model.mindir or model_graph.mindir in it. Every golden is run in both forms; where
the original itself does not run, that is said with its error.
"""
import argparse
import itertools
import json
import os
import subprocess
import sys
import traceback

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import mind_ir_pb2

import compare
from distance import difference
import golden
import mindir


def outputs(path, folder, meta, **secret):
    """Every output of every case or step, as arrays, and the parameters afterwards."""
    load = lambda: nn.GraphCell(ms.load(path, **secret))
    cell, found = load(), []
    for entry in meta.get("cases") or meta["steps"]:
        if "cases" in meta:
            cell = load()
        leaves, nest = golden.run(cell, compare.arguments(folder, entry))
        found.append((nest, [leaf if isinstance(leaf, str) else golden.array(leaf) for leaf in leaves]))
    params = {} if "cases" in meta else {p.name: golden.array(p) for p in cell.get_parameters()}
    return found, params


def unequal(got, want):
    """The first difference of two results, or None."""
    (got, got_params), (want, want_params) = got, want
    for run, ((nest, leaves), (want_nest, want_leaves)) in enumerate(zip(got, want)):
        if nest != want_nest:
            return f"run {run}: results nest as {nest}, expected {want_nest}"
        for i, (a, b) in enumerate(zip(leaves, want_leaves)):
            if isinstance(a, str) or isinstance(b, str):
                if a != b:
                    return f"run {run} output {i}: {a!r}, expected {b!r}"
            elif a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                return f"run {run} output {i}: differs by {difference(a, b):.3e}"
    if set(got_params) != set(want_params):
        return f"parameters {sorted(got_params)}, expected {sorted(want_params)}"
    for name, value in want_params.items():
        if got_params[name].tobytes() != value.tobytes():
            return f"parameter {name}: differs by {difference(got_params[name], value):.3e}"
    return None


def stored(folder, kind):
    """The arrays `KIND_0.npy`, `KIND_1.npy`, ... of a folder."""
    paths = (os.path.join(folder, f"{kind}_{i}.npy") for i in itertools.count())
    return [np.load(path) for path in itertools.takewhile(os.path.exists, paths)]


def arguments(folder):
    """The stored inputs of a model; those that it declares as bfloat16 are stored as float32."""
    model = mind_ir_pb2.ModelProto()
    with open(mindir.graph_file(folder), "rb") as f:
        model.ParseFromString(f.read())
    half = [info.tensor[0].data_type == mind_ir_pb2.TensorProto.BFLOAT16 for info in model.graph.input]
    tensors = map(ms.Tensor, stored(folder, "in"))
    return [tensor.astype(ms.bfloat16) if short else tensor for tensor, short in zip(tensors, half, strict=True)]


def arrays(result):
    """The arrays in a result; a tuple of Python numbers is one."""
    if isinstance(result, ms.Tensor):
        return [golden.array(result.copy())]
    if isinstance(result, (tuple, list)) and not all(isinstance(item, (bool, int, float)) for item in result):
        return [array for item in result for array in arrays(item)]
    return [np.array(result, np.int64 if result in ((), []) else None)]


def agrees(folder, secret):
    """`equal` if a model gives the results stored beside it, or what is wrong."""
    try:
        cell = nn.GraphCell(ms.load(mindir.graph_file(folder), **secret))
        got = cell(*arguments(folder))
    except Exception as error:
        if os.environ.get("MINDIR_TRACE"):
            traceback.print_exc()
        return f"fails: {first_line(error)}"
    want = stored(folder, "out")
    got = [array for result in (got if isinstance(got, tuple) and len(want) > 1 else [got]) for array in arrays(result)]
    for param in cell.get_parameters():
        if os.path.exists(path := os.path.join(folder, f"after_{param.name}.npy")):
            got.append(golden.array(param))
            want.append(np.load(path))
    if len(got) != len(want):
        return f"gives {len(got)} results, not {len(want)}"
    for i, (a, b) in enumerate(zip(got, want)):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"output {i} is {a.dtype} {list(a.shape)}, not {b.dtype} {list(b.shape)}"
        tolerance = 2e-2 if b.dtype == np.float16 else 1e-3
        if not (distance := difference(a, b)) <= tolerance:
            return f"output {i} differs by {distance:.0e}"
    return "equal"


def first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("-")]
    return lines[0][:300] if lines else type(error).__name__


def check(written, folder, meta, secret, stage):
    """`equal`, or what is wrong; and whether the original is to blame."""
    stage("the original")
    try:
        want = outputs(mindir.graph_file(folder), folder, meta)
    except Exception as error:
        return f"the original fails: {first_line(error)}", True
    stage("written")
    try:
        got = outputs(mindir.graph_file(written), folder, meta, **secret)
    except Exception as error:
        if os.environ.get("MINDIR_TRACE"):
            traceback.print_exc()
        return f"fails: {first_line(error)}", False
    difference = unequal(got, want)
    if difference is None:
        return "equal", False
    if meta.get("reference") == "numpy":
        return f"the original is wrong in MindSpore ({difference})", True
    if unequal(outputs(mindir.graph_file(folder), folder, meta), want):
        return f"the original gives other bits each time ({difference})", True
    return difference, False


def work(given, names):
    """Check these models and report on each in lines of JSON that start with `@`."""
    report = lambda **what: print("@" + json.dumps(what), flush=True)
    secret = {"dec_key": given.key.encode(), "dec_mode": given.mode} if given.key else {}
    ms.set_context(mode=ms.GRAPH_MODE)
    for name in names:
        folder = os.path.join(given.goldens, name)
        if given.own:
            report(name=name, verdict=agrees(os.path.join(given.written, name), secret), excuse=False)
            continue
        with open(os.path.join(folder, "meta.json")) as f:
            meta = json.load(f)
        stage = lambda what: report(name=name, stage=what)
        verdict, excuse = check(os.path.join(given.written, name), folder, meta, secret, stage)
        report(name=name, verdict=verdict, excuse=excuse)


def results(names):
    """Name, verdict and excuse of every model. MindSpore can crash: then another process goes on with the rest."""
    while names:
        worker = [sys.executable, __file__, *sys.argv[1:], "--work", *names]
        stage = "the start"
        with subprocess.Popen(worker, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                said = json.loads(line[1:]) if line.startswith("@") else {}
                stage = said.get("stage", stage)
                if "verdict" in said:
                    names = names[1:]
                    yield said["name"], said["verdict"], said["excuse"]
        if process.returncode and names:
            yield names[0], f"{stage} crashes MindSpore ({process.returncode})", stage == "the original"
            names = names[1:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("written")
    parser.add_argument("goldens", nargs="?", default=os.path.join(os.path.dirname(__file__), "..", "goldens"))
    parser.add_argument("--key")
    parser.add_argument("--mode", default="AES-GCM")
    parser.add_argument("--own", action="store_true", help="inputs and results are beside the models")
    parser.add_argument("--expect", help="the list of models that MindSpore does not run")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--work", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        return work(given, given.work)
    names = sorted(name for name in os.listdir(given.written) if given.only in name)
    failures, excused = {}, 0
    for name, verdict, excuse in results(names):
        excused += excuse
        if verdict != "equal" and not excuse:
            failures[name] = verdict
        if verdict != "equal" and not given.expect:
            print(f"{name}: {verdict}", flush=True)
    print(f"{len(names) - len(failures) - excused} of {len(names)} give the {'stored results' if given.own else 'bits of the original'}; "
          f"{excused} originals fail in MindSpore", flush=True)
    wrong = unexpected(names, failures, given.expect) if given.expect else failures
    return 1 if wrong or not names else 0


def unexpected(names, failures, path):
    """Prints and returns the differences of failures from those that a file lists: `OPERATOR_NUMBER`, or `OPERATOR` for all.
    What fails "sometimes" may work."""
    with open(path) as f:
        listed = {line.split()[0]: line for line in f if line.strip() and not line.startswith("#")}
    said = lambda name: listed.get(name) or listed.get(name.rpartition("_")[0])
    wrong = [f"{name}: {failures[name]}" for name in failures if not said(name)]
    works = [name for name in names if name not in failures and said(name) and " sometimes " not in said(name)]
    wrong += [f"{name}: works, other than {path} says" for name in works]
    print("\n".join(wrong) or f"{len(failures)} do not, as {path} says")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
