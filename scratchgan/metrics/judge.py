"""A judge: an evaluator that passed its gates, and the real images that generated ones are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from ..data.toyfaces import Factors
from .checks import MetricError, image_batch
from .distributions import inception_score, modes_present, total_variation
from .evaluators import FactorRegressor, ModeEvaluator
from .factor_coverage import factor_coverage
from .frechet import frechet_distance
from .kernel import kernel_distance
from .memorisation import Memorisation, memorisation
from .neighbours import density_coverage, precision_recall
from .two_sample import classifier_two_sample_test

_PER_MODE: Final = 10  # images that a judgement of modes needs for each of them
_SURE: Final = 0.5  # the least probability of a mode with which an image counts for it
_COPY_SAMPLE: Final = 2_000  # generated images that are compared with the training images
_COPY_TRAINING: Final = 20_000  # and with at most so many of these


@dataclass(frozen=True)
class RealImages:
    """Real images to judge by.

    Attributes:
        training: the images that the generator learnt from.
        real: others of the same kind, uint8 (N,C,S,S), with which generated images are compared.
        floor: as many others again, compared with ``real`` to see how well real images do.
        mode_shares: how often each of the evaluator's modes is to be expected, (modes,), with a sum of 1.
        drawn: of toy faces, the factors of ``real`` as the sampler drew them.
        unseen: whether ``real`` and ``floor`` are no training images; otherwise copies can't be looked for.
    """

    training: Dataset
    real: NDArray[np.uint8]
    floor: NDArray[np.uint8]
    mode_shares: NDArray[np.float64]
    drawn: Factors | None = None
    unseen: bool = True


class Judge:
    """Scores sets of ``n`` images (N,C,S,S), float in [-1, 1] or uint8.

    `quick` gives the few scores that are worth having during training, `full` all of them. Both are pure functions of
    the images: what is random in them is seeded anew each time. Raises MetricError if n images are too few for some
    metric, or more than there are real ones, and EvaluatorError if the evaluator may not score.
    """

    best_by = "fid"
    higher_is_better = False

    def __init__(self, evaluator: ModeEvaluator, images: RealImages, n: int):
        evaluator.check_gates()
        check_count(n, evaluator, min(len(images.real), len(images.floor)))
        self.evaluator, self.images, self.n = evaluator, images, n
        self._real = evaluator.features(images.real[:n])
        self._floor: dict[str, Any] | None = None

    @property
    def hash(self) -> str:
        """The evaluator's hash: scores under different ones can't be compared."""
        return self.evaluator.hash

    def quick(self, images: np.ndarray) -> dict[str, float]:
        """Return ``fid``, ``kid``, ``kid_standard_error``, ``precision``, ``recall``, and ``modes`` present."""
        return self._quick(*self._look(images))

    def full(self, images: np.ndarray) -> dict[str, Any]:
        """Return every score by name; ``total_variation`` and ``mode_counts`` are dictionaries themselves."""
        features, outputs = self._look(images)
        density, coverage = density_coverage(self._real, features)
        test = classifier_two_sample_test(self._real, features)
        modes = np.bincount(self.evaluator.mode_of(outputs), minlength=len(self.evaluator.modes))
        scores: dict[str, Any] = self._quick(features, outputs) | {
            "density": density,
            "coverage": coverage,
            "inception_score": inception_score(self.evaluator.mode_probabilities(outputs))[0],
            "two_sample_accuracy": test.accuracy,
            "two_sample_p": test.p_value,
            "mode_total_variation": total_variation(modes, self.images.mode_shares),
            "mode_counts": dict(zip(self.evaluator.modes, self._sure(outputs).tolist(), strict=True)),
        }
        if isinstance(self.evaluator, FactorRegressor) and self.images.drawn is not None:
            drawn = {name: values[: self.n] for name, values in self.images.drawn.items()}
            scores["total_variation"] = factor_coverage(self.evaluator.read(outputs), drawn)
        if self.images.unseen:
            found = self.copies(images)
            scores |= {"copies": found.copies, "neighbour_ratio": found.ratio}
        return scores

    def floor(self) -> dict[str, Any]:
        """Return `full` of real images in place of generated ones: the scores that perfection would get."""
        if self._floor is None:
            self._floor = self.full(self.images.floor[: self.n])
        return self._floor

    def copies(self, images: np.ndarray) -> Memorisation:
        """Look for training images among the first 2,000 images."""
        evaluator = self.evaluator
        generated = image_batch("copies", images[:_COPY_SAMPLE], evaluator.size, evaluator.channels)
        unseen = image_batch("copies", self.images.real[:_COPY_SAMPLE], evaluator.size, evaluator.channels)
        training = self.images.training
        return memorisation(training.images(np.arange(min(len(training), _COPY_TRAINING))), unseen, generated)

    def _look(self, images: np.ndarray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the features and outputs of n images."""
        if len(images) != self.n:
            raise MetricError(f"evaluation: there are {len(images)} images, but it was prepared for {self.n}")
        features = self.evaluator.features(images)
        return features, self.evaluator.head_outputs(features)

    def _quick(self, features: NDArray[np.float32], outputs: NDArray[np.float32]) -> dict[str, float]:
        kid = kernel_distance(self._real, features)
        precision, recall = precision_recall(self._real, features)
        return {
            "fid": frechet_distance(self._real, features),
            "kid": kid.mean,
            "kid_standard_error": kid.standard_error,
            "precision": precision,
            "recall": recall,
            "modes": modes_present(self._sure(outputs), self.images.mode_shares * self.n),
        }

    def _sure(self, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return how many of the images are in each mode, of those that the evaluator is sure of, (modes,).

        Misread images would fill modes that are not there: of faces without 24 of the 48 modes, the evaluator of 32
        pixels sees 37 modes if every image counts, and 24 if those count that it is sure of.
        """
        probabilities = self.evaluator.mode_probabilities(outputs)
        sure = probabilities.max(1) > _SURE
        return np.bincount(self.evaluator.mode_of(outputs)[sure], minlength=len(self.evaluator.modes))


def check_count(n: int, evaluator: ModeEvaluator, available: int) -> None:
    """Raise MetricError if n images are too few for some metric, or more than the real images that there are.

    Covariances need twice as many images as features, tests 200, and modes ten for each.
    """
    least = max(200, 2 * evaluator.network.head.weight.shape[1], _PER_MODE * len(evaluator.modes))
    if n < least:
        raise MetricError(f"evaluation: n={n} images are too few: the metrics need at least {least}")
    if n > available:
        raise MetricError(
            f"evaluation: n={n}, but there are only {available} real images to compare with: use n={available}"
        )
