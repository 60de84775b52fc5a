"""YOLOv8: backbone, neck and decoded detection head."""
import numpy as np
from mindspore import Tensor, nn, ops

from .common import Spec, model, noise, uniform


class Conv(nn.Cell):
    """Convolution, batch norm, SiLU."""

    def __init__(self, cin, cout, k=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, stride, pad_mode="pad", padding=k // 2)
        self.bn, self.act = nn.BatchNorm2d(cout, eps=1e-3), nn.SiLU()

    def construct(self, x):
        return self.act(self.bn(self.conv(x)))


class Residual(nn.Cell):
    """Two 3x3 convolutions, with a shortcut in the backbone."""

    def __init__(self, c, shortcut):
        super().__init__()
        self.a, self.b, self.shortcut = Conv(c, c, 3), Conv(c, c, 3), shortcut

    def construct(self, x):
        y = self.b(self.a(x))
        return x + y if self.shortcut else y


class C2f(nn.Cell):
    """Split in two, run blocks on one half, concatenate every intermediate result."""

    def __init__(self, cin, cout, n, shortcut=False):
        super().__init__()
        c = cout // 2
        self.a, self.b = Conv(cin, 2 * c), Conv((2 + n) * c, cout)
        self.blocks = nn.CellList([Residual(c, shortcut) for _ in range(n)])
        self.split = ops.Split(1, 2)

    def construct(self, x):
        left, right = self.split(self.a(x))
        parts = (left, right)
        for block in self.blocks:
            right = block(right)
            parts = parts + (right,)
        return self.b(ops.concat(parts, 1))


class Sppf(nn.Cell):
    """Three 5x5 poolings in a row, all concatenated."""

    def __init__(self, cin, cout):
        super().__init__()
        c = cin // 2
        self.a, self.b, self.pool = Conv(cin, c), Conv(4 * c, cout), nn.MaxPool2d(5, 1, pad_mode="same")

    def construct(self, x):
        x = self.a(x)
        y = self.pool(x)
        z = self.pool(y)
        return self.b(ops.concat((x, y, z, self.pool(z)), 1))


class Branch(nn.SequentialCell):
    """Two 3x3 convolutions and a 1x1 output convolution."""

    def __init__(self, cin, mid, cout):
        super().__init__(Conv(cin, mid, 3), Conv(mid, mid, 3), nn.Conv2d(mid, cout, 1, has_bias=True))


def anchors(size):
    """Cell centres and strides of the three scales, in cells: [2, n] and [1, n]."""
    points, strides = [], []
    for stride in (8, 16, 32):
        n = size // stride
        y, x = np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5, indexing="ij")
        points.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full((1, n * n), stride))
    return Tensor(np.concatenate(points, 1).astype(np.float32)), Tensor(np.concatenate(strides, 1).astype(np.float32))


