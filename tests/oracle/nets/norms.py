"""Reductions, normalisations, matrix products."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, integers, model, noise, table, uniform


def reducers(keep):
    return {"sum": ops.ReduceSum(keep), "mean": ops.ReduceMean(keep), "max": ops.ReduceMax(keep), "min": ops.ReduceMin(keep), "prod": ops.ReduceProd(keep)}


class Over(nn.Cell):
    """Reducers over given axes; `()` is all of them."""

    def __init__(self, functions, axes):
        super().__init__()
        self.functions, self.axes = tuple(functions), axes

    def construct(self, x):
        out = ()
        for axis in self.axes:
            for f in self.functions:
                out = out + (f(x, axis),)
        return out


def over(functions, axes, x):
    labels = [f"{name} {axis}" for axis in axes for name in functions]
    return Spec(Over(functions.values(), axes), [[x]], labels=labels)


@model("reduce")
def reduce():
    return over(reducers(False), ((), 0, -1, (0, 2), (1, 2)), noise(3, 4, 5))


@model("reduce_keep")
def reduce_keep():
    return over(reducers(True), ((), 1, (0, -1)), noise(3, 4, 5))


@model("reduce_int32")
def reduce_int32():
    return over(reducers(False), ((), 1, (0, 2)), integers(-4, 5, 2, 3, 4))


@model("reduce_bool")
def reduce_bool():
    functions = {"all": ops.ReduceAll(), "any": ops.ReduceAny(), "all keep": ops.ReduceAll(True)}
    return over(functions, ((), 0, (1, 2)), integers(0, 4, 3, 4, 5) > 0)


@model("reduce_rank4")
def reduce_rank4():
    """Image axes, as in global pooling."""
    return over(reducers(True), ((2, 3), (1,), (0, 2, 3)), noise(2, 3, 5, 7))


@model("argmax")
def argmax():
    x = np.round(noise(4, 6, 5) * 2)                     # with ties: the first one counts
    return table({"Argmax": ops.Argmax(), "Argmax 0": ops.Argmax(0), "Argmax int64": ops.Argmax(1, ms.int64), "Argmin": ops.Argmin(),
                  "Argmin 1": ops.Argmin(1), "ArgMaxWithValue": ops.ArgMaxWithValue(1), "ArgMinWithValue": ops.ArgMinWithValue(-1, True)}, x)


def std(x):
    return ops.std(x, 1)


def var(x):
    return ops.var(x, (0, 2))


def logsumexp(x):
    return ops.logsumexp(x, -1)


def norm2(x):
    return ops.norm(x, dim=-1, keepdim=True)


def norm1(x):
    return ops.norm(x, 1, dim=1)


def median(x):
    return ops.median(x, -1)[0]


def method_sum(x):
    return x.sum(), x.sum(1), x.mean((0, 1)), x.max(2), x.min(), x.prod(1), x.argmax(2), x.argmin(1)


@model("statistics")
def statistics():
    return table({"std": std, "var": var, "logsumexp": logsumexp, "norm2": norm2, "norm1": norm1, "methods": method_sum}, noise(3, 4, 5))


# ---------------------------------------------------------------- normalisations

class Norms(nn.Cell):
    """Layer, group, batch and L2 normalisation of images."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LayerNorm((5, 7), begin_norm_axis=2, begin_params_axis=2, epsilon=1e-5)
        self.last = nn.LayerNorm((7,), epsilon=1e-6)
        self.group, self.instance, self.batch = nn.GroupNorm(3, 6), nn.GroupNorm(6, 6, eps=1e-4), nn.BatchNorm2d(6, eps=1e-3)
        self.l2, self.l2_last = ops.L2Normalize(axis=1), ops.L2Normalize(axis=-1, epsilon=1e-6)

    def construct(self, x):
        return self.layer(x), self.last(x), self.group(x), self.instance(x), self.batch(x), self.l2(x), self.l2_last(x)


class FlatNorms(nn.Cell):
    """Normalisations of rows, with the primitives' own forms."""

    def __init__(self):
        super().__init__()
        self.batch, self.layer = nn.BatchNorm1d(8), ops.LayerNorm(begin_norm_axis=1, begin_params_axis=1, epsilon=1e-5)
        self.gamma = Parameter(Tensor(np.ones(8, np.float32)), name="gamma")
        self.beta = Parameter(Tensor(np.zeros(8, np.float32)), name="beta")

    def construct(self, x):
        rms = x * ops.rsqrt(ops.square(x).mean(-1, keep_dims=True) + 1e-6) * self.gamma
        return self.batch(x), self.layer(x, self.gamma, self.beta), rms


