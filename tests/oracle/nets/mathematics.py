"""Complex numbers, matrices, Fourier transforms and special functions: what is determined, so not the signs of singular vectors."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import auto_generate as gen
from mindspore.ops.operations import array_ops, math_ops, nn_ops, spectral_ops
from mindspore.scipy.ops import LU

from .common import Spec, model, noise, table, uniform


def definite(n):
    x = noise(n, n, seed=3)
    return (x @ x.T + 3 * np.eye(n)).astype(np.float32)


def complex_noise(*shape, seed=0):
    return (noise(*shape, seed=seed) + 1j * noise(*shape, seed=seed + 1)).astype(np.complex64)


make, polar = ops.Complex(), gen.Polar()
real, imag, angle, conj = gen.Real(), math_ops.Imag(), gen.Angle(), gen.Conj()
size, adjoint = math_ops.ComplexAbs(), array_ops.ConjugateTranspose()


def made(x, y, z):
    return real(make(x, y)), imag(polar(x * x, y))


def taken(x, y, z):
    # MindSpore's kernels that conjugate write to their operand too.
    return real(z), imag(z), angle(z), size(z), real(conj(make(x, y))), imag(adjoint(make(y, x), (1, 0)))


def parts(y):
    """Both parts of complex numbers; others as they are."""
    return ops.Stack(0)((ops.Real()(y), ops.Imag()(y))) if y.dtype in (ms.complex64, ms.complex128) else y


class ComplexArithmetic(nn.Cell):
    """Arithmetic of complex numbers, and what only moves them."""

    def construct(self, a, b):
        y = ops.Mul()(ops.MatMul(transpose_a=True)(a, b), b) + a
        joined = ops.Transpose()(ops.Concat(1)((ops.Exp()(y), y)), (1, 0))
        sums = ops.ReduceSum()(ops.Gather()(joined, Tensor([0, 2], ms.int32), 0), 1)
        flat = ops.Reshape()(joined, (-1,))
        batch = ops.ExpandDims()(a, 0)
        results = (
            sums, ops.StridedSlice()(flat, (1,), (7,), (2,)), ops.Abs()(sums), ops.Cast()(a, ms.complex128),
            ops.Div()(ops.Sub()(a, b), b), ops.Neg()(a), ops.Squeeze(0)(batch), ops.Stack(0)((a, b)), ops.Tile()(a, (2, 1)),
            ops.BroadcastTo((2, 2, 2))(a), ops.Real()(sums), ops.BatchMatMul(transpose_b=True)(batch, batch), ops.Equal()(a, b),
            ops.ReduceMean()(a, 0), ops.ReduceProd()(a, 1), ops.Cast()(a, ms.float32), ops.Cast()(ops.Real()(a), ms.complex64),
            ops.Sqrt()(a), ops.Sign()(a), ops.Pow()(a, b),
        )
        return tuple(parts(y) for y in results)


@model("complex_arithmetic")
def complex_arithmetic():
    return Spec(ComplexArithmetic(), [[complex_noise(2, 2), complex_noise(2, 2, seed=2)]])


@model("complex_parts")
def complex_parts():
    return table({"made": made, "taken": taken}, noise(2, 3), noise(2, 3, seed=1), complex_noise(2, 3, seed=2))


cholesky, cholesky_upper = gen.Cholesky(), gen.Cholesky(True)
cholesky_inverse, cholesky_solve = gen.CholeskyInverse(), math_ops.CholeskySolve()


def choleskys(a, b, s, t):
    lower = cholesky(s)
    return lower, cholesky_upper(s), cholesky_inverse(lower), cholesky_solve(b, lower)


inverse, inverse_adjoint, solve = math_ops.MatrixInverse(), math_ops.MatrixInverse(True), math_ops.MatrixSolve()
triangular, triangular_upper, by_triangle = math_ops.MatrixTriangularSolve(), math_ops.MatrixTriangularSolve(False, True), gen.SolveTriangular()
determinant, logarithm = gen.MatrixDeterminant(), gen.LogMatrixDeterminant()


def solved(a, b, s, t):
    return (inverse(a), inverse_adjoint(a), solve(a, b), triangular(a, b), triangular_upper(a, b), by_triangle(a, b, 1, True, True), by_triangle(a, b, 0, False, False),
            determinant(a), logarithm(a)[0], logarithm(a)[1])


lu, lu_solve, lu_unpack = LU(), math_ops.LuSolve(), math_ops.LuUnpack()
qr, qr_full, geqrf, orgqr = gen.Qr(), gen.Qr(True), gen.Geqrf(), math_ops.Orgqr()


def factors(a, b, s, t):
    packed, pivots, permutation = lu(a)
    pivots = pivots + 1
    p, lower, upper = lu_unpack(packed, pivots)
    q, r = qr(t)
    full, _ = qr_full(t)
    reflected, taus = geqrf(t)
    return packed, pivots, permutation, lu_solve(b, packed, pivots), p, lower, upper, q, r, full[:, :3], reflected, taus, orgqr(reflected, taus)


svd, eigh, eig = gen.Svd(), math_ops.SelfAdjointEig(), gen.Eig(True)
nuclear, least, least_old, least_regular = nn_ops.NuclearNorm(), gen.LstsqV2(), array_ops.Lstsq(), math_ops.MatrixSolveLs()
power, power_back = math_ops.MatrixPower(3), math_ops.MatrixPower(-2)
tridiagonal, tridiagonal_product = math_ops.TridiagonalSolve(), math_ops.TridiagonalMatMul()


def spectra(a, b, s, t):
    values, u, v = svd(t)
    w, vectors = eigh(s)
    e, _ = eig(a)
    solution, errors, rank, _ = least(t, t[:, :2] * t[:, 1:], "gelsd")
    return (values, ops.matmul(u * values, v.T), w, ops.matmul(vectors * w, vectors.T), size(e), nuclear(t), solution, errors, rank, least_old(t, t[:, :2]),
            least_regular(t, t[:, :2], Tensor(0.5, ms.float64)), power(a), power_back(a), tridiagonal(a[:3], b[:, :]), tridiagonal_product(a[0:1], a[1:2], a[2:3], b))


@model("matrices")
def matrices():
    a = (noise(4, 4) + 3 * np.diag([1, -2, 3, -4])).astype(np.float32)
    return table({"cholesky": choleskys, "solve": solved, "factor": factors, "spectrum": spectra}, a, noise(4, 2, seed=1), definite(4), noise(5, 3, seed=2), tolerance=2e-5)


fft, ifft, rfft, irfft, hfft, ihfft = gen.FFT(), gen.IFFT(), gen.RFFT(), gen.IRFFT(), gen.HFFT(), gen.IHFFT()
fft2, rfft2, irfftn, hfftn = gen.FFT2(), gen.RFFT2(), gen.IRFFTN(), gen.HFFTN()
dct, idct, dctn, shift, back = gen.DCT(), gen.IDCT(), gen.DCTN(), gen.FFTShift(), gen.IFFTShift()
sized, sized_back, pieces = gen.FFTWithSize(2, False, True), gen.FFTWithSize(1, True, True, "ortho", True, (7,)), math_ops.STFT(4, 2, 4, True, True, False)


def lines(x, z, w):
    a, b, c, d = fft(x, 5, -1, None), ifft(z, None, 0, "ortho"), rfft(x, None, -1, "forward"), ihfft(x, 5, -1, None)
    return real(a), imag(a), real(b), imag(b), real(c), imag(c), real(d), imag(d), irfft(z, 5, -1, None), hfft(z, None, -1, "ortho")


def planes(x, z, w):
    a, b, c = fft2(z, None, (-2, -1), None), rfft2(x, (4, 5), (1, 0), "ortho"), sized(x)
    return real(a), imag(a), real(b), imag(b), real(c), imag(c), irfftn(z, None, None, None), hfftn(z, (3, 5), None, None), sized_back(z)


def waves(x, z, w):
    return dct(x, 2, None, -1, None), dct(x, 2, 7, 0, "ortho"), idct(x, 2, 3, -1, None), dctn(x, 2, None, None, None), shift(x, None), back(x, (1,)), pieces(x, w)


bartlett, blackman, hamming = spectral_ops.BartlettWindow(), spectral_ops.BlackmanWindow(False), array_ops.HammingWindow(False)
frequencies, half = gen.FFTFreq(), gen.RFFTFreq()


def windows(x, z, w):
    return (bartlett(Tensor(5, ms.int32)), blackman(Tensor(6, ms.int32)), hamming(Tensor([6], ms.int32)), frequencies(5, 0.5, None) + w[0], half(8, 1.0, ms.float32) + w[0])


@model("fourier")
def fourier():
    return table({"line": lines, "plane": planes, "wave": waves, "window": windows}, noise(3, 8), complex_noise(3, 4, seed=1), uniform(0.2, 1.0, 4), tolerance=2e-5)


BESSELS = tuple(getattr(math_ops, n)() for n in "BesselI0e BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1".split())
igamma, igammac, zeta, betainc = math_ops.Igamma(), math_ops.Igammac(), math_ops.Zeta(), gen.Betainc()
logit, gcd, lcm, count = gen.Logit(0.1), gen.Gcd(), math_ops.Lcm(), array_ops.PopulationCount()
multigamma, next_after, polygamma = array_ops.Mvlgamma(2), gen.NextAfter(), math_ops.Polygamma()


def limited(x, y, a, b):
    return logit(ops.cast(x, ms.float32) / 8)


def after(x, y, a, b):
    return next_after(x, y)


def integers(x, y, a, b):
    return gcd(a, b), lcm(a, b), count(a)


def bessels(x, y, a, b):
    out = ()
    for f in BESSELS:
        out = out + (f(x),)
    return out


def gammas(x, y, a, b):
    # In f64 MindSpore's incomplete gamma functions are exact to 1e-7 only.
    single, other = ops.cast(x, ms.float32), ops.cast(y, ms.float32)
    return igamma(single, other), igammac(single, other), zeta(x + 1, y), betainc(x, y, 1 / (1 + y)), multigamma(x + 1), polygamma(Tensor(2, ms.int64), x)


@model("special_functions")
def special_functions():
    a, b = np.array([12, -18, 0, 7, 100], np.int32), np.array([18, 27, 5, -49, 75], np.int32)
    functions = {"Bessel": bessels, "gamma": gammas, "limit": limited, "next": after, "integer": integers}
    return table(functions, uniform(0.1, 8.0, 5, dtype=np.float64), uniform(0.1, 8.0, 5, seed=1, dtype=np.float64), a, b, tolerance=1e-6)


diagonals, diagonal_parts, set_diagonals = array_ops.MatrixDiagV3("LEFT_RIGHT"), array_ops.MatrixDiagPartV3(), array_ops.MatrixSetDiagV3("RIGHT_RIGHT")
trace, traces, cross, outer = gen.Trace(), gen.TraceV2(), gen.Cross(1), math_ops.Ger()
renorm, cdist, pdist = math_ops.Renorm(2, 0, 1.5), gen.Cdist(3.0), nn_ops.Pdist(1.0)
correlate, correlate_same, correlate_full = gen.Correlate("valid"), gen.Correlate("same"), gen.Correlate("full")


def banded(x, y, u, v):
    k = Tensor([-1, 1], ms.int32)
    parts = diagonal_parts(x, k, Tensor(9.0, ms.float32))
    return parts, diagonals(parts, k, Tensor(-1, ms.int32), Tensor(-1, ms.int32), Tensor(9.0, ms.float32)), set_diagonals(x, parts, k), trace(x), traces(x, 1, 0, 1, None)


def products(x, y, u, v):
    return cross(x, y), outer(u, v), renorm(x), cdist(x, y), pdist(x), correlate(u, v), correlate_same(v, u), correlate_full(u, v)


@model("matrix_forms")
def matrix_forms():
    return table({"band": banded, "product": products}, noise(3, 3), noise(3, 3, seed=1), noise(5, seed=2), noise(2, seed=3), tolerance=1e-5)
