#!/usr/bin/env python3
"""Time this runtime against ONNX Runtime, OpenVINO and MindSpore on the same networks with the same weights.

  peers.py --models DIR --mindir PATH [--names mlp,resnet50] [--engines ort,ov,ms,mindir] [--threads 1,2] [--out table.md]

DIR/NAME holds model.mindir, model.onnx (see to_onnx.py) and in_0.npy...; without model.mindir this runtime takes model.onnx.  Every engine is a process of its own that stays loaded; all but
the one being timed are stopped, so that spinning thread pools do not disturb it.  Engines take turns, round by round, and every round's
median is compared with the reference's median of the same round, so that slow drifts of the machine cancel out.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Worker:
    """One engine with one model, loaded and stopped until asked."""

    def __init__(self, engine, command, threads):
        self.engine, self.rounds, self.times, self.count = engine, [], [], 1
        cpus = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
        start = time.perf_counter()
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.load_ms, self.first_ms = self.wait_ready()
        self.start_ms = (time.perf_counter() - start) * 1e3
        self.stop()

    def wait_ready(self):
        for line in self.process.stdout:
            if line.startswith("READY"):
                return [int(v) / 1e6 for v in line.split()[1:3]]
        raise RuntimeError(f"{self.engine} ended with code {self.process.wait()} before its first result")

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, n):
        """Durations of n runs in milliseconds; the process runs only meanwhile."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"r {n}\n")
        times = [int(v) / 1e6 for v in self.process.stdout.readline().split()]
        self.stop()
        if len(times) != n:
            raise RuntimeError(f"{self.engine} answered {len(times)} times instead of {n}")
        return times

    def calibrate(self, slice_ms):
        """Warm up and choose how many runs fill one time slice."""
        quick = min(self.ask(3))
        warm = self.ask(max(3, min(200, int(50 / quick))))
        self.count = max(2, min(4000, int(slice_ms / statistics.median(warm))))

    def round(self):
        self.ask(max(1, self.count // 10))
        times = self.ask(self.count)
        self.times += times
        self.rounds.append(statistics.median(times))

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))

    def quit(self):
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.communicate("q\n", timeout=20)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()


def command(engine, folder, threads, mindir):
    """The command line of an engine's worker."""
    if engine == "mindir":
        models = [os.path.join(folder, name) for name in ("model.mindir", "model.onnx")]
        model = next(path for path in models if os.path.exists(path))
        arrays = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("in_") and name.endswith(".npy"))
        return [mindir, "bench", model, "--worker", "--threads", str(threads), *(f"--input={path}" for path in arrays)]
    return [sys.executable, os.path.join(HERE, f"worker_{engine}.py"), folder, "--threads", str(threads)]


def start(workers, engines, folder, threads, mindir):
    """Add workers of all engines that can run the model."""
    for engine in engines:
        try:
            workers.append(Worker(engine, command(engine, folder, threads, mindir), threads))
        except (RuntimeError, OSError) as error:
            print(f"{os.path.basename(folder)}: {error}", file=sys.stderr, flush=True)


def measure(workers, rounds, slice_ms):
    """Let the workers take turns; the order rotates from round to round."""
    for w in workers:
        w.calibrate(slice_ms)
    for r in range(rounds):
        shift = r % len(workers)
        for w in workers[shift:] + workers[:shift]:
            w.round()


def bench(engines, folder, threads, args):
    """The table rows of one network with one number of threads; no process outlives this."""
    workers, lines = [], []
    try:
        start(workers, engines, folder, threads, args.mindir)
        if workers:
            measure(workers, args.rounds, args.slice)
            lines = list(rows(os.path.basename(folder), threads, workers, args.reference))
            print(*("  ".join(map(str, line)) for line in lines), sep="\n", file=sys.stderr, flush=True)
    except RuntimeError as error:
        print(f"{os.path.basename(folder)}: {error}", file=sys.stderr, flush=True)
    finally:
        for w in workers:
            w.quit()
    return lines


def rows(name, threads, workers, reference):
    """One table row per worker, fastest first."""
    base = next((w for w in workers if w.engine == reference), workers[0])
    ratio = {w: statistics.median(a / b for a, b in zip(w.rounds, base.rounds)) for w in workers}
    for w in sorted(workers, key=ratio.get):
        yield [name, threads, w.engine, f"{statistics.median(w.times):.3f}", f"{ratio[w]:.2f}", f"{min(w.times):.3f}", f"{w.load_ms:.0f}",
               f"{w.start_ms:.0f}", f"{w.peak_mb():.0f}"]


def table(lines, reference):
    """Rows as a markdown table."""
    head = ["model", "threads", "engine", "median ms", f"ratio to {reference}", "fastest ms", "load ms", "process start to first result ms",
            "peak memory MB"]
    body = [head, ["---"] * 3 + ["---:"] * 6, *lines]
    return "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in body) + "\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--models", required=True)
    ap.add_argument("--names", help="default: every folder of --models that has a model.onnx")
    ap.add_argument("--engines", default="ort,ov,ms,mindir")
    ap.add_argument("--reference", default="ort")
    ap.add_argument("--mindir", help="our command-line program; left out when not given")
    ap.add_argument("--threads", default="1,2")
    ap.add_argument("--rounds", type=int, default=9)
    ap.add_argument("--slice", type=float, default=150, help="milliseconds per engine and round")
    ap.add_argument("--out", help="file for the table, besides standard output")
    args = ap.parse_args()
    engines = [e for e in args.engines.split(",") if e != "mindir" or args.mindir]
    names = args.names.split(",") if args.names else sorted(n for n in os.listdir(args.models) if os.path.exists(os.path.join(args.models, n, "model.onnx")))
    lines = []
    for name in names:
        for threads in map(int, args.threads.split(",")):
            lines += bench(engines, os.path.join(args.models, name), threads, args)
    text = table(lines, args.reference)
    print(text)
    if args.out:
        with open(args.out, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()
