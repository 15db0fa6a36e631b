"""The 32 landmarks: points fixed on the head, placed on the screen by the same map that draws the features."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces.face import PUPIL_BELOW, Layout
from scratchgan.data.toyfaces.head import Head, sin_cos

LANDMARKS: Final = (
    *(f"jaw_{i}" for i in range(7)),  # from the left ear over the chin (jaw_3) to the right ear
    *(f"brow_{side}_{part}" for side in ("left", "right") for part in ("outer", "middle", "inner")),
    *(f"eye_{side}_{part}" for side in ("left", "right") for part in ("outer", "top", "inner", "bottom")),
    "pupil_left",
    "pupil_right",
    "nose_bridge",
    "nose_tip",
    "nose_base",
    "mouth_left",
    "mouth_right",
    "lip_upper",
    "lip_lower",
    "mouth_top",
    "mouth_bottom",
)

JAW_ANGLES: Final = (-20.0, 8.0, 40.0, 90.0, 140.0, 172.0, 200.0)
COVERS: Final = (dl.HAIR, dl.GLASSES, dl.HAT, dl.BEARD, dl.KEEP)
"""What hides a landmark when it is painted over it; KEEP stands for the world outside the frame."""


def landmark_points(head: Head, layout: Layout) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (N, 32, 2) float32 places on the screen (-1 to 1) and (N, 32) whether each could be seen.

    A landmark can't be seen on the far side of the head, nor a pupil behind its lid; what else may cover it shows
    only in the mask.
    """
    drawn: list[tuple[Any, Any, float]] = []
    for side, x in enumerate(layout.eye_x):
        outward = 1 if side else -1
        lean = -outward * layout.brow_lean
        for k in (1, 0, -1):  # outer end, middle, inner end
            along = outward * k * layout.brow_half_width
            below = layout.brow_curve * along * along
            drawn.append((x + along - lean * below, layout.brow_y + lean * along + below, 1.0))
    for side, x in enumerate(layout.eye_x):
        outward = 1 if side else -1
        w, tilt, y = layout.eye_half_width, layout.eye_tilt, layout.eye_y
        rise, fall = layout.eye_rise[side], layout.eye_fall[side]
        lean = tilt * -outward
        drawn += [
            (x + outward * w, y - tilt * w, 1.0),
            (x + lean * rise, y - rise, 1.0),
            (x - outward * w, y + tilt * w, 1.0),
            (x - lean * fall, y + fall, 1.0),
        ]
    drawn += [(x + layout.gaze[0], layout.eye_y + layout.gaze[1] + PUPIL_BELOW, 1.0) for x in layout.eye_x]
    drawn += [(0.0, layout.eye_y, 1.0), (0.0, layout.nose_y, 1.16)]
    drawn += [(0.0, layout.nose_y + 0.055 * layout.nose_size, 1.1)]
    mouth, w, hang = layout.mouth_y, layout.mouth_half_width, layout.mouth_hang
    drawn += [(-w, mouth + hang, 1.0), (w, mouth + hang, 1.0)]
    lip = 0.026 + 0.6 * layout.line
    drawn += [(0.0, mouth - lip, 1.0), (0.0, mouth + np.maximum(layout.mouth_fall, lip), 1.0)]
    drawn += [(0.0, mouth, 1.0), (0.0, mouth + layout.mouth_fall, 1.0)]
    points: list[tuple[Any, Any, Any]] = [_jaw(angle) for angle in reversed(JAW_ANGLES)]
    points += [head.on_face(x, y, lift) for x, y, lift in drawn]
    xs, ys, front = [], [], []
    for u, v, w in points:
        screen_x, screen_y, _ = head.place(u, v, w)
        xs.append(screen_x)
        ys.append(screen_y)
        front.append(head.view(u, v, w)[2] > 0)
    down = layout.gaze[1] + PUPIL_BELOW
    for side, name in enumerate(("pupil_left", "pupil_right")):
        front[LANDMARKS.index(name)] &= (down > -layout.eye_rise[side]) & (down < layout.eye_fall[side])
    return np.stack([np.stack(xs, 1), np.stack(ys, 1)], axis=2).astype(np.float32), np.stack(front, axis=1)


def _jaw(angle: float) -> tuple[float, float, float]:
    """Return a point just within the edge of a head seen from the front; 90 degrees is the chin."""
    quarter, rest = divmod(angle, 90.0)
    sine, cosine = (float(value) for value in sin_cos(np.array(rest / 2)))
    sine, cosine = 2 * sine * cosine, cosine * cosine - sine * sine  # the series holds to 45 degrees
    for _ in range(int(quarter) % 4):
        sine, cosine = cosine, -sine
    return 0.97 * cosine, 0.97 * sine, float(np.sqrt(1 - 0.97**2))
