"""Writing goldens: a MindIR file with inputs and the outputs MindSpore computes from it.

The layout of the folders is described in tests/goldens/README.md.
"""
import json
import os
import shutil

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

import mindir
from nets.common import seed_params


# ---------------------------------------------------------------- values

def flatten(value):
    """A nested tuple or list, depth first: a list of leaves and the nest (`tensor`, `int`, `str`... or a list of nests)."""
    if isinstance(value, (tuple, list)):
        leaves, nest = [], []
        for item in value:
            more, sub = flatten(item)
            leaves += more
            nest.append(sub)
        return leaves, nest
    if value is None:
        return [], "none"
    return [value], "tensor" if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__


def array(leaf):
    """A leaf as a numpy array; bfloat16 becomes float32."""
    if isinstance(leaf, Tensor):
        return (leaf.astype(ms.float32) if leaf.dtype == ms.bfloat16 else leaf).asnumpy()
    return np.asarray(leaf)


def describe(leaf):
    """Shape and MindSpore dtype of a leaf."""
    dtype = str(leaf.dtype).lower() if isinstance(leaf, Tensor) else str(np.asarray(leaf).dtype)
    return {"shape": list(array(leaf).shape), "dtype": "bool" if dtype == "bool_" else dtype}


def as_argument(value):
    """An input set's element as MindSpore takes it."""
    return Tensor(value) if isinstance(value, (np.ndarray, np.generic)) else value


def same(a, b):
    """Bit equality of two flattened results."""
    return len(a) == len(b) and all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b))


# ---------------------------------------------------------------- running

def load(folder):
    """The exported file as a callable cell."""
    return nn.GraphCell(ms.load(mindir.graph_file(folder)))


def run(cell, inputs):
    """Leaves and nest of one call, copied out of the cell's buffers."""
    leaves, nest = flatten(cell(*inputs))
    return [leaf.copy() if isinstance(leaf, Tensor) else leaf for leaf in leaves], nest


def run_all(folder, spec):
    """Results of all input sets, whether a second call repeats them, and the last loaded cell.

    Every case gets a freshly loaded file (a second signature can break one with control flow); steps share one.
    """
    if spec.expected:
        return [(list(leaves), ["tensor"] * len(leaves) if len(leaves) > 1 else "tensor") for leaves in spec.expected], None, None
    results, repeat, cell = [], True, load(folder)
    for inputs in spec.runs:
        if not spec.steps:
            cell = load(folder)
        arguments = [as_argument(x) for x in inputs]
        results.append(run(cell, arguments))
        if not spec.steps:
            repeat = repeat and same([array(x) for x in results[-1][0]], [array(x) for x in run(cell, arguments)[0]])
    return results, None if spec.steps else repeat, cell


def save_run(folder, sub, inputs, leaves, nest):
    """Write one input set and its outputs; gives the entry for meta.json.  Strings cannot be arrays and are left out."""
    path = os.path.join(folder, sub)
    os.makedirs(path, exist_ok=True)
    given, in_nest = flatten(list(inputs))
    for stem, values in (("in", given), ("out", leaves)):
        for i, leaf in enumerate(values):
            if not isinstance(leaf, str):
                np.save(os.path.join(path, f"{stem}_{i}.npy"), array(leaf))
    return {"dir": sub, "inputs": [describe(x) for x in given], "in_nest": in_nest,
            "outputs": [describe(x) for x in leaves], "nest": nest}


def default_tolerance(outputs):
    """By the coarsest float type among the outputs."""
    kinds = {o["dtype"] for o in outputs}
    for dtype, tolerance in (("bfloat16", 2e-2), ("float16", 4e-3), ("float32", 1e-4), ("float64", 1e-10)):
        if dtype in kinds:
            return tolerance
    return 0.0


# ---------------------------------------------------------------- one golden

def export(spec, folder):
    """Write model.mindir for the spec's network."""
    declared = spec.declared or [as_argument(x) for x in spec.runs[0]]
    path = os.path.join(folder, "model.mindir")
    if spec.declared:
        spec.cell.set_inputs(*declared)
    ms.export(spec.cell, *declared, file_name=path, file_format="MINDIR")
    os.chmod(path, 0o644)


