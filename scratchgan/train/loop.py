"""The training loop: batches through the game, and what a run writes down on the way.

A run that is killed at any moment and resumed gives the same bits as one that never stopped. Three rules make that so:
everything that the next step depends on is in the checkpoint; every file appears whole or not at all; and what lies
beyond the checkpoint (lines of the log, pictures) is cut off or written again with the same content.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, kernels
from ..data import Dataset, Loader
from ..device import require_cuda, require_tensor_cores
from .atomic import write_atomically
from .checkpoint import (
    Checkpoint,
    CheckpointError,
    best_path,
    checkpoint_path,
    newest_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
)
from .config import TrainConfig
from .curves import draw_curves
from .evaluation import Evaluation, OpenJudge
from .folder import RunFolder, TrainError, log_notice
from .game import DivergedError, Game
from .log import RunLog, read_log
from .pictures import provenance, save_png
from .settings import ConfigError, UnknownNameError
from .system import Networks, System

OnStep = Callable[[int, dict[str, float]], None]
OnText = Callable[[str], None]


def open_training_data(config: TrainConfig, *, quiet: bool = False) -> Dataset:
    """Open the data set that a config names. Raises DataError."""
    return config.kind.open_data(config.run, config.own, quiet=quiet)


@dataclass
class Run:
    """All that a run is while it trains: what is trained, on what, where it is kept, and how far it is."""

    config: TrainConfig
    folder: RunFolder
    game: Game
    loader: Loader
    evaluation: Evaluation | None
    step: int = 0

    @property
    def system(self) -> System:
        """What is trained."""
        return self.game.system

    @property
    def dataset(self) -> Dataset:
        """What it learns from."""
        return self.loader.dataset


class Trainer:
    """Trains a run in its folder, which stays locked until `close` (or the end of a ``with`` block).

    `Trainer.start` makes a run in a new or empty folder; `Trainer.resume` goes on with one. Both take ``on_notice``,
    which is called with a line of text when something is worth a person's attention (a damaged checkpoint passed over,
    signs of collapse); by default it goes to the log of the `logging` module. With ``eval_every`` in the settings the
    samples are judged as training goes on, by the system's judge or by ``open_judge(system, dataset, n)``, and the
    best checkpoint is kept.
    """

    def __init__(self, run: Run, on_notice: OnText = log_notice):
        self.state, self._on_notice = run, on_notice
        self._saved = run.step  # the newest checkpoint's step
        # A GPU is waited for only where its numbers are shown or kept: the newest that were read, the steps since then
        # and the seconds that they took.
        self._metrics: dict[str, float] = {}
        self._unread, self._seconds = 0, 0.0
        self._real = run.system.real(run.dataset)
        self._watch = run.system.watch(self._real)
        with self._writing():
            self._log = RunLog.resume(run.folder.log, run.step)
            if run.evaluation is not None:
                run.evaluation.go_on(read_log(run.folder.log), on_notice)
            if not run.folder.real.exists():
                kind = f"real {run.system.kind} of {run.dataset.name}"
                save_png(run.folder.real, run.system.picture_of_real(self._real, run.dataset), {"Source": kind})

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        out: str | Path,
        dataset: Dataset,
        *,
        open_judge: OpenJudge | None = None,
        on_notice: OnText = log_notice,
    ) -> Trainer:
        """Begin a run. Raises ConfigError or DataError before anything is written, and TrainError if the folder can't
        be used."""
        config = config.completed(dataset)
        game, loader = _assemble(config, dataset)
        evaluation = Evaluation.open(config, game.system, dataset, open_judge)
        return cls(Run(config, RunFolder.create(Path(out), config), game, loader, evaluation), on_notice)

    @classmethod
    def resume(
        cls,
        out: str | Path,
        dataset: Dataset | None = None,
        steps: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        quiet: bool = False,
        open_judge: OpenJudge | None = None,
        on_notice: OnText = log_notice,
    ) -> Trainer:
        """Go on with the run in a folder from its newest good checkpoint (from the beginning, if there is none yet).

        ``dataset``: opened by the run's config unless given. ``steps``: the new total. ``settings``: others to change,
        as text, of those that may change (`TrainConfig.resumable`). ``quiet``: no progress bar while the data set is
        opened. Raises ConfigError, DataError or TrainError.
        """
        folder, started = RunFolder.open(Path(out))
        try:
            wanted = started.with_overrides({**(settings or {}), **({} if steps is None else {"steps": str(steps)})})
            _check_unchanged(started, wanted, f"{folder.path} was started with")
            found = _newest(folder, wanted, on_notice)
            if dataset is None:
                dataset = open_training_data(wanted, quiet=quiet)
            game, loader = _assemble(wanted.completed(dataset), dataset)
            evaluation = Evaluation.open(wanted, game.system, dataset, open_judge)
            if found is not None:
                _restore(found[1], game, loader, checkpoint_path(folder.checkpoints, found[0]))
            run = Run(wanted, folder, game, loader, evaluation, step=0 if found is None else found[0])
            trainer = cls(run, on_notice)
            with trainer._writing():
                write_atomically(folder.config, wanted.to_json().encode())
            return trainer
        except BaseException:
            folder.release()
            raise

    @property
    def config(self) -> TrainConfig:
        """The settings, with nothing left open (`TrainConfig.completed`)."""
        return self.state.config

    @property
    def game(self) -> Game:
        """What is trained."""
        return self.state.game

    @property
    def dataset(self) -> Dataset:
        """What it learns from."""
        return self.state.dataset

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.state.folder.path

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self.state.step

    def close(self) -> None:
        """Close the log and release the folder's lock."""
        self._log.close()
        self.state.folder.release()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, on_step: OnStep | None = None, on_compile: OnText | None = None) -> None:
        """Train until the run's ``steps``; a run that is there already returns at once.

        ``on_step(step, metrics)`` is called after every step with what `scratchgan.train.log` describes (on a GPU, of
        the newest step whose numbers were due to be read);
        ``on_compile(name)`` when a kernel is about to be compiled. Ctrl-C finishes the step, saves a checkpoint and
        then raises KeyboardInterrupt; a second one raises it at once.

        Raises TrainError if a loss is no longer finite, or if the folder can't be written (a full disk). The
        checkpoints written before stay, and the run can be resumed from the last.
        """
        with _ctrl_c_noted(self._on_notice) as interrupted, _compiling(on_compile), self._compiling_ahead():
            while self.step < self.config.run.steps and not interrupted:
                with self._writing():
                    metrics = self._advance()
                if on_step is not None:
                    on_step(self.step, metrics)
            if self.step < self.config.run.steps:
                with self._writing(), self._divergence_told(self.step):
                    if self._unread:
                        self.game.metrics()
                    self._save()
                raise KeyboardInterrupt

    def _compiling_ahead(self) -> AbstractContextManager[None]:
        convolves = self.config.run.device == "cpu" and self.state.system.convolves
        return kernels.compile_ahead() if convolves else nullcontext()

    def _advance(self) -> dict[str, float]:
        """Take one step and write down what is due; return the newest metrics that were read."""
        run, evaluation, step = self.config.run, self.state.evaluation, self.step + 1
        last = step == run.steps
        start = time.perf_counter()
        every = (run.log_every, run.sample_every, run.checkpoint_every, run.eval_every or run.steps)
        read = run.device == "cpu" or last or not self._metrics or any(step % n == 0 for n in every)
        with self._divergence_told(step), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.game.advance(lambda: next(self.state.loader))
            metrics = self.game.metrics() if read else self._metrics
        self.state.step = step
        self._unread += 1
        self._seconds += time.perf_counter() - start
        if not read:
            return metrics
        metrics["images_per_second"] = run.batch * self._unread / self._seconds
        self._metrics, self._unread, self._seconds = dict(metrics), 0, 0.0
        logged: dict[str, Any] = {"step": self.step, **metrics}
        best = False
        if evaluation is not None and (self.step % run.eval_every == 0 or last):
            scores, best = evaluation.judge(self._drawing())
            metrics |= scores
            logged |= {**metrics, "evaluator": evaluation.hash}
        if self.step % run.log_every == 0 or last or "evaluator" in logged:
            self._log.write(logged)
        self._warn(self._watch.metrics(metrics))
        if self.step % run.sample_every == 0 or last:
            self._draw()
        if best:  # before this step's own checkpoint: a run killed in between judges the step again
            self._write_checkpoint(best_path(self.state.folder.checkpoints))
        if self.step % run.checkpoint_every == 0 or last:
            self._save()
        return metrics

    @contextmanager
    def _divergence_told(self, step: int) -> Iterator[None]:
        try:
            yield
        except DivergedError as error:
            when = f"step {step}" if not self._unread else f"steps {step - self._unread} to {step}"
            raise TrainError(
                f"{when}: {error}. The run stopped there; {self._last_checkpoint()}. {self.state.system.remedy}"
            ) from error

    def _warn(self, warning: str | None) -> None:
        if warning is not None:
            self._on_notice(f"step {self.step}: {warning}")

    def _drawing(self) -> Networks:
        """Return the networks that samples are drawn with."""
        return self.state.system.settled(self.game.drawing())

    def _draw(self) -> None:
        """Write the pictures of this step: samples and curves."""
        system, networks, run = self.state.system, self._drawing(), self.out.resolve().name
        outputs = system.finished(system.generate(networks, system.shown()))
        self._warn(self._watch.samples(self.step, outputs))
        source = provenance(run, self.step, system.kind)
        picture = system.picture_of_step(outputs, networks, self._real, self.step)
        save_png(self.state.folder.samples / f"step-{self.step:06d}.png", picture, source)
        if self.step == self.config.run.steps:
            system.finish(self.state.folder, source)
        curves = draw_curves(
            read_log(self.state.folder.log), f"{run}: {self.dataset.name}, {system.title()}", system.panels
        )
        save_png(self.state.folder.curves, curves, {"Source": f"log of run {run!r} up to step {self.step}"})

    def _save(self) -> None:
        """Write the checkpoint of this step, and delete old ones."""
        self._write_checkpoint(checkpoint_path(self.state.folder.checkpoints, self.step))
        self._saved = self.step
        remove_old_checkpoints(self.state.folder.checkpoints, self.config.run.keep_checkpoints)

    def _write_checkpoint(self, path: Path) -> None:
        """Write a checkpoint of this step; the log up to here reaches the disk before it."""
        state = {
            "step": self.step,
            "version": __version__,
            "config": self.config.as_dict(),
            "loader": self.state.loader.state_dict(),
            **self.game.state(),
        }
        self._log.sync()
        save_checkpoint(path, Checkpoint(self.game.arrays(), state))

    def _last_checkpoint(self) -> str:
        return f"its last checkpoint is of step {self._saved}" if self._saved else "it has no checkpoint yet"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError of the run's files into a TrainError that says what is kept and how to go on."""
        try:
            yield
        except OSError as error:
            path = error.filename or self.out
            raise TrainError(
                f"{path} cannot be written ({error.strerror}); the run stopped at step {self.step}, and "
                f"{self._last_checkpoint()}. Make room, then: scratchgan train --resume {self.out}"
            ) from error


