"""The pictures of a run: grids of samples, and the curves of its log. Drawn with Pillow alone."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import write_atomically

_GAP = 2  # pixels between the images of a grid


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Turn float images (N,C,H,W) in [-1, 1] into uint8 (N,H,W,C) in [0, 255], rounding to the nearest."""
    pixels = np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def image_grid(images: np.ndarray, columns: int | None = None, scale: int | None = None) -> np.ndarray:
    """Lay images (N,H,W,C) uint8 out in rows, on white; returns uint8 (H',W',C).

    ``columns``: as near a square as can be unless given. ``scale``: how many times each pixel is repeated; unless
    given, images below 64 pixels are enlarged to about that, for the eye.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        raise ValueError(f"image_grid: images must be uint8 N,H,W,C with N > 0, got {images.dtype} {images.shape}")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    scale = scale or max(1, 64 // max(height, width))
    rows = math.ceil(count / columns)
    height, width = height * scale, width * scale
    grid = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), 255, np.uint8)
    for i, image in enumerate(images.repeat(scale, axis=1).repeat(scale, axis=2)):
        top, left = _GAP + (i // columns) * (height + _GAP), _GAP + (i % columns) * (width + _GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def provenance(run: str, step: int, kind: str = "images") -> dict[str, str]:
    """Return the text that a picture of samples carries: that it is synthetic, and which run and step made it."""
    from .. import __version__

    return {
        "Software": f"scratchgan {__version__}",
        "Source": f"generated (synthetic) {kind}: drawn by the generator of run {run!r} at step {step}",
    }


def save_png(path: Path, pixels: np.ndarray, text: Mapping[str, str]) -> None:
    """Write uint8 pixels (H,W,C), C of 1 or 3, as a PNG with ``text`` as tEXt chunks, atomically. Raises OSError."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=chunks)
    write_atomically(path, stream.getvalue())


def save_npz(path: Path, arrays: Mapping[str, np.ndarray], comment: str) -> None:
    """Write arrays by name as a compressed .npz with ``comment`` as the archive's, atomically. Raises OSError."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own options
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = comment.encode()
    write_atomically(path, stream.getvalue())


# Curves. Everything is drawn at _FINE times the size and scaled down, which smooths lines and letters.

_Panel = tuple[
    Sequence[Mapping[str, Any]],  # lines of the log
    str,  # what the vertical axis shows
    tuple[float, float] | None,  # its ends, None for those of the values
    tuple[tuple[str, str, tuple[int, int, int]], ...],  # name, key and colour of each curve
]

_FINE = 2
_WIDTH, _PANEL_HEIGHT = 900, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 40, 46
_INK, _FAINT, _GRID = (40, 44, 52), (110, 116, 126), (228, 230, 234)
_BLUE, _ORANGE = (31, 107, 176), (217, 95, 14)  # told apart by colour-blind readers too


def draw_curves(log: Sequence[Mapping[str, Any]], title: str, *, probability: bool) -> np.ndarray:
    """Draw a run's losses, D(x) with D(G(z)), and the FID if it was measured, against the step; returns uint8 (H,W,3).

    ``probability``: whether D's answers are probabilities, whose axis is from 0 to 1. Each curve is faint, with its
    moving average over a fiftieth of the run on top. Axes leave out the most extreme hundredth of the values, so that
    one spike does not flatten the rest.
    """
    from PIL import Image, ImageDraw

    judged = [line for line in log if "fid" in line]
    count = 3 if judged else 2
    size = (_WIDTH * _FINE, (count * (_PANEL_HEIGHT + _TOP + _BOTTOM) + 30) * _FINE)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    write_text(draw, (_LEFT, 10), title, 16, _INK)
    panels: list[_Panel] = [
        (log, "loss", None, (("D", "loss_d", _BLUE), ("G", "loss_g", _ORANGE))),
        (
            log,
            "probability of being real, says D" if probability else "score by D",
            (0.0, 1.0) if probability else None,
            (("D(x), real images", "d_real", _BLUE), ("D(G(z)), generated", "d_fake", _ORANGE)),
        ),
    ]
    if judged:
        best = min(judged, key=lambda line: line["fid"])
        name = f"lowest {best['fid']:.1f} at step {best['step']:,}"
        panels.append((judged, "Frechet distance (FID)", None, ((name, "fid", _BLUE),)))
    span = (float(log[0]["step"]), float(log[-1]["step"])) if log else (0.0, 1.0)
    for i, (lines, label, ends, curves) in enumerate(panels):
        top = 30 + _TOP + i * (_PANEL_HEIGHT + _TOP + _BOTTOM)
        steps = np.array([line["step"] for line in lines], float)
        named = [(name, np.array([line[key] for line in lines], float), colour) for name, key, colour in curves]
        values = np.concatenate([series for _, series, _ in named])
        _panel(draw, top, label, span, steps, ends or _range(values), named)
    return np.asarray(picture.resize((size[0] // _FINE, size[1] // _FINE), Image.Resampling.LANCZOS))


def _panel(
    draw: Any,
    top: int,
    label: str,
    span: tuple[float, float],
    steps: np.ndarray,
    ends: tuple[float, float],
    curves: list[tuple[str, np.ndarray, tuple[int, int, int]]],
) -> None:
    """Draw one pair of axes, the horizontal one over ``span``, with curves over ``steps`` and a legend."""
    left, right, bottom = _LEFT, _WIDTH - _RIGHT, top + _PANEL_HEIGHT
    low, high = ends
    first, last = span[0], max(span[1], span[0] + 1)

    def place(x: Any, y: Any) -> tuple[Any, Any]:
        inside = np.clip((y - low) / (high - low), 0, 1)
        return left + (x - first) / (last - first) * (right - left), bottom - inside * (bottom - top)

    for tick in _ticks(low, high, 6):
        y = place(first, tick)[1]
        _line(draw, [(left, y), (right, y)], _GRID, 1)
        write_text(draw, (left - 8, y), f"{tick:g}", 13, _FAINT, "rm")
    for tick in _ticks(first, last, 10):
        x = place(tick, low)[0]
        _line(draw, [(x, bottom), (x, bottom + 4)], _FAINT, 1)
        write_text(draw, (x, bottom + 8), f"{tick:g}", 13, _FAINT, "mt")
    _line(draw, [(left, top), (left, bottom), (right, bottom)], _FAINT, 1)
    write_text(draw, ((left + right) / 2, bottom + 26), "step", 13, _FAINT, "mt")
    write_text(draw, (left, top - 10), label, 14, _INK, "ls")

    for _, series, colour in curves:  # all the faint lines first: none may hide an average
        _line(draw, list(zip(*place(steps, series), strict=True)), _lighter(colour), 1)
    for _, series, colour in curves:
        _line(draw, list(zip(*place(steps, _moving_average(series)), strict=True)), colour, 2)
    x = right
    for name, _, colour in reversed(curves):
        x -= write_text(draw, (x, top - 10), name, 14, _INK, "rs") + 8
        _line(draw, [(x - 22, top - 15), (x, top - 15)], colour, 3)
        x -= 44


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a value axis: round numbers around the middle 99 per cent of the values."""
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.005, 0.995])
    unit = _unit(max(high - low, 1e-3 * max(abs(low), 1e-3)), 6)
    return math.floor(low / unit) * unit, max(math.ceil(high / unit), math.floor(low / unit) + 1) * unit


