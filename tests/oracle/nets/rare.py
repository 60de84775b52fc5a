"""Operators that few networks have: segments, sparse tensors, images, sequences; one network for each family."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops.operations import array_ops, image_ops, math_ops, nn_ops, sparse_ops

from .common import model, noise, table, uniform


def t(values, dtype):
    return Tensor(np.array(values), dtype)


F32, I32, I64 = ms.float32, ms.int32, ms.int64


def with_constants(op, *constants, last=False):
    """`op` of the input and constants, or of constants and then the input."""
    def run(x):
        return op(*constants, x) if last else op(x, *constants)
    return run


@model("segments")
def segments():
    ids, rows = t([0, 0, 1, 3], I32), t(noise(2, 3, seed=2), F32)
    kinds = {n: with_constants(getattr(array_ops, n)(), ids) for n in "SegmentSum SegmentMean SegmentMax SegmentMin SegmentProd".split()}
    picked = {n: with_constants(getattr(sparse_ops, n)(), t([0, 2, 3, 0], I32), t([0, 0, 2, 2], I32), t(4, I32))
              for n in "SparseSegmentSumWithNumSegments SparseSegmentMeanWithNumSegments SparseSegmentSqrtNWithNumSegments".split()}
    return table({
        **kinds, **picked,
        "InplaceAdd": with_constants(math_ops.InplaceAdd((0, 2)), rows),
        "InplaceSub": with_constants(math_ops.InplaceSub((0, 2)), rows),
        "InplaceUpdateV2": with_constants(math_ops.InplaceUpdateV2(), (1, 3), rows),
        "IndexPut": with_constants(array_ops.IndexPut(1), t([2.5], F32), (t([0, 0], I32), t([1, -1], I32))),
        "MaskedScatter": with_constants(ops.auto_generate.MaskedScatter(), t([True, False, True], ms.bool_), t(noise(8, seed=3), F32)),
        "ScatterAddWithAxis": with_constants(array_ops.ScatterAddWithAxis(1), t([[2, 0]], I32), t([[1.5, -2.0]], F32)),
    }, noise(4, 3))


@model("searches")
def searches():
    def vector(x):
        return x.reshape(12)
    def histogram(x):
        return math_ops.Histogram(5, -1.0, 1.0)(vector(x))

    def equal_count(x):
        return math_ops.EqualCount()(x, ops.relu(x))

    def list_diff(x):
        return array_ops.ListDiff()(vector(x), vector(x)[:3])

    def padding(x):
        return array_ops.Padding(4)(x[:, :1])

    def identity_n(x):
        return array_ops.IdentityN()((x, x[0]))

    def concat_offset_v1(x):
        return array_ops.ConcatOffsetV1()(t(1, I32), (t([4, 3], I32), t([4, 2], I32)))

    def tril_indices(x):
        return math_ops.TrilIndices(3, 4, 1)()

    def log_space(x):
        return array_ops.LogSpace(4, 2)(x[0, 0], x[1, 1])

    def unravel_index(x):
        return array_ops.UnravelIndex()(t([5, 0, 11], I32), t([4, 3], I32))

    return table({
        "Bucketize": math_ops.Bucketize([-1.0, 0.0, 0.5]),
        "LowerBound": with_constants(array_ops.LowerBound(), t([[-1.0, 0.0, 0.5], [-1.0, 0.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]], F32), last=True),
        "UpperBound": with_constants(array_ops.UpperBound(ms.int64), t([[-1.0, 0.0, 0.5], [-1.0, 0.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]], F32), last=True),
        "Histogram": histogram,
        "NthElement": with_constants(nn_ops.NthElement(), 1),
        "EqualCount": equal_count,
        "ListDiff": list_diff,
        "Eps": math_ops.Eps(),
        "Padding": padding,
        "IdentityN": identity_n,
        "ConcatOffsetV1": concat_offset_v1,
        "TrilIndices": tril_indices,
        "LogSpace": log_space,
        "UnravelIndex": unravel_index,
    }, noise(4, 3))


@model("sparse")
def sparse():
    at, shape = t([[0, 1], [1, 2], [2, 0], [3, 2]], I64), t([4, 3], I64)
    other = t([[0, 1], [3, 0]], I64)

    def union(name, *more):
        op = getattr(sparse_ops, name)()

        def run(v, dense):
            return op(at, v, shape, other, v[:2], shape, *more)
        return run

    def softmax(v, dense):
        return sparse_ops.SparseSoftmax()(at, v, shape)

    def sliced(v, dense):
        return sparse_ops.SparseSlice()(at, v, shape, t([1, 0], I64), t([2, 3], I64))

    def dense_add(v, dense):
        return sparse_ops.SparseTensorDenseAdd()(at, v, shape, dense)

    def dense_mul(v, dense):
        return sparse_ops.SparseDenseCwiseMul()(at, v, shape, dense)

    def csr(v, dense):
        return sparse_ops.DenseToCSRSparseMatrix()(dense, t([[0, 0], [0, 2], [1, 2], [3, 1]], I32))

    def back(v, dense):
        return sparse_ops.CSRSparseMatrixToDense()(*csr(v, dense))

    def turned(v, dense):
        return sparse_ops.SparseMatrixTranspose()(*csr(v, dense))[4]

    def sparse_to_dense(v, dense):
        return sparse_ops.SparseToDense()(t([[0, 1], [1, 2], [2, 0], [3, 2]], I32), v, (4, 3))

    def sparse_tensor_dense_matmul(v, dense):
        return sparse_ops.SparseTensorDenseMatmul(adjoint_st=True)(at, v, (4, 3), dense)

    def sparse_reorder(v, dense):
        return sparse_ops.SparseReorder()(t([[3, 2], [0, 1], [2, 0], [1, 2]], I64), v, shape)

    def sparse_concat(v, dense):
        return sparse_ops.SparseConcat(1)((at, at), (v, v), (shape, shape))

    def ragged_range(v, dense):
        return math_ops.RaggedRange(ms.int64)(t([2, 5, 8], I32), t([3, 5, 12], I32), t([1, 1, 1], I32))

    def ragged_tensor_to_sparse(v, dense):
        return sparse_ops.RaggedTensorToSparse(ms.int64)((t([0, 3, 3, 4], I64),), v)

    def dense_to_dense_set_operation(v, dense):
        return sparse_ops.DenseToDenseSetOperation("union")(t([[2, 2, 0], [2, 2, 1]], I32), t([[2, 2, 1], [0, 2, 0]], I32))

    return table({
        "SparseToDense": sparse_to_dense,
        "SparseTensorDenseAdd": dense_add,
        "SparseTensorDenseMatmul": sparse_tensor_dense_matmul,
        "SparseDenseCwiseMul": dense_mul,
        "SparseSoftmax": softmax,
        "SparseReorder": sparse_reorder,
        "SparseSlice": sliced,
        "SparseConcat": sparse_concat,
        "SparseAdd": union("SparseAdd", t(0.0, F32)),
        "SparseSparseMaximum": union("SparseSparseMaximum"),
        "RaggedRange": ragged_range,
        "RaggedTensorToSparse": ragged_tensor_to_sparse,
        "CSRSparseMatrixToDense": back,
        "SparseMatrixTranspose": turned,
        "DenseToDenseSetOperation": dense_to_dense_set_operation,
    }, noise(4), noise(4, 3, seed=1))


@model("images")
def images():
    boxes, index = t([[0.0, 0.0, 1.0, 1.0], [0.2, 0.3, 1.2, 0.8]], F32), t([0, 0], I32)
    offsets = t([[0.6, -0.3]], F32)

    def crop(method):
        return with_constants(image_ops.CropAndResize(method, 0.5), boxes, index, (2, 3))

    def planes(x):
        return ops.transpose(x, (0, 3, 1, 2))

    def resized(mode, edges, height):
        op, nothing, size = image_ops.ResizeV2(edges, mode), t([0.0], F32), t([1, 3, height, 7], I64)

        def run(x):
            return op(planes(x)[:, :, :height], nothing, nothing, size)
        return run

    def translated(kernel, antialias):
        op = image_ops.ScaleAndTranslate(kernel, antialias)
        return with_constants(op, t([3, 5], I32), t([0.5, 1.5], F32), t([0.5, -0.5], F32))

    kernels = "lanczos3 gaussian box triangle keyscubic mitchellcubic".split()
    def affine_grid(x):
        return ops.operations.AffineGrid(True)(x[:, :2, :3, 0], (1, 1, 2, 3))

    return table({
        "AdjustContrastv2": with_constants(image_ops.AdjustContrastv2(), t(2.0, F32)),
        "AdjustHue": with_constants(image_ops.AdjustHue(), t(0.3, F32)),
        "AdjustSaturation": with_constants(image_ops.AdjustSaturation(), t(0.5, F32)),
        "RGBToHSV": image_ops.RGBToHSV(),
        "HSVToRGB": image_ops.HSVToRGB(),
        "CropAndResize": crop("bilinear"),
        "CropAndResize, nearest": crop("nearest"),
        "ExtractGlimpse": with_constants(image_ops.ExtractGlimpse(True, True, False, "zero"), t([2, 3], I32), offsets),
        "ResizeArea": with_constants(image_ops.ResizeArea(), t([2, 3], I32)),
        "ResizeArea, corners": with_constants(image_ops.ResizeArea(True), t([2, 3], I32)),
        "ResizeV2, nearest": resized("nearest", "half_pixel", 1),
        "ResizeV2, linear": resized("linear", "align_corners", 1),
        "ResizeV2, cubic": resized("cubic", "half_pixel", 3),
        **{f"ScaleAndTranslate, {k}": translated(k, k != "triangle") for k in kernels},
        "AffineGrid": affine_grid,
    }, uniform(0.0, 1.0, 1, 4, 5, 3))


@model("proposals")
def proposals():
    def scores(x):
        return ops.sigmoid(x[:, 0])

    def square(x):
        return ops.sigmoid(ops.matmul(x, x.T))

    def bounding_box_encode(x):
        return ops.operations.BoundingBoxEncode()(ops.abs(x), ops.abs(x) + 1.0)

    def bounding_box_decode(x):
        return ops.operations.BoundingBoxDecode(max_shape=(10, 12))(ops.abs(x), x)

    def check_valid(x):
        return ops.operations.CheckValid()(x, t([1.0, 2.0, 1.0], F32))

    def non_max_suppression_with_overlaps(x):
        return image_ops.NonMaxSuppressionWithOverlaps()(square(x), scores(x), t(3, I32), t(0.5, F32), t(0.1, F32))

    def ctc_greedy_decoder(x):
        return nn_ops.CTCGreedyDecoder()(ops.reshape(x, (3, 2, 4)), t([3, 2], I32))

    def no_repeat_n_gram(x):
        return ops.operations.inner_ops.NoRepeatNGram(2)(t([[[1, 2, 1, 2, 3, 1]]], I32), x[None, :1])

    def compare_and_bitpack(x):
        return math_ops.CompareAndBitpack()(ops.reshape(x, (3, 8)), t(0.0, F32))

    def data_format_vec_permute(x):
        return nn_ops.DataFormatVecPermute("NCHW", "NHWC")(t([1, 2, 3, 4], I32))

    return table({
        "BoundingBoxEncode": bounding_box_encode,
        "BoundingBoxDecode": bounding_box_decode,
        "CheckValid": check_valid,
        "NonMaxSuppressionWithOverlaps": non_max_suppression_with_overlaps,
        "CTCGreedyDecoder": ctc_greedy_decoder,
        "NoRepeatNGram": no_repeat_n_gram,
        "CompareAndBitpack": compare_and_bitpack,
        "DataFormatVecPermute": data_format_vec_permute,
    }, noise(6, 4))
