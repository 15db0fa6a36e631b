import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scratchgan.metrics import MetricError, memorisation
from scratchgan.metrics.memorisation import NEIGHBOURS


def pictures(n: int, seed: int) -> np.ndarray:
    """Smooth images (n,1,8,8) in [0, 1] of four random numbers each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:8, :8] / 7
    a, b, c, d = rng.uniform(size=(4, n, 1, 1))
    return (0.4 * a * x + 0.3 * b * y + 0.3 * c * np.sin(3 * d + 4 * x * y))[:, None].astype(np.float32)


TRAINING, UNSEEN = pictures(1500, 0), pictures(300, 1)


def test_ratios_against_scipys_distances() -> None:
    generated = pictures(50, 2)
    found = memorisation(TRAINING, UNSEEN, generated)
    flat = [x.reshape(len(x), -1).astype(np.float64) for x in (TRAINING, UNSEEN, generated)]
    ratios = []
    for queries in flat[1:]:
        near = np.sort(cdist(queries, flat[0]), axis=1)[:, : NEIGHBOURS + 1]
        ratios.append(near[:, 0] / near[:, 1:].mean(1))
    np.testing.assert_allclose(found.real_ratio, np.median(ratios[0]), rtol=1e-5)
    np.testing.assert_allclose(found.ratio, np.median(ratios[1]), rtol=1e-5)
    np.testing.assert_allclose(found.threshold, np.quantile(ratios[0], 0.01), rtol=1e-5)
    np.testing.assert_array_equal(found.nearest, cdist(flat[2], flat[0]).argmin(1))


def test_new_images_are_no_copies_and_copies_are_even_when_they_are_noisy() -> None:
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, len(TRAINING), 200)
    copies = TRAINING[chosen]
    assert memorisation(TRAINING, UNSEEN, pictures(200, 4)).copies < 0.05
    exact = memorisation(TRAINING, UNSEEN, copies)
    assert exact.copies == 1
    np.testing.assert_array_equal(exact.nearest, chosen)
    noisy = copies + rng.normal(0, 5e-4, copies.shape).astype(np.float32)
    assert memorisation(TRAINING, UNSEEN, noisy).copies > 0.9
    half = np.concatenate([copies[:100], pictures(100, 5)])
    assert 0.48 < memorisation(TRAINING, UNSEEN, half).copies < 0.55


def test_typical_images_are_no_copies() -> None:
    """The mean of many images is nearer to the training images than a real one is, but not to one of them."""
    blurred = pictures(400, 6).reshape(50, 8, 1, 8, 8).mean(1)
    assert memorisation(TRAINING, UNSEEN, blurred).copies < 0.1


def test_refusals() -> None:
    with pytest.raises(MetricError, match="20 training images; it needs at least 21"):
        memorisation(TRAINING[:20], UNSEEN, UNSEEN)
    with pytest.raises(MetricError, match="99 unseen images; it needs at least 100"):
        memorisation(TRAINING, UNSEEN[:99], UNSEEN)
    with pytest.raises(MetricError, match="one shape"):
        memorisation(TRAINING, UNSEEN, UNSEEN[:, :, :4])
