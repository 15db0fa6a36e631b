"""Adaptive discriminator augmentation: D never sees a picture as it is, neither a real nor a generated one.

With few real pictures D learns them by heart. Augmented, they are many; but a G that has to please such a D could learn
to draw augmented pictures. It does not, as long as every transformation is left out often enough: then what
distribution of pictures was augmented can be told from the result, and the only one that fits is the right one. So each
transformation is applied to a picture with probability p, which must stay below 0.8 or so:

    blit        mirrored; turned by a multiple of 90 degrees; moved by whole pixels, up to 1/8 of the size
    geometric   scaled; turned by any angle; stretched along any axis; moved by a part of the size
    color       brighter; contrast; luma turned round; hue turned; saturation

All geometry is one affine map, by which the picture is sampled once, with mirrored surroundings; what only moves whole
pixels is exact. All colour is one affine map of a pixel's channels. Both are linear in the picture, so gradients pass
through them to G, to any order. p follows from whether D overfits, see `Strength`.

Source: T. Karras et al., "Training generative adversarial networks with limited data", 2020, sections 2 and 3 and
appendices B and C. There pictures are filtered before they are sampled; here the sampling is bilinear.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..cuda_graph import from_host
from ..device import device_of
from ..tensor import Tensor

KINDS = ("blit", "geometric", "color")

_GREY = np.full((3, 1), 1 / math.sqrt(3))  # the axis of luma


class Augment:
    """Transforms pictures at random: images (N,C,H,W), C 1 or 3, to others of the same shape.

    ``kinds``: which of `KINDS`. ``p``: the probability of each transformation, which may be changed between calls.
    All random numbers come from ``rng``; how many are drawn does not depend on p.
    """

    def __init__(self, rng: np.random.Generator, kinds: tuple[str, ...] = KINDS, p: float = 0.0):
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ValueError(f"Augment: kinds must be some of {', '.join(KINDS)}, got {kinds}")
        if not 0 <= p <= 1:
            raise ValueError(f"Augment: p must be in [0, 1], got {p}")
        self.rng, self.kinds, self.p = rng, tuple(kinds), p

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
            raise ValueError(f"Augment: images must be (N,1,S,S) or (N,3,S,S), got {images.shape}")
        n, channels, size, _ = images.shape
        device, dtype = device_of(images.data), images.dtype
        if "blit" in self.kinds or "geometric" in self.kinds:
            grid = from_host(lambda: sampling_grid(self._geometry(n, size), size).astype(dtype), device)
            images = ops.grid_sample(images, Tensor(grid), padding_mode="reflection")
        if "color" in self.kinds:
            images = _recolored(images, from_host(lambda: self._color(n, channels).astype(dtype), device))
        return images

    def _gate(self, n: int, values: np.ndarray, neutral: float, p: float | None = None) -> np.ndarray:
        """Return ``values`` with probability p, ``neutral`` else."""
        return np.where(self.rng.random(n) < (self.p if p is None else p), values, neutral)

    def _geometry(self, n: int, size: int) -> np.ndarray:
        """Return maps (n,3,3) from places in the result to places in the picture, pixels from the centre, (x, y, 1)."""
        rng, result = self.rng, np.broadcast_to(np.eye(3), (n, 3, 3))
        if "blit" in self.kinds:
            mirror = self._gate(n, rng.integers(0, 2, n), 0)
            result = result @ _scaling(1 - 2 * mirror, np.ones(n))
            quarters = self._gate(n, rng.integers(0, 4, n), 0).astype(int)
            result = result @ _turning(np.array([1, 0, -1, 0])[quarters], np.array([0, 1, 0, -1])[quarters])
            moved = [self._gate(n, np.round(rng.uniform(-size / 8, size / 8, n)), 0) for _ in range(2)]
            result = result @ _moving(*moved)
        if "geometric" in self.kinds:
            scale = self._gate(n, np.exp2(rng.normal(0, 0.2, n)), 1)
            result = result @ _scaling(1 / scale, 1 / scale)
            # Two turns, before and after the stretching: p is that of at least one of them.
            p = 1 - math.sqrt(1 - self.p)
            angle = self._gate(n, rng.uniform(-math.pi, math.pi, n), 0, p)
            result = result @ _turning(np.cos(angle), np.sin(angle))
            stretch = self._gate(n, np.exp2(rng.normal(0, 0.2, n)), 1)
            result = result @ _scaling(1 / stretch, stretch)
            angle = self._gate(n, rng.uniform(-math.pi, math.pi, n), 0, p)
            result = result @ _turning(np.cos(angle), np.sin(angle))
            moved = [self._gate(n, rng.normal(0, size / 8, n), 0) for _ in range(2)]
            result = result @ _moving(*moved)
        return result

    def _color(self, n: int, channels: int) -> np.ndarray:
        """Return maps (n,C,C+1) of a pixel's channels: a matrix, and what is added to its product."""
        rng, luma = self.rng, _GREY @ _GREY.T
        added = self._gate(n, rng.normal(0, 0.2, n), 0)
        contrast = self._gate(n, np.exp2(rng.normal(0, 0.5, n)), 1)
        turned = self._gate(n, rng.integers(0, 2, n), 0)
        hue = self._gate(n, rng.uniform(-math.pi, math.pi, n), 0)
        saturation = self._gate(n, np.exp2(rng.normal(0, 1, n)), 1)
        # In the plane of colours of equal luma, hue turns and saturation scales; luma itself is kept or turned round.
        c, s = (saturation * np.cos(hue))[:, None, None], (saturation * np.sin(hue))[:, None, None]
        across = np.cross(np.eye(3), _GREY[:, 0])
        matrix = (1 - 2 * turned)[:, None, None] * luma + c * (np.eye(3) - luma) + s * across
        # Brightness comes before contrast, and is grey: of the rest only the turn of luma changes it.
        matrix, shift = matrix * contrast[:, None, None], added * contrast * (1 - 2 * turned)
        if channels == 1:  # grey has only luma
            matrix = ((1 - 2 * turned) * contrast)[:, None, None]
        return np.concatenate([matrix, np.broadcast_to(shift[:, None, None], (n, channels, 1))], 2)


