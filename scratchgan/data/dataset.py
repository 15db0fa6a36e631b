"""What a data set is to the rest of the library: the `Dataset` protocol, and the in-memory `ArrayDataset`.

Images are kept as the bytes they came as (uint8, a quarter of float32's memory) and become floats in
[-1, 1], the range of a generator's tanh, only when a batch is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class DataError(Exception):
    """Data that can't be used. The message is one line: which file or argument, what is wrong, what to do."""


class Dataset(Protocol):
    """What the training loop and the metrics ask of a data set."""

    @property
    def name(self) -> str:
        """A short name for logs and pictures: ``"fashion-mnist"``, or the folder's or file's own name."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of every image, C of 1 (grey) or 3 (RGB); (2,) of the points of a `PointDataset`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, indexed by label; empty when the images are unlabelled."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Every image's class as int64 (N,), or None when the images are unlabelled."""

    def __len__(self) -> int: ...

    def images(self, indices: ArrayLike) -> NDArray[np.float32]:
        """The images at `indices` (int, M) as float32 (M, C, H, W) in [-1, 1], or the points (M, 2)."""

    def fields(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """All that is known of those at `indices`, by name: "image" as `images` gives them, "label" if labelled."""

    def fingerprint(self) -> str:
        """A short hex digest of the contents, by which a resumed run recognises its data."""


class ArrayDataset:
    """A data set held in memory as one uint8 array.

    Args:
        images: uint8, (N, C, H, W) with C of 1 or 3 and N of at least 1. Kept as it is, not copied.
        labels: integers (N,), each the index of a name in `classes`; None when unlabelled.
        classes: the classes' names; must be empty exactly when `labels` is None.
        name: a short name for logs and pictures.

    Raises:
        DataError: for any other shape or type, and for a label without a name.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: ArrayLike | None = None,
        classes: Sequence[str] = (),
        name: str = "array",
    ) -> None:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise DataError(
                f"{name}: images are {images.dtype} of shape {images.shape}; "
                "they must be uint8 N,C,H,W with C of 1 (grey) or 3 (RGB)"
            )
        if images.size == 0:
            raise DataError(f"{name}: there are no images (shape {images.shape})")
        self.name = name
        self.pixels: NDArray[np.uint8] = images
        self.classes = tuple(classes)
        self.labels = None if labels is None else _checked_labels(labels, len(images), self.classes, name)
        if labels is None and self.classes:
            raise DataError(f"{name}: {len(self.classes)} class names but no labels; give both or neither")
        self._fingerprint: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        channels, height, width = self.shape
        labelled = f", {len(self.classes)} classes" if self.classes else ""
        return f"<{self.name}: {len(self)} images, {channels}x{height}x{width}{labelled}>"

    def images(self, indices: ArrayLike) -> NDArray[np.float32]:
        """The images at `indices` (int, M) as float32 (M, C, H, W): x / 127.5 - 1, so 255 becomes 1."""
        floats = self.pixels[np.asarray(indices)].astype(np.float32)
        floats /= np.float32(127.5)
        floats -= np.float32(1)
        return floats

    def fields(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """ "image" as `images` gives them, and "label", int64 (M,), if the data is labelled."""
        labels = {} if self.labels is None else {"label": self.labels[np.asarray(indices)]}
        return {"image": self.images(indices), **labels}

    def fingerprint(self) -> str:
        """16 hex digits of a SHA-256 over shape, pixels, labels and class names (not `name`: a moved
        folder is the same data)."""
        if self._fingerprint is None:
            digest = hashlib.sha256(repr((self.pixels.shape, self.classes)).encode())
            digest.update(np.ascontiguousarray(self.pixels).data)
            if self.labels is not None:
                digest.update(self.labels.astype("<i8").data)
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint


def choose(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Which of `count` images are kept under `limit`: a random choice by `seed`, in ascending order."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def _checked_labels(labels: ArrayLike, count: int, classes: tuple[str, ...], name: str) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise DataError(
            f"{name}: labels are {array.dtype} of shape {array.shape}; "
            f"they must be integers of shape ({count},), one for each image"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= len(classes):
        raise DataError(f"{name}: labels run from {low} to {high} but there are {len(classes)} class names (0 to N-1)")
    return np.ascontiguousarray(array, dtype=np.int64)
