"""Hair and beards: shells that follow the head, cut along a hairline, and the volume behind it.

A hairline is the curve g = 0 on the unit sphere of the head (U right, V down, W out of the face), with

    g = a_v V + a_w W + a_u U + a_abs |U| + zig zigzag(freq U) - t

a plane cut (a_w makes it fall from the forehead to the nape), leaned to one side (a_u), folded in the middle
(a_abs) and notched (zig).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import palette as pal
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.face import Layout
from scratchgan.data.toyfaces.factors import TABLE, Factors
from scratchgan.data.toyfaces.head import Head

Array = NDArray[Any]

#   grow   a_v  a_w   a_u   a_abs  zig  freq   t      one row a hair style, in the table's order
CAP: Final = np.array(
    [
        [1.03, 1.0, 0.85, 0.00, 0.00, 0.00, 1.0, 0.28],  # buzz
        [1.14, 1.0, 0.80, 0.24, 0.00, 0.00, 1.0, 0.26],  # parted
        [1.15, 1.0, 0.36, 0.00, 0.00, 0.03, 2.5, 0.07],  # fringe
        [1.15, 1.0, 0.70, -0.30, 0.00, 0.00, 1.0, 0.16],  # bob
        [1.13, 1.0, 0.45, 0.00, -0.60, 0.00, 1.0, -0.32],  # long
        [1.10, 1.0, 0.55, 0.00, 0.00, 0.08, 2.0, 0.12],  # curly
        [1.10, 1.0, 0.60, 0.00, 0.00, 0.13, 2.0, 0.16],  # spiky
        [1.07, 1.0, 0.95, 0.00, 0.15, 0.00, 1.0, 0.34],  # bun
    ]
)
# Hair at the sides, over the ears: the part of the shell with |U| - 0.9 W > 0.22 and above t / 0.35.
CURTAIN: Final = np.array([1.15, 0.35, 0.9, 0.0, -1.0, 0.0, 1.0, 0.0])
CURTAIN_STYLES: Final = ("bob", "long")

FULL_BEARD: Final = (1.05, -1.0, 0.42, 0.0, 0.0, 0.035, 3.5, -0.06)


def style_is(f: Factors, *names: str) -> NDArray[np.bool_]:
    categories = TABLE["hair_style"].categories
    return np.isin(f["hair_style"], [categories.index(name) for name in names])


def over_ears(f: Factors) -> NDArray[np.bool_]:
    """Return whose hair hangs over the ears."""
    return style_is(f, *CURTAIN_STYLES)


def hair_colour(f: Factors) -> Array:
    return pal.mood(pal.HAIR[f["hair_colour"]], f["palette"])


def covered(f: Factors) -> NDArray[np.bool_]:
    """Return who wears a hat that presses the hair down (a party hat does not)."""
    return (f["hat_present"] == 1) & (f["hat"] != TABLE["hat"].categories.index("party"))


def add_back(draw: DrawList, head: Head, layout: Layout, f: Factors, light: tuple[Array, Array]) -> None:
    """Add what is behind the head: a bob's or long hair's fall, curls, spikes, a bun."""
    colour = hair_colour(f)
    pressed = covered(f)
    w, h = head.half_width, head.half_height
    axes = (head.cos, head.sin, -head.sin, head.cos)
    volumes: tuple[tuple[str, float, int, tuple[Any, ...], float, float, Array], ...] = (
        # style, darkening, shape, parameters, height V and depth W of the centre, whether a hat leaves it
        ("bob", 0.16, dl.ELLIPSE, (1.25 * w, 1.1 * h, 0.6), -0.06, -0.28, np.ones_like(pressed)),
        (
            "long",
            0.16,
            dl.TRAPEZOID,
            (1.12 * w, 1.36 * w, 1.3 * h, 0.75 * w),
            0.1,
            -0.28,
            np.ones_like(pressed),
        ),
        ("curly", 0.12, dl.LOBES, (1.3 * w, 1.1 * h, 0.06, 16.0, 0.0), -0.22, -0.3, np.ones_like(pressed)),
        ("spiky", 0.06, dl.LOBES, (1.14 * w, 0.96 * h, 0.15, 16.0, 1.0), -0.34, -0.2, ~pressed),
        ("bun", 0.0, dl.ELLIPSE, (0.3 * w, 0.24 * h, 0.2), -1.2, -0.25, ~pressed),
    )
    for style, shade, shape, params, v, depth, worn in volumes:
        x, y, _ = head.place(0.0, v, depth)
        draw.add(
            shape,
            params,
            at=(x, y),
            axes=axes,
            colour=pal.darker(colour, shade),
            light=light,
            line=layout.line,
            line_colour=pal.darker(colour, 0.5),
            klass=dl.HAIR,
            depth=-0.3,
            opacity=np.where(style_is(f, style) & worn, 1.0, 0.0),
        )


def add_cap(draw: DrawList, head: Head, layout: Layout, f: Factors, light: tuple[Array, Array]) -> None:
    """Add the hair on the head, down to the hairline."""
    colour = hair_colour(f)
    curtains = np.tile(CURTAIN, (draw.n, 1))
    curtains[:, 7] = np.where(style_is(f, "long"), -0.26, -0.32)
    caps = CAP[f["hair_style"]].copy()
    caps[:, 0] = np.where(covered(f), np.minimum(caps[:, 0], 1.06), caps[:, 0])
    common: dict[str, Any] = {
        "at": (head.cx, head.cy),
        "box": head.box(1.25),
        "colour": colour,
        "light": light,
        # long hair is one mass with what falls behind the head, and a bold line between them would make it a hood
        "line": np.where(over_ears(f), 0.65, 1.0) * layout.line,
        "line_colour": pal.darker(colour, 0.5),
        "klass": dl.HAIR,
        "on_surface": True,
        "depth": 0.05,
    }
    draw.add(
        dl.SHELL,
        tuple(curtains.T),
        opacity=np.where(over_ears(f), 1.0, 0.0),
        **common,
    )
    cap = draw.add(dl.SHELL, tuple(caps.T), opacity=np.where(style_is(f, "buzz"), 0.85, 1.0), **common)
    x, y, _ = head.place(-0.42, -0.72, 0.55)
    draw.add(
        dl.STROKE,
        (0.15, 1.3, 0.03, 0.6),
        at=(x, y),
        axes=(head.cos + 0.5 * head.sin, head.sin - 0.5 * head.cos, -head.sin, head.cos),
        box=dl.around((x, y), 0.3),
        colour=0.45 * colour + 0.55,
        feather=0.03,
        opacity=0.7 * f["shading"],
        clip=cap,
    )


def add_beard(draw: DrawList, head: Head, layout: Layout, f: Factors, outline: int) -> None:
    colour = pal.darker(hair_colour(f), 0.22)  # or a beard and long hair are one mask
    worn = [np.where((f["beard_present"] == 1) & (f["beard"] == kind), 1.0, 0.0) for kind in range(3)]
    common: dict[str, Any] = {
        "colour": colour,
        "line": 0.7 * layout.line,
        "line_colour": pal.darker(colour, 0.4),
        "klass": dl.BEARD,
        "on_surface": True,
        "depth": 0.03,
    }
    draw.add(dl.SHELL, FULL_BEARD, at=(head.cx, head.cy), box=head.box(1.1), opacity=worn[0], **common)
    draw.add(
        dl.ELLIPSE,
        (0.17, 0.115, 0.4),
        at=(0.0, 0.63 * head.half_height / 0.73),
        space=dl.HEAD,
        box=head.face_box(0.0, 0.62, 0.25, 0.16),
        opacity=worn[1],
        clip=outline,
        **common,
    )
    draw.add(
        dl.LENS,
        (0.25, 0.055, 0.035, 0.075),
        at=(0.0, 0.345),
        space=dl.HEAD,
        box=head.face_box(0.0, 0.36, 0.27, 0.12),
        opacity=worn[2],
        **common,
    )
