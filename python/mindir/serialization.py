"""Files of models and checkpoints, by MindSpore's names."""

import os

from . import _mindir
from ._mindir import GraphCell, Parameter
from .errors import FileError, InputError

_ENDINGS = {"MINDIR": ".mindir", "ONNX": ".onnx", "AIR": ".air"}


def load(file_name, *, dec_key=None, dec_mode="AES-GCM"):
    """The model in a MindIR or ONNX file, for `GraphCell`.

    `dec_key` decrypts it: 16, 24 or 32 bytes, by "AES-GCM", "AES-CBC", "SM4-CBC", or a function of file name and key that gives
    the bytes. The file must not change while the model is in use.

    >>> import mindir
    >>> mindir.load("examples/digits/lenet5.mindir")
    <mindir.Graph of 1 input, 1 output>
    """
    if callable(dec_mode):
        name = os.fsencode(file_name).decode(errors="replace")
        return _mindir.loads(name, dec_mode(file_name, dec_key))
    return _mindir.load(file_name, dec_key, dec_mode)


def export(net, *inputs, file_name, file_format, enc_key=None, enc_mode="AES-GCM", split=False, opset=None):
    """Writes a cell or graph, with what its parameters hold now: as "MINDIR", "ONNX" or "AIR". The ending is added if it is missing.

    The graph stays what the file said, with the dimensions that it declares; `inputs`, if there are any, must fit them. `enc_key` encrypts
    MindIR files; `split` puts weights in files of their own; `opset` is ONNX's operator set.

    >>> import mindir, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "digits")
    >>> mindir.export(mindir.load("examples/digits/lenet5.mindir"), file_name=path, file_format="ONNX")
    >>> mindir.load(path + ".onnx").inputs
    [Port(name='x', dtype=mindir.float32, shape=(1, 1, 32, 32))]
    """
    if file_format not in _ENDINGS:
        raise InputError(f"file_format: expected one of {', '.join(_ENDINGS)}, found {file_format!r}")
    if inputs:
        (net if isinstance(net, GraphCell) else GraphCell(net))._check(inputs)
    graph = net._graph() if isinstance(net, GraphCell) else net
    path = os.fspath(file_name)
    if not path.endswith(_ENDINGS[file_format]):
        path += _ENDINGS[file_format]
    _mindir.write(graph, path, file_format, enc_key, enc_mode, split, opset)


def convert(source, target, *, dec_key=None, dec_mode="AES-GCM", enc_key=None, enc_mode="AES-GCM", split=False, opset=None):
    """Writes the model file `source` in another form, which the ending of `target` names: .mindir, .onnx or .air.

    >>> import mindir, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.onnx")
    >>> mindir.convert("examples/digits/lenet5.mindir", path)
    """
    source, target = os.fspath(source), os.fspath(target)
    formats = {ending: name for name, ending in _ENDINGS.items()}
    ending = os.path.splitext(target)[1].lower()
    if ending not in formats:
        raise InputError(f"{target}: expected a name that ends with .mindir, .onnx or .air")
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise InputError(f"{target}: a model is not converted into itself")
    is_plain = not callable(dec_mode) and not source.lower().endswith(".onnx")
    if ending == ".mindir" and is_plain:
        return _mindir.convert(source, target, dec_key, dec_mode, enc_key, enc_mode, split)
    graph = load(source, dec_key=dec_key, dec_mode=dec_mode)
    _mindir.write(graph, target, formats[ending], enc_key, enc_mode, split, opset)


