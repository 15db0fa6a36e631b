"""Points in the plane whose distribution is known: what a GAN misses can be counted, and what it does can be drawn.

    ring8       8 Gaussians on a circle
    grid25      25 Gaussians on a square lattice
    swiss-roll  a spiral

All lie within [-1, 1] x [-1, 1]. The ring and the grid are those of L. Metz et al., "Unrolled generative adversarial
networks" (2017) and A. Srivastava et al., "VEEGAN" (2017), scaled: the distance of neighbours is 77 and 40 times sigma.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dataset import DataError

#: How many points a set has unless the caller says otherwise.
POINTS_COUNT: Final = 50_000

_STRETCHES = 20  # of the spiral, each as likely as the others


@dataclass(frozen=True)
class ModeScore:
    """How many modes a sample of points has found, and how many of its points are good.

    A point is good within 3 sigma of the nearest mode (of the spiral: of the curve), as 98.9% of the real points of a
    Gaussian are. A mode is found if at least a tenth of its fair share of the points are good points of its own.
    """

    found: int
    modes: int
    quality: float
    counts: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.found} of {self.modes} modes, {self.quality:.1%} of points within 3 sigma"


class PointDataset:
    """Points (N,2) drawn from Gaussians around anchors; satisfies the `Dataset` protocol with (2,) in place of (C,H,W).

    Attributes:
        points: float32 (N,2).
        labels: the mode that each point was drawn from, int64 (N,).
        sigma: the standard deviation in each direction.
    """

    shape = (2,)

    def __init__(self, name: str, anchors: NDArray[np.float64], modes: int, sigma: float, n: int, seed: int):
        """``anchors`` (A,2), in the order of their modes: A / modes of each, all equally likely."""
        if n < 1:
            raise DataError(f"{name}: n={n} points make no data set; ask for at least 1")
        self.name, self.sigma = name, sigma
        self.classes = tuple(f"mode {i}" for i in range(modes))
        self._anchors = anchors
        rng = np.random.default_rng(seed)
        anchor = rng.integers(len(anchors), size=n)
        self.labels: NDArray[np.int64] = self._mode(anchor)
        self.points = (anchors[anchor] + sigma * rng.standard_normal((n, 2))).astype(np.float32)

    def _mode(self, anchor: NDArray[np.int64]) -> NDArray[np.int64]:
        return anchor * len(self.classes) // len(self._anchors)

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} points, {len(self.classes)} modes>"

    def images(self, indices: ArrayLike) -> NDArray[np.float32]:
        """The points at `indices` (int, M) as float32 (M,2); "images" is the protocol's word."""
        return self.points[np.asarray(indices)]

    def fields(self, indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """ "image", the points as `images` gives them, and "label", the mode of each, int64 (M,)."""
        return {"image": self.images(indices), "label": self.labels[np.asarray(indices)]}

    def fingerprint(self) -> str:
        """16 hex digits of a SHA-256 over the points."""
        return hashlib.sha256(self.points.tobytes()).hexdigest()[:16]

    def score(self, points: NDArray[np.float32]) -> ModeScore:
        """Count the modes that ``points`` (N,2), not necessarily of this set, have found. Raises ValueError."""
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ValueError(f"score: points must be (N,2) with N > 0, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError(f"score: {int((~np.isfinite(points)).any(axis=1).sum())} of the points are not finite")
        nearest, distance = self._nearest(points.astype(np.float64))
        good = distance <= 3 * self.sigma
        modes = len(self.classes)
        counts = np.bincount(self._mode(nearest[good]), minlength=modes)
        found = int((counts >= max(1, 0.1 * len(points) / modes)).sum())
        return ModeScore(found, modes, float(good.mean()), tuple(counts.tolist()))

    def _nearest(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return each point's nearest anchor and its distance."""
        nearest = np.empty(len(points), np.int64)
        distance = np.empty(len(points))
        for start in range(0, len(points), 1024):
            part = slice(start, start + 1024)
            squared = ((points[part, None] - self._anchors) ** 2).sum(axis=2)
            nearest[part] = squared.argmin(axis=1)
            distance[part] = np.sqrt(squared.min(axis=1))
        return nearest, distance


def _ring() -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(8) / 8
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _grid() -> NDArray[np.float64]:
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _spiral() -> NDArray[np.float64]:
    """Two turns, r proportional to the angle, as a string of anchors much closer together than sigma."""
    angle = 1.5 * np.pi * (1 + 2 * (np.arange(2000) + 0.5) / 2000)
    return angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) / (4.5 * np.pi)


_SETS: Final = {
    "ring8": (_ring, 8, 0.01),
    "grid25": (_grid, 25, 0.0125),
    "swiss-roll": (_spiral, _STRETCHES, 0.02),
}

#: The names of the sets.
POINT_SETS: Final = tuple(_SETS)


def point_dataset(name: str, n: int = POINTS_COUNT, seed: int = 0) -> PointDataset:
    """Draw a set of n points by name; another seed gives other points of the same distribution. Raises DataError."""
    if name not in _SETS:
        raise DataError(f"no set of points is named {name!r}; there are: {', '.join(POINT_SETS)}")
    anchors, modes, sigma = _SETS[name]
    return PointDataset(name, anchors(), modes, sigma, n, seed)
