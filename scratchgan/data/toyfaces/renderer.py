"""Renders factors: builds the draw list and paints it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchgan.data.dataset import DataError
from scratchgan.data.toyfaces import accessories, backdrop, face, hair
from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.factors import Factors, defaults, take, uniform, validate
from scratchgan.data.toyfaces.head import Head
from scratchgan.data.toyfaces.landmarks import COVERS, landmark_points

RENDERER_VERSION: Final = 4
"""Raised by every change that moves a pixel or a sampled factor, because data sets are cached under it.

The golden hashes in the tests notice a change that forgot to.
"""

MIN_SIZE: Final = 16
MAX_SIZE: Final = 128
_GRAIN_DEPTH: Final = 0.08
_BATCH: Final = 512  # faces whose draw lists are built at once
_SHARE: Final = 16  # faces that a thread paints at a time


@dataclass(frozen=True)
class Rendered:
    """N rendered faces of S x S pixels.

    Attributes:
        image: (N, 3, S, S) uint8, RGB.
        alpha: (N, S, S) uint8, how much of each pixel the person covers.
        mask: (N, S, S) uint8, indices into ``CLASSES``.
        depth: (N, S, S) float32, nearer is larger, in half frames from the middle of the head; background -1.
        landmarks: (N, 32, 2) float32, x and y in pixels from the upper left corner of the image (the centre of
            the first pixel is 0.5, 0.5).
        visibility: (N, 32) bool, whether the landmark faces the viewer, is inside the frame and is not covered by
            hair, beard, hat or glasses.
    """

    image: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    depth: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    visibility: NDArray[np.bool_]


def check_size(size: int) -> None:
    """Raise DataError for a size that is not a whole number from 16 to 128."""
    if not isinstance(size, int | np.integer) or not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"toyfaces: size={size} pixels, but sizes are whole numbers from {MIN_SIZE} to {MAX_SIZE}")


def samples_per_side(size: int) -> int:
    """Return k: each pixel is the mean of k x k samples."""
    return 3 if size <= 64 else 2


def build(f: Factors) -> tuple[DrawList, Head, face.Layout]:
    """Return the draw list of the faces, in paint order from back to front, and what it was built on."""
    n = len(f["yaw"])
    draw, head, layout = DrawList(n), Head.of(f), face.Layout.of(f)
    light = (-0.16 * f["shading"], -0.2 * f["shading"])
    backdrop.add_backdrop(draw, f)
    hair.add_back(draw, head, layout, f, light)
    outline = face.add_head(draw, head, layout, f, light, ears=~hair.over_ears(f))
    face.add_blush(draw, head, layout, f, outline)
    hair.add_beard(draw, head, layout, f, outline)
    face.add_mouth(draw, head, layout, f)
    face.add_eyes(draw, head, layout, f)
    face.add_nose(draw, head, layout, f)
    hair.add_cap(draw, head, layout, f, light)
    face.add_brows(draw, head, layout, f, hair.hair_colour(f))
    accessories.add_glasses(draw, head, layout, f)
    accessories.add_hat(draw, head, layout, f, light)
    return draw, head, layout


def render(factors: Mapping[str, ArrayLike], size: int = 64) -> Rendered:
    """Render faces: a pure function of the factors, the size and RENDERER_VERSION, to the last bit.

    Args:
        factors: as ``validate`` takes them: arrays (N,) or scalars, by name; what is missing takes its default.
        size: pixels along a side, 16 to 128.

    Raises:
        DataError: a factor or the size is out of range.
    """
    check_size(size)
    full = validate(factors)
    n, k = len(full["yaw"]), samples_per_side(size)
    out = Rendered(
        image=np.empty((n, 3, size, size), np.uint8),
        alpha=np.empty((n, size, size), np.uint8),
        mask=np.empty((n, size, size), np.uint8),
        depth=np.empty((n, size, size), np.float32),
        landmarks=np.empty((n, 32, 2), np.float32),
        visibility=np.empty((n, 32), np.bool_),
    )
    under = np.empty((n, 32), np.uint8)
    with _painters() as pool:
        painting: list[Future[None]] = []
        for start in range(0, n, _BATCH):  # a batch's draw list is built while the one before is painted
            part = slice(start, start + _BATCH)
            f = take(full, part)
            draw, head, layout = build(f)
            points, out.visibility[part] = landmark_points(head, layout)
            out.landmarks[part] = (points + 1) * (0.5 * size)
            outputs = (out.image[part], out.alpha[part], out.mask[part], out.depth[part], under[part])
            shares = _paint(pool, draw, head.record(_GRAIN_DEPTH * f["texture"]), k, points, outputs)
            _finish(painting)
            painting = shares
        _finish(painting)
    out.visibility[:] &= ~np.isin(under, COVERS)
    return out


def paint_shapes(draw: DrawList, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint a draw list without a head on black; return image (N, 3, S, S) and alpha (N, S, S), uint8."""
    check_size(size)
    n = draw.n
    alpha, mask = np.empty((n, size, size), np.uint8), np.empty((n, size, size), np.uint8)
    image, depth = np.empty((n, 3, size, size), np.uint8), np.empty((n, size, size), np.float32)
    heads = Head.of(defaults(n)).record(np.zeros(n))
    points, under = np.empty((n, 0, 2), np.float32), np.empty((n, 0), np.uint8)
    with _painters() as pool:
        _finish(_paint(pool, draw, heads, samples_per_side(size), points, (image, alpha, mask, depth, under)))
    return image, alpha


def _painters() -> ThreadPoolExecutor:
    from scratchgan.kernels.jit import get_num_threads

    return ThreadPoolExecutor(get_num_threads())


def _paint(
    pool: ThreadPoolExecutor,
    draw: DrawList,
    heads: NDArray[np.float32],
    k: int,
    points: NDArray[np.float32],
    outputs: tuple[NDArray[Any], ...],
) -> list[Future[None]]:
    """Have a draw list painted into ``outputs`` (image, alpha, mask, depth, under; see ``raster.paint``)."""
    from scratchgan.data.toyfaces import raster

    records, slots = draw.finish()
    paper = _paper()

    def paint(first: int) -> None:
        i = slice(first, first + _SHARE)
        raster.paint(records[i], slots, heads[i], paper, k, points[i], *(output[i] for output in outputs))

    # the kernel runs without Python's lock, and each share writes its own faces
    return [pool.submit(paint, first) for first in range(0, draw.n, _SHARE)]


def _finish(shares: list[Future[None]]) -> None:
    for share in shares:
        share.result()


def _paper() -> NDArray[np.float32]:
    """Return the grain of the paper, (64, 64) in -1 to 1: the same sheet under every face."""
    return (2 * uniform(0, np.arange(64 * 64), "paper") - 1).reshape(64, 64).astype(np.float32)


CLASSES: Final = dl.CLASSES
