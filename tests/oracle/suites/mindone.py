"""mindone 0.5.0 (transformers and diffusers ports): small random-weight configurations, eager attention, tuple outputs."""
import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import mindspore as ms  # noqa: E402
from mindspore import nn, ops  # noqa: E402
import numpy as np  # noqa: E402

from suites.data import image, tokens  # noqa: E402

PACKAGE = "mindone"


class EagerShims:
    """While a network is being BUILT, let numpy stand in for the mint creation ops that have no CPU kernel.
    Everything is put back before the network is run or exported."""

    def __enter__(self):
        from mindspore import mint
        import mindone.transformers.modeling_utils as mu
        np_dtype = ms.dtype_to_nptype

        def tensor(a, dtype=None):
            if dtype is not None:
                return ms.Tensor(a.astype(np_dtype(dtype)) if dtype != ms.bfloat16 else a, dtype)
            return ms.Tensor(a.astype(np.int64) if a.dtype.kind in "iu" else a.astype(np.float32))

        def arange(start=0, end=None, step=1, *, dtype=None):
            return tensor(np.arange(start, end, step) if end is not None else np.arange(start), dtype)

        def trunc_normal(shape, std=0.02):
            return ms.Tensor((np.random.standard_normal(shape) * std).astype(np.float32))

        def fill_normal(t, *a, **k):                     # the in-place Tensor initialisers have no CPU kernels either
            t.set_data(trunc_normal(t.shape)) if isinstance(t, ms.Parameter) else t.assign_value(trunc_normal(t.shape))
            return t

        self.tensor_saved = {k: getattr(ms.Tensor, k) for k in ("normal_", "uniform_", "fill_") if hasattr(ms.Tensor, k)}
        for k in self.tensor_saved:
            setattr(ms.Tensor, k, fill_normal)
        shims = {
            "randn": lambda *shape, **k: trunc_normal(shape[0] if isinstance(shape[0], (tuple, list)) else shape, 1.0),
            "outer": lambda x, y: tensor(np.outer(x.asnumpy(), y.asnumpy()), x.dtype),
            "stack": lambda xs, dim=0: tensor(np.stack([x.asnumpy() for x in xs], dim), xs[0].dtype),
            "bitwise_xor": lambda x, y: tensor(np.bitwise_xor(x.asnumpy(), y.asnumpy()), x.dtype),
            "arange": arange,
            "linspace": lambda start, end, steps, *, dtype=None: tensor(np.linspace(start, end, steps), dtype),
            "tril": lambda x, diagonal=0: tensor(np.tril(x.asnumpy(), diagonal), x.dtype),
            "triu": lambda x, diagonal=0: tensor(np.triu(x.asnumpy(), diagonal), x.dtype),
        }
        self.mint, self.saved, self.mu = mint, {k: getattr(mint, k) for k in shims}, mu
        for k, f in shims.items():
            setattr(mint, k, f)
        self.mu_flag, mu._init_weights = mu._init_weights, False       # the packages' own initialisers need Inplace* kernels
        return self

    def __exit__(self, *exc):
        for k, f in self.saved.items():
            setattr(self.mint, k, f)
        self.mu._init_weights = self.mu_flag
        for k, f in self.tensor_saved.items():
            setattr(ms.Tensor, k, f)


