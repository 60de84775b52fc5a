"""Control flow, functions as values, state."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, model, noise, unknown


class If(nn.Cell):
    """Nested branches on tensors; each uses its own weights."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(4, 4), nn.Dense(4, 4)

    def construct(self, x, flag):
        if flag > 0:
            y = self.a(x)
            if flag > 5:
                y = ops.tanh(y)
        else:
            y = self.b(x) - x
        return y * 2


class While(nn.Cell):
    """A loop that runs as long as the data says, then a branch."""

    def __init__(self, dim=4):
        super().__init__()
        self.fc = nn.Dense(dim, dim)

    def construct(self, x, limit):
        i = Tensor(0, ms.int32)
        while i < limit:
            x = ops.tanh(self.fc(x)) + x
            i = i + 1
        if x.sum() > 0:
            x = ops.relu(x)
        else:
            x = x * 2 - 1
        return x, i


class NestedWhile(nn.Cell):
    """Loops inside loops, with break and continue."""

    def construct(self, x, rows, cols):
        i, total = Tensor(0, ms.int32), Tensor(0, ms.int32)
        while i < rows:
            j = Tensor(0, ms.int32)
            while j < cols:
                j = j + 1
                if j == 3:
                    continue
                x = x + j.astype(ms.float32) * 0.5
                total = total + 1
                if x.max() > 20:
                    break
            i = i + 1
            x = x * 0.9
        return x, total


class Sum(nn.Cell):
    """A long loop: thousands of iterations."""

    def construct(self, n):
        i, total = Tensor(0, ms.int32), Tensor(0, ms.float32)
        while i < n:
            total = total + i.astype(ms.float32)
            i = i + 1
        return total


class Newton(nn.Cell):
    """A loop with a data-dependent number of iterations: square root by Newton's method."""

    def construct(self, a):
        x, steps = a, Tensor(0, ms.int32)
        while ops.abs(x * x - a).max() > 1e-3:
            x = (x + a / x) * 0.5
            steps = steps + 1
        return x, steps


class Counter(nn.Cell):
    """A counter and a running sum kept in parameters."""

    def __init__(self):
        super().__init__()
        self.count = Parameter(Tensor(np.zeros((), np.int32)), name="count", requires_grad=False)
        self.total = Parameter(Tensor(np.zeros(3, np.float32)), name="total", requires_grad=False)

    def construct(self, x):
        self.count = self.count + 1
        self.total = self.total + x
        return self.total / self.count.astype(ms.float32), self.count


class ConditionalState(nn.Cell):
    """A parameter that is updated in one branch only."""

    def __init__(self):
        super().__init__()
        self.state = Parameter(Tensor(np.zeros(2, np.float32)), name="state", requires_grad=False)

    def construct(self, x, flag):
        if flag > 0:
            ops.assign_add(self.state, x)
        else:
            ops.assign_sub(self.state, x * 2)
        return self.state + 1


class Choice(nn.Cell):
    """One of several cells, picked by a tensor."""

    def __init__(self):
        super().__init__()
        self.choices = nn.CellList([nn.Dense(4, 3), nn.Dense(4, 3, activation="relu"), nn.Dense(4, 3, activation="tanh")])

    def construct(self, index, x):
        return self.choices[index](x)


class Generate(nn.Cell):
    """Greedy decoding inside the graph: a loop that writes tokens by index."""

    def __init__(self, vocab=20, dim=8, length=10):
        super().__init__()
        self.embed, self.fc, self.length = nn.Embedding(vocab, dim), nn.Dense(dim, vocab), length

    def construct(self, tokens, start):
        i = start
        while i < self.length:
            h = self.embed(tokens[i - 1])
            best = ops.argmax(self.fc(ops.tanh(h * (i.astype(ms.float32) + 1))).reshape((-1,)), -1)
            tokens = ops.tensor_scatter_update(tokens, i.reshape((1, 1)), best.astype(ms.int32).reshape((1,)))
            i = i + 1
        return tokens


class Raise(nn.Cell):
    """Exceptions for some shapes and contents; the branches that return have several results."""

    def construct(self, x):
        rows, columns = x.shape
        if rows > 3:
            raise ValueError(f"at most 3 rows, found {rows} of {x.shape}")
        elif columns > 5:
            raise TypeError
        if x.sum() > 9:
            if x.max() > 9:
                raise ValueError("the largest is", x.max())
            raise RuntimeError("the sum is too large")
        return x * 2, (x.sum(), x - 1)


class RaiseFixed(nn.Cell):
    """An exception for some contents, shapes being fixed."""

    def construct(self, x):
        if x.sum() > 9:
            raise ValueError("the sum is", x.sum())
        return x * 2


def scalar(value, dtype=np.int32):
    return np.array(value, dtype)


@model("if_nested")
def if_nested():
    return Spec(If(), [[noise(2, 4), scalar(v)] for v in (1, 9, -1)], tolerance=5e-4)


@model("while_if")
def while_if():
    return Spec(While(), [[noise(2, 4), scalar(3)], [noise(2, 4, seed=1), scalar(0)], [noise(2, 4) - 3, scalar(6)]], tolerance=5e-4)


@model("while_nested")
def while_nested():
    return Spec(NestedWhile(), [[noise(3), scalar(3), scalar(5)], [noise(3), scalar(0), scalar(5)], [noise(3), scalar(6), scalar(9)]])


@model("while_long")
def while_long():
    return Spec(Sum(), [[scalar(10)], [scalar(2000)]])


@model("while_newton")
def while_newton():
    return Spec(Newton(), [[np.array([2.0, 9.0, 100.0], np.float32)], [np.array([1.0, 1.0, 1.0], np.float32)]])


@model("while_dynamic")
def while_dynamic():
    return Spec(While(), [[noise(n, 4, seed=n), scalar(3)] for n in (2, 5)], declared=[unknown(None, 4), Tensor(scalar(3))], tolerance=5e-4)


@model("counter")
def counter():
    return Spec(Counter(), steps=[[noise(3, seed=i)] for i in range(3)], raw=True)


@model("conditional_state")
def conditional_state():
    return Spec(ConditionalState(), steps=[[noise(2, seed=i), scalar(f)] for i, f in enumerate((1, -1, 1, 1))], raw=True)


@model("switch_layer")
def switch_layer():
    return Spec(Choice(), [[scalar(i), noise(2, 4, seed=3 + i)] for i in (0, 1, 2)], tolerance=5e-4)


@model("generate")
def generate():
    return Spec(Generate(), [[np.array([3] + [0] * 9, np.int32), scalar(1)], [np.array([5, 7, 2] + [0] * 7, np.int32), scalar(3)]])


@model("raise_open")
def raise_open():
    cases = [[noise(n, m, seed=n)] for n, m in ((2, 3), (3, 5), (1, 1))]
    expected = [[x * np.float32(2), x.sum(), x - np.float32(1)] for x, in cases]
    return Spec(Raise(), cases, declared=[unknown(None, None)], expected=expected)


@model("raise_fixed")
def raise_fixed():
    return Spec(RaiseFixed(), [[noise(2, 3, seed=s)] for s in (0, 1)])
