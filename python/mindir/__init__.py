"""Run MindSpore models without MindSpore.

>>> import mindir, numpy
>>> net = mindir.nn.GraphCell(mindir.load("examples/digits/lenet5_dynamic_batch.mindir"))
>>> images = numpy.load("examples/digits/test_images.npy")[:5].astype(numpy.float32) / 255
>>> net(images).asnumpy().argmax(axis=1).tolist() == numpy.load("examples/digits/test_labels.npy")[:5].tolist()
True
"""

from . import _mindir, context, errors, nn
from ._mindir import (
    CancelToken,
    DType,
    Graph,
    GraphCell,
    Parameter,
    Port,
    Session,
    State,
    Tensor,
    __version__,
    from_dlpack,
)
from .context import GRAPH_MODE, PYNATIVE_MODE, get_context, set_context, set_device
from .errors import (
    CancelledError,
    CorruptError,
    DeviceError,
    EncryptedError,
    Error,
    FileError,
    InputError,
    LimitError,
    UnsupportedError,
)
from .serialization import convert, export, load, load_checkpoint, load_param_into_net, save_checkpoint

globals().update({"bool_" if dtype.name == "bool" else dtype.name: dtype for dtype in _mindir.DTYPES})
