"""Using what a run has learnt: `load_run` reads its networks from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .checkpoint import (
    Checkpoint,
    CheckpointError,
    best_path,
    checkpoint_path,
    checkpoint_steps,
    load_checkpoint,
    newest_checkpoint,
)
from .config import TrainConfig
from .folder import TrainError, log_notice, read_config
from .system import Inputs, Networks, System, Wish


@dataclass(frozen=True)
class LoadedRun:
    """Networks in evaluation mode, from one checkpoint of a run, on the CPU.

    Attributes:
        config: the run's settings, but for those of a GPU.
        step: the checkpoint's.
        system: what makes samples of the networks.
        networks: by name; averages in the places of what they average.
    """

    config: TrainConfig
    step: int
    system: System
    networks: Networks

    def inputs(self, n: int, seed: int, truncation: float = 1.0, label: str | None = None) -> Inputs:
        """Draw the inputs of n samples. Raises ConfigError for what the run's system has no answer to."""
        if n < 1 or not 0 <= truncation <= 1:
            raise ValueError(f"inputs: n must be at least 1 and truncation in [0, 1], got {n} and {truncation}")
        return self.system.inputs(np.random.default_rng(seed), n, Wish(truncation, label))

    def draw(self, inputs: Inputs) -> np.ndarray:
        """Return what the networks make of inputs: images uint8 (n,H,W,C), points float32 (n,2)."""
        return self.system.finished(self.system.generate(self.networks, inputs))

    def sample(self, n: int, seed: int, truncation: float = 1.0, label: str | None = None) -> np.ndarray:
        """Return ``n`` new outputs; the same seed gives the same ones."""
        return self.draw(self.inputs(n, seed, truncation, label))


def load_run(
    out: str | Path,
    which: Literal["ema", "raw"] = "ema",
    checkpoint: Literal["last", "best"] | int = "last",
    *,
    on_notice: Callable[[str], None] = log_notice,
) -> LoadedRun:
    """Read the networks of the run in a folder; nothing in the folder changes, and the run may be going on.

    ``which``: "ema", the averages of the weights, or "raw", the weights themselves. ``checkpoint``: "last" for the
    newest good one (``on_notice`` is told of a damaged one passed over), "best" for the best of a run that was judged
    as it went on, or a step that has one. Raises TrainError.
    """
    if which not in ("ema", "raw"):
        raise ValueError(f"load_run: which must be 'ema' or 'raw', got {which!r}")
    out = Path(out)
    config = read_config(out)
    try:
        step, saved = _checkpoint(out, config, checkpoint, on_notice)
        return loaded_from(config, saved, step, averaged=which == "ema")
    except CheckpointError as error:
        raise TrainError(str(error)) from error
    except (ValueError, KeyError) as error:
        raise TrainError(f"{out}: the checkpoint does not fit config.json ({str(error).splitlines()[0]})") from error


def loaded_from(
    config: TrainConfig, saved: Checkpoint, step: int, *, averaged: bool = True, settle: bool = True
) -> LoadedRun:
    """Return the networks of a checkpoint of a config, settled unless they were saved so (`System.settled`).

    Raises ValueError if the two do not fit.
    """
    config = config.replace(device="cpu", cuda_graph=False, precision="float32")
    system = config.kind(config.run, config.own)
    places = {name: average for average, name in system.averaged.items()} if averaged else {}
    networks = {name: system.networks[name] for name in system.drawn_with}
    for name, network in networks.items():
        network.load_state_dict(saved.section(places.get(name, name)))
        network.eval()
    return LoadedRun(config, step, system, system.settled(networks) if settle else networks)


def _checkpoint(
    out: Path, config: TrainConfig, which: str | int, on_notice: Callable[[str], None]
) -> tuple[int, Checkpoint]:
    """Return the step and content of the checkpoint that is asked for."""
    folder = out / "checkpoints"
    if which == "last":
        found = newest_checkpoint(folder, on_notice)
        if found is None:
            every = config.run.checkpoint_every
            raise TrainError(f"{out} has no checkpoint yet; the first is written at step {every}")
        return found
    if which == "best":
        if not best_path(folder).exists():
            raise TrainError(f"{out} has no best checkpoint: its run was not evaluated (--eval-every)")
        saved = load_checkpoint(best_path(folder))
        return int(saved.state["step"]), saved
    step = int(which)
    if step not in checkpoint_steps(folder):
        kept = ", ".join(map(str, checkpoint_steps(folder))) or "none"
        raise TrainError(f"{out} has no checkpoint of step {step}; it has {kept}")
    return step, load_checkpoint(checkpoint_path(folder, step))
