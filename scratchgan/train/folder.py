"""The folder of a run, and the lock that keeps two processes from training in it at once.

runs/fashion/
    config.json         every setting (`TrainConfig`)
    log.jsonl           one line for each logged step (`scratchgan.train.log`)
    real.png            some of the real data
    samples/            step-000100.png, ...: what the networks make of the same inputs each time
    curves.png          what the system measures, and evaluations, against the step
    checkpoints/        step-000100.safetensors, ... (`scratchgan.train.checkpoint`); with evaluations best.safetensors,
                        that of the best step
    .lock               the number of the process that is training here
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import weakref
from pathlib import Path

from .. import __version__
from .atomic import remove_partial, write_atomically
from .config import TrainConfig
from .settings import ConfigError, UnknownNameError

#: Where notices go unless the caller takes them: Python's logging, which by default prints them on stderr.
log_notice = logging.getLogger("scratchgan").warning


class TrainError(Exception):
    """A run that can't start or go on. The message says what is wrong and what to do."""


class RunFolder:
    """The paths in a run's folder, for which this process holds the lock until `release`."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.log = path / "log.jsonl"
        self.real = path / "real.png"
        self.curves = path / "curves.png"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self._lock = _lock(path)
        self.release = weakref.finalize(self, os.close, self._lock)

    @classmethod
    def create(cls, path: Path, config: TrainConfig) -> RunFolder:
        """Make the folder of a new run, and lock it. Raises TrainError if it holds anything already."""
        if (path / "config.json").exists():
            raise TrainError(
                f"{path} holds a run already: go on with it (scratchgan train --resume {path}), "
                "or choose another folder with --out"
            )
        if path.is_dir() and any(entry.name != ".lock" for entry in path.iterdir()):
            raise TrainError(f"{path} is not empty, and holds no run: choose a new or empty folder with --out")
        made = not path.is_dir()
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
            folder.samples.mkdir(exist_ok=True)
            folder.checkpoints.mkdir(exist_ok=True)
            write_atomically(folder.config, config.to_json().encode())
        except OSError as error:
            _remove_empty(path, made)
            raise TrainError(
                f"{path} cannot be written ({error.strerror}): choose another folder with --out"
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, TrainConfig]:
        """Lock the folder of a run that goes on, and clear what a killed process left half-written."""
        config = read_config(path)
        try:
            folder = cls(path)
            folder.samples.mkdir(exist_ok=True)
            folder.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise TrainError(f"{path} cannot be written ({error.strerror})") from error
        remove_partial(path)
        return folder, config


def read_config(path: Path) -> TrainConfig:
    """Return the config of the run in a folder. Raises TrainError if there is none, or it can't be used."""
    if not (path / "config.json").is_file():
        what = "holds no run (there is no config.json in it)" if path.is_dir() else "is not a folder"
        raise TrainError(f"{path} {what}: a run is started with scratchgan train --out {path}")
    try:
        return TrainConfig.from_json(path / "config.json")
    except UnknownNameError as error:
        raise TrainError(
            f"{error.what}: config.json was written by a newer scratchgan than this one ({__version__}), or changed by "
            "hand; install the version that wrote it, or put it right"
        ) from error
    except ConfigError as error:
        raise TrainError(str(error)) from error


def _remove_empty(path: Path, made: bool) -> None:
    """Take away the folders of a run that could not be started, so that the same command can be tried again."""
    with contextlib.suppress(OSError):
        (path / ".lock").unlink(missing_ok=True)
        for folder in (path / "samples", path / "checkpoints", *([path] if made else [])):
            if folder.is_dir():
                folder.rmdir()


def _lock(folder: Path) -> int:
    """Lock a folder's lock file and write this process's number into it; returns the open file.

    The operating system releases the lock when the process ends, however it ends, so there are no stale locks.
    Raises TrainError if another process holds it.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock_file(descriptor)
    except OSError:
        owner = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        raise TrainError(
            f"{folder} is being trained in by process {owner or 'unknown'}: wait for it or stop it, "
            "or choose another folder with --out"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _lock_file(descriptor: int) -> None:
    """Lock an open file for this process alone, or raise OSError at once."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte far beyond the number, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
