"""Plain NumPy (float64) versions of operators that MindSpore's CPU back end cannot run."""
import numpy as np
from scipy import special


def f32(*arrays):
    """Results as MindSpore would store them: floats as float32."""
    return [np.asarray(a).astype(np.float32) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in arrays]


def windows(x, kernel, stride, pad, value=0.0):
    """All kernel-sized windows of the last two axes: [..., rows, columns, kernel, kernel]."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]


def conv2d(x, w, b, stride=1, pad=0):
    """Convolution of NCHW by OIHW."""
    return np.einsum("nchwij,ocij->nohw", windows(x, w.shape[2], stride, pad), w) + b.reshape(1, -1, 1, 1)


def conv1d(x, w, pad=0):
    """Convolution of NCL by OIK."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad)))
    return np.einsum("nclk,ock->nol", np.lib.stride_tricks.sliding_window_view(x, w.shape[2], 2), w)


def conv_transpose2d(x, w, stride):
    """Transposed convolution of NCHW by IOHW without padding."""
    n, _, h, width = x.shape
    k = w.shape[2]
    y = np.zeros((n, w.shape[1], (h - 1) * stride + k, (width - 1) * stride + k))
    for i in range(h):
        for j in range(width):
            y[:, :, i * stride:i * stride + k, j * stride:j * stride + k] += np.einsum("nc,cokl->nokl", x[:, :, i, j].astype(np.float64), w)
    return y


def bilinear(x, size):
    """Bilinear resizing with half-pixel centres."""
    for axis, n in zip((2, 3), size):
        old = x.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * old / n - 0.5, 0, None)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def layer_norm(x, gamma, beta, epsilon):
    """Normalisation over the last axis: result, mean, inverse standard deviation."""
    x = x.astype(np.float64)
    mean, scale = x.mean(-1, keepdims=True), 1 / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    return (x - mean) * scale * gamma + beta


def gelu(x):
    return 0.5 * x * (1 + special.erf(x.astype(np.float64) / np.sqrt(2)))


def gelu_tanh(x):
    x = x.astype(np.float64)
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x.astype(np.float64))))
