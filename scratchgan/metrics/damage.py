"""Known damage to images: a metric is worth something if it says which of two is the more damaged.

Each takes uint8 images (N,C,H,W) and a strength, 0 for none, and returns as many damaged ones.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

# Rows: a grey direction and two at right angles to it and to each other, all of length 1, in red, green and blue.
_GREY_AND_HUE = np.array([[1, 1, 1], [2, -1, -1], [0, 1, -1]]) / np.sqrt([[3], [6], [2]])


def blur(images: Images, sigma: float) -> Images:
    """Blur with a Gaussian of standard deviation ``sigma`` pixels; beyond the edge the image is mirrored."""
    if sigma == 0:
        return images
    reach = math.ceil(3 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    x = images.astype(np.float32)
    for axis in (2, 3):
        length = x.shape[axis]
        widths = [(0, 0)] * 4
        widths[axis] = (reach, reach)
        padded = np.pad(x, widths, mode="symmetric")
        x = np.zeros_like(x)
        for i, weight in enumerate(weights):
            x += np.float32(weight) * padded.take(range(i, i + length), axis)
    return _bytes(x)


def noise(images: Images, sigma: float, seed: int = 0) -> Images:
    """Add white Gaussian noise of standard deviation ``sigma``, in shares of the range from black to white."""
    rng = np.random.default_rng(seed)
    return _bytes(images + 255 * sigma * rng.standard_normal(images.shape, np.float32))


def shift_palette(images: Images, degrees: float) -> Images:
    """Turn the hue of RGB images by an angle about the grey axis; brightness stays."""
    angle = math.radians(degrees)
    turn = np.eye(3)
    turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    matrix = (_GREY_AND_HUE.T @ turn @ _GREY_AND_HUE).astype(np.float32)
    return _bytes(np.einsum("dc,nchw->ndhw", matrix, images.astype(np.float32)))


def drop_modes(images: Images, modes: NDArray[np.int64], dropped: int) -> Images:
    """Replace the images of the modes numbered below ``dropped`` by others, so that as many remain.

    ``modes`` (N,) says which mode each image is in. The others are taken in turn, so no image comes much more often
    than another.
    """
    kept = np.flatnonzero(modes >= dropped)
    if not len(kept):
        raise ValueError(f"drop_modes: no image is left of the modes from {dropped} on")
    indices = np.arange(len(images))
    gone = np.flatnonzero(modes < dropped)
    indices[gone] = kept[np.arange(len(gone)) % len(kept)]
    return images[indices]


def _bytes(x: NDArray[np.float32]) -> Images:
    return np.rint(x.clip(0, 255)).astype(np.uint8)
