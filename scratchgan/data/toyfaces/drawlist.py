"""The draw list: what a batch of faces is made of, shape by shape, in paint order.

A slot is one shape of every face in the batch (faces that lack it give it opacity 0). A face's image, class mask,
alpha and depth all come from painting the slots in their order, so they cannot disagree.

Screen coordinates run from -1 to 1, x to the right and y down. Lengths are in half frames.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The classes of the mask. KEEP marks shapes that only tint what lies below them (a blush, a highlight).
CLASSES: Final = (
    "background",
    "skin",
    "hair",
    "eyes",
    "brows",
    "nose",
    "mouth",
    "ears",
    "glasses",
    "hat",
    "beard",
)
BACKGROUND, SKIN, HAIR, EYES, BROWS, NOSE, MOUTH, EARS, GLASSES, HAT, BEARD = range(len(CLASSES))
KEEP: Final = 255

# Shapes and their parameters, in the units of the local frame (y down).
ELLIPSE: Final = 0  # rx, ry, squareness (0 an ellipse, 1 a superellipse of exponent 4)
TRAPEZOID: Final = 1  # half width at the top, at the bottom, half height, corner radius
STROKE: Final = 2  # half width, curvature (y = curvature * x^2), half thickness, taper toward both ends
LENS: Final = 3  # half width, rise of the upper edge, fall of the lower edge, by how much the corners hang
LOBES: Final = 4  # rx, ry, height of the bumps, number of them (4, 8, 12 or 16), sharpness (0 or 1)
STRIPES: Final = 5  # period, half width of a stripe
DOTS: Final = 6  # period, radius
RINGS: Final = 7  # period, half width of a ring
SHELL: Final = 8  # growth of the head's outline, then where it is cut: see raster.py
OUTLINE: Final = 9  # the head itself

# Which coordinates a shape is drawn in.
SCREEN: Final = 0
HEAD: Final = 1  # on the face: (X, Y) of the point of the head's surface that the viewer sees there

# Columns of a record.
AFFINE, PARAMS, SCALE, HOLLOW = slice(0, 6), slice(6, 14), 14, 15
COLOUR, LINE_COLOUR, LINE, OPACITY, FEATHER = slice(16, 19), slice(19, 22), 22, 23, 24
LIGHT_X, LIGHT_Y, DEPTH, BOX = 25, 26, 27, slice(28, 32)
RECORD: Final = 32

# Columns of the table of slots.
SHAPE, SPACE, CLASS, CLIP, ON_SURFACE, OPAQUE = range(6)
NO_CLIP: Final = -1


class DrawList:
    """Collects the slots of n faces.

    Attributes (after ``finish``):
        records: (N, P, RECORD) float32, what differs from face to face.
        slots: (P, 6) int64, what does not.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._records: list[NDArray[np.float32]] = []
        self._slots: list[tuple[int, ...]] = []

    def add(
        self,
        shape: int,
        params: tuple[ArrayLike, ...],
        *,
        at: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
        axes: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike] = (1.0, 0.0, 0.0, 1.0),
        space: int = SCREEN,
        box: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike] | None = None,
        scale: ArrayLike = 1.0,
        colour: ArrayLike = (0.0, 0.0, 0.0),
        line: ArrayLike = 0.0,
        line_colour: ArrayLike = (0.0, 0.0, 0.0),
        light: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
        opacity: ArrayLike = 1.0,
        feather: ArrayLike = 0.0,
        hollow: ArrayLike = 0.0,
        depth: ArrayLike = 0.0,
        on_surface: bool = False,
        klass: int = KEEP,
        clip: int = NO_CLIP,
        background: bool = False,
    ) -> int:
        """Append one shape and return its slot.

        Args:
            shape, params: one of the shapes above and its parameters.
            at, axes: centre, and the local x and y axes (xx, xy, yx, yy), in the coordinates of ``space``.
            box: what part of the screen it may cover (x0, y0, x1, y1); the whole frame by default.
            scale: screen length of one local unit beside that of ``axes``; it sets the width of soft edges.
            colour, line_colour: (3,) or (N, 3) in 0 to 1. The line runs inside the edge, ``line`` wide.
            light: relative brightness gained per half frame along x and y, from ``at``.
            opacity, feather: 0 to 1; width of a soft edge (0 is a crisp one).
            hollow: half width of a ring in place of the filled shape; 0 fills.
            depth, on_surface: distance toward the viewer, counted from the head's surface or its centre.
            klass: class in the mask; KEEP leaves the mask as it was.
            clip: a slot that this one is cut to (its inside).
            background: whether it belongs to the background, and so adds nothing to alpha.
        """
        xx, xy, yx, yy = (np.asarray(v, np.float64) for v in axes)
        det = xx * yy - xy * yx
        flat = np.abs(det) < 1e-6  # seen edge-on: nothing to paint
        det = np.where(flat, 1.0, det)
        record = np.zeros((self.n, RECORD), np.float32)
        columns: list[ArrayLike] = [yy / det, -yx / det, -xy / det, xx / det, at[0], at[1], *params]
        for i, column in enumerate(columns):
            record[:, i] = column
        record[:, SCALE] = np.sqrt(np.abs(det)) * np.asarray(scale)
        record[:, HOLLOW] = hollow
        record[:, COLOUR] = colour
        record[:, LINE_COLOUR] = line_colour
        record[:, LINE] = line
        record[:, OPACITY] = np.where(flat, 0.0, opacity)
        record[:, FEATHER] = feather
        record[:, LIGHT_X] = light[0]
        record[:, LIGHT_Y] = light[1]
        record[:, DEPTH] = depth
        for i, edge in enumerate(box if box is not None else (-1.0, -1.0, 1.0, 1.0)):
            record[:, 28 + i] = edge
        self._records.append(record)
        self._slots.append((shape, space, klass, clip, int(on_surface), int(not background)))
        return len(self._slots) - 1

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (records, slots)."""
        return np.stack(self._records, axis=1), np.array(self._slots, np.int64)


def around(at: tuple[Any, Any], radius: ArrayLike) -> tuple[Any, Any, Any, Any]:
    """Return the box of a given half side around a point."""
    r = np.asarray(radius)
    return (at[0] - r, at[1] - r, at[0] + r, at[1] + r)
