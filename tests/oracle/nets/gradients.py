"""Gradients of functions and of losses, which exported training steps hold."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import gen_ops_prim as prim
from mindspore.ops.operations import _grad_ops as grad

from .common import Spec, integers, model, noise, uniform


class Rows(nn.Cell):
    """A table of functions, each of the inputs with the numbers beside it."""

    def __init__(self, rows):
        super().__init__()
        self.rows = tuple((f, tuple(numbers)) for f, *numbers in rows)

    def construct(self, *inputs):
        out = ()
        for f, numbers in self.rows:
            args = ()
            for i in numbers:
                args = args + (inputs[i],)
            out = out + (f(*args),)
        return out


def rows(table, *inputs, **more):
    """The Spec of such a table: {label: (function, numbers of inputs...)}."""
    return Spec(Rows(table.values()), [list(inputs)], labels=list(table), **more)


ELEMENTWISE = {
    "ReluGrad": (prim.ReluGrad(), 1, 0), "ReLU6Grad": (prim.ReLU6Grad(), 1, 0), "AbsGrad": (prim.AbsGrad(), 0, 1),
    "ACosGrad": (prim.ACosGrad(), 2, 1), "AsinGrad": (prim.AsinGrad(), 2, 1), "AtanGrad": (prim.AtanGrad(), 0, 1),
    "AcoshGrad": (prim.AcoshGrad(), 3, 1), "AsinhGrad": (prim.AsinhGrad(), 0, 1), "InvGrad": (grad.InvGrad(), 0, 1),
    "ReciprocalGrad": (prim.ReciprocalGrad(), 0, 1), "SqrtGrad": (prim.SqrtGrad(), 3, 1), "RsqrtGrad": (prim.RsqrtGrad(), 0, 1),
    "EluGrad": (prim.EluGrad(), 1, 0), "FastGeLUGrad": (prim.FastGeLUGrad(), 1, 0), "GeLUGrad": (prim.GeLUGrad(), 1, 0, 0),
    "SiLUGrad": (prim.SiLUGrad(), 1, 0), "HShrinkGrad": (prim.HShrinkGrad(0.4), 1, 0),
    "SoftShrinkGrad": (prim.SoftShrinkGrad(0.4), 1, 0), "HSigmoidGrad": (prim.HSigmoidGrad(), 1, 0),
    "HSwishGrad": (prim.HSwishGrad(), 1, 0), "SoftplusGrad": (grad.SoftplusGrad(), 1, 0), "LogitGrad": (prim.LogitGrad(0.1), 1, 4),
    "LogitGrad whole": (prim.LogitGrad(-1.0), 1, 4), "DropoutGrad": (grad.DropoutGrad(0.7), 1, 5),
    "cross": (ops.SigmoidCrossEntropyWithLogits(), 0, 4), "cross grad": (grad.SigmoidCrossEntropyWithLogitsGrad(), 0, 4, 1),
    "MaximumGrad": (prim.MaximumGrad(), 0, 6, 1), "MinimumGrad": (prim.MinimumGrad(), 0, 6, 1),
    "MaximumGrad row": (prim.MaximumGrad(), 0, 7, 1), "MaximumGradGrad": (prim.MaximumGradGrad(), 0, 6, 1, 2),
    "MinimumGradGrad": (grad.MinimumGradGrad(), 0, 6, 1, 2), "SoftmaxBackward": (prim.SoftmaxBackward(), 1, 4),
    "LogSoftmaxGrad": (prim.LogSoftmaxGrad(0), 2, 1), "L2NormalizeGrad": (grad.L2NormalizeGrad(1), 0, 2, 1),
    "GluGrad": (prim.GluGrad(1), 8, 0), "PReLUGrad": (prim.PReLUGrad(), 1, 0, 9),
}


@model("gradients")
def gradients():
    x = noise(4, 6, scale=3)
    x[0] = [-3, 3, 0.4, -0.4, 6, -6]
    other = noise(4, 6, scale=3, seed=1)
    other[1] = x[1]
    share, mask = uniform(0.05, 0.95, 4, 6), (np.arange(24).reshape(4, 6) % 3 > 0).astype(np.float32)
    inputs = [x, noise(4, 6, seed=2), uniform(-0.95, 0.95, 4, 6, seed=3), uniform(0.3, 3, 4, 6, seed=4), share, mask, other,
              other[1], noise(4, 3, seed=5), uniform(0.1, 1, 6)]
    return rows(ELEMENTWISE, *inputs)
