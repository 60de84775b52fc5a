"""Plain MindSpore networks written here, to cover what the model packages do not: recurrent nets, recommenders, graph nets,
GAN and super-resolution generators, detection post-processing, transformers with KV-cache inputs, control flow, low precision."""
import math

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
import numpy as np

from nets.control import While
from nets.vision import LeNet5
from suites.data import image, tokens

PACKAGE = "own"


def noise(*shape, seed=0, scale=1.0):
    return (np.random.RandomState(seed).standard_normal(shape) * scale).astype(np.float32)


# ---------------------------------------------------------------- small classics

def mlp():
    return nn.SequentialCell(nn.Flatten(), nn.Dense(784, 512), nn.ReLU(), nn.Dense(512, 512), nn.Tanh(), nn.Dense(512, 10), nn.Softmax()), \
        [image(28, 1)]


# ---------------------------------------------------------------- recurrent

class Recurrent(nn.Cell):
    def __init__(self, kind, layers=1, bidirectional=False, hidden=32, vocab=200):
        super().__init__()
        self.embed = nn.Embedding(vocab, 24)
        self.rnn = kind(24, hidden, num_layers=layers, bidirectional=bidirectional, batch_first=True)
        self.head = nn.Dense(hidden * (2 if bidirectional else 1), 5)

    def construct(self, ids):
        y, _ = self.rnn(self.embed(ids))
        return self.head(y[:, -1])


