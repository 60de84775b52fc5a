"""Convolutions, pooling and resizing in many forms."""
import mindspore as ms
import numpy as np
from mindspore import nn, ops

from .common import Spec, model, noise, unknown
from .vision import conv_bn


class Forms(nn.Cell):
    """Applies every cell to the same input."""

    def __init__(self, cells):
        super().__init__()
        self.forms = nn.CellList(list(cells))

    def construct(self, x):
        out = ()
        for f in self.forms:
            out = out + (f(x),)
        return out


def forms(cells, x, **more):
    return Spec(Forms(cells.values()), [[x]], labels=list(cells), **more)


@model("conv2d")
def conv2d():
    c = nn.Conv2d
    return forms({
        "same": c(6, 4, 3, pad_mode="same"),
        "valid": c(6, 4, 3, pad_mode="valid", has_bias=True),
        "pad 2": c(6, 4, 3, pad_mode="pad", padding=2),
        "asymmetric pad": c(6, 4, 3, pad_mode="pad", padding=(1, 0, 2, 1)),
        "stride 2 same": c(6, 4, 3, 2, pad_mode="same"),
        "stride 2 same even kernel": c(6, 4, 4, 2, pad_mode="same"),
        "stride (2, 1)": c(6, 4, 3, (2, 1), pad_mode="valid"),
        "dilation 2": c(6, 4, 3, pad_mode="same", dilation=2),
        "dilation (1, 3)": c(6, 4, 3, pad_mode="valid", dilation=(1, 3)),
        "kernel (3, 5)": c(6, 4, (3, 5), pad_mode="same", has_bias=True),
        "kernel (1, 7)": c(6, 4, (1, 7), pad_mode="same"),
        "1x1": c(6, 9, 1),
        "1x1 stride 2": c(6, 9, 1, 2, pad_mode="valid"),
        "groups 2": c(6, 4, 3, group=2),
        "groups 3 stride 2": c(6, 9, 3, 2, pad_mode="pad", padding=1, group=3, has_bias=True),
        "depthwise": c(6, 6, 3, group=6),
        "depthwise stride 2": c(6, 6, 5, 2, pad_mode="pad", padding=2, group=6),
        "depthwise multiplier 2": c(6, 12, 3, group=6),
        "whole image": c(6, 4, (11, 13), pad_mode="valid"),
    }, noise(2, 6, 11, 13))


@model("conv2d_fp16")
def conv2d_fp16():
    net = Forms([nn.Conv2d(4, 5, 3, has_bias=True), nn.Conv2d(4, 4, 3, 2, group=4)]).to_float(ms.float16)
    return Spec(net, [[noise(1, 4, 9, 8)]])


@model("conv1d")
def conv1d():
    c = nn.Conv1d
    return forms({
        "same": c(5, 4, 3), "valid": c(5, 4, 3, pad_mode="valid", has_bias=True), "pad stride 2": c(5, 4, 5, 2, pad_mode="pad", padding=2),
        "dilation 3": c(5, 4, 3, dilation=3), "depthwise": c(5, 5, 3, group=5), "1": c(5, 7, 1),
    }, noise(2, 5, 17))


@model("conv2d_transpose")
def conv2d_transpose():
    c = nn.Conv2dTranspose
    return forms({
        "stride 2 kernel 2": c(4, 3, 2, 2, pad_mode="valid"),
        "stride 2 same": c(4, 3, 4, 2, pad_mode="same"),
        "stride 2 pad 1": c(4, 3, 4, 2, pad_mode="pad", padding=1, has_bias=True),
        "stride 1 valid": c(4, 3, 3, 1, pad_mode="valid"),
        "stride 3 kernel 3 same": c(4, 3, 3, 3, pad_mode="same"),
        "output padding": c(4, 3, 3, 2, pad_mode="pad", padding=1, output_padding=1),
        "dilation 2": c(4, 3, 3, 1, pad_mode="pad", padding=2, dilation=2),
        "groups 2": c(4, 4, 4, 2, pad_mode="pad", padding=1, group=2),
    }, noise(2, 4, 5, 7))


@model("conv1d_transpose")
def conv1d_transpose():
    return forms({"stride 2": nn.Conv1dTranspose(4, 3, 4, 2, pad_mode="pad", padding=1)}, noise(2, 4, 9))


