"""Known damage, and that the metrics put it in order."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage

from scratchgan.data import toyfaces
from scratchgan.metrics import FactorRegressor, Judge, damage, open_evaluator
from scratchgan.metrics.evaluators.factors import mode_numbers
from scratchgan.metrics.open_judge import judge_of_faces

SERIES: dict[str, tuple[Callable[..., np.ndarray], tuple[float, ...]]] = {
    "blur": (damage.blur, (0.5, 0.8, 1.2, 2.0)),
    "noise": (damage.noise, (0.02, 0.05, 0.1, 0.2)),
    "palette": (damage.shift_palette, (10, 25, 60, 120)),
    "modes": (damage.drop_modes, (6, 12, 24, 36)),
}


def test_blur_against_scipy() -> None:
    images = toyfaces.dataset(5, 16, seed=4, quiet=True).pixels
    smooth = scipy.ndimage.gaussian_filter(images.astype(float), (0, 0, 0.8, 0.8), mode="reflect", truncate=3)
    radius = int(3 * 0.8 + 0.5)
    assert radius <= 3
    assert np.abs(damage.blur(images, 0.8).astype(float) - smooth).max() < 3
    assert damage.blur(images, 0) is images


def test_noise_and_hue() -> None:
    grey = np.full((4, 3, 32, 32), 128, np.uint8)
    np.testing.assert_allclose(damage.noise(grey, 0.1).std(), 25.5, rtol=0.03)
    np.testing.assert_array_equal(damage.shift_palette(grey, 77), grey)
    red = np.zeros((1, 3, 1, 1), np.uint8)
    red[0, 0] = 200
    assert damage.shift_palette(red, 120).ravel().tolist() in ([0, 200, 0], [0, 0, 200])
    np.testing.assert_array_equal(damage.shift_palette(red, 360), red)


def test_drop_modes() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    modes = np.arange(12) % 4
    assert damage.drop_modes(images, modes, 0).ravel().tolist() == list(range(12))
    kept = damage.drop_modes(images, modes, 2).ravel()
    assert set(kept % 4) == {2, 3}
    assert sorted(np.bincount(kept)[np.bincount(kept) > 0].tolist()) == [2] * 6
    with pytest.raises(ValueError, match="no image is left"):
        damage.drop_modes(images, modes, 4)


def damaged(kind: str, n: int, size: int) -> list[np.ndarray]:
    """Sets of n images with more and more damage of a kind, the first without."""
    damage_it, strengths = SERIES[kind]
    pool = 6 * n if kind == "modes" else n
    factors = toyfaces.sample_factors(pool, 77, portrait=True)
    numbers = mode_numbers(factors)
    sets = []
    for strength in (0, *strengths):
        if kind == "modes":
            kept = np.flatnonzero(numbers >= strength)[:n]
            sets.append(toyfaces.render(toyfaces.take(factors, kept), size).image)
        else:
            sets.append(damage_it(toyfaces.render(toyfaces.take(factors, np.arange(n)), size).image, strength))
    return sets


def in_order(values: list[float], sign: int = 1) -> bool:
    return all(sign * before < sign * after for before, after in pairwise(values))


@pytest.fixture(scope="module")
def small_judge(regressor: FactorRegressor) -> Judge:
    return judge_of_faces(regressor, toyfaces.dataset(1000, 16, quiet=True), 1000)


@pytest.mark.parametrize("kind", SERIES)
def test_fid_and_kid_put_damage_in_order(kind: str, small_judge: Judge) -> None:
    scores = [small_judge.quick(images) for images in damaged(kind, 1000, 16)]
    assert in_order([score["fid"] for score in scores]), scores
    assert in_order([score["kid"] for score in scores]), scores


@pytest.fixture(scope="module")
def real_judge() -> Judge:
    """The judge of 3,000 faces of 32 pixels, with the evaluator that `scratchgan evaluate` uses."""
    return judge_of_faces(open_evaluator(FactorRegressor(32)), toyfaces.dataset(10_000, 32, quiet=True), 3000)


@pytest.mark.slow
def test_two_sets_of_real_faces_are_near_the_floor(real_judge: Judge) -> None:
    fids = [
        real_judge.quick(toyfaces.dataset(3000, 32, seed=seed, quiet=True).pixels)["fid"] for seed in (201, 202, 203)
    ]
    floor = real_judge.floor()["fid"]
    assert all(0.8 * floor < fid < 1.25 * floor for fid in fids), (fids, floor)
    _, faintest, *_, worst = damaged("modes", 3000, 32)
    assert real_judge.quick(faintest)["fid"] > 1.25 * floor  # outside of where real sets lie
    assert real_judge.quick(worst)["fid"] > 4 * floor


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", SERIES)
def test_the_real_evaluator_puts_damage_in_order(kind: str, real_judge: Judge) -> None:
    scores = [real_judge.full(images) for images in damaged(kind, 3000, 32)]
    assert in_order([score["fid"] for score in scores])
    assert in_order([score["kid"] for score in scores])
    assert in_order([score["recall"] for score in scores], sign=-1)
    assert scores[-1]["coverage"] < scores[0]["coverage"] - 0.1
    assert scores[-1]["two_sample_accuracy"] > scores[0]["two_sample_accuracy"] + 0.2
    if kind == "modes":
        assert [score["modes"] for score in scores] == pytest.approx([48, 42, 36, 24, 12], abs=1)
        assert in_order([score["mode_total_variation"] for score in scores])
    else:
        assert scores[-1]["precision"] < scores[0]["precision"] - 0.3