class RecurrentLengths(nn.Cell):
    """nn.LSTM with per-sample sequence lengths and explicit initial states."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(16, 24, num_layers=1, bidirectional=True, batch_first=True)

    def construct(self, x, lengths, h, c):
        y, (hn, cn) = self.rnn(x, (h, c), lengths)
        return y, hn, cn


class CellLoop(nn.Cell):
    """An LSTM cell stepped by a Python loop, which the compiler unrolls."""

    def __init__(self, steps=6):
        super().__init__()
        self.cell = nn.LSTMCell(16, 24)
        self.gru = nn.GRUCell(24, 24)
        self.steps = steps

    def construct(self, x, h, c):
        g = h
        for t in range(self.steps):
            h, c = self.cell(x[:, t], (h, c))
            g = self.gru(h, g)
        return g, c


# ---------------------------------------------------------------- dense prediction and generators

def conv_bn(cin, cout, k=3, s=1, dilation=1):
    return nn.SequentialCell(nn.Conv2d(cin, cout, k, s, pad_mode="same", dilation=dilation), nn.BatchNorm2d(cout), nn.ReLU())


class UNet(nn.Cell):
    def __init__(self, base=8, classes=3):
        super().__init__()
        self.d1, self.d2, self.d3 = conv_bn(3, base), conv_bn(base, base * 2), conv_bn(base * 2, base * 4)
        self.pool = nn.MaxPool2d(2, 2)
        self.up2 = nn.Conv2dTranspose(base * 4, base * 2, 2, 2)
        self.u2 = conv_bn(base * 4, base * 2)
        self.up1 = nn.Conv2dTranspose(base * 2, base, 2, 2)
        self.u1 = conv_bn(base * 2, base)
        self.head = nn.Conv2d(base, classes, 1)

    def construct(self, x):
        a = self.d1(x)
        b = self.d2(self.pool(a))
        c = self.d3(self.pool(b))
        b = self.u2(ops.concat((self.up2(c), b), 1))
        a = self.u1(ops.concat((self.up1(b), a), 1))
        y = self.head(a)
        return ops.softmax(y, 1), ops.argmax(y, 1)


class DeepLab(nn.Cell):
    """Dilated convolutions, image pooling, bilinear upsampling."""

    def __init__(self, c=16, classes=5):
        super().__init__()
        self.stem = nn.SequentialCell(conv_bn(3, c, 3, 2), conv_bn(c, c, 3, 2))
        self.a1, self.a2, self.a3 = conv_bn(c, c, 1), conv_bn(c, c, 3, 1, 2), conv_bn(c, c, 3, 1, 4)
        self.gap = nn.SequentialCell(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1, has_bias=True), nn.ReLU())
        self.head = nn.Conv2d(4 * c, classes, 1, has_bias=True)

    def construct(self, x):
        h = self.stem(x)
        g = ops.interpolate(self.gap(h), size=h.shape[2:], mode="bilinear", align_corners=True)
        h = self.head(ops.concat((self.a1(h), self.a2(h), self.a3(h), g), 1))
        return ops.interpolate(h, size=x.shape[2:], mode="bilinear", align_corners=True)


class DCGAN(nn.Cell):
    def __init__(self, z=32, c=16):
        super().__init__()
        self.net = nn.SequentialCell(
            nn.Conv2dTranspose(z, c * 4, 4, 1, pad_mode="valid"), nn.BatchNorm2d(c * 4), nn.ReLU(),
            nn.Conv2dTranspose(c * 4, c * 2, 4, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(c * 2), nn.LeakyReLU(0.2),
            nn.Conv2dTranspose(c * 2, c, 4, 2, pad_mode="same"), nn.BatchNorm2d(c), nn.PReLU(c),
            nn.Conv2dTranspose(c, 3, 4, 2, pad_mode="pad", padding=1, has_bias=True), nn.Tanh())

    def construct(self, z):
        return self.net(z)


class ESPCN(nn.Cell):
    def __init__(self, up=3):
        super().__init__()
        self.c1, self.c2, self.c3 = nn.Conv2d(1, 32, 5), nn.Conv2d(32, 16, 3), nn.Conv2d(16, up * up, 3)
        self.shuffle = ops.DepthToSpace(up)
        self.up = up

    def construct(self, x):
        h = ops.tanh(self.c2(ops.tanh(self.c1(x))))
        base = ops.interpolate(x, scale_factor=(float(self.up), float(self.up)), mode="bicubic", recompute_scale_factor=True)
        return ops.sigmoid(self.shuffle(self.c3(h))) + base, ops.SpaceToDepth(2)(x)


class Resizes(nn.Cell):
    def construct(self, x):
        a = ops.interpolate(x, size=(20, 24), mode="bilinear", align_corners=False)
        b = ops.interpolate(x, size=(20, 24), mode="nearest")
        c = ops.ResizeNearestNeighbor((9, 11))(x)
        d = ops.interpolate(x, size=(7, 5), mode="area")
        e = ops.grid_sample(x, ops.stack((a[:, 0, :, :] * 0.1, a[:, 1, :, :] * 0.1), -1), mode="bilinear", padding_mode="zeros", align_corners=True)
        f = ops.pixel_shuffle(ops.concat((x, x, x, x), 1), 2)
        return a, b, c, d, e, f


class StyleNet(nn.Cell):
    """Reflection padding, instance or group norm, nearest upsampling (fast style transfer)."""

    def __init__(self, c=8, instance=False):
        super().__init__()
        self.pad = nn.ReflectionPad2d(4)
        self.c1 = nn.Conv2d(3, c, 9, pad_mode="valid", has_bias=True)
        self.n1 = nn.InstanceNorm2d(c) if instance else nn.GroupNorm(c, c)
        self.c2, self.n2 = nn.Conv2d(c, c * 2, 3, 2, has_bias=True), nn.GroupNorm(4, c * 2)
        self.c3 = nn.Conv2d(c * 2, c, 3, has_bias=True)
        self.c4 = nn.Conv2d(c, 3, 9, has_bias=True)

    def construct(self, x):
        h = ops.relu(self.n1(self.c1(self.pad(x))))
        h = ops.relu(self.n2(self.c2(h)))
        h = ops.interpolate(h, scale_factor=2.0, mode="nearest", recompute_scale_factor=True)
        return ops.clamp(self.c4(ops.elu(self.c3(h))), -1.0, 1.0)


class Conv3dNet(nn.Cell):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)
        self.p = nn.MaxPool3d(2, 2)
        self.c2 = nn.Conv3d(4, 8, 3, 2)
        self.up = nn.Conv3dTranspose(8, 2, 2, 2, pad_mode="valid")

    def construct(self, x):
        return self.up(ops.relu(self.c2(self.p(ops.relu(self.b1(self.c1(x)))))))


class KeywordNet(nn.Cell):
    """1-D convolutions over audio features, separable, average pooled (keyword spotting)."""

    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv1d(40, 32, 5, 2, pad_mode="pad", padding=2), nn.BatchNorm1d(32)
        self.dw, self.pw = nn.Conv1d(32, 32, 3, group=32), nn.Conv1d(32, 64, 1, has_bias=True)
        self.up = nn.Conv1dTranspose(64, 16, 4, 2, pad_mode="pad", padding=1)
        self.pool, self.fc = nn.AvgPool1d(4, 4), nn.Dense(16, 12)

    def construct(self, x):
        h = ops.relu(self.b1(self.c1(x)))
        h = ops.hardswish(self.pw(self.dw(h)))
        h = self.pool(self.up(h))
        return ops.log_softmax(self.fc(h.mean(2)), -1)


class Spectrogram(nn.Cell):
    """Log-mel front end: framing by strided slices, DFT as matmul, mel filter bank, decibels, DCT by matmul."""

    def __init__(self, n=128, hop=64, mels=20):
        super().__init__()
        k = np.arange(n // 2 + 1)[:, None] * np.arange(n)[None] * 2 * np.pi / n
        self.cos, self.sin = Tensor(np.cos(k).T.astype(np.float32)), Tensor(np.sin(k).T.astype(np.float32))
        self.window = Tensor(np.hanning(n).astype(np.float32))
        self.fb = Parameter(Tensor(np.abs(noise(n // 2 + 1, mels))), name="fb")
        self.n, self.hop = n, hop

    def construct(self, x):
        frames = []
        for i in range(0, x.shape[1] - self.n + 1, self.hop):
            frames.append(x[:, i:i + self.n])
        f = ops.stack(frames, 1) * self.window
        power = ops.square(ops.matmul(f, self.cos)) + ops.pow(ops.matmul(f, self.sin), 2)
        mel = ops.log(ops.maximum(ops.matmul(power, self.fb), 1e-6))
        return mel - mel.mean((1, 2), keep_dims=True), ops.cumsum(mel, 1)


# ---------------------------------------------------------------- recommenders

class DeepFM(nn.Cell):
    def __init__(self, fields=10, vocab=500, dim=8):
        super().__init__()
        self.linear = Parameter(Tensor(noise(vocab, 1, scale=0.1)), name="linear")
        self.factors = Parameter(Tensor(noise(vocab, dim, seed=1, scale=0.1)), name="factors")
        self.mlp = nn.SequentialCell(nn.Dense(fields * dim, 32, activation="relu"), nn.Dense(32, 16, activation="relu"), nn.Dense(16, 1))
        self.gather, self.flatten = ops.Gather(), nn.Flatten()
        self.reduce_sum, self.square = ops.ReduceSum(keep_dims=False), ops.Square()

    def construct(self, ids, values):
        v = ops.expand_dims(values, 2)
        first = self.reduce_sum(self.gather(self.linear, ids, 0) * v, 1)
        e = self.gather(self.factors, ids, 0) * v
        second = 0.5 * self.reduce_sum(self.square(self.reduce_sum(e, 1)) - self.reduce_sum(self.square(e), 1), 1)
        return ops.sigmoid(first + ops.reshape(second, (-1, 1)) + self.mlp(self.flatten(e)))


class WideDeep(nn.Cell):
    def __init__(self, fields=6, vocab=300, dim=16):
        super().__init__()
        self.wide = nn.EmbeddingLookup(vocab, 1, target="CPU")
        self.deep = nn.EmbeddingLookup(vocab, dim, target="CPU")
        self.pooled = nn.MultiFieldEmbeddingLookup(vocab, dim, fields, target="CPU")
        self.mlp = nn.SequentialCell(nn.Dense(fields * dim, 32), nn.ReLU(), nn.Dense(32, 1))
        self.fields, self.dim = fields, dim

    def construct(self, ids, values, field_ids):
        wide = (self.wide(ids) * values.expand_dims(-1)).sum(1)
        deep = self.mlp(self.deep(ids).reshape((-1, self.fields * self.dim)))
        pooled = self.pooled(ids, values, field_ids).mean((1, 2)).reshape((-1, 1))
        return ops.sigmoid(wide + deep + pooled)


class DCN(nn.Cell):
    """Cross network: rank-one updates, one-hot features, dropout left in."""

    def __init__(self, d=24, layers=3):
        super().__init__()
        self.w = nn.CellList([nn.Dense(d, 1, has_bias=False) for _ in range(layers)])
        self.b = Parameter(Tensor(noise(layers, d, scale=0.1)), name="b")
        self.onehot, self.drop = nn.OneHot(depth=8, axis=-1), nn.Dropout(p=0.5)
        self.out = nn.Dense(d, 2)

    def construct(self, dense, cat):
        x0 = ops.concat((dense, self.onehot(cat)), 1)
        x = x0
        for i, w in enumerate(self.w):
            x = x0 * w(x) + self.b[i] + x
        return ops.softmax(self.out(self.drop(x)))


# ---------------------------------------------------------------- graph networks

class GCN(nn.Cell):
    def __init__(self, fin=16, hid=32, out=4, nodes=20):
        super().__init__()
        self.l1, self.l2, self.nodes = nn.Dense(fin, hid), nn.Dense(hid, out), nodes

    def spread(self, x, src, dst, weight):
        return ops.unsorted_segment_sum(ops.gather(x, src, 0) * weight.expand_dims(1), dst, self.nodes)

    def construct(self, x, src, dst, weight):
        h = ops.relu(self.spread(self.l1(x), src, dst, weight))
        h = self.spread(self.l2(h), src, dst, weight)
        return ops.log_softmax(h, 1)


class GAT(nn.Cell):
    """Attention over edges by scatter ops: GatherNd, TensorScatterAdd, ScatterNd, UnsortedSegmentMax."""

    def __init__(self, fin=16, hid=8, nodes=20):
        super().__init__()
        self.l, self.a, self.nodes, self.hid = nn.Dense(fin, hid, has_bias=False), nn.Dense(2 * hid, 1), nodes, hid

    def construct(self, x, src, dst):
        h = self.l(x)
        hs = ops.gather_nd(h, src.reshape((-1, 1)))
        hd = ops.gather_nd(h, dst.reshape((-1, 1)))
        e = ops.leaky_relu(self.a(ops.concat((hs, hd), 1)), 0.2).squeeze(1)
        top = ops.unsorted_segment_max(e, dst, self.nodes)
        p = ops.exp(e - ops.gather(top, dst, 0))
        z = ops.tensor_scatter_add(ops.zeros((self.nodes,), ms.float32), dst.reshape((-1, 1)), p)
        alpha = p / (ops.gather(z, dst, 0) + 1e-9)
        out = ops.scatter_nd(dst.reshape((-1, 1)), hs * alpha.expand_dims(1), (self.nodes, self.hid))
        g = ops.gather_elements(out, 1, ops.zeros((self.nodes, 2), ms.int32))
        u = ops.tensor_scatter_update(out, ops.zeros((1, 1), ms.int32), ops.ones((1, self.hid), ms.float32))
        return out, g, u, ops.unsorted_segment_min(out, dst[:20], 20)


# ---------------------------------------------------------------- detection

class PostProcess(nn.Cell):
    """Box decoding, score sort, top-k, NMS mask, masked outputs."""

    def __init__(self, k=20):
        super().__init__()
        self.topk, self.nms, self.sort, self.k = ops.TopK(sorted=True), ops.NMSWithMask(0.5), ops.Sort(axis=-1, descending=True), k

    def construct(self, boxes, scores):
        s, cls = ops.ArgMaxWithValue(axis=1)(scores)
        s, order = self.topk(s, self.k)
        xy, wh = ops.split(ops.gather(boxes, order, 0), 2, 1)
        half = ops.exp(ops.clip_by_value(wh, -2.0, 2.0)) / 2
        b = ops.concat((xy - half, xy + half), 1)
        kept, idx, mask = self.nms(ops.concat((b, s.expand_dims(1)), 1))
        ranked, where = self.sort(s * mask.astype(ms.float32))
        return kept, idx, mask, ranked, where, ops.gather(cls, order, 0)


class RoiHead(nn.Cell):
    def __init__(self):
        super().__init__()
        self.roi, self.fc = ops.ROIAlign(5, 5, 0.5, 2), nn.Dense(8 * 25, 6)
        self.iou, self.crop = ops.IOU(mode="iou"), ops.CropAndResize(method="bilinear_v2")

    def construct(self, feats, rois, boxes):
        h = self.roi(feats, rois)
        return self.fc(h.reshape((h.shape[0], -1))), self.iou(boxes, boxes + 0.5)


# ---------------------------------------------------------------- transformers with classic ops

class Attention(nn.Cell):
    """Multi-head attention with optional grouped KV heads; keys and values of earlier steps come in and go out."""

    def __init__(self, dim, heads, kv_heads=None, bias=True):
        super().__init__()
        self.h, self.kv, self.d = heads, kv_heads or heads, dim // heads
        self.q = nn.Dense(dim, heads * self.d, has_bias=bias)
        self.k = nn.Dense(dim, self.kv * self.d, has_bias=bias)
        self.v = nn.Dense(dim, self.kv * self.d, has_bias=bias)
        self.o = nn.Dense(heads * self.d, dim, has_bias=bias)
        self.scale = 1.0 / math.sqrt(self.d)

    def split(self, x, n):
        return x.reshape((x.shape[0], x.shape[1], n, self.d)).transpose((0, 2, 1, 3))

    def attend(self, q, k, v, bias):
        if self.kv != self.h:
            k = ops.repeat_interleave(k, self.h // self.kv, 1)
            v = ops.repeat_interleave(v, self.h // self.kv, 1)
        s = ops.matmul(q, k.transpose((0, 1, 3, 2))) * self.scale
        if bias is not None:
            s = s + bias
        y = ops.matmul(ops.softmax(s, -1), v).transpose((0, 2, 1, 3))
        return self.o(y.reshape((y.shape[0], y.shape[1], self.h * self.d)))

    def construct(self, x, memory, bias):
        return self.attend(self.split(self.q(x), self.h), self.split(self.k(memory), self.kv), self.split(self.v(memory), self.kv), bias)


class BertLayer(nn.Cell):
    def __init__(self, dim, heads, ff, eps):
        super().__init__()
        self.att, self.n1 = Attention(dim, heads), nn.LayerNorm((dim,), epsilon=eps)
        self.f1, self.f2, self.n2 = nn.Dense(dim, ff), nn.Dense(ff, dim), nn.LayerNorm((dim,), epsilon=eps)
        self.gelu = nn.GELU(approximate=False)

    def construct(self, x, bias):
        x = self.n1(x + self.att(x, x, bias))
        return self.n2(x + self.f2(self.gelu(self.f1(x))))


class Bert(nn.Cell):
    """BERT encoder; `pooled` adds masked mean pooling and L2 normalisation (a sentence embedding)."""

    def __init__(self, vocab=1000, dim=64, layers=2, heads=4, ff=128, positions=64, types=2, eps=1e-12, pooled=False):
        super().__init__()
        self.word, self.pos, self.type = nn.Embedding(vocab, dim), nn.Embedding(positions, dim), nn.Embedding(types, dim)
        self.norm = nn.LayerNorm((dim,), epsilon=eps)
        self.layers = nn.CellList([BertLayer(dim, heads, ff, eps) for _ in range(layers)])
        self.pooled = pooled

    def construct(self, ids, mask, types):
        positions = ops.arange(0, ids.shape[1]).expand_dims(0)
        x = self.norm(self.word(ids) + self.type(types) + self.pos(positions))
        keep = mask.astype(x.dtype)
        bias = (1.0 - keep.reshape((keep.shape[0], 1, 1, -1))) * -10000.0
        for layer in self.layers:
            x = layer(x, bias)
        if not self.pooled:
            return x
        w = keep.expand_dims(2)
        e = (x * w).sum(1) / ops.clamp(w.sum(1), 1e-9, None)
        return e / ops.maximum(ops.sqrt(ops.square(e).sum(1, keepdims=True)), 1e-12)


class Gpt2Layer(nn.Cell):
    def __init__(self, dim, heads):
        super().__init__()
        self.n1, self.att, self.n2 = nn.LayerNorm((dim,), epsilon=1e-5), Attention(dim, heads), nn.LayerNorm((dim,), epsilon=1e-5)
        self.f1, self.f2 = nn.Dense(dim, 4 * dim), nn.Dense(4 * dim, dim)

    def construct(self, x, pk, pv, bias):
        h = self.n1(x)
        a = self.att
        k = ops.concat((pk, a.split(a.k(h), a.kv)), 2)
        v = ops.concat((pv, a.split(a.v(h), a.kv)), 2)
        x = x + a.attend(a.split(a.q(h), a.h), k, v, bias)
        return x + self.f2(ops.gelu(self.f1(self.n2(x)), approximate="tanh")), k, v


class Gpt2(nn.Cell):
    """One decoding step: token ids, position, past keys/values per layer in, logits and grown cache out."""

    def __init__(self, vocab=500, dim=64, layers=2, heads=4, positions=64):
        super().__init__()
        self.word, self.pos = nn.Embedding(vocab, dim), nn.Embedding(positions, dim)
        self.layers = nn.CellList([Gpt2Layer(dim, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm((dim,), epsilon=1e-5)

    def construct(self, ids, positions, past_k, past_v, mask):
        x = self.word(ids) + self.pos(positions)
        bias = ops.select(mask, ops.zeros(mask.shape, ms.float32), ops.full(mask.shape, -30000.0, dtype=ms.float32)).astype(x.dtype)
        ks, vs = [], []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, past_k[i], past_v[i], bias)
            ks.append(k)
            vs.append(v)
        logits = ops.matmul(self.norm(x), self.word.embedding_table.T)
        return logits, ops.stack(ks), ops.stack(vs)


class RmsNorm(nn.Cell):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight, self.eps = Parameter(ops.ones((dim,), ms.float32)), eps

    def construct(self, x):
        return x * ops.rsqrt(x.pow(2).mean(-1, keep_dims=True) + self.eps) * self.weight


class LlamaLayer(nn.Cell):
    def __init__(self, dim, heads, kv, ff):
        super().__init__()
        self.n1, self.n2, self.att = RmsNorm(dim), RmsNorm(dim), Attention(dim, heads, kv, bias=False)
        self.gate, self.up, self.down = (nn.Dense(dim, ff, has_bias=False), nn.Dense(dim, ff, has_bias=False), nn.Dense(ff, dim, has_bias=False))
        self.silu = nn.SiLU()

    def rotate(self, x, cos, sin):
        a, b = ops.chunk(x, 2, -1)
        return x * cos + ops.concat((-b, a), -1) * sin

    def construct(self, x, cos, sin, pk, pv, bias):
        h, a = self.n1(x), self.att
        k = ops.concat((pk, self.rotate(a.split(a.k(h), a.kv), cos, sin)), 2)
        v = ops.concat((pv, a.split(a.v(h), a.kv)), 2)
        x = x + a.attend(self.rotate(a.split(a.q(h), a.h), cos, sin), k, v, bias)
        h = self.n2(x)
        return x + self.down(self.silu(self.gate(h)) * self.up(h)), k, v


class Llama(nn.Cell):
    """Llama-style step: RMSNorm, rotary embedding, grouped-query attention, SwiGLU, KV-cache inputs."""

    def __init__(self, vocab=500, dim=64, layers=2, heads=8, kv=2, ff=160):
        super().__init__()
        self.word = nn.Embedding(vocab, dim)
        self.layers = nn.CellList([LlamaLayer(dim, heads, kv, ff) for _ in range(layers)])
        self.norm, self.head = RmsNorm(dim), nn.Dense(dim, vocab, has_bias=False)
        d = dim // heads
        self.freq = Tensor((1.0 / 10000 ** (np.arange(0, d, 2) / d)).astype(np.float32))

    def construct(self, ids, positions, past_k, past_v, mask):
        x = self.word(ids)
        angle = positions.astype(ms.float32).expand_dims(-1) * self.freq
        angle = ops.concat((angle, angle), -1).expand_dims(1)
        cos, sin = ops.cos(angle).astype(x.dtype), ops.sin(angle).astype(x.dtype)
        bias = ops.masked_fill(ops.zeros(mask.shape, ms.float32), ops.logical_not(mask), -30000.0).astype(x.dtype)
        ks, vs = [], []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, cos, sin, past_k[i], past_v[i], bias)
            ks.append(k)
            vs.append(v)
        logits = self.head(self.norm(x))
        return logits, ops.stack(ks), ops.stack(vs), ops.argmax(logits[:, -1], -1)


class KvParameter(nn.Cell):
    """A cache kept in Parameters inside the network and updated in place (state between calls)."""

    def __init__(self, steps=8, dim=16):
        super().__init__()
        self.cache = Parameter(Tensor(np.zeros((steps, dim), np.float32)), name="cache", requires_grad=False)
        self.count = Parameter(Tensor(np.zeros((1,), np.int32)), name="count", requires_grad=False)
        self.fc = nn.Dense(dim, dim)

    def construct(self, x, pos):
        y = self.fc(x)
        ops.scatter_update(self.cache, pos, y)
        ops.assign_add(self.count, Tensor([1], ms.int32))
        return ops.softmax(ops.matmul(y, self.cache.T), -1), self.count


class T5(nn.Cell):
    """Encoder-decoder with bucketed relative position bias and ReLU feed-forward."""

    def __init__(self, vocab=500, dim=64, heads=4, ff=128, buckets=8):
        super().__init__()
        self.word, self.rel, self.rel2 = nn.Embedding(vocab, dim), nn.Embedding(buckets, heads), nn.Embedding(buckets, heads)
        self.ea, self.en1, self.en2 = Attention(dim, heads, bias=False), RmsNorm(dim), RmsNorm(dim)
        self.e1, self.e2 = nn.Dense(dim, ff, has_bias=False), nn.Dense(ff, dim, has_bias=False)
        self.da, self.dc = Attention(dim, heads, bias=False), Attention(dim, heads, bias=False)
        self.dn1, self.dn2, self.dn3, self.last = RmsNorm(dim), RmsNorm(dim), RmsNorm(dim), RmsNorm(dim)
        self.d1, self.d2 = nn.Dense(dim, ff, has_bias=False), nn.Dense(ff, dim, has_bias=False)
        self.buckets = buckets

    def bias(self, n, table, causal):
        p = ops.arange(0, n)
        rel = p.expand_dims(0) - p.expand_dims(1)
        dist = ops.abs(rel).astype(ms.float32)
        log = 2 + (ops.log(ops.maximum(dist, 1.0) / 2.0) / math.log(8.0) * 2).astype(ms.int32)
        b = ops.where(dist < 2, dist.astype(ms.int32), ops.minimum(log, Tensor(3, ms.int32)))
        b = b + (rel > 0).astype(ms.int32) * (self.buckets // 2)
        out = table(b).transpose((2, 0, 1)).expand_dims(0)
        if causal:
            out = out + ops.triu(ops.full((n, n), -1e9, dtype=ms.float32), 1)
        return out

    def construct(self, ids, dec):
        x = self.word(ids)
        h = self.en1(x)
        x = x + self.ea(h, h, self.bias(ids.shape[1], self.rel, False))
        x = x + self.e2(ops.relu(self.e1(self.en2(x))))
        y = self.word(dec)
        h = self.dn1(y)
        y = y + self.da(h, h, self.bias(dec.shape[1], self.rel2, True))
        y = y + self.dc(self.dn2(y), x, None)
        y = y + self.d2(ops.relu(self.d1(self.dn3(y))))
        return ops.matmul(self.last(y) * (64 ** -0.5), self.word.embedding_table.T)


class Whisper(nn.Cell):
    """Log-mel in, two strided 1-D convolutions, one encoder and one decoder layer with cross attention."""

    def __init__(self, mel=40, dim=48, heads=4, vocab=300, frames=30):
        super().__init__()
        self.c1 = nn.Conv1d(mel, dim, 3, 1, pad_mode="pad", padding=1, has_bias=True)
        self.c2 = nn.Conv1d(dim, dim, 3, 2, pad_mode="pad", padding=1, has_bias=True)
        self.pos = Parameter(Tensor(noise(frames, dim, scale=0.1)), name="pos")
        self.enc = BertLayer(dim, heads, 4 * dim, 1e-5)
        self.word, self.wpos = nn.Embedding(vocab, dim), nn.Embedding(32, dim)
        self.dec, self.cross, self.n = BertLayer(dim, heads, 4 * dim, 1e-5), Attention(dim, heads), nn.LayerNorm((dim,), epsilon=1e-5)

    def construct(self, mel, ids):
        h = ops.gelu(self.c2(ops.gelu(self.c1(mel)))).transpose((0, 2, 1)) + self.pos
        h = self.enc(h, None)
        n = ids.shape[1]
        y = self.word(ids) + self.wpos(ops.arange(0, n))
        causal = (1.0 - ops.tril(ops.ones((n, n), ms.float32))) * -1e9
        y = self.dec(y, causal)
        y = y + self.cross(self.n(y), h, None)
        return ops.matmul(y, ops.transpose(self.word.embedding_table, (1, 0)))


class Clip(nn.Cell):
    """Two towers, normalised embeddings, scaled similarity."""

    def __init__(self, dim=48, heads=4):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 8, 8, pad_mode="valid")
        self.cls, self.pos = Parameter(Tensor(noise(1, 1, dim)), name="cls"), Parameter(Tensor(noise(1, 17, dim, seed=1)), name="pos")
        self.v, self.t = BertLayer(dim, heads, 96, 1e-5), BertLayer(dim, heads, 96, 1e-5)
        self.word, self.tpos = nn.Embedding(300, dim), nn.Embedding(16, dim)
        self.vp, self.tp = nn.Dense(dim, 32, has_bias=False), nn.Dense(dim, 32, has_bias=False)
        self.scale = Parameter(Tensor(np.float32(2.6)), name="scale")

    def construct(self, x, ids):
        p = self.patch(x)
        p = p.reshape((p.shape[0], p.shape[1], -1)).transpose((0, 2, 1))
        p = ops.concat((ops.broadcast_to(self.cls, (p.shape[0], 1, -1)), p), 1) + self.pos
        v = self.vp(self.v(p, None)[:, 0])
        t = self.t(self.word(ids) + self.tpos(ops.arange(0, ids.shape[1])), None)
        t = self.tp(t[ops.arange(0, ids.shape[0]), ops.argmax(ids, -1)])
        v = v / ops.norm(v, dim=-1, keepdim=True)
        t = ops.L2Normalize(axis=-1)(t)
        return ops.exp(self.scale) * ops.matmul(v, t.T), v, t


class MsTransformer(nn.Cell):
    """MindSpore's own nn.Transformer."""

    def __init__(self):
        super().__init__()
        self.net = nn.Transformer(d_model=32, nhead=4, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=64, batch_first=True)

    def construct(self, src, tgt):
        return self.net(src, tgt)


