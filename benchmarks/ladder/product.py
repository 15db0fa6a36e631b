"""What rungs 5 to 9 have in common: a matrix product A @ B by register tiles, and A in the order that they want.

The tile itself is `multiply_tile_*` in ``kernels/simd.py``, the only part of the ladder that is written in LLVM's
instructions: 12 rows of A by 2 registers of B are 24 sums that stay in registers for the whole of k, so that each
step does 24 multiply-adds for 2 loads of B, and 12 numbers of A that are repeated over a register as they are loaded.
"""

from __future__ import annotations

import numpy as np

from scratchgan.kernels.simd import (
    MAX_DEPTH,
    PITCH,
    ROW_STEP,
    lanes,
    multiply_tile_high,
    multiply_tile_low,
    multiply_tile_middle,
)

from .loops import compiled

#: Columns of a tile: two registers of float32.
STRIPE = 2 * lanes(4)


@compiled
def multiply(c, c_at, c_pitch, a, a_at, rows, b, b_pitch, columns, depth, first):
    """c[c_at + i * c_pitch + j] (+)= sum over k of A[i, k] * b[k * b_pitch + j]; ``first``: c has no value yet.

    Row i of A begins at a[a_at + i * PITCH]. ``rows`` is a multiple of ROW_STEP, ``columns`` one of STRIPE.
    """
    row = 0
    while row < rows:
        height = min(3, (rows - row) // ROW_STEP)  # a tile of 12, 8 or 4 rows with AVX-512
        at, to = a_at + row * PITCH, c_at + row * c_pitch
        ahead = at + height * ROW_STEP * PITCH  # what is needed next is fetched meanwhile
        for j in range(0, columns, STRIPE):
            if height == 3:
                multiply_tile_high(c, to + j, c_pitch, a, at, ahead, b, j, b_pitch, depth, first)
            elif height == 2:
                multiply_tile_middle(c, to + j, c_pitch, a, at, ahead, b, j, b_pitch, depth, first)
            else:
                multiply_tile_low(c, to + j, c_pitch, a, at, ahead, b, j, b_pitch, depth, first)
        row += height * ROW_STEP


def panels(matrix: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Cut a matrix O,K into parts of at most MAX_DEPTH columns; return them, rows PITCH apart, and their depths.

    A constant distance between rows lets the tile address all twelve from one register.
    """
    rows, depth = matrix.shape
    parts = -(-depth // MAX_DEPTH)
    a = np.zeros((parts, rows, PITCH), matrix.dtype)
    depths = []
    for part in range(parts):
        piece = matrix[:, part * MAX_DEPTH : (part + 1) * MAX_DEPTH]
        a[part, :, : piece.shape[1]] = piece
        depths.append(piece.shape[1])
    return a.reshape(-1), depths


def suits(x: np.ndarray, w: np.ndarray) -> None:
    """ValueError unless the sizes are whole tiles, which is all that the ladder does; the kernels can do any."""
    if x.shape[3] % STRIPE or w.shape[0] % ROW_STEP or x.dtype != np.float32:
        raise ValueError(
            f"this rung needs float32, a width that is a multiple of {STRIPE} and output channels that are one of "
            f"{ROW_STEP}, got {x.dtype}, {x.shape[3]} and {w.shape[0]}"
        )
