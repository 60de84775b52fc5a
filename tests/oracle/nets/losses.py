"""Losses with their reductions, and operators that stand alone: shifts, runs, windows put back."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, nn, ops

from .common import Spec, integers, model, noise, uniform


class Losses(nn.Cell):
    """Every loss with every reduction."""

    def construct(self, x, y, chance, weight):
        out = ()
        for how in ("none", "mean", "sum"):
            out = out + (ops.smooth_l1_loss(x, y, 0.7, how), ops.binary_cross_entropy(chance, weight / 2, weight, how),
                         ops.binary_cross_entropy_with_logits(x, chance, weight, weight[0], how),
                         ops.kl_div(x, chance, how))
        return out + (ops.kl_div(x, chance, "batchmean"),)


class Shifts(nn.Cell):
    """Shifts of integers, also beyond their bits, and larger numbers."""

    def construct(self, a, places, big):
        narrow = a.astype(ms.int8)
        return (ops.bitwise_left_shift(a, places), ops.bitwise_right_shift(a, places),
                ops.bitwise_left_shift(narrow, places.astype(ms.int8)), ops.bitwise_right_shift(narrow, places.astype(ms.int8)),
                ops.bitwise_right_shift(big, places.astype(ms.int64)), ops.fmax(a, places))


class Runs(nn.Cell):
    """Numbers that repeat, running logarithms of sums, windows put back, and NaN that yields."""

    def construct(self, x, n, columns, volume, edges):
        kept, inverse, counts = ops.unique_consecutive(n, True, True)
        largest, places = ops.adaptive_max_pool3d(volume, (2, 2, 1), True)
        return (kept, inverse, counts, ops.UniqueWithPad()(n, Tensor(9, ms.int32)), ops.logcumsumexp(x, 1),
                ops.CumulativeLogsumexp(True, True)(x, Tensor(0)), ops.fold(columns, Tensor([5, 4], ms.int32), (2, 3), 1, 1, 2),
                ops.adaptive_avg_pool3d(volume, (2, 3, 1)), largest, places, ops.fmax(edges, edges[::-1] * 1.0),
                ops.heaviside(edges, edges[::-1] * 1.0))


class Labels(nn.Cell):
    """Losses of labels, bands of matrices and channels that change places."""

    def construct(self, scores, labels, weight, x):
        cross = mint.nn.functional.cross_entropy
        return (cross(scores, labels, weight, reduction="none"), cross(scores, labels, weight, ignore_index=2),
                cross(scores, labels, reduction="sum"), ops.matrix_band_part(x, 1, 0), ops.matrix_band_part(x, -1, 1),
                ops.channel_shuffle(x, 3))


@model("losses")
def losses():
    chance = uniform(0.05, 0.95, 3, 5)
    chance[0, 0], chance[2, 4] = 0, 1
    return Spec(Losses(), [[noise(3, 5), noise(3, 5, seed=1), chance, uniform(0.1, 1, 3, 5, seed=2)]])


@model("shifts")
def shifts():
    a, places = integers(-100, 100, 12), np.array([0, 1, 2, 3, 5, 7, 8, 30, 31, 40, -1, -9], np.int32)
    big = np.array([2**62 + 3, -2**62 - 3, 2**53 + 1, -2**63, 2**63 - 1, -1, 0, 1, 5, -5, 9, -9], np.int64)
    return Spec(Shifts(), [[a, places, big]], tolerance=0.0)


@model("runs")
def runs():
    edges = np.array([np.nan, -2, 0, 3, np.inf, -np.inf, 0, np.nan, 1], np.float32)
    return Spec(Runs(), [[noise(3, 4), integers(0, 3, 12), noise(2, 18, 6), noise(2, 3, 5, 4, 3), edges]])


@model("labels")
def labels():
    return Spec(Labels(), [[noise(6, 4), integers(0, 4, 6, dtype=np.int64), uniform(0.5, 2, 4), noise(2, 6, 4, 5)]])
