import os

import mindir
import numpy as np
import pytest

DIGITS = "examples/digits/lenet5.mindir"
KEY = b"0123456789ABCDEF"


def answer(path, **options):
    x = np.load("examples/digits/test_images.npy")[:1].astype(np.float32) / 255
    return mindir.GraphCell(mindir.load(path, **options))(x).asnumpy()


EXPECTED = answer(DIGITS)


def test_files_that_are_no_models(tmp_path):
    for path, error in [("nowhere.mindir", mindir.FileError), ("README.md", mindir.CorruptError), (tmp_path, mindir.FileError)]:
        with pytest.raises(error) as e:
            mindir.load(path)
        assert isinstance(e.value, ValueError)
    whole = open(DIGITS, "rb").read()
    (tmp_path / "half.mindir").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(mindir.CorruptError):
        mindir.load(tmp_path / "half.mindir")


@pytest.mark.parametrize("format,ending", [("MINDIR", ".mindir"), ("ONNX", ".onnx")])
def test_exports(tmp_path, format, ending):
    net = mindir.GraphCell(mindir.load(DIGITS))
    bias = np.arange(10, dtype=np.float32)
    mindir.load_param_into_net(net, {"fc3.bias": bias})
    mindir.export(net, np.zeros((1, 1, 32, 32), np.float32), file_name=str(tmp_path / "net"), file_format=format)
    old = net.parameters_dict()["fc3.bias"].asnumpy()
    assert np.array_equal(old, bias)
    found = answer(tmp_path / f"net{ending}")
    original = mindir.load(DIGITS).parameters_dict()["fc3.bias"].asnumpy()
    assert np.abs(found - (EXPECTED - original + bias)).max() < 1e-4


def test_exports_that_do_not_go(tmp_path):
    net = mindir.GraphCell(mindir.load(DIGITS))
    path = str(tmp_path / "net")
    for wrong in [
        lambda: mindir.export(net, file_name=path, file_format="TXT"),
        lambda: mindir.export(net, np.zeros(3, np.float32), file_name=path, file_format="MINDIR"),
        lambda: mindir.export(net, file_name=path, file_format="ONNX", enc_key=KEY),
        lambda: mindir.export(net, file_name=path, file_format="ONNX", opset=3),
        lambda: mindir.convert(DIGITS, path + ".txt"),
        lambda: mindir.convert(DIGITS, DIGITS),
    ]:
        with pytest.raises(mindir.InputError):
            wrong()
    with pytest.raises(mindir.FileError):
        mindir.export(net, file_name=str(tmp_path / "no" / "folder"), file_format="MINDIR")
    counter = mindir.GraphCell(mindir.load("tests/goldens/state_counter/model.mindir"))
    with pytest.raises(mindir.UnsupportedError):
        mindir.export(counter, file_name=path, file_format="ONNX")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC", "SM4-CBC"])
def test_encrypted_files(tmp_path, mode):
    path = tmp_path / "net.mindir"
    mindir.convert(DIGITS, path, enc_key=KEY, enc_mode=mode)
    assert np.array_equal(answer(path, dec_key=KEY, dec_mode=mode), EXPECTED)
    with pytest.raises(mindir.EncryptedError):
        mindir.load(path)
    with pytest.raises((mindir.EncryptedError, mindir.CorruptError)):
        mindir.load(path, dec_key=KEY[::-1], dec_mode=mode)
    with pytest.raises(mindir.InputError):
        mindir.load(path, dec_key=b"short")
    mindir.convert(path, tmp_path / "plain.mindir", dec_key=KEY, dec_mode=mode)
    assert np.array_equal(answer(tmp_path / "plain.mindir"), EXPECTED)


def test_decryption_of_ones_own(tmp_path):
    path = tmp_path / "net.mindir"
    path.write_bytes(bytes(b ^ 0x55 for b in open(DIGITS, "rb").read()))

    def decrypt(file_name, key):
        return bytes(b ^ key[0] for b in open(file_name, "rb").read())

    assert np.array_equal(answer(path, dec_key=b"\x55", dec_mode=decrypt), EXPECTED)
    other = os.path.join(os.fsencode(tmp_path), b"\xff.mindir")
    os.rename(path, other)
    assert np.array_equal(answer(os.fsdecode(other), dec_key=b"\x55", dec_mode=decrypt), EXPECTED)


