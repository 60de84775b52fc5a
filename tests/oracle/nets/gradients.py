"""Gradients of functions and of losses, which exported training steps hold."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import gen_ops_prim as prim
from mindspore.ops.operations import _grad_ops as grad
from mindspore.ops.operations import _inner_ops, array_ops, nn_ops

from .common import Spec, model, noise, uniform


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


class Losses(nn.Cell):
    """Gradients of losses, and losses of rows with a label each."""

    def __init__(self):
        super().__init__()
        hows = ("none", "mean", "sum")
        self.backward = prim.BinaryCrossEntropyWithLogitsBackward()
        self.smooth = tuple(prim.SmoothL1LossGrad(0.7, how) for how in hows)
        self.divergence = tuple(grad.KLDivLossGrad(how) for how in hows)
        self.cross = tuple(prim.BinaryCrossEntropyGrad(how) for how in hows)
        self.likelihood = tuple(prim.NLLLossGrad(how, 2) for how in hows)
        self.margin = tuple(ops.MultiMarginLoss(p, 0.7, how) for p in (1, 2) for how in hows)
        self.margin_grad = tuple(grad.MultiMarginLossGrad(p, 0.7, how) for p in (1, 2) for how in hows)
        self.hows = hows
        self.norms = (ops.L2Loss(), ops.SquareSumAll())
        self.clip = _inner_ops.ClipByNorm()
        self.top = ops.InTopK(2)
        self.distances = tuple(prim.CdistGrad(p) for p in (1.0, 1.5, 2.0, float("inf")))

    def construct(self, x, y, share, weight, labels, rows, points, others, apart):
        one = Tensor(2, ms.float32)
        out = ()
        for i in range(3):
            g, r = (y, rows) if i == 0 else (one, one)
            out = out + (self.smooth[i](x, y, g), self.divergence[i](g, x, share), self.cross[i](share, weight, g, weight),
                         self.backward(g, x, share, weight, weight[0], self.hows[i]),
                         self.likelihood[i](x, r, labels, weight[0], one))
            for p in range(2):
                out = out + (self.margin[3 * p + i](x, labels.astype(ms.int64), weight[0]),
                             self.margin_grad[3 * p + i](r, x, labels.astype(ms.int64), weight[0]))
        for f in self.distances:
            out = out + (f(apart, points, others, apart),)
        return out + (self.norms[0](x), self.norms[1](x, y), self.clip(x, one), self.top(x, labels))


@model("gradients_losses")
def gradients_losses():
    points, others = noise(2, 3, 4), noise(2, 2, 4, seed=1)
    apart = np.abs(points[:, :, None] - others[:, None]).max(-1)
    inputs = [noise(4, 5), noise(4, 5, seed=1), uniform(0.05, 0.95, 4, 5), uniform(0.2, 1, 4, 5, seed=1),
              np.array([0, 2, 4, 1], np.int32), noise(4, seed=2), points, others, apart]
    return Spec(Losses(), [inputs])


class Shapes(nn.Cell):
    """Gradients of what only moves elements, of medians, and diagonals."""

    def __init__(self):
        super().__init__()
        self.flat, self.slice, self.strided = grad.FlattenGrad(), grad.SliceGrad(), grad.StridedSliceGrad(2, 0, 0, 0, 1)
        self.pads = tuple(grad.PadV3Grad(mode) for mode in ("reflect", "edge", "circular"))
        self.mirrors = (grad.MirrorPadGrad("REFLECT"), grad.MirrorPadGrad("SYMMETRIC"))
        self.trace, self.gather, self.masked = grad.TraceGrad(), prim.GatherDGradV2(), prim.MaskedSelectGrad()
        self.diagonal, self.second = prim.TraceV2Grad(), grad.MedianGrad(False, 1, False)
        self.medians = (ops.Median(axis=1), ops.Median(axis=0, keep_dims=True), ops.Median(True), ops.Median(axis=1, ignore_nan=True))
        self.whole = grad.MedianGrad(True)
        self.fills = (array_ops.FillDiagonal(9.5), array_ops.FillDiagonal(9.5, True))

    def construct(self, x, edges, mask, places, high):
        row = x[0]
        out = (self.flat(x, (5, 3)), self.slice(x[:2, :2], x, (1, 2), (2, 2)), self.strided(row[:3], (3, 5), (1, 0), (2, 5), (1, 2)))
        padded = ops.concat((x, x, x), 1).reshape(1, 1, 5, 9)
        for f in self.pads:
            out = out + (f(padded, Tensor([1, 2, 1, 1], ms.int64)),)
        for f in self.mirrors:
            out = out + (f(padded.reshape(5, 9), Tensor([[1, 1], [1, 2]], ms.int64)),)
        inner = padded[0, :, :3, :6]
        out = out + (prim.ReflectionPad1DGrad()(inner[0], x, (1, 0)), prim.ReplicationPad2DGrad()(padded[0], inner, (1, 2, 1, 1)),
                     prim.ReflectionPad2DGrad()(padded[0], inner, (1, 2, 1, 1)))
        middle = self.medians[0](edges)
        out = out + (self.trace(row[0], Tensor([3, 4], ms.int64)), self.gather(x, 1, places, x[:, :2]), self.masked(x, mask, row),
                     self.diagonal(row[:4], Tensor([2, 3, 4], ms.int64), 1, 1, 0), middle, self.medians[1](x), self.medians[2](x),
                     self.medians[3](edges), self.second(row[:3], x, row[:3], places[:, 0].astype(ms.int64)),
                     self.whole(row[0], edges, Tensor(1, ms.float32), Tensor(0, ms.int64)),
                     self.fills[0](high), self.fills[1](high), self.fills[0](places.astype(ms.int32)))
        return out


@model("gradients_shapes")
def gradients_shapes():
    edges = np.array([[3, 1, 2, 2, 1], [np.nan, 1, 0, 5, 7], [1, 1, 1, 1, 4]], np.float32)
    mask = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1]], bool)
    return Spec(Shapes(), [[noise(3, 5), edges, mask, np.array([[0, 0], [4, -1], [2, 2]], np.int32), noise(7, 3)]])


class Aligned(nn.Cell):
    """Losses of sequences without alignment, and their gradients."""

    def __init__(self):
        super().__init__()
        self.old = (ops.CTCLoss(), ops.CTCLoss(ctc_merge_repeated=False), ops.CTCLoss(preprocess_collapse_repeated=True))
        self.new, self.slope = ops.CTCLossV2(1), nn_ops.CTCLossV2Grad(1)

    def construct(self, x, places, values, whole, lengths, targets, counts, grads):
        out = ()
        for f in self.old:
            out = out + (f(x, places, values, whole),)
        logs = ops.log_softmax(x, -1)
        loss, ways = self.new(logs, targets, lengths, counts)
        # The ways to states that do not count are not set alike.
        return out + (loss, self.slope(grads, logs, targets, lengths, counts, loss, ways))


@model("gradients_aligned")
def gradients_aligned():
    ints = lambda *values: np.array(values, np.int32)
    places = np.array([[0, 0], [0, 1], [0, 2], [1, 0]], np.int64)
    return Spec(Aligned(), [[noise(6, 2, 4), places, ints(1, 1, 2, 0), ints(6, 6), ints(6, 4), ints([2, 2, 3], [0, 3, 3]), ints(3, 2),
                             np.array([1, 2], np.float32)]])
