"""Elementwise operators: one output per operator, over odd shapes, broadcasting and several types."""
import mindspore as ms
import numpy as np
from mindspore import ops

from .common import integers, model, noise, primitives, table, uniform

SMOOTH = "Exp Sin Cos Tan Sinh Cosh Tanh Atan Asinh Erf Erfc Expm1 Sigmoid"
STEPS = "Abs Neg Square Sign Floor Ceil Round Rint Trunc ReLU ReLU6 ZerosLike OnesLike Identity"
POSITIVE = "Log Log1p Sqrt Rsqrt Reciprocal Inv Lgamma Digamma"
ACTIVATIONS = "Elu SeLU Softplus Softsign Mish HSwish HSigmoid GeLU FastGeLU CeLU HShrink SoftShrink Softmax LogSoftmax"
BINARY = "Add Sub Mul Div RealDiv Maximum Minimum SquaredDifference Atan2 FloorDiv FloorMod Mod TruncateDiv TruncateMod Pow DivNoNan Xdivy Xlogy"
COMPARE = "Equal NotEqual Greater GreaterEqual Less LessEqual"


def gelu_exact(x):
    return ops.gelu(x, approximate="none")


def leaky(x):
    return ops.leaky_relu(x, 0.2)


def clip(x):
    return ops.clip_by_value(x, -0.5, 0.7)


def clamp_low(x):
    return ops.clamp(x, -0.3)


def hardtanh(x):
    return ops.hardtanh(x, -0.4, 0.6)


def threshold(x):
    return ops.threshold(x, 0.1, -3.0)


def glu(x):
    return ops.glu(x, 0)


def softmax_first(x):
    return ops.softmax(x, 0)


def prelu(x):
    return ops.prelu(x, ms.Tensor(np.array([0.1, 0.3, 0.5], np.float32)))


def lerp(a, b):
    return ops.lerp(a, b, 0.3)


def addcmul(a, b):
    return ops.addcmul(a, b, a, 0.5)


def addcdiv(a, b):
    return ops.addcdiv(a, b, a * a + 1, 0.5)


def hypot(a, b):
    return ops.hypot(a, b)


def left_scalar(a, b):
    return 1.5 - a * 2 + b / 3


def power_scalar(a, b):
    return a ** 2 + b ** 3


def mixed_sign_division(a, b):
    return a // b, a % b


@model("unary_smooth")
def unary_smooth():
    functions = primitives(SMOOTH) | {"log_sigmoid": ops.logsigmoid, "silu": ops.silu}
    return table(functions, noise(3, 7, 5), tolerance=2e-4)


@model("unary_steps")
def unary_steps():
    x = noise(4, 9, scale=3)
    x[0, :6] = [0.5, 1.5, 2.5, -0.5, -1.5, 0.0]
    return table(primitives(STEPS), x, tolerance=0.0)


@model("unary_positive")
def unary_positive():
    return table(primitives(POSITIVE), uniform(0.05, 8, 5, 11), tolerance=2e-4)


@model("unary_unit")
def unary_unit():
    """Functions defined between -1 and 1."""
    return table({"Asin": ops.Asin(), "ACos": ops.ACos(), "Atanh": ops.Atanh(), "Erfinv": ops.Erfinv(), "BesselI0": ops.BesselI0(),
                  "BesselI1": ops.BesselI1()}, uniform(-0.95, 0.95, 5, 11), tolerance=2e-4)


@model("activations")
def activations():
    functions = primitives(ACTIVATIONS) | {"gelu_exact": gelu_exact, "leaky": leaky, "clip": clip, "clamp_low": clamp_low,
                                           "hardtanh": hardtanh, "threshold": threshold, "softmax_first": softmax_first}
    return table(functions, noise(6, 13, scale=2), tolerance=5e-4)


@model("activations_channels")
def activations_channels():
    return table({"prelu": prelu, "glu": glu}, noise(2, 3, 4, 5))


@model("special_values")
def special_values():
    """Infinities, NaN and signed zeros."""
    x = np.array([[np.inf, -np.inf, np.nan, 0.0, -0.0], [20.0, -20.0, 0.5, -3.5, 1e-6]], np.float32)
    return table(primitives("IsNan IsInf IsFinite Abs Neg Sigmoid Tanh Sqrt ReLU Sign Floor") |
                 {"nan_to_num": ops.nan_to_num}, x)