def load_checkpoint(
    ckpt_file_name,
    net=None,
    strict_load=False,
    filter_prefix=None,
    dec_key=None,
    dec_mode="AES-GCM",
    specify_prefix=None,
    choice_func=None,
    crc_check=False,
    remove_redundancy=False,
    format="ckpt",
):
    """The values of a checkpoint by name, as `Parameter`s and texts, which `net` takes if it is given.

    It may be MindSpore's .ckpt, .safetensors, .npz or PyTorch's .pth, which the contents tell. `choice_func` says which names are
    wanted; `specify_prefix` and `filter_prefix`, texts or lists of them, say it in its place.

    >>> import mindir
    >>> values = mindir.load_checkpoint("loader/tests/data/ckpt/append.ckpt", choice_func=lambda name: name == "weight")
    >>> values["weight"]
    Parameter (name=weight, shape=(2, 2), dtype=Float32)
    """
    if remove_redundancy:
        raise InputError("remove_redundancy: checkpoints of one device have none")
    wanted = _wanted(specify_prefix, filter_prefix, choice_func)
    entries = _mindir.read_checkpoint(ckpt_file_name, dec_key, dec_mode, crc_check)
    values = {name: value for name, value in entries.items() if wanted(name)}
    if not values:
        raise InputError(f"{ckpt_file_name}: no entry is left by the prefixes or choice_func")
    if net is not None:
        load_param_into_net(net, values, strict_load)
    return values


def _wanted(specify, filtered, choice):
    if specify is None and filtered is None:
        return choice or (lambda name: True)
    specify, filtered = _prefixes(specify), _prefixes(filtered)
    return lambda name: (not specify or name.startswith(specify)) and not (filtered and name.startswith(filtered))


def _prefixes(given):
    return (given,) if isinstance(given, str) else tuple(given or ())


def load_param_into_net(net, parameter_dict, strict_load=False, remove_redundancy=False):
    """Gives the parameters of a cell the values of a dictionary. The answer is two lists: parameters that got no value, and entries that
    no parameter has the name of.

    Unless `strict_load`, floats are converted to floats and integers to integers, and names may have a prefix that the cell's lack.
    States and sessions that were made before keep what they have.

    >>> import mindir
    >>> net = mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir"))
    >>> missing, unused = mindir.load_param_into_net(net, {"fc3.bias": mindir.Tensor([0.0] * 10), "step": mindir.Tensor(3)})
    >>> len(missing), unused
    (7, ['step'])
    """
    if remove_redundancy:
        raise InputError("remove_redundancy: checkpoints of one device have none")
    if not isinstance(net, GraphCell) or not isinstance(parameter_dict, dict):
        raise TypeError(f"expected a GraphCell and a dict, found {type(net)} and {type(parameter_dict)}")
    return net._load(parameter_dict, strict_load)


def save_checkpoint(
    save_obj,
    ckpt_file_name,
    integrated_save=True,
    async_save=False,
    append_dict=None,
    enc_key=None,
    enc_mode="AES-GCM",
    choice_func=None,
    crc_check=False,
    format="ckpt",
):
    """Writes the parameters of a cell, a dictionary, a list of `Parameter`s, or a list of `{"name": ..., "data": ...}`.

    The file is complete when the call returns, also with `async_save`, and replaces one that is there. `append_dict` adds numbers, texts and
    tensors; `choice_func` says which names are wanted. The ending is added if it is missing.

    >>> import mindir, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.ckpt")
    >>> mindir.save_checkpoint(mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir")), path, append_dict={"epoch": 3})
    >>> mindir.load_checkpoint(path)["epoch"].item()
    3
    """
    if isinstance(save_obj, GraphCell):
        entries = save_obj.parameters_dict()
    elif isinstance(save_obj, dict):
        entries = save_obj
    elif isinstance(save_obj, list):
        entries = dict(_pair(item) for item in save_obj)
    else:
        raise TypeError(f"save_obj: expected a GraphCell, dict or list, found {type(save_obj)}")
    entries = {name: value for name, value in entries.items() if choice_func is None or choice_func(name)}
    entries.update(append_dict or {})
    if not entries:
        raise InputError("there are no entries to write")
    path = os.fspath(ckpt_file_name)
    if os.path.isdir(path):
        raise FileError(f"{path}: expected the name of a file, found a folder")
    if not path.endswith(format):
        path += f".{format}"
    _mindir.write_checkpoint(path, entries, enc_key, enc_mode, crc_check, format)


def _pair(item):
    if isinstance(item, dict) and {"name", "data"} <= item.keys():
        return item["name"], item["data"]
    if isinstance(item, Parameter):
        return item.name, item
    raise TypeError(f"save_obj: expected Parameters or dicts of name and data, found {type(item)}")
