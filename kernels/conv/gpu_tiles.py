"""Convolution on a GPU as products of tiles: which tile a layer gets, and the launches.

    rows (output channels) up to 8       convolve_thin, and correlate_thin for the weights of a 1x1 or 3x3 kernel
    else                                 convolve and correlate, in the tiles that `cheapest` finds

A grid of too few tiles leaves processors idle, so the sum of a tile may be shared by several blocks (splits), whose
parts a second kernel adds up in a fixed order. Tile and splits are chosen from the shapes alone, so that a result has
the same bits on every GPU.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import ceil, gcd
from typing import Any

import numpy as np

from ..activation.gpu import leaky_relu
from ..arguments import Pair, empty
from ..launch import THREADS, Kernel, aligned, grid_for

# The GPU that tiles are chosen for: an H100 or H200.
PROCESSORS = 132
# A block's sum is at least so many slabs long; below it, starting and writing the part cost more than they save.
SHORTEST = 4
# What adding up parts costs: a launch in microseconds, and the bytes that are moved in one.
REDUCE, BYTES = 4.0, 2.5e6
# A block that has a processor to itself takes so much longer than its share of one that several keep busy.
ALONE = 1.35
THIN_ROWS = 8

TAPS, FLAT, POINT = 0, 1, 2


F4, F8 = np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True)
class Tile:
    """A configuration of the kernels on tiles.

    rows x columns results by ``threads`` threads that hold ``each`` of them, ``depth`` terms at a time. ``blocks`` is
    how many a processor is to hold: with its 65,536 registers, 4 x 128 threads may have 128 each, 3 x 128 threads 168.
    ``slab`` is how long one slab of ``depth`` terms takes a processor that several blocks keep busy, in microseconds,
    by `convolve` and by `correlate`; measured on an H200 (docs/cuda.md), and only compared.
    """

    rows: int
    columns: int
    depth: int
    each: Pair
    threads: int
    blocks: int
    dtype: np.dtype[Any]
    tf32: int = 0
    slab: tuple[float, float] = (1.0, 1.0)

    def count(self, rows: int, columns: int) -> int:
        """How many tiles cover rows x columns results."""
        return -(-rows // self.rows) * -(-columns // self.columns)

    def kernel(self, name: str, gather: int = TAPS) -> Kernel:
        return Kernel(
            __file__, name, types=(self.dtype,), BM=self.rows, BN=self.columns, BK=self.depth, TM=self.each[0],
            TN=self.each[1], THREADS=self.threads, BLOCKS=self.blocks, TF32=self.tf32, GATHER=gather,
        )  # fmt: skip


_LARGE = Tile(128, 128, 16, (8, 8), 256, 2, F4, slab=(1.69, 1.97))
_TALL = Tile(128, 64, 16, (8, 8), 128, 3, F4, slab=(0.81, 1.04))
_WIDE = Tile(64, 128, 16, (8, 8), 128, 4, F4, slab=(0.85, 1.20))
_ROOMY = Tile(64, 128, 16, (8, 8), 128, 3, F4, slab=(0.85, 1.20))  # FLAT and POINT need more registers
_SQUARE = Tile(64, 64, 16, (8, 4), 128, 4, F4, slab=(0.44, 0.62))
_LOW = Tile(32, 128, 16, (4, 8), 128, 4, F4, slab=(0.48, 0.79))
_FEW = Tile(4, 64, 16, (4, 1), 64, 8, F4)
_DOUBLE = Tile(64, 64, 8, (4, 4), 256, 2, F8)
_DOUBLE_FEW = Tile(4, 64, 16, (4, 1), 64, 8, F8)
_TF32_LARGE = Tile(128, 128, 16, (8, 16), 128, 2, F4, tf32=1, slab=(0.60, 1.1))
_TF32_WIDE = Tile(64, 128, 16, (4, 16), 128, 3, F4, tf32=1, slab=(0.44, 0.65))
_TF32_SHARED = Tile(128, 128, 8, (8, 8), 256, 2, F4, tf32=1, slab=(0.36, 0.6))

# What `convolve` is made with, by precision and by how pixels are gathered (gpu.cu: TAPS, FLAT, POINT)
_TILES: dict[str, dict[int, tuple[Tile, ...]]] = {
    "float32": {TAPS: (_TALL, _WIDE, _SQUARE, _LOW), FLAT: (_ROOMY, _LOW), POINT: (_TALL, _ROOMY)},
    "float64": {TAPS: (_DOUBLE,), FLAT: (_DOUBLE,), POINT: (_DOUBLE,)},
    "tf32": {TAPS: (_TF32_LARGE, _TF32_WIDE), FLAT: (_TF32_WIDE,)},
}
# What `correlate` is made with. Rows up to 4 that correlate_thin does not take get a tile of their own.
_CORRELATE: dict[str, tuple[Tile, ...]] = {
    "float32": (_LARGE, _SQUARE), "float64": (_DOUBLE,), "tf32": (_TF32_SHARED, _TF32_WIDE),
}  # fmt: skip
_CORRELATE_FEW = {"float32": (_FEW,), "float64": (_DOUBLE_FEW,), "tf32": (_FEW,)}
_convolve = {
    (tile, gather): tile.kernel("convolve", gather)
    for by_gather in _TILES.values()
    for gather, tiles in by_gather.items()
    for tile in tiles
}
_correlate = {
    tile: tile.kernel("correlate")
    for table in (_CORRELATE, _CORRELATE_FEW)
    for tile in dict.fromkeys(tile for tiles in table.values() for tile in tiles)
}
_thin = {rows: Kernel(__file__, "convolve_thin", ROWS=rows) for rows in (4, 8)}
# by the kernel's size: larger kernels' sums do not fit into registers
_correlate_thin = {size: Kernel(__file__, "correlate_thin", KERNEL=size) for size in (1, 3)}
_pack = Kernel(__file__, "pack", ROWS=4)
_reduce = Kernel(__file__, "reduce", ROWS=4)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@functools.lru_cache(maxsize=4096)
def cheapest(
    candidates: tuple[Tile, ...], kernel: int, rows: int, columns: int, times: int, terms: int, size: int
) -> tuple[Tile, int]:
    """Return the tile and the splits that take the least time by a simple model of a large GPU.

    There are ``times`` products of rows x columns results that are sums of ``terms``, ``size`` bytes in all;
    ``kernel`` is 0 for `convolve` and 1 for `correlate`. Blocks are spread over the processors, so the time is that of
    the one with most of them. To that comes the addition of the parts, if there are splits.
    """

    def cost(tile: Tile, splits: int) -> float:
        tiles = tile.count(rows, columns) * times
        each = -(-tiles * splits // PROCESSORS)
        slabs = ceil(ceil(terms / tile.depth) / splits)
        parts = REDUCE + (splits + 1) * size / BYTES if splits > 1 else 0
        return max(each, ALONE) * slabs * tile.slab[kernel] + parts

    def most(tile: Tile) -> int:
        tiles = tile.count(rows, columns) * times
        return max(1, min(terms // tile.depth // SHORTEST, 4 * PROCESSORS * tile.blocks // tiles))

    choices = [(tile, splits) for tile in candidates for splits in range(1, most(tile) + 1)]
    return min(choices, key=lambda choice: cost(*choice))


@dataclass(frozen=True)
class Geometry:
    """How a convolution looks at its source, forward or, ``transposed``, round the other way."""

    transposed: bool
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def area(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def point(self) -> bool:
        """Whether each pixel makes the pixel at its own place, and no other."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def phases(self) -> int:
        return self.stride[0] * self.stride[1] if self.transposed else 1

    def grid(self, out_hw: Pair) -> Pair:
        """How many pixels q there are; each phase of the output has one for each."""
        down, across = self.stride if self.transposed else (1, 1)
        return -(-out_hw[0] // down), -(-out_hw[1] // across)

    def arguments(self) -> tuple[Any, ...]:
        """As the kernels take it."""
        every = (s // gcd(s, d) for s, d in zip(self.stride, self.dilation, strict=True))
        return (self.transposed, *self.kernel, *self.stride, *self.padding, *self.dilation, *every)


@dataclass(frozen=True)
class Plan:
    """Which kernel makes a layer, and the sizes of its packed weights: channels and rows, padded."""

    tile: Tile | None  # None: convolve_thin
    gather: int
    splits: int
    thin_rows: int
    channels: int
    rows: int

    @property
    def tf32(self) -> bool:
        """Whether the packed weights are to be rounded for tensor cores."""
        return self.tile is not None and self.tile.tf32 == 1


def plan(geometry: Geometry, source: Any, y: Any, groups: int, precision: str) -> Plan:
    """Choose for a source and a result N,C,H,W."""
    channels, rows = source.shape[1] // groups, y.shape[1] // groups
    if rows <= THIN_ROWS:
        thin = 4 if rows <= 4 else 8
        return Plan(None, TAPS, 1, thin, channels, _up(rows, thin))
    tiles = _TILES["tf32" if precision == "tf32" else str(source.dtype)]
    gather = TAPS
    filled_up = _up(channels, tiles[TAPS][0].depth)
    if FLAT in tiles and filled_up > 1.25 * channels and channels * geometry.area < 2**30:
        gather = FLAT
    elif POINT in tiles and geometry.point and source.shape[2] * source.shape[3] % 4 == 0 and aligned(source):
        gather = POINT
    if gather != FLAT:
        channels = filled_up
    down, across = geometry.grid(y.shape[2:])
    tile, splits = cheapest(
        tiles[gather], 0, rows, source.shape[0] * down * across, geometry.phases * groups,
        geometry.area * channels // geometry.phases, y.nbytes,
    )  # fmt: skip
    return Plan(tile, gather, splits, 0, channels, _up(rows, tile.rows))


def packed_like(chosen: Plan, geometry: Geometry, like: Any, groups: int) -> Any:
    """Return memory for the packed weights."""
    return empty((groups, geometry.area, chosen.channels, chosen.rows), like)


def pack(
    w: Any, packed: Any, channels: int, rows: int, group_stride: int, row_stride: int, channel_stride: int, tf32: bool
) -> None:
    """Fill ``packed`` from w; the strides are in elements, and the kernel's elements lie together."""
    groups, area, padded_channels, padded_rows = packed.shape
    _pack(
        grid_for(packed.size // area), (THREADS,), w, packed, groups, area, channels, padded_channels, rows,
        padded_rows, group_stride, row_stride, channel_stride, tf32,
    )  # fmt: skip


def convolve(geometry: Geometry, chosen: Plan, source: Any, packed: Any, bias: Any, y: Any, groups: int) -> None:
    """Fill y from packed weights, sized as ``chosen`` says. A bias of length 0 is none."""
    rows = y.shape[1] // groups
    images, channels, height, width = source.shape
    q_hw = geometry.grid(y.shape[2:])
    pixels = images * q_hw[0] * q_hw[1]
    bias = bias if bias.size else None
    sizes = (
        images, groups, channels // groups, height, width, rows, chosen.channels, chosen.rows, *y.shape[2:], *q_hw,
        *geometry.arguments(),
    )  # fmt: skip
    tile = chosen.tile
    if tile is None:
        blocks = -(-pixels // 512) * (chosen.rows // chosen.thin_rows) * geometry.phases * groups
        _thin[chosen.thin_rows]((blocks,), (256,), source, packed, bias, y, *sizes)
        return
    tiles = -(-pixels // tile.columns) * (chosen.rows // tile.rows) * geometry.phases * groups
    splits = chosen.splits
    parts = empty((splits, *y.shape), y) if splits > 1 else None
    plane = y.shape[2] * y.shape[3]
    whole_runs = not geometry.transposed and plane % 4 == 0 and aligned(y)
    _convolve[tile, chosen.gather](
        (tiles * splits,), (tile.threads,), source, packed, bias, y, parts, *sizes, splits, whole_runs
    )
    if parts is not None:
        _reduce(grid_for(y.size), (THREADS,), parts, bias, y, y.size, splits, y.shape[1], plane)


def activate(y: Any, slope: float) -> None:
    """Put what `convolve` wrote through a leaky ReLU, in place; a slope of 1 is none.

    It takes a pass of its own: within ``convolve`` two of the tiles would spill registers (sm_120).
    """
    if slope != 1:
        leaky_relu(y.reshape(-1), slope, y.reshape(-1))


def correlate(geometry: Geometry, x: Any, gy: Any, gw: Any, groups: int, precision: str) -> None:
    """Fill gw, O,C/groups,kH,kW: the gradient by the weights of what ``geometry`` does to x."""
    images, channels, height, width = x.shape
    rows, columns = gw.shape[0] // groups, gw.size // gw.shape[0]
    kernel = geometry.kernel[0] if geometry.kernel[0] == geometry.kernel[1] else 0
    if rows <= THIN_ROWS and kernel in _correlate_thin:
        runs = -(-(channels // groups) // (2 if x.dtype == F4 else 1)) * -(-rows // 4) * groups
        pixels = images * gy.shape[2] * gy.shape[3]
        splits = max(1, min(4 * PROCESSORS // runs, pixels // (256 * SHORTEST)))
        parts = empty((splits, *gw.shape), gw) if splits > 1 else None
        _correlate_thin[kernel](
            (runs * splits,), (256,), x, gy, gw, parts, images, groups, channels // groups, height, width, rows,
            *gy.shape[2:], *geometry.stride, *geometry.padding, *geometry.dilation, splits,
        )  # fmt: skip
        _add_up(parts, gw, splits)
        return
    kind = "tf32" if precision == "tf32" else str(x.dtype)
    tile, splits = cheapest(
        (_CORRELATE_FEW if rows <= 4 else _CORRELATE)[kind], 1, rows, columns, groups,
        images * gy.shape[2] * gy.shape[3], gw.nbytes,
    )  # fmt: skip
    tiles = tile.count(rows, columns) * groups
    parts = empty((splits, *gw.shape), gw) if splits > 1 else None
    _correlate[tile](
        (tiles * splits,), (tile.threads,), x, gy, gw, parts, images, groups, channels // groups, height, width, rows,
        *gy.shape[2:], *geometry.kernel, *geometry.stride, *geometry.padding, *geometry.dilation, splits,
    )  # fmt: skip
    _add_up(parts, gw, splits)


def _add_up(parts: Any, gw: Any, splits: int) -> None:
    if parts is not None:
        _reduce(grid_for(gw.size), (THREADS,), parts, None, gw, gw.size, splits, 1, gw.size)
