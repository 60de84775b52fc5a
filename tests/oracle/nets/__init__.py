"""The networks of the oracle: plain MindSpore cells, one small file per family.

Importing this package registers every network; `common.MODELS` maps a name to the function that builds it.
"""
from . import control, conv, detection, elementwise, gradients, inplace, layer_grads, losses, mathematics, mint, norms, optimizers, quantised, rare, recurrent, shapes, training, transformers, types, vision  # noqa: F401
from .common import MODELS, Spec  # noqa: F401
