import numpy as np
import pytest

from scratchgan.metrics import MetricError, kernel_distance
from scratchgan.metrics.kernel import unbiased_mmd2


def test_the_estimator_against_its_definition() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 5)), rng.normal(0.3, 1.2, (9, 5))

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (float(np.dot(x, y)) / 5 + 1) ** 3

    within_a = np.mean([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j])
    within_b = np.mean([k(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    np.testing.assert_allclose(unbiased_mmd2(a, b), within_a + within_b - 2 * across, rtol=1e-10)


def test_it_is_0_in_the_mean_for_one_distribution_and_sees_another() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 1000, 8)).astype(np.float32)
    same = kernel_distance(a, b, subset_size=100)
    assert abs(same.mean) < 4 * same.standard_error + 0.02
    other = kernel_distance(a, b + np.float32(0.5), subset_size=100)
    assert other.mean > same.mean + 10 * other.standard_error
    assert other.standard_error > 0


def test_the_standard_error_is_that_of_a_mean_over_subsets() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 400, 6))
    few, many = (kernel_distance(a, b, subset_size=50, subsets=n) for n in (25, 400))
    assert 2.5 < few.standard_error / many.standard_error < 6.4  # 4, as the square root of 16


def test_subsets_of_small_sets_are_half_of_them_and_too_small_sets_refused() -> None:
    a, b = np.random.default_rng(3).normal(size=(2, 30, 4))
    assert kernel_distance(a, b) == kernel_distance(a, b, subset_size=15) != kernel_distance(a, b, subset_size=14)
    many = kernel_distance(a, b, subsets=3000)
    np.testing.assert_allclose(many.mean, unbiased_mmd2(a, b), atol=5 * many.standard_error)
    with pytest.raises(MetricError, match="first set has 9 vectors of 4 numbers; it needs at least 10"):
        kernel_distance(a[:9], b)
    b[3, 2] = np.nan
    with pytest.raises(MetricError, match="1 of the second set's 30 vectors have a NaN"):
        kernel_distance(a, b)
