"""The newer interface, mindspore.mint: it exports operators of its own, many without a kernel in MindSpore's CPU back end."""
import mindspore as ms
import mindspore.mint.nn.functional as F
import numpy as np
from mindspore import Tensor, mint, nn

from . import reference as ref
from .common import Each, Spec, integers, model, noise, table, uniform


def arithmetic(x, y):
    return (mint.add(x, y, alpha=2), mint.sub(x, y, alpha=0.5), mint.pow(x, 2), mint.clamp(x, -0.5, 0.5), mint.floor_divide(x, y), mint.remainder(x, y),
            mint.div(x, y, rounding_mode="trunc"), mint.where(x > y, x, y), mint.isclose(x, y))


def reductions(x, y):
    return mint.sum(x, 1, True), mint.mean(x, -1, True), mint.max(x, 1), mint.argmax(x, -1), mint.prod(x, 1), mint.any(x > 0, 1), mint.all(x > -2, 2), mint.sum(y), mint.mean(y, (0, 1))


def activations(x, y):
    return F.silu(x), F.softplus(x), F.log_softmax(x, -1), F.softmax(y, 1), F.hardswish(x), F.relu(x)


@model("mint_math")
def mint_math():
    return table({"arithmetic": arithmetic, "reduction": reductions, "activation": activations}, noise(2, 3, 4), noise(2, 3, 4, seed=1))


def views(x):
    return (mint.split(x, 2, 2), mint.chunk(x, 2, 2), mint.permute(x, (2, 0, 1)), mint.transpose(x, 1, 2), mint.unsqueeze(x, 1), mint.flatten(x, 1), mint.broadcast_to(x, (5, 2, 3, 4)),
            mint.narrow(x, 1, 0, 2), mint.select(x, 1, 0), mint.tile(x, (1, 2, 1)), mint.flip(x, (1,)), F.pad(x, (1, 2), "constant", 0.5), mint.cat((x, x), 1), mint.full((2, 3), 1.5) + x[0, 0, 0])


@model("mint_views")
def mint_views():
    return table({"view": views}, noise(2, 3, 4), tolerance=0.0)


class MintLayers(nn.Cell):
    """A small network of mint functions that MindSpore can run: embedding, dense, products, group norm."""

    def __init__(self):
        super().__init__()
        self.table = ms.Parameter(Tensor(noise(10, 8)), name="table")
        self.w, self.b = ms.Parameter(Tensor(noise(6, 8, seed=1)), name="w"), ms.Parameter(Tensor(noise(6, seed=2)), name="b")

    def construct(self, ids, m):
        x = F.embedding(ids, self.table)
        y = F.linear(x, self.w, self.b)
        return y, mint.matmul(y, m), mint.bmm(y, m), mint.baddbmm(mint.bmm(y, m), y, m, beta=0.5, alpha=2), mint.einsum("bij,bjk->bik", y, m), F.one_hot(ids.astype(ms.int64), 10)


@model("mint_layers")
def mint_layers():
    return Spec(MintLayers(), [[integers(0, 10, 2, 3), noise(2, 6, 4)]])


# ---------------------------------------------------------------- without a CPU kernel

def without_kernel(functions, inputs, expected, **more):
    """A table whose results come from NumPy."""
    return Spec(Each(functions.values()), [inputs], labels=list(functions), expected=[ref.f32(*expected)], **more)


def gelu(x):
    return F.gelu(x)


def gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


def leaky(x):
    return F.leaky_relu(x, 0.1)


def elu(x):
    return F.elu(x, 0.7)


def mish(x):
    return F.mish(x)


@model("mint_activations")
def mint_activations():
    x = noise(5, 11, scale=2)
    expected = [ref.gelu(x), ref.gelu_tanh(x), np.where(x > 0, x, 0.1 * x), np.where(x > 0, x, 0.7 * np.expm1(x)), ref.mish(x)]
    return without_kernel({"gelu": gelu, "gelu_tanh": gelu_tanh, "leaky": leaky, "elu": elu, "mish": mish}, [x], expected)


def layer_norm(x, gamma, beta):
    return F.layer_norm(x, (4,), gamma, beta, 1e-5)


def std(x, gamma, beta):
    return mint.std(x, dim=-1)


def var(x, gamma, beta):
    return mint.var(x, dim=(0, 1), correction=0, keepdim=True)


