"""Types: casts, half precision, integers, quantised weights."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, integers, model, noise

TYPES = (ms.bool_, ms.int8, ms.int16, ms.int32, ms.int64, ms.uint8, ms.uint16, ms.uint32, ms.uint64, ms.float16, ms.float32, ms.float64)
NUMPY = (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32, np.float64)


class Casts(nn.Cell):
    """Casts every input to every type."""

    def construct(self, *args):
        out = ()
        for x in args:
            for t in TYPES:
                out = out + (ops.cast(x, t),)
        return out


@model("cast")
def cast():
    values = np.array([0, 1, 2, 100, 127])
    labels = [f"{np.dtype(a).name} to {str(b).lower()}" for a in NUMPY for b in TYPES]
    return Spec(Casts(), [[values.astype(t) for t in NUMPY]], labels=labels, tolerance=0.0)


class FloatCasts(nn.Cell):
    """Fractions and large values to integers and halves."""

    def construct(self, x, y):
        return (x.astype(ms.int32), x.astype(ms.int64), x.astype(ms.int8), x.astype(ms.bool_), y.astype(ms.float16), y.astype(ms.float16).astype(ms.float32), x.astype(ms.int32).astype(ms.float32),
                y.astype(ms.bfloat16).astype(ms.float32))


@model("cast_values")
def cast_values():
    x = np.array([-2.9, -2.5, -0.5, -0.1, 0.0, 0.1, 0.5, 1.5, 2.9, 100.7], np.float32)
    y = np.array([1e-8, 6e-8, 1e-5, 0.1, 1 / 3, 2049.0, 2051.0, 65504.0, 65519.0, 70000.0, -1e10], np.float32)
    return Spec(FloatCasts(), [[x, y]], tolerance=0.0)


class Mixed(nn.Cell):
    """Layers of different precision in one network."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Dense(16, 16).to_float(ms.float16), nn.Dense(16, 8), nn.LayerNorm((16,))

    def construct(self, x):
        h = self.a(x)
        n = self.norm(h.astype(ms.float32))
        return self.b(ops.relu(n)), h, x.astype(ms.float64).sum()


@model("mixed_precision")
def mixed_precision():
    return Spec(Mixed(), [[noise(3, 16)]])


class Promotions(nn.Cell):
    """Operands of different types."""

    def construct(self, f, h, i, l, b):
        return f + h, f * i, i + l, h * 2, i * 2, i / 2, i * 1.5, l + 1, b + i, b * f, f + 1, h + i, f - l


@model("promotion")
def promotion():
    return Spec(Promotions(), [[noise(2, 3), noise(2, 3, dtype=np.float16), integers(-5, 5, 2, 3), integers(-5, 5, 3, dtype=np.int64), integers(0, 2, 2, 3).astype(bool)]])


class Quantised(nn.Cell):
    """8-bit weights that the graph turns into floats; activations quantised on the way."""

    def __init__(self, dim=32, out=16):
        super().__init__()
        self.w = Parameter(Tensor(integers(-127, 128, out, dim, dtype=np.int8)), name="w_int8", requires_grad=False)
        self.scale = Parameter(Tensor(np.full((out, 1), 0.01, np.float32)), name="scale")

    def construct(self, x):
        w = self.w.astype(ms.float32) * self.scale
        s = ops.abs(x).max() / 127.0
        q = ops.clip_by_value(ops.round(x / s), -128.0, 127.0).astype(ms.int8)
        return ops.matmul(q.astype(ms.float32) * s, w.T), q


@model("quantised_weights")
def quantised_weights():
    return Spec(Quantised(), [[noise(4, 32)]], tolerance=1e-3)


class IntegerProduct(nn.Cell):
    """Integer matrix product, then scaled."""

    def construct(self, a, b):
        y = ops.matmul(a.astype(ms.int32), b.astype(ms.int32))
        return y, (y.astype(ms.float32) * 0.003).astype(ms.float16), y.sum(), ops.matmul(a.astype(ms.float64), b.astype(ms.float64))


@model("matmul_integers")
def matmul_integers():
    return Spec(IntegerProduct(), [[integers(-128, 128, 4, 8, dtype=np.int8), integers(-128, 128, 8, 5, seed=1, dtype=np.int8)]])


class HalfLayers(nn.Cell):
    """Everything in float16: convolution, norm, attention-like product, softmax."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3, has_bias=True), nn.LayerNorm((8,)), nn.Dense(8, 5)

    def construct(self, x):
        y = ops.relu(self.conv(x)).reshape((2, 8, -1)).swapaxes(1, 2)
        s = ops.softmax(ops.matmul(y, y.swapaxes(1, 2)) * 0.1, -1)
        return self.fc(self.norm(ops.matmul(s, y)))


@model("half_layers")
def half_layers():
    net = HalfLayers()
    for p in net.get_parameters():
        p.set_dtype(ms.float16)
    return Spec(net, [[noise(2, 3, 4, 4, dtype=np.float16)]], tolerance=1e-2)


class Bfloat(nn.Cell):
    """bfloat16 weights widened before use."""

    def __init__(self):
        super().__init__()
        self.w = Parameter(Tensor(noise(6, 4)).astype(ms.bfloat16), name="w")

    def construct(self, x):
        return ops.matmul(x, self.w.astype(ms.float32)), x.astype(ms.bfloat16)


@model("bfloat16_weights")
def bfloat16_weights():
    return Spec(Bfloat(), [[noise(3, 6)]])


class Scalars(nn.Cell):
    """Zero-dimensional tensors, empty tensors, constants."""

    def construct(self, x, s):
        return x * s, s + 1, x.sum() * s, x[:0], ops.concat((x[:0], x), 0), Tensor(2.5, ms.float32), Tensor([0, 1, 2], ms.int64) + 1


@model("scalars")
def scalars():
    return Spec(Scalars(), [[noise(2, 3), np.array(1.5, np.float32)]])
