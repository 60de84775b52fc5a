#!/usr/bin/env python3
"""What `mindir serve` does for long, and when too much is asked of it: no wrong answer, no panic, no growth.

  soak.py --mindir PATH [--requests 100000] [--overload 60] [--models 20] [--out table.md]

Start: a server with copies of the digits model, from the process to `/v2/health/ready`. Overload: twice as many clients as saturate the
server, each asking again at once, against a short queue. Soak: requests right and malformed, clients that go away in the middle, files that
are written over while `--watch` looks; memory is the process's.  Needs numpy.
"""
import argparse
import asyncio
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS = os.path.join(HERE, "..", "..", "examples", "digits")
MODEL = os.path.join(DIGITS, "lenet5_dynamic_batch.mindir")
PATH = "/v2/models/digits/infer"


class Server:
    """A server in a process of its own, which has to end well and without a panic."""

    def __init__(self, mindir, root, *options):
        self.errors = tempfile.TemporaryFile("w+")
        begun = time.monotonic()
        command = [mindir, "serve", root, "--http", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        while json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready"))["ready"] is not True:
            time.sleep(0.001)
        self.ready = time.monotonic() - begun

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS"))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.process.returncode
        self.errors.seek(0)
        told = self.errors.read()
        assert "panicked" not in told, told


def put(root, name, version=1):
    folder = os.path.join(root, name, str(version))
    os.makedirs(folder, exist_ok=True)
    new = os.path.join(root, name, f".new{version}")
    shutil.copy(MODEL, new)
    os.replace(new, os.path.join(folder, "model.mindir"))


def message(body, *headers):
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def right(x):
    head = json.dumps({"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    return message(head + x.tobytes(), f"inference-header-content-length: {len(head)}")


class Client:
    """A connection that is kept, and made anew when it is gone."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, request):
        """Status and body of the answer; 0 if there is none."""
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.writer.write(request)
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            if headers.get("connection") == "close":
                self.leave()
            return int(lines[0].split()[1]), body
        except (OSError, asyncio.IncompleteReadError):
            self.leave()
            return 0, b""

    def leave(self):
        if self.writer is not None:
            self.writer.close()
        self.writer = None


def malformed(rng, request):
    """A request that is not right, in one of several ways."""
    body = request[request.index(b"\r\n\r\n") + 4:]
    cut = rng.randrange(len(body))
    noise = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200)))
    return rng.choice([
        message(body[:cut], f"inference-header-content-length: {rng.randrange(1 << 20)}"),
        message(noise, "content-encoding: gzip"),
        message(noise, "content-type: multipart/form-data; boundary=b"),
        message(b'{"inputs":' + b"[" * rng.randrange(1, 5000)),
        message(json.dumps({"inputs": [{"name": "x", "shape": [1 << rng.randrange(1, 62)] * 3, "datatype": "FP32", "data": [1]}]}).encode()),
        message(b"\x89PNG\r\n\x1a\n" + noise),
    ])


async def soak(server, root, requests, clients):
    rng = random.Random(1)
    images = np.load(os.path.join(DIGITS, "test_images.npy"))[:64].astype(np.float32) / np.float32(255)
    asked = [right(x[None] if x.ndim == 3 else x) for x in images]
    first = Client(server.port)
    want = [(await first.ask(r))[1][-40:] for r in asked]
    statuses, wrong, memory = collections.Counter(), 0, []
    left = requests

    async def client():
        nonlocal left, wrong
        connection = Client(server.port)
        while left > 0:
            left -= 1
            done = requests - left
            if done % max(requests // 10, 1) == 0:
                memory.append(server.memory())
            if done % max(requests // 20, 1) == 0:
                put(root, "digits", 1)
            i, kind = rng.randrange(len(asked)), rng.random()
            if kind < 0.9:
                status, body = await connection.ask(asked[i])
                wrong += status == 200 and body[-40:] != want[i]
            elif kind < 0.95:
                status, _ = await connection.ask(malformed(rng, asked[i]))
                wrong += status == 200
            else:
                gone = Client(server.port)
                gone.reader, gone.writer = await asyncio.open_connection("127.0.0.1", server.port)
                gone.writer.write(asked[i][:rng.randrange(len(asked[i]))] if rng.random() < 0.5 else asked[i])
                gone.leave()
                status = "gone"
            statuses[status] += 1
        connection.leave()

    await asyncio.gather(*(client() for _ in range(clients)))
    return statuses, wrong, memory


async def overload(server, seconds, clients):
    x = np.zeros((1, 1, 32, 32), np.float32)
    end, statuses, times, memory = time.monotonic() + seconds, collections.Counter(), [], []

    async def client():
        connection = Client(server.port)
        while time.monotonic() < end:
            begun = time.monotonic()
            status, _ = await connection.ask(right(x))
            statuses[status] += 1
            if status == 200:
                times.append(time.monotonic() - begun)
            elif status == 503:
                await asyncio.sleep(0.01)

    async def watch():
        await asyncio.sleep(seconds / 5)
        memory.append(server.memory())

    await asyncio.gather(watch(), *(client() for _ in range(clients)))
    memory.append(server.memory())
    return statuses, np.percentile(times, [50, 99]) * 1000, memory


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--requests", type=int, default=100_000)
    ap.add_argument("--overload", type=float, default=60)
    ap.add_argument("--models", type=int, default=20)
    ap.add_argument("--clients", type=int, default=8)
    ap.add_argument("--queue", type=int, default=8)
    ap.add_argument("--out")
    args = ap.parse_args()
    lines = ["| what | found |", "| --- | --- |"]

    def tell(what, found):
        lines.append(f"| {what} | {found} |")
        print(lines[-1], flush=True)

    def told(statuses):
        return ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(statuses.items(), key=str))

    with tempfile.TemporaryDirectory() as folder:
        times = []
        for count in (1, args.models):
            root = os.path.join(folder, f"start{count}")
            for i in range(count):
                put(root, f"m{i}")
            server = Server(args.mindir, root)
            times.append(server.ready)
            server.end()
        tell(f"start to ready, {args.models} models beside one", f"{times[1] / times[0]:.1f} times as long")
        root = os.path.join(folder, "digits")
        put(root, "digits")
        server = Server(args.mindir, root, "--queue", str(args.queue))
        statuses, (p50, p99), memory = asyncio.run(overload(server, args.overload, 2 * (args.queue + 1)))
        server.end()
        tell(f"{2 * (args.queue + 1)} clients, queue of {args.queue}, {args.overload:.0f} s: statuses", told(statuses))
        tell("p99 of answers beside p50", f"{p99 / p50:.1f} times")
        tell("memory at the end beside a fifth of the time", f"{memory[1] / memory[0]:.3f} times")
        assert set(statuses) <= {200, 503}, statuses
        server = Server(args.mindir, root, "--watch", "200ms")
        statuses, wrong, memory = asyncio.run(soak(server, root, args.requests, args.clients))
        server.end()
        tell(f"{args.requests} requests, malformed ones, clients that go, reloads: statuses", told(statuses))
        tell("wrong answers, panics", f"{wrong}, 0")
        tell("memory after each tenth of the requests, MB", ", ".join(f"{m:.1f}" for m in memory))
        tell("memory at the end beside the first half", f"{memory[-1] / memory[len(memory) // 2 - 1]:.3f} times")
        assert wrong == 0 and 0 not in statuses, statuses
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
