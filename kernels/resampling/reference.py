"""A linear map along one axis, as the product with its matrix."""

from typing import Any

import numpy as np


def matrix(table: Any) -> np.ndarray:
    """Return the matrix (outputs, inputs) of a ``Table``."""
    result = np.zeros((table.outputs, table.inputs))
    for o in range(table.outputs):
        for entry in range(table.starts[o], table.starts[o + 1]):
            result[o, table.index[entry]] += table.weight[entry]
    return result


def resample_axis(x: np.ndarray, table: Any, axis: int) -> np.ndarray:
    """Return x with the matrix applied along ``axis``."""
    return np.moveaxis(np.tensordot(matrix(table).astype(x.dtype), x, (1, axis)), 0, axis)


def _cubic(t: float, a: float) -> float:
    """Keys' kernel, as the paper has it: a polynomial on each of two intervals."""
    t = abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def _tent(t: float) -> float:
    return max(0.0, 1 - abs(t))


def weights(n: int, out: int, factor: float | None, mode: str, align_corners: bool, antialias: bool) -> np.ndarray:
    """Return the matrix (out, n) of an interpolation along one axis: each output's weight for each input."""
    step = 1 / factor if factor else n / out
    if align_corners:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    result = np.zeros((out, n))
    for o in range(out):
        if mode in ("nearest", "nearest-exact"):
            result[o, min(int((o + (0.5 if mode == "nearest-exact" else 0)) * step), n - 1)] = 1
        elif mode == "area":
            covered = [i for i in range(n) if i < (o + 1) * n / out and i + 1 > o * n / out]
            result[o, covered] = 1 / len(covered)
        elif antialias:
            wide = max(step, 1)
            for i in range(n):
                t = (i + 0.5 - (o + 0.5) * step) / wide
                result[o, i] = _cubic(t, -0.5) if mode == "bicubic" else _tent(t)
            result[o] /= result[o].sum()
        else:
            position = o * step if align_corners else (o + 0.5) * step - 0.5
            for i in range(-n - 4, 2 * n + 4):
                edge = min(max(i, 0), n - 1)
                result[o, edge] += _cubic(position - i, -0.75) if mode == "bicubic" else _tent(position - i)
    return result


def interpolate(
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> np.ndarray:
    """Return x (N,C,...) with a matrix of weights applied along each axis of pixels."""
    for i, n in enumerate(x.shape[2:]):
        factor = scale_factor[i] if isinstance(scale_factor, tuple) else scale_factor
        out = int(n * factor) if factor else size[i] if isinstance(size, tuple) else size
        matrix = weights(n, out, factor, mode, align_corners, antialias).astype(x.dtype)
        x = np.moveaxis(np.tensordot(matrix, x, (1, 2 + i)), 0, 2 + i)
    return x