def _assemble(config: TrainConfig, dataset: Dataset) -> tuple[Game, Loader]:
    """Make everything that can fail on the settings, before a file is touched."""
    if config.run.device == "cuda":
        require_cuda()
    if config.run.precision == "tf32":
        require_tensor_cores()
    loader = Loader(dataset, config.run.batch, seed=config.run.seed)
    try:
        return Game(config), loader
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _newest(folder: RunFolder, wanted: TrainConfig, on_notice: OnText) -> tuple[int, Checkpoint] | None:
    """Return the newest good checkpoint of a run with its step, None if it has none. Raises TrainError, ConfigError."""
    try:
        found = newest_checkpoint(folder.checkpoints, on_notice, set_aside=True)
    except CheckpointError as error:
        raise TrainError(str(error)) from error
    if found is None:
        on_notice(f"{folder.path} has no checkpoint yet: starting again from step 0")
        return None
    step, checkpoint = found
    _check_unchanged(_config_of(checkpoint, folder), wanted, f"{folder.checkpoints} was written with")
    if wanted.run.steps < step:
        raise TrainError(f"{folder.path} is at step {step} already, beyond steps={wanted.run.steps}: give more steps")
    return found


def _restore(checkpoint: Checkpoint, game: Game, loader: Loader, path: Path) -> None:
    """Bring a game and its loader to where a checkpoint was written. Raises TrainError if it is of other networks."""
    try:
        game.load(checkpoint)
        loader.load_state_dict(checkpoint.state["loader"])
    except (ValueError, KeyError) as error:
        version = checkpoint.state.get("version", "unknown")
        raise TrainError(
            f"{path} was written by scratchgan {version}, and does not fit this one ({__version__}): "
            f"{str(error).splitlines()[0]}"
        ) from error


