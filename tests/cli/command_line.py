"""A run that takes a fraction of a second, the command line as another process, and folders of an older version."""

import json
import sys
from pathlib import Path
from typing import Any

from scratchgan.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

#: Settings with which a run of a few steps takes a fraction of a second.
TINY = (
    *("--batch", "8", "--steps", "6", "--set", "width=4", "--set", "latent=8"),
    *("--set", "checkpoint_every=2", "--set", "sample_every=3"),
    # So fast that the generator draws different images for different latent vectors after a few steps.
    *("--set", "lr_g=0.05", "--set", "ema_decay=0.5"),
)


def process_arguments(*arguments: object) -> list[str]:
    """What `subprocess` runs."""
    return [sys.executable, "-m", "scratchgan", *map(str, arguments)]


def make_old(run: Path) -> None:
    """Turn a run's folder into what the version before systems wrote: a flat config.json with "model" in place of
    "system", and without settings that came later; checkpoints with that config and no state of a system."""

    def old(config: dict[str, Any]) -> dict[str, Any]:
        config = {name: value for name, value in config.items() if name not in ("system", "mirror")}
        return config | {"model": config.get("model", "mlp")}

    path = run / "config.json"
    path.write_text(json.dumps(old(json.loads(path.read_text()))))
    for saved in (run / "checkpoints").glob("*.safetensors"):
        checkpoint = load_checkpoint(saved)
        state = {name: value for name, value in checkpoint.state.items() if name != "system"}
        save_checkpoint(saved, Checkpoint(checkpoint.arrays, state | {"config": old(state["config"])}))
