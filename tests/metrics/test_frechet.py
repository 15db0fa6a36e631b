import numpy as np
import pytest
import scipy.linalg

from scratchgan.metrics import frechet_distance


def test_against_scipys_matrix_square_root() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 8)), rng.normal(1, 2, (400, 8))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-9)


def test_a_set_is_at_no_distance_from_itself_and_a_shift_is_its_square() -> None:
    a = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    assert abs(frechet_distance(a, a)) < 1e-9
    np.testing.assert_allclose(frechet_distance(a, a + np.float32(3)), 4 * 9, rtol=1e-6)


def test_too_few_vectors() -> None:
    with pytest.raises(ValueError, match="first set has 4 vectors of 4 numbers"):
        frechet_distance(np.ones((4, 4)), np.ones((9, 4)))
    with pytest.raises(ValueError, match="same D, got"):
        frechet_distance(np.ones((9, 3)), np.ones((9, 4)))
