"""Initialisers: the distributions of the papers, and that they draw only from their generator."""

import math

import numpy as np
import pytest

from scratchgan import nn
from scratchgan.nn import init


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(np.full(shape, np.nan, np.float32))


def test_fans_of_a_convolution():
    assert init.fans(weight(8, 4, 3, 5)) == (60, 120)
    with pytest.raises(ValueError, match=r"at least 2 axes, got \(8,\)"):
        init.fans(weight(8))


@pytest.mark.parametrize(
    ("initialise", "std"),
    [
        (lambda p, g: init.normal_(p, 0.0, 0.5, generator=g), 0.5),
        (lambda p, g: init.kaiming_normal_(p, generator=g), math.sqrt(2 / 360)),
        (lambda p, g: init.kaiming_uniform_(p, generator=g), math.sqrt(2 / 360)),
        (lambda p, g: init.kaiming_uniform_(p, math.sqrt(5), generator=g), math.sqrt(1 / 3 / 360)),
        (lambda p, g: init.kaiming_normal_(p, 0.2, "fan_out", generator=g), math.sqrt(2 / 1.04 / 450)),
        (lambda p, g: init.kaiming_normal_(p, nonlinearity="tanh", generator=g), 5 / 3 / math.sqrt(360)),
        (lambda p, g: init.xavier_uniform_(p, generator=g), math.sqrt(2 / 810)),
        (lambda p, g: init.xavier_normal_(p, 2.0, generator=g), 2 * math.sqrt(2 / 810)),
    ],
)
def test_standard_deviations(initialise, std):
    p, q = weight(50, 40, 3, 3), weight(50, 40, 3, 3)
    assert initialise(p, rng()) is p
    initialise(q, rng())
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert p.dtype == np.float32
    assert p.numpy().std() == pytest.approx(std, rel=0.02)
    assert abs(p.numpy().mean()) < 0.03 * std


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 2, 3, 3)])
def test_orthogonal(shape):
    p = init.orthogonal_(weight(*shape), 3.0, generator=rng())
    matrix = p.numpy().reshape(shape[0], -1).astype(np.float64)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(matrix @ matrix.T, 9 * np.eye(len(matrix)), atol=1e-4)


def test_constants():
    assert init.zeros_(weight(3)).tolist() == [0, 0, 0]
    assert init.ones_(weight(3)).tolist() == [1, 1, 1]
    assert init.constant_(weight(2), 0.25).tolist() == [0.25, 0.25]


def test_dcgan():
    net = nn.Sequential(
        nn.Linear(50, 160, generator=rng()),
        nn.Unflatten(1, (40, 2, 2)),
        nn.BatchNorm2d(40),
        nn.spectral_norm(nn.Conv2d(40, 30, 3, generator=rng()), generator=rng()),
    )
    init.dcgan_(net, generator=rng(3))
    for name, p in net.named_parameters():
        values = p.numpy()
        if name.endswith("bias"):
            assert not values.any(), name
        elif p.ndim == 1:
            assert values.mean() == pytest.approx(1, abs=0.01), name
            assert 0.01 < values.std() < 0.03, name
        else:
            assert abs(values.mean()) < 0.001, name
            assert values.std() == pytest.approx(0.02, rel=0.05), name


def test_errors():
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(weight(2, 2), mode="fan", generator=rng())
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        init.calculate_gain("swish")
    layer = nn.spectral_norm(nn.Linear(2, 2, generator=rng()), generator=rng())
    with pytest.raises(TypeError, match="expected a Parameter, got a Tensor; initialise a weight before spectral_norm"):
        init.zeros_(layer.weight)
