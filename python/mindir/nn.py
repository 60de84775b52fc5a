"""Cells under MindSpore's name: `mindir.nn.GraphCell`."""

from ._mindir import GraphCell

__all__ = ["GraphCell"]