def _unit(span: float, count: int) -> float:
    """Return 1, 2 or 5 times a power of ten that divides ``span`` into at most about ``count`` parts."""
    power = 10 ** math.floor(math.log10(span / count))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * count >= span)


def _ticks(low: float, high: float, count: int) -> list[float]:
    unit = _unit(high - low, count)
    return [round(i * unit, 10) for i in range(math.ceil(low / unit - 1e-9), math.floor(high / unit + 1e-9) + 1)]


def _moving_average(series: np.ndarray) -> np.ndarray:
    """Return the mean of each value and its neighbours, over a window of a fiftieth of the series."""
    half = len(series) // 100
    total = np.concatenate([[0.0], np.cumsum(series)])
    index = np.arange(len(series))
    start, stop = np.maximum(index - half, 0), np.minimum(index + half + 1, len(series))
    return (total[stop] - total[start]) / (stop - start)


def _lighter(colour: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(round(255 - (255 - part) * 0.3) for part in colour)


def _line(draw: Any, points: list[tuple[float, float]], colour: tuple[int, ...], width: int) -> None:
    if len(points) > 1:
        draw.line([(x * _FINE, y * _FINE) for x, y in points], colour, width * _FINE, joint="curve")


def write_text(
    draw: Any, at: tuple[float, float], text: str, size: int, colour: tuple[int, ...], anchor: str = "lt"
) -> float:
    """Write text on a drawing of twice its final size; returns its width. ``anchor``: Pillow's two letters."""
    from PIL import ImageFont

    font = ImageFont.load_default(size * _FINE)
    if not isinstance(font, ImageFont.FreeTypeFont):  # a Pillow built without FreeType: one small bitmap font
        draw.text((at[0] * _FINE, at[1] * _FINE), text, colour, font)
        return font.getlength(text) / _FINE
    draw.text((at[0] * _FINE, at[1] * _FINE), text, colour, font, anchor=anchor)
    return font.getlength(text) / _FINE
