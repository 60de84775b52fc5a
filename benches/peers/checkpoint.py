#!/usr/bin/env python3
"""Time saving and loading a checkpoint of 1 GiB: this runtime, MindSpore, the safetensors package, and a plain copy.

  checkpoint.py --mindir PATH --loader PATH [--rounds N] [--size MIB] [--dir DIR] [--out table.md]

Engines take turns, round by round; all files are in DIR, a temporary folder by default, which should be on the disk that matters. Saving with
`mindir` and the plain copy end when the bytes are on the disk (fsync); MindSpore and safetensors do not wait for that, so each is also timed with
a sync after it. `mindir` is a new process each time, start included; --loader is the example `load_checkpoint` of `mindir-benches`. "open" lists
the entries of a mapped file, "check all" reads every byte and the checksum, "load all" ends with all tensors in memory. Numbers are medians; the ratio is the median of each round's ratio to the
plain copy of the same round. Memory is the largest resident set: of the process, or for the Python engines above that of their idle process.

Run it with the Python that tests/oracle/setup.sh prints.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time

os.environ.setdefault("GLOG_v", "3")
PIECE = 8 << 20


def child(args):
    """Wall time in ms and largest resident set in MiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
    most = 0.0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as f:
                most = max([most] + [int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM")])
        except FileNotFoundError:
            pass
        time.sleep(0.001)
    if process.returncode:
        raise RuntimeError(f"{' '.join(args)} ended with {process.returncode}")
    return (time.perf_counter() - start) * 1e3, most


def synced(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Peak:
    """The largest resident set of this process while a block runs, above what it was before, in MiB."""

    def rss(self):
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def __enter__(self):
        self.before = self.most = self.rss()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.005):
            self.most = max(self.most, self.rss())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.above = self.most - self.before


def timed(work, *files):
    with Peak() as peak:
        start = time.perf_counter()
        work()
        mid = time.perf_counter()
        for path in files:
            synced(path)
        end = time.perf_counter()
    return (mid - start) * 1e3, (end - start) * 1e3, peak.above


class Bench:
    def __init__(self, mindir, loader, folder, mib):
        import mindspore as ms
        import numpy as np
        self.ms, self.mindir, self.loader, self.folder = ms, mindir, loader, folder
        self.results = {}
        rows = mib * 2**20 // 16 // 4 // 4096
        random = np.random.default_rng(0)
        self.arrays = {f"w{i}": random.standard_normal((rows, 4096), dtype=np.float32) for i in range(16)}
        self.params = [{"name": k, "data": ms.Tensor(v)} for k, v in self.arrays.items()]
        self.source = self.at("source.ckpt")
        ms.save_checkpoint(self.params, self.source)

    def at(self, name):
        return os.path.join(self.folder, name)

    def note(self, what, ms, mib=None):
        self.results.setdefault(what, []).append((ms, mib))

    def gone(self, *names):
        for name in names:
            if os.path.exists(self.at(name)):
                os.chmod(self.at(name), 0o600)
                os.remove(self.at(name))
        os.sync()

    def copy(self):
        self.gone("copy")
        start = time.perf_counter()
        with open(self.source, "rb") as source, open(self.at("copy"), "wb") as target:
            while piece := source.read(PIECE):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        self.note("save: plain copy", (time.perf_counter() - start) * 1e3)

    def save(self):
        for what, name, more in [("", "m.ckpt", []), (" with checksum", "c.ckpt", ["--crc"]), (" .safetensors", "m.safetensors", [])]:
            self.gone(name)
            self.note(f"save: mindir{what}", *child([self.mindir, "ckpt", "convert", self.source, self.at(name), "--json", *more]))
        self.gone("ms.ckpt")
        quick, safe, mib = timed(lambda: self.ms.save_checkpoint(self.params, self.at("ms.ckpt")), self.at("ms.ckpt"))
        self.note("save: MindSpore", quick, mib)
        self.note("save: MindSpore, synced", safe, mib)
        from safetensors.numpy import save_file
        self.gone("st.safetensors")
        quick, safe, mib = timed(lambda: save_file(self.arrays, self.at("st.safetensors")), self.at("st.safetensors"))
        self.note("save: safetensors", quick, mib)
        self.note("save: safetensors, synced", safe, mib)

    def load(self):
        self.note("open: mindir", *child([self.mindir, "ckpt", "ls", self.source, "--json"]))
        self.note("check all: mindir", *child([self.mindir, "ckpt", "verify", self.at("c.ckpt"), "--json"]))
        self.note("load all: mindir", *child([self.loader, self.source]))
        self.note("load all: mindir .safetensors", *child([self.loader, self.at("m.safetensors")]))
        kept = []
        quick, _, mib = timed(lambda: kept.append(self.ms.load_checkpoint(self.source)))
        self.note("load all: MindSpore", quick, mib)
        kept.clear()
        from safetensors.numpy import load_file
        quick, _, mib = timed(lambda: kept.append(load_file(self.at("st.safetensors"))))
        self.note("load all: safetensors", quick, mib)
        kept.clear()

    def table(self):
        base = [ms for ms, _ in self.results["save: plain copy"]]
        lines = ["| what | median ms | × plain copy | memory MiB |", "|---|---|---|---|"]
        for what, rounds in self.results.items():
            times = [ms for ms, _ in rounds]
            ratio = f"{statistics.median(t / b for t, b in zip(times, base)):.2f}" if what.startswith("save") else ""
            most = max((mib for _, mib in rounds if mib is not None), default=None)
            lines.append(f"| {what} | {statistics.median(times):.0f} | {ratio} | {'' if most is None else f'{most:.0f}'} |")
        return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mindir", required=True)
    parser.add_argument("--loader", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--dir")
    parser.add_argument("--out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        bench = Bench(os.path.abspath(args.mindir), os.path.abspath(args.loader), folder, args.size)
        for _ in range(args.rounds):
            bench.copy()
            bench.save()
            bench.load()
    table = bench.table()
    print(table, end="")
    if args.out:
        with open(args.out, "w") as f:
            f.write(table)


if __name__ == "__main__":
    main()