class Detect(nn.Cell):
    """Box distributions and class scores of three scales, decoded to centre/size boxes: [batch, 4 + classes, n]."""
    BINS = 16

    def __init__(self, channels, classes, size, box=None):
        super().__init__()
        box = box or max(16, channels[0] // 4, self.BINS * 4)
        cls = max(channels[0], min(classes, 100))
        self.box = nn.CellList([Branch(c, box, 4 * self.BINS) for c in channels])
        self.cls = nn.CellList([Branch(c, cls, classes) for c in channels])
        self.dfl = nn.Conv2d(self.BINS, 1, 1)
        self.dfl.weight.set_data(Tensor(np.arange(self.BINS, dtype=np.float32).reshape(1, self.BINS, 1, 1)))
        self.dfl.weight.requires_grad = False
        self.anchors, self.strides = anchors(size)
        self.classes, self.softmax, self.sigmoid = classes, nn.Softmax(1), nn.Sigmoid()

    def construct(self, features):
        batch, rows = features[0].shape[0], ()
        for i in range(3):
            both = ops.concat((self.box[i](features[i]), self.cls[i](features[i])), 1)
            rows = rows + (both.reshape((batch, 4 * self.BINS + self.classes, -1)),)
        x = ops.concat(rows, 2)
        box, cls = x[:, :4 * self.BINS], x[:, 4 * self.BINS:]
        box = box.reshape((batch, 4, self.BINS, -1)).transpose((0, 2, 1, 3))
        box = self.dfl(self.softmax(box)).reshape((batch, 4, -1))
        low, high = self.anchors - box[:, :2], self.anchors + box[:, 2:]
        box = ops.concat(((low + high) / 2, high - low), 1) * self.strides
        return ops.concat((box, self.sigmoid(cls)), 1)


class Yolov8(nn.Cell):
    """`width` are the channels of the five levels, `depth` the block counts of the backbone's four stages;
    `box` overrides the width of the box branches."""

    def __init__(self, width=(16, 32, 64, 128, 256), depth=(1, 2, 2, 1), neck=1, classes=80, size=640, box=None):
        super().__init__()
        w1, w2, w3, w4, w5 = width
        self.p1, self.p2, self.c2 = Conv(3, w1, 3, 2), Conv(w1, w2, 3, 2), C2f(w2, w2, depth[0], True)
        self.p3, self.c3 = Conv(w2, w3, 3, 2), C2f(w3, w3, depth[1], True)
        self.p4, self.c4 = Conv(w3, w4, 3, 2), C2f(w4, w4, depth[2], True)
        self.p5, self.c5, self.sppf = Conv(w4, w5, 3, 2), C2f(w5, w5, depth[3], True), Sppf(w5, w5)
        self.up4, self.up3 = ops.ResizeNearestNeighbor((size // 16,) * 2), ops.ResizeNearestNeighbor((size // 8,) * 2)
        self.n4, self.n3 = C2f(w5 + w4, w4, neck), C2f(w4 + w3, w3, neck)
        self.d3, self.m4 = Conv(w3, w3, 3, 2), C2f(w3 + w4, w4, neck)
        self.d4, self.m5 = Conv(w4, w4, 3, 2), C2f(w4 + w5, w5, neck)
        self.detect = Detect((w3, w4, w5), classes, size, box)

    def construct(self, x):
        a = self.c3(self.p3(self.c2(self.p2(self.p1(x)))))
        b = self.c4(self.p4(a))
        c = self.sppf(self.c5(self.p5(b)))
        top = self.n4(ops.concat((self.up4(c), b), 1))
        low = self.n3(ops.concat((self.up3(top), a), 1))
        mid = self.m4(ops.concat((self.d3(low), top), 1))
        deep = self.m5(ops.concat((self.d4(mid), c), 1))
        return self.detect((low, mid, deep))


class PostProcess(nn.Cell):
    """Best class, top-k boxes, non-maximum suppression mask, ranking."""

    def __init__(self, k=20):
        super().__init__()
        self.best, self.topk, self.nms = ops.ArgMaxWithValue(axis=1), ops.TopK(sorted=True), ops.NMSWithMask(0.5)
        self.sort, self.k = ops.Sort(axis=-1, descending=True), k

    def construct(self, boxes, scores):
        classes, score = self.best(scores)
        score, order = self.topk(score, self.k)
        centre, size = ops.split(ops.gather(boxes, order, 0), 2, 1)
        half = ops.exp(ops.clip_by_value(size, -2.0, 2.0)) / 2
        corners = ops.concat((centre - half, centre + half), 1)
        kept, index, mask = self.nms(ops.concat((corners, score.expand_dims(1)), 1))
        ranked, where = self.sort(score * mask.astype(score.dtype))
        return kept, index, mask, ranked, where, ops.gather(classes, order, 0)


@model("yolo_small")
def yolo_small():
    net = Yolov8((8, 8, 16, 16, 32), (1, 2, 2, 1), 1, 4, 64, 16)
    return Spec(net, [[uniform(0, 1, 1, 3, 64, 64)]], keep=("dfl",))


@model("postprocess")
def postprocess():
    return Spec(PostProcess(), [[uniform(0, 10, 50, 4), uniform(0, 1, 50, 7, seed=1)]])


@model("yolov8n", "large")
def yolov8n():
    return Spec(Yolov8(), [[uniform(0, 1, 1, 3, 640, 640)]], keep=("dfl",))
