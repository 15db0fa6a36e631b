"""Glasses and hats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import palette as pal
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.face import Layout
from scratchgan.data.toyfaces.factors import TABLE, Factors
from scratchgan.data.toyfaces.head import Head

Array = NDArray[Any]


def _worn(f: Factors, name: str, *kinds: str) -> Array:
    categories = TABLE[name].categories
    chosen = np.isin(f[name], [categories.index(kind) for kind in kinds])
    return np.where((f[f"{name}_present"] == 1) & chosen, 1.0, 0.0)


def add_glasses(draw: DrawList, head: Head, layout: Layout, f: Factors) -> None:
    """Add the glasses: flat, in a plane just before the eyes, so that they foreshorten as a whole."""
    colour = pal.mood(pal.GLASSES[f["palette"]], f["palette"])
    t = head.turn
    right = (head.cos * t[0] - head.sin * t[3], head.sin * t[0] + head.cos * t[3])
    down = (head.cos * t[1] - head.sin * t[4], head.sin * t[1] + head.cos * t[4])
    axes = (*right, *down)
    x0, y0, z = head.place(0.0, layout.eye_y / head.half_height, 1.02)
    frame = 0.018 + 0.5 * layout.line
    common: dict[str, Any] = {"axes": axes, "klass": dl.GLASSES, "depth": z}
    spread = 1.03 * layout.eye_x[1]
    for side in (-1.0, 1.0):
        at = (x0 + side * spread * right[0], y0 + side * spread * right[1])
        box = dl.around(at, 0.34)
        lens: tuple[tuple[str, int, tuple[Any, ...]], ...] = (
            ("round", dl.ELLIPSE, (0.205, 0.205, 0.0)),
            ("square", dl.TRAPEZOID, (0.21, 0.19, 0.17, 0.05)),
            ("sun", dl.ELLIPSE, (0.225, 0.19, 0.6)),
        )
        for kind, shape, params in lens:
            on = _worn(f, "glasses", kind)
            if kind == "sun":
                draw.add(shape, params, at=at, box=box, colour=colour, light=(0.0, -1.2), opacity=on, **common)
                draw.add(
                    dl.STROKE,
                    (0.06, 0.0, 0.02, 0.3),
                    at=(at[0] - 0.07, at[1] - 0.06),
                    axes=(0.8, -0.6, 0.6, 0.8),
                    box=box,
                    colour=pal.WHITE,
                    opacity=0.65 * on,
                )
            else:
                draw.add(shape, params, at=at, axes=axes, box=box, colour=pal.WHITE, opacity=0.16 * on)
                draw.add(shape, params, at=at, box=box, colour=colour, hollow=frame, opacity=on, **common)
        hinge = (at[0] + side * 0.2 * right[0], at[1] + side * 0.2 * right[1])
        ear = head.place(side, 0.03, 0.0)
        dx, dy = 0.5 * (ear[0] - hinge[0]), 0.5 * (ear[1] - hinge[1])
        half = np.sqrt(dx * dx + dy * dy) + 1e-6
        middle = (hinge[0] + dx, hinge[1] + dy)
        draw.add(
            dl.STROKE,
            (half, 0.0, 0.8 * frame, 0.0),
            at=middle,
            axes=(dx / half, dy / half, -dy / half, dx / half),
            box=dl.around(middle, half + 0.05),
            colour=colour,
            klass=dl.GLASSES,
            depth=z,
            # the far side piece is behind the head
            opacity=np.where(ear[2] > -0.12, _worn(f, "glasses", "round", "square", "sun"), 0.0),
        )
    draw.add(
        dl.STROKE,
        (np.maximum(spread - 0.2, 0.03), 1.2, frame, 0.0),
        at=(x0, y0),
        box=dl.around((x0, y0), 0.2),
        colour=colour,
        opacity=_worn(f, "glasses", "round", "square", "sun"),
        **common,
    )


def add_hat(draw: DrawList, head: Head, layout: Layout, f: Factors, light: tuple[Array, Array]) -> None:
    colour = pal.mood(pal.HAT[f["palette"]], f["palette"])
    trim = pal.mood(pal.HAT_TRIM[f["palette"]], f["palette"])
    straw = pal.mood(pal.STRAW, f["palette"])
    upright = (head.cos, head.sin, -head.sin, head.cos)
    line = layout.line

    def shell(kind: str, cut: tuple[float, ...], fill: Array) -> None:
        draw.add(
            dl.SHELL,
            cut,
            at=(head.cx, head.cy),
            box=head.box(1.3),
            colour=fill,
            light=light,
            line=line,
            line_colour=pal.darker(fill, 0.5),
            klass=dl.HAT,
            on_surface=True,
            depth=0.1,
            opacity=_worn(f, "hat", kind),
        )

    def piece(
        kind: str, shape: int, params: tuple[Any, ...], place: tuple[float, ...], fill: Array, **more: Any
    ) -> int:
        x, y, z = head.place(*place)
        return draw.add(
            shape,
            params,
            at=(x, y),
            axes=upright,
            colour=fill,
            light=light,
            line=line,
            line_colour=pal.darker(fill, 0.5),
            klass=dl.HAT,
            depth=z,
            opacity=_worn(f, "hat", kind),
            **more,
        )

    piece("beanie", dl.LOBES, (0.13, 0.13, 0.1, 8.0, 0.0), (0.0, -1.27, -0.05), trim)
    shell("beanie", (1.19, 1.0, 0.35, 0.0, 0.0, 0.0, 1.0, 0.02), trim)
    shell("beanie", (1.19, 1.0, 0.35, 0.0, 0.0, 0.0, 1.0, -0.2), colour)

    shell("cap", (1.17, 1.0, 0.38, 0.0, 0.0, 0.0, 1.0, -0.1), colour)
    brim = head.half_width
    piece("cap", dl.LENS, (0.78 * brim, 0.14, 0.1, 0.06), (0.0, -0.46, 1.16), pal.darker(colour, 0.18))
    piece("cap", dl.ELLIPSE, (0.06, 0.035, 0.0), (0.0, -1.17, 0.05), trim)

    shell("straw", (1.16, 1.0, 0.3, 0.0, 0.0, 0.0, 1.0, -0.25), colour)
    shell("straw", (1.16, 1.0, 0.3, 0.0, 0.0, 0.0, 1.0, -0.47), straw)
    piece("straw", dl.LENS, (1.42 * brim, 0.17, 0.1, 0.08), (0.0, -0.5, 0.55), straw)

    cone = piece("party", dl.TRAPEZOID, (0.03, 0.31, 0.32, 0.03), (0.0, -1.06, 0.25), colour)
    x, y, z = head.place(0.0, -1.06, 0.25)
    draw.add(
        dl.STRIPES,
        (0.17, 0.035),
        at=(x, y),
        axes=(
            0.8 * head.cos - 0.6 * head.sin,
            0.8 * head.sin + 0.6 * head.cos,
            -0.8 * head.sin - 0.6 * head.cos,
            0.8 * head.cos - 0.6 * head.sin,
        ),
        box=dl.around((x, y), 0.5),
        colour=trim,
        klass=dl.HAT,
        depth=z,
        opacity=_worn(f, "hat", "party"),
        clip=cone,
    )
    piece("party", dl.LOBES, (0.085, 0.085, 0.12, 8.0, 0.0), (0.0, -1.47, 0.3), trim)
