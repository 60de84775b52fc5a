#!/usr/bin/env python3
"""Export a whole suite of networks with MindSpore, run every file here, compare, and print a table.

  zoo.py --list                                              the networks of all suites
  zoo.py SUITE[/NAME]... --command MINDIR --out DIR          export, run, compare; a network that DIR has a record of is not done again
  zoo.py SUITE... --command MINDIR --out DIR --time          also time it in turns with ONNX Runtime on one thread
  zoo.py --out DIR --table FILE                              write the table of all records below what FILE says above it

The exit code is 1 if a network runs otherwise here, or its ONNX file in ONNX Runtime, than in MindSpore.

Suites are the modules of `suites/`: `basic` is our own, `mindcv`, `mindyolo` and `mindone` need the package of that name (README.md says
how to install them, and where the configurations of mindyolo come from).  Every network has a process of its own with a time limit
(400 seconds, or ZOO_LIMIT).

What a network computes is what MindSpore computes with the network itself, before it is exported.  An error is the largest difference
relative to the largest magnitude of the output, or to 1 if that is more.  Where it is above the bound, the network is run once more
with other instructions (DNNL_MAX_CPU_ISA), and how far MindSpore is from itself stands beside it: a network is `unstable` if that is further.  Where MindSpore's CPU back end cannot run a
network, the verdict is `runs`; ONNX Runtime is then compared with our results.  `as here` says that ONNX Runtime computes what we do and
MindSpore something else.
"""
import argparse
import glob
import importlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "benches", "peers")]

import numpy as np  # noqa: E402

from distance import difference  # noqa: E402

SUITES = ["basic", "mindcv", "mindyolo", "mindone"]
BOUND = {"float16": 4e-3, "bfloat16": 2e-2}
LIMIT = int(os.environ.get("ZOO_LIMIT", "400"))       # seconds for one network in MindSpore
NETWORKS = "## Networks\n\n"
USUAL, OTHER = "AVX2", "SSE41"        # instructions of MindSpore's convolutions: AVX-512 takes oneDNN's slow reference kernels


def names(chosen):
    """(suite, name) of the networks chosen as SUITE or SUITE/NAME."""
    for item in chosen:
        suite, _, name = item.partition("/")
        listed = [name] if name else importlib.import_module("suites." + suite).list_models()
        yield from ((suite, one) for one in listed)


# ---------------------------------------------------------------- in a process of its own: MindSpore

def compute(suite, name, folder, file):
    """Run the network, store its results as out_0.npy.., and with `file` also inputs, what is known of them, and the file."""
    import mindspore as ms
    import golden
    import mindir
    from suites.data import fill_constants
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(0)
    np.random.seed(0)
    cell, inputs, *declared = importlib.import_module("suites." + suite).build(name)
    cell.set_train(False)
    fill_constants(cell)
    tensors = [golden.as_argument(x) for x in inputs]
    start = {p.name: p.value().copy() for p in cell.get_parameters() if not p.requires_grad}
    told = {"inputs": [golden.describe(x) for x in tensors]}
    try:
        leaves, _ = golden.run(cell, tensors)
        told["outputs"] = [golden.describe(x) for x in leaves]
        for i, leaf in enumerate(leaves):
            np.save(os.path.join(folder, f"out_{i}.npy"), golden.array(leaf))
        for p in cell.get_parameters():                    # the file holds the state before the first call
            if p.name in start:
                p.set_data(start[p.name].copy())
        told["mindspore_ms"] = min(timed(lambda: golden.run(cell, tensors)) for _ in range(3)) * 1e3
        for p in cell.get_parameters():
            if p.name in start:
                p.set_data(start[p.name].copy())
    except Exception as error:  # noqa: BLE001 - what this CPU cannot run may still be exported
        told["mindspore"] = brief(error)
    if file:
        for i, x in enumerate(tensors):
            np.save(os.path.join(folder, f"in_{i}.npy"), golden.array(x))
        path = os.path.join(folder, "model.mindir")
        ms.export(cell, *(declared[0] if declared else tensors), file_name=path, file_format="MINDIR")
        os.chmod(path, 0o644)
        proto = mindir.read(path)
        told.update(nodes=sum(mindir.ops(proto).values()), params=mindir.parameter_count(proto), bytes=os.path.getsize(path))
    with open(os.path.join(folder, "told.json"), "w") as f:
        json.dump(told, f)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def brief(error):
    """What an error says in the beginning, with its type and without MindSpore's rules of dashes."""
    return " ".join(re.sub("-{5,}", "", f"{type(error).__name__}: {error}").split())[:160]


