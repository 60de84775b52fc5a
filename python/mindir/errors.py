"""What mindir raises: a class for each kind of error, and the built-in class that MindSpore raises beside it."""


class Error(Exception):
    """Any error of mindir. `node` is the path of the graph node that it is about, or None."""

    def __init__(self, message="", node=None):
        super().__init__(message)
        self.node = node

    def __reduce__(self):
        return type(self), (str(self), self.node)


class InputError(Error, ValueError, RuntimeError):
    """Inputs, options or arguments that cannot be followed."""


class UnsupportedError(Error, NotImplementedError):
    """The model needs something that is not implemented; every such node is named."""


class CorruptError(Error, RuntimeError, ValueError):
    """A file is damaged, or is of another kind."""


class EncryptedError(Error, RuntimeError, ValueError):
    """A file is encrypted, and no key or a wrong one was given."""


class FileError(Error, OSError, ValueError):
    """A file is missing, or cannot be read or written."""


class DeviceError(Error, RuntimeError):
    """A device is not there, or fails."""


class LimitError(Error, RuntimeError):
    """A bound does not hold: time, memory, calls. The cell is as it was and runs again."""


class CancelledError(LimitError):
    """A run was cancelled."""
