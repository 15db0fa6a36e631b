"""The curves of a run's log, drawn with Pillow alone at `_FINE` times the size and scaled down, which smooths them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

BLUE: Final = (31, 107, 176)
ORANGE: Final = (217, 95, 14)  # told apart from the blue by colour-blind readers too


@dataclass(frozen=True)
class Panel:
    """One pair of axes over the steps of a log; it is left out while no line of the log has its values.

    Attributes:
        label: what the vertical axis shows.
        curves: name, key in the log and colour of each curve.
        ends: the axis's ends, None for those of the values.
        best: "lowest" or "highest": say the first curve's in the legend, with its step.
    """

    label: str
    curves: tuple[tuple[str, str, tuple[int, int, int]], ...]
    ends: tuple[float, float] | None = None
    best: str = ""


_FINE = 2
_WIDTH, _PANEL_HEIGHT = 900, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 40, 46
_INK, _FAINT, _GRID = (40, 44, 52), (110, 116, 126), (228, 230, 234)


def draw_curves(log: Sequence[Mapping[str, Any]], title: str, panels: Sequence[Panel]) -> np.ndarray:
    """Draw the panels of a log against the step; returns uint8 (H,W,3).

    Each curve is faint, with its moving average over a fiftieth of the run on top. Axes leave out the most extreme
    hundredth of the values, so that one spike does not flatten the rest.
    """
    from PIL import Image, ImageDraw

    lines = [[line for line in log if all(key in line for _, key, _ in panel.curves)] for panel in panels]
    drawn = [(panel, having) for panel, having in zip(panels, lines, strict=True) if having or not log]
    size = (_WIDTH * _FINE, (len(drawn) * (_PANEL_HEIGHT + _TOP + _BOTTOM) + 30) * _FINE)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    write_text(draw, (_LEFT, 10), title, 16, _INK)
    span = (float(log[0]["step"]), float(log[-1]["step"])) if log else (0.0, 1.0)
    for i, (panel, having) in enumerate(drawn):
        top = 30 + _TOP + i * (_PANEL_HEIGHT + _TOP + _BOTTOM)
        steps = np.array([line["step"] for line in having], float)
        named = [
            (_named(panel, name, key, having), np.array([line[key] for line in having], float), colour)
            for name, key, colour in panel.curves
        ]
        values = np.concatenate([series for _, series, _ in named])
        _panel(draw, top, panel.label, span, steps, panel.ends or _range(values), named)
    return np.asarray(picture.resize((size[0] // _FINE, size[1] // _FINE), Image.Resampling.LANCZOS))


def _named(panel: Panel, name: str, key: str, lines: Sequence[Mapping[str, Any]]) -> str:
    if not panel.best or not lines:
        return name
    best = (min if panel.best == "lowest" else max)(lines, key=lambda line: line[key])
    return f"{panel.best} {best[key]:.1f} at step {best['step']:,}"


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


def _line(draw: Any, places: list[tuple[float, float]], colour: tuple[int, ...], width: int) -> None:
    if len(places) > 1:
        draw.line([(x * _FINE, y * _FINE) for x, y in places], colour, width * _FINE, joint="curve")


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
