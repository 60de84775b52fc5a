"""Recurrent networks."""
import numpy as np
from mindspore import nn

from .common import Spec, integers, model, noise


class Tagger(nn.Cell):
    """Embedding, recurrent layers, a dense head on the last step."""

    def __init__(self, kind, layers=1, bidirectional=False, vocab=100, dim=16, hidden=20, classes=5):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = kind(dim, hidden, num_layers=layers, bidirectional=bidirectional, batch_first=True)
        self.head = nn.Dense(hidden * (2 if bidirectional else 1), classes)

    def construct(self, ids):
        y, _ = self.rnn(self.embed(ids))
        return self.head(y[:, -1])


class States(nn.Cell):
    """A bidirectional LSTM with explicit initial states; sequence first; gives everything."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 5, num_layers=2, bidirectional=True)

    def construct(self, x, h, c):
        return self.rnn(x, (h, c))


class Lengths(nn.Cell):
    """An LSTM over sequences of different lengths."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 5, bidirectional=True, batch_first=True)

    def construct(self, x, lengths, h, c):
        y, (hn, cn) = self.rnn(x, (h, c), lengths)
        return y, hn, cn


class CellLoop(nn.Cell):
    """LSTM and GRU cells in a Python loop, which the compiler unrolls."""

    def __init__(self, steps=4):
        super().__init__()
        self.lstm, self.gru, self.steps = nn.LSTMCell(6, 8), nn.GRUCell(8, 8), steps

    def construct(self, x, h, c):
        g = h
        for t in range(self.steps):
            h, c = self.lstm(x[:, t], (h, c))
            g = self.gru(h, g)
        return g, c


def words(vocab=100, length=9, batch=2, seed=0):
    return [integers(0, vocab, batch, length, seed=seed)]


@model("lstm_tagger")
def lstm_tagger():
    return Spec(Tagger(nn.LSTM), [words()])


@model("bilstm2")
def bilstm2():
    return Spec(Tagger(nn.LSTM, 2, True), [words()])


@model("lstm_states")
def lstm_states():
    return Spec(States(), [[noise(7, 3, 6), noise(4, 3, 5, seed=1), noise(4, 3, 5, seed=2)]])


@model("lstm_lengths")
def lstm_lengths():
    return Spec(Lengths(), [[noise(2, 6, 6), np.array([6, 4], np.int32), noise(2, 2, 5), noise(2, 2, 5, seed=1)]], tolerance=5e-4)


@model("gru")
def gru():
    return Spec(Tagger(nn.GRU), [words(length=5)], tolerance=5e-4)


@model("bigru2")
def bigru2():
    return Spec(Tagger(nn.GRU, 2, True), [words(length=4)], tolerance=5e-4)


@model("rnn")
def rnn():
    return Spec(Tagger(nn.RNN), [words(length=5)], tolerance=5e-4)


@model("rnn_cells")
def rnn_cells():
    return Spec(CellLoop(), [[noise(2, 4, 6), noise(2, 8), noise(2, 8, seed=1)]], tolerance=5e-4)


@model("lstm", "large")
def lstm():
    return Spec(Tagger(nn.LSTM, 2, True, 10000, 128, 256, 10), [words(10000, 64, 1)])
