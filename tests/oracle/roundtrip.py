"""MindSpore loads and runs models written by mindir, and compares with the outputs of the originals.

    python roundtrip.py WRITTEN [GOLDENS] [--key KEY] [--mode MODE] [--only NAME]

With --operators the models are of one operator each, and their results are those of mindir's references.
WRITTEN has one folder for each golden, with model.mindir or model_graph.mindir in it. Every golden is run in both forms; where
the original itself does not run, that is said with its error.
"""
import argparse
import json
import os
import subprocess
import sys
import traceback

import mindspore as ms
import numpy as np
from mindspore import nn

import compare
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
                return f"run {run} output {i}: differs by {compare.difference(a, b):.3e}"
    if set(got_params) != set(want_params):
        return f"parameters {sorted(got_params)}, expected {sorted(want_params)}"
    for name, value in want_params.items():
        if got_params[name].tobytes() != value.tobytes():
            return f"parameter {name}: differs by {compare.difference(got_params[name], value):.3e}"
    return None


def agrees(written, secret):
    """`equal` if a model of one operator gives the results stored beside it, or what is wrong."""
    arrays = lambda kind: [np.load(path) for i in range(99) if os.path.exists(path := os.path.join(written, f"{kind}_{i}.npy"))]
    try:
        leaves, _ = golden.run(nn.GraphCell(ms.load(mindir.graph_file(written), **secret)), [ms.Tensor(x) for x in arrays("in")])
    except Exception as error:
        return f"fails: {first_line(error)}"
    for i, (got, want) in enumerate(zip(map(golden.array, leaves), arrays("out"))):
        tolerance = 2e-2 if want.dtype == np.float16 else 1e-3
        if not (distance := compare.difference(got, want)) <= tolerance:
            return f"output {i}: {got.dtype} {list(got.shape)}, expected {want.dtype} {list(want.shape)}; differs by {distance:.3e}"
    return "equal"


def first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
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
        if given.operators:
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
    parser.add_argument("--operators", action="store_true", help="models of one operator, with inputs and results beside them")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--work", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        return work(given, given.work)
    names = sorted(name for name in os.listdir(given.written) if given.only in name)
    wrong = excused = 0
    for name, verdict, excuse in results(names):
        excused += excuse
        wrong += verdict != "equal" and not excuse
        if verdict != "equal":
            print(f"{name}: {verdict}", flush=True)
    print(f"{len(names) - wrong - excused} of {len(names)} give the bits of the original; "
          f"{excused} originals fail in MindSpore", flush=True)
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    raise SystemExit(main())
