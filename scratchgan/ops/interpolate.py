"""Images of any other size. Every method is linear and works along one axis at a time: a table of weights for each
axis says it all, and the transposed table is the gradient."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Function
from ..device import Array
from ..kernels.arguments import SIZES
from ..kernels.resampling import Table
from ..tensor import Tensor
from .arguments import ANYTHING, FLAG, NETWORK, PAIR_1, choice, operator
from .resample import upsample_bilinear2d, upsample_nearest2d


class ResampleAxis(Function):
    """Replaces the elements along an axis by weighted sums of them; its gradient does so with the transposed table."""

    saves_inputs = saves_output = False

    def __init__(self, table: Table, axis: int):
        self.table, self.axis = table, axis

    def forward(self, x: Array) -> Array:
        return kernels.resample_axis(x, self.table, self.axis)

    def backward(self, needs: tuple[bool, ...], gy: Tensor, y: None, x: None) -> Any:
        return ResampleAxis(self.table.transposed, self.axis)(gy)


_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", *_LINEAR, "bicubic", "area")


@operator(
    x=NETWORK,
    size=ANYTHING,
    scale_factor=ANYTHING,
    mode=choice(*_MODES),
    align_corners=FLAG,
    antialias=FLAG,
)
def interpolate(
    x: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> Tensor:
    """x (N,C,L), (N,C,H,W) or (N,C,D,H,W) at another ``size``, or ``scale_factor`` times as large, rounded down.

    Both are one number for all axes or one for each, and one of them must be given. PyTorch's meanings:

    - "nearest": output o copies input floor(o * in / out); "nearest-exact": the input that its centre falls on.
    - "linear" (3 axes), "bilinear" (4), "trilinear" (5): between the two nearest pixel centres along each axis.
    - "bicubic" (4 axes): between the four nearest, by Keys' cubic (1981) with a = -0.75, which may overshoot.
    - "area": the mean of all pixels that an output covers any part of.

    ``align_corners`` puts the centres of the outermost pixels onto each other, where otherwise the edges of the images
    coincide. ``antialias`` ("bilinear", "bicubic"; a = -0.5) widens the filter by the factor of a reduction, as Pillow
    does. With ``scale_factor``, coordinates are computed with that factor, and not with the rounded size's.
    """
    axes = x.ndim - 2
    sizes, factors = _sizes(x.shape, size, scale_factor)
    _check_mode(x.shape, mode, align_corners, antialias)
    whole = [out // n if n and out % n == 0 else 0 for n, out in zip(x.shape[2:], sizes, strict=True)]
    exact = factors is None or list(factors) == whole
    if axes == 2 and all(whole) and exact and not align_corners and not antialias and mode in ("nearest", "bilinear"):
        enlarge = upsample_nearest2d if mode == "nearest" else upsample_bilinear2d  # these have faster kernels
        return enlarge(x, (whole[0], whole[1]))
    tables = [
        _table(n, out, 1.0 / factors[i] if factors else None, mode, align_corners, antialias)
        for i, (n, out) in enumerate(zip(x.shape[2:], sizes, strict=True))
    ]
    for i in sorted(range(axes), key=lambda i: sizes[i] / x.shape[2 + i]):  # what shrinks goes first
        if not _is_identity(tables[i]):
            x = ResampleAxis(tables[i], 2 + i)(x)
    return x


@operator(x=NETWORK, output_size=PAIR_1)
def adaptive_avg_pool2d(x: Any, output_size: int | tuple[int, int]) -> Tensor:
    """The mean over a grid of output_size windows that cover the image: (N,C,H,W) -> (N,C,outH,outW)."""
    if x.ndim != 4:
        raise ValueError(f"adaptive_avg_pool2d: x must be (N,C,H,W), got {x.shape}")
    return interpolate(x, size=output_size, mode="area")


def _sizes(shape: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    """Return the output's size, and the factors if they were given."""
    axes = len(shape) - 2
    if not 1 <= axes <= 3:
        raise ValueError(f"interpolate: x must be (N,C,L), (N,C,H,W) or (N,C,D,H,W), got {shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    given = size if scale_factor is None else scale_factor
    name = "size" if scale_factor is None else "scale_factor"
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
    kinds = (int, np.integer) if scale_factor is None else (int, float, np.integer, np.floating)
    if len(values) != axes or not all(isinstance(v, kinds) and not isinstance(v, bool) for v in values):
        raise TypeError(f"interpolate: {name} must be a number or {axes} of them for x {shape}, got {given!r}")
    sizes = values if scale_factor is None else tuple(
        math.floor(n * v) if math.isfinite(v) else 0 for n, v in zip(shape[2:], values, strict=True)
    )  # fmt: skip
    if min(sizes) < 1 or 0 in shape[2:]:
        raise ValueError(f"interpolate: the output would be {sizes} for x {shape} and {name}={given!r}; it is empty")
    if max(sizes) > SIZES:
        raise ValueError(f"interpolate: the output would be {sizes} for x {shape}; no size can be above {SIZES}")
    return tuple(int(n) for n in sizes), None if scale_factor is None else tuple(float(v) for v in values)


def _check_mode(shape: tuple[int, ...], mode: str, align_corners: bool, antialias: bool) -> None:
    axes = len(shape) - 2
    if _LINEAR.get(mode, axes) != axes or (mode == "bicubic" and axes != 2):
        wanted = next((name for name, count in _LINEAR.items() if count == axes), mode)
        raise ValueError(f"interpolate: mode {mode!r} is not for x {shape} with {axes} axes of pixels; try {wanted!r}")
    if align_corners and mode not in (*_LINEAR, "bicubic"):
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, not for {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for 'bilinear' and 'bicubic', not for {mode!r}")


@functools.lru_cache(maxsize=256)
def _table(n: int, out: int, step: float | None, mode: str, align_corners: bool, antialias: bool) -> Table:
    """Return the weights along one axis; ``step``: how many inputs an output stands for, n / out unless given."""
    if align_corners:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    elif step is None:
        step = n / out
    if mode == "area":
        return Table.from_rows(n, [_mean(o * n // out, -(-(o + 1) * n // out)) for o in range(out)])
    if mode.startswith("nearest"):
        shift = 0.5 if mode == "nearest-exact" else 0.0
        index = np.floor((np.arange(out) + shift) * step).astype(np.int64)
        return Table.from_index(n, np.clip(index, 0, n - 1))
    cubic = mode == "bicubic"
    if antialias:
        kernel, reach = (functools.partial(_cubic, a=-0.5), 2.0) if cubic else (_tent, 1.0)
        return Table.from_rows(n, [_antialiased(o, n, step, kernel, reach) for o in range(out)])
    rows = []
    for o in range(out):
        position = o * step if align_corners else (o + 0.5) * step - 0.5
        rows.append(_four(position, n) if cubic else _two(position, n))
    return Table.from_rows(n, rows)


def _mean(first: int, end: int) -> list[tuple[int, float]]:
    return [(i, 1 / (end - first)) for i in range(first, end)]


def _two(position: float, n: int) -> list[tuple[int, float]]:
    """The pixels on both sides, the edge's where there is none; no weight of 0, which would make inf a NaN."""
    position = min(max(position, 0.0), n - 1.0)
    below = int(position)
    part = position - below
    return [(below, 1 - part), (below + 1, part)] if part else [(below, 1.0)]


def _four(position: float, n: int) -> list[tuple[int, float]]:
    """The two pixels on each side; beyond the edge its pixel counts again."""
    below = math.floor(position)
    weights = [(min(max(i, 0), n - 1), _cubic(position - i, -0.75)) for i in range(below - 1, below + 3)]
    return [(i, w) for i, w in weights if w]


def _antialiased(
    o: int, n: int, step: float, kernel: Callable[[float], float], reach: float
) -> list[tuple[int, float]]:
    """All pixels that a filter as wide as ``step`` pixels reaches, its weights scaled to a sum of 1."""
    wide = max(step, 1.0)
    centre = (o + 0.5) * step
    first, end = max(int(centre - reach * wide + 0.5), 0), min(int(centre + reach * wide + 0.5), n)
    weights = [(i, kernel((i + 0.5 - centre) / wide)) for i in range(first, end)]
    total = sum(w for _, w in weights)
    return [(i, w / total) for i, w in weights if w]


def _tent(t: float) -> float:
    return max(0.0, 1 - abs(t))


def _cubic(t: float, a: float) -> float:
    """Keys' cubic convolution kernel (1981, eq. 4 with a free)."""
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((t - 5) * t + 8) * t * a - 4 * a if t < 2 else 0.0


def _is_identity(table: Table) -> bool:
    count = table.inputs
    return bool(
        table.outputs == count == table.index.size
        and (table.index == np.arange(count)).all()
        and (table.weight == 1).all()
    )
