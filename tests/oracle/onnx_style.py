"""Networks as PyTorch exports them, made with the `onnx` package: the chains of nodes that its exporter writes for each layer.

Sets 11 to 17 differ in what is an attribute and what an operand; shapes are computed by the graph where dimensions are open.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A graph under construction; values are names."""

    def __init__(self, name, opset):
        self.name, self.opset, self.nodes, self.weights = name, opset, [], []
        self.rng = np.random.default_rng(sum(map(ord, name)))

    def op(self, op, *inputs, outputs=1, **attributes):
        names = [f"/{op}_{len(self.nodes)}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, [self.const(x) for x in inputs], names, name=f"/{op}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def const(self, x):
        """Scalars and lists become Constant nodes, arrays initializers."""
        if isinstance(x, str):
            return x
        if isinstance(x, np.ndarray):
            name = f"layer.{len(self.weights)}.weight"
            self.weights.append(numpy_helper.from_array(x, name))
            return name
        value = np.asarray(x, np.float32 if isinstance(x, float) else np.int64)
        name = f"/Constant_{len(self.nodes)}_output_0"
        self.nodes.append(helper.make_node("Constant", [], [name], name=f"/Constant_{len(self.nodes)}", value=numpy_helper.from_array(value)))
        return name

    def weight(self, *shape, scale=None):
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        return (self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(fan))).astype(np.float32)

    # ---- operands that were attributes

    def unsqueeze(self, x, axes):
        return self.op("Unsqueeze", x, axes) if self.opset >= 13 else self.op("Unsqueeze", x, axes=axes)

    def squeeze(self, x, axes):
        return self.op("Squeeze", x, axes) if self.opset >= 13 else self.op("Squeeze", x, axes=axes)

    def split(self, x, sizes, axis):
        n = len(sizes)
        return self.op("Split", x, sizes, outputs=n, axis=axis) if self.opset >= 13 else self.op("Split", x, outputs=n, axis=axis, split=sizes)

    def dim(self, x, axis):
        """x.size(axis)"""
        return self.op("Gather", self.op("Shape", x), axis, axis=0)

    def view(self, x, *dims):
        """x.view(...), where dims may be computed."""
        if all(isinstance(d, int) for d in dims):
            return self.op("Reshape", x, list(dims))
        return self.op("Reshape", x, self.op("Concat", *[self.unsqueeze(self.const(d), [0]) for d in dims], axis=0))

    # ---- layers

    def linear(self, x, i, o, rank):
        if rank == 2:
            return self.op("Gemm", x, self.weight(o, i), self.weight(o, scale=0.1), transB=1, alpha=1.0, beta=1.0)
        return self.op("Add", self.weight(o, scale=0.1), self.op("MatMul", x, self.weight(i, o)))

    def conv(self, x, i, o, k, stride=1, groups=1, bias=False):
        inputs = [x, self.weight(o, i // groups, k, k)] + ([self.weight(o, scale=0.1)] if bias else [])
        p = k // 2
        return self.op("Conv", *inputs, kernel_shape=[k, k], strides=[stride] * 2, pads=[p] * 4, dilations=[1, 1], group=groups)

    def bn(self, x, c):
        stats = [np.abs(self.weight(c)) + 0.5, self.weight(c, scale=0.1), self.weight(c, scale=0.1), np.abs(self.weight(c)) + 0.5]
        return self.op("BatchNormalization", x, *stats, epsilon=1e-5, momentum=0.9)

    def layer_norm(self, x, n, eps=1e-5):
        g, b = np.abs(self.weight(n)) + 0.5, self.weight(n, scale=0.1)
        if self.opset >= 17:
            return self.op("LayerNormalization", x, g, b, axis=-1, epsilon=eps)
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        var = self.op("ReduceMean", self.op("Pow", centred, 2.0), axes=[-1])
        y = self.op("Div", centred, self.op("Sqrt", self.op("Add", var, eps)))
        return self.op("Add", self.op("Mul", y, g), b)

    def gelu(self, x):
        y = self.op("Add", self.op("Erf", self.op("Div", x, 1.4142135381698608)), 1.0)
        return self.op("Mul", self.op("Mul", x, y), 0.5)

    def relu6(self, x):
        return self.op("Clip", x, 0.0, 6.0)

    def attention(self, x, width, heads, mask=None):
        b, s = self.dim(x, 0), self.dim(x, 1)

        def split_heads(y, perm):
            return self.op("Transpose", self.view(y, b, s, heads, width // heads), perm=perm)
        q = split_heads(self.linear(x, width, width, 3), [0, 2, 1, 3])
        k = split_heads(self.linear(x, width, width, 3), [0, 2, 3, 1])
        v = split_heads(self.linear(x, width, width, 3), [0, 2, 1, 3])
        scores = self.op("Div", self.op("MatMul", q, k), float(np.sqrt(width // heads)))
        if mask:
            scores = self.op("Add", scores, mask)
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        y = self.op("Transpose", y, perm=[0, 2, 1, 3])
        return self.linear(self.view(y, b, s, width), width, width, 3)

    def model(self, inputs, outputs):
        ins = [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs]
        outs = [helper.make_tensor_value_info(n, FLOAT, [f"{n}_dim_{d}" for d in range(rank)]) for n, rank in outputs]
        graph = helper.make_graph(self.nodes, self.name, ins, outs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="pytorch", ir_version=8)
        onnx.checker.check_model(model)
        return model


FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def resnet(name, opset, blocks, batch):
    """ResNet-50's bottlenecks; `blocks` per stage."""
    n = Net(name, opset)
    x = n.op("Relu", n.bn(n.conv("x", 3, 16, 7, 2), 16))
    x = n.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=0)
    width = 16
    for stage, count in enumerate(blocks):
        inner = 8 << stage
        for i in range(count):
            stride = 2 if stage and not i else 1
            y = n.op("Relu", n.bn(n.conv(x, width, inner, 1), inner))
            y = n.op("Relu", n.bn(n.conv(y, inner, inner, 3, stride), inner))
            y = n.bn(n.conv(y, inner, inner * 4, 1), inner * 4)
            short = n.bn(n.conv(x, width, inner * 4, 1, stride), inner * 4) if not i else x
            x, width = n.op("Relu", n.op("Add", y, short)), inner * 4
    x = n.op("Flatten", n.op("GlobalAveragePool", x), axis=1)
    y = n.linear(x, width, 10, 2)
    return n.model([("x", FLOAT, [batch, 3, 64, 64])], [(y, 2)])


def mobilenet(name, opset, batch):
    """MobileNetV2's inverted residuals."""
    n = Net(name, opset)
    x = n.relu6(n.bn(n.conv("x", 3, 8, 3, 2), 8))
    width = 8
    for out, stride, expand in [(8, 1, 1), (12, 2, 6), (12, 1, 6), (16, 2, 6), (16, 1, 6)]:
        inner = width * expand
        y = n.relu6(n.bn(n.conv(x, width, inner, 1), inner)) if expand > 1 else x
        y = n.relu6(n.bn(n.conv(y, inner, inner, 3, stride, groups=inner), inner))
        y = n.bn(n.conv(y, inner, out, 1), out)
        x, width = (n.op("Add", x, y) if stride == 1 and width == out else y), out
    x = n.op("ReduceMean", x, axes=[2, 3], keepdims=0) if opset < 18 else n.op("ReduceMean", x, [2, 3], keepdims=0)
    y = n.linear(x, width, 10, 2)
    return n.model([("x", FLOAT, [batch, 3, 32, 32])], [(y, 2)])


def bert(name, opset, batch, seq, layers=2, width=32, heads=4):
    n = Net(name, opset)
    s = n.dim("input_ids", 1)
    positions = n.op("Slice", n.op("Unsqueeze", np.arange(64), [0]) if opset >= 13 else np.arange(64)[None], [0], n.unsqueeze(s, [0]), [1], [1])
    words, places = n.op("Gather", n.weight(100, width, scale=1), "input_ids"), n.op("Gather", n.weight(64, width, scale=1), positions)
    x = n.layer_norm(n.op("Add", words, places), width, 1e-12)
    mask = n.op("Cast", n.unsqueeze(n.unsqueeze("attention_mask", [1]), [2]), to=FLOAT)
    # mask.expand(batch, 1, seq, seq), as newer versions write it.
    shape = n.op("Concat", n.unsqueeze(n.dim("input_ids", 0), [0]), [1], n.unsqueeze(s, [0]), n.unsqueeze(s, [0]), axis=0)
    ones = n.op("Mul", n.op("ConstantOfShape", [4], value=numpy_helper.from_array(np.array([1], np.int64))), -1)
    shape = n.op("Where", n.op("Equal", shape, ones), n.op("ConstantOfShape", [4], value=numpy_helper.from_array(np.array([1], np.int64))), shape)
    mask = n.op("Expand", mask, shape)
    inverted = n.op("Sub", 1.0, mask)
    mask = n.op("Where", n.op("Cast", inverted, to=TensorProto.BOOL), -3.4028234663852886e38, inverted)
    for _ in range(layers):
        x = n.layer_norm(n.op("Add", n.attention(x, width, heads, mask), x), width, 1e-12)
        y = n.linear(n.gelu(n.linear(x, width, 4 * width, 3)), 4 * width, width, 3)
        x = n.layer_norm(n.op("Add", y, x), width, 1e-12)
    pooled = n.op("Tanh", n.linear(n.op("Gather", x, 0, axis=1), width, width, 2))
    return n.model([("input_ids", INT, [batch, seq]), ("attention_mask", INT, [batch, seq])], [(x, 3), (pooled, 2)])


def vit(name, opset, batch, width=32, heads=4, layers=2):
    n = Net(name, opset)
    x = n.op("Conv", "x", n.weight(width, 3, 8, 8), n.weight(width, scale=0.1), kernel_shape=[8, 8], strides=[8, 8], pads=[0] * 4, group=1)
    dims = n.op("Slice", n.op("Shape", x), [0], [2], [0])
    x = n.op("Reshape", x, n.op("Concat", dims, [-1], axis=0))
    x = n.op("Transpose", x, perm=[0, 2, 1])
    b = n.dim(x, 0)
    shape = n.op("Concat", n.unsqueeze(b, [0]), [-1], [-1], axis=0)
    ones = n.op("ConstantOfShape", [3], value=numpy_helper.from_array(np.array([1], np.int64)))
    shape = n.op("Where", n.op("Equal", shape, n.op("Mul", ones, -1)), ones, shape)
    token = n.op("Expand", n.weight(1, 1, width, scale=1), shape)
    x = n.op("Add", n.op("Concat", token, x, axis=1), n.weight(1, 17, width, scale=1))
    for _ in range(layers):
        x = n.op("Add", x, n.attention(n.layer_norm(x, width, 1e-6), width, heads))
        x = n.op("Add", x, n.linear(n.gelu(n.linear(n.layer_norm(x, width, 1e-6), width, 4 * width, 3)), 4 * width, width, 3))
    y = n.op("Gather", n.layer_norm(x, width, 1e-6), 0, axis=1)
    return n.model([("x", FLOAT, [batch, 3, 32, 32])], [(n.linear(y, width, 10, 2), 2)])


def lstm(name, opset):
    n = Net(name, opset)
    h, i = 6, 5
    w = [n.weight(2, 4 * h, i), n.weight(2, 4 * h, h), n.weight(2, 8 * h, scale=0.1), "", np.zeros((2, 3, h), np.float32), np.zeros((2, 3, h), np.float32)]
    y, _, _ = n.op("LSTM", "x", *w, outputs=3, hidden_size=h, direction="bidirectional")
    y = n.op("Reshape", n.op("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, -1])
    return n.model([("x", FLOAT, [7, 3, i])], [(n.linear(y, 2 * h, 4, 3), 3)])


def recurrent(name, op, gates, direction, **attributes):
    """A layer with open batch and length; without an initial state where there is one direction."""
    n = Net(name, 17)
    h, i = 6, 5
    d = 2 if direction == "bidirectional" else 1
    y, last = n.op(op, "x", n.weight(d, gates * h, i), n.weight(d, gates * h, h), n.weight(d, 2 * gates * h, scale=0.1), outputs=2,
                   hidden_size=h, direction=direction, **attributes)
    y = n.op("Reshape", n.op("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, -1])
    return n.model([("x", FLOAT, ["sequence", "batch", i])], [(y, 3), (last, 3)])


def padded(name):
    """Windows, most with padding that depends on sizes which are open."""
    n = Net(name, 17)
    x = n.op("Conv", "x", n.weight(8, 3, 3, 3), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    x = n.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")
    x = n.op("Conv", x, n.weight(4, 8, 4, 4), kernel_shape=[4, 4], strides=[2, 2], auto_pad="SAME_LOWER")
    x = n.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    x = n.op("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1])
    return n.model([("x", FLOAT, ["batch", 3, "height", "width"])], [(x, 4)])


def turns(name, count):
    """A loop as `torch.jit.script` keeps it: a condition in its body, and every state collected."""
    n = Net(name, 17)
    weights, start = n.const(n.weight(4, 4)), n.const(np.zeros((3, 4), np.float32))
    trips = n.dim("x", 0)
    node = helper.make_node

    def branch(name, op):
        return helper.make_graph([node(op, ["new", "new"], [name])], name, [], [helper.make_tensor_value_info(name, FLOAT, None)])
    body = helper.make_graph([
        node("Gather", ["x", "i"], ["row"], axis=0),
        node("MatMul", ["h", weights], ["moved"]),
        node("Add", ["moved", "row"], ["sum"]),
        node("Tanh", ["sum"], ["new"]),
        node("ReduceSum", ["new"], ["total"], keepdims=0),
        node("Cast", ["total"], ["whole"], to=INT),
        node("Cast", ["whole"], ["odd"], to=TensorProto.BOOL),
        node("If", ["odd"], ["next"], then_branch=branch("product", "Mul"), else_branch=branch("twice", "Add")),
        node("Identity", ["go"], ["still"]),
        node("Identity", ["next"], ["each"]),
    ], "body", [helper.make_tensor_value_info("i", INT, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("h", FLOAT, [3, 4])],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []), helper.make_tensor_value_info("next", FLOAT, None),
         helper.make_tensor_value_info("each", FLOAT, None)])
    last, each = n.op("Loop", trips, "", start, outputs=2, body=body)
    return n.model([("x", FLOAT, [count, 3, 4])], [(last, 2), (each, 3)])


def einsum(name, batch, seq):
    """Attention whose projections and products are sums over named dimensions."""
    net = Net(name, 17)
    width, heads, size = 12, 3, 4
    q, k, v = (net.op("Einsum", "x", net.weight(width, heads, size), equation="bsw,whd->bshd") for _ in range(3))
    scores = net.op("Softmax", net.op("Einsum", q, k, equation="bqhd,bkhd->bhqk"), axis=-1)
    mixed = net.op("Einsum", scores, v, equation="bhqk,bkhd->bqhd")
    y = net.op("Einsum", mixed, net.weight(heads, size, width), equation="bshd,hdw->bsw")
    y = net.op("Einsum", y, net.weight(width), net.weight(width), equation="...w, w, w -> ...w")
    return net.model([("x", FLOAT, [batch, seq, width])], [(y, 3)])


def quantized(name):
    """A convolution between numbers of eight bits, quantized per tensor and per channel."""
    net = Net(name, 17)
    scale, zero = 0.03, np.array(7, np.int8)
    x = net.op("DequantizeLinear", net.op("QuantizeLinear", "x", np.array(scale, np.float32), zero), np.array(scale, np.float32), zero)
    w = net.rng.integers(-100, 100, (8, 3, 3, 3)).astype(np.int8)
    w = net.op("DequantizeLinear", w, np.abs(net.weight(8)) * 0.01 + 0.001, np.zeros(8, np.int8), axis=0)
    y = net.op("Relu", net.op("Conv", x, w, pads=[1, 1, 1, 1], kernel_shape=[3, 3]))
    y = net.op("DequantizeLinear", net.op("QuantizeLinear", y, np.array(0.02, np.float32)), np.array(0.02, np.float32))
    return net.model([("x", FLOAT, [2, 3, 8, 8])], [(y, 4)])


def models():
    """Names, models and inputs."""
    rng = np.random.default_rng(1)

    def image(batch, size):
        return [rng.standard_normal((batch, 3, size, size)).astype(np.float32)]

    def text(batch, seq):
        mask = np.ones((batch, seq), np.int64)
        mask[:, seq - 2:] = 0
        return [rng.integers(0, 100, (batch, seq)), mask]
    for opset in (11, 13, 17):
        yield f"resnet_{opset}", resnet(f"resnet_{opset}", opset, [1, 2, 1, 1], 1), image(1, 64)
        yield f"mobilenet_{opset}", mobilenet(f"mobilenet_{opset}", opset, 2), image(2, 32)
        yield f"bert_{opset}", bert(f"bert_{opset}", opset, 2, 9), text(2, 9)
        yield f"vit_{opset}", vit(f"vit_{opset}", opset, 2), image(2, 32)
    yield "resnet_open", resnet("resnet_open", 17, [1, 1, 1, 1], "batch"), image(3, 64)
    yield "bert_open", bert("bert_open", 17, "batch", "sequence"), text(3, 11)
    yield "vit_open", vit("vit_open", 17, "batch"), image(3, 32)
    yield "lstm_17", lstm("lstm_17", 17), [rng.standard_normal((7, 3, 5)).astype(np.float32)]
    for direction in ("forward", "reverse", "bidirectional"):
        steps = [rng.standard_normal((7, 3, 5)).astype(np.float32)]
        yield f"gru_{direction}", recurrent(f"gru_{direction}", "GRU", 3, direction, linear_before_reset=1), steps
        yield f"rnn_{direction}", recurrent(f"rnn_{direction}", "RNN", 1, direction), steps
    yield "gru_outer", recurrent("gru_outer", "GRU", 3, "forward"), steps
    yield "padded", padded("padded"), image(2, 61)
    named = [rng.standard_normal((2, 5, 12)).astype(np.float32)]
    yield "einsum", einsum("einsum", 2, 5), named
    yield "einsum_open", einsum("einsum_open", "batch", "sequence"), named
    yield "quantized", quantized("quantized"), image(2, 8)
    yield "turns", turns("turns", 5), [rng.standard_normal((5, 3, 4)).astype(np.float32)]
    yield "turns_open", turns("turns_open", "count"), [rng.standard_normal((6, 3, 4)).astype(np.float32)]
