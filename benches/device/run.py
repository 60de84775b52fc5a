#!/usr/bin/env python3
"""Check and time this runtime on the GPU of the machine, beside PyTorch, with what `pack.sh` has packed.

  run.py [--out FOLDER] [--only facts,conformance,agreement,times] [--names resnet50,bert_base] [--batches 1,128,32]
         [--precisions f32,bf16] [--rounds N]

Needs no Rust, no compiler and no network: Python 3 with NumPy, and PyTorch for the times.  Writes to `--out`: `facts.txt`,
`conformance.txt`, `agreement.json`, `times.json` and `times.md`.  A step that fails is told at the end, and the others run.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import peers  # noqa: E402

BIN = os.path.normpath(os.path.join(HERE, "..", "..", "target", "device"))
MINDIR = os.path.join(BIN, "mindir")


def environment():
    """The environment in which libraries of Python packages are found, as NVRTC and cuBLASLt."""
    folders = {os.path.dirname(path) for site in sys.path if site for path in glob.glob(os.path.join(site, "nvidia", "**", "lib", "*.so*"), recursive=True)}
    known = os.environ.get("LD_LIBRARY_PATH", "")
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join([*sorted(folders), *([known] if known else [])])}


def tell(args, name, commands):
    """The outputs of commands, in one file; the names of those that fail."""
    failed = []
    with open(os.path.join(args.out, name), "w") as f:
        for command, more in commands:
            f.write(f"$ {' '.join(command)}\n")
            f.flush()
            try:
                done = subprocess.run(command, stdout=f, stderr=subprocess.STDOUT, env={**environment(), **more}, cwd=BIN)
                code = done.returncode
            except OSError as error:
                code = error
            f.write(f"-> {code}\n\n")
            if code:
                failed.append(f"{os.path.basename(command[0])} {' '.join(command[1:])}: {code}; see {name}")
    return failed


def facts(args):
    """What the machine is, and what this runtime finds on it."""
    return tell(args, "facts.txt", [(["nvidia-smi"], {}), ([MINDIR, "doctor"], {})])


def conformance(args):
    """The suite and the tests of the devices, on the real driver."""
    # The tests look for their files where they were built.
    with open(os.path.join(BIN, "root")) as f:
        root = f.read().strip()
    if not os.path.exists(root):
        os.makedirs(os.path.dirname(root), exist_ok=True)
        os.symlink(os.path.abspath(os.path.join(HERE, "..", "..")), root)
    real = {"MINDIR_EMULATION": "none", "MINDIR_REQUIRE": "cuda"}
    runs = [([os.path.join(BIN, "suite"), "cuda", "--nocapture"], real), ([os.path.join(BIN, "cuda")], real)]
    if "wgpu" in args.devices:
        runs += [([os.path.join(BIN, "suite"), "wgpu", "--nocapture"], {"MINDIR_REQUIRE": "wgpu"}), ([os.path.join(BIN, "wgpu")], {"MINDIR_REQUIRE": "wgpu"})]
    return tell(args, "conformance.txt", runs)


def prepare(args):
    """Models, weights and inputs in the folder of the work."""
    subprocess.run([os.path.join(BIN, "networks"), args.work], check=True)
    random = np.random.default_rng(1)
    for batch in args.batches:
        np.save(os.path.join(args.work, f"resnet50_{batch}.npy"), random.standard_normal((batch, 3, 224, 224), dtype=np.float32))
        np.save(os.path.join(args.work, f"bert_base_{batch}.npy"), random.integers(0, 30522, (batch, 128), dtype=np.int32))


def ours(args, name, batch, device, precision):
    """The options of a run of this runtime."""
    return [os.path.join(args.work, f"{name}.mindir"), "-i", os.path.join(args.work, f"{name}_{batch}.npy"), "--device", device, "--precision", precision]


def torch(args, name, batch, mode, precision):
    """The command of PyTorch's worker."""
    return [sys.executable, os.path.join(HERE, "worker_torch.py"), args.work, name, "--batch", str(batch), "--mode", mode, "--precision", precision]


