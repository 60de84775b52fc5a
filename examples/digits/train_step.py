#!/usr/bin/env python3
"""Export one training step of LeNet-5 with Momentum, and what MindSpore makes of it on the digits.

  train_step.py [OUT_DIR]     writes the files under "Training" in README.md

The step takes a batch of 32 images and labels, changes the parameters and returns the loss.  The network starts from the seeded
initialisation that the exported file holds.  Batches are the training images in order, again and again.
Needs mindspore and scikit-learn.
"""
import json
import os
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from train import BATCH, LeNet5, data

STEPS, FEW = 440, 10


def small(images):
    """32x32 images of 0..1 back to 8x8 of 0..16."""
    return np.round(images[:, 0, ::4, ::4] * 16).astype(np.uint8)


def batch(images, labels, step):
    """The images and labels of one step; the remainder of the images is left out."""
    first = step % (len(images) // BATCH) * BATCH
    return Tensor(images[first:first + BATCH]), Tensor(labels[first:first + BATCH])


def accuracy(net, images, labels):
    """Share of images whose highest score is the label's."""
    net.set_train(False)
    return float((net(Tensor(images)).asnumpy().argmax(1) == labels).mean())


def main(out):
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(3)
    train_x, test_x, train_y, test_y = data()
    net = LeNet5()
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.02, 0.9))
    step.set_train()
    path = os.path.join(out, "train_step.mindir")
    ms.export(step, *batch(train_x, train_y, 0), file_name=path, file_format="MINDIR")
    os.chmod(path, 0o644)
    cell = nn.GraphCell(ms.load(path))
    losses, facts = [], {}
    for i in range(STEPS):
        losses.append(float(cell(*batch(train_x, train_y, i)).asnumpy()))
        if i + 1 in (FEW, STEPS):
            weights = {p.name: p for p in cell.get_parameters()}
            ms.load_param_into_net(net, {n: weights[n] for n in net.parameters_dict()})
            facts[f"accuracy_{i + 1}"] = accuracy(net, test_x, test_y)
        if i + 1 == FEW:
            ms.save_checkpoint(cell, os.path.join(out, f"trained_{FEW}.ckpt"))
            os.chmod(os.path.join(out, f"trained_{FEW}.ckpt"), 0o644)
    facts["losses"] = losses[:FEW]
    np.save(os.path.join(out, "train_images.npy"), small(train_x))
    np.save(os.path.join(out, "train_labels.npy"), train_y.astype(np.uint8))
    with open(os.path.join(out, "trained.json"), "w") as f:
        json.dump(facts, f, indent=1)
        f.write("\n")
    print(facts)
    sys.stdout.flush()
    os._exit(0)          # MindSpore's teardown prints pages of harmless tracebacks


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
