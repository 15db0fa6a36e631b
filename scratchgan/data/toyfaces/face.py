"""The face itself: where its features are, and the shapes they are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import palette as pal
from scratchgan.data.toyfaces.drawlist import DrawList
from scratchgan.data.toyfaces.factors import Factors
from scratchgan.data.toyfaces.head import Head

Array = NDArray[Any]

PUPIL_BELOW = 0.01
"""How far the middle of the iris is below the middle of the eye when it looks straight ahead."""


@dataclass(frozen=True)
class Layout:
    """Sizes and places of the features in the face's own drawing, each (N,); index 0 is the left eye, 1 the right."""

    eye_x: tuple[Array, Array]
    eye_y: float
    eye_half_width: Array
    eye_rise: tuple[Array, Array]
    eye_fall: tuple[Array, Array]
    eye_tilt: Array
    gaze: tuple[Array, Array]
    iris: Array
    brow_y: Array
    brow_lean: Array
    brow_half_width: float
    brow_curve: float
    nose_y: float
    nose_size: Array
    mouth_y: Array
    mouth_half_width: Array
    mouth_hang: Array
    mouth_fall: Array
    line: Array

    @classmethod
    def of(cls, f: Factors) -> Layout:
        shape, size = f["eye_shape"], f["eye_size"]
        half_width = np.array([0.15, 0.18, 0.165])[shape] * size
        height = np.array([0.185, 0.145, 0.16])[shape] * size
        # A closed eye is a line that curves downward: the upper edge falls below the corners.
        opens = (f["eye_open_left"], f["eye_open_right"])
        rise = (height * (1.2 * opens[0] - 0.2), height * (1.2 * opens[1] - 0.2))
        fall = (height * (0.2 + 0.65 * opens[0]), height * (0.2 + 0.65 * opens[1]))
        spacing = 0.295 * f["eye_spacing"] * f["head_width"]
        return cls(
            eye_x=(-spacing, spacing),
            eye_y=0.05,
            eye_half_width=half_width,
            eye_rise=rise,
            eye_fall=fall,
            eye_tilt=np.array([0.0, 0.16, -0.14])[shape],
            gaze=(0.045 * f["gaze_x"] * size, 0.035 * f["gaze_y"] * size),
            iris=0.112 * size,
            brow_y=-0.225 - 0.065 * f["brow_raise"],
            brow_lean=np.clip(-0.2 * f["brow_raise"], -0.12, 0.2),  # a frown brings the inner ends down
            brow_half_width=0.145,
            brow_curve=1.6,
            nose_y=0.25,
            nose_size=f["nose_size"],
            mouth_y=0.465 + 0.025 * f["smile"],
            mouth_half_width=0.205 + 0.03 * f["smile"],
            mouth_hang=-0.1 * f["smile"],
            mouth_fall=0.24 * f["mouth_open"],
            line=0.009 + 0.026 * f["line_width"],
        )


def add_head(draw: DrawList, head: Head, layout: Layout, f: Factors, light: tuple[Array, Array], ears: Array) -> int:
    """Add the head, and the ears of those who show them; return the head's slot, for what is cut to its outline."""
    skin = pal.mood(pal.SKIN[f["skin_tone"]], f["palette"])
    inner = pal.mood(pal.BLUSH[f["skin_tone"]], f["palette"])
    outline = pal.darker(skin, 0.55)
    for side in (-1.0, 1.0):
        x, y, _ = head.place(side * 1.04, 0.1, -0.1)
        for grow, colour, klass in ((1.0, skin, dl.EARS), (0.5, inner, dl.KEEP)):
            r = f["ear_size"] * grow
            draw.add(
                dl.ELLIPSE,
                (0.115 * r, 0.155 * r, 0.0),
                at=(x, y),
                axes=(head.cos, head.sin, -head.sin, head.cos),
                box=dl.around((x, y), 0.17 * r),
                colour=colour,
                light=light,
                line=layout.line if grow == 1.0 else 0.0,
                line_colour=outline,
                klass=klass,
                depth=-0.05,
                opacity=np.where(ears, 1.0 if grow == 1.0 else 0.6, 0.0),
            )
    return draw.add(
        dl.OUTLINE,
        (),
        at=(head.cx, head.cy),
        box=head.box(),
        colour=skin,
        light=light,
        line=layout.line,
        line_colour=outline,
        klass=dl.SKIN,
        on_surface=True,
    )


def add_blush(draw: DrawList, head: Head, layout: Layout, f: Factors, outline: int) -> None:
    colour = pal.mood(pal.BLUSH[f["skin_tone"]], f["palette"])
    for x in layout.eye_x:
        x = 1.3 * x
        draw.add(
            dl.ELLIPSE,
            (0.075, 0.05, 0.0),
            at=(x, 0.31),
            space=dl.HEAD,
            box=head.face_box(x, 0.3, 0.2, 0.2),
            colour=colour,
            feather=0.14,
            opacity=0.6,
            clip=outline,
        )


