"""The worker protocol, Python side.

A worker loads one model, runs it once and prints `READY load_ns first_ns`.  Then it reads commands from standard input:
`r N` runs the model N times and prints the N durations in nanoseconds on one line, `q` (or end of input) ends it.
"""
import argparse
import os
import sys
import time

import numpy as np


def arguments():
    """Folder of the model (holding in_0.npy..) and number of threads."""
    ap = argparse.ArgumentParser()
    ap.add_argument("folder")
    ap.add_argument("--threads", type=int, default=1)
    return ap.parse_args()


def inputs(folder):
    """The stored inputs of the model, in order."""
    arrays = []
    while os.path.exists(path := os.path.join(folder, f"in_{len(arrays)}.npy")):
        arrays.append(np.load(path))
    return arrays


def serve(load, run):
    """`load()` gives a loaded model, `run(model)` one finished inference."""
    start = time.perf_counter_ns()
    model = load()
    loaded = time.perf_counter_ns()
    run(model)
    print("READY", loaded - start, time.perf_counter_ns() - loaded, flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words or words[0] != "r":
            break
        times = []
        for _ in range(int(words[1])):
            start = time.perf_counter_ns()
            run(model)
            times.append(time.perf_counter_ns() - start)
        print(*times, flush=True)
    sys.stdout.flush()
    os._exit(0)
