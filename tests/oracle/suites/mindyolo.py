"""mindyolo 0.5.0: detection networks (inference graph: decoded boxes).  Model descriptions come from its repository, see README.md."""
import os

from suites.data import stub

stub("matplotlib", "pycocotools", "cv2", "PIL", "albumentations", "tqdm")

from suites.data import image  # noqa: E402

PACKAGE = "mindyolo"
CONFIGS = os.environ.get("ZOO_CONFIGS", "configs")
# model -> (yaml, square input size)
MODELS = {
    "yolov3": ("yolov3/yolov3.yaml", 320),
    "yolov4": ("yolov4/yolov4.yaml", 320),
    "yolov5n": ("yolov5/yolov5n.yaml", 320),
    "yolov7_tiny": ("yolov7/yolov7-tiny.yaml", 320),
    "yolov8n": ("yolov8/yolov8n.yaml", 320),
    "yolov8x_seg": ("yolov8/seg/yolov8x-seg.yaml", 160),
    "yolov9t": ("yolov9/yolov9-t.yaml", 320),
    "yolov10n": ("yolov10/yolov10n.yaml", 320),
    "yolov11n": ("yolov11/yolov11-n.yaml", 320),
    "yolox_nano": ("yolox/yolox-nano.yaml", 320),
}


def list_models():
    return list(MODELS)


def build(name):
    from mindyolo.models import create_model
    from mindyolo.utils.config import Config, load_config
    yaml, size = MODELS[name]
    cfg = Config(load_config(os.path.join(CONFIGS, "yolo", yaml))[0])
    net = create_model(model_name=cfg.network.model_name, model_cfg=cfg.network, num_classes=80)
    return net, [image(size)]