def child(suite, name, folder, file):
    """`compute` where MindSpore may crash or hang; gives what it told."""
    env = dict(os.environ, DNNL_MAX_CPU_ISA=USUAL if file else OTHER, GLOG_v="3", HF_HUB_OFFLINE="1")
    os.makedirs(folder, exist_ok=True)
    call = [sys.executable, os.path.abspath(__file__), f"{suite}/{name}", "--out", folder, "--compute", "file" if file else "results"]
    try:
        done = subprocess.run(call, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
        log = done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return {"export": f"not done within {LIMIT} s"}
    path = os.path.join(folder, "told.json")
    if os.path.exists(path):
        with open(path) as f:
            return json.load(f)
    said = [line for line in log.splitlines() if line.startswith("ERROR ")]
    return {"export": said[-1][6:] if said else f"ended with code {done.returncode}"}


# ---------------------------------------------------------------- here

def files(folder, stem):
    """STEM_0.npy, STEM_1.npy, ... of a folder."""
    return sorted(glob.glob(os.path.join(folder, stem + "_*.npy")), key=lambda p: int(p[:-4].rsplit("_", 1)[1]))


def judge(got, want, kinds):
    """The worst error over all outputs, and what is wrong if it is above the bound of the coarsest type among them."""
    bound = max([1e-4, *(BOUND.get(kind, 0) for kind in kinds)])
    if len(got) != len(want):
        return None, f"{len(got)} results instead of {len(want)}"
    worst, why = 0.0, ""
    for i, (a, b) in enumerate(zip(got, want)):
        if a.shape != b.shape or (a.dtype != b.dtype and kinds[i] != "bfloat16"):
            return None, f"result {i} is {a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}"
        error = difference(a.astype(b.dtype), b)
        worst = max(worst, error)
        if error > bound:
            why = why or f"result {i} differs"
    return worst, why


def said(text):
    """What our command says in the beginning: of an error that lists nodes, the first of them too."""
    return " ".join(line.strip() for line in text.strip().splitlines()[:2])[:200]


def run_here(command, folder, record):
    """Run the file here and compare; fills in the record."""
    got = os.path.join(folder, "got")
    inputs = [part for path in files(folder, "in") for part in ("-i", path)]
    done = subprocess.run([command, "run", os.path.join(folder, "model.mindir"), *inputs, "--json", "-q", "-o", os.path.join(got, "")],
                          capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        record.update(verdict="refused" if done.returncode == 3 else "failed", why=said(done.stderr))
        return
    want = [np.load(path) for path in files(folder, "out")]
    if not want:
        record.update(verdict="runs", why="MindSpore: " + record.get("mindspore", "no results"))
        return
    kinds = [o["dtype"] for o in record["outputs"]]
    record["error"], why = judge([np.load(path) for path in files(got, "out")], want, kinds)
    record.update(verdict="differs" if why else "agrees", why=why)


def spread(suite, name, folder, record):
    """How far MindSpore is from itself with other instructions."""
    other = os.path.join(folder, "other")
    child(suite, name, other, False)
    want, again = ([np.load(path) for path in files(f, "out")] for f in (folder, other))
    if want and len(want) == len(again):
        record["spread"] = max(difference(a, b) for a, b in zip(again, want))
        if record["error"] is not None and record["error"] <= record["spread"]:
            record["verdict"] = "unstable"


def onnx_twin(command, folder, record):
    """Write the file as ONNX and compare what ONNX Runtime computes."""
    import onnxruntime
    path = os.path.join(folder, "model.onnx")
    done = subprocess.run([command, "convert", os.path.join(folder, "model.mindir"), path], capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        record["onnx"] = "no form: " + said(done.stderr)
        return
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Its fusion of Pad and MaxPool takes the zeros of the padding for absent elements.
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], disabled_optimizers=["Pad_Fusion"])
        got = session.run(None, dict(zip((i.name for i in session.get_inputs()), (np.load(p) for p in files(folder, "in")))))
    except Exception as error:  # noqa: BLE001 - what it says is the result
        record["onnx"] = "ONNX Runtime: " + brief(error)
        return
    ours, theirs = ([np.load(p) for p in files(f, "out")] for f in (os.path.join(folder, "got"), folder))
    kinds = [o["dtype"] for o in record["outputs"]] if "outputs" in record else [str(w.dtype) for w in ours]
    error, why = judge(got, theirs or ours, kinds)
    if why and theirs and not judge(got, ours, kinds)[1]:
        record["onnx"] = "as here"
    else:
        record["onnx"] = f"differs: {why}, {error}" if why else "agrees"


def times(command, folder, record):
    """One thread, in turns with ONNX Runtime: both medians and the median ratio of the rounds."""
    import peers
    engines = ["mindir"] + (["ort"] if record.get("onnx") in ("agrees", "as here") else [])
    workers = []
    try:
        peers.start(workers, engines, folder, 1, command)
        peers.measure(workers, 5, 60)
        by = {w.engine: w for w in workers}
        record.update(load_ms=by["mindir"].load_ms, ms=statistics.median(by["mindir"].times))
        if "ort" in by:
            record["ort_ms"] = statistics.median(by["ort"].times)
            record["ratio"] = statistics.median(a / b for a, b in zip(by["mindir"].rounds, by["ort"].rounds))
    except (RuntimeError, KeyError) as error:
        print(f"{folder}: not timed: {brief(error)}", flush=True)
    finally:
        for w in workers:
            w.quit()


def one(suite, name, args):
    """Everything about one network; gives its record."""
    folder = os.path.join(args.out, suite, name)
    kept = os.path.join(args.out, f"{suite}-{name}.json")
    record = json.load(open(kept)) if os.path.exists(kept) else None
    if record and not (args.time and "ms" not in record and record["verdict"] in ("agrees", "unstable", "runs", "differs")):
        return record
    if not os.path.exists(os.path.join(folder, "model.mindir")):
        shutil.rmtree(folder, ignore_errors=True)
        record = {"suite": suite, "name": name, **child(suite, name, folder, True)}
        if "export" in record:
            record["verdict"] = "not exported"
        else:
            run_here(args.command, folder, record)
            if record["verdict"] == "differs":
                spread(suite, name, folder, record)
            onnx_twin(args.command, folder, record)
    if args.time and os.path.exists(os.path.join(folder, "model.mindir")):
        times(args.command, folder, record)
    with open(kept, "w") as f:
        json.dump(record, f, indent=1)
    if not args.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return record


# ---------------------------------------------------------------- the table

def number(value, form):
    return "" if value is None else form.format(value)


def row(r):
    slower = r["ms"] / r["mindspore_ms"] if r.get("ms") and r.get("mindspore_ms") else None
    remark = r.get("why") or r.get("export") or ""
    if "spread" in r:
        remark += f"; MindSpore from itself {r['spread']:.1e}"
    if r.get("onnx", "agrees") not in ("agrees", "as here"):
        remark = "; ".join(filter(None, [remark, "ONNX " + r["onnx"]]))
    return [f"{r['suite']}/{r['name']}", number(r.get("nodes"), "{}"), r["verdict"], number(r.get("error"), "{:.1e}"), r.get("onnx", "").split(":")[0],
            number(r.get("load_ms"), "{:.0f}"), number(r.get("ms"), "{:.2f}"), number(slower, "{:.2f}"), number(r.get("ratio"), "{:.2f}"),
            remark.replace("|", "\\|").replace(os.path.expanduser("~"), "~")]


def table(records):
    """All records as markdown, the summary first."""
    count = lambda verdict: sum(r["verdict"] == verdict for r in records)  # noqa: E731
    lines = [", ".join(f"{count(v)} {v}" for v in ("agrees", "unstable", "runs", "differs", "refused", "failed", "not exported") if count(v)) + "."]
    ratios = [r["ratio"] for r in records if r.get("ratio")]
    heavy = [r["ratio"] for r in records if r.get("ratio") and r["ort_ms"] > 2]
    if ratios:
        lines += [f"Time to ONNX Runtime's, one thread: geometric mean {statistics.geometric_mean(ratios):.2f} of {len(ratios)}"
                  + (f", {statistics.geometric_mean(heavy):.2f} of the {len(heavy)} that take more than 2 ms." if heavy else ".")]
    head = ["network", "nodes", "verdict", "error", "ONNX", "load ms", "ms", "to MindSpore", "to ONNX Runtime", "remark"]
    rows = [head, ["---", "---:", "---", "---:", "---", "---:", "---:", "---:", "---:", "---"], *map(row, records)]
    return "\n\n".join(["\n".join(lines), "\n".join("| " + " | ".join(cells) + " |" for cells in rows)]) + "\n"


def write_table(path, text):
    """Replace what stands below the heading NETWORKS of a file."""
    before = ""
    if os.path.exists(path):
        with open(path) as f:
            before = f.read().partition(NETWORKS)[0]
    with open(path, "w") as f:
        f.write(before + NETWORKS + text)


def records(out):
    """Every record that is kept, by suite and name."""
    found = [json.load(open(path)) for path in glob.glob(os.path.join(out, "*.json"))]
    return sorted(found, key=lambda r: (SUITES.index(r["suite"]), r["name"]))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("networks", nargs="*", help="SUITE or SUITE/NAME")
    ap.add_argument("--command", help="our command-line program")
    ap.add_argument("--out", default="target/zoo")
    ap.add_argument("--time", action="store_true")
    ap.add_argument("--keep", action="store_true", help="keep the files of every network")
    ap.add_argument("--table", help="write the table of all records there")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--compute", choices=["file", "results"], help=argparse.SUPPRESS)
    args = ap.parse_args()
    args.out = os.path.abspath(args.out)
    if args.list:
        print(*(f"{s}/{n}" for s, n in names(args.networks or SUITES)), sep="\n")
    elif args.compute:
        inside(args)
    else:
        os.makedirs(args.out, exist_ok=True)
        wrong = []
        for suite, name in names(args.networks):
            record = one(suite, name, args)
            print("  ".join(row(record)), flush=True)
            if at_fault(record):
                wrong.append(f"{suite}/{name}")
        if args.table:
            write_table(args.table, table(records(args.out)))
        if wrong:
            print("wrong:", *wrong, flush=True)
            os._exit(1)
    sys.stdout.flush()
    os._exit(0)                           # MindSpore's teardown prints pages of harmless tracebacks


def at_fault(r):
    """Whether this runtime, or the ONNX file that it writes, is what is wrong."""
    if r["verdict"] == "differs":
        return r.get("onnx") != "as here"
    return r["verdict"] in ("refused", "failed") or r["verdict"] != "unstable" and r.get("onnx", "").startswith(("differs", "ONNX Runtime"))


def inside(args):
    """The process of one network: an error is its last word, in one line."""
    suite, name = args.networks[0].split("/")
    try:
        compute(suite, name, args.out, args.compute == "file")
    except BaseException as error:  # noqa: BLE001 - the message is the result
        traceback.print_exc()
        print("ERROR", brief(error), flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
