"""Two replicas of Ray Serve on one machine, as serve/deploy/ray_serve.py has them: one that is killed under load loses what it was answering
and nothing else, and another takes its place.

  on_ray.py [--seconds 20]     needs ray[serve]==2.60.* and the package mindir, and Linux
"""
import argparse
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS = os.path.join(HERE, "..", "..", "examples", "digits")
os.environ["MODEL"] = os.path.abspath(os.path.join(DIGITS, "lenet5_dynamic_batch.mindir"))
os.environ["PYTHONPATH"] = os.pathsep.join([os.path.join(HERE, "..", "deploy"), os.environ.get("PYTHONPATH", "")])
sys.path.insert(0, os.path.join(HERE, "..", "deploy"))
CLIENTS = 4


def replicas():
    """Processes below this one that are replicas."""
    parents, found = {}, set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                parents[int(pid)] = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{pid}/cmdline") as f:
                if f.read().startswith("ray::ServeReplica"):
                    found.add(int(pid))
        except OSError:
            pass  # it has ended

    def is_below(pid):
        while pid and pid != os.getpid():
            pid = parents.get(pid)
        return pid is not None and pid > 0

    return {pid for pid in found if is_below(pid)}


def ask(x):
    """The answer, or `None` if there is none."""
    try:
        with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8000/", x.tobytes()), timeout=30) as answer:
            return np.frombuffer(answer.read(), np.float32)
    except OSError:
        return None


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=float, default=20)
    args = ap.parse_args()
    import ray
    from ray import serve

    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
    import ray_serve

    serve.run(ray_serve.app)
    images = np.load(os.path.join(DIGITS, "test_images.npy"))[:64].astype(np.float32) / np.float32(255)
    want = [ask(x) for x in images]
    logits = np.load(os.path.join(DIGITS, "test_logits.npy"))[:64]
    assert all(np.allclose(w, l, atol=1e-4) for w, l in zip(want, logits)), "the results are not MindSpore's"
    end, counts, lock = time.monotonic() + args.seconds, {"right": 0, "wrong": 0, "lost": 0}, threading.Lock()

    def client(i):
        while time.monotonic() < end:
            i = (i + 1) % len(images)
            got = ask(images[i])
            with lock:
                counts["lost" if got is None else "right" if np.array_equal(got, want[i]) else "wrong"] += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(args.seconds / 3)
    before = replicas()
    assert len(before) == 2, before
    os.kill(killed := min(before), 9)
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 60
    while len(replicas() - {killed}) < 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    after = replicas() - {killed}
    print(f"{counts['right']} right, {counts['wrong']} wrong, {counts['lost']} lost; {len(after)} replicas at the end, {len(after - before)} of them new")
    serve.shutdown()
    ray.shutdown()
    assert counts["wrong"] == 0 and counts["lost"] <= CLIENTS and counts["right"] > 10 * CLIENTS and len(after) == 2, counts


if __name__ == "__main__":
    main()