def test_conversions(tmp_path):
    mindir.convert(DIGITS, tmp_path / "net.onnx", opset=18)
    mindir.convert(tmp_path / "net.onnx", tmp_path / "back.mindir")
    mindir.convert(DIGITS, tmp_path / "net.mindir", split=True)
    mindir.convert(DIGITS, tmp_path / "net.air")
    with pytest.raises(mindir.FileError, match="no such file"):
        mindir.convert(tmp_path / "missing.mindir", tmp_path / "net.onnx")
    assert (tmp_path / "net_graph.mindir").exists() and (tmp_path / "net.air").stat().st_size > 200_000
    for path in ["net.onnx", "back.mindir", "net_graph.mindir"]:
        assert np.abs(answer(tmp_path / path) - EXPECTED).max() < 1e-4


@pytest.mark.parametrize("format", ["ckpt", "safetensors"])
def test_checkpoints(tmp_path, format):
    net = mindir.GraphCell(mindir.load(DIGITS))
    path = str(tmp_path / "digits")
    mindir.save_checkpoint(net, path, format=format, append_dict={"note": "é"} if format == "ckpt" else None)
    values = mindir.load_checkpoint(f"{path}.{format}", format=format)
    assert values.pop("note", "é") == "é"
    assert values.keys() == net.parameters_dict().keys()
    assert all(type(p) is mindir.Parameter and p.name == name for name, p in values.items())
    assert all(np.array_equal(values[name], p) for name, p in net.parameters_and_names())
    assert os.stat(f"{path}.{format}").st_mode & 0o777 == 0o400
    zeros = {name: np.zeros(p.shape, np.float32) for name, p in values.items()}
    assert mindir.load_param_into_net(net, zeros) == ([], [])
    assert np.all(net(np.ones((1, 1, 32, 32), np.float32)).asnumpy() == 0)
    mindir.load_checkpoint(f"{path}.{format}", net)
    assert np.array_equal(net.parameters_dict()["fc3.bias"], values["fc3.bias"])


def test_what_can_be_saved(tmp_path):
    net = mindir.GraphCell(mindir.load(DIGITS))
    path = str(tmp_path / "some.ckpt")
    bias = np.array(net.parameters_dict()["fc3.bias"])
    for what in [
        [p for p in net.get_parameters() if p.name == "fc3.bias"],
        [{"name": "fc3.bias", "data": mindir.Tensor(bias)}],
        {"fc3.bias": bias},
    ]:
        mindir.save_checkpoint(what, path, crc_check=True)
        values = mindir.load_checkpoint(path, crc_check=True)
        assert list(values) == ["fc3.bias"] and np.array_equal(values["fc3.bias"], bias)
    mindir.save_checkpoint({"a": bias, "b": 3}, path, enc_key=KEY)
    assert mindir.load_checkpoint(path, dec_key=KEY)["b"].item() == 3
    with pytest.raises(mindir.Error):
        mindir.load_checkpoint(path)
    with pytest.raises(mindir.InputError, match="no entries"):
        mindir.save_checkpoint({}, path)
    for wrong in [3, [3], "text"]:
        with pytest.raises(TypeError):
            mindir.save_checkpoint(wrong, path)
    with pytest.raises(mindir.FileError):
        mindir.save_checkpoint(net, str(tmp_path))
    with pytest.raises(mindir.InputError):
        mindir.save_checkpoint(net, path, format="pth")


def test_values_that_do_not_fit():
    net = mindir.GraphCell(mindir.load(DIGITS))
    before = np.array(net.parameters_dict()["fc3.bias"])
    with pytest.raises(mindir.InputError, match="fc3.bias"):
        mindir.load_param_into_net(net, {"fc3.bias": np.zeros(11, np.float32)})
    with pytest.raises(mindir.InputError, match="fc3.bias"):
        mindir.load_param_into_net(net, {"fc3.bias": np.zeros(10, np.float64)}, strict_load=True)
    assert np.array_equal(net.parameters_dict()["fc3.bias"], before)
    mindir.load_param_into_net(net, {"fc3.bias": np.zeros(10, np.float64)})
    assert net.parameters_dict()["fc3.bias"].dtype == mindir.float32
    for wrong in [(3, {}), (net, [])]:
        with pytest.raises(TypeError):
            mindir.load_param_into_net(*wrong)