@model("conv3d")
def conv3d():
    return forms({
        "same": nn.Conv3d(2, 3, 3), "stride 2": nn.Conv3d(2, 3, 3, 2, pad_mode="pad", padding=1, has_bias=True),
        "transpose": nn.Conv3dTranspose(2, 3, 2, 2, pad_mode="valid"),
    }, noise(1, 2, 5, 6, 7))


class UNet(nn.Cell):
    """Encoder, decoder with transposed convolutions, skip connections, a softmax and a label map."""

    def __init__(self, base=6):
        super().__init__()
        relu = nn.ReLU()
        self.d1, self.d2, self.d3 = conv_bn(3, base, 3, act=relu), conv_bn(base, 2 * base, 3, act=relu), conv_bn(2 * base, 4 * base, 3, act=relu)
        self.pool = nn.MaxPool2d(2, 2)
        self.up2, self.u2 = nn.Conv2dTranspose(4 * base, 2 * base, 2, 2), conv_bn(4 * base, 2 * base, 3, act=relu)
        self.up1, self.u1 = nn.Conv2dTranspose(2 * base, base, 2, 2), conv_bn(2 * base, base, 3, act=relu)
        self.head = nn.Conv2d(base, 3, 1)

    def logits(self, x):
        a = self.d1(x)
        b = self.d2(self.pool(a))
        c = self.d3(self.pool(b))
        b = self.u2(ops.concat((self.up2(c), b), 1))
        a = self.u1(ops.concat((self.up1(b), a), 1))
        return self.head(a)

    def construct(self, x):
        y = self.logits(x)
        return ops.softmax(y, 1), ops.argmax(y, 1)


@model("unet_small")
def unet_small():
    return Spec(UNet(), [[noise(1, 3, 24, 32)]])


@model("unet_dynamic")
def unet_dynamic():
    return Spec(UNet(4), [[noise(1, 3, 24, 32)], [noise(2, 3, 16, 40, seed=1)]], declared=[unknown(None, 3, None, None)])


# ---------------------------------------------------------------- pooling

@model("pool_max")
def pool_max():
    p = nn.MaxPool2d
    return forms({
        "2 valid": p(2, 2), "3 stride 2 same": p(3, 2, pad_mode="same"), "3 stride 2 pad 1": p(3, 2, pad_mode="pad", padding=1),
        "3 stride 1 same": p(3, 1, pad_mode="same"), "5 stride 1 pad 2": p(5, 1, pad_mode="pad", padding=2),
        "(2, 3) stride (1, 2)": p((2, 3), (1, 2)), "ceil": p(3, 2, pad_mode="pad", padding=1, ceil_mode=True),
    }, noise(2, 3, 11, 14), tolerance=0.0)


@model("pool_avg")
def pool_avg():
    p = nn.AvgPool2d
    return forms({
        "2 valid": p(2, 2), "3 stride 2 same": p(3, 2, pad_mode="same"), "3 stride 1 same": p(3, 1, pad_mode="same"),
        "pad 1": p(3, 2, pad_mode="pad", padding=1), "pad 1, padding not counted": p(3, 2, pad_mode="pad", padding=1, count_include_pad=False),
        "ceil": p(3, 2, pad_mode="pad", padding=1, ceil_mode=True), "(2, 3)": p((2, 3), (2, 1)), "global": p((11, 14), 1),
    }, noise(2, 3, 11, 14))


@model("pool_1d")
def pool_1d():
    return forms({"max": nn.MaxPool1d(3, 2), "avg": nn.AvgPool1d(4, 2), "max same": nn.MaxPool1d(2, 2, pad_mode="same")}, noise(2, 3, 13))


@model("pool_3d")
def pool_3d():
    return forms({"max": nn.MaxPool3d(2, 2), "avg": nn.AvgPool3d(2, 2)}, noise(1, 2, 5, 6, 7))


@model("pool_adaptive")
def pool_adaptive():
    return forms({"avg 1": nn.AdaptiveAvgPool2d(1), "avg (3, 4)": nn.AdaptiveAvgPool2d((3, 4)), "avg (None, 2)": nn.AdaptiveAvgPool2d((None, 2)),
                  "max (3, 4)": nn.AdaptiveMaxPool2d((3, 4))}, noise(2, 3, 11, 14))


