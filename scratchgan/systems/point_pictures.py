"""Points in the plane as pictures: real ones, generated ones, and behind them how real D finds every place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..train.atomic import write_atomically

FIELD_SIDE: Final = 161  # places along a side at which D is asked
_EXTENT: Final = 1.35  # the picture shows [-1.35, 1.35] x [-1.35, 1.35]
_SIDE: Final = 480  # pixels
_FINE: Final = 2  # drawn at so many times the size, which smooths points and letters
_CAPTION: Final = 26  # pixels of the strip below

# D's answer from "generated" over "cannot tell" to "real": blue-black, indigo, plum, coral, sand.
_STOPS: Final = np.array([[11, 13, 34], [38, 34, 92], [112, 46, 116], [214, 92, 92], [252, 196, 128]], np.float64)
_REAL: Final = np.array([255, 255, 255], np.float64)
_GENERATED: Final = np.array([110, 255, 226], np.float64)
_INK: Final = (226, 228, 240)


def field_places() -> np.ndarray:
    """Return the places that a field is made of, float32 (FIELD_SIDE^2, 2), row by row from the upper left."""
    x, y = np.meshgrid(np.linspace(-_EXTENT, _EXTENT, FIELD_SIDE), np.linspace(_EXTENT, -_EXTENT, FIELD_SIDE))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def draw_points(
    real: np.ndarray, generated: np.ndarray | None, *, field: np.ndarray | None = None, caption: str = ""
) -> np.ndarray:
    """Draw points (N,2) on D's raw answers ``field`` (FIELD_SIDE, FIELD_SIDE); returns uint8 (H,W,3).

    Real points are white and faint, generated ones bright. The field's middle colour is D's median answer, its ends
    those that are far from it: the colours compare places, not steps.
    """
    from PIL import Image, ImageDraw

    from ..train.curves import write_text

    side = _SIDE * _FINE
    canvas = _background(field, side)
    _splat(canvas, real, _REAL, radius=0.9 * _FINE, strength=0.30)
    if generated is not None:
        _splat(canvas, generated, _GENERATED, radius=3.2 * _FINE, strength=0.10)  # a glow, where many are
        _splat(canvas, generated, _GENERATED, radius=1.1 * _FINE, strength=0.85)
    picture = Image.new("RGB", (side, side + _CAPTION * _FINE), tuple(int(c) for c in _STOPS[0]))
    picture.paste(Image.fromarray(np.rint(canvas).astype(np.uint8)), (0, 0))
    write_text(ImageDraw.Draw(picture), (10, _SIDE + _CAPTION / 2), caption, 13, _INK, "lm")
    return np.asarray(picture.resize((_SIDE, _SIDE + _CAPTION), Image.Resampling.LANCZOS))


def _background(field: np.ndarray | None, side: int) -> np.ndarray:
    """Return the field in colours, float64 (side, side, 3)."""
    from PIL import Image

    if field is None:
        return np.tile(_STOPS[0], (side, side, 1))
    middle = np.median(field)
    reach = max(float(np.quantile(np.abs(field - middle), 0.9)), 1e-3)
    level = (0.5 + 0.5 * np.tanh((field - middle) / reach)).astype(np.float32)
    smooth = Image.fromarray(level).resize((side, side), Image.Resampling.BICUBIC)
    place = np.clip(np.asarray(smooth, np.float64), 0, 1) * (len(_STOPS) - 1)
    return np.stack([np.interp(place, np.arange(len(_STOPS)), _STOPS[:, c]) for c in range(3)], axis=-1)


def _splat(canvas: np.ndarray, points: np.ndarray, colour: np.ndarray, radius: float, strength: float) -> None:
    """Lay a soft disc of ``colour`` over the canvas at each point; where discs meet, they add up to the full colour."""
    side = len(canvas)
    at = (np.stack([points[:, 0], -points[:, 1]], axis=1).astype(np.float64) / _EXTENT + 1) * (side / 2) - 0.5
    reach = int(np.ceil(radius)) + 1
    at = at[np.all((at > reach) & (at < side - 1 - reach), axis=1)]
    whole = np.rint(at).astype(np.int64)
    clear = np.ones((side, side))  # how much of the ground is still seen
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            distance = np.hypot(whole[:, 0] + dx - at[:, 0], whole[:, 1] + dy - at[:, 1])
            cover = strength * np.clip(radius + 0.5 - distance, 0, 1)
            np.multiply.at(clear, (whole[:, 1] + dy, whole[:, 0] + dx), 1 - cover)
    canvas += (1 - clear)[..., None] * (colour - canvas)


def assemble_film(frames: Sequence[Path], path: Path, comment: str) -> None:
    """Write PNG frames as a GIF that repeats, with the last frame held, atomically. Raises OSError."""
    from PIL import Image

    pictures = []
    for frame in frames:
        with Image.open(frame) as opened:
            pictures.append(opened.convert("RGB"))
    # One palette for all, made of the first, the middle and the last frame: colours do not flicker.
    chosen = [pictures[0], pictures[len(pictures) // 2], pictures[-1]]
    width, height = chosen[0].size
    board = Image.new("RGB", (width, 3 * height))
    for i, picture in enumerate(chosen):
        board.paste(picture, (0, i * height))
    palette = board.quantize(128)
    frames_8bit = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [120] * (len(pictures) - 1) + [2500]
    stream = io.BytesIO()
    frames_8bit[0].save(
        stream,
        "GIF",
        save_all=True,
        append_images=frames_8bit[1:],
        duration=durations if len(pictures) > 1 else durations[0],
        loop=0,
        comment=comment.encode(),
    )
    write_atomically(path, stream.getvalue())
