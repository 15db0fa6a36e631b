"""The index arithmetic of convolutions as matrix products: which pixel meets which weight.

Forward, input gradient and weight gradient all walk over a grid of pixels q and, at each q, look at the source
image in a fixed pattern of places, the taps:

    source row    = q_row    * step_row    + tap.row           outside the image counts as zero
    source column = q_column * step_column + tap.column

conv2d is one such walk: q is an output pixel, the step is the stride, and kernel element (u, v) is the tap
(u * dilation - padding, v * dilation - padding).

conv2d_input_grad with stride s is s*s walks. An input pixel is reached only by the kernel elements that land on
it, and which these are depends on its position modulo the stride, its phase. In one dimension, with a kernel of
4, stride 2 and padding 1, output j read the inputs 2j-1 ... 2j+2, so

    input 2q   (phase 0) was read by element 1 of output q   and by element 3 of output q-1
    input 2q+1 (phase 1) was read by element 0 of output q+1 and by element 2 of output q

and each phase is a convolution of gy with step 1 and half of the kernel. No zero is ever multiplied.

Upsampling before the convolution makes several kernel elements look at one pixel. Such a tap has the sum of their
weights: it holds a range of kernel rows and of kernel columns (``upsample_conv/cpu.py`` derives which).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

Pair = tuple[int, int]
Sizes = tuple[int, ...]  # of an array
Elements = tuple[tuple[Pair, ...], tuple[Pair, ...]]  # ranges of kernel rows, and of kernel columns


class Tap(NamedTuple):
    """A place that is looked at, relative to q * step, and the kernel elements, first and end, that look there."""

    row: int
    column: int
    kernel_rows: Pair
    kernel_columns: Pair


class Phase(NamedTuple):
    """The outputs at q * stride + (row, column), and the taps that they are the weighted sum of."""

    row: int
    column: int
    taps: tuple[Tap, ...]


# For functions of shapes, which a network calls with the same few in every step: what they work out takes up to a
# millisecond of Python. Walks are made by them too, so a walk need only be equal to itself to be a key in turn.
made_once = functools.lru_cache(maxsize=1024)


@dataclass(frozen=True, eq=False)
class Walk:
    """A convolution as walks over one grid of q, one for each phase of the output, row by row of phases.

    ``step`` is the source's (how far apart neighbouring q look), ``stride`` the output's (how far apart
    neighbouring q write). At least one of them is (1, 1). The grid may overhang the output at the end: what falls
    outside is not written.
    """

    grid: Pair
    step: Pair
    stride: Pair
    phases: tuple[Phase, ...]

    @property
    def taps(self) -> list[Tap]:
        """The taps of all phases, in order."""
        return [tap for phase in self.phases for tap in phase.taps]

    def extent(self) -> tuple[int, int, int, int]:
        """Return first row, last row, first column and last column of all taps."""
        rows = [tap.row for tap in self.taps] or [0]
        columns = [tap.column for tap in self.taps] or [0]
        return min(rows), max(rows), min(columns), max(columns)


def plain(kernel: Pair) -> Elements:
    """The kernel's own rows and columns, each a range of one."""
    rows, columns = (tuple((u, u + 1) for u in range(size)) for size in kernel)
    return rows, columns


def turned_padding(kernel: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """The padding with which a convolution by the turned kernel is the transpose, at stride 1, of one with ``padding``,
    and the other way round. Negative where it cuts pixels off."""
    return dilation[0] * (kernel[0] - 1) - padding[0], dilation[1] * (kernel[1] - 1) - padding[1]


@made_once
def forward_walk(out_hw: Pair, kernel: Elements, stride: Pair, padding: Pair, dilation: Pair) -> Walk:
    """conv2d: q is the output pixel, and there is one phase with the whole kernel."""
    taps = tuple(
        Tap(u * dilation[0] - padding[0], v * dilation[1] - padding[1], rows, columns)
        for u, rows in enumerate(kernel[0])
        for v, columns in enumerate(kernel[1])
    )
    return Walk(out_hw, stride, (1, 1), (Phase(0, 0, taps),))


@made_once
def input_grad_walk(input_hw: Pair, kernel: Elements, stride: Pair, padding: Pair, dilation: Pair) -> Walk:
    """conv2d_input_grad: input pixel i = q * stride + phase is the sum over the kernel elements u with
    (i + padding - u * dilation) divisible by the stride; the quotient is the output row that read it."""

    def reached(axis: int, phase: int) -> list[tuple[int, Pair]]:
        found = []
        for u, elements in enumerate(kernel[axis]):
            distance = phase + padding[axis] - u * dilation[axis]
            if distance % stride[axis] == 0:
                found.append((distance // stride[axis], elements))
        return found

    phases = tuple(
        Phase(r, c, tuple(Tap(row, col, rows, cols) for row, rows in reached(0, r) for col, cols in reached(1, c)))
        for r in range(stride[0])
        for c in range(stride[1])
    )
    grid = (-(-input_hw[0] // stride[0]), -(-input_hw[1] // stride[1]))
    return Walk(grid, (1, 1), stride, phases)


@made_once
def mirrored(walk: Walk, source_hw: Pair) -> Walk:
    """The same pairs of pixels as a forward walk with step 1, seen from the source: q is the source's pixel and
    each tap is where the output that read it lies."""
    (phase,) = walk.phases
    taps = tuple(tap._replace(row=-tap.row, column=-tap.column) for tap in phase.taps)
    return Walk(source_hw, (1, 1), (1, 1), (Phase(0, 0, taps),))