class MoE(nn.Cell):
    """Dense mixture of experts: softmax router, top-2, einsum over experts."""

    def __init__(self, dim=32, experts=4):
        super().__init__()
        self.router = nn.Dense(dim, experts, has_bias=False)
        self.w1 = Parameter(Tensor(noise(experts, dim, 64, scale=0.2)), name="w1")
        self.w2 = Parameter(Tensor(noise(experts, 64, dim, scale=0.2)), name="w2")
        self.experts = experts

    def construct(self, x):
        p = ops.softmax(self.router(x), -1)
        top, idx = ops.topk(p, 2)
        gate = (ops.one_hot(idx, self.experts, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)) * top.expand_dims(-1)).sum(1)
        h = ops.relu(ops.matmul(x.expand_dims(0), self.w1))
        y = ops.matmul(h, self.w2)
        return (y * gate.transpose((1, 0)).expand_dims(-1)).sum(0)


# ---------------------------------------------------------------- control flow, shapes, types

class DynamicNet(nn.Cell):
    """Batch and sequence length unknown at export time."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(16, 8)

    def construct(self, x):
        y = self.fc(x)
        b, n = x.shape[0], x.shape[1]
        return ops.softmax(y.reshape((b, n * 8)), -1), y.mean(1)


class Elementwise(nn.Cell):
    """One of each common elementwise and comparison op."""

    def construct(self, x, y):
        a = ops.abs(x) + 0.5
        s = [ops.exp(x), ops.log(a), ops.sqrt(a), ops.rsqrt(a), ops.reciprocal(a), ops.square(x), ops.sign(x), ops.floor(x), ops.ceil(x),
             ops.round(x), ops.sin(x), ops.cos(x), ops.tan(x), ops.atan(x), ops.asinh(x), ops.sinh(x), ops.cosh(x), ops.erf(x), ops.erfc(x),
             ops.log1p(a), ops.expm1(x), ops.neg(x), ops.sigmoid(x), ops.tanh(x), ops.relu6(x), ops.elu(x), ops.selu(x), ops.softplus(x),
             ops.softsign(x), ops.mish(x), ops.hardswish(x), ops.hardsigmoid(x), ops.hardtanh(x), ops.logsigmoid(x), ops.celu(x, 1.0),
             ops.atan2(x, a), ops.maximum(x, y), ops.minimum(x, y), ops.pow(a, y), ops.floor_div(x, a), ops.floor_mod(x, a), ops.div(x, a),
             ops.SquaredDifference()(x, y), ops.xlogy(a, a), ops.trunc(x), ops.lerp(x, y, 0.3), ops.addcmul(x, y, a, 0.5), ops.nan_to_num(x)]
        total = s[0]
        for t in s[1:]:
            total = total + t
        m = ops.logical_and(x > y, ops.logical_or(ops.isnan(x), x != y))
        m = ops.logical_xor(m, ops.less_equal(x, y)) | ops.equal(x, y) | ops.isfinite(x) & ops.isinf(y)
        i = x.astype(ms.int32)
        k = ops.bitwise_and(i, i + 1) + ops.bitwise_or(i, i) + ops.bitwise_xor(i, i * 2) + i // 2 + i % 3
        return total, m, k


class Shapes(nn.Cell):
    """One of each common shape, index and reduction op."""

    def construct(self, x):
        a = ops.tile(x, (1, 2, 1))
        b = ops.flip(x, (1,))
        c = ops.roll(x, 1, 1) if False else ops.concat((x[:, -1:], x[:, :-1]), 1)
        d = ops.stack((x, b), 0)
        e = ops.unstack(x, 1)[0] if hasattr(ops, "unstack") else ops.unbind(x, 1)[0]
        f = ops.split(x, 2, 2)
        g = ops.pad(x, (1, 2, 0, 1), "constant", 0.5)
        h = nn.Pad(((0, 0), (1, 1), (2, 0)), mode="SYMMETRIC")(x)
        r = (x.sum((1, 2)), x.mean(1), x.max(), x.min(), x.prod(2), ops.std(x, 2), ops.var(x, 2), ops.logsumexp(x, 2), ops.norm(x, dim=2),
             ops.any(x > 2, 1), ops.all(x > -9, 2), x.argmax(2), x.argmin(1))
        n = ops.cumprod(x, 1) + ops.cumsum(x, 1)
        t = (ops.tril(x[0]), ops.eye(3, 4, ms.float32), ops.meshgrid(ops.arange(0, 3), ops.arange(0, 2))[0], ops.linspace(0.0, 1.0, 5),
             ops.diag(x[0, 0]), ops.repeat_interleave(x, 2, 1), ops.swapaxes(x, 0, 2), ops.squeeze(x[:, :1], 1), x[:, ::2, 1:3], x[..., 0],
             ops.broadcast_to(x[:, :1], (2, 4, 6)), ops.slice(x, (0, 1, 2), (1, 2, 3)), ops.strided_slice(x, (0, 0, 0), (2, 4, 6), (1, 2, 3)),
             ops.space_to_batch_nd(x.expand_dims(1), [2, 2], [[0, 0], [0, 0]]), ops.reverse_sequence(x, Tensor([2, 3], ms.int32), 1),
             ops.masked_select(x, x > 0) if False else ops.masked_fill(x, x > 0, 0.0), ops.nonzero(x > 100) if False else ops.zeros_like(x))
        return a, b, c, d, e, f, g, h, r, n, t


class Quantised(nn.Cell):
    """Weight-only int8: dequantise in the graph; and a dynamic fake-quantised activation path."""

    def __init__(self, dim=32, out=16):
        super().__init__()
        w = np.random.RandomState(0).randint(-127, 128, (out, dim)).astype(np.int8)
        self.w = Parameter(Tensor(w), name="w_int8", requires_grad=False)
        self.scale = Parameter(Tensor(np.full((out, 1), 0.01, np.float32)), name="scale")
        self.zero = Parameter(Tensor(np.zeros((out, 1), np.int8)), name="zero", requires_grad=False)

    def construct(self, x):
        w = (self.w.astype(ms.float32) - self.zero.astype(ms.float32)) * self.scale
        s = ops.abs(x).max() / 127.0
        q = ops.clip_by_value(ops.round(x / s), -128.0, 127.0).astype(ms.int8)
        return ops.matmul(q.astype(ms.float32) * s, w.T), q


class Int8MatMul(nn.Cell):
    """Integer matmul with int32 accumulation, then rescale."""

    def construct(self, a, b):
        acc = ops.matmul(a.astype(ms.int32), b.astype(ms.int32))
        return acc, (acc.astype(ms.float32) * 0.003).astype(ms.float16)


class Halves(nn.Cell):
    """float16 and bfloat16 mixed inside one float32 graph."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(16, 16).to_float(ms.float16), nn.Dense(16, 8).to_float(ms.float32)

    def construct(self, x):
        h = self.a(x)
        return self.b(ops.relu(h)), h, x.astype(ms.bfloat16).astype(ms.float32), x.astype(ms.float64).sum()


