import numpy as np
import pytest
import scipy.special
import scipy.stats

from scratchgan.metrics import MetricError, inception_score, modes_present, total_variation


def test_inception_score_against_scipys_entropies() -> None:
    p = np.random.default_rng(0).dirichlet([0.3] * 6, 400)
    parts = [np.exp(np.mean([scipy.stats.entropy(row, part.mean(0)) for row in part])) for part in np.split(p, 4)]
    np.testing.assert_allclose(inception_score(p, splits=4), (np.mean(parts), np.std(parts)), rtol=1e-10)


def test_inception_score_ends() -> None:
    sure_and_even = np.eye(5)[np.arange(200) % 5]
    np.testing.assert_allclose(inception_score(sure_and_even), (5, 0), atol=1e-12)
    np.testing.assert_allclose(inception_score(np.full((200, 5), 0.2)), (1, 0), atol=1e-12)
    np.testing.assert_allclose(inception_score(np.eye(5)[np.zeros(200, int)]), (1, 0), atol=1e-12)


def test_inception_score_refuses() -> None:
    with pytest.raises(MetricError, match="99 images in 10 parts; it needs at least 100"):
        inception_score(np.full((99, 2), 0.5))
    with pytest.raises(MetricError, match="probabilities that sum to 1"):
        inception_score(np.full((200, 2), 0.6))


def test_total_variation() -> None:
    a, b = np.random.default_rng(1).integers(0, 50, (2, 12))
    # The other definition: the largest difference that any event's probability can have.
    p, q = a / a.sum(), b / b.sum()
    np.testing.assert_allclose(total_variation(a, b), (p - q)[p > q].sum(), rtol=1e-12)
    assert total_variation([1, 0], [0, 7]) == 1
    assert total_variation([2, 4], [1, 2]) == 0
    assert total_variation([0, 0], [1, 2]) == 1
    assert total_variation([0, 0], [0, 0]) == 0
    with pytest.raises(MetricError, match="shapes"):
        total_variation([1], [1, 2])


def test_modes_present() -> None:
    expected = np.full(4, 100.0)
    assert modes_present([100, 20, 19, 0], expected) == 2
    assert modes_present([100, 20, 19, 0], expected, share=0.1) == 3
    assert modes_present([1, 1, 1, 0], np.full(4, 2.0)) == 3
