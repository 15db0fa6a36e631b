"""The head: an ellipsoid with a jaw, how it turns, and the map from its surface to the screen.

    head frame (U, V, W)  --turn by yaw and pitch-->  view frame (u, v, w)  --outline, roll, shift-->  screen

(U, V, W) is on the unit sphere: U right, V down, W out of the face. The outline maps the unit circle of the view
frame to the shape of the head, so that the sphere becomes an ellipsoid with a narrower or squarer lower half.
Features are drawn in (X, Y) = (half_width * U, half_height * V): they slide, shrink and vanish behind the edge as
features on a solid head do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces.factors import Factors

Array = NDArray[Any]

# Columns of the record of a head, as the rasteriser reads it.
CX, CY, COS, SIN, HALF_WIDTH, HALF_HEIGHT, TAPER, SQUARE = range(8)
TURN: Final = slice(8, 17)  # the rotation, row by row
GRAIN: Final = 17
HEAD_RECORD: Final = 18

HALF_WIDTH_MEAN: Final = 0.69
HALF_HEIGHT_MEAN: Final = 0.76
CENTRE_Y: Final = 0.16  # the hair needs the room above


def sin_cos(degrees: Array) -> tuple[Array, Array]:
    """Return sine and cosine of angles within +-45 degrees, by Taylor series.

    NumPy's sine differs in the last bit between processors; sums and products do not.
    """
    t = np.asarray(degrees, np.float64) * (np.pi / 180.0)
    t2 = t * t
    sine = t * (1 - t2 / 6 * (1 - t2 / 20 * (1 - t2 / 42 * (1 - t2 / 72 * (1 - t2 / 110)))))
    cosine = 1 - t2 / 2 * (1 - t2 / 12 * (1 - t2 / 30 * (1 - t2 / 56 * (1 - t2 / 90 * (1 - t2 / 132)))))
    return sine, cosine


@dataclass(frozen=True)
class Head:
    """N heads; every field is (N,) float64, and ``turn`` the nine of the rotation from head to view frame."""

    cx: Array
    cy: Array
    cos: Array
    sin: Array
    half_width: Array
    half_height: Array
    taper: Array
    square: Array
    turn: tuple[Array, ...]

    @classmethod
    def of(cls, factors: Factors) -> Head:
        sy, cy = sin_cos(factors["yaw"])
        sp, cp = sin_cos(factors["pitch"])
        sr, cr = sin_cos(factors["roll"])
        jaw = factors["jaw"]
        zero = np.zeros_like(sy)
        return cls(
            cx=factors["shift_x"],
            cy=factors["shift_y"] + CENTRE_Y,
            cos=cr,
            sin=sr,
            half_width=HALF_WIDTH_MEAN * factors["head_width"],
            half_height=HALF_HEIGHT_MEAN * factors["head_height"],
            taper=0.15 - 0.12 * jaw,
            square=0.15 + 0.42 * jaw,
            # pitch after yaw; looking down moves the face's front (W = 1) to positive v
            turn=(cy, zero, sy, -sp * sy, cp, sp * cy, -cp * sy, -sp, cp * cy),
        )

    def record(self, grain: Array) -> NDArray[np.float32]:
        """Return (N, HEAD_RECORD) float32 for the rasteriser."""
        columns = (self.cx, self.cy, self.cos, self.sin, self.half_width, self.half_height)
        return np.stack((*columns, self.taper, self.square, *self.turn, grain), axis=1).astype(np.float32)

    def view(self, u: Any, v: Any, w: Any) -> tuple[Array, Array, Array]:
        """Turn points of the head frame into the view frame; w > 0 faces the viewer."""
        t = self.turn
        return (
            t[0] * u + t[1] * v + t[2] * w,
            t[3] * u + t[4] * v + t[5] * w,
            t[6] * u + t[7] * v + t[8] * w,
        )

    def outline(self, u: Any, v: Any) -> tuple[Array, Array]:
        """Map the view frame to the screen; the unit circle becomes the outline of the head.

        The rasteriser inverts this map; both use the norm r(p) = (1 - s) |p|_2 + s |p|_4 with squareness s.
        """
        u2, v2 = u * u, v * v
        two = np.sqrt(u2 + v2)
        four = np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
        stretch = two / np.maximum((1 - self.square) * two + self.square * four, 1e-9)
        v0 = v * stretch
        x = u * stretch * self.half_width * self.narrowing(v0)
        y = v0 * self.half_height
        return self.cx + self.cos * x - self.sin * y, self.cy + self.sin * x + self.cos * y

    def narrowing(self, v: Any) -> Array:
        """Return the width at height v beside that at v = 0: less below, so that there is a chin."""
        low = np.clip(v, 0.0, 1.2)
        return 1 - self.taper * low * (1 + low)

    def place(self, u: Any, v: Any, w: Any) -> tuple[Array, Array, Array]:
        """Map points of the head frame to the screen; return x, y and the depth in half frames."""
        a, b, c = self.view(u, v, w)
        x, y = self.outline(a, b)
        return x, y, c * self.half_width

    def on_face(self, x: Any, y: Any, lift: float = 1.0) -> tuple[Array, Array, Array]:
        """Map a point of the face's own drawing (X, Y) to the head frame, ``lift`` times the radius out."""
        u, v = x / self.half_width, y / self.half_height
        w = np.sqrt(np.maximum(1 - u * u - v * v, 0.0))
        return u * lift, v * lift, w * lift

    def face_box(self, x: Any, y: Any, rx: Any, ry: Any) -> tuple[Array, Array, Array, Array]:
        """Return the box on the screen of a rectangle of the face's drawing, with a margin."""
        corners = [self.place(*self.on_face(x + i * rx, y + j * ry)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        xs, ys = np.stack([c[0] for c in corners]), np.stack([c[1] for c in corners])
        return xs.min(0) - 0.05, ys.min(0) - 0.05, xs.max(0) + 0.05, ys.max(0) + 0.05

    def box(self, scale: float = 1.0) -> tuple[Array, Array, Array, Array]:
        """Return a box on the screen around the head, ``scale`` times larger."""
        r = np.maximum(self.half_width, self.half_height) * scale * 1.12
        return self.cx - r, self.cy - r, self.cx + r, self.cy + r
