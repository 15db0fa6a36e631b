"""From a run's settings to its judge: which evaluator, and which real images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from ..data import ArrayDataset, Dataset, PointDataset, open_dataset, toyfaces
from ..data.mnist import NAMED_SETS
from ..train import RunSettings
from .checks import MetricError
from .evaluators import Classifier, FactorRegressor, OnProgress, open_evaluator
from .evaluators.factors import mode_numbers
from .judge import Judge, RealImages, check_count

#: The seeds of the faces that stand for the real ones; those that are trained on have seed 0.
REAL_SEED: Final = 101
FLOOR_SEED: Final = 102

_log_notice = logging.getLogger("scratchgan").warning


def open_judge(
    run: RunSettings,
    training: Dataset,
    n: int | None = None,
    *,
    on_progress: OnProgress | None = None,
    on_notice: Callable[[str], None] = _log_notice,
    folder: Path | None = None,
) -> Judge:
    """Return a judge of n images (``run.eval_images`` unless given) for a run with these settings on ``training``.

    Toy faces are judged by a factor regressor, against other pictures of the same persons. Fashion-MNIST and MNIST are
    judged by a classifier of their training images, against half of their test images, and the other half is the floor.
    Other labelled data is judged by a classifier that learns from half of it, against the other half; all of it is
    trained on, so copies can't be told.

    The first judge of its kind trains its evaluator, which takes a minute or two, and keeps it (`open_evaluator`).
    Raises MetricError for data without labels, or if n is too small or too large; EvaluatorError; DataError.
    """
    n = run.eval_images if n is None else n
    if run.data == "toyfaces":
        regressor = _face_evaluator(training, n)
        open_evaluator(regressor, folder=folder, on_progress=on_progress, on_notice=on_notice)
        return judge_of_faces(regressor, training, n)
    if isinstance(training, PointDataset):
        raise MetricError(f"{training.name}: no judge is needed for points: `score` counts their modes")
    if training.labels is None:
        raise MetricError(
            f"{training.name} has no labels, so there is no evaluator for it: toyfaces and labelled data can be "
            "evaluated (a folder of one folder for each class, or an .npz with labels)"
        )
    if run.data in NAMED_SETS:
        channels, size, _ = training.shape
        test = open_dataset(run.data, size=size, channels=channels, split="test", data_dir=run.data_dir, quiet=True)
        # The floor comes from the test images too: among training images, every one would be a copy of itself.
        halves = np.array_split(np.random.default_rng(0).permutation(len(test)), 2)
        learnt, (real, floor) = training, (test.pixels[half] for half in halves)
        unseen = True
    else:
        halves = np.array_split(np.random.default_rng(0).permutation(len(training)), 2)
        learnt, test = (_part(training, half) for half in halves)
        real, floor = test.pixels, learnt.pixels
        unseen = False
    labels = training.labels
    classifier = Classifier(learnt, test)
    check_count(n, classifier, min(len(real), len(floor)))
    open_evaluator(classifier, folder=folder, on_progress=on_progress, on_notice=on_notice)
    shares = np.bincount(labels, minlength=len(training.classes)) / len(labels)
    return Judge(classifier, RealImages(training, real, floor, shares, unseen=unseen), n)


def judge_of_faces(evaluator: FactorRegressor, training: Dataset, n: int) -> Judge:
    """Return a judge of n toy faces with a trained evaluator, for a generator that learns from ``training``."""
    real, floor = (
        toyfaces.dataset(n, evaluator.size, seed=seed, quiet=True).pixels for seed in (REAL_SEED, FLOOR_SEED)
    )
    drawn = toyfaces.sample_factors(n, REAL_SEED, portrait=True)
    shares = np.bincount(mode_numbers(drawn), minlength=len(evaluator.modes)) / n
    return Judge(evaluator, RealImages(training, real, floor, shares, drawn), n)


def _face_evaluator(training: Dataset, n: int) -> FactorRegressor:
    """Return the untrained evaluator of toy faces of that size; MetricError if n images of them can't be judged."""
    channels, size, _ = training.shape
    if channels != 3:
        raise MetricError(f"toyfaces in {channels} channel can't be evaluated: the evaluators look at colours")
    evaluator = FactorRegressor(size)
    check_count(n, evaluator, available=n)
    return evaluator


def _part(dataset: Dataset, indices: np.ndarray) -> ArrayDataset:
    assert isinstance(dataset, ArrayDataset)
    assert dataset.labels is not None
    return ArrayDataset(dataset.pixels[indices], dataset.labels[indices], dataset.classes, dataset.name)
