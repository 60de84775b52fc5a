"""Operators that write their operand in place, on values that the network computes."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops

from .common import Spec, integers, model, noise, unknown


class Values(nn.Cell):
    """Reads before and after a write, of the value and of what the operator returned; inputs that are written."""

    def construct(self, x, y):
        z = x * y
        before = z + 1
        part = z[:, 1:]
        same = z.mul_(y)
        x.add_(y)
        return z, before, part, same, z + before, x


class Branches(nn.Cell):
    """One branch writes one value, the other one another, and a function writes its argument."""

    def scaled(self, z):
        z.mul_(3.0)
        return z - 1

    def construct(self, x, y):
        z, w = ops.relu(x), ops.abs(y)
        if x.sum() > y.sum():
            z.add_(y)
        else:
            w.sub_(x)
        u = self.scaled(w)
        return z, w, u


class Loops(nn.Cell):
    """Writes in a loop inside of a branch, read in the loop and after it."""

    def construct(self, x, y, n):
        z, total = ops.relu(x), ops.zeros_like(x)
        if n > 1:
            while n > 0:
                if n > 2:
                    z.add_(y)
                else:
                    z.mul_(0.5)
                total = total + z
                n = n - 1
        else:
            total.sub_(y)
        return z * 2, total


class Views(nn.Cell):
    """Views follow what they look at, and the other way round."""

    def construct(self, x, y):
        z = ops.relu(x)
        row, part, turned = mint.unsqueeze(z, 0), mint.narrow(z, 1, 1, 2), mint.transpose(z, 0, 1)
        first, second = mint.split(z, 1)
        row.add_(y)
        return z * 2, row * 1, part * 1, turned * 1, first * 1, second * 1


class ParameterView(nn.Cell):
    """A write through a view of a parameter is state."""

    def __init__(self):
        super().__init__()
        self.p = Parameter(Tensor(noise(2, 3, seed=3)), name="p")

    def construct(self, x):
        mint.unsqueeze(self.p, 0).add_(x)
        return self.p * 2


def either(a, n):
    """Its argument, or another tensor."""
    if n > 0:
        return a
    return a * 2


class AliasFunction(nn.Cell):
    """What a function returned, which may be its argument."""

    def construct(self, x, y, n):
        z = x * 1
        r = either(z, n)
        r.add_(y)
        return z * 1, r * 1


class AliasBranch(nn.Cell):
    """Two names of one tensor, one of which may get another one and is written, at last through a view."""

    def construct(self, x, y, n):
        z = x * 1
        a = z
        if n > 0:
            a = x + y
        a.add_(y)
        v = mint.unsqueeze(a, 0)
        v.sub_(x)
        return z * 1, a * 1, v * 1


class AliasLoop(nn.Cell):
    """Two names of one tensor before a loop that writes one and gives the other one another tensor."""

    def construct(self, x, y, n):
        z = x * 1
        a = z
        while n > 0:
            z.add_(y)
            a = a + y
            n = n - 1
        return z * 1, a


class AliasAfterLoop(nn.Cell):
    """Two names of one tensor that a loop may part, and writes after it."""

    def construct(self, x, y, n):
        z = x * 1
        a = z
        while n > 0:
            if n == 2:
                break
            a = a + z
            n = n - 1
        a.add_(y)
        return z * 1, a * 1


class AliasSwap(nn.Cell):
    """Two tensors that change names, and a third name."""

    def construct(self, x, y, n):
        a, b = x * 1, y * 1
        c = a
        while n > 0:
            a.add_(y)
            a, b = b, a
            n = n - 1
        return a * 1, b * 1, c * 1


class AliasResults(nn.Cell):
    """Results of a branch that may be one tensor, and an input that a branch passes on."""

    def construct(self, x, y, n):
        if n > 0:
            t = x + y
            a, b = t, t
        else:
            a, b = x * 2, y * 2
        a.add_(y)
        c = x
        if n > 1:
            c = x - y
        c.mul_(y)
        return a * 1, b * 1, c * 1, x * 1


class AliasNested(nn.Cell):
    """A value of a loop that only some ways through its body replace, written in all of them."""

    def construct(self, x, y, n):
        z = x * 1
        while n > 0:
            if n > 2:
                z = z + y
            elif n > 1:
                z = z * 2
            z.add_(y)
            n = n - 1
        return z * 1


class TupleLoop(nn.Cell):
    """A loop that returns a tuple."""

    def construct(self, x, n):
        pair = (x, x * 2)
        while n > 0:
            pair = (pair[1], pair[0] + 1)
            n = n - 1
        return pair


class SetItem(nn.Cell):
    """Assignment to parts of a tensor with open dimensions."""

    def construct(self, y):
        y[:, :-1] = y[:, :-1] * 2
        return y


class SetParts(nn.Cell):
    """Numbers, an ellipsis, added dimensions and positions in the index of a tensor with open dimensions."""

    def construct(self, x, i):
        a, b, c, d = x * 1, x * 1, x * 1, x * 1
        a[..., 1] = 2.5
        b[-1, i] = 3.5
        c[None, 1] = 4.5
        d[:, 0] = x[:, 1]
        return a, b, c, d, x[..., i]


class Copied(nn.Cell):
    """Contents that another tensor replaces, which is repeated and converted."""

    def construct(self, x, y):
        z = ops.relu(x)
        before = z + 1
        z.copy_(y)
        return z * 2, before


class Joined(nn.Cell):
    """Tensors of several types joined."""

    def construct(self, a, b, c, d):
        return ops.concat((a, b)), ops.concat((c, d)), ops.concat((a, c))


class Edges(nn.Cell):
    """Windows wider than the image, positions of maxima, a dimension that stays, gaps between windows."""

    def __init__(self):
        super().__init__()
        self.wide = nn.MaxPool2d(4, 2, pad_mode="pad", padding=0, ceil_mode=True)
        self.spread = nn.Conv3dTranspose(1, 1, 1, stride=2, pad_mode="valid", weight_init="ones")

    def construct(self, x):
        return (self.wide(x), ops.max_pool2d(x, 2, 2, return_indices=True), mint.squeeze(x, (1, 2)),
                self.spread(x.expand_dims(0)))


class NotFinite(nn.Cell):
    """Infinity and NaN stay where they are read."""

    def construct(self, x, slope):
        return (ops.adaptive_avg_pool2d(x, (2, 4)), ops.interpolate(x, size=(4, 16), mode="bicubic", align_corners=False),
                ops.prelu(x, slope))


@model("inplace_values")
def inplace_values():
    return Spec(Values(), [[noise(2, 3), noise(2, 3, seed=1)]])


@model("inplace_branches")
def inplace_branches():
    return Spec(Branches(), [[noise(2, 3), noise(2, 3, seed=1)], [noise(2, 3, seed=1) + 1, noise(2, 3)]])


@model("inplace_loops")
def inplace_loops():
    x, y = noise(2, 3), noise(2, 3, seed=1)
    return Spec(Loops(), [[x, y, np.array(n, np.int32)] for n in (4, 1, 0)])


@model("inplace_views")
def inplace_views():
    return Spec(Views(), [[noise(2, 3), noise(2, 3, seed=1)]])


@model("inplace_copy")
def inplace_copy():
    return Spec(Copied(), [[noise(2, 3), noise(3, dtype=np.float16)]])


@model("inplace_copy_open")
def inplace_copy_open():
    x, y = noise(2, 3), noise(1, 3, seed=1)
    return Spec(Copied(), [[x, y], [noise(4, 3), noise(4, 3, seed=1)]], declared=[unknown(None, 3), unknown(None, 3)])


@model("inplace_parameter_view")
def inplace_parameter_view():
    return Spec(ParameterView(), steps=[[noise(2, 3)], [noise(2, 3, seed=1)]])


def counted(cell):
    """A network of two tensors and a number, for several numbers."""
    x, y = noise(3), noise(3, seed=1)
    return Spec(cell, [[x, y, np.array(n, np.int32)] for n in (0, 1, 2, 3)])


@model("inplace_alias_function")
def inplace_alias_function():
    return counted(AliasFunction())


@model("inplace_alias_branch")
def inplace_alias_branch():
    return counted(AliasBranch())


@model("inplace_alias_loop")
def inplace_alias_loop():
    return counted(AliasLoop())


@model("inplace_alias_after_loop")
def inplace_alias_after_loop():
    return counted(AliasAfterLoop())


@model("inplace_alias_swap")
def inplace_alias_swap():
    return counted(AliasSwap())


@model("inplace_alias_results")
def inplace_alias_results():
    return counted(AliasResults())


@model("inplace_alias_nested")
def inplace_alias_nested():
    return counted(AliasNested())


@model("loop_tuple")
def loop_tuple():
    return Spec(TupleLoop(), [[noise(3), np.array(n, np.int32)] for n in (3, 0)])


@model("set_item_open")
def set_item_open():
    return Spec(SetItem(), [[noise(2, 3)], [noise(1, 3)]], declared=[unknown(None, 3)])


@model("set_item_parts")
def set_item_parts():
    """MindSpore 2.10 exports it, but cannot run the file."""
    def parts(x, i):
        a, b, c, d = (x.copy() for _ in range(4))
        a[..., 1], b[-1, i], c[None, 1], d[:, 0] = 2.5, 3.5, 4.5, x[:, 1]
        return [a, b, c, d, x[..., i]]
    cases = [[noise(rows, 4), np.array([0, 2])] for rows in (3, 2)]
    return Spec(SetParts(), cases, declared=[unknown(None, None), unknown(None, dtype=ms.int64)], expected=[parts(*c) for c in cases])


@model("joined_types")
def joined_types():
    return Spec(Joined(), [[noise(2), noise(3, dtype=np.float16), integers(-5, 5, 2), integers(0, 9, 3, dtype=np.uint8)]])


@model("window_edges")
def window_edges():
    return Spec(Edges(), [[noise(1, 1, 4, 3)]])


@model("not_finite")
def not_finite():
    x = noise(1, 1, 3, 7)
    x[0, 0, 1, 3], x[0, 0, 2, 6], x[0, 0, 0, 0] = np.inf, np.nan, 0.0
    return Spec(NotFinite(), [[x, np.array([np.nan], np.float32)]])
