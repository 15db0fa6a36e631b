"""A run so small that a step takes milliseconds; also a program, which starts it or goes on with it, to be killed."""

import sys
from pathlib import Path

import numpy as np

from scratchgan.data import ArrayDataset
from scratchgan.train import TrainConfig, Trainer

CONFIG = TrainConfig(
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


def main(out: Path, steps: int) -> None:
    config = CONFIG.with_overrides({"steps": str(steps), "checkpoint_every": "7", "sample_every": "10"})
    resumable = (out / "config.json").exists()
    trainer = Trainer.resume(out, blobs()) if resumable else Trainer(config, out, blobs())
    with trainer:
        trainer.run(on_step=lambda step, metrics: print(step, flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
