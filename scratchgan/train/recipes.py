"""Recipes: sets of settings that were chosen by measurement (docs/training.md), by name.

A run of images starts from `TrainConfig`'s defaults, and one of points from the recipe ``points``. What a person sets
goes over a recipe's settings.
"""

from __future__ import annotations

from typing import Any, Final

from ..data import POINT_SETS
from .config import ConfigError, TrainConfig

RECIPES: Final[dict[str, dict[str, Any]]] = {
    # R1 draws D's gradient to 0 where the real points are, so that the game comes to rest there; without momentum
    # (beta1 = 0) it does not swing, and falling learning rates let G's points settle on the modes.
    "points": {
        "latent": 2,
        "width": 128,
        "r1": 0.1,
        "batch": 256,
        "steps": 3000,
        "lr_g": 2e-3,
        "lr_d": 2e-3,
        "lr_end": 0.02,
        "betas": (0.0, 0.99),
        "ema_decay": 0.995,
        "checkpoint_every": 500,
    },
    # Toy faces at twice the size: one more stage, and more than three times the work for each image.
    "faces64": {"data": "toyfaces", "size": 64, "steps": 2000, "sample_every": 250, "checkpoint_every": 250},
    # What the others are compared with: the benchmark's blocks and DCGAN's optimiser, as they come.
    "reference": {
        "model": "gan28",
        "batch": 64,
        "label_smoothing": 0.0,
        "r1": 0.0,
        "lr_end": 1.0,
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "betas": (0.5, 0.999),
        "ema_decay": 0.0,
    },
}


def recipe(name: str | None, data: str | None = None) -> TrainConfig:
    """Return the settings of a recipe; of none, those that ``data`` (by default a recipe's own) starts from.

    Raises ConfigError for an unknown name.
    """
    if name is None:
        name = "points" if data in POINT_SETS else ""
    elif name not in RECIPES:
        raise ConfigError(f"no recipe is named {name!r}; there are: {', '.join(RECIPES)}")
    settings = dict(RECIPES.get(name, {}))
    if data is not None:
        settings["data"] = data
    return TrainConfig(**settings)
