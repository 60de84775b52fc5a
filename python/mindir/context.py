"""Where cells run that do not say it themselves."""

from . import errors

GRAPH_MODE = 0
PYNATIVE_MODE = 1

_DEVICES = {"CPU": "cpu", "GPU": "cuda", "WGPU": "wgpu", "CUDA": "cuda"}
_context = {"mode": GRAPH_MODE, "device_target": "CPU"}


def set_context(*, mode=None, device_target=None):
    """Says where cells run that are made from now on: "CPU", "GPU" (by CUDA) or "WGPU". `mode` is kept for MindSpore's
    programs; graphs run as graphs whatever it is.

    >>> import mindir
    >>> mindir.set_context(mode=mindir.GRAPH_MODE, device_target="CPU")
    """
    if mode is not None:
        if mode not in (GRAPH_MODE, PYNATIVE_MODE):
            raise errors.InputError(f"mode: expected GRAPH_MODE or PYNATIVE_MODE, found {mode!r}")
        _context["mode"] = mode
    if device_target is not None:
        set_device(device_target)


def set_device(device_target):
    """As `set_context(device_target=...)`."""
    if device_target not in _DEVICES:
        raise errors.InputError(f"device_target: expected one of {', '.join(_DEVICES)}, found {device_target!r}")
    _context["device_target"] = device_target


def get_context(attr_key):
    """What `set_context` said.

    >>> import mindir
    >>> mindir.get_context("device_target")
    'CPU'
    """
    if attr_key not in _context:
        raise errors.InputError(f"expected one of {', '.join(_context)}, found {attr_key!r}")
    return _context[attr_key]


def device():
    """The library's name of the device."""
    return _DEVICES[_context["device_target"]]
