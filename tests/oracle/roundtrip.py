"""MindSpore loads and runs models written by mindir, and compares with the outputs of the originals.

    python roundtrip.py WRITTEN [GOLDENS] [--key KEY] [--mode MODE]

WRITTEN has one folder for each golden, with model.mindir or model_graph.mindir in it. Every golden is run in both forms; where
the original itself does not run, that is said with its error.
"""
import argparse
import json
import os
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


def first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def check(written, folder, meta, secret):
    """`equal`, or what is wrong; and whether the original is to blame."""
    try:
        want = outputs(mindir.graph_file(folder), folder, meta)
    except Exception as error:
        return f"the original fails: {first_line(error)}", True
    try:
        got = outputs(mindir.graph_file(written), folder, meta, **secret)
    except Exception as error:
        if os.environ.get("MINDIR_TRACE"):
            traceback.print_exc()
        return f"fails: {first_line(error)}", False
    return unequal(got, want) or "equal", False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("written")
    parser.add_argument("goldens", nargs="?", default=os.path.join(os.path.dirname(__file__), "..", "goldens"))
    parser.add_argument("--key")
    parser.add_argument("--mode", default="AES-GCM")
    given = parser.parse_args()
    secret = {"dec_key": given.key.encode(), "dec_mode": given.mode} if given.key else {}
    ms.set_context(mode=ms.GRAPH_MODE)
    wrong, excused, names = [], [], sorted(os.listdir(given.written))
    for name in names:
        folder = os.path.join(given.goldens, name)
        with open(os.path.join(folder, "meta.json")) as f:
            meta = json.load(f)
        verdict, excuse = check(os.path.join(given.written, name), folder, meta, secret)
        (excused if excuse else wrong if verdict != "equal" else []).append(name)
        if verdict != "equal":
            print(f"{name}: {verdict}", flush=True)
    print(f"{len(names) - len(wrong) - len(excused)} of {len(names)} give the bits of the original; "
          f"{len(excused)} originals fail in MindSpore", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
