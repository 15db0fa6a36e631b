"""Augmentation: what each transformation does, that it is linear and exact where it can be, and how p is found."""

import json

import numpy as np
import pytest

from scratchgan import Tensor, grad, ops
from scratchgan.train.augment import KINDS, Augment, Strength, mean_sign, mirror, sampling_grid


def rng(seed=0):
    return np.random.default_rng(seed)


def pictures(n=4, channels=3, size=8, seed=0, dtype=np.float64):
    return rng(seed).uniform(-1, 1, (n, channels, size, size)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_happens_at_p_0(channels, dtype):
    x = pictures(channels=channels, size=7, dtype=dtype)
    y = Augment(rng(), p=0.0)(Tensor(x)).data
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6)


def test_blit_moves_whole_pixels():
    """Every result is one of the 8 ways to lay a square, moved by at most one pixel, amid its mirror images."""
    x = pictures(64, 1)
    y = Augment(rng(), ("blit",), 1.0)(Tensor(x)).data
    seen = set()
    for before, after in zip(x[:, 0], y[:, 0], strict=True):
        found = []
        for flipped in (False, True):
            for quarters in range(4):
                laid = np.rot90(before[:, ::-1] if flipped else before, quarters)
                around = np.pad(laid, 1, mode="symmetric")
                found += [
                    (flipped, quarters, i, j)
                    for i in range(3)
                    for j in range(3)
                    if np.array_equal(around[i : i + 8, j : j + 8], after)
                ]
        assert len(found) == 1
        seen.add(found[0])
    assert len({s[:2] for s in seen}) == 8
    assert len({s[2:] for s in seen}) == 9


def test_where_pixels_come_from():
    """In the units of grid_sample: -1 and 1 are the picture's edges, and what is beyond lies outside."""
    maps = np.eye(3)[None].copy()
    maps[0, 0, 2] = 3  # from three pixels to the right
    np.testing.assert_array_equal(sampling_grid(maps, 4)[0, 0, :, 0], [0.75, 1.25, 1.75, 2.25])
    np.testing.assert_array_equal(sampling_grid(maps, 4)[0, :, 0, 1], [-0.75, -0.25, 0.25, 0.75])


