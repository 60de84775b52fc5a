"""The registry of networks, seeded data and seeded weights."""
import dataclasses
import math
import zlib

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

MODELS = {}


@dataclasses.dataclass
class Spec:
    """What one golden is made of.

    cell       the network, in inference mode unless `train` is set
    cases      input sets; each is run on the freshly loaded file
    steps      input sets of a stateful network, run one after another on one loaded file (instead of `cases`)
    declared   what to export with when it is not the first input set (tensors of unknown shape)
    labels     a name for every flattened output, where the outputs are results of different operators
    keep       substrings of parameter names whose values are meant and stay as they are
    raw        keep every parameter as the network made it
    weights    the parameters to store after the last step; None: all
    expected   flattened outputs per case, computed without MindSpore, where its CPU back end has no kernel or a wrong one
    tolerance  allowed |got - expected| relative to the largest expected magnitude of an output; None: by dtype
    extra      further arrays to store, by file stem
    """
    cell: nn.Cell
    cases: list = dataclasses.field(default_factory=list)
    steps: list = dataclasses.field(default_factory=list)
    declared: list = None
    labels: list = None
    keep: tuple = ()
    expected: list = None
    raw: bool = False
    weights: list = None
    train: bool = False
    tolerance: float = None
    note: str = ""
    extra: dict = dataclasses.field(default_factory=dict)

    @property
    def runs(self):
        """All input sets, in order."""
        return self.cases or self.steps


def model(name, size="small"):
    """Register a function that returns a Spec under `name`; `size` is `small` (committed golden), `large` or `train`."""
    def register(build):
        assert name not in MODELS, name
        MODELS[name] = (size, build)
        return build
    return register


# ---------------------------------------------------------------- data

def noise(*shape, seed=0, scale=1.0, dtype=np.float32):
    """Seeded normal values."""
    return (np.random.RandomState(seed).standard_normal(shape) * scale).astype(dtype)


def uniform(low, high, *shape, seed=0, dtype=np.float32):
    """Seeded uniform values."""
    return np.random.RandomState(seed).uniform(low, high, shape).astype(dtype)


def integers(low, high, *shape, seed=0, dtype=np.int32):
    """Seeded integers in [low, high)."""
    return np.random.RandomState(seed).randint(low, high, shape).astype(dtype)


def unknown(*shape, dtype=ms.float32):
    """A tensor of partly unknown shape (None) to export with."""
    return Tensor(shape=list(shape), dtype=dtype)


# ---------------------------------------------------------------- many operators in one network

class Each(nn.Cell):
    """Applies every function to the same arguments and gives all results."""

    def __init__(self, functions):
        super().__init__()
        self.functions = tuple(functions)

    def construct(self, *args):
        out = ()
        for f in self.functions:
            out = out + (f(*args),)
        return out


def table(functions, *inputs, **more):
    """The Spec of an operator table: {label: function or primitive}, run on one input set.  Results may be tuples."""
    return Spec(Each(functions.values()), [list(inputs)], labels=list(functions), **more)


def primitives(names):
    """{name: primitive without arguments} for space-separated names."""
    from mindspore import ops
    return {n: getattr(ops, n)() for n in names.split()}


# ---------------------------------------------------------------- weights

def seed_params(cell, keep=()):
    """Give every float parameter seeded values, so that every operator leaves a trace in the output.

    Values depend on the parameter's name only.  Constant parameters (biases, batch-norm statistics) get noise around the
    constant; kernels get a scale that keeps the signal alive through deep networks; others keep their own spread.
    """
    for name, p in cell.parameters_and_names():
        if p.dtype not in (ms.float32, ms.float16, ms.float64, ms.bfloat16) or p.size < 2 or any(k in name for k in keep):
            continue
        old = p.astype(ms.float32).asnumpy()
        rng = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
        p.set_data(Tensor(_values(name, old, rng).astype(np.float32)).astype(p.dtype))


def _values(name, old, rng):
    first = float(old.flat[0])
    if np.all(old == first):
        if first == 0.0:
            return rng.normal(0.0, 0.05, old.shape)
        if abs(first) < 0.5:
            return rng.uniform(0.05, 0.2, old.shape)
        return first * rng.uniform(0.8, 1.2, old.shape)
    if old.ndim >= 3:
        return rng.normal(0.0, math.sqrt(1.6 / np.prod(old.shape[1:])), old.shape)
    if old.ndim == 2 and "embedding_table" not in name:
        return rng.normal(0.0, math.sqrt(1.0 / old.shape[1]), old.shape)
    return rng.normal(float(old.mean()), float(old.std()), old.shape)
