"""Pictures in a terminal: a half block for every two pixels, one above the other, in 24-bit colour.

pixel rows 0, 1   ->   one row of "▀", its foreground the upper pixel and its background the lower one
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

_UPPER = "▀"
_GAP = 2  # columns between pictures


def half_blocks(image: np.ndarray) -> list[Text]:
    """Return a picture, uint8 (H,W,C) with C of 1 or 3, as lines for rich: W columns and (H+1)//2 rows."""
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    pixels = np.broadcast_to(image, (*image.shape[:2], 3)).tolist()
    lines = []
    for row in range(0, len(pixels), 2):
        line = Text()
        below = pixels[row + 1] if row + 1 < len(pixels) else [None] * len(pixels[row])
        for upper, lower in zip(pixels[row], below, strict=True):
            background = None if lower is None else Color.from_rgb(*lower)
            line.append(_UPPER, Style(color=Color.from_rgb(*upper), bgcolor=background))
        lines.append(line)
    return lines


def side_by_side(images: np.ndarray, width: int) -> list[Text]:
    """Return pictures, uint8 (n,H,W,C), beside and below each other within ``width`` columns, each with its number.

    A picture wider than the terminal is made smaller by a whole factor.
    """
    from rich.text import Text

    images = _shrunk(images, width)
    columns = images.shape[2]
    each_row = max(1, (width + _GAP) // (columns + _GAP))
    lines: list[Text] = []
    for start in range(0, len(images), each_row):
        drawn = [half_blocks(image) for image in images[start : start + each_row]]
        gap = " " * _GAP
        lines += [Text(gap).join(parts) for parts in zip(*drawn, strict=True)]
        numbers = [str(start + i + 1).center(columns) for i in range(len(drawn))]
        lines.append(Text(gap.join(numbers).rstrip(), style="bold"))
    return lines


def _shrunk(images: np.ndarray, width: int) -> np.ndarray:
    """Make pictures that are too wide smaller by a whole factor: means of squares of pixels."""
    factor = -(-images.shape[2] // max(width, 1))
    if factor <= 1:
        return images
    n, height, across, channels = images.shape
    height, across = height // factor, across // factor
    squares = images[:, : height * factor, : across * factor].reshape(n, height, factor, across, factor, channels)
    return squares.mean((2, 4)).round().astype(np.uint8)