@model("binary_same")
def binary_same():
    functions = primitives(BINARY) | {"lerp": lerp, "addcmul": addcmul, "addcdiv": addcdiv, "hypot": hypot, "left_scalar": left_scalar,
                                      "power_scalar": power_scalar}
    return table(functions, uniform(0.1, 4, 3, 7), uniform(0.2, 3, 3, 7, seed=1))


@model("binary_broadcast")
def binary_broadcast():
    return table(primitives("Add Sub Mul Div Maximum Minimum SquaredDifference Greater"), noise(4, 1, 5), noise(3, 1, seed=1))


@model("binary_broadcast_ranks")
def binary_broadcast_ranks():
    return table(primitives("Add Mul Less Pow"), np.abs(noise(2, 3, 1, 5)), np.array(1.7, np.float32))


@model("binary_signs")
def binary_signs():
    """Division and remainder of every combination of signs."""
    a = np.array([7.5, -7.5, 7.5, -7.5, 6.0, -6.0], np.float32)
    b = np.array([2.0, 2.0, -2.0, -2.0, 4.0, -3.0], np.float32)
    return table(primitives("FloorDiv FloorMod Mod TruncateDiv TruncateMod Div Atan2"), a, b)


@model("binary_int32")
def binary_int32():
    a, b = integers(-50, 50, 3, 8), integers(1, 9, 3, 8, seed=1) * np.array([1, -1] * 4, np.int32)
    return table(primitives("Add Sub Mul Div FloorDiv FloorMod TruncateDiv TruncateMod Maximum Minimum SquaredDifference") |
                 primitives(COMPARE) | {"divmod": mixed_sign_division}, a, b)


@model("binary_int64")
def binary_int64():
    a, b = integers(-(1 << 40), 1 << 40, 3, 8, dtype=np.int64), integers(1, 999, 8, seed=1, dtype=np.int64)
    return table(primitives("Add Sub Mul FloorDiv FloorMod Maximum Minimum " + COMPARE), a, b)


@model("binary_small_ints")
def binary_small_ints():
    """8-bit arithmetic wraps around."""
    return table(primitives("Add Sub Mul Maximum Minimum Greater Equal"), integers(-128, 128, 2, 9, dtype=np.int8), integers(-128, 128, 2, 9, seed=1, dtype=np.int8))


@model("binary_uint8")
def binary_uint8():
    return table(primitives("Add Sub Mul Maximum Minimum Less NotEqual"), integers(0, 256, 2, 9, dtype=np.uint8), integers(0, 256, 2, 9, seed=1, dtype=np.uint8))


@model("compare")
def compare():
    a, b = integers(0, 4, 3, 7).astype(np.float32), integers(0, 4, 3, 7, seed=1).astype(np.float32)
    a[0, 0] = np.nan
    return table(primitives(COMPARE + " ApproximateEqual"), a, b)


@model("logical")
def logical():
    a, b = integers(0, 2, 4, 1, 5).astype(bool), integers(0, 2, 3, 1, seed=1).astype(bool)
    return table(primitives("LogicalAnd LogicalOr LogicalXor Equal NotEqual"), a, b)


@model("logical_not")
def logical_not():
    return table(primitives("LogicalNot"), integers(0, 2, 3, 7).astype(bool))


@model("bitwise")
def bitwise():
    return table(primitives("BitwiseAnd BitwiseOr BitwiseXor"), integers(-99, 99, 3, 7), integers(-99, 99, 3, 7, seed=1))


@model("unary_int32")
def unary_int32():
    return table(primitives("Abs Neg Square Sign Invert ReLU"), integers(-99, 99, 3, 7))


@model("unary_float64")
def unary_float64():
    return table(primitives("Exp Sin Cos Tanh Sigmoid Sqrt Square Abs Neg Log Floor"), uniform(0.1, 3, 4, 5, dtype=np.float64))


@model("binary_float64")
def binary_float64():
    a, b = uniform(0.1, 4, 3, 7, dtype=np.float64), uniform(0.2, 3, 7, seed=1, dtype=np.float64)
    return table(primitives("Add Sub Mul Div Maximum Minimum Pow FloorMod Greater"), a, b)


@model("unary_float16")
def unary_float16():
    return table(primitives("Exp Sin Cos Tanh Sigmoid Sqrt Square Abs Neg Log Floor ReLU GeLU"), uniform(0.1, 3, 4, 5, dtype=np.float16))


@model("binary_float16")
def binary_float16():
    a, b = uniform(0.1, 4, 3, 7, dtype=np.float16), uniform(0.2, 3, 7, seed=1, dtype=np.float16)
    return table(primitives("Add Sub Mul Div Maximum Minimum Pow Greater Equal"), a, b)
