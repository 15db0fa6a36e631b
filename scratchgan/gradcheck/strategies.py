"""Hypothesis strategies that draw the geometry of a call, and the awkward geometries as often as the plain ones.

Nothing is filtered. A convolution is drawn from its output: output size, stride, kernel, dilation, padding, and the
remainder r in [0, stride) that the last window leaves over; the input size follows. Drawing the input instead makes
remainders rare, and lost remainders are the commonest bug in a strided gradient.

    input = (output - 1) stride + (kernel - 1) dilation + 1 + r - 2 padding
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from .cases import LAYOUT_NAMES, ArraySpec, Case

_seeds = st.integers(0, 2**16 - 1)
_layouts = st.sampled_from(LAYOUT_NAMES)
_conv_values = st.sampled_from(("distinct", "probe", "integers"))


@st.composite
def arrays(
    draw: st.DrawFn,
    count: int = 1,
    *,
    ndim: tuple[int, int] = (0, 4),
    sides: tuple[int, int] = (1, 5),
    values: Sequence[str] = ("distinct", "normal"),
) -> Case:
    """`count` arrays of one shape: for elementwise operators and reductions.

    ndim, sides: inclusive ranges of the number of axes and of their lengths (0 gives empty arrays).
    values: the value modes to draw from; "positive" for logarithms, "unit" for probabilities.
    """
    shape = tuple(draw(st.lists(st.integers(*sides), min_size=ndim[0], max_size=ndim[1])))
    mode = draw(st.sampled_from(tuple(values)))
    specs = tuple(ArraySpec(shape, mode, draw(_layouts)) for _ in range(count))
    return Case(specs, {}, draw(_seeds))


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
