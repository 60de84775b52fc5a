"""Gradients of layers: MindSpore's own primitives, several in one network."""
import numpy as np
from mindspore import nn
from mindspore.ops.auto_generate import gen_ops_prim as g
from mindspore.ops.operations import _grad_ops as G
from mindspore.ops.operations import _rl_inner_ops as R
from mindspore.ops.operations import nn_ops as N

from .common import Spec, model, noise


class Calls(nn.Cell):
    """Calls each primitive with its own part of the arguments and constants behind them; gives all results."""

    def __init__(self, primitives, counts, constants):
        super().__init__()
        self.primitives, self.counts, self.constants = tuple(primitives), tuple(counts), tuple(constants)

    def construct(self, *args):
        out, start = (), 0
        for i in range(len(self.primitives)):
            end = start + self.counts[i]
            out = out + (self.primitives[i](*args[start:end], *self.constants[i]),)
            start = end
        return out


def calls(rows, **more):
    """The Spec of `{label: (primitive, tensors, constants)}`."""
    primitives, tensors, constants = zip(*rows.values())
    cell = Calls(primitives, [len(t) for t in tensors], constants)
    return Spec(cell, [[x for t in tensors for x in t]], labels=list(rows), **more)


def integers(values, shape=None, dtype=np.int64):
    """An array of these numbers."""
    return np.array(values, dtype).reshape(shape or (-1,))


def grad(*shape):
    """The gradient of a result of this shape."""
    return noise(*shape, seed=7)


class Gru(nn.Cell):
    """A GRU and its gradient, which takes what the GRU remembers."""

    def __init__(self):
        super().__init__()
        self.forward, self.backward = R.GRUV2(3, 2, 1, True, False, 0.0), G.GRUV2Grad(3, 2, 1, True, False, 0.0)

    def construct(self, x, h, w, lengths, dy, dh):
        y, last, memory, _ = self.forward(x, h, w, lengths)
        return y, last, self.backward(x, h, w, lengths, y, last, dy, dh, memory)


@model("norm_grads")
def norm_grads():
    x, dy, gamma = noise(2, 4, 3, 2), grad(2, 4, 3, 2), noise(4, seed=1)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    rows, groups = x.reshape(8, 6), x.reshape(2, 2, 12)
    row_stats = [rows.var(1, keepdims=True), rows.mean(1, keepdims=True)]
    group_stats = [groups.mean(2), 1 / np.sqrt(groups.var(2) + np.float32(1e-5))]
    own = noise(2, 4, 1, 1, seed=3)
    own_stats = [own, own * own, x.mean((2, 3), keepdims=True), 1 / x.std((2, 3), keepdims=True)]
    return calls({
        "BatchNorm": (g.BatchNormGrad(True, 1e-3), [dy, x, gamma, mean, var, var], ()),
        "BatchNorm, constant": (g.BatchNormGrad(False, 1e-3), [dy, x, gamma, mean, var, var], ()),
        "LayerNorm": (g.LayerNormGrad(1, 1), [rows, dy.reshape(8, 6), *row_stats, noise(6, seed=2)], ()),
        "GroupNorm": (g.GroupNormGrad(), [dy, x, *group_stats, gamma], (2, True, True, True)),
        "InstanceNorm, constant": (G.InstanceNormV2Grad(False, 1e-3), [dy, x, noise(2, 4, 1, 1, seed=4), *own_stats], ()),
        "LRN": (G.LRNGrad(1, 1.5, 0.3, 0.75), [dy, x, x], ()),
    })


@model("pool_grads")
def pool_grads():
    x, small, x3, dy = noise(1, 2, 4, 6), noise(1, 2, 4, 4, seed=2), noise(1, 2, 2, 4, 4, seed=3), grad(1, 2, 2, 2)
    best = x3.reshape(1, 2, 1, 2, 2, 2, 2, 2).max((3, 5, 7))
    places = integers([5, 2, 8, 15, 0, 7, 13, 10], (1, 2, 2, 2))
    return calls({
        "MaxPool3D": (G.MaxPool3DGrad(2, 2), [x3, best, grad(1, 2, 1, 2, 2)], ()),
        "AvgPool": (g.AvgPoolGrad(3, 2, "same"), [x, noise(1, 2, 2, 3), grad(1, 2, 2, 3)], ()),
        "AdaptiveAvgPool2D": (G.AdaptiveAvgPool2DGrad(), [grad(1, 2, 3, 4), integers([1, 2, 4, 6])], ()),
        "AdaptiveAvgPool3D": (G.AdaptiveAvgPool3DGrad(), [grad(1, 2, 2, 3, 1), integers([1, 2, 3, 4, 2], dtype=np.int32)], ()),
        "AdaptiveMaxPool2D": (g.AdaptiveMaxPool2DGrad(), [dy, small, places], ()),
        "MaxPoolWithArgmaxV2": (G.MaxPoolGradWithArgmaxV2(2, 2), [small, dy, places], ()),
        "MaxUnpool2D": (N.MaxUnpool2D(2, 2, 0, (1, 2, 4, 5)), [dy, places], ()),
    })


