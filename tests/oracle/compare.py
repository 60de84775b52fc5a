"""Running stored goldens again and comparing."""
import json
import os

import mindspore as ms
import numpy as np

import golden


def arguments(folder, entry):
    """The inputs of a case as MindSpore takes them, nested as stored."""
    leaves = []
    for i, info in enumerate(entry["inputs"]):
        value = np.load(os.path.join(folder, entry["dir"], f"in_{i}.npy"))
        tensor = ms.Tensor(value)
        leaves.append(tensor.astype(ms.bfloat16) if info["dtype"] == "bfloat16" else tensor)
    return [nested(n, iter_leaves) for iter_leaves in [iter(leaves)] for n in entry["in_nest"]]


def nested(nest, leaves):
    """Rebuild one argument from its nest and the leaves still to come."""
    if isinstance(nest, list):
        return tuple(nested(n, leaves) for n in nest)
    leaf = next(leaves)
    return leaf if nest == "tensor" else leaf.asnumpy().item()


def difference(got, want):
    """Largest difference relative to the largest magnitude (at least 1) of the expected values; inf where they cannot match."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if got.size == 0:
        return 0.0
    a, b = got.astype(np.float64), want.astype(np.float64)
    special = ~np.isfinite(b)
    if not np.array_equal(a[special], b[special], equal_nan=True) or not np.isfinite(a[~special]).all():
        return float("inf")
    a, b = a[~special], b[~special]
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) if a.size else 0.0


def report(folder):
    """Run every case or step of a golden, print the largest difference, and say whether it is within the tolerance."""
    with open(os.path.join(folder, "meta.json")) as f:
        meta = json.load(f)
    worst, cell = 0.0, golden.load(folder)
    for entry in meta.get("cases") or meta["steps"]:
        if "cases" in meta:
            cell = golden.load(folder)
        got, _ = golden.run(cell, arguments(folder, entry))
        for i, leaf in enumerate(got):
            if not isinstance(leaf, str):
                want = np.load(os.path.join(folder, entry["dir"], f"out_{i}.npy"))
                worst = max(worst, difference(golden.array(leaf), want))
    print(f"{meta['name']:26} {worst:.3g} (tolerance {meta['tolerance']:g})", flush=True)
    return worst <= meta["tolerance"]
