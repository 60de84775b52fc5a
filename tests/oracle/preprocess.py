#!/usr/bin/env python3
"""Export models with recorded preprocessing, and what MindSpore's dataset operators make of a picture.

  preprocess.py --out DIR      writes DIR/NAME/{model.mindir, picture.png or picture.jpg, expected.npy}

expected.npy is the first input of the model: the picture after the recorded transforms, in a batch of 1.
"""
import argparse
import os
import shutil
import sys
import tempfile

import mindspore as ms
import mindspore.dataset as ds
import mindspore.dataset.transforms as T
import mindspore.dataset.vision as V
import numpy as np
from mindspore import nn, ops
from PIL import Image

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
PIPELINES = {
    "resnet": ("jpg", [V.Decode(), V.Resize(32), V.CenterCrop(28), V.Normalize(**IMAGENET), V.HWC2CHW()]),
    "plain": ("png", [V.Decode(), V.HWC2CHW()]),
    "grow": ("png", [V.Decode(), V.Resize((50, 61)), V.Rescale(1 / 255, 0.0), V.HWC2CHW()]),
    "shrink": ("png", [V.Decode(), V.Resize((9, 13)), V.HWC2CHW()]),
    "nearest": ("png", [V.Decode(), V.Resize((17, 50), V.Inter.NEAREST), V.HWC2CHW()]),
    "cubic": ("png", [V.Decode(), V.Resize((17, 50), V.Inter.BICUBIC), V.HWC2CHW()]),
    "area": ("png", [V.Decode(), V.Resize((12, 10), V.Inter.AREA), V.HWC2CHW()]),
    "tensor": ("png", [V.Decode(), V.ToTensor()]),
    "padded": ("png", [V.Decode(), V.Pad((1, 2, 3, 4), fill_value=(9, 8, 7)), V.CenterCrop((50, 20)), V.HWC2CHW()]),
    "reflected": ("png", [V.Decode(), V.Pad(3, padding_mode=V.Border.REFLECT), V.HWC2CHW(), T.TypeCast(ms.float32)]),
    "edges": ("png", [V.Decode(), V.Pad([2, 5], padding_mode=V.Border.EDGE), V.HWC2CHW()]),
    "symmetric": ("png", [V.Decode(), V.Pad([2, 5], padding_mode=V.Border.SYMMETRIC), V.HWC2CHW()]),
    "flips": ("png", [V.Decode(), V.HorizontalFlip(), V.VerticalFlip(), V.Crop((3, 5), (20, 18)), V.HWC2CHW()]),
    "chw": ("png", [V.Decode(), V.Rescale(0.5, 1.0), V.HWC2CHW(), V.Normalize([1, 2, 3], [4, 5, 6], is_hwc=False)]),
    "half": ("png", [V.Decode(), V.Rescale(1 / 127.5, -1.0), V.HWC2CHW(), T.TypeCast(ms.float16)]),
}


class Net(nn.Cell):
    """A network without parameters that takes whatever comes."""

    def construct(self, x):
        return ops.relu(x)


def picture(kind):
    """Smooth shapes with some noise, 40 x 27."""
    y, x = np.mgrid[0:40, 0:27]
    waves = [np.sin(x / 3 + y / 9), np.cos(y / 5), np.sin((x + y) / 4)]
    noise = np.random.RandomState(7).randn(40, 27, 3) * (4 if kind == "jpg" else 20)
    return Image.fromarray(np.clip(np.stack(waves, -1) * 90 + 128 + noise, 0, 255).astype(np.uint8))


def write(name, out):
    """One folder; returns a line about it."""
    kind, transforms = PIPELINES[name]
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory() as images:
        os.makedirs(f"{images}/class")
        picture(kind).save(f"{images}/class/picture.{kind}")
        data = ds.ImageFolderDataset(images, shuffle=False).map(transforms, input_columns="image").project(["image"]).batch(1)
        expected = next(data.create_tuple_iterator(output_numpy=True, num_epochs=1))[0]
        ms.export(Net(), data, file_name=f"{folder}/model", file_format="MINDIR")
        shutil.copy(f"{images}/class/picture.{kind}", folder)
    os.chmod(f"{folder}/model.mindir", 0o644)
    np.save(f"{folder}/expected.npy", expected)
    return f"{name:12} {expected.dtype} {list(expected.shape)}"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", required=True)
    out = os.path.abspath(ap.parse_args().out)
    failed = []
    for name in PIPELINES:
        try:
            print(write(name, out), flush=True)
        except Exception as error:  # noqa: BLE001 - go on with the others
            failed.append(name)
            print(f"{name:12} FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
    sys.stdout.flush()
    os._exit(1 if failed else 0)          # MindSpore's teardown prints pages of harmless tracebacks


if __name__ == "__main__":
    main()