class Strength:
    """Finds p by whether D overfits: by the part of real pictures that D calls real, r = E[sign(D(x))].

    r is 0 while D can't tell real from generated, and goes to 1 as D learns the real pictures by heart. Every ``every``
    steps p is moved up if the mean r of these steps was above ``target``, else down, by the number of pictures seen
    over ``images``: so many pictures take p from 0 to 1. p is held between 0 and ``most``, below which nothing leaks.
    """

    def __init__(self, target: float = 0.6, images: int = 500_000, every: int = 4, most: float = 0.8, p: float = 0.0):
        if not 0 <= p <= most <= 1:
            raise ValueError(f"Strength: it must be that 0 <= p <= most <= 1, got p={p}, most={most}")
        if images < 1 or every < 1:
            raise ValueError(f"Strength: images and every must be at least 1, got {images} and {every}")
        self.target, self.images, self.every, self.most = target, images, every, most
        self.p, self._signs, self._steps, self._seen = p, 0.0, 0, 0

    def update(self, mean_sign: float, batch: int) -> float:
        """Take r of one step (`mean_sign` of the logits), on a batch of so many pictures; return the p to use next."""
        self._signs, self._steps, self._seen = self._signs + mean_sign, self._steps + 1, self._seen + batch
        if self._steps == self.every:
            change = math.copysign(self._seen / self.images, self._signs / self._steps - self.target)
            self.p = min(max(self.p + change, 0.0), self.most)
            self._signs, self._steps, self._seen = 0.0, 0, 0
        return self.p

    def state_dict(self) -> dict[str, Any]:
        """Return what the future depends on, as numbers that JSON keeps."""
        return {"p": self.p, "signs": self._signs, "steps": self._steps, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError for one that is not a strength's."""
        if set(state) != {"p", "signs", "steps", "seen"}:
            raise ValueError(f"Strength.load_state_dict: the state is not a strength's, it has {', '.join(state)}")
        self.p, self._signs, self._steps, self._seen = (state[key] for key in ("p", "signs", "steps", "seen"))


def mean_sign(logits: Tensor) -> Any:
    """Return the mean sign of D's logits of real pictures, an array of one number where they are."""
    return logits.namespace.sign(logits.data).mean()


def mirror(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images (N,C,H,W) of which each is mirrored, left for right, with probability 1/2.

    It leaks: G learns to draw both. For data of which the mirror image is as good, that is twice as much data.
    """
    return np.where(rng.random(len(images))[:, None, None, None] < 0.5, images[..., ::-1], images)


def sampling_grid(maps: np.ndarray, size: int) -> np.ndarray:
    """Return where each pixel of pictures of size x size comes from, as `ops.grid_sample` takes it: (N,size,size,2).

    ``maps`` (N,3,3) are of pixels from the centre, as (x, y, 1).
    """
    y, x = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    places = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    return (maps[:, :2] @ places).reshape(len(maps), 2, size, size).transpose(0, 2, 3, 1) * (2 / size)


def _recolored(images: Tensor, maps: Any) -> Tensor:
    """Apply maps (N,C,C+1) to each pixel of images (N,C,H,W)."""
    n, channels, height, width = images.shape
    matrix, shift = maps[:, :, :channels, None, None], maps[:, :, channels, None, None]
    one_by_one = ops.reshape(images, (n, 1, channels, height, width)) * Tensor(matrix)
    return ops.sum(one_by_one, 2) + Tensor(shift)


def _matrices(n: int, **entries: Any) -> np.ndarray:
    result = np.tile(np.eye(3), (n, 1, 1))
    for place, values in entries.items():
        result[:, int(place[1]), int(place[2])] = values
    return result


def _scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _matrices(len(x), _00=x, _11=y)


def _turning(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    return _matrices(len(cosine), _00=cosine, _01=-sine, _10=sine, _11=cosine)


def _moving(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _matrices(len(x), _02=x, _12=y)
