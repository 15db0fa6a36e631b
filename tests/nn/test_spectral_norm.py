"""Spectral normalisation: sigma against the singular values, its state, and gradients through it."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, nn, no_grad


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


LAYERS = [
    (lambda: nn.Linear(7, 5, generator=rng()), (1, 7), 0),
    (lambda: nn.Conv2d(3, 6, 3, generator=rng()), (1, 3, 3, 3), 0),
    (lambda: nn.ConvTranspose2d(3, 6, 3, generator=rng()), (1, 3, 3, 3), 1),
]


def matrix(layer, dim: int) -> np.ndarray:
    original = layer.parametrizations.weight.original.numpy()
    return np.moveaxis(original, dim, 0).reshape(original.shape[dim], -1).astype(np.float64)


@pytest.mark.parametrize(("make", "shape", "dim"), LAYERS)
def test_sigma_is_the_largest_singular_value(make, shape, dim):
    layer = nn.spectral_norm(make(), generator=rng(1))
    x = np.zeros(shape, np.float32)
    for _ in range(150):
        layer(x)
    sigma = np.linalg.svd(matrix(layer, dim), compute_uv=False)[0]
    original = layer.parametrizations.weight.original.numpy()
    np.testing.assert_allclose(layer.weight.numpy(), original / sigma, rtol=1e-5)


def test_the_names_are_those_of_pytorchs_parametrization():
    layer = nn.spectral_norm(nn.Conv2d(3, 6, 3, generator=rng()), generator=rng(1))
    assert {key: array.shape for key, array in layer.state_dict().items()} == {
        "bias": (6,),
        "parametrizations.weight.original": (6, 3, 3, 3),
        "parametrizations.weight.0._u": (6,),
        "parametrizations.weight.0._v": (27,),
    }
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]


def test_the_vectors_move_only_in_training_calls():
    layer = nn.spectral_norm(nn.Linear(40, 30, generator=rng()), generator=rng(1))
    norm = getattr(layer.parametrizations.weight, "0")
    x = np.ones((1, 40), np.float32)

    def vectors():
        return norm._u.copy(), norm._v.copy()

    before = vectors()
    _ = layer.weight
    layer.eval()(x)
    np.testing.assert_array_equal(vectors()[0], before[0])
    with no_grad():
        layer.train()(x)
    after = vectors()
    assert not np.array_equal(after[0], before[0])
    weight = layer.parametrizations.weight.original.numpy()
    u = weight @ before[1]
    u /= np.linalg.norm(u)
    v = weight.T @ u
    np.testing.assert_allclose(after[0], u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after[1], v / np.linalg.norm(v), rtol=1e-5, atol=1e-6)


def test_a_second_pass_leaves_the_graph_of_the_first_alone():
    """A discriminator sees real images, then generated ones, and only then comes the gradient."""
    layer = nn.spectral_norm(nn.Linear(4, 3, generator=rng()), generator=rng(1))
    x = rng(2).standard_normal((2, 4)).astype(np.float32)
    y = layer(x)
    frozen = nn.spectral_norm(nn.Linear(4, 3, generator=rng()), generator=rng(1)).eval()
    frozen.load_state_dict(layer.state_dict())  # u and v as they were in the first pass
    layer(2 * x)
    assert not np.array_equal(
        layer.state_dict()["parametrizations.weight.0._v"], frozen.state_dict()["parametrizations.weight.0._v"]
    )
    for g, expected in zip(
        grad(y.tanh().sum(), layer.parameters()), grad(frozen(x).tanh().sum(), frozen.parameters()), strict=True
    ):
        np.testing.assert_array_equal(g.numpy(), expected.numpy())


def test_gradient_through_sigma_against_finite_differences():
    layer = nn.spectral_norm(nn.Linear(4, 3, generator=rng()), generator=rng(1)).to(dtype=np.float64).eval()
    original = layer.parametrizations.weight.original
    x = Tensor(rng(2).standard_normal((5, 4)), requires_grad=True)

    def penalty():
        """A gradient penalty: it needs the second order."""
        (gx,) = grad(layer(x).tanh().sum(), x, create_graph=True)
        return ((gx * gx).sum() - 1) ** 2

    (gradient,) = grad(penalty(), original)
    start, numeric = original.data, np.zeros_like(original.data)
    for i in np.ndindex(start.shape):
        values = []
        for h in (1e-6, -1e-6):
            moved = start.copy()
            moved[i] += h
            original.data = moved
            values.append(penalty().item())
        numeric[i] = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(gradient.numpy(), numeric, rtol=1e-6, atol=1e-7)


def test_the_normalised_weight_does_not_feel_a_change_of_scale():
    layer = nn.spectral_norm(nn.Linear(6, 4, generator=rng()), generator=rng(1)).to(dtype=np.float64).eval()
    original = layer.parametrizations.weight.original
    (gradient,) = grad((layer.weight * Tensor(rng(3).standard_normal((4, 6)))).sum(), original)
    assert abs((gradient.numpy() * original.numpy()).sum()) < 1e-12


def test_state_dict_round_trip_continues_exactly():
    x = rng(2).standard_normal((3, 7)).astype(np.float32)
    a, b = (nn.spectral_norm(nn.Linear(7, 5, generator=rng(s)), generator=rng(s)) for s in (1, 2))
    for _ in range(3):
        a(x)
    b.load_state_dict(a.state_dict())
    for _ in range(3):
        np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())


def test_errors():
    layer = nn.spectral_norm(nn.Linear(3, 2, generator=rng()), generator=rng())
    with pytest.raises(ValueError, match="Linear has no parameter 'weight' of at least 2 axes, or it is normalised al"):
        nn.spectral_norm(layer, generator=rng())
    with pytest.raises(ValueError, match="Linear has no parameter 'bias'"):
        nn.spectral_norm(layer, "bias", generator=rng())
    with pytest.raises(ValueError, match="n_power_iterations must be at least 1, got 0"):
        nn.spectral_norm(nn.Linear(3, 2, generator=rng()), n_power_iterations=0, generator=rng())
