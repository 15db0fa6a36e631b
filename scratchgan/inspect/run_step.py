"""The next training step of a run, recorded. The one file of the inspector that knows how runs are trained."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .record import record
from .tape import Tape


def record_run_step(folder: Path, step: int | None, on_notice: Callable[[str], None], **options: Any) -> Tape:
    """Record one training step of the run in ``folder``: the one after checkpoint ``step``, or after the newest.

    The run is not touched, and may be training: a copy of its settings and of that checkpoint takes the step. The parts
    are those that its system says (`System.calls`). ``options`` are those of `record`. Raises TrainError,
    ConfigError or DataError.
    """
    from ..train import Trainer, TrainError
    from ..train.checkpoint import checkpoint_path, checkpoint_steps
    from ..train.folder import RunFolder, read_config

    config = read_config(folder)
    checkpoints = folder / "checkpoints"
    steps = checkpoint_steps(checkpoints) if checkpoints.is_dir() else []
    if step is None:
        step = max(steps, default=0)
    if step and step not in steps:
        kept = ", ".join(map(str, sorted(steps))) or "none yet"
        raise TrainError(f"{folder} has no checkpoint of step {step}: it has {kept} (and 0, the beginning)")
    with tempfile.TemporaryDirectory(prefix="scratchgan-inspect-") as temporary:
        copy = RunFolder.create(Path(temporary) / folder.resolve().name, config)
        copy.release()
        if step:
            shutil.copy2(checkpoint_path(checkpoints, step), checkpoint_path(copy.checkpoints, step))
        quiet = on_notice if step else (lambda text: None)  # that there is no checkpoint yet is meant here
        # A captured graph is launches that nothing sees.
        eager = {"cuda_graph": "false"} if config.run.cuda_graph else {}
        steps_now = max(config.run.steps, step + 1)
        with Trainer.resume(copy.path, steps=steps_now, settings=eager, quiet=True, on_notice=quiet) as trainer:
            game, loader = trainer.game, trainer.state.loader
            names: dict[str, Any] = game.networks
            with record(**names, **options) as tape:
                for name, parts in game.system.calls().items():
                    tape.parts_of(game.networks[name], parts)
                game.advance(lambda: next(loader))
    return tape
