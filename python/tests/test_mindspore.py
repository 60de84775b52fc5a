"""One program, with MindSpore and with mindir."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = pathlib.Path(__file__).with_name("drop_in.py")
ORACLE = pathlib.Path(os.environ.get("MINDIR_ORACLE", pathlib.Path.home() / ".cache/mindir-oracle")) / "bin/python"


def results(python, program, folder):
    folder.mkdir()
    done = subprocess.run([python, program, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return np.load(folder / "results.npz")


def test_one_import_makes_the_difference(tmp_path):
    if not ORACLE.exists() and os.environ.get("MINDIR_REQUIRE") != "oracle":
        pytest.skip("tests/oracle/setup.sh makes the environment")
    text = PROGRAM.read_text()
    assert text.count("import mindspore as ms\n") == 1
    ours = tmp_path / "ours.py"
    ours.write_text(text.replace("import mindspore as ms\n", "import mindir as ms\n"))
    theirs = results(ORACLE, PROGRAM, tmp_path / "mindspore")
    found = results(sys.executable, ours, tmp_path / "mindir")
    assert set(theirs.files) == set(found.files) and len(theirs.files) > 40
    for name in theirs.files:
        expected, value = theirs[name], found[name]
        assert expected.dtype == value.dtype and expected.shape == value.shape, name
        if expected.dtype.kind == "f":
            assert np.abs(expected - value).max() <= 1e-5 * np.abs(expected).max(), name
        else:
            assert np.array_equal(expected, value), name
