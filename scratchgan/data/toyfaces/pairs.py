"""Pairs for translation: a face and its pixel art, its landmarks as a drawing, or the same face in rain or snow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.dataset import DataError
from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import palette as pal
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.factors import SPLITS, Factor, Factors, draw_factor, uniform
from scratchgan.data.toyfaces.head import sin_cos
from scratchgan.data.toyfaces.landmarks import LANDMARKS
from scratchgan.data.toyfaces.renderer import Rendered, paint_shapes

PIXEL_ART_COLOURS: Final[NDArray[np.uint8]] = np.rint(
    np.concatenate(
        [
            pal.SKIN,
            0.8 * pal.SKIN,
            pal.HAIR,
            pal.BACKDROP,
            pal.HAT,
            np.array([[0.07, 0.06, 0.10], [1.0, 1.0, 1.0]]),
        ]
    )
    * 255
).astype(np.uint8)
"""The fixed palette of pixel art, (32, 3) RGB."""


@dataclass(frozen=True)
class PixelArt:
    """N pictures of G x G coarse pixels: ``image`` (N, 3, G, G) uint8, and ``index`` (N, G, G) uint8 into the
    palette PIXEL_ART_COLOURS, of which ``image`` is the look-up."""

    image: NDArray[np.uint8]
    index: NDArray[np.uint8]


def pixel_art(images: NDArray[np.uint8], grid: int = 32) -> PixelArt:
    """Average images (N, 3, S, S) down to ``grid`` pixels a side, each in the nearest colour of the palette.

    All in integers: the mean is rounded half up, the distance is squared Euclidean in RGB, and of colours equally
    near the first is taken.

    Raises:
        DataError: S is not a multiple of grid.
    """
    n, channels, height, width = images.shape
    if channels != 3 or height != width or grid < 1 or height % grid:
        raise DataError(
            f"pixel_art: images of shape {images.shape} do not divide into {grid} x {grid} cells; "
            f"they must be (N, 3, S, S) with S a multiple of {grid}"
        )
    k = height // grid
    sums = images.reshape(n, 3, grid, k, grid, k).sum(axis=(3, 5), dtype=np.int64)
    means = (2 * sums + k * k) // (2 * k * k)
    colours = PIXEL_ART_COLOURS.astype(np.int64)
    nearest = np.zeros((n, grid, grid), np.uint8)
    best = np.full((n, grid, grid), np.iinfo(np.int64).max)
    for i, colour in enumerate(colours):
        distance = ((means - colour[:, None, None]) ** 2).sum(axis=1)
        closer = distance < best
        nearest[closer], best[closer] = i, distance[closer]
    return PixelArt(np.ascontiguousarray(PIXEL_ART_COLOURS[nearest].transpose(0, 3, 1, 2)), nearest)


# Strings of landmarks that are drawn as one line, and its colour.
_LINES: Final[tuple[tuple[tuple[str, ...], tuple[float, float, float]], ...]] = (
    (tuple(f"jaw_{i}" for i in range(7)), (1.0, 1.0, 1.0)),
    *(
        (tuple(f"brow_{side}_{part}" for part in ("outer", "middle", "inner")), (1.0, 0.6, 0.1))
        for side in ("left", "right")
    ),
    *(
        (
            tuple(f"eye_{side}_{part}" for part in ("outer", "top", "inner", "bottom", "outer")),
            (0.2, 0.8, 1.0),
        )
        for side in ("left", "right")
    ),
    (("pupil_left", "pupil_left"), (0.9, 0.3, 1.0)),
    (("pupil_right", "pupil_right"), (0.9, 0.3, 1.0)),
    (("nose_bridge", "nose_tip", "nose_base"), (0.3, 1.0, 0.3)),
    (("mouth_left", "lip_upper", "mouth_right", "lip_lower", "mouth_left"), (1.0, 0.2, 0.3)),
)


def landmark_drawing(faces: Rendered) -> NDArray[np.uint8]:
    """Draw each face's landmarks as coloured lines on black, (N, 3, S, S) uint8: what a talking head is driven by.

    Every landmark is drawn, also one that is not visible. After Zakharov et al., "Few-shot adversarial learning of
    realistic neural talking head models" (2019), section 3.1, which draws the lines that join landmarks.
    """
    size = faces.mask.shape[1]
    screen = faces.landmarks.astype(np.float64) * (2 / size) - 1
    draw = DrawList(len(screen))
    thickness = max(0.016, 1.2 / size)
    for names, colour in _LINES:
        for one, other in itertools.pairwise(names):
            a, b = screen[:, LANDMARKS.index(one)], screen[:, LANDMARKS.index(other)]
            middle, (dx, dy) = (a + b) / 2, ((b - a) / 2).T
            half = np.sqrt(dx * dx + dy * dy)
            safe = np.where(half > 1e-6, half, 1.0)
            right = np.where(half > 1e-6, dx / safe, 1.0), np.where(half > 1e-6, dy / safe, 0.0)
            at = (middle[:, 0], middle[:, 1])
            draw.add(
                dl.STROKE,
                (np.maximum(half, 1e-3), 0.0, thickness * (1.6 if one == other else 1.0), 0.0),
                at=at,
                axes=(right[0], right[1], -right[1], right[0]),
                box=dl.around(at, half + 0.1),
                colour=colour,
            )
    return paint_shapes(draw, size)[0]


WEATHER: Final[tuple[Factor, ...]] = (
    Factor("kind", "weather", "what falls", categories=("rain", "snow")),
    Factor("angle", "weather", "slant of the fall; positive is to the right", -30, 30, 10, unit="degrees"),
    Factor("length", "weather", "length of a streak in half frames (rain)", 0.08, 0.35, 0.2),
    Factor("density", "weather", "how many of the most streaks or flakes there are", 0.1, 1.0, 0.5),
    Factor("haze", "weather", "how much of the background is lost in grey", 0.0, 0.6, 0.2),
)

_MOST_STREAKS: Final = 90
_HAZE_GREY: Final = 200


def sample_weather(n: int, seed: int = 0, split: str = "train") -> Factors:
    """Draw n weathers uniformly from WEATHER, and the seed of each one's streaks; splits share no streak.

    Returns:
        a dict of (n,) arrays by name, with ``seed`` (int64) for the places of what falls.
    """
    if split not in SPLITS:
        raise DataError(f"toyfaces: no split is named {split!r}; there are: {', '.join(SPLITS)}")
    index = np.arange(n)
    sample = {f.name: draw_factor(f, uniform(seed, index, f"{split}/weather/{f.name}")) for f in WEATHER}
    # 31 random bits, with the split in the two lowest
    bits = (uniform(seed, index, f"{split}/weather/seed") * 2**31).astype(np.int64)
    sample["seed"] = 4 * bits + SPLITS.index(split)
    return sample


@dataclass(frozen=True)
class Weather:
    """N faces out of doors: ``image`` (N, 3, S, S) uint8, ``clean`` the same without weather, and ``fall``
    (N, S, S) uint8, how much of each pixel a streak or flake covers."""

    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    fall: NDArray[np.uint8]


def weather(faces: Rendered, sky: Factors) -> Weather:
    """Lay rain or snow over rendered faces, and haze over what is far: a pure function of both.

    Haze blends toward grey in proportion to the distance behind the nearest point of a head. Streaks are lighter
    than what they cover and let some of it through.
    """
    n, _, size, _ = faces.image.shape
    if len(sky["seed"]) != n:
        raise DataError(f"weather: {n} faces but {len(sky['seed'])} weathers; give one a face")
    _, fall = paint_shapes(_streaks(sky), size)
    far = np.clip((np.float32(0.7) - faces.depth) / np.float32(1.7), 0, 1)
    haze = (far * sky["haze"].astype(np.float32)[:, None, None])[:, None]
    image = faces.image + haze * (np.float32(_HAZE_GREY) - faces.image)
    cover = fall[:, None].astype(np.float32) / np.float32(255)
    image = image + cover * (np.float32(255) - image)
    return Weather(np.floor(image + np.float32(0.5)).astype(np.uint8), faces.image, fall)


def _streaks(sky: Factors) -> DrawList:
    """Return the draw list of what falls: one slot a streak or flake, of random place, size and strength."""
    n = len(sky["seed"])
    draw = DrawList(n)
    sine, cosine = sin_cos(sky["angle"])
    rain = sky["kind"] == 0
    for i in range(_MOST_STREAKS):
        x, y, strength, chance, size = (
            uniform(sky["seed"], i, key) for key in ("x", "y", "strength", "chance", "size")
        )
        at = (2.2 * x - 1.1, 2.2 * y - 1.1)
        half = 0.5 * sky["length"] * (0.6 + 0.8 * size)
        draw.add(
            dl.STROKE,
            (
                np.where(rain, half, 1e-3),
                0.0,
                np.where(rain, 0.012, 0.02 + 0.03 * size),
                np.where(rain, 0.7, 0.0),
            ),
            at=at,
            axes=(sine, cosine, -cosine, sine),
            box=dl.around(at, np.where(rain, half + 0.03, 0.08)),
            opacity=np.where(chance < sky["density"], np.where(rain, 0.35, 0.6) + 0.3 * strength, 0.0),
            feather=np.where(rain, 0.0, 0.02),
        )
    return draw
