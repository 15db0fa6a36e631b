"""toyfaces: cartoon faces of nobody, drawn by code, with every answer known.

    from scratchgan.data import toyfaces

    data = toyfaces.dataset(10_000, size=32)              # for training
    factors = toyfaces.sample_factors(8, seed=1)          # a dict of (8,) arrays
    faces = toyfaces.render(factors, size=64)             # image, alpha, mask, depth, landmarks, visibility
    faces = toyfaces.render({"hair_style": "curly", "smile": 1.0, "yaw": 20.0})

See docs/toyfaces.md for the factors. Importing this imports neither Numba nor Pillow.
"""

from scratchgan.data.toyfaces.factors import (
    FACTORS,
    HELD_OUT_CELL,
    SPLITS,
    Factor,
    Factors,
    identity_factors,
    sample_factors,
    sample_identities,
    schema,
    take,
    to_json,
    to_vector,
    validate,
)
from scratchgan.data.toyfaces.landmarks import LANDMARKS
from scratchgan.data.toyfaces.renderer import CLASSES, MAX_SIZE, MIN_SIZE, RENDERER_VERSION, Rendered, render
from scratchgan.data.toyfaces.training_set import dataset

__all__ = [
    "CLASSES",
    "FACTORS",
    "HELD_OUT_CELL",
    "LANDMARKS",
    "MAX_SIZE",
    "MIN_SIZE",
    "RENDERER_VERSION",
    "SPLITS",
    "Factor",
    "Factors",
    "Rendered",
    "dataset",
    "identity_factors",
    "render",
    "sample_factors",
    "sample_identities",
    "schema",
    "take",
    "to_json",
    "to_vector",
    "validate",
]
