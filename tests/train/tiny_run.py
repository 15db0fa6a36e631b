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

#: Every system must go on with the same bits after it was killed: a line here has that tested.
SYSTEMS = {
    "gan": Tiny(CONFIG, blobs),
    "points": Tiny(POINTS, lambda: point_dataset("ring8", 500)),
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