class RmsNorm(nn.Cell):
    """The fused RMS norm, which MindSpore cannot run on the CPU: the result and the inverse of the root mean square."""

    def __init__(self):
        super().__init__()
        self.gamma = Parameter(Tensor(np.ones(8, np.float32)), name="gamma")

    def construct(self, x):
        return ops.rms_norm(x, self.gamma, 1e-6)


@model("norms")
def norms():
    return Spec(Norms(), [[noise(2, 6, 5, 7)]], labels=["layer 2d", "layer", "group", "group per channel", "batch", "l2 axis 1", "l2 last"])


@model("norms_flat")
def norms_flat():
    return Spec(FlatNorms(), [[noise(5, 8)]])


@model("rms_norm")
def rms_norm():
    x, gamma = noise(2, 5, 8), uniform(0.5, 1.5, 8, seed=1)
    net = RmsNorm()
    net.gamma.set_data(Tensor(gamma))
    scale = 1 / np.sqrt(np.square(x, dtype=np.float64).mean(-1, keepdims=True) + 1e-6)
    return Spec(net, [[x]], expected=[[(x * scale * gamma).astype(np.float32), scale.astype(np.float32)]], raw=True)


@model("lrn")
def lrn():
    return table({"LRN": ops.LRN(depth_radius=2, bias=1.0, alpha=0.1, beta=0.75)}, noise(2, 6, 4, 5))


# ---------------------------------------------------------------- matrix products

def transposed_pair(x, y):
    return ops.matmul(x, y), ops.matmul(x[0, 0], y[0, 0]), ops.matmul(x, y[0, 0])


def einsum_like(x, y):
    return (x.expand_dims(-1) * y.expand_dims(2)).sum(3)


class Products(nn.Cell):
    """MatMul and BatchMatMul with every transposition."""

    def __init__(self):
        super().__init__()
        self.nn, self.nt, self.tn, self.tt = ops.MatMul(), ops.MatMul(False, True), ops.MatMul(True), ops.MatMul(True, True)
        self.bnn, self.bnt = ops.BatchMatMul(), ops.BatchMatMul(transpose_b=True)
        self.btn, self.btt = ops.BatchMatMul(transpose_a=True), ops.BatchMatMul(True, True)

    def construct(self, a, b):
        x, y, xt, yt = a[0], b[0], a[0].T, b[0].T
        at, bt = a.swapaxes(1, 2), b.swapaxes(1, 2)
        return (self.nn(x, y), self.nt(x, yt), self.tn(xt, y), self.tt(xt, yt), self.bnn(a, b), self.bnt(a, bt), self.btn(at, b), self.btt(at, bt))


@model("matmul")
def matmul():
    return Spec(Products(), [[noise(3, 5, 7), noise(3, 7, 4, seed=1)]], labels=["nn", "nt", "tn", "tt", "batch nn", "batch nt", "batch tn", "batch tt"])


@model("matmul_broadcast")
def matmul_broadcast():
    return table({"matmul": transposed_pair, "sum of products": einsum_like}, noise(2, 3, 5, 7), noise(1, 3, 7, 4, seed=1))


@model("matmul_vectors")
def matmul_vectors():
    """Products with vectors."""
    return Spec(VectorProducts(), [[noise(5, 7), noise(7, seed=1)]])


class VectorProducts(nn.Cell):
    """Matrix times vector, vector times matrix, inner and outer product."""

    def construct(self, a, v):
        return ops.matmul(a, v), ops.matmul(v, a.T), ops.matmul(v, v), ops.outer(v, v), ops.tensor_dot(a, a, ((1,), (1,)))


@model("dense")
def dense():
    """Dense layers over several ranks, with and without bias, with activations."""
    return Spec(DenseLayers(), [[noise(2, 3, 6)]])


class DenseLayers(nn.Cell):
    """Dense layers of several forms in a row."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(6, 5, activation="relu"), nn.Dense(5, 4, has_bias=False)
        self.c, self.d = nn.Dense(4, 3, activation="sigmoid"), nn.Dense(3, 1)
        self.add = ops.BiasAdd()
        self.bias = Parameter(Tensor(np.ones(3, np.float32)), name="bias")

    def construct(self, x):
        y = self.b(self.a(x))
        z = self.c(y)
        return y, z, self.d(z[0]), self.add(z[0], self.bias)
