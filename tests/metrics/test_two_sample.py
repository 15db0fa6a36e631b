import numpy as np
import pytest
import scipy.stats

from scratchgan.metrics import MetricError, classifier_two_sample_test


def test_one_distribution_is_not_told_apart_and_the_p_value_is_scipys() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 800, 10)).astype(np.float32)
    result = classifier_two_sample_test(a, b)
    assert abs(result.accuracy - 0.5) < 0.06
    normal = scipy.stats.norm(0.5, np.sqrt(1 / (4 * 800)))
    np.testing.assert_allclose(result.p_value, normal.sf(result.accuracy), rtol=1e-10)


def test_two_distributions_are_told_apart_even_where_means_and_variances_agree() -> None:
    rng = np.random.default_rng(1)
    normal = rng.normal(size=(1000, 2))
    angle = rng.uniform(0, 2 * np.pi, 1000)
    ring = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)
    result = classifier_two_sample_test(normal, ring)
    assert result.accuracy > 0.65
    assert result.p_value < 1e-9


def test_a_constant_feature_and_too_few() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 200, 3))
    a[:, 1] = b[:, 1] = 7
    assert classifier_two_sample_test(a, b + np.array([2, 0, 0])).accuracy > 0.8
    with pytest.raises(MetricError, match="has 99 vectors of 3 numbers; it needs at least 100"):
        classifier_two_sample_test(a[:99], b)
