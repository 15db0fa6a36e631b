"""Early warnings: signs that a game of G and D is going wrong while its numbers are still finite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..train.system import Watch

_PATIENCE = 200  # steps in a row
_PICTURES = 3  # pictures in a row
_SETTLED = 300  # steps before which samples may well be alike, G having learnt nothing yet


class GameWatch(Watch):
    """Says once for each kind of failure what it sees and what to try."""

    def __init__(self, real: np.ndarray, *, probability: bool):
        """``real``: what to compare with, images uint8 (N,H,W,C) or points; ``probability``: whether D answers so."""
        self._real_spread = _spread(real)
        self._probability = probability
        self._steps_won = self._pictures_alike = 0

    def metrics(self, metrics: Mapping[str, float]) -> str | None:
        """Return a warning if D has been nearly certain of every image for many steps: G then learns little."""
        if not self._probability:
            return None
        certain = metrics["d_real"] > 0.99 and metrics["d_fake"] < 0.01
        self._steps_won = self._steps_won + 1 if certain else 0
        if self._steps_won != _PATIENCE:
            return None
        return (
            f"D has told real from generated images almost without error for {_PATIENCE} steps "
            f"(D(x)={metrics['d_real']:.3f}, D(G(z))={metrics['d_fake']:.3f}), so G learns little: "
            "try a lower lr_d, d_norm=spectral, label_smoothing=0.1 or r1=1"
        )

    def samples(self, step: int, images: np.ndarray) -> str | None:
        """Return a warning if the samples, uint8 (N,H,W,C), have been nearly all the same for several pictures."""
        alike = step >= _SETTLED and _spread(images) < 0.1 * self._real_spread
        self._pictures_alike = self._pictures_alike + 1 if alike else 0
        if self._pictures_alike != _PICTURES:
            return None
        return (
            "the samples differ from each other by less than a tenth of what real images do: G may have collapsed to "
            "one picture; try a lower lr_g and lr_d, r1=1, or loss=hinge with d_norm=spectral"
        )


def _spread(images: np.ndarray) -> float:
    """Return how much images differ: each pixel's standard deviation across them, averaged over the pixels."""
    return float(images.std(axis=0, dtype=np.float64).mean())
