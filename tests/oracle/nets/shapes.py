"""Moving, selecting and creating data."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, integers, model, noise, table, unknown

ALL_EQUAL = 0.0


# ---------------------------------------------------------------- slices

def slices(x):
    return x[1:], x[:, ::2], x[..., 1:4], x[:, -2:], x[0], x[:, 1], x[1, 2, 3], x[:, None], x[..., ::-1], x[:, 3:0:-2], x[0:1, ..., 2], x[:-1, 1:-1, 1:-1:2]


def slice_ops(x):
    return (ops.slice(x, (0, 1, 2), (1, 2, 3)), ops.strided_slice(x, (0, 0, 0), (2, 4, 6), (1, 2, 3)),
            ops.StridedSlice(begin_mask=2, end_mask=4)(x, (0, 3, 1), (2, 4, 3), (1, 1, 1)),
            ops.StridedSlice(shrink_axis_mask=1)(x, (1, 0, 0), (2, 3, 6), (1, 1, 2)))




def advanced(x):
    return x[Tensor([1, 0, 1], ms.int32)], x[:, Tensor([[0, 3], [2, 2]], ms.int32)]


@model("slice")
def slice_():
    return table({"slices": slices, "ops": slice_ops, "by tensor": advanced}, noise(2, 4, 6), tolerance=ALL_EQUAL)


class SliceWrite(nn.Cell):
    """Assignment to slices and elements."""

    def construct(self, x, y):
        x[0] = y
        x[1, 2] = 5.0
        x[:, 3, 1:3] = -1.0
        return x


class SliceMasks(nn.Cell):
    """Strided slices with an inserted axis and with an ellipsis; MindSpore's CPU kernel gets both wrong."""

    def __init__(self):
        super().__init__()
        self.insert, self.ellipsis = ops.StridedSlice(new_axis_mask=1), ops.StridedSlice(ellipsis_mask=1)

    def construct(self, x):
        return self.insert(x, (0, 0, 1), (1, 2, 3), (1, 1, 1)), self.ellipsis(x, (0, 2), (0, 5), (1, 1))


@model("slice_masks")
def slice_masks():
    x = noise(2, 4, 6)
    return Spec(SliceMasks(), [[x]], expected=[[x[None, 0:2, 1:3], x[..., 2:5]]], tolerance=ALL_EQUAL)


class NegativePad(nn.Cell):
    """Padding by negative amounts cuts; MindSpore's CPU kernel leaves memory unset."""

    def construct(self, x):
        return ops.pad(x, (-1, 1, 0, -1), "constant", 1.0)


@model("pad_negative")
def pad_negative():
    x = noise(2, 3, 5, 6)
    return Spec(NegativePad(), [[x]], expected=[[np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)[:, :, :-1, 1:]]], tolerance=ALL_EQUAL)


class Roll(nn.Cell):
    """Cyclic shifts; MindSpore has no CPU kernel for them."""

    def construct(self, x):
        return ops.roll(x, 1, 2), ops.roll(x, (2, -1), (0, 1))


@model("roll")
def roll():
    x = noise(3, 4, 5)
    return Spec(Roll(), [[x]], expected=[[np.roll(x, 1, 2), np.roll(x, (2, -1), (0, 1))]], tolerance=ALL_EQUAL)


@model("slice_write")
def slice_write():
    return Spec(SliceWrite(), [[noise(2, 4, 6), noise(4, 6, seed=1)]], tolerance=ALL_EQUAL)


