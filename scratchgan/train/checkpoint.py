"""Checkpoints: everything that a run needs to go on, in one safetensors file.

    checkpoints/step-000500.safetensors
        tensors    generator.*, discriminator.*, ema.*, optimizer_g.*, optimizer_d.*
        metadata   {"scratchgan": "{\"sha256\": \"...\", \"state\": {step, config, random generators, loader, ...}}"}

The tensors load into PyTorch modules of the same names. The SHA-256 is that of the whole file with the digest's own
64 characters set to zeros, so a change of any bit is noticed. Nothing is unpickled: a checkpoint is data, never code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import write_atomically

_BLANK = "0" * 64
_DIGEST = re.compile(rb'"scratchgan":"\{\\"sha256\\": \\"([0-9a-f]{64})\\"')
_NAME = re.compile(r"step-(\d{6,})\.safetensors")


class CheckpointError(Exception):
    """A checkpoint that can't be used. The message is one line: which file, and what is wrong with it."""


@dataclass
class Checkpoint:
    """What was saved: arrays by name, and JSON values."""

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]

    def section(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays named ``<name>.<key>``, by key."""
        return {key[len(name) + 1 :]: array for key, array in self.arrays.items() if key.startswith(f"{name}.")}


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the checkpoint file of a step in a run's ``checkpoints`` folder."""
    return folder / f"step-{step:06d}.safetensors"


def best_path(folder: Path) -> Path:
    """Return the file of the checkpoint that an evaluation found best, in a run's ``checkpoints`` folder."""
    return folder / "best.safetensors"


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically. The same checkpoint gives the same bytes. Raises OSError."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in sorted(checkpoint.arrays.items())}
    content = bytearray(save(arrays, {"scratchgan": json.dumps({"sha256": _BLANK, "state": checkpoint.state})}))
    place = _DIGEST.search(content)
    assert place is not None
    content[slice(*place.span(1))] = hashlib.sha256(content).hexdigest().encode()
    write_atomically(path, content)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify every bit of it. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = bytearray(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    place = _DIGEST.search(content)
    if place is None:
        raise CheckpointError(f"{path}: not a checkpoint of scratchgan, or damaged at its start")
    written = place[1].decode()
    content[slice(*place.span(1))] = _BLANK.encode()
    if hashlib.sha256(content).hexdigest() != written:
        raise CheckpointError(f"{path}: damaged or cut short (its SHA-256 does not match)")
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        state = json.loads(header["__metadata__"]["scratchgan"])["state"]
        return Checkpoint(load(bytes(content)), state)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its SHA-256 matches, but it cannot be parsed ({error})") from error


def newest_checkpoint(
    folder: Path, notice: Callable[[str], None], *, set_aside: bool = False
) -> tuple[int, Checkpoint] | None:
    """Return (step, checkpoint) of the newest good checkpoint, or None if there is no checkpoint file at all.

    ``notice`` is told of each damaged one passed over; with ``set_aside`` those are renamed ``*.damaged``, so that
    they are neither tried nor counted again. Raises CheckpointError if there are checkpoints and none is good.
    """
    steps = checkpoint_steps(folder)
    damaged: list[Path] = []
    found = None
    for step in reversed(steps):
        path = checkpoint_path(folder, step)
        try:
            found = step, load_checkpoint(path)
            break
        except CheckpointError as error:
            notice(f"{error}; going back to the checkpoint before it")
            damaged.append(path)
    if steps and found is None:
        raise CheckpointError(f"{folder}: none of the {len(steps)} checkpoints can be read; start the run again")
    if set_aside:
        for path in damaged:
            with contextlib.suppress(OSError):
                path.rename(path.with_name(path.name + ".damaged"))
    return found


def remove_old_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the ``keep`` newest checkpoints."""
    for step in checkpoint_steps(folder)[:-keep]:
        with contextlib.suppress(OSError):
            checkpoint_path(folder, step).unlink()