def add_eyes(draw: DrawList, head: Head, layout: Layout, f: Factors) -> None:
    white = pal.mood(pal.WHITE, f["palette"])
    iris = pal.mood(pal.IRIS, f["palette"])
    for side, (x, rise, fall) in enumerate(zip(layout.eye_x, layout.eye_rise, layout.eye_fall, strict=True)):
        y, w = layout.eye_y, layout.eye_half_width
        tilt = layout.eye_tilt * (1 if side == 0 else -1)  # outer corners go up together
        axes = (1.0, tilt, -tilt, 1.0)
        box = head.face_box(x, y, 1.1 * w + 0.03, 1.1 * w + 0.06)
        lid = 0.016 + 0.7 * layout.line
        ball = draw.add(
            dl.LENS,
            (w, rise, fall, 0.0),
            at=(x, y),
            axes=axes,
            space=dl.HEAD,
            box=box,
            colour=white,
            klass=dl.EYES,
            depth=0.01,
            on_surface=True,
        )
        gx, gy = x + layout.gaze[0], y + layout.gaze[1] + PUPIL_BELOW
        shine = (gx - 0.35 * layout.iris, gy - 0.38 * layout.iris)
        for centre, radius, colour in (((gx, gy), layout.iris, iris), (shine, 0.36 * layout.iris, white)):
            draw.add(
                dl.ELLIPSE,
                (radius, 1.12 * radius, 0.0),
                at=centre,
                space=dl.HEAD,
                box=box,
                colour=colour,
                klass=dl.EYES,
                depth=0.01,
                on_surface=True,
                clip=ball,
            )
        draw.add(
            dl.STROKE,
            (w, rise / (w * w), lid, 0.35),
            at=(x + tilt * rise, y - rise),
            axes=axes,
            space=dl.HEAD,
            box=box,
            colour=iris,
            klass=dl.EYES,
            depth=0.01,
            on_surface=True,
        )


def add_brows(draw: DrawList, head: Head, layout: Layout, f: Factors, hair: Array) -> None:
    colour = pal.darker(hair, 0.25)
    for side, x in enumerate(layout.eye_x):
        lean = layout.brow_lean * (1 if side == 0 else -1)
        draw.add(
            dl.STROKE,
            (layout.brow_half_width, layout.brow_curve, 0.031 * f["brow_thickness"], 0.45),
            at=(x, layout.brow_y),
            axes=(1.0, lean, -lean, 1.0),
            space=dl.HEAD,
            box=head.face_box(x, layout.brow_y, 0.2, 0.12),
            colour=colour,
            klass=dl.BROWS,
            depth=0.01,
            on_surface=True,
        )


def add_nose(draw: DrawList, head: Head, layout: Layout, f: Factors) -> None:
    """Add the nose, which stands out of the face and so moves further than it when the head turns."""
    skin = pal.mood(pal.SKIN[f["skin_tone"]], f["palette"])
    warm = 0.45 * skin + 0.55 * pal.mood(pal.BLUSH[f["skin_tone"]], f["palette"])
    dark = pal.darker(warm, 0.35)
    x, y, z = head.place(*head.on_face(0.0, layout.nose_y, 1.16))
    axes = (head.cos, head.sin, -head.sin, head.cos)
    size = layout.nose_size
    for kind, (shape, params, colour, rise) in enumerate(
        (
            (dl.ELLIPSE, (0.072 * size, 0.056 * size, 0.0), warm, 0.0),
            (dl.TRAPEZOID, (0.024 * size, 0.066 * size, 0.105 * size, 0.022 * size), warm, 0.05),
            (dl.STROKE, (0.062 * size, -9.0 / size, 0.02 * size, 0.3), dark, -0.03),
        )
    ):
        at = (x + head.sin * rise, y - head.cos * rise)
        draw.add(
            shape,
            params,
            at=at,
            axes=axes,
            box=dl.around(at, 0.15 * size),
            colour=colour,
            light=(-0.8 * f["shading"], -0.8 * f["shading"]),
            klass=dl.NOSE,
            depth=z,
            opacity=np.where(f["nose_type"] == kind, 1.0, 0.0),
        )


def add_mouth(draw: DrawList, head: Head, layout: Layout, f: Factors) -> None:
    """Add the opening, teeth and tongue cut to it, and the line of the upper lip, which is a closed mouth."""
    lips = pal.mood(pal.LIPS[f["palette"]], f["palette"])
    y, w, hang = layout.mouth_y, layout.mouth_half_width, layout.mouth_hang
    common: dict[str, Any] = {
        "space": dl.HEAD,
        "box": head.face_box(0.0, y + 0.07, w + 0.06, 0.26),
        "klass": dl.MOUTH,
        "on_surface": True,
    }
    opening = draw.add(
        dl.LENS,
        (w, 0.0, layout.mouth_fall, hang),
        at=(0.0, y),
        colour=pal.mood(pal.MOUTH, f["palette"]),
        line=0.6 * layout.line + 0.012,
        line_colour=lips,
        **common,
    )
    shown = np.clip(f["mouth_open"] * 4 - 0.8, 0.0, 1.0)
    draw.add(
        dl.ELLIPSE,
        (0.55 * w, 0.085, 0.0),
        at=(0.0, y + layout.mouth_fall),
        colour=pal.mood(pal.TONGUE, f["palette"]),
        opacity=shown,
        clip=opening,
        **common,
    )
    draw.add(
        dl.STROKE,
        (0.78 * w, hang / (w * w), 0.024 + 0.01 * f["mouth_open"], 0.0),
        at=(0.0, y + 0.03),
        colour=pal.mood(pal.WHITE, f["palette"]),
        opacity=shown,
        clip=opening,
        **common,
    )
    draw.add(
        dl.STROKE,
        (w, hang / (w * w), 0.026 + 0.6 * layout.line, 0.3),
        at=(0.0, y),
        colour=pal.darker(lips, 0.15),
        **common,
    )
