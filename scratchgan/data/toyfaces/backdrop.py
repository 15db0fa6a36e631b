"""Backgrounds: two colours in a pattern, or a small scene."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import palette as pal
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.factors import TABLE, Factors

FAR_DEPTH: Final = -1.0
PATTERN_CONTRAST: Final = 0.45

_GRASS, _WOOD, _BRICK = (0.56, 0.78, 0.44), (0.55, 0.37, 0.24), (0.86, 0.45, 0.36)
_CREAM, _LEAF, _CLOUD, _GOLD = (0.98, 0.93, 0.82), (0.33, 0.62, 0.36), (1.0, 1.0, 1.0), (1.0, 0.83, 0.35)
_GLASS, _SKY = (0.70, 0.89, 0.97), (0.62, 0.85, 0.97)

# What a scene is made of, in paint order: shape, centre, parameters, colour.
SCENES: Final[dict[str, tuple[tuple[int, tuple[float, float], tuple[float, ...], tuple[float, ...]], ...]]] = {
    "house": (
        (dl.TRAPEZOID, (0.0, 0.0), (1.5, 1.5, 1.5, 0.0), _SKY),
        (dl.TRAPEZOID, (0.0, 1.0), (1.5, 1.5, 0.35, 0.0), _GRASS),
        (dl.TRAPEZOID, (-0.62, 0.2), (0.5, 0.5, 0.6, 0.0), _CREAM),
        (dl.TRAPEZOID, (-0.62, -0.55), (0.02, 0.62, 0.25, 0.0), _BRICK),
        (dl.TRAPEZOID, (-0.8, -0.05), (0.12, 0.12, 0.12, 0.0), _GLASS),
    ),
    "tree": (
        (dl.TRAPEZOID, (0.0, 0.0), (1.5, 1.5, 1.5, 0.0), _SKY),
        (dl.TRAPEZOID, (0.0, 1.0), (1.5, 1.5, 0.35, 0.0), _GRASS),
        (dl.TRAPEZOID, (0.76, 0.4), (0.09, 0.13, 0.5, 0.0), _WOOD),
        (dl.LOBES, (0.74, -0.35), (0.44, 0.42, 0.08, 12.0, 0.0), _LEAF),
    ),
    "window": (
        (dl.TRAPEZOID, (0.0, 0.0), (1.5, 1.5, 1.5, 0.0), _CREAM),
        (dl.TRAPEZOID, (0.0, -0.25), (0.88, 0.88, 0.68, 0.04), _WOOD),
        (dl.TRAPEZOID, (-0.42, -0.25), (0.38, 0.38, 0.6, 0.0), _GLASS),
        (dl.TRAPEZOID, (0.42, -0.25), (0.38, 0.38, 0.6, 0.0), _GLASS),
        (dl.TRAPEZOID, (0.0, 0.5), (1.0, 1.0, 0.08, 0.02), _WOOD),
    ),
    "door": (
        (dl.TRAPEZOID, (0.0, 0.0), (1.5, 1.5, 1.5, 0.0), _BRICK),
        (dl.TRAPEZOID, (0.0, 0.1), (0.82, 0.82, 1.02, 0.08), _CREAM),
        (dl.TRAPEZOID, (0.0, 0.15), (0.74, 0.74, 1.0, 0.05), _WOOD),
        (dl.ELLIPSE, (0.62, 0.35), (0.055, 0.055, 0.0), _GOLD),
    ),
    "sky": (
        (dl.TRAPEZOID, (0.0, 0.0), (1.5, 1.5, 1.5, 0.0), _SKY),
        (dl.ELLIPSE, (0.72, -0.72), (0.2, 0.2, 0.0), _GOLD),
        (dl.LOBES, (-0.68, -0.55), (0.3, 0.15, 0.12, 12.0, 0.0), _CLOUD),
        (dl.LOBES, (0.8, 0.15), (0.32, 0.16, 0.12, 12.0, 0.0), _CLOUD),
        (dl.LOBES, (-0.8, 0.55), (0.28, 0.14, 0.12, 12.0, 0.0), _CLOUD),
    ),
}


def add_backdrop(draw: DrawList, f: Factors) -> None:
    """Add everything behind the person."""
    first = pal.mood(pal.BACKDROP[f["background_a"]], f["palette"])
    second = pal.mood(pal.BACKDROP[f["background_b"]], f["palette"])
    second = first + PATTERN_CONTRAST * (0.6 * second + 0.4 - first)  # lightened, or two strong colours meet in mud
    common: dict[str, Any] = {"klass": dl.BACKGROUND, "depth": FAR_DEPTH, "background": True}
    plain = (2.0, 2.0, 2.0, 0.0)
    draw.add(dl.TRAPEZOID, plain, colour=first, **common)
    patterns: dict[str, dict[str, Any]] = {
        "gradient": {"shape": dl.TRAPEZOID, "params": plain, "at": (0.0, 2.0), "feather": 2.4},
        "stripes": {"shape": dl.STRIPES, "params": (0.5, 0.125), "axes": (0.8, 0.6, -0.6, 0.8)},
        "dots": {"shape": dl.DOTS, "params": (0.4, 0.1)},
        "rings": {"shape": dl.RINGS, "params": (0.44, 0.11), "at": (0.0, 0.1)},
    }
    for name, how in patterns.items():
        chosen = f["pattern"] == TABLE["pattern"].categories.index(name)
        draw.add(
            how.pop("shape"),
            how.pop("params"),
            colour=second,
            opacity=np.where(chosen & (f["scene_present"] == 0), 1.0, 0.0),
            **how,
            **common,
        )
    for index, name in enumerate(TABLE["scene"].categories):
        chosen = (f["scene_present"] == 1) & (f["scene"] == index)
        for shape, at, params, colour in SCENES[name]:
            draw.add(
                shape,
                params,
                at=at,
                colour=pal.mood(np.array(colour), f["palette"]),
                opacity=np.where(chosen, 1.0, 0.0),
                **common,
            )
