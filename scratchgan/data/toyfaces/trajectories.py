"""Short films: one person whose head and face move smoothly, frame by frame."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.dataset import DataError
from scratchgan.data.toyfaces.factors import (
    TABLE,
    Factors,
    identity_factors,
    sample_factors,
    uniform,
    validate,
)

MOTIONS: Final = ("talk", "blink", "nod")
FRAMES_A_SECOND: Final = 25

_BLINK_FRAMES: Final = 4  # from open to closed, and again to open: 0.3 s in all
_BLINK_PERIOD: Final = 60


def trajectory(
    frames: int,
    identity: int,
    seed: int = 0,
    motions: tuple[str, ...] = MOTIONS,
    split: str = "train",
) -> Factors:
    """Return the factors of a film at 25 frames a second: (frames,) arrays; the index is the frame's id.

    Identity, accessories, style and background stay; what a motion does not move stays too. Frame i is the same
    in a longer film of the same seed.

    Args:
        frames: how many.
        identity: the person's id.
        seed: another seed gives another film of the person.
        motions: ``talk`` (mouth, smile, brows), ``blink`` (both eyes, now and then), ``nod`` (pose and gaze).
        split: whose accessories, style and background are drawn; see ``sample_factors``.

    Raises:
        DataError: an unknown motion, or fewer than one frame.
    """
    unknown = [motion for motion in motions if motion not in MOTIONS]
    if unknown:
        raise DataError(f"trajectory: no motion is named {unknown[0]!r}; there are: {', '.join(MOTIONS)}")
    if frames < 1:
        raise DataError(f"trajectory: {frames} frames make no film; ask for at least 1")
    still = sample_factors(1, seed, split, portrait=True) | identity_factors(identity)
    film = {name: np.repeat(array, frames) for name, array in still.items()}
    key = f"film/{identity}"

    def move(name: str, knots: float, low: float, high: float) -> None:
        wave = smooth_noise(frames, knots, seed, f"{key}/{name}")
        film[name] = np.clip(low + (high - low) * wave, TABLE[name].low, TABLE[name].high)

    if "talk" in motions:
        move("mouth_open", 4.0, -0.2, 1.0)
        move("smile", 30.0, -0.2, 1.0)
        move("brow_raise", 18.0, -0.4, 0.9)
    if "nod" in motions:
        move("yaw", 35.0, -25.0, 25.0)
        move("pitch", 14.0, -12.0, 12.0)
        move("roll", 40.0, -9.0, 9.0)
        move("gaze_x", 22.0, -0.8, 0.8)
        move("gaze_y", 26.0, -0.6, 0.6)
    if "blink" in motions:
        lids = 1 - blinks(frames, seed, key)
        for name in ("eye_open_left", "eye_open_right"):
            film[name] = 0.9 * lids
    return validate(film)


def smooth_noise(frames: int, spacing: float, seed: int, key: str) -> NDArray[np.float64]:
    """Return value noise in [0, 1): random knots ``spacing`` frames apart, joined by s-curves without a corner."""
    at = np.arange(frames) / spacing
    knot = np.floor(at).astype(np.int64)
    t = at - knot
    ease = t * t * (3 - 2 * t)
    before, after = uniform(seed, knot, key), uniform(seed, knot + 1, key)
    return before + ease * (after - before)


def blinks(frames: int, seed: int, key: str) -> NDArray[np.float64]:
    """Return how far the lids are shut, 0 to 1: one blink at a random frame of every 2.4 seconds."""
    frame = np.arange(frames)
    period = frame // _BLINK_PERIOD
    room = _BLINK_PERIOD - 2 * _BLINK_FRAMES  # a blink ends within its period
    shut = period * _BLINK_PERIOD + _BLINK_FRAMES + np.floor(uniform(seed, period, f"{key}/blink") * room)
    t = np.clip(1 - np.abs(frame - shut) / _BLINK_FRAMES, 0.0, 1.0)
    return t * t * (3 - 2 * t)
