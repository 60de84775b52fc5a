"""What a call from Python takes beside the same run in Rust: a table for benches/results/README.md.

    cargo build --release -p mindir-benches --example calls
    python benches/python/calls.py target/release/examples/calls [MODEL...]

Both run on one thread and on zeros, in turns; each round takes the fastest of many runs, and the table has medians of rounds.
"""

import statistics
import subprocess
import sys
import time

import mindir
import numpy as np

MODELS = ["tests/goldens/io_identity/model.mindir", "examples/digits/lenet5.mindir", "tests/goldens/io_multi_in/model.mindir"]
ROUNDS, RUNS = 15, 2000


def fastest(call):
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - start)
    return best / 1e3


def measure(rust, model):
    cell = mindir.GraphCell(mindir.load(model), threads=1)
    arrays = [np.zeros(port.shape, port.dtype.name) for port in cell.inputs]
    tensors = [mindir.Tensor(array) for array in arrays]
    session = cell.session()
    calls = [lambda: cell(*arrays), lambda: cell(*tensors), lambda: session(*arrays)]
    child = subprocess.Popen([rust, model, str(ROUNDS), str(RUNS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rounds = []
    for _ in range(ROUNDS):
        child.stdin.write("\n")
        child.stdin.flush()
        theirs = [float(number) for number in child.stdout.readline().split()]
        rounds.append(theirs + [fastest(call) for call in calls])
    return [statistics.median(column) for column in zip(*rounds)]


def main():
    rust, *models = sys.argv[1:]
    print("| model | run in Rust µs | call with arrays µs | more µs | call with tensors µs | session in Rust µs | session µs | more µs |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for model in models or MODELS:
        run, session, arrays, tensors, ours = measure(rust, model)
        name = model.removesuffix(".mindir").removesuffix("/model").rsplit("/", 1)[-1]
        numbers = [run, arrays, arrays - run, tensors, session, ours, ours - session]
        print(f"| {name} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |")


main()
