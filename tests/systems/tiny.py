"""Settings with which a step of each system takes milliseconds, and data for them."""

from __future__ import annotations

import numpy as np

from scratchgan.data import ArrayDataset
from scratchgan.train import TrainConfig

STYLEGAN = TrainConfig(
    "stylegan", data="blobs", latent=4, w=6, depth=2, width=4, widest=8, batch=8, steps=9, seed=3, r1_every=4,
    path_every=3, augment="all", augment_images=60, mirror=True, checkpoint_every=4, sample_every=5,
    keep_checkpoints=9, ema_decay=0.9, lr_g=0.01, lr_d=0.01,
)  # fmt: skip
BIGGAN = TrainConfig(
    "biggan", data="blobs", latent=6, width=8, embedding=4, batch=8, steps=6, seed=3, accumulate=2, d_steps=2,
    standing=2, mirror=True, checkpoint_every=4, sample_every=3, keep_checkpoints=9, ema_decay=0.9,
)  # fmt: skip


def blobs(size: int = 8, channels: int = 3, count: int = 40, classes: int = 2) -> ArrayDataset:
    """Images of one disc each on black: dark ones of class 0, bright ones of the last class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(size * 0.3, size * 0.7, (2, count, channels, 1, 1))
    near = (y - cy) ** 2 + (x - cx) ** 2 < (size / 4) ** 2
    labels = np.arange(count) % classes
    bright = 60 + 180 * labels // max(classes - 1, 1)
    names = tuple(f"shade {i}" for i in range(classes))
    return ArrayDataset((near * bright[:, None, None, None]).astype(np.uint8), labels, names, "blobs")
