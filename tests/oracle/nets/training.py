"""Training steps: forward, backward and optimizer in one graph, run a few times."""
from mindspore import nn, ops

from .common import Spec, integers, model, noise
from .conv import UNet
from .recurrent import Tagger, words
from .transformers import Bert, sentence
from .vision import Basic, ResNet


def step(net, optimizer, steps):
    """The Spec of a training step of `net`, which gives its loss, run on each of `steps`.

    Weights are noise, the optimizer's own parameters are as they were made.  Rectifiers turn differences of rounding into others
    of gradients, so it is the weights that are compared, after small steps.
    """
    weights = [p.name for p in net.get_parameters()]
    own = tuple(p.name for p in optimizer.get_parameters() if p.name not in weights)
    return Spec(nn.TrainOneStepCell(net, optimizer).set_train(), steps=steps, train=True, keep=own, weights=weights)


class BertForLabels(nn.Cell):
    """BERT with a head on the first word, its loss included."""

    def __init__(self, bert, dim, classes):
        super().__init__()
        self.bert, self.head, self.loss = bert, nn.Dense(dim, classes), nn.CrossEntropyLoss()

    def construct(self, ids, mask, types, labels):
        return self.loss(self.head(self.bert(ids, mask, types)[:, 0]), labels)


class PerPixel(nn.Cell):
    """A U-Net with the mean cross entropy of a class for every pixel."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def construct(self, x, labels):
        return ops.cross_entropy(self.net.logits(x), labels)


def resnet(base, size, batch, steps):
    net = ResNet(Basic, (2, 2, 2, 2), base=base, classes=10, pad="same")
    optimizer = nn.Momentum(net.trainable_params(), 1e-3, 0.9, weight_decay=1e-4)
    data = [[noise(batch, 3, size, size, seed=i), integers(0, 10, batch, seed=i)] for i in range(steps)]
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    return step(nn.WithLossCell(net, loss), optimizer, data)


def bert(dim, layers, vocab, length, batch, steps):
    net = BertForLabels(Bert(vocab, dim, layers, 4, 4 * dim, 64), dim, 3)
    optimizer = nn.AdamWeightDecay(net.trainable_params(), 2e-5, weight_decay=0.01)
    data = [[*sentence(vocab, length, batch, 2, seed=i), integers(0, 3, batch, seed=i)] for i in range(steps)]
    return step(net, optimizer, data)


def lstm(hidden, length, batch, steps):
    net = Tagger(nn.LSTM, layers=2, bidirectional=True, hidden=hidden)
    optimizer = nn.Adam(net.trainable_params(), 2e-3)
    data = [[*words(100, length, batch, seed=i), integers(0, 5, batch, seed=i)] for i in range(steps)]
    return step(nn.WithLossCell(net, nn.CrossEntropyLoss()), optimizer, data)


def unet(width, size, batch, steps):
    net = PerPixel(UNet(width))
    data = [[noise(batch, 3, size, size, seed=i), integers(0, 3, batch, size, size, seed=i)] for i in range(steps)]
    return step(net, nn.RMSProp(net.trainable_params(), 1e-2), data)


@model("train_resnet18", "train")
def train_resnet18():
    return resnet(8, 64, 4, 20)


@model("train_bert", "train")
def train_bert():
    return bert(64, 2, 200, 16, 4, 20)


@model("train_lstm", "train")
def train_lstm():
    return lstm(20, 9, 4, 20)


@model("train_unet", "train")
def train_unet():
    return unet(8, 32, 2, 20)


@model("train_bert_small")
def train_bert_small():
    return bert(8, 1, 20, 6, 2, 2)


@model("train_lstm_small")
def train_lstm_small():
    return lstm(4, 5, 2, 2)