def agreement(args):
    """How far the devices are from the CPU, and from PyTorch, relative to the largest number."""
    found, failed = [], []
    for name in args.names:
        wanted = result(args, [MINDIR, "run", *ours(args, name, 1, "cpu", "f32")])
        for device in args.devices:
            for precision in args.precisions:
                try:
                    got = result(args, [MINDIR, "run", *ours(args, name, 1, device, precision), "--fallback", "deny"])
                    found.append({"model": name, "who": f"mindir on {device}", "precision": precision, "error": error(got, wanted)})
                except (subprocess.CalledProcessError, OSError, ValueError) as e:
                    failed.append(f"{name} on {device} in {precision}: {e}")
        for precision in args.precisions:
            try:
                file = os.path.join(args.work, "torch.npy")
                subprocess.run([*torch(args, name, 1, "eager", precision), "--check", file], check=True, env=environment())
                found.append({"model": name, "who": "torch", "precision": precision, "error": error(np.load(file), wanted)})
            except (subprocess.CalledProcessError, OSError, ValueError) as e:
                failed.append(f"{name} in PyTorch in {precision}: {e}")
    with open(os.path.join(args.out, "agreement.json"), "w") as f:
        json.dump(found, f, indent=1)
    print(*found, sep="\n")
    return failed + [f"{row} is too far" for row in found if row["error"] > {"f32": 1e-4, "tf32": 5e-3}.get(row["precision"], 5e-2)]


def result(args, command):
    """What a run of this runtime writes."""
    file = os.path.join(args.work, "result.npy")
    subprocess.run([*command, "-o", file], check=True, env=environment(), stdout=subprocess.DEVNULL)
    return np.load(file)


def error(got, wanted):
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def times(args):
    """Medians of one interleaved run for each network, batch size and precision."""
    rows, failed = [], []
    os.environ.update(environment())
    threads = len(os.sched_getaffinity(0))
    for name, batch, precision in ((n, b, p) for n in args.names for b in args.batches for p in args.precisions):
        commands = {f"torch {mode}": torch(args, name, batch, mode, precision) for mode in ("eager", "graph", "compile")}
        for device in args.devices:
            model, _, *options = ours(args, name, batch, device, precision)
            commands[f"mindir on {device}"] = [MINDIR, "bench", model, "--worker", "--input", *options]
        workers = []
        try:
            for who, command in commands.items():
                try:
                    workers.append(peers.Worker(who, command, threads))
                except (RuntimeError, OSError) as e:
                    failed.append(f"{name} {batch} {precision}: {e}")
            if workers:
                peers.measure(workers, args.rounds, 150)
            base = next((w for w in workers if w.engine == "torch graph"), None)
            for w in workers:
                ratio = base and statistics.median(a / b for a, b in zip(w.rounds, base.rounds))
                rows.append({"model": name, "batch": batch, "precision": precision, "engine": w.engine, "ms": statistics.median(w.times), "ratio": ratio,
                             "fastest_ms": min(w.times), "load_ms": w.load_ms})
                print(rows[-1], flush=True)
        except RuntimeError as e:
            failed.append(f"{name} {batch} {precision}: {e}")
        finally:
            for w in workers:
                w.quit()
        write_times(args, rows)
    return failed


def write_times(args, rows):
    with open(os.path.join(args.out, "times.json"), "w") as f:
        json.dump(rows, f, indent=1)
    with open(os.path.join(args.out, "times.md"), "w") as f:
        f.write("| model | batch | precision | engine | median ms | ratio to torch graph | fastest ms | load ms |\n| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |\n")
        for r in rows:
            ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f}"
            f.write(f"| {r['model']} | {r['batch']} | {r['precision']} | {r['engine']} | {r['ms']:.3f} | {ratio} | {r['fastest_ms']:.3f} | {r['load_ms']:.0f} |\n")


STEPS = {"facts": facts, "conformance": conformance, "agreement": agreement, "times": times}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")  # noqa: E731
    ap.add_argument("--out", default=os.environ.get("OUT", "device-results"))
    ap.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "mindir-device"), help="folder for models and weights, about 1.2 GB")
    ap.add_argument("--only", type=words, default=list(STEPS))
    ap.add_argument("--devices", type=words, default=["cuda"], help="cuda, wgpu or both")
    ap.add_argument("--names", type=words, default=["resnet50", "bert_base"])
    ap.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], default=[1, 32, 128])
    ap.add_argument("--precisions", type=words, default=["f32", "bf16"])
    ap.add_argument("--rounds", type=int, default=7)
    args = ap.parse_args()
    if unknown := set(args.only) - set(STEPS):
        ap.error(f"unknown steps: {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    os.makedirs(args.out, exist_ok=True)
    os.makedirs(args.work, exist_ok=True)
    if {"agreement", "times"} & set(args.only):
        prepare(args)
    failed = [f"{step}: {what}" for step in args.only for what in STEPS[step](args)]
    print(*failed, sep="\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
