import copy
import gc
import pickle
import sys

import ml_dtypes
import mindir
import numpy as np
import pytest

NAMES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
NAMES += ["complex64", "complex128"]


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("name", NAMES + ["bfloat16"])
def test_every_type_goes_there_and_back(name):
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = mindir.Tensor(array)
    assert tensor.dtype == getattr(mindir, "bool_" if name == "bool" else name)
    assert (tensor.shape, tensor.size, tensor.ndim, tensor.itemsize) == ((2, 3), 6, 2, dtype.itemsize)
    back = tensor.asnumpy()
    assert back.dtype == dtype and np.array_equal(back, array) and address(back) != address(array)
    assert np.asarray(tensor).dtype == dtype
    assert tensor.astype(tensor.dtype).tolist() == tensor.tolist() == array.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_dlpack_goes_there_and_back(name):
    array = np.arange(6).reshape(2, 3).astype(name)
    there = mindir.from_dlpack(array)
    assert address(there.asnumpy()) == address(array)
    back = np.from_dlpack(there)
    assert back.dtype == array.dtype and np.array_equal(back, array) and address(back) == address(array)


def test_no_copy_is_made():
    array = np.ones((3, 4), np.float32)
    shared = mindir.Tensor.from_numpy(array)
    assert address(shared.asnumpy()) == address(array) and shared.asnumpy().flags.writeable
    array[0, 0] = 5
    assert shared.asnumpy()[0, 0] == 5
    own = mindir.Tensor(array)
    view = own.asnumpy()
    assert address(view) == address(own.asnumpy()) != address(array)
    view[0, 0] = 6
    assert own.tolist()[0][0] == 6 and array[0, 0] == 5


def test_weights_are_not_written():
    weight = mindir.load("examples/digits/lenet5.mindir").parameters_dict()["fc1.weight"]
    assert not weight.asnumpy().flags.writeable
    assert not np.from_dlpack(weight).flags.writeable
    old = mindir.Tensor(weight).__dlpack__()  # of the form without a flag: a copy
    assert "dltensor" in repr(old)
    mine = weight.copy().asnumpy()
    mine[:] = 0
    assert np.any(weight.asnumpy() != 0)


def test_arrays_live_as_long_as_they_are_needed():
    array = np.arange(1000, dtype=np.int64)
    before = sys.getrefcount(array)
    tensors = [mindir.Tensor.from_numpy(array), mindir.from_dlpack(array)]
    views = [tensor.asnumpy() for tensor in tensors]
    packed = [tensor.__dlpack__(max_version=(1, 0)) for tensor in tensors] + [tensors[0].__dlpack__()]
    assert sys.getrefcount(array) > before
    del tensors, packed
    gc.collect()
    assert [int(view.sum()) for view in views] == [499500, 499500]
    del views
    gc.collect()
    mindir.Tensor(1)  # what was let go without the lock is let go now
    assert sys.getrefcount(array) == before


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.float32)[::-2],
        np.arange(12, dtype=">f4"),
        np.frombuffer(bytes(13), np.uint8)[1:].view(np.float32),
        np.broadcast_to(np.float32(3), (2, 2)),
        np.zeros((0, 3), np.float32),
        np.float32(3),
    ],
    ids=["transposed", "backwards", "big-endian", "misaligned", "broadcast", "empty", "scalar"],
)
def test_arrays_of_every_layout(array):
    tensor = mindir.Tensor(array)
    assert tensor.dtype == mindir.float32 and np.array_equal(tensor.asnumpy(), array)
    assert tensor.shape == np.shape(array)


def test_numbers_and_lists():
    assert [str(mindir.Tensor(x).dtype) for x in (1, 1.5, True, [1, 2], [1.5])] == ["Int64", "Float32", "Bool", "Int64", "Float32"]
    assert mindir.Tensor(2.5).item() == 2.5 and float(mindir.Tensor(2.5)) == 2.5 and int(mindir.Tensor(7)) == 7
    assert not mindir.Tensor(False) and len(mindir.Tensor([1, 2])) == 2
    assert mindir.Tensor([[1, 2], [3, 4]])[1].tolist() == [3, 4]
    assert mindir.Tensor(2**63 - 1).item() == 2**63 - 1
    assert mindir.Tensor([1.0, 2.0], "float16").dtype == mindir.Tensor([1, 2], np.float16).dtype == mindir.float16
    with pytest.raises(TypeError):
        len(mindir.Tensor(1))


