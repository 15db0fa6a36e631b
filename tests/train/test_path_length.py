"""Path length: against the whole Jacobian of a map that is linear, and its running mean."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, ops
from scratchgan.train.path_length import PathLength, path_lengths


def rng(seed=0):
    return np.random.default_rng(seed)


def linear_pictures(ws, matrix):
    """Pictures (N,1,2,3) that are a matrix (6,w) times the mean over layers of ws (N,layers,w)."""
    return ops.reshape(ops.linear(ops.mean(ws, 1), matrix), (len(ws), 1, 2, 3))


def test_the_length_of_a_linear_map():
    matrix = rng().standard_normal((6, 4))
    ws = Tensor(rng(1).standard_normal((3, 2, 4)), requires_grad=True)
    lengths = path_lengths(linear_pictures(ws, matrix), ws, rng(2)).data
    y = rng(2).standard_normal((3, 1, 2, 3), np.float32).astype(np.float64).reshape(3, 6) / np.sqrt(6)
    # Each of the two layers has half of the derivative, and the mean is over layers.
    np.testing.assert_allclose(lengths, np.linalg.norm(y @ matrix, axis=1) / 2, rtol=1e-6)


def test_the_penalty_and_its_mean():
    ws = Tensor(rng(1).standard_normal((64, 2, 4)), requires_grad=True)
    matrix = Tensor(rng().standard_normal((6, 4)), requires_grad=True)
    lengths = path_lengths(linear_pictures(ws, matrix), ws, rng(2)).data
    penalty = PathLength(decay=0.9).to(dtype=np.float64)
    first = penalty(linear_pictures(ws, matrix), ws, rng(2))
    np.testing.assert_allclose(penalty.mean, 0.1 * lengths.mean(), rtol=1e-6)
    assert first.item() == pytest.approx(((lengths - 0.1 * lengths.mean()) ** 2).mean())
    (gradient,) = grad(first, matrix)  # second order, and the mean is a constant in it
    step, mean = 1e-6, Tensor(penalty.mean)
    ends = []
    for sign in (1, -1):
        moved = Tensor(matrix.data + sign * step * np.eye(6, 4))
        moved_lengths = path_lengths(linear_pictures(ws, moved), ws, rng(2))
        ends.append(ops.mean((moved_lengths - mean) ** 2).item())
    assert (gradient.data * np.eye(6, 4)).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_the_mean_goes_with_the_state():
    penalty, other = PathLength(), PathLength()
    ws = Tensor(rng(1).standard_normal((3, 2, 4)).astype(np.float32), requires_grad=True)
    matrix = rng().standard_normal((6, 4)).astype(np.float32)
    for seed in range(3):
        penalty(linear_pictures(ws, matrix), ws, rng(seed))
    other.load_state_dict(penalty.state_dict())
    a, b = (p(linear_pictures(ws, matrix), ws, rng(7)).item() for p in (penalty, other))
    assert a == b
    assert penalty.mean == other.mean != 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got 1"):
        PathLength(1)
    ws = Tensor(np.zeros((3, 4), np.float32), requires_grad=True)
    with pytest.raises(ValueError, match=r"ws must be \(3,layers,w\), a row for each image, got \(3, 4\)"):
        path_lengths(Tensor(np.zeros((3, 1, 2, 2), np.float32)), ws, rng())
