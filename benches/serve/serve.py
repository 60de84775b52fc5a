#!/usr/bin/env python3
"""Times `mindir serve` beside FastAPI with ONNX Runtime: LeNet5 of the digits, elements as they are in memory, over loopback.

  serve.py --mindir PATH --load PATH --onnx FILE [--clients 1,32] [--seconds 2] [--rounds 5] [--out table.md]

The servers run at the same time, each with one process; `load` (examples/load.rs) asks one of them at a time, and they take turns.  Needs
fastapi, uvicorn[standard], onnxruntime and numpy.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "..", "..", "examples", "digits", "lenet5_dynamic_batch.mindir")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Served:
    """A server in a process of its own."""

    def __init__(self, name, command, port, path, body, headers):
        self.name, self.port, self.path, self.body, self.headers = name, port, path, body, headers
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, path):
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} does not answer")

    def load(self, load, clients, seconds):
        command = [load, f"127.0.0.1:{self.port}", self.path, self.body, str(clients), str(seconds), *self.headers]
        words = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return {key: float(value) for key, value in zip(words[::2], words[1::2])}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


def servers(args, folder):
    x = np.random.default_rng(1).random((1, 1, 32, 32), dtype=np.float32)
    raw, both = os.path.join(folder, "raw"), os.path.join(folder, "both")
    with open(raw, "wb") as f:
        f.write(x.tobytes())
    head = json.dumps({"inputs": [{"name": "x", "shape": [1, 1, 32, 32], "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    with open(both, "wb") as f:
        f.write(head + x.tobytes())
    infer = "/v2/models/lenet5_dynamic_batch/infer"
    for name, options in (("mindir", []), ("mindir, batches of 32", ["--max-batch", "32"])):
        port = free_port()
        command = [args.mindir, "serve", MODEL, "--http", f"127.0.0.1:{port}", *options]
        server = Served(name, command, port, infer, both, [f"inference-header-content-length: {len(head)}"])
        server.wait("/v2/health/ready")
        yield server
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "fastapi_ort:app", "--app-dir", HERE, "--port", str(port), "--log-level", "error", "--no-access-log"]
    os.environ["MODEL"] = args.onnx
    server = Served("FastAPI, ONNX Runtime", command, port, "/infer", raw, ["content-type: application/octet-stream"])
    server.wait("/ready")
    yield server


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--load", required=True)
    ap.add_argument("--onnx", required=True, help="the same model, as `mindir convert` writes it")
    ap.add_argument("--clients", default="1,32")
    ap.add_argument("--seconds", type=float, default=2)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--out")
    args = ap.parse_args()
    lines = ["| server | clients | answers/s | p50 µs | p99 µs | failed |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as folder:
        running = []
        try:
            running.extend(servers(args, folder))
            for clients in map(int, args.clients.split(",")):
                found = {server: [] for server in running}
                for server in running:
                    server.load(args.load, clients, 0.5)
                for i in range(args.rounds):
                    for server in running[i % len(running):] + running[:i % len(running)]:
                        found[server].append(server.load(args.load, clients, args.seconds))
                for server, rounds in found.items():
                    of = lambda key: statistics.median(r[key] for r in rounds)  # noqa: E731
                    lines.append(f"| {server.name} | {clients} | {of('answers') / args.seconds:.0f} | {of('p50'):.0f} | {of('p99'):.0f} | {sum(r['failed'] for r in rounds):.0f} |")
                    print(lines[-1], flush=True)
        finally:
            for server in running:
                server.stop()
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
