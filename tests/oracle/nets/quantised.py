"""Operators of integers of few bits, which MindSpore computes on other devices only: their results come from NumPy."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.ops.auto_generate import gen_ops_prim as prim
from mindspore.ops.operations import _inner_ops as inner
from mindspore.ops.operations import _quant_ops as quant

from .common import Spec, integers, model, noise, uniform


def byte(x):
    return np.clip(np.rint(x), -128, 127).astype(np.int8)


def halves(x):
    return x.astype(np.float16).astype(np.float64)


def levels(x, low, high, bits, symmetric=False):
    """The nearest of the levels from `low` to `high`, 0 among them."""
    least = -(2.0 ** (bits - 1)) if symmetric else 0.0
    most = least + 2.0**bits - 1
    if symmetric:
        high = np.maximum(abs(low), abs(high))
        low = -high
    step = (high - low) / (most - least)
    zero = np.clip(np.floor(least - low / step + 0.5), least, most)
    first, last = (least - zero) * step, (most - zero) * step
    return np.floor((np.clip(x, first, last) - first) / step + 0.5) * step + first


class Quantised(nn.Cell):
    """Floats as bytes and back, products with bytes, and what training for bytes sees."""

    def __init__(self, constants):
        super().__init__()
        for name, value in constants.items():
            setattr(self, name, Tensor(value))
        self.quant, self.quant_v2, self.back = inner.Quant(20.0, 3.0), prim.QuantV2(), inner.AntiQuant(dtype=ms.float32)
        self.dynamic = prim.DynamicQuantExt()
        self.few, self.both = prim.WeightQuantBatchMatmul(), prim.QuantBatchMatmul(transpose_x2=True, dtype=ms.float16)
        self.layer = quant.FakeQuantPerLayer(num_bits=8, symmetric=True, training=False)
        self.channel = quant.FakeQuantPerChannel(num_bits=4, training=False)
        self.vars, self.each = quant.FakeQuantWithMinMaxVars(num_bits=6), quant.FakeQuantWithMinMaxVarsPerChannel(num_bits=5)
        self.kept = quant.FakeQuantParam.linear_quant_param(ms.common.dtype.QuantDtype.INT8, 0.5, 1)

    def construct(self, x, bytes):
        return (
            self.quant(x), self.quant_v2(x, self.scale, self.offset, False, "ROUND", ms.int8), self.back(bytes, self.scale, self.offset),
            self.dynamic(x, None), self.few(x.astype(ms.float16), self.weights, self.small.astype(ms.float16)), self.both(bytes, self.turned, self.small),
            self.layer(x, self.low[:1], self.high[:1]), self.channel(x, self.low, self.high), self.vars(x, self.low[:1], self.high[:1]),
            self.each(x, self.low, self.high), self.kept(x))


@model("quantised")
def quantised():
    x, given = noise(3, 4), integers(-128, 128, 3, 4, seed=1, dtype=np.int8)
    c = {
        "scale": uniform(5, 30, 4, seed=2), "offset": np.array([0, 3, -2, 7], np.float32), "small": uniform(0.01, 0.05, 5, seed=3),
        "weights": integers(-128, 128, 4, 5, seed=4, dtype=np.int8), "turned": integers(-128, 128, 5, 4, seed=5, dtype=np.int8),
        "low": uniform(-2, -1, 4, seed=6), "high": uniform(0.5, 2, 4, seed=7)}
    most = abs(x).max(-1) / 127
    wide = {k: v.astype(np.float64) for k, v in c.items()}
    fakes = [levels(x, wide["low"][0], wide["high"][0], 8, True), levels(x, wide["low"], wide["high"], 4),
             levels(x, wide["low"][0], wide["high"][0], 6), levels(x, wide["low"], wide["high"], 5), x]
    expected = [
        byte(x * 20.0 + 3.0), byte(x * wide["scale"] + wide["offset"]), ((given + wide["offset"]) * wide["scale"]).astype(np.float32),
        byte(x / most[:, None]), most.astype(np.float32), (halves(x) @ (wide["weights"] * halves(wide["small"]))).astype(np.float16),
        ((given.astype(np.int64) @ c["turned"].T.astype(np.int64)) * wide["small"]).astype(np.float16)]
    labels = ["Quant", "QuantV2", "AntiQuant", "DynamicQuantExt", "DynamicQuantExt scales", "WeightQuantBatchMatmul", "QuantBatchMatmul",
              "FakeQuantPerLayer", "FakeQuantPerChannel", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantParam"]
    net = Quantised(c)
    return Spec(net, [[x, given]], labels=labels, expected=[expected + [f.astype(np.float32) for f in fakes]], raw=True)
