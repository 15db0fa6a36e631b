"""Are all the factors of the toy faces there, each as often as the sampler draws it?"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..data.toyfaces import Factors
from .distributions import total_variation
from .evaluators.factors import HEADS, Head, visible

BINS: Final = 10  # of a continuous factor's range


def histogram(head: Head, factors: Factors) -> NDArray[np.int64]:
    """Return how many faces there are of each category, or in each tenth of the range (beyond it: the last tenth).

    Faces in which the factor can't be seen do not count.
    """
    values = factors[head.factor.name][visible(head, factors)]
    if head.factor.categories:
        return np.bincount(values.astype(np.int64), minlength=len(head.factor.categories))
    low, high = head.ends
    tenth = np.clip(((values - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
    return np.bincount(tenth, minlength=BINS)


def factor_coverage(told: Factors, drawn: Factors) -> dict[str, float]:
    """Return, by factor, the total variation between what was regressed from images and what the sampler drew.

    0: as often as in the sampler; 1: nothing in common. A factor that the evaluator is poor at is far from the sampler
    even for real faces, so compare with those.
    """
    return {head.factor.name: total_variation(histogram(head, told), histogram(head, drawn)) for head in HEADS}
