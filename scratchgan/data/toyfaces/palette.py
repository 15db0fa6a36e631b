"""The colours of toy faces: named swatches, and the four moods that a palette casts over all of them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


def _swatches(*codes: str) -> NDArray[np.float64]:
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes])


SKIN: Final = _swatches("ffe3cf", "fbcda6", "eeb27c", "cb8c58", "9c6540", "6f452e")
BLUSH: Final = _swatches("ffa39a", "fb967e", "ec855f", "c4633f", "99472f", "733223")
HAIR: Final = _swatches("2b2733", "5e3520", "d9652c", "f4cd63", "cfd4de", "4a7fe0")
BACKDROP: Final = _swatches("86cdf0", "ffd25e", "93d6a0", "f8a5b6", "bda9ec", "ffb27a", "4fbdb3", "f1ece2")

# One row a palette: what hats, glasses and lips are coloured in.
HAT: Final = _swatches("e04f4f", "ff6fae", "8fb8de", "6c5bd0")
HAT_TRIM: Final = _swatches("fff3dc", "ffe45e", "fff8f0", "ffb94f")
GLASSES: Final = _swatches("33303c", "c2348a", "5b6b8c", "2d2748")
LIPS: Final = _swatches("c2474d", "d9487d", "cf6d6d", "a83f5f")

STRAW: Final = _swatches("efcf86")[0]
WHITE: Final = _swatches("fffdf8")[0]
IRIS: Final = _swatches("2e2630")[0]
MOUTH: Final = _swatches("7a2030")[0]
TONGUE: Final = _swatches("f0808a")[0]

# Saturation, then gain and offset of each channel: classic leaves the swatches as they are.
_MOODS: Final = (
    (1.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    (1.2, (1.03, 1.0, 1.03), (0.0, 0.0, 0.0)),
    (0.82, (0.95, 0.95, 0.95), (0.05, 0.047, 0.043)),
    (1.0, (0.94, 0.89, 1.0), (0.01, 0.0, 0.02)),
)


def mood(colour: NDArray[Any], palette: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N, 3) colours as each face's palette shows them; ``colour`` is (3,) or (N, 3) in 0 to 1."""
    saturation = np.array([m[0] for m in _MOODS])[palette][:, None]
    gain = np.array([m[1] for m in _MOODS])[palette]
    offset = np.array([m[2] for m in _MOODS])[palette]
    rgb = np.broadcast_to(colour, (len(palette), 3))
    grey = (0.3 * rgb[:, 0] + 0.59 * rgb[:, 1] + 0.11 * rgb[:, 2])[:, None]
    return np.clip((grey + (rgb - grey) * saturation) * gain + offset, 0.0, 1.0)


def darker(colour: NDArray[Any], share: float) -> NDArray[np.float64]:
    """Return a colour ``share`` of the way to a dark plum, for outlines and shadows."""
    return colour + (np.array([0.13, 0.07, 0.14]) - colour) * share