def vector_norm(x, gamma, beta):
    return mint.norm(x, 2, -1)


def logsumexp(x, gamma, beta):
    return mint.logsumexp(x, -1)


@model("mint_norms")
def mint_norms():
    x, gamma, beta = noise(2, 3, 4), uniform(0.5, 1.5, 4), noise(4, seed=1)
    wide = x.astype(np.float64)
    expected = [ref.layer_norm(x, gamma, beta, 1e-5), wide.std(-1, ddof=1), wide.var((0, 1), keepdims=True), np.sqrt((wide ** 2).sum(-1)), np.log(np.exp(wide).sum(-1))]
    return without_kernel({"layer_norm": layer_norm, "std": std, "var": var, "norm": vector_norm, "logsumexp": logsumexp}, [x, gamma, beta], expected)


class MintImage(nn.Cell):
    """Convolutions, batch norm, pooling and resizing."""

    def __init__(self, w, b, t, mean, var):
        super().__init__()
        self.w, self.b, self.t = (ms.Parameter(Tensor(v), name=n) for v, n in ((w, "w"), (b, "b"), (t, "t")))
        self.mean, self.var = ms.Parameter(Tensor(mean), name="mean", requires_grad=False), ms.Parameter(Tensor(var), name="var", requires_grad=False)

    def construct(self, x):
        return (F.conv2d(x, self.w, self.b, 2, 1), F.conv_transpose2d(x, self.t, stride=2), F.batch_norm(x, self.mean, self.var, None, None, False, 0.1, 1e-5), F.max_pool2d(x, 2, 2),
                F.avg_pool2d(x, 2, 2), F.adaptive_avg_pool2d(x, 1), F.interpolate(x, size=(5, 11), mode="bilinear", align_corners=False))


@model("mint_image")
def mint_image():
    x, w, b, t = noise(2, 3, 8, 6), noise(4, 3, 3, 3, seed=1, scale=0.3), noise(4, seed=2), noise(3, 2, 2, 2, seed=3)
    mean, var = noise(3, seed=4), uniform(0.5, 1.5, 3)
    pools = ref.windows(x, 2, 2, 0)
    expected = [ref.conv2d(x, w, b, 2, 1), ref.conv_transpose2d(x, t, 2), (x - mean.reshape(3, 1, 1)) / np.sqrt(var.reshape(3, 1, 1) + 1e-5), pools.max((-1, -2)), pools.mean((-1, -2)),
                x.mean((2, 3), keepdims=True), ref.bilinear(x, (5, 11))]
    labels = ["conv2d", "conv_transpose2d", "batch_norm", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "bilinear"]
    return Spec(MintImage(w, b, t, mean, var), [[x]], labels=labels, expected=[ref.f32(*expected)], raw=True)


def stack(x, index):
    return mint.stack((x, x), 1)


def index_select(x, index):
    return mint.index_select(x, 1, index)


def cumsum(x, index):
    return mint.cumsum(x, 1)


def topk(x, index):
    return mint.topk(x, 2)


def repeat_interleave(x, index):
    return mint.repeat_interleave(x, 2, 1)


def tril(x, index):
    return mint.tril(x, -1)


def outer(x, index):
    return mint.outer(x[0], x[1])


def addmm(x, index):
    return mint.addmm(x[:, :3], x, x[:, :3], beta=0.5, alpha=2)


@model("mint_shapes")
def mint_shapes():
    x, index = noise(4, 4), np.array([2, 0, 2], np.int32)
    order = np.argsort(-x, 1)[:, :2]
    expected = [np.stack((x, x), 1), x[:, index], np.cumsum(x, 1), np.take_along_axis(x, order, 1), order, np.repeat(x, 2, 1), np.tril(x, -1), np.outer(x[0], x[1]), 0.5 * x[:, :3] + 2 * x @ x[:, :3]]
    functions = {"stack": stack, "index_select": index_select, "cumsum": cumsum, "topk": topk, "repeat_interleave": repeat_interleave, "tril": tril, "outer": outer, "addmm": addmm}
    spec = without_kernel(functions, [x, index], expected)
    spec.labels = ["stack", "index_select", "cumsum", "topk", "topk index", "repeat_interleave", "tril", "outer", "addmm"]
    return spec
