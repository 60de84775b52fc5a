"""Image classifiers: LeNet-5, MLP, ResNet, MobileNetV2, ViT."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, model, noise, uniform, unknown
from .transformers import PreNormLayer


class LeNet5(nn.Cell):
    """Two valid 5x5 convolutions with max pooling, three dense layers."""

    def __init__(self, channels=1, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, pad_mode="valid")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Dense(400, 120), nn.Dense(120, 84), nn.Dense(84, classes)

    def construct(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.flatten(x)
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


def mlp_cell(sizes):
    """Dense layers with ReLU between them, on flattened input."""
    layers = [nn.Flatten()]
    for i in range(len(sizes) - 1):
        layers += [nn.Dense(sizes[i], sizes[i + 1]), nn.ReLU()]
    return nn.SequentialCell(layers[:-1])


# ---------------------------------------------------------------- ResNet

def conv_bn(cin, cout, k, stride=1, group=1, act=None):
    """Convolution with "half" padding, batch norm, optional activation."""
    conv = nn.Conv2d(cin, cout, k, stride, pad_mode="pad", padding=k // 2, group=group)
    return nn.SequentialCell([conv, nn.BatchNorm2d(cout)] + ([act] if act else []))


class Basic(nn.Cell):
    """Two 3x3 convolutions and a shortcut."""
    expansion = 1

    def __init__(self, cin, width, stride):
        super().__init__()
        self.a = conv_bn(cin, width, 3, stride, act=nn.ReLU())
        self.b = conv_bn(width, width, 3)
        self.short = conv_bn(cin, width, 1, stride) if stride != 1 or cin != width else None
        self.relu = nn.ReLU()

    def construct(self, x):
        keep = x if self.short is None else self.short(x)
        return self.relu(self.b(self.a(x)) + keep)


class Bottleneck(nn.Cell):
    """1x1, 3x3, 1x1 convolutions and a shortcut."""
    expansion = 4

    def __init__(self, cin, width, stride):
        super().__init__()
        cout = width * 4
        self.a = conv_bn(cin, width, 1, act=nn.ReLU())
        self.b = conv_bn(width, width, 3, stride, act=nn.ReLU())
        self.c = conv_bn(width, cout, 1)
        self.short = conv_bn(cin, cout, 1, stride) if stride != 1 or cin != cout else None
        self.relu = nn.ReLU()

    def construct(self, x):
        keep = x if self.short is None else self.short(x)
        return self.relu(self.c(self.b(self.a(x))) + keep)


class ResNet(nn.Cell):
    """Stem, four stages of residual blocks, global mean, dense head."""

    def __init__(self, block, counts, base=64, classes=1000, pad="pad"):
        super().__init__()
        self.stem = conv_bn(3, base, 7, 2, act=nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, pad_mode=pad, padding=1 if pad == "pad" else 0)
        blocks, cin = [], base
        for stage, count in enumerate(counts):
            width = base << stage
            for i in range(count):
                blocks.append(block(cin, width, 2 if i == 0 and stage > 0 else 1))
                cin = width * block.expansion
        self.blocks = nn.SequentialCell(blocks)
        self.mean = ops.ReduceMean(keep_dims=False)
        self.fc = nn.Dense(cin, classes)

    def construct(self, x):
        x = self.blocks(self.pool(self.stem(x)))
        return self.fc(self.mean(x, (2, 3)))


# ---------------------------------------------------------------- MobileNetV2

class InvertedResidual(nn.Cell):
    """Expand, depthwise 3x3, project; a shortcut where the shape stays."""

    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        hidden = cin * expand
        layers = [conv_bn(cin, hidden, 1, act=nn.ReLU6())] if expand != 1 else []
        layers += [conv_bn(hidden, hidden, 3, stride, group=hidden, act=nn.ReLU6()), conv_bn(hidden, cout, 1)]
        self.body = nn.SequentialCell(layers)
        self.residual = stride == 1 and cin == cout

    def construct(self, x):
        y = self.body(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Cell):
    """The published stage table: (expansion, channels, repeats, stride)."""
    TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, table=TABLE, stem=32, last=1280, classes=1000):
        super().__init__()
        layers, cin = [conv_bn(3, stem, 3, 2, act=nn.ReLU6())], stem
        for expand, cout, repeats, stride in table:
            for i in range(repeats):
                layers.append(InvertedResidual(cin, cout, stride if i == 0 else 1, expand))
                cin = cout
        layers.append(conv_bn(cin, last, 1, act=nn.ReLU6()))
        self.features = nn.SequentialCell(layers)
        self.mean = ops.ReduceMean(keep_dims=False)
        self.fc = nn.Dense(last, classes)

    def construct(self, x):
        return self.fc(self.mean(self.features(x), (2, 3)))


# ---------------------------------------------------------------- ViT

class ViT(nn.Cell):
    """Patch embedding, class token, pre-norm encoder, head on the class token."""

    def __init__(self, size=224, patch=16, dim=192, depth=12, heads=3, classes=1000):
        super().__init__()
        tokens = (size // patch) ** 2
        self.patch = nn.Conv2d(3, dim, patch, patch, pad_mode="valid", has_bias=True)
        self.cls = Parameter(Tensor(noise(1, 1, dim, scale=0.02)), name="cls")
        self.pos = Parameter(Tensor(noise(1, tokens + 1, dim, scale=0.02, seed=1)), name="pos")
        self.layers = nn.CellList([PreNormLayer(dim, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm((dim,), epsilon=1e-6), nn.Dense(dim, classes)
        self.dim, self.tokens = dim, tokens

    def construct(self, x):
        x = self.patch(x).reshape((x.shape[0], self.dim, self.tokens)).transpose((0, 2, 1))
        cls = ops.broadcast_to(self.cls, (x.shape[0], 1, self.dim))
        x = ops.concat((cls, x), 1) + self.pos
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


# ---------------------------------------------------------------- registry

def image(size, channels=3, batch=1, seed=0):
    """A seeded image-like input in NCHW."""
    return noise(batch, channels, size, size, seed=seed)


@model("lenet5")
def lenet5():
    return Spec(LeNet5(), [[uniform(0, 1, 1, 1, 32, 32)], [uniform(0, 1, 3, 1, 32, 32, seed=1)]])


@model("lenet5_dynamic")
def lenet5_dynamic():
    return Spec(LeNet5(), [[uniform(0, 1, n, 1, 32, 32, seed=n)] for n in (1, 4)], declared=[unknown(None, 1, 32, 32)])


@model("lenet5_fp16")
def lenet5_fp16():
    """Weights and input stored as float16."""
    net = LeNet5()
    for p in net.get_parameters():
        p.set_dtype(ms.float16)
    return Spec(net, [[uniform(0, 1, 2, 1, 32, 32, dtype=np.float16)]])


@model("mlp_small")
def mlp_small():
    return Spec(mlp_cell([64, 48, 32, 10]), [[noise(n, 1, 8, 8, seed=n)] for n in (1, 5)])


@model("mlp_dynamic")
def mlp_dynamic():
    return Spec(mlp_cell([64, 48, 32, 10]), [[noise(n, 1, 8, 8, seed=n)] for n in (1, 7)], declared=[unknown(None, 1, 8, 8)])


@model("resnet_basic_small")
def resnet_basic_small():
    return Spec(ResNet(Basic, (1, 2), 8, 10), [[image(32)], [image(32, batch=2, seed=1)]])


@model("resnet_bottleneck_small")
def resnet_bottleneck_small():
    return Spec(ResNet(Bottleneck, (1, 2, 1), 8, 10), [[image(48)], [image(40, batch=2, seed=1)]])


@model("resnet_dynamic")
def resnet_dynamic():
    return Spec(ResNet(Basic, (1, 1), 8, 10, "same"), [[image(32)], [noise(3, 3, 48, 40, seed=1)]], declared=[unknown(None, 3, None, None)])


@model("mobilenet_small")
def mobilenet_small():
    net = MobileNetV2(((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2)), 16, 64, 10)
    return Spec(net, [[image(48)], [image(48, batch=2, seed=1)]])


@model("vit_small")
def vit_small():
    return Spec(ViT(32, 8, 48, 2, 4, 10), [[image(32)]])


@model("vit_dynamic_batch")
def vit_dynamic_batch():
    return Spec(ViT(32, 8, 48, 2, 4, 10), [[image(32, batch=n, seed=n)] for n in (1, 3)], declared=[unknown(None, 3, 32, 32)])


@model("mlp", "large")
def mlp():
    return Spec(mlp_cell([784, 512, 512, 10]), [[noise(1, 1, 28, 28)], [noise(16, 1, 28, 28, seed=1)]])


@model("resnet18", "large")
def resnet18():
    return Spec(ResNet(Basic, (2, 2, 2, 2)), [[image(224)]])


@model("resnet50", "large")
def resnet50():
    return Spec(ResNet(Bottleneck, (3, 4, 6, 3), pad="same"), [[image(224)]])


@model("mobilenetv2", "large")
def mobilenetv2():
    return Spec(MobileNetV2(), [[image(224)]])


@model("vit_tiny", "large")
def vit_tiny():
    return Spec(ViT(), [[image(224)]])
