#!/usr/bin/env python3
"""Random models that the tests keep (`MINDIR_RANDOM_OUT`): onnx.checker accepts them, and ONNX Runtime computes the same.

  MINDIR_RANDOM_SECONDS=60 MINDIR_RANDOM_OUT=FOLDER cargo test -p mindir-tests --test random_models --test random_onnx
  random_onnx.py FOLDER

Floats may differ by what case.json allows, relative to the largest magnitude; everything else is equal. A model that ONNX Runtime
has no kernel for is counted and passed over.
"""
import argparse
import collections
import glob
import json
import os
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort

from onnx_out import DTYPES

# What ONNX Runtime says where the model is right and it has no kernel for the element type.
NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation")


def tensors(data, rows):
    return [np.frombuffer(data, DTYPES[r["dtype"]], int(np.prod(r["shape"])), r["offset"]).reshape(r["shape"]) for r in rows]


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Fusions would compute something else than the nodes say.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(got, want, tolerance):
    """What is wrong with a result, or None."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{got.shape} instead of {want.dtype}{want.shape}"
    if got.dtype.kind in "iub":
        return None if np.array_equal(got, want) else "integers differ"
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return "what is not finite differs"
    if not finite.any():
        return None
    scale, apart = np.abs(b[finite]).max(), np.abs(a[finite] - b[finite]).max()
    return None if apart <= tolerance * scale else f"differs by {apart:.3g} of {scale:.3g}"


def judge(folder):
    """(verdict, text): `agrees`, `no kernel`, `refused` by the checker, or `differs`."""
    path = os.path.join(folder, "model.onnx")
    with open(os.path.join(folder, "case.json")) as f:
        case = json.load(f)
    with open(os.path.join(folder, "data.bin"), "rb") as f:
        data = f.read()
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:  # noqa: BLE001 - the checker raises many kinds
        return "refused", str(error).strip().splitlines()[0]
    if any(x["dtype"] == "bf16" for s in case["sets"] for x in s["inputs"] + s["outputs"]):
        return "no kernel", "bf16"
    try:
        s = session(path)
        names = [i.name for i in s.get_inputs()]
        for number, run in enumerate(case["sets"]):
            got = s.run(None, dict(zip(names, tensors(data, run["inputs"]))))
            for i, (a, b) in enumerate(zip(got, tensors(data, run["outputs"]), strict=True)):
                wrong = difference(a, b, case["tolerance"])
                if wrong:
                    return "differs", f"set {number}, output {i}: {wrong}"
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises many kinds
        text = str(error).strip().splitlines()[0]
        return ("no kernel" if any(k in text for k in NO_KERNEL) else "differs"), text
    return "agrees", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    folders = sorted(glob.glob(os.path.join(parser.parse_args().folder, "*", "case.json")))
    counts, reasons = collections.Counter(), collections.Counter()
    for path in folders:
        folder = os.path.dirname(path)
        verdict, text = judge(folder)
        counts[verdict] += 1
        if verdict == "no kernel":
            reasons[text[:120]] += 1
        elif verdict != "agrees":
            print(f"{os.path.basename(folder)}: {verdict}: {text}"[:400], flush=True)
    for reason, n in reasons.most_common(10):
        print(f"no kernel, {n} times: {reason}")
    print(f"{len(folders)} models: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    sys.exit(not folders or counts["differs"] + counts["refused"] > 0)


if __name__ == "__main__":
    main()