def test_turning_a_ramp_gives_the_turned_ramp():
    """Interpolation is exact on what is linear, away from the border."""
    size = 16
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="xy")) - (size - 1) / 2
    ramp = np.broadcast_to(grid[:1] * 0.3 + grid[1:] * 0.1, (5, 1, size, size)).copy()
    augment = Augment(rng(3), ("geometric",), 1.0)
    maps = Augment(rng(3), ("geometric",), 1.0)._geometry(5, size)
    result = augment(Tensor(ramp)).data
    places = np.einsum("nij,jhw->nihw", maps, np.concatenate([grid, np.ones((1, size, size))]))
    expected = places[:, 0] * 0.3 + places[:, 1] * 0.1
    inside = (np.abs(places[:, :2]) < (size - 1) / 2).all(1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(result[:, 0][inside], expected[inside], atol=1e-9)
    angle = np.arctan2(maps[:, 1, 0] - maps[:, 0, 1], maps[:, 0, 0] + maps[:, 1, 1])
    assert len(np.unique(np.round(angle, 3))) == 5


def test_color_keeps_what_it_must():
    x = pictures(200)
    y = Augment(rng(1), ("color",), 1.0)(Tensor(x)).data
    for before, after in zip(x, y, strict=True):
        # One affine map of three channels, the same at all pixels.
        places = np.concatenate([before.reshape(3, -1), np.ones((1, 64))])
        found, residual, rank, _ = np.linalg.lstsq(places.T, after.reshape(3, -1).T, rcond=None)
        assert rank == 4
        assert (residual < 1e-20).all()
        matrix = found[:3].T
        grey = matrix @ np.ones(3)
        np.testing.assert_allclose(grey, grey[0], rtol=1e-9)  # grey stays grey, as dark or as light
        np.testing.assert_allclose(found[3], found[3][0], rtol=1e-9)
        across = matrix - grey[0] * np.ones((3, 3)) / 3  # colours are turned and scaled: a multiple of a rotation
        gram = across @ across.T
        np.testing.assert_allclose(gram, gram[0, 0] * 1.5 * (np.eye(3) - 1 / 3), atol=1e-9)
    # Grey pictures get the part of it that they have.
    grey = Augment(rng(1), ("color",), 1.0)(Tensor(x[:, :1])).data
    colored = Augment(rng(1), ("color",), 1.0)(Tensor(np.repeat(x[:, :1], 3, 1))).data
    np.testing.assert_allclose(np.repeat(grey, 3, 1), colored, rtol=1e-9, atol=1e-12)


#: The probability that pictures of 8 pixels stay as they are, by p: each factor is one transformation.
UNTOUCHED = {
    # A mirror image is one of two choices, a turn by 90, 180 or 270 degrees three of four, a move by 0 pixels half.
    "blit": lambda p: (1 - p / 2) * (1 - p * 3 / 4) * (1 - p / 2) ** 2,
    # Scale, both turns together, stretching, and two moves.
    "geometric": lambda p: (1 - p) ** 5,
    # Brightness, contrast, luma (one of two choices), hue, saturation.
    "color": lambda p: (1 - p) ** 4 * (1 - p / 2),
}


def maps_of(augment, kind, n):
    """How far each picture's map is from the identity."""
    maps = augment._color(n, 3) if kind == "color" else augment._geometry(n, 8)
    return np.abs(maps - np.eye(3, maps.shape[2])).max((1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_transformation_is_applied_with_probability_p(kind):
    """No single result of a transformation is as frequent as none at all, for p up to 0.8: so it does not leak."""
    for p in (0.0, 0.3, 0.8):
        share = (maps_of(Augment(rng(2), (kind,), p), kind, 8000) < 1e-12).mean()
        assert share == pytest.approx(UNTOUCHED[kind](p), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_p_does_not_change_how_many_numbers_are_drawn(kind):
    places = []
    for p in (0.0, 0.5, 1.0):
        augment = Augment(rng(2), (kind,), p)
        maps_of(augment, kind, 16)
        places.append(augment.rng.random())
    assert places[0] == places[1] == places[2]


def test_gradients_pass_through_to_any_order():
    """The result is affine in the pictures, so <A x, y> = <x, A^T y> says all; A^T is given by the gradient."""
    n, size = 3, 6

    def augmented(x):
        return Augment(rng(4), p=0.7)(x)

    nothing = augmented(Tensor(np.zeros((n, 3, size, size)))).data
    x, y = (pictures(n, size=size, seed=seed) for seed in (1, 2))
    leaf, cotangent = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)
    result = augmented(leaf)
    (back,) = grad(ops.sum(result * cotangent), leaf, create_graph=True)
    assert ((result.data - nothing) * y).sum() == pytest.approx((x * back.data).sum())
    (again,) = grad(ops.sum(back * x), cotangent)  # the gradient of A^T is A
    np.testing.assert_allclose(again.data, result.data - nothing, atol=1e-12)


def test_the_same_seed_draws_the_same():
    x = Tensor(pictures())
    a, b, c = (Augment(rng(seed), p=0.6) for seed in (1, 1, 2))
    first, second = a(x).data, b(x).data
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, a(x).data)  # and anew in each call
    assert not np.array_equal(first, c(x).data)


def test_bad_input():
    for call, message in [
        (lambda: Augment(rng(), ("blur",)), r"kinds must be some of blit, geometric, color, got \('blur',\)"),
        (lambda: Augment(rng(), ()), "kinds must be some of"),
        (lambda: Augment(rng(), p=1.5), r"p must be in \[0, 1\], got 1.5"),
        (lambda: Augment(rng())(Tensor(np.zeros((2, 2, 8, 8)))), r"images must be \(N,1,S,S\) or \(N,3,S,S\)"),
        (lambda: Augment(rng())(Tensor(np.zeros((2, 3, 8, 9)))), r"got \(2, 3, 8, 9\)"),
        (lambda: Strength(p=0.9), "0 <= p <= most <= 1, got p=0.9, most=0.8"),
        (lambda: Strength(images=0), "images and every must be at least 1, got 0 and 4"),
        (lambda: Strength().load_state_dict({"p": 1}), "the state is not a strength's, it has p"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_strength_follows_whether_d_overfits():
    strength = Strength(target=0.6, images=1000, every=2)
    assert strength.update(0.9, 32) == 0.0  # not yet
    assert strength.update(0.5, 32) == pytest.approx(0.064)  # the mean, 0.7, is above the target
    assert strength.update(0.5, 32) == pytest.approx(0.064)
    assert strength.update(0.6, 32) == 0.0  # 0.55: down, but not below 0
    for _ in range(100):
        strength.update(1.0, 32)
    assert strength.p == 0.8  # and not above this


def test_strength_goes_on_from_its_state():
    one, other = Strength(images=500), Strength(images=500)
    signs = rng().uniform(0.4, 1, 30)
    for sign in signs[:13]:
        one.update(sign, 8)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert [one.update(s, 8) for s in signs[13:]] == [other.update(s, 8) for s in signs[13:]]


def test_the_sign_of_the_logits():
    assert float(mean_sign(Tensor(np.array([[2.0], [0.1], [-3.0], [1.0]])))) == 0.5


def test_mirror():
    x = pictures(500, dtype=np.float32)
    y = mirror(x, rng())
    assert y.dtype == np.float32
    turned = np.array([np.array_equal(a, b[..., ::-1]) for a, b in zip(y, x, strict=True)])
    assert abs(turned.mean() - 0.5) < 0.08
    np.testing.assert_array_equal(y[~turned], x[~turned])
