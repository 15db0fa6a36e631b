"""Upsample, filter, downsample: resampling of images with any finite impulse response (FIR) filter.

Along one axis, with x spread by zeros to u[i * up] = x[i] and padded by p in front,

    y[o] = sum over k of  f[taps - 1 - k] * u[o * down + k - p]

which is the operator of Karras et al. (StyleGAN, 2019; StyleGAN2, 2020), and of SciPy's and MATLAB's ``upfirdn``. The
zeros are never multiplied: output o only meets every ``up``-th tap of the filter.

``f`` is a NumPy array on the CPU wherever x is: (taps,), used along both axes, or (rows, columns). ``up`` and ``down``
are an int or (vertical, horizontal); ``padding`` an int, (vertical, horizontal) or ((top, bottom), (left, right)), and
negative padding cuts off. Images are float32 or float64 N,C,H,W; what does not fit raises TypeError or ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import Pair, arrays, dimensions, output, pair, run

Sides = tuple[Pair, Pair]
Padding = int | Pair | Sides


def upfirdn2d(
    x: np.ndarray,
    f: Any,
    up: int | Pair = 1,
    down: int | Pair = 1,
    padding: Padding = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return (N,C,outH,outW), out = (in * up + padding in front + behind - taps) // down + 1 along each axis."""
    name = "upfirdn2d"
    up, down, margins, f = settings(name, f, up, down, padding)
    (x,) = arrays(name, x=x)
    dimensions(name, "x", x, "N,C,H,W")
    tall, wide = output_size(name, x.shape, f, up, down, margins)
    y = output(name, out, (*x.shape[:2], tall, wide), (x,))
    before = (margins[0][0], margins[1][0])
    _filtered(x, y, np.flip(f), up, down, before)
    return y


def upfirdn2d_grad(
    gy: np.ndarray,
    f: Any,
    input_hw: Pair,
    up: int | Pair = 1,
    down: int | Pair = 1,
    padding: Padding = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the gradient of ``upfirdn2d`` by x, whose height and width ``down`` leaves open: ``input_hw``.

    It is the transpose. Input i meets output o at tap k = i * up + p - o * down, which is the same sum with up and down
    exchanged, the filter turned, and taps - 1 - p zeros in front. So its own gradient is ``upfirdn2d``.
    """
    name = "upfirdn2d_grad"
    up, down, margins, f = settings(name, f, up, down, padding)
    (gy,) = arrays(name, gy=gy)
    dimensions(name, "gy", gy, "N,C,H,W")
    height, width = pair(name, "input_hw", input_hw, 0)
    expected = output_size(name, (*gy.shape[:2], height, width), f, up, down, margins)
    if gy.shape[2:] != expected:
        raise ValueError(
            f"{name}: gy is {gy.shape}, but an input of {height}x{width} has an output of {expected[0]}x{expected[1]}"
        )
    gx = output(name, out, (*gy.shape[:2], height, width), (gy,))
    taps = f.shape if f.ndim == 2 else f.shape * 2
    before = (taps[0] - 1 - margins[0][0], taps[1] - 1 - margins[1][0])
    _filtered(gy, gx, f, down, up, before)
    return gx


def settings(operator: str, f: Any, up: Any, down: Any, padding: Any) -> tuple[Pair, Pair, Sides, np.ndarray]:
    """Check all but the image, and return (up, down, ((top, bottom), (left, right)), the filter as an array)."""
    f = np.asarray(f) if isinstance(f, (list, tuple)) else f
    if not isinstance(f, np.ndarray) or f.dtype.kind not in "fiu":
        kind = f.dtype if isinstance(f, np.ndarray) else type(f).__name__
        raise TypeError(f"{operator}: the filter must be a NumPy array or a list of numbers, got {kind}")
    if f.ndim not in (1, 2) or f.size == 0:
        raise ValueError(f"{operator}: the filter must be (taps,) or (rows, columns) and not empty, got {f.shape}")
    if not np.isfinite(f).all():
        raise ValueError(f"{operator}: the filter must be finite, got {f.tolist()}")
    return pair(operator, "up", up, 1), pair(operator, "down", down, 1), sides(operator, padding), f


def sides(operator: str, padding: Any) -> Sides:
    """Return ``padding`` as ((top, bottom), (left, right))."""
    if isinstance(padding, (tuple, list)) and len(padding) == 2:
        top, left = padding
        if isinstance(top, (tuple, list)) and isinstance(left, (tuple, list)):
            smallest = -(2**31)
            return pair(operator, "padding[0]", top, smallest), pair(operator, "padding[1]", left, smallest)
    try:
        vertical, horizontal = pair(operator, "padding", padding, -(2**31))
    except TypeError:
        raise TypeError(
            f"{operator}: padding must be an int, (vertical, horizontal) or ((top, bottom), (left, right)), "
            f"got {padding!r}"
        ) from None
    return (vertical, vertical), (horizontal, horizontal)


def output_size(operator: str, shape: tuple[int, ...], f: np.ndarray, up: Pair, down: Pair, margins: Sides) -> Pair:
    """Return (outH, outW) for an input N,C,H,W of ``shape``; ValueError where the filter does not fit inside."""
    found = []
    taps = f.shape if f.ndim == 2 else f.shape * 2
    for size, u, d, (before, after), count in zip(shape[2:], up, down, margins, taps, strict=True):
        padded = size * u + before + after
        if padded < count:
            raise ValueError(
                f"{operator}: the filter has {taps[0]}x{taps[1]} taps, more than an input of {shape[2]}x{shape[3]} has "
                f"pixels after up={up} and padding={margins}; pad more"
            )
        found.append((padded - count) // d + 1)
    return found[0], found[1]


def _filtered(x: np.ndarray, y: np.ndarray, g: np.ndarray, up: Pair, down: Pair, before: Pair) -> None:
    """Fill y[o] = sum over k of g[k] * u[o * down + k - before], along both axes.

    The kernels take a vertical filter and rows of horizontal ones: one row if the filter is separable, else one for
    each of its rows, and then the vertical filter is not read.
    """
    if x.size == 0 or y.size == 0:
        y.fill(0)
        return
    g = g.astype(x.dtype)
    column, rows = (g, g[None]) if g.ndim == 1 else (np.ones(g.shape[0], x.dtype), g)
    planes, out = x.reshape(-1, *x.shape[2:]), y.reshape(-1, *y.shape[2:])
    run(__package__, "upfirdn", y.size, planes, out, column, np.ascontiguousarray(rows), up, down, before)
