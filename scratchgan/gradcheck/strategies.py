"""Hypothesis strategies that draw the geometry of a call, and the awkward geometries as often as the plain ones.

Nothing is filtered. A convolution is drawn from its output: output size, stride, kernel, dilation, padding, and the
remainder r in [0, stride) that the last window leaves over; the input size follows. Drawing the input instead makes
remainders rare, and lost remainders are the commonest bug in a strided gradient.

    input = (output - 1) stride + (kernel - 1) dilation + 1 + r - 2 padding
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .cases import LAYOUT_NAMES, ArraySpec, Case

_seeds = st.integers(0, 2**16 - 1)
_layouts = st.sampled_from(LAYOUT_NAMES)
_conv_values = st.sampled_from(("distinct", "probe", "integers"))


def _with_corners(corners: Callable[..., list[Case]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives every strategy that a function makes the cases that a suite always runs, after those it draws.

    What is drawn is small, so that it can be many and each is read at a glance. A kernel that is wrong for square
    images, for more than 3 of them, for a kernel above 4, for more than 32 channels or for large values needs one case.
    """

    def decorate(made: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(made)
        def make(*args: Any, **options: Any) -> SearchStrategy[Case]:
            strategy: SearchStrategy[Case] = made(*args, **options)
            vars(strategy)["corners"] = corners(*args, **options)
            return strategy

        return make

    return decorate


def corners_of(strategy: Any) -> list[Case]:
    """The cases that a suite always runs; none for a strategy of your own."""
    return list(vars(strategy).get("corners", ()))


def _specs(shapes: Sequence[tuple[int, ...]], params: dict[str, object], values: str = "distinct") -> Case:
    return Case(tuple(ArraySpec(shape, values) for shape in shapes), params)


_ARRAYS_SIDES, _ARRAYS_VALUES = (1, 5), ("distinct", "normal")


def _array_corners(
    count: int = 1,
    *,
    ndim: tuple[int, int] = (0, 4),
    sides: tuple[int, int] = _ARRAYS_SIDES,
    values: Sequence[str] = _ARRAYS_VALUES,
) -> list[Case]:
    side = 9 if sides == _ARRAYS_SIDES else sides[1]
    shape = (side,) * max(ndim[0], min(ndim[1], 2))
    return [_specs([shape] * count, {}, "large" if tuple(values) == _ARRAYS_VALUES else values[0])]


def _broadcast_corners(count: int = 2, *, max_ndim: int = 4, values: Sequence[str] = _ARRAYS_VALUES) -> list[Case]:
    mode = "large" if tuple(values) == _ARRAYS_VALUES else values[0]
    if max_ndim < 2:
        return [_specs([(9,) * max_ndim] * count, {}, mode)]
    return [_specs([((7, 7), (1, 7), (7,))[k % 3] for k in range(count)], {}, mode)]


def _conv_params(ndim: int, padding: int, groups: bool, dilation: bool, **more: object) -> dict[str, object]:
    params: dict[str, object] = {"stride": (1,) * ndim, "padding": (padding,) * ndim, **more}
    if dilation:
        params["dilation"] = (1,) * ndim
    if groups:
        params["groups"] = 1
    return params


def _conv_corners(
    ndim: int = 2,
    *,
    groups: bool = False,
    dilation: bool = True,
    bias: bool = False,
    tiles: Sequence[int] = (),
) -> list[Case]:
    square = [(5, 2, *(7,) * ndim), (3, 2, *(5,) * ndim)] + [(3,)] * bias
    many = [(1, 33, *(2,) * ndim), (34, 33, *(1,) * ndim)] + [(34,)] * bias
    return [
        _specs(square, _conv_params(ndim, 2, groups, dilation)),
        _specs(many, _conv_params(ndim, 0, groups, dilation)),
    ]


def _transpose_corners(
    ndim: int = 2, *, groups: bool = False, dilation: bool = True, tiles: Sequence[int] = ()
) -> list[Case]:
    square = [(5, 2, *(5,) * ndim), (2, 3, *(5,) * ndim)]
    many = [(1, 33, *(2,) * ndim), (33, 34, *(1,) * ndim)]
    none = {"output_padding": (0,) * ndim}
    return [
        _specs(square, _conv_params(ndim, 2, groups, dilation, **none)),
        _specs(many, _conv_params(ndim, 0, groups, dilation, **none)),
    ]


def _pool_corners(ndim: int = 2, *, padding: bool = True) -> list[Case]:
    def params(kernel: int, pad: int) -> dict[str, object]:
        made: dict[str, object] = {"kernel_size": (kernel,) * ndim, "stride": (2,) * ndim}
        return {**made, "padding": (pad,) * ndim} if padding else made

    return [_specs([(5, 2, *(7,) * ndim)], params(5, 2)), _specs([(1, 33, *(2,) * ndim)], params(2, 0))]


def _upsample_corners(ndim: int = 2, *, max_scale: int = 4, equal: bool = False) -> list[Case]:
    scale: object = min(2, max_scale) if equal else (min(2, max_scale),) * ndim
    return [_specs([shape], {"scale": scale}) for shape in ((5, 2, *(6,) * ndim), (1, 33, *(2,) * ndim))]


@_with_corners(_array_corners)
@st.composite
def arrays(
    draw: st.DrawFn,
    count: int = 1,
    *,
    ndim: tuple[int, int] = (0, 4),
    sides: tuple[int, int] = _ARRAYS_SIDES,
    values: Sequence[str] = _ARRAYS_VALUES,
) -> Case:
    """`count` arrays of one shape: for elementwise operators and reductions.

    ndim, sides: inclusive ranges of the number of axes and of their lengths (0 gives empty arrays).
    values: the value modes to draw from; "positive" for logarithms, "unit" for probabilities.
    """
    shape = tuple(draw(st.lists(st.integers(*sides), min_size=ndim[0], max_size=ndim[1])))
    mode = draw(st.sampled_from(tuple(values)))
    specs = tuple(ArraySpec(shape, mode, draw(_layouts)) for _ in range(count))
    return Case(specs, {}, draw(_seeds))


@_with_corners(_broadcast_corners)
@st.composite
def broadcast_shapes(
    draw: st.DrawFn, count: int = 2, *, max_ndim: int = 4, values: Sequence[str] = ("distinct", "normal")
) -> Case:
    """`count` arrays whose shapes broadcast: leading axes missing, axes of length one, in every combination."""
    full = tuple(draw(st.lists(st.integers(1, 4), min_size=0, max_size=max_ndim)))
    mode = draw(st.sampled_from(tuple(values)))
    specs = []
    for _ in range(count):
        kept = full[draw(st.integers(0, len(full))) :]
        shape = tuple(1 if draw(st.booleans()) else n for n in kept)
        specs.append(ArraySpec(shape, mode, draw(_layouts)))
    return Case(tuple(specs), {}, draw(_seeds))


@_with_corners(_conv_corners)
@st.composite
def conv_geometry(
    draw: st.DrawFn,
    ndim: int = 2,
    *,
    groups: bool = False,
    dilation: bool = True,
    bias: bool = False,
    tiles: Sequence[int] = (),
) -> Case:
    """x (N, C, *input) and w (O, C/groups, *kernel), with `stride`, `padding`, `dilation`, `groups` per axis.

    groups, dilation: draw them, and pass them as parameters. bias: a third array (O,).
    tiles: tile sizes of the kernel under test; sizes and channels next to their multiples are drawn too.
    """
    n = draw(st.integers(1, 3))
    group = draw(st.integers(1, 3)) if groups else 1
    c_in, c_out = draw(_channels(tiles)), draw(_channels(tiles))
    kernel, stride, pad, dilated, size = _lists(5)
    for axis in range(ndim):
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        d = draw(st.integers(1, 3)) if dilation else 1
        out, r = draw(_lengths(tiles)), draw(st.integers(0, s - 1))
        span = (out - 1) * s + (k - 1) * d + 1 + r
        p = draw(st.integers(0, min((k - 1) * d, (span - 1) // 2)))
        if axis == 1 and span - 2 * p == size[0]:
            span += s  # height and width differ, so that exchanging them shows
        kernel.append(k)
        stride.append(s)
        dilated.append(d)
        pad.append(p)
        size.append(span - 2 * p)
    shapes = [(n, c_in * group, *size), (c_out * group, c_in, *kernel)] + ([(c_out * group,)] if bias else [])
    params: dict[str, object] = {"stride": tuple(stride), "padding": tuple(pad)}
    if dilation:
        params["dilation"] = tuple(dilated)
    if groups:
        params["groups"] = group
    return _case(draw, shapes, params)


@_with_corners(_transpose_corners)
@st.composite
def conv_transpose_geometry(
    draw: st.DrawFn, ndim: int = 2, *, groups: bool = False, dilation: bool = True, tiles: Sequence[int] = ()
) -> Case:
    """x (N, C, *input) and w (C, O/groups, *kernel), with output_padding in [0, max(stride, dilation))."""
    n = draw(st.integers(1, 3))
    group = draw(st.integers(1, 3)) if groups else 1
    c_in, c_out = draw(_channels(tiles)), draw(_channels(tiles))
    kernel, stride, pad, out_pad, dilated, size = _lists(6)
    for axis in range(ndim):
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        d = draw(st.integers(1, 3)) if dilation else 1
        length = draw(_lengths(tiles))
        if axis == 1 and length == size[0]:
            length += 1
        o = draw(st.integers(0, max(s, d) - 1))
        span = (length - 1) * s + (k - 1) * d + o + 1
        kernel.append(k)
        stride.append(s)
        dilated.append(d)
        out_pad.append(o)
        pad.append(draw(st.integers(0, min((k - 1) * d, (span - 1) // 2))))
        size.append(length)
    shapes = [(n, c_in * group, *size), (c_in * group, c_out, *kernel)]
    params: dict[str, object] = {
        "stride": tuple(stride),
        "padding": tuple(pad),
        "output_padding": tuple(out_pad),
    }
    if dilation:
        params["dilation"] = tuple(dilated)
    if groups:
        params["groups"] = group
    return _case(draw, shapes, params)


@_with_corners(_pool_corners)
@st.composite
def pool_geometry(draw: st.DrawFn, ndim: int = 2, *, padding: bool = True) -> Case:
    """x (N, C, *input) with `kernel_size`, `stride` (overlapping, touching and apart) and `padding` <= kernel / 2."""
    kernel, stride, pad, size = _lists(4)
    for axis in range(ndim):
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        out, r = draw(st.integers(1, 4)), draw(st.integers(0, s - 1))
        span = (out - 1) * s + k + r
        p = draw(st.integers(0, min(k // 2, (span - 1) // 2))) if padding else 0
        if axis == 1 and span - 2 * p == size[0]:
            span += s
        kernel.append(k)
        stride.append(s)
        pad.append(p)
        size.append(span - 2 * p)
    params: dict[str, object] = {"kernel_size": tuple(kernel), "stride": tuple(stride)}
    if padding:
        params["padding"] = tuple(pad)
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *size)
    # Distinct values: a maximum between ties has no derivative.
    return Case((ArraySpec(shape, "distinct", draw(_layouts)),), params, draw(_seeds))


@_with_corners(_upsample_corners)
@st.composite
def upsample_geometry(draw: st.DrawFn, ndim: int = 2, *, max_scale: int = 4, equal: bool = False) -> Case:
    """x (N, C, *input) with an integer `scale` per axis (one for all of them, with `equal`)."""
    sides = [draw(st.integers(1, 5)) for _ in range(ndim)]
    if ndim > 1 and sides[0] == sides[1]:
        sides[1] += 1
    scale: object = draw(st.integers(1, max_scale))
    if not equal:
        scale = tuple(draw(st.integers(1, max_scale)) for _ in range(ndim))
    return _case(draw, [(draw(st.integers(1, 3)), draw(st.integers(1, 3)), *sides)], {"scale": scale})


def _lists(count: int) -> list[list[int]]:
    """One list per parameter, to be filled axis by axis."""
    return [[] for _ in range(count)]


def _lengths(tiles: Sequence[int]) -> st.SearchStrategy[int]:
    small = st.integers(1, 4)
    return st.one_of(small, _beside(tiles)) if tiles else small


def _channels(tiles: Sequence[int]) -> st.SearchStrategy[int]:
    small = st.integers(1, 3)
    return st.one_of(small, _beside(tiles)) if tiles else small


def _beside(tiles: Sequence[int]) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted({max(1, t + d) for t in tiles for d in (-1, 0, 1)}))


def _case(draw: st.DrawFn, shapes: Sequence[tuple[int, ...]], params: dict[str, object]) -> Case:
    mode = draw(_conv_values)
    return Case(tuple(ArraySpec(s, mode, draw(_layouts)) for s in shapes), params, draw(_seeds))
