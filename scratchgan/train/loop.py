"""The training loop: batches through the game, and what a run writes down on the way.

A run that is killed at any moment and resumed gives the same bits as one that never stopped. Three rules make that so:
everything that the next step depends on is in the checkpoint; every file appears whole or not at all; and what lies
beyond the checkpoint (lines of the log, pictures) is cut off or written again with the same content.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, kernels
from ..data import POINT_SETS, Dataset, Loader, open_dataset, point_dataset
from ..data.points import POINTS_COUNT
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
from .config import RESUMABLE, ConfigError, TrainConfig
from .evaluation import Evaluation, OpenJudge
from .folder import RunFolder, TrainError, log_notice
from .gallery import open_gallery
from .game import DivergedError, Game
from .log import RunLog, read_log
from .pictures import draw_curves, provenance, save_png
from .watch import Watch

OnStep = Callable[[int, dict[str, float]], None]
OnText = Callable[[str], None]


def open_training_data(config: TrainConfig, *, quiet: bool = False) -> Dataset:
    """Open the data set that a config names. Raises DataError."""
    if config.data in POINT_SETS:
        return point_dataset(config.data, config.limit or POINTS_COUNT)
    return open_dataset(
        config.data,
        size=config.size,
        channels=config.channels,
        data_dir=config.data_dir,
        skip_bad=config.skip_bad,
        limit=config.limit,
        quiet=quiet,
    )


class Trainer:
    """A run: the game, its data, and its folder, which stays locked until `close` (or the end of a ``with`` block).

    ``Trainer(config, out, dataset)`` starts a run in a new or empty folder; `Trainer.resume` goes on with one.
    ``step`` is the number of steps done, ``config`` the settings with nothing left open (`TrainConfig.completed`).
    ``on_notice`` is called with a line of text when something is worth a person's attention (a damaged checkpoint
    passed over, signs of collapse); by default it goes to the log of the `logging` module. With ``eval_every`` in the
    config the samples are judged as training goes on, by what ``open_judge(config, dataset)`` returns (see
    `scratchgan.train.evaluation`; `scratchgan.metrics.open_judge` is one), and the best checkpoint is kept.

    Raises ConfigError or DataError before anything is written, and TrainError if the folder can't be used.
    """

    config: TrainConfig
    out: Path
    step: int

    def __init__(
        self,
        config: TrainConfig,
        out: str | Path,
        dataset: Dataset,
        *,
        open_judge: OpenJudge | None = None,
        on_notice: OnText = log_notice,
    ):
        config = _completed(config, dataset)
        game, loader = _assemble(config, dataset)
        evaluation = Evaluation.open(config, dataset, open_judge)
        folder = RunFolder.create(Path(out), config)
        self._begin(config, folder, game, loader, evaluation, on_notice, step=0)

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
        as text, of those in `scratchgan.train.config.RESUMABLE`. ``quiet``: no progress bar while the data set is
        opened. Raises ConfigError, DataError or TrainError.
        """
        folder, config = RunFolder.open(Path(out))
        try:
            return cls._resumed(folder, config, dataset, steps, settings or {}, quiet, open_judge, on_notice)
        except BaseException:
            folder.release()
            raise

    @classmethod
    def _resumed(
        cls,
        folder: RunFolder,
        config: TrainConfig,
        dataset: Dataset | None,
        steps: int | None,
        settings: Mapping[str, str],
        quiet: bool,
        open_judge: OpenJudge | None,
        on_notice: OnText,
    ) -> Trainer:
        wanted = config.with_overrides({**settings, **({} if steps is None else {"steps": str(steps)})})
        _check_unchanged(config, wanted, f"{folder.path} was started with")
        try:
            found = newest_checkpoint(folder.checkpoints, on_notice, set_aside=True)
        except CheckpointError as error:
            raise TrainError(str(error)) from error
        step = 0
        if found is None:
            on_notice(f"{folder.path} has no checkpoint yet: starting again from step 0")
        else:
            step, checkpoint = found
            saved = _config_of(checkpoint, folder)
            _check_unchanged(saved, wanted, f"{folder.checkpoints} was written with")
        if wanted.steps < step:
            raise TrainError(f"{folder.path} is at step {step} already, beyond steps={wanted.steps}: give more steps")
        if dataset is None:
            dataset = open_training_data(wanted, quiet=quiet)
        game, loader = _assemble(_completed(wanted, dataset), dataset)
        evaluation = Evaluation.open(wanted, dataset, open_judge)
        if found is not None:
            try:
                game.load(checkpoint)
                loader.load_state_dict(checkpoint.state["loader"])
            except (ValueError, KeyError) as error:
                version = checkpoint.state.get("version", "unknown")
                reason = str(error).splitlines()[0]
                raise TrainError(
                    f"{checkpoint_path(folder.checkpoints, step)} was written by scratchgan {version}, and does not "
                    f"fit this one ({__version__}): {reason}"
                ) from error
        trainer = cls.__new__(cls)
        trainer._begin(wanted, folder, game, loader, evaluation, on_notice, step)
        with trainer._writing():
            write_atomically(folder.config, wanted.to_json().encode())
        return trainer

    def _begin(
        self,
        config: TrainConfig,
        folder: RunFolder,
        game: Game,
        loader: Loader,
        evaluation: Evaluation | None,
        on_notice: OnText,
        step: int,
    ) -> None:
        self.config, self.out, self.step = config, folder.path, step
        self.game, self.dataset = game, loader.dataset
        self._folder, self._loader, self._on_notice = folder, loader, on_notice
        self._evaluation = evaluation
        self._saved = step  # the newest checkpoint's step
        # A GPU is waited for only where its numbers are shown or kept: the newest that were read, the steps since then
        # and the seconds that they took.
        self._metrics: dict[str, float] = {}
        self._unread, self._seconds = 0, 0.0
        self._gallery = open_gallery(self.dataset)
        self._watch = Watch(self._gallery.real, probability=game.loss.probability)
        with self._writing():
            self._log = RunLog.resume(folder.log, step)
            if evaluation is not None:
                evaluation.go_on(read_log(folder.log), on_notice)
            if not folder.real.exists():
                kind = f"real {self._gallery.kind} of {self.dataset.name}"
                save_png(folder.real, self._gallery.real_picture(), {"Source": kind})

    def close(self) -> None:
        """Close the log and release the folder's lock."""
        self._log.close()
        self._folder.release()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, on_step: OnStep | None = None, on_compile: OnText | None = None) -> None:
        """Train until ``config.steps``; a run that is there already returns at once.

        ``on_step(step, metrics)`` is called after every step with what `scratchgan.train.log` describes (on a GPU, of
        the newest step whose numbers were due to be read);
        ``on_compile(name)`` when a kernel is about to be compiled. Ctrl-C finishes the step, saves a checkpoint and
        then raises KeyboardInterrupt; a second one raises it at once.

        Raises TrainError if a loss is no longer finite, or if the folder can't be written (a full disk). The
        checkpoints written before stay, and the run can be resumed from the last.
        """
        with _ctrl_c_noted(self._on_notice) as interrupted, _compiling(on_compile), self._compiling_ahead():
            while self.step < self.config.steps and not interrupted:
                with self._writing():
                    metrics = self._advance()
                if on_step is not None:
                    on_step(self.step, metrics)
            if self.step < self.config.steps:
                with self._writing(), self._divergence_told(self.step):
                    if self._unread:
                        self.game.metrics()
                    self._save()
                raise KeyboardInterrupt

    def _compiling_ahead(self) -> AbstractContextManager[None]:
        convolves = self.config.device == "cpu" and len(self.config.shape) == 3
        return kernels.compile_ahead() if convolves else nullcontext()

    def _advance(self) -> dict[str, float]:
        """Take one step and write down what is due; return the newest metrics that were read."""
        config, step = self.config, self.step + 1
        last = step == config.steps
        start = time.perf_counter()
        every = (config.log_every, config.sample_every, config.checkpoint_every, config.eval_every or config.steps)
        read = config.device == "cpu" or last or not self._metrics or any(step % n == 0 for n in every)
        with self._divergence_told(step), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.game.advance(lambda: next(self._loader)[1])
            metrics = self.game.metrics() if read else self._metrics
        self.step = step
        self._unread += 1
        self._seconds += time.perf_counter() - start
        if not read:
            return metrics
        metrics["images_per_second"] = config.batch * self._unread / self._seconds
        self._metrics, self._unread, self._seconds = dict(metrics), 0, 0.0
        logged: dict[str, Any] = {"step": self.step, **metrics}
        best = False
        if self._evaluation is not None and (self.step % config.eval_every == 0 or last):
            scores, best = self._evaluation.judge(self.game.ema.module)
            metrics |= scores
            logged |= {**metrics, "evaluator": self._evaluation.hash}
        if self.step % config.log_every == 0 or last or "evaluator" in logged:
            self._log.write(logged)
        self._warn(self._watch.metrics(metrics))
        if self.step % config.sample_every == 0 or last:
            self._draw()
        if best:  # before this step's own checkpoint: a run killed in between judges the step again
            self._write_checkpoint(best_path(self._folder.checkpoints))
        if self.step % config.checkpoint_every == 0 or last:
            self._save()
        return metrics

    @contextmanager
    def _divergence_told(self, step: int) -> Iterator[None]:
        try:
            yield
        except DivergedError as error:
            when = f"step {step}" if not self._unread else f"steps {step - self._unread} to {step}"
            raise TrainError(
                f"{when}: {error}. The run stopped there; {self._last_checkpoint()}. "
                "Try lower lr_g and lr_d, d_norm=spectral, or r1=1, in a new run"
            ) from error

    def _warn(self, warning: str | None) -> None:
        if warning is not None:
            self._on_notice(f"step {self.step}: {warning}")

    def _draw(self) -> None:
        """Write the pictures of this step: samples and curves."""
        samples, run = self._gallery.samples(self.game), self.out.resolve().name
        self._warn(self._watch.samples(self.step, samples))
        source = provenance(run, self.step, self._gallery.kind)
        picture = self._gallery.picture(samples, self.game, self.step)
        save_png(self._folder.samples / f"step-{self.step:06d}.png", picture, source)
        if self.step == self.config.steps:
            self._gallery.finish(self._folder, source)
        size = "" if self.config.size is None else f" {self.config.size} px,"
        title = f"{run}: {self.dataset.name},{size} {self.config.loss}"
        curves = draw_curves(read_log(self._folder.log), title, probability=self.game.loss.probability)
        save_png(self._folder.curves, curves, {"Source": f"log of run {run!r} up to step {self.step}"})

    def _save(self) -> None:
        """Write the checkpoint of this step, and delete old ones."""
        self._write_checkpoint(checkpoint_path(self._folder.checkpoints, self.step))
        self._saved = self.step
        remove_old_checkpoints(self._folder.checkpoints, self.config.keep_checkpoints)

    def _write_checkpoint(self, path: Path) -> None:
        """Write a checkpoint of this step; the log up to here reaches the disk before it."""
        state = {
            "step": self.step,
            "version": __version__,
            "config": dataclasses.asdict(self.config),
            "loader": self._loader.state_dict(),
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


def _completed(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Decide what the config leaves to the data. Raises ConfigError if it asks for other images."""
    if len(dataset.shape) == 3 and dataset.shape[1] != dataset.shape[2]:
        _, height, width = dataset.shape
        raise ConfigError(f"{dataset.name}: images are {height} x {width}, and must be square: give a size (--size)")
    return config.completed(dataset.shape)


def _assemble(config: TrainConfig, dataset: Dataset) -> tuple[Game, Loader]:
    """Make everything that can fail on the settings, before a file is touched."""
    if config.device == "cuda":
        require_cuda()
    if config.precision == "tf32":
        require_tensor_cores()
    loader = Loader(dataset, config.batch, seed=config.seed)
    try:
        return Game(config), loader
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _config_of(checkpoint: Checkpoint, folder: RunFolder) -> TrainConfig:
    try:
        return TrainConfig.from_dict(checkpoint.state["config"])
    except (ConfigError, KeyError) as error:
        raise TrainError(f"{folder.checkpoints}: written by another version of scratchgan ({error})") from error


def _check_unchanged(before: TrainConfig, now: TrainConfig, what: str) -> None:
    """Raise ConfigError if a setting differs that a resumed run may not change."""
    for name, (old, new) in before.changes(now).items():
        if name not in RESUMABLE:
            raise ConfigError(
                f"{what} {name}={old}, and {name}={new} would make it another run: leave {name} as it was, or start a "
                f"new run (a resumed one may change {', '.join(sorted(RESUMABLE))})"
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