@pytest.mark.parametrize("wrong", [object(), "text", np.array(["a"]), np.array([None]), np.datetime64("2026-01-01")])
def test_what_is_no_tensor(wrong):
    with pytest.raises(mindir.InputError, match="there are no tensors of"):
        mindir.Tensor(wrong)


def test_bfloat16_without_its_package(monkeypatch):
    tensor = mindir.Tensor([1.5, 2.5], mindir.bfloat16)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match="ml_dtypes"):
        tensor.asnumpy()
    assert tensor.tolist() == [1.5, 2.5] and str(tensor) == "[1.5 2.5]"
    assert tensor.astype(mindir.float32).asnumpy().tolist() == [1.5, 2.5]


def test_devices_and_wrong_types_by_dlpack():
    class Elsewhere:
        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self):
            raise AssertionError("nobody asks")

    with pytest.raises(mindir.InputError, match="host memory"):
        mindir.from_dlpack(Elsewhere())
    with pytest.raises(BufferError):
        mindir.Tensor(1).__dlpack__(dl_device=(2, 0))
    with pytest.raises(mindir.InputError, match="row-major"):
        mindir.from_dlpack(np.ones((2, 3)).T)
    weights = mindir.load("examples/digits/lenet5.mindir").parameters_dict()["fc3.bias"]
    with pytest.raises(BufferError, match="copied"):
        weights.__dlpack__(copy=False)
    assert np.array_equal(np.from_dlpack(weights), weights.asnumpy())


@pytest.mark.parametrize("name", NAMES + ["bfloat16"])
def test_tensors_are_pickled_and_copied(name):
    dtype = getattr(mindir, "bool_" if name == "bool" else name)
    for tensor in [mindir.Tensor([[1, 0, 1]], dtype), mindir.Tensor(1, dtype), mindir.Tensor(np.zeros((2, 0)), dtype)]:
        for other in [pickle.loads(pickle.dumps(tensor)), copy.copy(tensor), copy.deepcopy(tensor)]:
            assert (other.dtype, other.shape, other.tolist()) == (tensor.dtype, tensor.shape, tensor.tolist())
    assert pickle.loads(pickle.dumps(dtype)) == dtype


def test_parameters_are_pickled_and_copied():
    bias = mindir.load("examples/digits/lenet5.mindir").parameters_dict()["fc3.bias"]
    for other in [pickle.loads(pickle.dumps(bias)), copy.deepcopy(bias)]:
        assert isinstance(other, mindir.Parameter) and other.name == "fc3.bias" and np.array_equal(other, bias)
    function, (dtype, shape, elements, name) = bias.__reduce__()
    with pytest.raises(mindir.InputError, match="39"):
        function(dtype, shape, elements[:-1], name)


def test_complex_numbers_are_converted():
    tensor = mindir.Tensor([1, 2], mindir.complex64)
    assert tensor.dtype == mindir.complex64 and tensor.tolist() == [1, 2]
    assert tensor.astype(mindir.complex128).tolist() == [1, 2]
    assert mindir.Tensor([1.5], mindir.bfloat16).astype(mindir.complex64).tolist() == [1.5]
    for dtype in [mindir.float32, mindir.bfloat16, mindir.int32]:
        with pytest.warns(np.exceptions.ComplexWarning):
            assert tensor.astype(dtype).tolist() == [1, 2]


def test_tensors_are_compared_element_by_element():
    tensor = mindir.Tensor([1, 2, 3])
    same = tensor == [1, 5, 3]
    assert isinstance(same, mindir.Tensor) and same.tolist() == [True, False, True]
    assert (tensor != mindir.Tensor([1, 2, 4])).tolist() == [False, False, True]
    assert (mindir.Tensor([1.5, 2.0], mindir.bfloat16) == 1.5).tolist() == [True, False]
    assert bool(mindir.Tensor(3) == 3) and 2 in tensor and 4 not in tensor
    assert len({tensor, tensor, mindir.Tensor([1, 2, 3])}) == 2
    with pytest.raises(TypeError):
        tensor < 3


def test_tensors_are_walked_along_their_first_dimension():
    assert [part.tolist() for part in mindir.Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert list(mindir.Tensor(np.zeros((0, 2)))) == []
    with pytest.raises(TypeError):
        iter(mindir.Tensor(1))


def test_types():
    assert repr(mindir.float32) == "mindir.float32" and str(mindir.bfloat16) == "BFloat16" and str(mindir.uint8) == "UInt8"
    assert mindir.float32 != mindir.float64 and len({mindir.float32, mindir.Tensor(1.0).dtype}) == 1