def rotate_half(x):
    """As the packages' own, but with a split: slicing with `...` leaves constant tensors that mindspore.export refuses."""
    a, b = ops.split(x, x.shape[-1] // 2, -1)
    return ops.concat((-b, a), -1)


def expand(input, *size):
    """Tensor.expand for graph mode: MindSpore 2.10 takes a tensor only, the packages pass a tuple."""
    if len(size) == 1:
        size = size[0]
    return ops.broadcast_to(input, size)


def transpose_axes(axes, ndim):
    """Tensor.transpose(a, b) swaps two axes on other devices; on CPU MindSpore 2.10 demands a full permutation."""
    if len(axes) == 1:
        if isinstance(axes[0], (tuple, list)):
            return transpose_axes(axes[0], ndim)
        return axes
    if len(axes) == ndim and ndim != 2:
        return axes
    a = axes[0] % ndim
    b = axes[1] % ndim
    perm = ()
    for i in range(ndim):
        if i == a:
            perm = perm + (b,)
        elif i == b:
            perm = perm + (a,)
        else:
            perm = perm + (i,)
    return perm


def patch_graph():
    """Repairs that stay in force while the network is compiled and exported."""
    import sys
    from mindspore.graph._parse import standard_method
    standard_method.expand = expand
    from mindspore import _checkparam
    _checkparam.check_transpose_axis = transpose_axes
    for name, mod in list(sys.modules.items()):
        if name.startswith("mindone.transformers.models") and hasattr(mod, "rotate_half"):
            mod.rotate_half = rotate_half


def randomise(net):
    """Seeded weights with sane scales, since the packages' own initialisation is switched off."""
    rng = np.random.RandomState(0)
    for name, p in net.parameters_and_names():
        if p.dtype != ms.float32:
            continue
        if p.ndim >= 2:
            std = 0.5 if "embed" in name.lower() and p.ndim == 2 else 1.0 / np.sqrt(max(1, p.size // p.shape[0]))
            p.set_data(ms.Tensor((rng.standard_normal(p.shape) * std).astype(np.float32)))


class Ids(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, ids):
        return self.net(input_ids=ids, return_dict=False)


class IdsMask(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, ids, mask):
        return self.net(input_ids=ids, attention_mask=mask, return_dict=False)


class IdsMaskNoCache(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, ids, mask):
        return self.net(input_ids=ids, attention_mask=mask, use_cache=False, return_dict=False)


class Seq2Seq(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, ids, dec_ids):
        return self.net(input_ids=ids, decoder_input_ids=dec_ids, use_cache=False, return_dict=False)


class Audio2Seq(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, feats, dec_ids):
        return self.net(input_features=feats, decoder_input_ids=dec_ids, use_cache=False, return_dict=False)


class Pixels(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x):
        return self.net(pixel_values=x, return_dict=False)


class IdsPixels(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, ids, x):
        return self.net(input_ids=ids, pixel_values=x, return_dict=False)


class Wave(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x):
        return self.net(input_values=x, return_dict=False)


class First(nn.Cell):
    """For diffusers models: positional call, tuple result."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x, t):
        return self.net(x, t, return_dict=False)


class First3(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x, t, h):
        return self.net(x, t, h, return_dict=False)


class Only(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x):
        return self.net(x, return_dict=False)


V, L = 1000, 16
TXT = dict(vocab_size=V, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256, max_position_embeddings=64)
LLM = dict(TXT, num_key_value_heads=2, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2)
VIS = dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256, image_size=64, patch_size=16)


def _ids(n=L, dtype=np.int32):
    return tokens(V, n, dtype=dtype)


def _mask(n=L):
    m = np.ones((1, n), np.int32)
    m[0, n - 4:] = 0
    return m


def _hf(cls, cfg, **kw):
    import transformers
    import mindone.transformers as mt
    config = getattr(transformers, cfg)(**kw)
    config._attn_implementation = "eager"
    config.return_dict = False
    return getattr(mt, cls)(config)


def _text(cls, cfg, wrap=IdsMask, kw=None, base=TXT):
    return lambda: (wrap(_hf(cls, cfg, **dict(base, **(kw or {})))), [_ids(), _mask()] if wrap is not Ids else [_ids()])


def _vision(cls, cfg, kw=None, size=64, base=VIS):
    return lambda: (Pixels(_hf(cls, cfg, **dict(base, **(kw or {})))), [image(size)])


def _seq2seq(cls, cfg, **kw):
    return lambda: (Seq2Seq(_hf(cls, cfg, **kw)), [_ids(), _ids(8)])


def _clip():
    kw = dict(text_config=dict(TXT, max_position_embeddings=16), vision_config=dict(VIS), projection_dim=64)
    return IdsPixels(_hf("CLIPModel", "CLIPConfig", **kw)), [_ids(), image(64)]


def _whisper():
    kw = dict(vocab_size=V, num_mel_bins=80, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
              encoder_ffn_dim=128, decoder_ffn_dim=128, max_source_positions=100, max_target_positions=32, pad_token_id=0, bos_token_id=1,
              eos_token_id=2, decoder_start_token_id=3, suppress_tokens=[], begin_suppress_tokens=[])
    mel = np.random.RandomState(0).standard_normal((1, 80, 200)).astype(np.float32)
    return Audio2Seq(_hf("WhisperForConditionalGeneration", "WhisperConfig", **kw)), [mel, _ids(8)]


def _wav2vec2():
    kw = dict(TXT, conv_dim=(32, 32, 32), conv_stride=(5, 2, 2), conv_kernel=(10, 3, 2), num_feat_extract_layers=3,
              num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
    return Wave(_hf("Wav2Vec2Model", "Wav2Vec2Config", **kw)), [np.random.RandomState(0).standard_normal((1, 1600)).astype(np.float32)]


def _unet2d():
    from mindone.diffusers import UNet2DModel
    net = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8,
                      down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=8)
    return First(net), [image(16), np.array([10], np.int32)]


def _unet2dcond():
    from mindone.diffusers import UNet2DConditionModel
    net = UNet2DConditionModel(sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8,
                               down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                               cross_attention_dim=32, attention_head_dim=8)
    return First3(net), [image(16, 4), np.array([10], np.int32), np.random.RandomState(1).standard_normal((1, 7, 32)).astype(np.float32)]


def _vae():
    from mindone.diffusers import AutoencoderKL
    net = AutoencoderKL(block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                        layers_per_block=1, norm_num_groups=8)
    return Only(net.decoder if False else _VaeDecode(net)), [image(16, 4)]


class _VaeDecode(nn.Cell):
    def __init__(self, vae):
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def construct(self, z, return_dict=False):
        return self.decoder(self.post_quant_conv(z))


def _dit():
    from mindone.diffusers import DiTTransformer2DModel
    net = DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=16, in_channels=4, num_layers=2, sample_size=16, patch_size=2,
                                num_embeds_ada_norm=10, norm_num_groups=8)
    return _DiT(net), [image(16, 4), np.array([10], np.int32), np.array([3], np.int32)]


class _DiT(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x, t, y):
        return self.net(x, timestep=t, class_labels=y, return_dict=False)


T5KW = dict(vocab_size=V, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_decoder_layers=2, num_heads=4, decoder_start_token_id=0)
BARTKW = dict(vocab_size=V, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
              encoder_ffn_dim=128, decoder_ffn_dim=128, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
              decoder_start_token_id=2, forced_eos_token_id=2)
GPT2KW = dict(vocab_size=V, n_embd=128, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)

MODELS = {
    "bert_tiny": _text("BertModel", "BertConfig"),
    "bert_base": lambda: (IdsMask(_hf("BertModel", "BertConfig")), [tokens(30000, 128), _mask(128)]),
    "bert_cls": _text("BertForSequenceClassification", "BertConfig"),
    "roberta": _text("RobertaModel", "RobertaConfig"),
    "albert": _text("AlbertModel", "AlbertConfig", kw=dict(embedding_size=64)),
    "electra": _text("ElectraModel", "ElectraConfig", kw=dict(embedding_size=64)),
    "distilbert": lambda: (IdsMask(_hf("DistilBertModel", "DistilBertConfig", vocab_size=V, dim=128, n_layers=2, n_heads=4, hidden_dim=256,
                                       max_position_embeddings=64)), [_ids(), _mask()]),
    "mpnet": _text("MPNetModel", "MPNetConfig"),
    "deberta_v2": _text("DebertaV2Model", "DebertaV2Config", kw=dict(relative_attention=True, pos_att_type=["p2c", "c2p"])),
    "mobilebert": _text("MobileBertModel", "MobileBertConfig", kw=dict(embedding_size=64, intra_bottleneck_size=64, true_hidden_size=64)),
    "modernbert": _text("ModernBertModel", "ModernBertConfig", kw=dict(pad_token_id=0)),
    "gpt2": lambda: (IdsMaskNoCache(_hf("GPT2LMHeadModel", "GPT2Config", **GPT2KW)), [_ids(), _mask()]),
    "gpt_neo": _text("GPTNeoModel", "GPTNeoConfig", wrap=IdsMaskNoCache, base={},
                     kw=dict(vocab_size=V, hidden_size=128, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
                             max_position_embeddings=64, window_size=8)),
    "gpt_neox": _text("GPTNeoXModel", "GPTNeoXConfig", wrap=IdsMaskNoCache),
    "opt": _text("OPTModel", "OPTConfig", wrap=IdsMaskNoCache, base={},
                 kw=dict(vocab_size=V, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, ffn_dim=256, max_position_embeddings=64,
                         word_embed_proj_dim=128)),
    "bloom": _text("BloomModel", "BloomConfig", wrap=IdsMaskNoCache, base={}, kw=dict(vocab_size=V, hidden_size=128, n_layer=2, n_head=4)),
    "llama": _text("LlamaForCausalLM", "LlamaConfig", wrap=IdsMaskNoCache, base=LLM),
    "mistral": _text("MistralForCausalLM", "MistralConfig", wrap=IdsMaskNoCache, base=LLM),
    "qwen2": _text("Qwen2ForCausalLM", "Qwen2Config", wrap=IdsMaskNoCache, base=LLM),
    "qwen3": _text("Qwen3ForCausalLM", "Qwen3Config", wrap=IdsMaskNoCache, base=LLM, kw=dict(head_dim=32)),
    "gemma": _text("GemmaForCausalLM", "GemmaConfig", wrap=IdsMaskNoCache, base=LLM, kw=dict(head_dim=32)),
    "phi": _text("PhiForCausalLM", "PhiConfig", wrap=IdsMaskNoCache, base=LLM),
    "phi3": _text("Phi3ForCausalLM", "Phi3Config", wrap=IdsMaskNoCache, base=LLM),
    "mixtral": _text("MixtralForCausalLM", "MixtralConfig", wrap=IdsMaskNoCache, base=LLM, kw=dict(num_local_experts=4)),
    "mamba": lambda: (Ids(_hf("MambaModel", "MambaConfig", vocab_size=V, hidden_size=64, state_size=8, num_hidden_layers=2, use_cache=False)), [_ids()]),
    "t5": _seq2seq("T5ForConditionalGeneration", "T5Config", **T5KW),
    "bart": _seq2seq("BartForConditionalGeneration", "BartConfig", **BARTKW),
    "marian": _seq2seq("MarianMTModel", "MarianConfig", **BARTKW),
    "whisper": _whisper,
    "wav2vec2": _wav2vec2,
    "vit": _vision("ViTModel", "ViTConfig"),
    "deit": _vision("DeiTModel", "DeiTConfig"),
    "beit": _vision("BeitModel", "BeitConfig", kw=dict(use_relative_position_bias=True, out_indices=[1, 2])),
    "dinov2": _vision("Dinov2Model", "Dinov2Config", kw=dict(mlp_ratio=2)),
    "siglip_vision": _vision("SiglipVisionModel", "SiglipVisionConfig"),
    "swin": lambda: (Pixels(_hf("SwinModel", "SwinConfig", image_size=64, patch_size=4, embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=4)),
                     [image(64)]),
    "convnext": lambda: (Pixels(_hf("ConvNextModel", "ConvNextConfig", hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 2, 1])), [image(64)]),
    "resnet": lambda: (Pixels(_hf("ResNetModel", "ResNetConfig", embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 1, 1])), [image(64)]),
    "segformer": lambda: (Pixels(_hf("SegformerForSemanticSegmentation", "SegformerConfig", hidden_sizes=[16, 32, 80, 128], depths=[1, 1, 1, 1],
                                     decoder_hidden_size=64, num_labels=10)), [image(64)]),
    "yolos": _vision("YolosForObjectDetection", "YolosConfig", kw=dict(image_size=[64, 64], num_detection_tokens=10)),
    "dpt": _vision("DPTForDepthEstimation", "DPTConfig", kw=dict(num_hidden_layers=4, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 16, 32, 32],
                                                              fusion_hidden_size=32)),
    "clip": _clip,
    "unet2d": _unet2d,
    "unet2d_condition": _unet2dcond,
    "vae_decoder": _vae,
    "dit": _dit,
}


def list_models():
    return list(MODELS)


def build(name):
    import mindone.transformers  # noqa: F401
    with EagerShims():
        net, inputs = MODELS[name]()
        for cell in net.cells():
            if hasattr(cell, "tie_weights"):
                cell.tie_weights()
    randomise(net)
    patch_graph()
    return net, inputs