def _config_of(checkpoint: Checkpoint, folder: RunFolder) -> TrainConfig:
    try:
        return TrainConfig.from_dict(checkpoint.state["config"])
    except (ConfigError, KeyError) as error:
        reason = error.what if isinstance(error, UnknownNameError) else error
        version = checkpoint.state.get("version", "unknown")
        raise TrainError(
            f"{folder.checkpoints} was written by scratchgan {version}, and does not fit this one ({__version__}): "
            f"{reason}"
        ) from error


def _check_unchanged(before: TrainConfig, now: TrainConfig, what: str) -> None:
    """Raise ConfigError if a setting differs that a resumed run may not change."""
    may_change = before.resumable()
    for name, (old, new) in before.changes(now).items():
        if name not in may_change:
            raise ConfigError(
                f"{what} {name}={old}, and {name}={new} would make it another run: leave {name} as it was, or start a "
                f"new run (a resumed one may change {', '.join(sorted(may_change))})"
            )


@contextmanager
def _ctrl_c_noted(notice: OnText) -> Iterator[list[bool]]:
    """Within the block, the first Ctrl-C only makes the yielded list non-empty; the second raises KeyboardInterrupt."""
    interrupted: list[bool] = []

    def handler(signum: int, frame: Any) -> None:
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(True)
        notice("stopping after this step, with a checkpoint; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _compiling(on_compile: OnText | None) -> Any:
    return nullcontext() if on_compile is None else kernels.on_compile(on_compile)