@model("resize_grads")
def resize_grads():
    x, dy, line, volume = noise(1, 2, 4, 3), grad(1, 2, 5, 7), grad(1, 2, 7), grad(1, 2, 3, 4, 5)
    return calls({
        "bilinear": (g.ResizeBilinearGrad(False, False), [dy, x], ()),
        "bilinear, corners": (g.ResizeBilinearGrad(True, False), [dy, x], ()),
        "bilinear, centres": (g.ResizeBilinearGrad(False, True), [dy, x], ()),
        "bicubic": (g.ResizeBicubicGrad(False, False), [dy, x], ()),
        "bicubic, corners": (g.ResizeBicubicGrad(True, False), [dy, x], ()),
        "nearest": (g.ResizeNearestNeighborGrad(False), [dy], ((4, 3),)),
        "nearest, corners": (g.ResizeNearestNeighborGrad(True), [dy], ((4, 3),)),
        "nearest V2, centres": (g.ResizeNearestNeighborV2Grad(False, True), [dy], ((4, 3),)),
        "linear": (g.ResizeLinear1DGrad("half_pixel"), [line, noise(1, 2, 4)], ()),
        "nearest 1D": (g.UpsampleNearest1DGrad(), [line], ((1, 2, 4), (7,), None)),
        "nearest 2D": (g.UpsampleNearest2DGrad(), [dy], ((1, 2, 4, 3), (5, 7), None)),
        "nearest 3D": (g.UpsampleNearest3DGrad(), [volume], ((1, 2, 2, 3, 2), (3, 4, 5), None)),
        "trilinear": (g.UpsampleTrilinear3DGrad(False), [volume], ((1, 2, 2, 3, 2), (3, 4, 5), None)),
    })


@model("layer_grads")
def layer_grads():
    x, w, dy = noise(1, 2, 3, 4, 3), noise(2, 2, 2, 2, 2, seed=1), grad(1, 2, 3, 4, 3)
    image, grid = noise(1, 2, 4, 5, seed=2), noise(1, 2, 3, 2, seed=3, scale=0.8)
    offsets = noise(1, 36, 2, 4, seed=4, scale=0.5)
    deform = (1, 1, 2, 1), (1, 0, 0, 1), (3, 2), (1, 1, 1, 2), "NCHW", 2, True
    gru = [noise(4, 2, 3), noise(1, 2, 2, seed=1), noise(36, 1, 1, seed=2, scale=0.5), integers([4, 4], dtype=np.int32), grad(4, 2, 2), grad(1, 2, 2)]
    rois = np.array([[0, 1, 1, 5, 5], [0, -3, 0, 2, 9]], np.float32)
    return calls({
        "Conv3D, input": (N.Conv3DBackpropInput(2, 2, pad_mode="same"), [w, dy], ((1, 2, 3, 4, 3),)),
        "Conv3D, filter": (G.Conv3DBackpropFilter(2, 2, pad_mode="same"), [x, dy], ((2, 2, 2, 2, 2),)),
        "GridSampler2D": (g.GridSampler2DGrad("bilinear", "zeros", True, (1, 1)), [grad(1, 2, 2, 3), image, grid], ()),
        "GridSampler2D, mirrored": (g.GridSampler2DGrad("bilinear", "reflection", False, (1, 1)), [grad(1, 2, 2, 3), image, grid], ()),
        "DeformableOffsets": (N.DeformableOffsets(*deform), [image, offsets], ()),
        "DeformableOffsets, gradient": (G.DeformableOffsetsGrad(*deform), [grad(1, 2, 6, 8), image, offsets], ()),
        "GRU": (Gru(), gru, ()),
        "ROIAlign": (G.ROIAlignGrad(2, 3, 0.5, 2), [grad(2, 2, 2, 3), rois], ((1, 2, 4, 5),)),
    })
