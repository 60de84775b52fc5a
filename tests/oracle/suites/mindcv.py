"""mindcv 0.3.0: image classification backbones with random weights.  Needs numpy < 2 (MindSpore 2.10 fails lazily with numpy 2.4)."""
import sys
import types

from mindspore import ops
from mindspore.ops.auto_generate import ResizeBilinearV2

from suites.data import image

PACKAGE = "mindcv"

# One or two of the smallest variants of every family (module) in mindcv.
SMALL = """
resnet18 resnet50 resnext50_32x4d seresnet18 seresnext26_32x4d senet154 resnetv2_50 BiT_resnet50 res2net50 res2net50_v1b
resnest14 resnest50 skresnet18 skresnext50_32x4d
mobilenet_v1_025 mobilenet_v1_100 mobilenet_v2_035_96 mobilenet_v2_100 mobilenet_v3_small_075 mobilenet_v3_large_100
mnasnet_050 mixnet_s ghostnet_050 efficientnet_b0 efficientnet_v2_s rexnet_09 shufflenet_v1_g3_05 shufflenet_v1_g8_05
shufflenet_v2_x0_5 squeezenet1_0 squeezenet1_1 regnet_x_200mf regnet_y_200mf repvgg_a0 vgg11 googlenet inception_v3
inception_v4 xception densenet121 dpn92 hrnet_w32 nasnet_a_4x1056 pnasnet
vit_b_32_224 mae_b_16_224_finetune swin_tiny swinv2_tiny_window8 pit_ti pvt_tiny pvt_v2_b0 coat_lite_tiny
coat_tiny crossvit_9 cait_xxs24_224 cmt_tiny convit_tiny convit_tiny_plus convnext_tiny convnextv2_atto edgenext_xx_small
halonet_50t mlp_mixer_s_p32 mobilevit_xx_small poolformer_s12 repmlp_t224 visformer_tiny visformer_tiny_v2 volo_d1
xcit_tiny_12_p16_224
""".split()


def list_models():
    return list(SMALL)


def input_size(name):
    import mindcv.models.registry as reg
    for suffix in ("_96", "_128", "_160", "_192"):
        if name.startswith("mobilenet_v2") and name.endswith(suffix):
            return int(suffix[1:])
    if name.startswith(("inception", "xception")):
        return 299
    if name.startswith(("swinv2", "mobilevit")):
        return 256
    if name.startswith("pnasnet"):
        return 331
    return reg._model_pretrained_cfgs.get(name, {}).get("input_size", (3, 224, 224))[-1]


def rel_logits_1d(q, rel_k, permute_mask):
    """halonet's relative logits, written with the padding op of today's MindSpore."""
    b, h, w, _ = q.shape
    rel = rel_k.shape[0]
    win = (rel + 1) // 2
    x = ops.matmul(q, ops.transpose(rel_k, (1, 0))).reshape((-1, w, rel))
    x = ops.pad(x, (0, 1))
    x = x.reshape((x.shape[0], 1, -1))
    x = ops.pad(x, (0, rel - w))
    x = x.reshape((-1, w + 1, rel))[:, :w, win - 1:]
    x = ops.broadcast_to(x.reshape((b, h, 1, w, win)), (b, h, win, w, win))
    return ops.transpose(x, permute_mask)


def resize_bilinear(size, align_corners=False, half_pixel_centers=False):
    """Stands in for the primitive class that MindSpore has dropped."""
    def resize(x):
        return ResizeBilinearV2(align_corners, half_pixel_centers)(x, size)
    return resize


def pad_pairs(x, padding):
    """volo still passes one (before, after) pair per axis; today's ops.pad wants them flat, last axis first."""
    flat = ()
    for i in range(len(padding)):
        flat = flat + padding[len(padding) - 1 - i]
    return ops.pad(x, flat)


def patch():
    """mindcv 0.3.0 was written for older MindSpore: small repairs at run time."""
    import mindcv.models.halonet as halonet
    import mindcv.models.rexnet as rexnet
    from mindspore.common import initializer as init
    halonet.rel_logits_1d = rel_logits_1d
    import mindcv.models.volo as volo
    volo.ops = types.ModuleType("ops_with_old_pad")
    sys.modules[volo.ops.__name__] = volo.ops
    volo.ops.__dict__.update({k: v for k, v in vars(ops).items() if not k.startswith("__")}, pad=pad_pairs)
    if not hasattr(ops, "ResizeBilinear"):
        ops.ResizeBilinear = resize_bilinear
    plain = init.initializer

    class Init:                                    # rexnet reshapes a tensor that is not materialised yet
        def __getattr__(self, name):
            if name == "initializer":
                return lambda *a, **k: plain(*a, **k).init_data()
            return getattr(init, name)

    rexnet.init = Init()


def build(name):
    from mindcv.models import create_model
    patch()
    return create_model(name, pretrained=False), [image(input_size(name))]
