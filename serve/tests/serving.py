"""A server with the digits model, for the tests beside this file."""
import contextlib
import os
import shutil
import signal
import subprocess

import numpy as np

DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "digits")


@contextlib.contextmanager
def server(mindir, root, *options, ends=0):
    """A server at a free port: its address and its process, which ends so."""
    process = subprocess.Popen([mindir, "serve", root, "--http", "127.0.0.1:0", *options], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split("://")[1].strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == ends, f"the server ended with {process.returncode}"


def repository(root):
    folder = os.path.join(root, "digits")
    os.makedirs(os.path.join(folder, "1"))
    shutil.copy(os.path.join(DIGITS, "lenet5_dynamic_batch.mindir"), os.path.join(folder, "1", "model.mindir"))
    shutil.copy(os.path.join(DIGITS, "labels.txt"), folder)
    with open(os.path.join(folder, "model.toml"), "w") as f:
        f.write('max_batch = 8\nbatch_delay_ms = 1\nlabels = "labels.txt"\n')


def check(name, got, want):
    assert got.dtype == want.dtype and got.shape == want.shape and np.array_equal(got, want), name
    print(f"{name}: ok")
