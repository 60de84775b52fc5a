"""What the suites share: seeded inputs, and stand-ins for modules that a package imports and building a network never calls."""
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import zlib
from unittest.mock import MagicMock

import numpy as np


def image(size=224, channels=3, batch=1, seed=0):
    """A seeded image-like input in NCHW."""
    return np.random.RandomState(seed).standard_normal((batch, channels, size, size)).astype(np.float32)


def tokens(vocab, length, batch=1, seed=0, dtype=np.int32, low=1):
    """Seeded token numbers in [low, vocab)."""
    return np.random.RandomState(seed).randint(low, vocab, (batch, length)).astype(dtype)


def fill_constants(cell):
    """Give float parameters that hold one constant (biases, statistics of batch norms, scales of layers) seeded values around it,
    so that every operator leaves a trace in the output.  Others keep what the network made them, so that values stay as large
    as they are meant to be."""
    import mindspore as ms
    for name, p in cell.parameters_and_names():
        if p.dtype not in (ms.float32, ms.float16, ms.bfloat16) or p.size < 2:
            continue
        old = p.astype(ms.float32).asnumpy()
        first = float(old.flat[0])
        if np.all(old == first):
            rng = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
            p.set_data(ms.Tensor(around(first, old.shape, rng).astype(np.float32)).astype(p.dtype))


def around(first, shape, rng):
    """Values around a constant: small ones for zero, of the size of a layer's scale for what is small."""
    if first == 0.0:
        return rng.normal(0.0, 0.02, shape)
    if abs(first) < 0.5:
        return rng.uniform(0.05, 0.2, shape)
    return first * rng.uniform(0.8, 1.2, shape)


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the given modules, and whatever they hold, as mocks."""

    def __init__(self, roots):
        self.roots = set(roots)

    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if any(".".join(parts[:i]) in self.roots for i in range(1, len(parts) + 1)):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__name__, module.__path__, module.__spec__, module.__file__ = spec.name, [], spec, "<stand-in>"
        module.__version__ = "0"
        return module

    def exec_module(self, module):
        pass


def stub(*roots):
    """Let mocks stand in for those of the modules that are not installed."""
    missing = [root for root in roots if importlib.util.find_spec(root) is None]
    if missing:
        sys.meta_path.append(StandIn(missing))
