#!/usr/bin/env python3
"""Exchange checkpoints with real MindSpore: it reads what `mindir` writes, and the reverse, for every type and form.

  checkpoints.py --mindir PATH [--out DIR]
  checkpoints.py --cases FILE

PATH is the `mindir` command. Files go to DIR, a temporary folder by default. Prints one line per form; ends with 1 if one differs.
With --cases, writes what `load_param_into_net` does in random cases; the loader's tests compare.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("GLOG_v", "3")

import numpy as np
import mindspore as ms
from mindspore import Parameter, Tensor
from mindspore.train import serialization

KEY = b"0123456789ABCDEF"
MODES = {"AES-GCM": "aes-gcm", "AES-CBC": "aes-cbc", "SM4-CBC": "sm4-cbc"}
TYPES = ["bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "bfloat16"]
VALUES = [[0, 1, 2], [3, 4, 250]]


def every_type():
    """A tensor and a scalar of every type."""
    params = {}
    for name in TYPES:
        dtype = getattr(ms, name)
        values = np.array(VALUES) % 100 if name == "int8" else np.array(VALUES)
        params[f"net.{name}"] = Tensor(values, ms.float32).astype(dtype) if name == "bfloat16" else Tensor(values.astype(np_type(name)))
        params[f"scalar.{name}"] = Tensor(1, dtype)
    return params


def np_type(name):
    return np.bool_ if name == "bool_" else getattr(np, name)


def save(params, path, append=None, **options):
    if os.path.exists(path):
        os.chmod(path, 0o600)
    ms.save_checkpoint([{"name": k, "data": v} for k, v in params.items()], path, append_dict=append, **options)


def as_numpy(value):
    if isinstance(value, str):
        return value
    tensor = Tensor(value) if isinstance(value, Parameter) else value
    return (tensor.astype(ms.float32) if tensor.dtype == ms.bfloat16 else tensor).asnumpy()


class Exchange:
    def __init__(self, mindir, out):
        self.mindir, self.out, self.failed = mindir, out, 0
        self.key = self.path("key")
        with open(self.key, "wb") as f:
            f.write(KEY)

    def path(self, name):
        return os.path.join(self.out, name)

    def run(self, *args):
        done = subprocess.run([self.mindir, "ckpt", *args], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"mindir ckpt {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def check(self, what, work):
        try:
            work()
            print(f"ok    {what}")
        except Exception as error:
            self.failed += 1
            print(f"WRONG {what}: {error}")

    def compare(self, found, expected, dtypes=True):
        assert list(found) == list(expected) or set(found) == set(expected), f"names {sorted(found)} and {sorted(expected)}"
        for name, want in expected.items():
            got, want = as_numpy(found[name]), as_numpy(want)
            if isinstance(want, str):
                assert got == want, f"{name}: {got!r} and {want!r}"
                continue
            assert got.shape == want.shape and got.dtype == want.dtype and np.array_equal(got, want), f"{name}: {got!r} and {want!r}"
            if dtypes and isinstance(expected[name], Tensor) and isinstance(found[name], Tensor):
                assert found[name].dtype == expected[name].dtype, f"{name}: {found[name].dtype} and {expected[name].dtype}"

    def read_by_mindir(self, path, expected, *args):
        """`mindir` turns the file into arrays, which must be the expected ones."""
        out = path + ".npz"
        self.run("convert", path, out, *args)
        with np.load(out) as arrays:
            found = {k: str(arrays[k]) if arrays[k].dtype.kind == "U" else Tensor(arrays[k]) for k in arrays.files}
        self.compare(found, expected, dtypes=False)

    def compare_kinds(self, path, want):
        listing = json.loads(self.run("ls", path, "--json"))
        found = {e["name"]: e["dtype"] for e in listing["entries"]}
        assert found == want, f"{found}"

    def both_ways(self, what, path, expected, again, save_args=(), read_args=(), load=None):
        """MindSpore's file is read by `mindir`, which writes it anew for MindSpore."""
        self.check(f"{what}: mindir reads MindSpore's", lambda: self.read_by_mindir(path, expected, *read_args))

        def back():
            self.run("convert", path, again, *save_args)
            self.compare(ms.load_checkpoint(again, **(load or {})), expected)
            if not save_args and not again.endswith("safetensors"):
                assert open(again, "rb").read() == open(path, "rb").read(), "the bytes differ"
        self.check(f"{what}: MindSpore reads mindir's", back)


def ckpt(x, types):
    path = x.path("types.ckpt")
    save(types, path)
    x.both_ways("every type", path, types, x.path("types_again.ckpt"))
    names = {"bool_": "bool", "bfloat16": "bf16"}
    short = {t: names.get(t, t.replace("uint", "u").replace("int", "i").replace("float", "f")) for t in TYPES}
    want = {f"{kind}.{t}": short[t] for t in TYPES for kind in ("net", "scalar")}
    x.check("every type: mindir names the types", lambda: x.compare_kinds(path, want))


def crc(x, types):
    path = x.path("crc.ckpt")
    save(types, path, crc_check=True)
    x.both_ways("checksum", path, types, x.path("crc_again.ckpt"), ["--crc"], load={"crc_check": True})
    x.check("checksum: mindir finds it right", lambda: x.run("verify", path, "--crc"))
    x.check("checksum: both write the same bytes",
            lambda: same_bytes(path, x.path("crc_again.ckpt")))


def same_bytes(a, b):
    assert open(a, "rb").read() == open(b, "rb").read(), "the bytes differ"


