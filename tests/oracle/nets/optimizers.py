"""Optimizers, dense and sparse, each a step on parameters of its own."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.ops.operations import nn_ops
from mindspore.ops.operations.inner_ops import FusedCastAdamWeightDecay

from .common import Spec, model, noise, uniform


def moving(name, count, shape, seed):
    """A parameter to train and `count` positive ones that go with it."""
    values = [noise(*shape, seed=seed)] + [uniform(0.1, 1, *shape, seed=seed + i + 1) for i in range(count)]
    return ParameterTuple([Parameter(Tensor(v), name=f"{name}.{i}") for i, v in enumerate(values)])


class Optimizer(nn.Cell):
    """One step of an optimizer: its parameters, what follows them, and the gradient in front of the last `behind` of these."""

    def __init__(self, name, step, count, numbers, behind, shape=(3, 4)):
        super().__init__()
        self.state = moving(name, count, shape, sum(map(ord, name)))
        self.step = step
        self.before, self.after = tuple(numbers[:len(numbers) - behind]), tuple(numbers[len(numbers) - behind:])

    def construct(self, *gradient):
        return self.step(*self.state, *self.before, *gradient, *self.after)


class Optimizers(nn.Cell):
    """Optimizers, each with parameters of its own, and the results of those that end with `shown`."""

    def __init__(self, rows, shape=(3, 4), shown=""):
        super().__init__()
        self.cells_ = nn.CellList([Optimizer(name, *row, shape=shape) for name, row in rows.items()])
        self.shown = tuple(name.endswith(shown) for name in rows)

    def construct(self, *gradient):
        double, out = gradient[0] * 2, ()
        for cell, shown in zip(self.cells_, self.shown):
            new = cell(*gradient)
            if shown:
                out = out + (new,)
            else:
                double = ops.depend(double, new)
        return out + (double,)


class Halved(nn.Cell):
    """FusedCastAdamWeightDecay with the gradient in half precision."""

    def __init__(self):
        super().__init__()
        self.step = FusedCastAdamWeightDecay()

    def construct(self, w, m, v, rate, beta1, beta2, eps, decay, gradient, norm):
        return self.step(w, m, v, rate, beta1, beta2, eps, decay, gradient.astype(ms.float16), norm)


# On the CPU, ApplyAdagrad ignores `update_slots`, ApplyRMSProp places `epsilon` elsewhere in parts of a tensor, ApplyFtrl and
# ApplyAdagradDA are wrong where `l1` matters; what some return is not set.
DENSE = {
    "rms": (ops.ApplyRMSProp(), 2, (0.1, 0.9, 0.8, 1e-9), 3),
    "centered": (ops.ApplyCenteredRMSProp(), 3, (0.1, 0.9, 0.8, 0.1), 4),
    "adagrad": (ops.ApplyAdagrad(), 1, (0.1,), 0),
    "adagrad2": (ops.ApplyAdagradV2(epsilon=0.01), 1, (0.1,), 0),
    "adagrad2_kept": (ops.ApplyAdagradV2(epsilon=0.01, update_slots=False), 1, (0.1,), 0),
    "dual": (ops.ApplyAdagradDA(), 2, (0.1, 0.0, 0.3, Tensor(3, ms.int32)), 4),
    "ftrl": (ops.ApplyFtrl(), 2, (0.1, 0.0, 0.3, -0.4), 4),
    "ftrl_root": (ops.ApplyFtrl(), 2, (0.1, 0.0, 0.3, -0.5), 4),
    "adamax": (ops.ApplyAdaMax(), 2, (0.8, 0.1, 0.9, 0.95, 1e-3), 0),
    "adadelta": (ops.ApplyAdadelta(), 2, (0.1, 0.9, 1e-3), 0),
    "proximal_adagrad": (ops.ApplyProximalAdagrad(), 1, (0.1, 0.2, 0.3), 0),
    "proximal": (ops.ApplyProximalGradientDescent(), 0, (0.1, 0.2, 0.3), 0),
    "descent": (ops.ApplyGradientDescent(), 0, (0.1,), 0),
    "add_sign": (ops.ApplyAddSign(), 1, (0.1, 1.1, 0.7, 0.9), 0),
    "power_sign": (ops.ApplyPowerSign(), 1, (0.1, 0.8, 0.7, 0.9), 0),
    "amsgrad": (ops.ApplyAdamWithAmsgrad(0.8, 0.9, 1e-3), 3, tuple(Tensor(x, ms.float32) for x in (0.8, 0.7, 0.1)), 0),
    "amsgrad2": (ops.ApplyAdamWithAmsgradV2(), 3, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
    "halved": (Halved(), 2, (0.1, 0.8, 0.9, 1e-3, 0.2, Tensor(2, ms.float32)), 1),
    "no_update": (ops.AdamNoUpdateParam(), 1, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
    "ahead_no_update": (ops.AdamNoUpdateParam(use_nesterov=True), 1, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
}

SPARSE = {
    "adam": (ops.FusedSparseAdam(), 2, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
    "lazy": (ops.FusedSparseLazyAdam(), 2, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
    "lazy_ahead": (ops.FusedSparseLazyAdam(use_nesterov=True), 2, (0.8, 0.7, 0.1, 0.8, 0.9, 1e-3), 0),
    "fused_ftrl": (ops.FusedSparseFtrl(0.1, 0.2, 0.3, -0.4), 2, (), 0),
    "fused_proximal": (ops.FusedSparseProximalAdagrad(), 1, (0.1, 0.2, 0.3), 0),
    "adagrad": (ops.SparseApplyAdagrad(0.1), 1, (), 0),
    "adagrad_kept": (ops.SparseApplyAdagrad(0.1, update_slots=False), 1, (), 0),
    "ftrl": (ops.SparseApplyFtrl(0.1, 0.2, 0.3, -0.5), 2, (), 0),
}

# These are given what `Load` reads in files, and write the parameters all the same. SparseApplyMomentum ignores `use_nesterov`.
ROWS = {
    "rms": (ops.SparseApplyRMSProp(0.9, 0.8, 1e-3), 2, (0.1,), 0),
    "centered": (nn_ops.SparseApplyCenteredRMSProp(), 3, (0.1, 0.9, 0.8, 0.5), 0),
    "dual": (nn_ops.SparseApplyAdagradDA(), 2, (0.1, 0.2, 0.3, Tensor(3, ms.int64)), 4),
    "proximal": (nn_ops.SparseApplyProximalGradientDescent(), 0, (0.1, 0.2, 0.3), 0),
    "momentum": (nn_ops.SparseApplyMomentum(), 1, (0.1, 0.9), 1),
}


@model("optimizers")
def optimizers():
    return Spec(Optimizers(DENSE, shown="no_update"), steps=[[noise(3, 4)]], raw=True)


@model("optimizers_sparse")
def optimizers_sparse():
    rows = np.array([2, 0, 2, 0], np.int32)
    return Spec(Optimizers(SPARSE, (4, 3), "none"), steps=[[noise(4, 3), rows]], raw=True)


@model("optimizers_rows")
def optimizers_rows():
    rows = np.array([2, 0, 2, 0], np.int32)
    return Spec(Optimizers(ROWS, (4, 3)), steps=[[noise(4, 3), rows], [noise(4, 3, seed=1), rows]], raw=True)
