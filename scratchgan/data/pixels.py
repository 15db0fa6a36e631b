"""Bringing images to one size and one number of channels.

Everything here takes and gives uint8 N,C,H,W.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rec. 601 luma, the weights that JPEG uses (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Images are converted in runs of about this many pixels: their float copies then stay a few megabytes.
_RUN = 1 << 20


def on_white(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images with an alpha channel (C of 2 or 4, alpha last, not premultiplied) laid on a white ground.

    The result has one channel less; images without alpha (C of 1 or 3) are returned as they are.
    """
    if images.shape[1] in (1, 3):
        return images
    colour = images[:, :-1].astype(np.uint16)
    alpha = images[:, -1:].astype(np.uint16)
    # At most 255 * 255 + 127 = 65,152, which fits.
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def is_grey(images: NDArray[np.uint8]) -> bool:
    """Whether images say the same in one channel: they have one, or R = G = B everywhere."""
    if images.shape[1] == 1:
        return True
    step = _run_length(images)
    parts = (images[start : start + step] for start in range(0, len(images), step))
    return all(bool((part[:, 1:] == part[:, :1]).all()) for part in parts)


def to_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Images with `channels` of 1 (luma by Rec. 601) or 3 (grey repeated)."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    if is_grey(images):
        return np.ascontiguousarray(images[:, :1])
    grey = np.empty((len(images), 1, *images.shape[2:]), dtype=np.uint8)
    for start in range(0, len(images), step := _run_length(images)):
        part = images[start : start + step]
        grey[start : start + step, 0] = np.rint(np.einsum("c,nchw->nhw", _LUMA, part.astype(np.float32)))
    return grey


def to_square(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The centre square of each image, resampled to (size, size).

    Shrinking averages over each new pixel's area (edge pixels by the covered fraction), enlarging
    interpolates linearly between pixel centres. Both are linear and separable, so each is one pass over
    the rows and, transposed, another over the columns.
    """
    count, channels, height, width = images.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    images = images[:, :, top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(images)
    weights = resample_weights(side, size)
    square = np.empty((count, channels, size, size), dtype=np.uint8)
    for start in range(0, count, step := _run_length(images)):
        part = _resample_rows(images[start : start + step], weights)
        part = _resample_rows(np.ascontiguousarray(part.swapaxes(2, 3)), weights).swapaxes(2, 3)
        square[start : start + step] = np.rint(part)
    return square


def _resample_rows(images: NDArray[np.generic], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """weights @ images, touching only each new row's few old ones.

    Not `@`: the folder reader calls this from several threads, and BLAS brings threads of its own, which
    on a busy machine has been seen to take fifty times as long.
    """
    count, channels, _, width = images.shape
    resampled = np.empty((count, channels, len(weights), width), dtype=np.float32)
    for new, row in enumerate(weights):
        used = np.flatnonzero(row)
        old = slice(used[0], used[-1] + 1)
        strip = images[:, :, old].astype(np.float32)
        np.einsum("k,nckw->ncw", row[old], strip, out=resampled[:, :, new])
    return resampled


def resample_weights(n_in: int, n_out: int) -> NDArray[np.float32]:
    """The (n_out, n_in) matrix that resamples a row of n_in pixels to n_out; each of its rows sums to 1.

    Shrinking, new pixel i covers [i, i + 1) * n_in / n_out of the old row, and each old pixel's weight is
    its share of that:

        old   |  0  |  1  |  2  |  3  |  4  |
        new   |    0    |    1    |    2    |      pixel 0: 0.6 of old 0, 0.4 of old 1

    Enlarging, the centre of new pixel i lies at (i + 1/2) * n_in / n_out - 1/2 between old centres.
    """
    scale = n_in / n_out
    old = np.arange(n_in)
    new = np.arange(n_out)[:, None]
    if n_out <= n_in:
        overlap = np.minimum(old + 1, (new + 1) * scale) - np.maximum(old, new * scale)
        weights = np.maximum(overlap, 0.0)
    else:
        centre = np.clip((new + 0.5) * scale - 0.5, 0, n_in - 1)
        weights = np.maximum(1.0 - np.abs(old - centre), 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _run_length(images: NDArray[np.uint8]) -> int:
    return max(1, _RUN // int(np.prod(images.shape[1:])))