class DynamicSlices(nn.Cell):
    """Slices whose bounds come from the shape."""

    def construct(self, x):
        n, m = x.shape[0], x.shape[1]
        last = x[n - 1:]
        return last, x[:, :m // 2], x.reshape((n * m, -1)), x.reshape((-1, m)).sum(0), ops.zeros((n, m), ms.float32), x + ops.arange(0, m).astype(ms.float32).reshape((m, 1))


@model("slice_dynamic")
def slice_dynamic():
    return Spec(DynamicSlices(), [[noise(2, 4, 3)], [noise(5, 7, 3)]], declared=[unknown(None, None, 3)])


# ---------------------------------------------------------------- layout

def transposes(x):
    return x.transpose((2, 0, 1, 3)), x.transpose((3, 2, 1, 0)), x.swapaxes(1, 2), ops.transpose(x, (0, 2, 3, 1)), ops.transpose(x, (0, 1, 3, 2)), x[0, 0].T, ops.movedim(x, 0, 2)


def reshapes(x):
    return (x.reshape((6, 20)), x.reshape((-1, 5)), ops.expand_dims(x, 0), ops.expand_dims(x, -1), ops.squeeze(x[:1], 0), ops.squeeze(x[:, :1, :, :1]),
            ops.flatten(x), x.flatten(), x.view(2, 3, 20), ops.Flatten()(x), ops.unsqueeze(x, 2))


def repeats(x):
    return (ops.tile(x[0], (2, 1, 3)), ops.tile(x[0, 0], (2, 1, 2)), ops.broadcast_to(x[:, :1], (2, 3, 4, 5)), ops.repeat_interleave(x, 2, 1),
            ops.broadcast_to(x[0, 0, 0], (3, -1)), ops.repeat_elements(x, 3, 0))


def reversals(x):
    return ops.flip(x, (1,)), ops.flip(x, (0, 3)), ops.ReverseV2((2,))(x)


@model("layout")
def layout():
    return table({"transpose": transposes, "reshape": reshapes, "repeat": repeats, "reverse": reversals}, noise(2, 3, 4, 5), tolerance=ALL_EQUAL)


def joins(x, y):
    return (ops.concat((x, y), 0), ops.concat((x, y, x), -1), ops.stack((x, y), 0), ops.stack((x, y, x), -1))


def splits(x, y):
    return ops.split(x, 2, 1), ops.Split(2, 3)(x), ops.split(y, [1, 3], 1), ops.unstack(x, 0), ops.unbind(y, 1), ops.chunk(x, 3, 2)


@model("join_split")
def join_split():
    return table({"join": joins, "split": splits}, noise(2, 4, 6), noise(2, 4, 6, seed=1), tolerance=ALL_EQUAL)


@model("join_types")
def join_types():
    return Spec(JoinTypes(), [[integers(0, 9, 2, 3), integers(0, 9, 2, 3, dtype=np.int64), integers(0, 2, 2, 3).astype(bool), noise(2, 3, dtype=np.float16)]], tolerance=0.0)


class JoinTypes(nn.Cell):
    """Concat, Stack, Transpose, Tile and slices of several types."""

    def construct(self, a, b, c, d):
        out = ()
        for x in (a, b, c, d):
            out = out + (ops.concat((x, x), 1), ops.stack((x, x), 1), x.T, ops.tile(x, (1, 2)), x[:, 1:], ops.expand_dims(x, 0))
        return out


# ---------------------------------------------------------------- padding

def pad_modes(x):
    return (ops.Pad(((0, 0), (0, 0), (1, 2), (0, 3)))(x), ops.pad(x, (1, 2, 0, 1), "constant", 0.5), ops.pad(x, (2, 1), "constant", 0.0),
            nn.Pad(((0, 0), (0, 0), (1, 1), (2, 2)), "REFLECT")(x), nn.Pad(((0, 0), (0, 0), (1, 1), (2, 0)), "SYMMETRIC")(x),
            ops.pad(x, (1, 1, 2, 2), "reflect"), ops.pad(x, (1, 1, 2, 2), "replicate"), ops.pad(x, (1, 1, 2, 2), "circular"))


class PadCells(nn.Cell):
    """The padding layers."""

    def __init__(self):
        super().__init__()
        self.pads = nn.CellList([nn.ZeroPad2d((1, 2, 0, 1)), nn.ConstantPad2d((1, 0, 2, 1), 0.7), nn.ReflectionPad2d(2), nn.ReplicationPad2d((1, 2, 2, 1))])

    def construct(self, x):
        out = ()
        for pad in self.pads:
            out = out + (pad(x),)
        return out


@model("pad")
def pad():
    return table({"modes": pad_modes}, noise(2, 3, 5, 6), tolerance=ALL_EQUAL)


@model("pad_cells")
def pad_cells():
    return Spec(PadCells(), [[noise(1, 3, 5, 6)]], tolerance=ALL_EQUAL)


# ---------------------------------------------------------------- gather and scatter

def gathers(x, i, j):
    return (ops.gather(x, i, 0), ops.gather(x, i, 1), ops.gather(x, j, -1), ops.gather(x, Tensor(2, ms.int32), 1), ops.gather_nd(x, i.reshape((-1, 1))), ops.gather_nd(x, j),
            ops.gather_elements(x, 1, ops.broadcast_to(i.reshape((1, 3, 1)), (3, 3, 5))), ops.index_select(x, 1, i), ops.gather(x[0], j, 0))


@model("gather")
def gather():
    return table({"gather": gathers}, noise(3, 4, 5), np.array([2, 0, 1], np.int32), np.array([[0, 3], [2, 1]], np.int32), tolerance=ALL_EQUAL)


def gathers_int64(x, i):
    return ops.gather(x, i, 0), ops.gather(x, i, 1), ops.gather_d(x, 1, i.reshape((3, 1)))


@model("gather_int64")
def gather_int64():
    return table({"gather": gathers_int64}, noise(3, 4), np.array([2, -1, 1], np.int64), tolerance=ALL_EQUAL)


def scatters(x, i, u):
    return (ops.tensor_scatter_update(x, i, u), ops.tensor_scatter_add(x, i, u), ops.tensor_scatter_sub(x, i, u), ops.tensor_scatter_max(x, i, u), ops.tensor_scatter_min(x, i, u), ops.tensor_scatter_mul(x, i, u),
            ops.scatter_nd(i, u, (4, 5)), ops.tensor_scatter_elements(x, ops.broadcast_to(i, (3, 5)), u, 0), ops.unsorted_segment_sum(u, i.reshape((3,)), 4),
            ops.unsorted_segment_max(u, i.reshape((3,)) // 2, 2), ops.unsorted_segment_min(u, i.reshape((3,)) // 2, 2), ops.index_fill(x, 0, Tensor([1], ms.int32), 7.0))


@model("scatter")
def scatter():
    return table({"scatter": scatters}, noise(4, 5), np.array([[2], [0], [2]], np.int32), noise(3, 5, seed=1))


# ---------------------------------------------------------------- selection

def selections(x, y):
    mask = x > y
    return (ops.select(mask, x, y), ops.where(mask, x, y), ops.masked_fill(x, mask, -1.0), ops.where(x > 0, x, Tensor(0.5, ms.float32)), ops.masked_fill(x, mask[:1], Tensor(2, ms.float32)),
            ops.maximum(x, 0), ops.isclose(x, x + 1e-9), ops.logical_and(mask, x > 0), ops.cummax(x, 0)[0], ops.cummin(x, 1)[0])


def orders(x, y):
    return (ops.sort(x, 1), ops.Sort(axis=0, descending=True)(x), ops.topk(x, 3), ops.topk(x, 2, dim=0), ops.topk(y, 3, largest=False), ops.argsort(x, 1))


@model("select")
def select():
    return table({"select": selections}, noise(3, 5), noise(3, 5, seed=1), tolerance=ALL_EQUAL)


@model("sort")
def sort():
    return table({"order": orders}, noise(4, 6), noise(4, 6, seed=1), tolerance=ALL_EQUAL)


def one_hots(i):
    on, off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)
    return (ops.one_hot(i, 5), ops.OneHot()(i, 5, on, off), ops.OneHot(axis=0)(i, 4, Tensor(3.0, ms.float32), Tensor(-1.0, ms.float32)), ops.OneHot(axis=1)(i, 5, on, off))


@model("one_hot")
def one_hot():
    return table({"one_hot": one_hots}, np.array([[0, 2, 4], [3, 1, 0]], np.int32), tolerance=ALL_EQUAL)


def triangles(x):
    return (ops.triu(x), ops.tril(x), ops.triu(x, 1), ops.tril(x, -1), ops.triu(x[0], -1), ops.diag(x[0, 0]), ops.diagonal(x[0], 0, 0, 1), ops.eye(3, 4, ms.float32))


def cumulative(x):
    return (ops.cumsum(x, 0), ops.cumsum(x, -1), ops.CumSum(exclusive=True)(x, 1), ops.CumSum(reverse=True)(x, 2), ops.cumprod(x, 1), ops.diff(x, axis=1))


@model("triangles")
def triangles_():
    return table({"triangle": triangles}, noise(2, 4, 4), tolerance=ALL_EQUAL)


@model("cumulative")
def cumulative_():
    return table({"cumulative": cumulative}, noise(2, 3, 4))


def created(x):
    a, b = ops.meshgrid(ops.arange(0, 3), ops.arange(0, 2), indexing="ij")
    c, d = ops.meshgrid(x[0], x[:, 0], indexing="xy")
    return (ops.arange(0, 10, 3), ops.arange(5, 0, -2), ops.linspace(0.0, 1.0, 5), a, b, c, d, ops.zeros((2, 3), ms.float16), ops.ones((2,), ms.int64), ops.full((2, 2), 7.5, dtype=ms.float32),
            ops.zeros_like(x), ops.ones_like(x), ops.full_like(x, 3.0), ops.fill(ms.float32, (2, 2), 4.0), ops.Range()(Tensor(1, ms.int32), Tensor(9, ms.int32), Tensor(3, ms.int32)),
            ops.eye(3), x.new_zeros((2, 2)), x.shape[0] * 2)


@model("create")
def create():
    return table({"created": created}, noise(3, 4))


def nonzero_like(x):
    return ops.nonzero(x > 0), ops.masked_select(x, x > 0.5), ops.unique(ops.round(x).astype(ms.int32).reshape((-1,)))


@model("data_dependent_shapes")
def data_dependent_shapes():
    """Results whose shape depends on the values."""
    return table({"by value": nonzero_like}, noise(3, 4), tolerance=ALL_EQUAL)


def spaces(x):
    return ops.reverse_sequence(x, Tensor([2, 3], ms.int32), 1), ops.space_to_batch_nd(x.expand_dims(1), [2, 2], [[0, 0], [0, 0]]), ops.batch_to_space_nd(
        ops.space_to_batch_nd(x.expand_dims(1), [2, 2], [[0, 0], [0, 0]]), [2, 2], [[0, 0], [0, 0]])


@model("sequences")
def sequences():
    return table({"sequence": spaces}, noise(2, 4, 6), tolerance=ALL_EQUAL)


class Unfold(nn.Cell):
    """Sliding blocks of an image."""

    def construct(self, x):
        return ops.unfold(x, 3, 1, 1, 2)


@model("unfold")
def unfold():
    return Spec(Unfold(), [[noise(1, 2, 6, 7)]], tolerance=ALL_EQUAL)


# ---------------------------------------------------------------- other model families

class DeepFm(nn.Cell):
    """Click prediction: looked-up factors, pairwise interactions, a dense tower."""

    def __init__(self, fields=6, vocab=100, dim=4):
        super().__init__()
        self.linear = Parameter(Tensor(noise(vocab, 1, scale=0.1)), name="linear")
        self.factors = Parameter(Tensor(noise(vocab, dim, seed=1, scale=0.1)), name="factors")
        self.tower = nn.SequentialCell(nn.Dense(fields * dim, 16, activation="relu"), nn.Dense(16, 1))
        self.gather, self.sum, self.flatten = ops.Gather(), ops.ReduceSum(), nn.Flatten()

    def construct(self, ids, values):
        v = ops.expand_dims(values, 2)
        first = self.sum(self.gather(self.linear, ids, 0) * v, 1)
        e = self.gather(self.factors, ids, 0) * v
        second = 0.5 * self.sum(ops.square(self.sum(e, 1)) - self.sum(ops.square(e), 1), 1)
        return ops.sigmoid(first + second.reshape((-1, 1)) + self.tower(self.flatten(e)))


class Gcn(nn.Cell):
    """Graph convolution by gather and segment sums."""

    def __init__(self, nodes=12):
        super().__init__()
        self.a, self.b, self.nodes = nn.Dense(8, 16), nn.Dense(16, 3), nodes

    def spread(self, x, src, dst, weight):
        return ops.unsorted_segment_sum(ops.gather(x, src, 0) * weight.expand_dims(1), dst, self.nodes)

    def construct(self, x, src, dst, weight):
        h = ops.relu(self.spread(self.a(x), src, dst, weight))
        return ops.log_softmax(self.spread(self.b(h), src, dst, weight), 1)


class Experts(nn.Cell):
    """Top-2 routing over experts."""

    def __init__(self, dim=16, experts=4):
        super().__init__()
        self.router, self.experts = nn.Dense(dim, experts, has_bias=False), experts
        self.w1 = Parameter(Tensor(noise(experts, dim, 24, scale=0.2)), name="w1")
        self.w2 = Parameter(Tensor(noise(experts, 24, dim, scale=0.2, seed=1)), name="w2")

    def construct(self, x):
        top, index = ops.topk(ops.softmax(self.router(x), -1), 2)
        gate = (ops.one_hot(index, self.experts, Tensor(1, ms.float32), Tensor(0, ms.float32)) * top.expand_dims(-1)).sum(1)
        y = ops.matmul(ops.relu(ops.matmul(x.expand_dims(0), self.w1)), self.w2)
        return (y * gate.transpose((1, 0)).expand_dims(-1)).sum(0)


@model("deepfm")
def deepfm():
    return Spec(DeepFm(), [[integers(0, 100, 3, 6), np.abs(noise(3, 6))]])


@model("gcn")
def gcn():
    return Spec(Gcn(), [[noise(12, 8), integers(0, 12, 30), integers(0, 12, 30, seed=1), np.abs(noise(30))]])


@model("experts")
def experts():
    return Spec(Experts(), [[noise(6, 16)]])
