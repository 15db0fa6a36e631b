"""Using what a run has learnt: `load_run` reads its generator from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .. import nn
from ..models import make_generator
from .checkpoint import (
    CheckpointError,
    best_path,
    checkpoint_path,
    checkpoint_steps,
    load_checkpoint,
    newest_checkpoint,
)
from .config import TrainConfig
from .folder import TrainError, log_notice, read_config
from .game import draw
from .pictures import to_uint8


@dataclass(frozen=True)
class LoadedRun:
    """A generator in evaluation mode, from one checkpoint of a run."""

    config: TrainConfig
    step: int
    generator: nn.Sequential

    @property
    def latent_dim(self) -> int:
        """How many numbers a latent vector has."""
        return self.config.latent

    @property
    def draws_images(self) -> bool:
        """Whether it was trained on images, and not on points."""
        return len(self.config.shape) == 3

    def latents(self, n: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """Draw ``n`` latent vectors, float32 (n,latent), from N(0, truncation^2).

        A truncation below 1 keeps them nearer to the centre, where images are more typical and less varied.
        """
        if n < 1 or truncation <= 0:
            raise ValueError(f"latents: n must be at least 1 and truncation above 0, got {n} and {truncation}")
        z = np.random.default_rng(seed).standard_normal((n, self.latent_dim), np.float32)
        return z * np.float32(truncation)

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """Return the images of latent vectors (n,latent), uint8 (n,H,W,C); of a run on points, float32 (n,2)."""
        drawn = draw(self.generator, latents.astype(np.float32, copy=False), "cpu")
        return to_uint8(drawn) if self.draws_images else drawn

    def sample(self, n: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """Return ``n`` new images, uint8 (n,H,W,C), or points, float32 (n,2); the same seed gives the same ones."""
        return self.draw(self.latents(n, seed, truncation))


def load_run(
    out: str | Path,
    which: Literal["ema", "raw"] = "ema",
    checkpoint: Literal["last", "best"] | int = "last",
    *,
    on_notice: Callable[[str], None] = log_notice,
) -> LoadedRun:
    """Read the generator of the run in a folder; nothing in the folder changes, and the run may be going on.

    ``which``: "ema", the average of the weights, or "raw", the weights themselves. ``checkpoint``: "last" for the
    newest good one (``on_notice`` is told of a damaged one passed over), "best" for that with the lowest FID in a run
    that was evaluated as it went on, or a step that has one. Raises TrainError.
    """
    if which not in ("ema", "raw"):
        raise ValueError(f"load_run: which must be 'ema' or 'raw', got {which!r}")
    out = Path(out)
    config = read_config(out)
    folder = out / "checkpoints"
    try:
        if checkpoint == "last":
            found = newest_checkpoint(folder, on_notice)
            if found is None:
                raise TrainError(f"{out} has no checkpoint yet; the first is written at step {config.checkpoint_every}")
            step, saved = found
        elif checkpoint == "best":
            if not best_path(folder).exists():
                raise TrainError(f"{out} has no best checkpoint: its run was not evaluated (--eval-every)")
            saved = load_checkpoint(best_path(folder))
            step = saved.state["step"]
        else:
            step = checkpoint
            if step not in checkpoint_steps(folder):
                kept = ", ".join(map(str, checkpoint_steps(folder))) or "none"
                raise TrainError(f"{out} has no checkpoint of step {step}; it has {kept}")
            saved = load_checkpoint(checkpoint_path(folder, step))
        rng = np.random.default_rng(0)  # its weights are replaced by the checkpoint's
        generator = make_generator(config.model, config.shape, config.latent, config.width, generator=rng)
        generator.load_state_dict(saved.section("ema" if which == "ema" else "generator"))
    except CheckpointError as error:
        raise TrainError(str(error)) from error
    except ValueError as error:
        raise TrainError(f"{out}: the checkpoint does not fit config.json ({str(error).splitlines()[0]})") from error
    return LoadedRun(config, step, generator.eval())
