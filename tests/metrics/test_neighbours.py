import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scratchgan.metrics import MetricError, density_coverage, precision_recall
from scratchgan.metrics.neighbours import radii


def sets(seed: int, n: int = 60, m: int = 70, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(0.5, 0.7, (m, d))


def kth_distance(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(cdist(x, x), axis=1)[:, k]  # the nearest is itself


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_against_scipys_distances(k: int) -> None:
    real, fake = sets(0)
    between = cdist(real, fake)
    precision = (between <= kth_distance(real, k)[:, None]).any(0).mean()
    recall = (between <= kth_distance(fake, k)[None, :]).any(1).mean()
    assert precision_recall(real, fake, k) == (precision, recall)
    assert 0 < recall < precision < 1


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_against_scipys_distances(k: int) -> None:
    real, fake = sets(1)
    inside = cdist(real, fake) <= kth_distance(real, k)[:, None]
    density, coverage = density_coverage(real, fake, k)
    np.testing.assert_allclose(density, inside.sum() / (k * len(fake)))
    assert coverage == inside.any(1).mean()


def test_many_rows_go_through_in_parts() -> None:
    real, fake = sets(2, n=1500, m=2100, d=2)
    np.testing.assert_allclose(np.sqrt(radii(real, 3)), kth_distance(real, 3), atol=1e-7)
    inside = cdist(real, fake) <= kth_distance(real, 3)[:, None]
    assert abs(precision_recall(real, fake, 3)[0] - inside.any(0).mean()) < 1e-3


def test_a_generator_of_one_image_has_precision_but_neither_recall_nor_coverage() -> None:
    real = np.random.default_rng(3).normal(size=(200, 4))
    fake = np.repeat(real[np.argmin((real**2).sum(1))][None] + 1e-3, 200, axis=0)
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    assert precision == 1
    assert recall == 0
    assert density > 1
    assert coverage < 0.2


def test_too_few() -> None:
    real, fake = sets(4)
    with pytest.raises(MetricError, match=r"second set has 3 vectors .* needs at least 4 \(one more than its k=3"):
        precision_recall(real, fake[:3])
    with pytest.raises(MetricError, match="needs at least 6"):
        density_coverage(real[:5], fake)
    with pytest.raises(MetricError, match="same D"):
        precision_recall(real, fake[:, :2])
