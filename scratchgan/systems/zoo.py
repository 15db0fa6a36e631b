"""The zoo: networks that come with the package, usable wherever a run's folder is, by the name zoo:NAME.

    scratchgan/systems/zoo_files/
        gan-toyfaces.safetensors    the networks that samples are drawn with, and the run's settings
        gan-toyfaces.json           the card: how they were made, how good they are, and what they are bad at

A file is a checkpoint (`scratchgan.train.checkpoint`) with nothing in it that only training needs, so it is verified
in the same way. `scratchgan zoo` lists the cards; `pack` makes an entry of a finished run.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from ..train import ConfigError, LoadedRun, TrainConfig, TrainError, load_run
from ..train.atomic import write_atomically
from ..train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from ..train.folder import log_notice
from ..train.loaded import loaded_from
from ..train.pictures import provenance, save_png

FOLDER: Final = Path(__file__).with_name("zoo_files")
PREFIX: Final = "zoo:"


def names() -> list[str]:
    """The names of the zoo's entries."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def card(name: str) -> dict[str, Any]:
    """Return what is known of an entry: system, data, settings, scores beside their floors, what it is bad at."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def load(
    run: str | Path,
    which: Literal["ema", "raw"] = "ema",
    checkpoint: Literal["last", "best"] | int = "last",
    *,
    on_notice: Callable[[str], None] = log_notice,
) -> LoadedRun:
    """Return the networks of a run's folder (`load_run`) or of an entry of the zoo, "zoo:NAME". Raises TrainError."""
    if not str(run).startswith(PREFIX):
        return load_run(run, which, checkpoint, on_notice=on_notice)
    name = str(run)[len(PREFIX) :]
    if name not in names():
        nearest = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = f" (did you mean {PREFIX}{nearest[0]}?)" if nearest else ""
        raise TrainError(f"the zoo has no {name!r}{hint}; it has {', '.join(names()) or 'nothing'}")
    if which == "raw" or checkpoint != "last":
        raise TrainError(f"{run} holds the averaged weights of one step: --raw and --checkpoint are for runs' folders")
    try:
        return _opened(FOLDER / f"{name}.safetensors")
    except (CheckpointError, ConfigError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise TrainError(
            f"{run} is damaged ({reason}): install the package again, or make it anew: {_made_by(name)}"
        ) from error


def _opened(path: Path) -> LoadedRun:
    saved = load_checkpoint(path)
    whole = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in saved.arrays.items()
    }
    config = TrainConfig.from_dict(saved.state["config"])
    return loaded_from(config, Checkpoint(whole, saved.state), saved.state["step"], averaged=False, settle=False)


def _made_by(name: str) -> str:
    try:
        return str(card(name)["command"])
    except (OSError, ValueError, KeyError):
        return "see docs/zoo.md"


def pack(run: LoadedRun, name: str, card: dict[str, Any], folder: Path = FOLDER) -> LoadedRun:
    """Write a finished run as an entry of the zoo, and return it as it will be read again. Raises OSError.

    Weights are rounded to float16, which twice as many of fit into a file, and no picture changes visibly. What an
    array of state may not lose (counts, large variances) keeps its type.
    """
    arrays = {}
    for network, module in run.networks.items():
        for key, array in module.state_dict().items():
            half = array.astype(np.float16) if array.dtype == np.float32 else array
            arrays[f"{network}.{key}"] = half if np.isfinite(half).all() else array
    path = folder / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, Checkpoint(arrays, {"step": run.step, "config": run.config.as_dict()}))
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
    packed = _opened(path)
    save_png(path.with_suffix(".png"), sheet(packed), provenance(f"{PREFIX}{name}", run.step))
    return packed


def sheet(run: LoadedRun) -> np.ndarray:
    """Return the picture (H,W,C) uint8 that shows what an entry draws: 64 samples of seed 1."""
    return run.system.picture(run.sample(64, seed=1))
