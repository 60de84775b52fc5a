#!/usr/bin/env python3
"""Train LeNet-5 with MindSpore on scikit-learn's handwritten digits and export it to MindIR.

  train.py [OUT_DIR]          writes the files that README.md describes; an existing lenet5.mindir is not trained again

The 8x8 images (values 0..16) become 32x32 inputs in 0..1: every pixel is a 4x4 block of value/16.
Needs mindspore, scikit-learn and pillow.
"""
import os
import sys

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import Tensor, nn
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS, BATCH = 30, 32
WORDS = "zero one two three four five six seven eight nine".split()


class LeNet5(nn.Cell):
    """Two valid 5x5 convolutions with max pooling, three dense layers; 1x32x32 in, ten scores out."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Dense(400, 120), nn.Dense(120, 84), nn.Dense(84, 10)

    def construct(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.flatten(x)
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


def data():
    """Training images, test images, training labels, test labels; the split never changes."""
    digits = load_digits()
    x = np.kron(digits.images, np.ones((4, 4))).astype(np.float32)[:, None] / 16.0
    return train_test_split(x, digits.target.astype(np.int32), test_size=360, random_state=0, stratify=digits.target)


def train(images, labels):
    """A trained network in inference mode."""
    net = LeNet5()
    steps = len(images) // BATCH
    rate = nn.cosine_decay_lr(1e-5, 2e-3, EPOCHS * steps, steps, EPOCHS)
    model = ms.Model(net, nn.CrossEntropyLoss(), nn.Adam(net.trainable_params(), rate))
    batches = ds.NumpySlicesDataset((images, labels), ["image", "label"], shuffle=True).batch(BATCH, drop_remainder=True)
    model.train(EPOCHS, batches, dataset_sink_mode=False)
    net.set_train(False)
    return net


def export(net, path, shape):
    """Write a MindIR file for inputs of this shape; None is an unknown dimension."""
    x = Tensor(shape=shape, dtype=ms.float32) if None in shape else Tensor(np.zeros(shape, np.float32))
    net.set_inputs(x)
    ms.export(net, x, file_name=path, file_format="MINDIR")
    os.chmod(path, 0o644)


def to_bytes(images):
    """0..1 to 0..255, the form in which images are stored."""
    return np.round(images * 255.0).astype(np.uint8)


def scores(path, stored):
    """What the exported file makes of stored images: [n, 10]."""
    cell = nn.GraphCell(ms.load(path))
    return cell(Tensor(stored.astype(np.float32) / np.float32(255.0))).asnumpy()


def write_pictures(out, stored, labels, result):
    """One PNG per class: of the rightly classified images the one with the median margin."""
    best = np.sort(result, 1)
    margin = np.where(result.argmax(1) == labels, best[:, -1] - best[:, -2], -1.0)
    for digit, word in enumerate(WORDS):
        mine = np.flatnonzero((labels == digit) & (margin > 0))
        pick = mine[np.argsort(margin[mine])[len(mine) // 2]]
        Image.fromarray(stored[pick, 0], "L").save(os.path.join(out, word + ".png"), optimize=True)
        print(f"{word}.png: test image {pick}, margin {margin[pick]:.2f}")


def main(out):
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    train_x, test_x, train_y, test_y = data()
    fixed, dynamic = os.path.join(out, "lenet5.mindir"), os.path.join(out, "lenet5_dynamic_batch.mindir")
    if not os.path.exists(fixed):
        net = train(train_x, train_y)
        export(net, fixed, (1, 1, 32, 32))
        export(net, dynamic, (None, 1, 32, 32))
    stored = to_bytes(test_x)
    np.save(os.path.join(out, "test_images.npy"), stored)
    np.save(os.path.join(out, "test_labels.npy"), test_y)
    result = scores(dynamic, stored)
    np.save(os.path.join(out, "test_logits.npy"), result)
    print(f"accuracy on {len(test_y)} held-out images: {(result.argmax(1) == test_y).mean():.4f}")
    write_pictures(out, stored, test_y, result)
    sys.stdout.flush()
    os._exit(0)          # MindSpore's teardown prints pages of harmless tracebacks


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
