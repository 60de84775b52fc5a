"""How far results are from what is expected."""
import numpy as np


def difference(got, want):
    """Largest difference relative to the largest magnitude (at least 1) of the expected values; inf where they cannot match."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if got.size == 0:
        return 0.0
    a, b = got.astype(np.float64), want.astype(np.float64)
    special = ~np.isfinite(b)
    if not np.array_equal(a[special], b[special], equal_nan=True) or not np.isfinite(a[~special]).all():
        return float("inf")
    a, b = a[~special], b[~special]
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) if a.size else 0.0
