"""The toy faces that evaluators learn from, and those that they are tested on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...data import toyfaces
from ...data.toyfaces import Factors, Rendered
from .evaluator import OnProgress

#: What the recipes of evaluators call the data.
TOYFACES = f"toyfaces-v{toyfaces.RENDERER_VERSION}"

FIRST_PERSON = 10_000
"""Evaluators learn from persons of their own, from this id on: nobody of any split, and each another one."""

_TRAINING_SEED, _TEST_SEED = 7_001, 7_002
_CHUNK = 512


def training_faces(n: int, size: int, on_progress: OnProgress | None) -> tuple[Factors, Rendered]:
    """Return n faces of n persons, in the ranges that `toyfaces.dataset` draws from."""
    factors = toyfaces.sample_factors(n, _TRAINING_SEED, portrait=True)
    factors |= toyfaces.identity_factors(FIRST_PERSON + np.arange(n))
    return factors, draw(factors, size, on_progress)


def held_out_faces(n: int, size: int) -> tuple[Factors, NDArray[np.int64], Rendered]:
    """Return n faces of the 100 persons of the test split: factors, the persons' ids, and pictures."""
    factors = toyfaces.sample_factors(n, _TEST_SEED, "test", portrait=True)
    return factors, toyfaces.factors.sample_identities(n, _TEST_SEED, "test"), draw(factors, size, None)


def draw(factors: Factors, size: int, on_progress: OnProgress | None) -> Rendered:
    """Render faces part by part, and say how far it is."""
    n = len(factors["yaw"])
    parts = []
    for start in range(0, n, _CHUNK):
        parts.append(toyfaces.render(toyfaces.take(factors, slice(start, start + _CHUNK)), size))
        if on_progress is not None:
            on_progress("drawing faces to learn from", min(start + _CHUNK, n), n)
    return Rendered(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rendered.__annotations__))
