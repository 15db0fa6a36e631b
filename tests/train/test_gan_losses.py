"""Every loss against its formula in plain NumPy, the direction of its gradient, and the penalties' second order."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, nn
from scratchgan.train.losses import LOSSES, bce_discriminator, bce_generator, gradient_penalty, r1_penalty

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0.5, 2, (16, 1)), RNG.normal(-0.5, 2, (16, 1))


def s(x):
    return 1 / (1 + np.exp(-x))


# name: (D's loss, G's loss) as functions of the two batches of logits
FORMULAS = {
    "bce": (lambda r, f: -np.log(s(r)).mean() - np.log(1 - s(f)).mean(), lambda f: -np.log(s(f)).mean()),
    "bce-saturating": (
        lambda r, f: -np.log(s(r)).mean() - np.log(1 - s(f)).mean(),
        lambda f: np.log(1 - s(f)).mean(),
    ),
    "hinge": (lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), lambda f: -f.mean()),
    "lsgan": (lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, lambda f: ((f - 1) ** 2).mean() / 2),
    "wgan-gp": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_values(name):
    loss, (d_formula, g_formula) = LOSSES[name], FORMULAS[name]
    assert loss.discriminator(Tensor(REAL), Tensor(FAKE)).item() == pytest.approx(d_formula(REAL, FAKE), rel=1e-12)
    assert loss.generator(Tensor(FAKE)).item() == pytest.approx(g_formula(FAKE), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_d_pulls_the_logits_apart_and_g_pushes_its_own_up(name):
    real, fake = Tensor(np.zeros((4, 1)), requires_grad=True), Tensor(np.zeros((4, 1)), requires_grad=True)
    g_real, g_fake = grad(LOSSES[name].discriminator(real, fake), [real, fake])
    assert (g_real.data < 0).all()
    assert (g_fake.data >= 0).all()
    (g_generator,) = grad(LOSSES[name].generator(fake), fake)
    assert (g_generator.data < 0).all()


def test_the_saturating_loss_saturates_and_the_non_saturating_one_does_not():
    sure = Tensor(np.full((1, 1), -12.0), requires_grad=True)  # D is sure that the image is generated
    (saturating,) = grad(LOSSES["bce-saturating"].generator(sure), sure)
    (non_saturating,) = grad(bce_generator(sure), sure)
    assert abs(saturating.item()) < 1e-5
    assert non_saturating.item() == pytest.approx(-1, abs=1e-5)


def test_label_smoothing_moves_the_target_of_real_images_only():
    value = bce_discriminator(Tensor(REAL), Tensor(FAKE), smoothing=0.1).item()
    expected = (-0.9 * np.log(s(REAL)) - 0.1 * np.log(1 - s(REAL))).mean() - np.log(1 - s(FAKE)).mean()
    assert value == pytest.approx(expected, rel=1e-12)


def test_extreme_logits_stay_finite():
    huge = Tensor(np.array([[1e4], [-1e4]], np.float32))
    for loss in LOSSES.values():
        assert np.isfinite(loss.discriminator(huge, huge).item())
        assert np.isfinite(loss.generator(huge).item())


# Penalties: D is smooth, so that finite differences converge.


@pytest.fixture
def critic():
    rng = np.random.default_rng(1)
    layers = (nn.Conv2d(2, 3, 3, stride=2, padding=1, generator=rng), nn.Tanh(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(3 * 2 * 2, 1, generator=rng)).to(dtype=np.float64)


def images(seed):
    return np.random.default_rng(seed).standard_normal((3, 2, 4, 4))


def squared_norms(critic, x, h=1e-5):
    """|grad D(x)|^2 of each image by central differences, one pixel at a time."""
    total = np.zeros(len(x))
    for index in np.ndindex(x.shape[1:]):
        step = np.zeros_like(x)
        step[(slice(None), *index)] = h
        slope = (critic(Tensor(x + step)).data - critic(Tensor(x - step)).data)[:, 0] / (2 * h)
        total += slope**2
    return total


def r1_value(critic):
    x = Tensor(images(2), requires_grad=True)
    return r1_penalty(critic(x), x)


def gp_value(critic):
    return gradient_penalty(critic, images(2), images(3), np.random.default_rng(4))


def test_r1_value(critic):
    assert r1_value(critic).item() == pytest.approx(squared_norms(critic, images(2)).mean() / 2, rel=1e-7)


def test_gradient_penalty_value(critic):
    e = np.random.default_rng(4).random((3, 1, 1, 1))
    norms = np.sqrt(squared_norms(critic, e * images(2) + (1 - e) * images(3)))
    assert gp_value(critic).item() == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-7)


@pytest.mark.parametrize("value", [r1_value, gp_value])
def test_the_gradient_of_a_penalty_by_the_weights(critic, value):
    h = 1e-5
    parameters = critic.parameters()[:-1]  # the last bias has no influence on a gradient
    for parameter, analytic in zip(parameters, grad(value(critic), parameters), strict=True):
        start = parameter.data
        numeric = np.zeros_like(start)
        for index in np.ndindex(start.shape):
            sides = []
            for sign in (1, -1):
                moved = start.copy()
                moved[index] += sign * h
                parameter.data = moved
                sides.append(value(critic).item())
            numeric[index] = (sides[0] - sides[1]) / (2 * h)
        parameter.data = start
        np.testing.assert_allclose(analytic.data, numeric, rtol=1e-6, atol=1e-9)
