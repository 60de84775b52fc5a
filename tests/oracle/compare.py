"""Running stored goldens again and comparing."""
import json
import os

import mindspore as ms
import numpy as np

import golden
from distance import difference


def arguments(folder, entry):
    """The inputs of a case as MindSpore takes them, nested as stored."""
    leaves = []
    for i, info in enumerate(entry["inputs"]):
        value = np.load(os.path.join(folder, entry["dir"], f"in_{i}.npy"))
        tensor = ms.Tensor(value)
        leaves.append(tensor.astype(ms.bfloat16) if info["dtype"] == "bfloat16" else tensor)
    rest = iter(leaves)
    return [value if n == "tensor" else ms.mutable(value) for n in entry["in_nest"] for value in [nested(n, rest)]]


def nested(nest, leaves):
    """Rebuild one argument from its nest and the leaves still to come."""
    if isinstance(nest, list):
        return tuple(nested(n, leaves) for n in nest)
    leaf = next(leaves)
    return leaf if nest == "tensor" else leaf.asnumpy().item()


def worst(folder, meta):
    """Largest difference over every case or step of a golden."""
    largest, cell = 0.0, golden.load(folder)
    for entry in meta.get("cases") or meta["steps"]:
        if "cases" in meta:
            cell = golden.load(folder)
        got, _ = golden.run(cell, arguments(folder, entry))
        for i, leaf in enumerate(got):
            if not isinstance(leaf, str):
                want = np.load(os.path.join(folder, entry["dir"], f"out_{i}.npy"))
                largest = max(largest, difference(golden.array(leaf), want))
    return largest


def report(folder):
    """Run a golden with MindSpore, print the largest difference, and say whether it is within the tolerance."""
    with open(os.path.join(folder, "meta.json")) as f:
        meta = json.load(f)
    if meta.get("reference") == "numpy":
        print(f"{meta['name']:26} skipped: MindSpore cannot run it", flush=True)
        return True
    try:
        found = worst(folder, meta)
    except Exception as error:  # noqa: BLE001 - go on with the others
        print(f"{meta['name']:26} FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
        return False
    print(f"{meta['name']:26} {found:.3g} (tolerance {meta['tolerance']:g})", flush=True)
    return found <= meta["tolerance"]