# ---------------------------------------------------------------- resizing

class Nearest(nn.Cell):
    """Nearest neighbour, with and without aligned corners, up and down."""

    def __init__(self):
        super().__init__()
        self.up, self.corners, self.down = ops.ResizeNearestNeighbor((14, 18)), ops.ResizeNearestNeighbor((9, 13), True), ops.ResizeNearestNeighbor((3, 4))

    def construct(self, x):
        return (self.up(x), self.corners(x), self.down(x), ops.interpolate(x, size=(10, 11), mode="nearest"),
                ops.interpolate(x, scale_factor=2.0, mode="nearest", recompute_scale_factor=True))


class Linear(nn.Cell):
    """Bilinear with both alignments, area."""

    def construct(self, x):
        return (ops.interpolate(x, size=(14, 18), mode="bilinear", align_corners=False), ops.interpolate(x, size=(14, 18), mode="bilinear", align_corners=True),
                ops.interpolate(x, size=(4, 5), mode="bilinear", align_corners=False), ops.interpolate(x, size=(4, 5), mode="bilinear", align_corners=True),
                ops.interpolate(x, size=(4, 3), mode="area"))


class Bicubic(nn.Cell):
    """Bicubic as MindSpore does it: fractions are rounded to 1/1024.  With half-pixel centres a = -0.5 and weights of pixels outside
    are dropped and the rest rescaled; with aligned corners a = -0.75 and border pixels are repeated."""

    def construct(self, x):
        return (ops.interpolate(x, size=(10, 11), mode="bicubic", align_corners=False), ops.interpolate(x, size=(10, 11), mode="bicubic", align_corners=True),
                ops.interpolate(x, size=(4, 5), mode="bicubic", align_corners=False))


class Shuffles(nn.Cell):
    """Depth to space and its inverses."""

    def __init__(self):
        super().__init__()
        self.d2s, self.s2d = ops.DepthToSpace(2), ops.SpaceToDepth(2)

    def construct(self, x):
        return (self.d2s(x), self.s2d(x), ops.pixel_shuffle(x, 2), ops.pixel_unshuffle(x, 2))


@model("resize_nearest")
def resize_nearest():
    return Spec(Nearest(), [[noise(2, 3, 7, 9)]], tolerance=0.0)


@model("resize_linear")
def resize_linear():
    labels = ["bilinear up", "bilinear up corners", "bilinear down", "bilinear down corners", "area"]
    return Spec(Linear(), [[noise(2, 3, 7, 9)]], labels=labels)


@model("resize_bicubic")
def resize_bicubic():
    return Spec(Bicubic(), [[noise(2, 3, 7, 9)]], labels=["half pixel", "corners", "half pixel down"])


@model("pixel_shuffle")
def pixel_shuffle():
    return Spec(Shuffles(), [[noise(2, 8, 4, 6)]], tolerance=0.0)


class GridSample(nn.Cell):
    """Sampling at given places, bilinear and nearest."""

    def construct(self, x, grid):
        return (ops.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True),
                ops.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False),
                ops.grid_sample(x, grid, mode="nearest", padding_mode="zeros", align_corners=False))


@model("grid_sample")
def grid_sample():
    return Spec(GridSample(), [[noise(2, 3, 5, 6), noise(2, 4, 7, 2, seed=1, scale=0.7)]])


class RoiAlign(nn.Cell):
    """Pooled regions."""

    def __init__(self):
        super().__init__()
        self.roi = ops.ROIAlign(3, 3, 0.5, 2)

    def construct(self, x, rois):
        return self.roi(x, rois)


@model("roi_align")
def roi_align():
    return Spec(RoiAlign(), [[noise(1, 4, 12, 12), np.array([[0, 1, 1, 15, 17], [0, 4, 3, 20, 9]], np.float32)]])


@model("upsample_cells")
def upsample_cells():
    return forms({"nearest 2": nn.Upsample(scale_factor=2.0, mode="nearest", recompute_scale_factor=True),
                  "bilinear": nn.Upsample(size=(9, 11), mode="bilinear", align_corners=True)}, noise(1, 2, 4, 5))
