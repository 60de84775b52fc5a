"""Writes the form of PyTorch's files before 1.6, as `torch.save(..., _use_new_zipfile_serialization=False)` does, without PyTorch.

    python tests/oracle/legacy_pth.py loader/tests/data/ckpt/legacy.pth
"""
import collections
import pickle
import struct
import sys
import types

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """Numbers of one type; `kind` is the name of the class in `torch`."""

    def __init__(self, kind, key, code, numbers):
        self.kind, self.key = kind, key
        self.count, self.data = len(numbers), struct.pack(f"<{len(numbers)}{code}", *numbers)


class Tensor:
    """A view of a storage."""

    def __init__(self, storage, offset, shape, strides):
        self.args = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.args


def module(name, *names):
    """A module of empty classes and functions with these names, which pickles refer to."""
    made = types.ModuleType(name)
    for member in names:
        setattr(made, member, type(member, (), {"__module__": name}))
    sys.modules[name] = made
    return made


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return "storage", getattr(sys.modules["torch"], obj.kind), obj.key, "cpu", obj.count, None
        return None


def save(path, obj, storages):
    with open(path, "wb") as f:
        pickle.dump(MAGIC, f, protocol=2)
        pickle.dump(VERSION, f, protocol=2)
        pickle.dump({"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}, f, protocol=2)
        Pickler(f, protocol=2).dump(obj)
        storages = sorted(storages, key=lambda storage: storage.key)
        pickle.dump([storage.key for storage in storages], f, protocol=2)
        for storage in storages:
            f.write(struct.pack("<q", storage.count) + storage.data)


if __name__ == "__main__":
    module("torch", "FloatStorage", "LongStorage", "HalfStorage")
    module("torch._utils", "_rebuild_tensor_v2")
    weight = Storage("FloatStorage", "94001", "f", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    steps = Storage("LongStorage", "93002", "q", [7])
    half = Storage("HalfStorage", "95003", "e", [0.5, -1.5])
    net = collections.OrderedDict(
        [
            ("fc.weight", Tensor(weight, 0, (2, 3), (3, 1))),
            ("fc.turned", Tensor(weight, 0, (3, 2), (1, 3))),
            ("fc.last", Tensor(weight, 4, (2,), (1,))),
            ("bn.num_batches_tracked", Tensor(steps, 0, (), ())),
            ("scale", Tensor(half, 0, (2,), (1,))),
        ]
    )
    save(sys.argv[1], {"epoch": 3, "arch": "net", "state_dict": net}, [weight, steps, half])