def spread_labels(labels, nest):
    """One label per flattened output: a function that gives several results has its label numbered."""
    if not labels or not isinstance(nest, list) or len(nest) != len(labels):
        return labels
    out = []
    for label, sub in zip(labels, nest):
        n = count(sub)
        out += [label] if n == 1 else [f"{label} {i}" for i in range(n)]
    return out


def count(nest):
    """Number of leaves of a nest."""
    return sum(count(n) for n in nest) if isinstance(nest, list) else 1


def native_agrees(spec, results):
    """Whether the network itself gives the same bits as its exported file; None where it cannot run."""
    if spec.steps or spec.expected:
        return None
    try:
        return all(same([array(x) for x in run(spec.cell, [as_argument(x) for x in inputs])[0]], [array(x) for x in leaves])
                   for inputs, (leaves, _) in zip(spec.cases, results))
    except Exception:  # noqa: BLE001 - some networks only run once exported
        return None


def write(name, spec, root, group):
    """Export one network and store it with inputs, outputs and meta.json under root/name; gives the meta data."""
    ms.set_context(mode=ms.GRAPH_MODE)
    folder = os.path.join(root, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if not spec.train:
        spec.cell.set_train(False)
    if not spec.raw:
        seed_params(spec.cell, spec.keep)
    export(spec, folder)
    results, repeat, cell = run_all(folder, spec)
    entries = []
    for i, (inputs, (leaves, nest)) in enumerate(zip(spec.runs, results)):
        sub = f"step_{i}" if spec.steps else f"case_{i}" if i else "."
        entries.append(save_run(folder, sub, [as_argument(x) for x in inputs], leaves, nest))
    for stem, value in spec.extra.items():
        np.save(os.path.join(folder, stem + ".npy"), value)
    if spec.steps:
        save_after(folder, cell, spec.weights)
    meta = {"note": spec.note or " ".join((type(spec.cell).__doc__ or "").split()), "labels": spread_labels(spec.labels, entries[0]["nest"]), "tolerance": spec.tolerance,
            "reference": "numpy" if spec.expected else "mindspore", "determinism": {"repeat": repeat, "native": native_agrees(spec, results)}}
    return write_meta(folder, name, group, entries, bool(spec.steps), meta)


def save_after(folder, cell, names):
    """Store the parameters of these names, or all, as they are after the last step."""
    os.makedirs(os.path.join(folder, "after"), exist_ok=True)
    for p in cell.get_parameters():
        if names is None or p.name in names:
            np.save(os.path.join(folder, "after", p.name + ".npy"), array(p))


def write_meta(folder, name, group, entries, stateful, more):
    """Write meta.json from the run entries and the exported file."""
    path = mindir.graph_file(folder)
    proto = mindir.read(path)
    first = entries[0]
    meta = {"name": name, "group": group, "mindspore": ms.__version__, "graph": os.path.basename(path), "bytes": os.path.getsize(path),
            "params": mindir.parameter_count(proto), "inputs": first["inputs"], "in_nest": first["in_nest"], "outputs": first["outputs"],
            "nest": first["nest"], "declared": {"inputs": mindir.declared(proto.graph.input), "outputs": mindir.declared(proto.graph.output)},
            "steps" if stateful else "cases": entries, "ops": mindir.ops(proto)}
    meta.update({k: v for k, v in more.items() if v not in (None, "")})
    meta.setdefault("tolerance", default_tolerance(first["outputs"]))
    with open(os.path.join(folder, "meta.json"), "w") as f:
        f.write(compact(meta) + "\n")
    return meta


def compact(meta):
    """JSON with one line per key of the top level and one line per case, so that changes read well."""
    rows = []
    for key, value in meta.items():
        if key in ("cases", "steps"):
            inner = ",\n  ".join(json.dumps(v) for v in value)
            rows.append(f' "{key}": [\n  {inner}\n ]')
        else:
            rows.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(rows) + "\n}"