def edges(n=20, m=60, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randint(0, n, m).astype(np.int32), rng.randint(0, n, m).astype(np.int32)


def kv_inputs(kv_heads, d, layers=2, past=5, new=3, vocab=500):
    mask = np.concatenate([np.ones((new, past), bool), np.tril(np.ones((new, new), bool))], 1)[None, None]
    return [tokens(vocab, new), np.arange(past, past + new, dtype=np.int32)[None], noise(layers, 1, kv_heads, past, d),
            noise(layers, 1, kv_heads, past, d, seed=1), mask]


def gnn(cls, weighted):
    src, dst = edges()
    ins = [noise(20, 16), src, dst]
    return cls(), ins + ([np.abs(noise(60))] if weighted else [])


def boxes(n=50):
    rng = np.random.RandomState(0)
    return [rng.uniform(0, 10, (n, 4)).astype(np.float32), rng.uniform(0, 1, (n, 7)).astype(np.float32)]


MODELS = {
    "lenet5": lambda: (LeNet5(), [image(32, 1)]),
    "mlp": mlp,
    "lstm": lambda: (Recurrent(nn.LSTM), [tokens(200, 12, 2)]),
    "bilstm2": lambda: (Recurrent(nn.LSTM, 2, True), [tokens(200, 12, 2)]),
    "gru": lambda: (Recurrent(nn.GRU), [tokens(200, 12, 2)]),
    "bigru2": lambda: (Recurrent(nn.GRU, 2, True), [tokens(200, 12, 2)]),
    "rnn": lambda: (Recurrent(nn.RNN), [tokens(200, 12, 2)]),
    "lstm_lengths": lambda: (RecurrentLengths(), [noise(2, 6, 16), np.array([6, 4], np.int32), noise(2, 2, 24), noise(2, 2, 24, seed=1)]),
    "cell_loop": lambda: (CellLoop(), [noise(2, 6, 16), noise(2, 24), noise(2, 24, seed=1)]),
    "unet": lambda: (UNet(), [image(32)]),
    "deeplab": lambda: (DeepLab(), [image(48)]),
    "dcgan": lambda: (DCGAN(), [noise(1, 32, 1, 1)]),
    "espcn": lambda: (ESPCN(), [image(16, 1)]),
    "resizes": lambda: (Resizes(), [image(12, 3)]),
    "style": lambda: (StyleNet(), [image(24)]),
    "style_instance": lambda: (StyleNet(instance=True), [image(24)]),      # InstanceNorm has no CPU kernel: export only
    "conv3d": lambda: (Conv3dNet(), [noise(1, 1, 8, 8, 8)]),
    "keyword": lambda: (KeywordNet(), [noise(1, 40, 64)]),
    "spectrogram": lambda: (Spectrogram(), [noise(1, 640)]),
    "deepfm": lambda: (DeepFM(), [tokens(500, 10, 4, low=0), np.abs(noise(4, 10))]),
    "wide_deep": lambda: (WideDeep(), [tokens(300, 6, 4, low=0), np.abs(noise(4, 6)), np.tile(np.arange(6, dtype=np.int32), (4, 1))]),
    "dcn": lambda: (DCN(), [noise(4, 16), np.array([1, 0, 7, 3], np.int32)]),
    "gcn": lambda: gnn(GCN, True),
    "gat": lambda: gnn(GAT, False),
    "postprocess": lambda: (PostProcess(), boxes()),
    "roi_head": lambda: (RoiHead(), [noise(1, 8, 16, 16), np.array([[0, 1, 1, 20, 22], [0, 4, 3, 30, 12]], np.float32),
                                    np.array([[0, 0, 4, 4], [1, 1, 5, 6]], np.float32)]),
    "bert": lambda: (Bert(), [tokens(1000, 16), np.array([[1] * 12 + [0] * 4], np.int32), np.zeros((1, 16), np.int32)]),
    "bert_pooled": lambda: (Bert(pooled=True), [tokens(1000, 16), np.array([[1] * 12 + [0] * 4], np.int32), np.zeros((1, 16), np.int32)]),
    "gpt2_kv": lambda: (Gpt2(), kv_inputs(4, 16)),
    "llama_kv": lambda: (Llama(), kv_inputs(2, 8)),
    "kv_parameter": lambda: (KvParameter(), [noise(2, 16), np.array([3, 5], np.int32)]),
    "t5": lambda: (T5(), [tokens(500, 12), tokens(500, 7, seed=1)]),
    "whisper": lambda: (Whisper(), [noise(1, 40, 60), tokens(300, 7)]),
    "clip": lambda: (Clip(), [image(32), tokens(300, 10, 2)]),
    "ms_transformer": lambda: (MsTransformer(), [noise(2, 6, 32), noise(2, 5, 32, seed=1)]),
    "moe": lambda: (MoE(), [noise(6, 32)]),
    "while_if": lambda: (While(8), [noise(2, 8), np.array(3, np.int32)]),
    "dynamic": lambda: (DynamicNet(), [noise(2, 5, 16)]),
    "dynamic_cnn": lambda: (UNet(), [image(32)]),
    "elementwise": lambda: (Elementwise(), [noise(3, 7), noise(3, 7, seed=1)]),
    "shapes": lambda: (Shapes(), [noise(2, 4, 6)]),
    "quantised": lambda: (Quantised(), [noise(4, 32)]),
    "int8_matmul": lambda: (Int8MatMul(), [np.random.RandomState(0).randint(-128, 128, (4, 8)).astype(np.int8),
                                           np.random.RandomState(1).randint(-128, 128, (8, 5)).astype(np.int8)]),
    "halves": lambda: (Halves(), [noise(3, 16)]),
}


def list_models():
    return list(MODELS)


def build(name):
    net, inputs = MODELS[name]()
    if name == "dynamic":
        unknown = [Tensor(shape=(None, None, 16), dtype=ms.float32)]
        net.set_inputs(*unknown)
        return net, inputs, unknown
    if name == "dynamic_cnn":
        unknown = [Tensor(shape=(None, 3, None, None), dtype=ms.float32)]
        net.set_inputs(*unknown)
        return net, inputs, unknown
    return net, inputs
