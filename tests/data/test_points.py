"""Points in the plane: where they lie, and that modes and quality are counted exactly."""

import numpy as np
import pytest

from scratchgan.data import POINT_SETS, DataError, Loader, point_dataset


@pytest.mark.parametrize("name", POINT_SETS)
def test_real_points_find_every_mode(name):
    data = point_dataset(name, 20_000, seed=4)
    assert data.shape == (2,)
    assert data.points.dtype == np.float32
    assert np.abs(data.points).max() < 1.15
    score = data.score(data.points)
    assert score.found == score.modes == len(data.classes)
    # Within 3 sigma of a point lies 1 - exp(-9/2) of a Gaussian in the plane; of a line, a little more.
    expected = 1 - np.exp(-4.5)
    assert score.quality == pytest.approx(expected, abs=0.003) or (name == "swiss-roll" and score.quality > 0.99)
    share = np.bincount(data.labels) / len(data)
    assert np.abs(share * score.modes - 1).max() < 0.15
    assert str(score) == f"{score.modes} of {score.modes} modes, {score.quality:.1%} of points within 3 sigma"


def test_the_ring_and_the_grid_are_where_they_are_said_to_be():
    ring, grid = point_dataset("ring8", 8_000), point_dataset("grid25", 25_000)
    centres = np.stack([ring.points[ring.labels == i].mean(axis=0) for i in range(8)])
    angle = np.arange(8) * np.pi / 4
    assert np.allclose(centres, np.stack([np.cos(angle), np.sin(angle)], axis=1), atol=0.002)
    assert ring.points[ring.labels == 3].std(axis=0) == pytest.approx(0.01, rel=0.1)
    middle = grid.points[grid.labels == 12]
    assert np.allclose(middle.mean(axis=0), 0, atol=0.002)
    assert middle.std(axis=0) == pytest.approx(0.0125, rel=0.1)


def test_a_score_counts_what_is_there():
    ring = point_dataset("ring8", 10)
    centre = np.array([[1.0, 0.0]], np.float32)
    inside, outside = centre + np.float32([0.0299, 0]), centre + np.float32([0.0301, 0])
    score = ring.score(np.concatenate([np.repeat(inside, 30, axis=0), np.repeat(outside, 10, axis=0)]))
    assert (score.found, score.quality, score.counts) == (1, 0.75, (30, 0, 0, 0, 0, 0, 0, 0))
    few = ring.score(np.concatenate([np.repeat(centre, 799, axis=0), [[-1.0, 0.0]] * 1]))
    assert (few.found, few.counts[4]) == (1, 1)  # less than a tenth of a fair share
    enough = ring.score(np.concatenate([np.repeat(centre, 790, axis=0), [[-1.0, 0.0]] * 10]))
    assert (enough.found, enough.counts[4]) == (2, 10)


def test_bad_points_and_names():
    ring = point_dataset("ring8", 10)
    with pytest.raises(ValueError, match=r"\(N,2\) with N > 0, got \(3, 3\)"):
        ring.score(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="1 of the points are not finite"):
        ring.score(np.array([[0, 0], [np.nan, 0]], np.float32))
    with pytest.raises(DataError, match="'ring9'; there are: ring8, grid25, swiss-roll"):
        point_dataset("ring9")
    with pytest.raises(DataError, match="n=0 points"):
        point_dataset("ring8", 0)


def test_points_are_the_same_for_a_seed_and_load_in_batches():
    one, other = point_dataset("swiss-roll", 100, seed=1), point_dataset("swiss-roll", 100, seed=2)
    assert one.fingerprint() == point_dataset("swiss-roll", 100, seed=1).fingerprint() != other.fingerprint()
    indices, points, labels = next(Loader(one, 32, seed=0)).values()
    assert np.array_equal(points, one.points[indices])
    assert np.array_equal(labels, one.labels[indices])
