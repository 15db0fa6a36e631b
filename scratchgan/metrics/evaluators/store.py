"""Where trained evaluators are kept: one safetensors file each, with its recipe and its errors as JSON inside.

    <cache>/evaluators/factors-32px-4f0c2a91b7de.safetensors       the name ends in the recipe's hash

An evaluator is trained once and then read from here. A file that is damaged, or of another recipe than the one that is
asked for (an older renderer, another network), is never used: it is trained again, and a notice says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...kernels.cache import cache_root
from ...train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from ..checks import EvaluatorError
from .evaluator import Evaluator, OnProgress

E = TypeVar("E", bound=Evaluator)

_log_notice = logging.getLogger("scratchgan").warning


def cache_folder() -> Path:
    """Return the folder in which evaluators are kept; it need not exist."""
    return cache_root() / "evaluators"


def evaluator_path(evaluator: Evaluator, folder: Path | None = None) -> Path:
    """Return the file that an evaluator of this recipe is kept in."""
    name = f"{evaluator.kind}-{evaluator.size}px-{evaluator.key}.safetensors"
    return (cache_folder() if folder is None else folder) / name


def open_evaluator(
    evaluator: E,
    *,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
    on_notice: Callable[[str], None] = _log_notice,
) -> E:
    """Make an untrained evaluator ready to score: read its weights from the cache, or train it and keep them.

    ``folder``: another one than the user's cache. ``on_notice`` is told of a file that can't be used, and of a folder
    that can't be written. Raises EvaluatorError if the errors on held-out data are above the gates.
    """
    path = evaluator_path(evaluator, folder)
    if path.exists():
        try:
            load_evaluator(evaluator, path)
        except EvaluatorError as error:
            on_notice(f"{error}; it is trained again")
    if not evaluator.held_out:
        evaluator.fit(on_progress)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_evaluator(evaluator, path)
        except OSError as error:
            on_notice(
                f"the {evaluator} cannot be kept in {path.parent} ({error.strerror or error}), so it is trained again "
                "each time; set SCRATCHGAN_CACHE_DIR to a folder that can be written"
            )
    evaluator.check_gates()
    return evaluator


def save_evaluator(evaluator: Evaluator, path: Path) -> None:
    """Write a trained evaluator to a file, atomically. Raises OSError."""
    state = {"recipe": evaluator.recipe, "held_out": evaluator.held_out, "hash": evaluator.hash}
    save_checkpoint(path, Checkpoint(evaluator.network.state_dict(), state))


def load_evaluator(evaluator: Evaluator, path: Path, *, expected_hash: str | None = None) -> None:
    """Give an untrained evaluator the weights in a file.

    Raises EvaluatorError, and then changes nothing, if the file is damaged, is of another recipe than ``evaluator``
    (the message names what differs), or does not have the hash that is expected.
    """
    try:
        saved = load_checkpoint(path)
        recipe, held_out, written = saved.state["recipe"], saved.state["held_out"], saved.state["hash"]
    except CheckpointError as error:
        raise EvaluatorError(f"evaluator {error}") from error
    except (KeyError, TypeError) as error:
        raise EvaluatorError(f"evaluator {path}: not an evaluator of scratchgan") from error
    differences = [
        f"{name} is {recipe.get(name)!r} there and {value!r} here"
        for name, value in evaluator.recipe.items()
        if recipe.get(name) != value
    ]
    if differences:
        raise EvaluatorError(f"evaluator {path}: of another recipe: {', '.join(differences)}")
    if expected_hash not in (None, written):
        raise EvaluatorError(f"evaluator {path}: its hash is {written}, not {expected_hash}")
    before = evaluator.network.state_dict()
    try:
        evaluator.network.load_state_dict(saved.arrays)
    except ValueError as error:
        raise EvaluatorError(f"evaluator {path}: {str(error).splitlines()[-1].strip()}") from error
    if evaluator.hash != written:
        evaluator.network.load_state_dict(before)
        raise EvaluatorError(f"evaluator {path}: its weights do not have the hash {written} that it states")
    evaluator.held_out = dict(held_out)
