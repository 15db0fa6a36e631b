"""Batch normalisation on a GPU: the functions of ``cpu.py``, each two launches."""

from __future__ import annotations

from typing import Any

from ..launch import THREADS, Kernel, aligned, current_runner, grid_for

_batch_norm_sums = Kernel(__file__, "batch_norm_sums")
_batch_norm_apply = Kernel(__file__, "batch_norm_apply")
_batch_norm_grad_sums = Kernel(__file__, "batch_norm_grad_sums")
_batch_norm_grad_apply = Kernel(__file__, "batch_norm_grad_apply")
_channel_sums = Kernel(__file__, "channel_sums")
_channel_totals = Kernel(__file__, "channel_totals")

# Blocks that all channels together are divided into, if they have the rows: four for each of a large GPU's 132
# multiprocessors, which all run at once. With more, the last ones run after the others and leave most of it idle.
_BLOCKS = 528


def _division(*arrays: Any) -> tuple[tuple[int, int], tuple[int, int], Any, bool]:
    """Return the grid (channels, chunks), the block (lanes, rows), an array for the chunks' sums, and ``packs``.

    The latter is whether the rows of all ``arrays``, of one shape, are whole packs of 16 bytes.
    """
    batch, channels, size = arrays[0].shape
    pack = 16 // arrays[0].dtype.itemsize
    packs = size % pack == 0 and aligned(*arrays)
    groups = size // pack if packs else size
    lanes = min(THREADS, 1 << max(0, groups - 1).bit_length())
    rows = THREADS // lanes
    chunks = max(1, min(-(-batch // rows), _BLOCKS // channels))
    partial = current_runner().namespace().empty((channels, chunks, 2), "float64")
    return (channels, chunks), (lanes, rows), partial, packs


def batch_norm(x: Any, weight: Any, bias: Any, eps: float, slope: Any, y: Any, mean: Any, invstd: Any) -> None:
    grid, block, partial, packs = _division(x, y)
    _batch_norm_sums(grid, block, x, partial, *x.shape, packs)
    _batch_norm_apply(grid, block, x, weight, bias, eps, slope, partial, y, mean, invstd, *x.shape, packs)


def batch_norm_grad(
    gy: Any, x: Any, weight: Any, bias: Any, mean: Any, invstd: Any, slope: Any, gx: Any, gweight: Any, gbias: Any
) -> None:
    grid, block, partial, packs = _division(x, gy, gx)
    _batch_norm_grad_sums(grid, block, gy, x, weight, bias, mean, invstd, slope, partial, *x.shape, packs)
    _batch_norm_grad_apply(
        grid, block, gy, x, weight, bias, mean, invstd, slope, partial, gx, gweight, gbias, *x.shape, packs
    )  # fmt: skip


def channel_sum(gy: Any, result: Any) -> None:
    grid, block, partial, packs = _division(gy)
    channels, chunks = grid
    _channel_sums(grid, block, gy, partial, *gy.shape, packs)
    _channel_totals(grid_for(channels), (THREADS,), partial, result, channels, chunks)
