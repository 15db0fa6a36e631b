"""Runs so small that a step takes milliseconds, of each system; also a program, which starts one or goes on with it, to
be killed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchgan.data import ArrayDataset, Dataset, point_dataset
from scratchgan.train import Game, TrainConfig, Trainer

CONFIG = TrainConfig(
    "gan",
    data="blobs",
    d_norm="none",
    ema_decay=0.99,
    latent=4,
    width=4,
    batch=8,
    steps=12,
    seed=3,
    checkpoint_every=5,
    sample_every=4,
    keep_checkpoints=2,
)


def blobs(size: int = 8, channels: int = 1, count: int = 40) -> ArrayDataset:
    """Images of one bright disc each, here or there, on black."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(size * 0.3, size * 0.7, (2, count, channels, 1, 1))
    near = (y - cy) ** 2 + (x - cx) ** 2 < (size / 4) ** 2
    return ArrayDataset((near * 220 + 20).astype(np.uint8), name="blobs")


def step(game: Game, images: Callable[[], np.ndarray]) -> dict[str, float]:
    """Take one step on a batch of images; returns what it measured."""
    game.advance(lambda: {"image": images()})
    return game.metrics()


class Tiny(NamedTuple):
    """A system with settings that make its steps quick, and what it learns from."""

    config: TrainConfig
    dataset: Callable[[], Dataset]


POINTS = TrainConfig(
    "points", width=8, batch=32, steps=12, seed=3, checkpoint_every=5, sample_every=4, keep_checkpoints=2
)

STYLEGAN = TrainConfig(
    "stylegan", data="blobs", latent=4, w=6, depth=2, width=4, widest=8, batch=8, steps=9, seed=3, r1_every=4,
    path_every=3, augment="all", augment_images=60, mirror=True, checkpoint_every=4, sample_every=5,
    keep_checkpoints=9, ema_decay=0.9, lr_g=0.01, lr_d=0.01,
)  # fmt: skip
BIGGAN = TrainConfig(
    "biggan", data="blobs", latent=6, width=8, embedding=4, batch=8, steps=6, seed=3, accumulate=2, d_steps=2,
    standing=2, mirror=True, checkpoint_every=4, sample_every=3, keep_checkpoints=9, ema_decay=0.9,
)  # fmt: skip


def shades(size: int = 8, channels: int = 3, count: int = 40, classes: int = 2) -> ArrayDataset:
    """Images of one disc each on black: dark ones of class 0, bright ones of the last class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(size * 0.3, size * 0.7, (2, count, channels, 1, 1))
    near = (y - cy) ** 2 + (x - cx) ** 2 < (size / 4) ** 2
    labels = np.arange(count) % classes
    bright = 60 + 180 * labels // max(classes - 1, 1)
    names = tuple(f"shade {i}" for i in range(classes))
    return ArrayDataset((near * bright[:, None, None, None]).astype(np.uint8), labels, names, "blobs")


#: Every system must go on with the same bits after it was killed: a line here has that tested.
SYSTEMS = {
    "gan": Tiny(CONFIG, blobs),
    "points": Tiny(POINTS, lambda: point_dataset("ring8", 500)),
    "stylegan": Tiny(STYLEGAN, shades),
    "biggan": Tiny(BIGGAN, shades),
}


def main(system: str, out: Path, steps: int) -> None:
    tiny = SYSTEMS[system]
    config = tiny.config.replace(steps=steps, checkpoint_every=7, sample_every=10)
    resumable = (out / "config.json").exists()
    trainer = Trainer.resume(out, tiny.dataset()) if resumable else Trainer.start(config, out, tiny.dataset())
    with trainer:
        trainer.run(on_step=lambda step, metrics: print(step, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