def appended(x):
    values = {"epoch_num": 3, "lr": 0.5, "flag": True, "text": "hello é 你好", "empty": "", "t": Tensor([1.5, 2], ms.float16)}
    path = x.path("append.ckpt")
    save({"w": Tensor(np.ones((2, 3), np.float32))}, path, append=values)
    expected = ms.load_checkpoint(path)
    x.both_ways("appended values", path, expected, x.path("append_again.ckpt"))


def slices(x):
    before = serialization.SLICE_SIZE
    serialization.SLICE_SIZE = 1
    params = {"a": Tensor(np.arange(3000, dtype=np.float32).reshape(30, 100)), "b": Tensor(np.arange(7, dtype=np.int64))}
    save(params, x.path("slices.ckpt"))
    serialization.SLICE_SIZE = before
    x.check("slices: mindir reads MindSpore's", lambda: x.read_by_mindir(x.path("slices.ckpt"), params))


def encrypted(x, types):
    for mode, name in MODES.items():
        path = x.path(f"{name}.ckpt")
        save(types, path, enc_key=KEY, enc_mode=mode)
        key = ["--key-file", x.key]
        x.both_ways(mode, path, types, x.path(f"{name}_again.ckpt"), [*key, "--encrypt", name], [*key, "--decrypt"],
                    {"dec_key": KEY, "dec_mode": mode})


def safetensors(x, types):
    for crc in (False, True):
        what = "safetensors with checksum" if crc else "safetensors"
        # MindSpore cannot take the checksum of bfloat16.
        drop = "*bfloat16" if crc else "nothing"
        path = x.path(f"types_{crc}.safetensors")
        x.run("filter", x.path("types.ckpt"), "--drop", drop, "--format", "safetensors", "-o", path, *(["--crc"] if crc else []))
        expected = {k: v for k, v in types.items() if not (crc and "bfloat16" in k)}
        x.check(f"{what}: MindSpore reads mindir's",
                lambda: x.compare(ms.load_checkpoint(path, format="safetensors", crc_check=crc), expected))
    path = x.path("of_mindspore.safetensors")
    save(types, path, format="safetensors")
    x.check("safetensors: mindir reads MindSpore's", lambda: x.read_by_mindir(path, types))


def numpy(x, types):
    """Arrays of NumPy become a checkpoint."""
    arrays = {k: as_numpy(v) for k, v in types.items() if "bfloat16" not in k}
    arrays["text"] = np.array("hello é")
    np.savez(x.path("numpy.npz"), **arrays)
    expected = {k: str(v) if v.dtype.kind == "U" else Tensor(v) for k, v in arrays.items()}

    def there():
        x.run("convert", x.path("numpy.npz"), x.path("numpy.ckpt"))
        x.compare(ms.load_checkpoint(x.path("numpy.ckpt")), expected)
    x.check("arrays: MindSpore reads what mindir made of them", there)


def load_param_cases(count):
    """What MindSpore's load_param_into_net does with random names, shapes and types."""
    random = np.random.default_rng(7)
    names = ["a", "b", "c", "aa", "ba", "n.a", "n.b", "m.n.a", "m.n.b", "m.a", "xb", "accu_grads.a", "z"]
    shapes, dtypes = [[2], [2], [2, 1], [1, 2], [2, 1, 1]], ["f32", "f32", "f32", "f16", "i32", "u8"]
    types = {"f32": ms.float32, "f16": ms.float16, "i32": ms.int32, "u8": ms.uint8}

    def some(most, plain):
        chosen = random.choice(names, random.integers(1, most), replace=False)
        pick = lambda options: options[0] if plain else options[random.integers(len(options))]
        return [[str(name), pick(dtypes), pick(shapes)] for name in chosen]

    cases = []
    for index in range(count):
        plain, strict = index % 4 != 0, bool(random.integers(4) == 0)
        params, entries = some(6, plain), some(8, plain)
        texts = [e[0] for e in entries if random.integers(8) == 0]
        net = ms.nn.Cell()
        for position, (name, dtype, shape) in enumerate(params):
            net.insert_param_to_cell(f"p{position}", Parameter(Tensor(np.zeros(shape), types[dtype]), name=name), check_name_contain_dot=False)
        loaded = {}
        for position, (name, dtype, shape) in enumerate(entries):
            value = Tensor(np.full(shape, position + 1), types[dtype])
            loaded[name] = "text" if name in texts else Parameter(value, name=name)
        try:
            left, unused = ms.load_param_into_net(net, loaded, strict_load=strict)
            values = [float(p.asnumpy().reshape(-1)[0]) for p in net.get_parameters()]
            result = {"values": values, "param_not_load": left, "ckpt_not_load": unused}
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            result = {"error": type(error).__name__}
        cases.append({"params": params, "entries": entries, "texts": texts, "strict": strict, **result})
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mindir")
    parser.add_argument("--out")
    parser.add_argument("--cases")
    args = parser.parse_args()
    if args.cases:
        with open(args.cases, "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(case) for case in load_param_cases(300)) + "\n]\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.abspath(args.out or scratch)
        os.makedirs(out, exist_ok=True)
        x, types = Exchange(os.path.abspath(args.mindir), out), every_type()
        ckpt(x, types)
        crc(x, types)
        appended(x)
        slices(x)
        encrypted(x, types)
        safetensors(x, types)
        numpy(x, types)
    sys.exit(1 if x.failed else 0)


if __name__ == "__main__":
    main()
