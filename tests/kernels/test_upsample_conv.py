"""Upsampling and convolution in one, against the two steps with the large image in between, to the bit."""

import re

import numpy as np
import pytest
from layouts import assert_any_layout, assert_same_bits

from scratchgan import kernels
from scratchgan.kernels.upsample_conv import reference

Pair = tuple[int, int]


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float32)


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def check(x: np.ndarray, outputs: int, kernel: Pair, scale: Pair, padding: Pair) -> None:
    rng = np.random.default_rng(1)
    w = rng.integers(-4, 5, (outputs, x.shape[1], *kernel)).astype(x.dtype)
    bias = rng.integers(-4, 5, outputs).astype(x.dtype)
    y = kernels.upsample_conv2d(x, w, bias, scale=scale, padding=padding)
    assert_equal(y, reference.upsample_conv2d(x, w, scale, padding) + bias[:, None, None])
    activated = kernels.upsample_conv2d(x, w, bias, scale=scale, padding=padding, slope=0.25)
    assert_equal(activated, np.where(y > 0, y, y / 4))
    gy = rng.integers(-4, 5, y.shape).astype(x.dtype)
    gx = kernels.upsample_conv2d_input_grad(gy, w, scale=scale, padding=padding)
    assert_equal(gx, reference.upsample_conv2d_input_grad(gy, w, scale, padding))
    gw = kernels.upsample_conv2d_weight_grad(x, gy, kernel, scale=scale, padding=padding)
    assert_equal(gw, reference.upsample_conv2d_weight_grad(x, gy, kernel, scale, padding))
    assert np.vdot(y - bias[:, None, None], gy) == np.vdot(x, gx) == np.vdot(w, gw)


@pytest.mark.parametrize("seed", range(30))
def test_random_geometries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        kernel, scale, padding, size = (
            tuple(int(v) for v in rng.integers(low, high + 1, 2)) for low, high in ((1, 5), (1, 4), (0, 4), (1, 5))
        )
        if all(n * s + 2 * p >= k for n, s, p, k in zip(size, scale, padding, kernel, strict=True)):
            break
    channels, outputs = int(rng.integers(1, 10)), int(rng.integers(1, 16))
    x = integers(rng, int(rng.integers(1, 4)), channels, *size)
    check(x.astype(np.float64) if seed % 4 == 0 else x, outputs, kernel, scale, padding)


@pytest.mark.parametrize("channels", [1, 40])
@pytest.mark.parametrize("outputs", [1, 3, 12, 17])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 5), (3, 33)])
def test_the_usual_layer(channels: int, outputs: int, size: Pair) -> None:
    """Scale 2, kernel 3, padding 1, of sizes about those of a register tile; thin ones take another path."""
    check(integers(np.random.default_rng(2), 3, channels, *size), outputs, (3, 3), (2, 2), (1, 1))


def test_is_the_composition_of_the_two_operators() -> None:
    rng = np.random.default_rng(3)
    x, w, bias = integers(rng, 2, 20, 9, 8), integers(rng, 30, 20, 3, 3), integers(rng, 30)
    large = kernels.upsample_nearest2d(x, 2)
    assert_equal(kernels.upsample_conv2d(x, w, bias), kernels.conv2d(large, w, bias, padding=1))
    gy = integers(rng, 2, 30, 18, 16)
    of_large = kernels.conv2d_input_grad(gy, w, (18, 16), padding=1)
    assert_equal(kernels.upsample_conv2d_input_grad(gy, w), kernels.upsample_nearest2d_grad(of_large, 2))
    assert_equal(
        kernels.upsample_conv2d_weight_grad(x, gy, (3, 3)),
        kernels.conv2d_weight_grad(large, gy, (3, 3), padding=1),
    )


def test_layouts_threads_and_out() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((5, 20, 9, 8), np.float32), rng.standard_normal((30, 20, 3, 3), np.float32)
    gy = rng.standard_normal((5, 30, 18, 16), np.float32)
    for operator, arrays in (
        (kernels.upsample_conv2d, (x, w)),
        (kernels.upsample_conv2d_input_grad, (gy, w)),
        (lambda x, gy, **out: kernels.upsample_conv2d_weight_grad(x, gy, (3, 3), **out), (x, gy)),
    ):
        assert_any_layout(operator, *arrays)
        assert_same_bits(lambda operator=operator, arrays=arrays: operator(*arrays))
        expected = operator(*arrays)
        guarded = np.full(expected.size + 128, 77, np.float32)
        out = guarded[64:-64].reshape(expected.shape)
        assert operator(*arrays, out=out) is out
        assert_equal(out, expected)
        assert (guarded[:64] == 77).all()
        assert (guarded[-64:] == 77).all()


@pytest.mark.parametrize("outputs", [2, 20])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_go_where_they_belong(bad: float, outputs: int) -> None:
    rng = np.random.default_rng(5)
    w = rng.integers(1, 5, (outputs, 9, 3, 3)).astype(np.float32)  # no sum of weights is 0
    for place in ((0, 0), (3, 2), (1, 4)):
        x = integers(rng, 2, 9, 4, 5)
        x[1, 4, *place] = bad
        assert_equal(kernels.upsample_conv2d(x, w), reference.upsample_conv2d(x, w, (2, 2), (1, 1)))
        gy = integers(rng, 2, outputs, 8, 10)
        gy[1, 1, *place] = bad
        assert_equal(
            kernels.upsample_conv2d_input_grad(gy, w), reference.upsample_conv2d_input_grad(gy, w, (2, 2), (1, 1))
        )


def test_nothing_to_sum_over() -> None:
    bias, w = np.arange(4, dtype=np.float32), np.ones((4, 0, 3, 3), np.float32)
    y = kernels.upsample_conv2d(np.ones((2, 0, 5, 4), np.float32), w, bias)
    assert_equal(y, np.broadcast_to(bias[:, None, None], (2, 4, 10, 8)))
    assert kernels.upsample_conv2d_input_grad(np.ones((2, 4, 10, 8), np.float32), w).shape == (2, 0, 5, 4)
    no_images = kernels.upsample_conv2d_weight_grad(
        np.ones((0, 3, 5, 4), np.float32), np.ones((0, 4, 10, 8), np.float32), (3, 3)
    )
    assert_equal(no_images, np.zeros((4, 3, 3, 3), np.float32))


X, W, GY = np.ones((2, 3, 6, 5)), np.ones((4, 3, 3, 3)), np.ones((2, 4, 12, 10))
MISTAKES = {
    "channels": (
        lambda: kernels.upsample_conv2d(X, np.ones((4, 64, 3, 3))),
        "upsample_conv2d: w.shape[1]=64 but x.shape[1]=3 (x is N,C,H,W; w is O,C,kH,kW)",
    ),
    "bias": (lambda: kernels.upsample_conv2d(X, W, np.ones(3)), "upsample_conv2d: bias.shape=(3,)"),
    "axes": (lambda: kernels.upsample_conv2d(X[0], W), "upsample_conv2d: x must have 4 axes"),
    "scale": (lambda: kernels.upsample_conv2d(X, W, scale=0), "upsample_conv2d: scale must be at least 1, got 0"),
    "kernel too large": (
        lambda: kernels.upsample_conv2d(X, np.ones((4, 3, 3, 14))),
        "upsample_conv2d: the kernel 3x14 is larger than the upsampled and padded input, 14x12",
    ),
    "size of gy": (
        lambda: kernels.upsample_conv2d_input_grad(GY[:, :, :-1], W),
        "upsample_conv2d_input_grad: gy is 11x10, so with kernel (3, 3) and padding (1, 1) the upsampled input was "
        "11x10, which is not a multiple of scale=(2, 2)",
    ),
    "channels of gy": (
        lambda: kernels.upsample_conv2d_input_grad(GY[:, :3], W),
        "upsample_conv2d_input_grad: gy.shape[1]=3 but w.shape[0]=4",
    ),
    "gy and x": (
        lambda: kernels.upsample_conv2d_weight_grad(X, GY, (5, 3)),
        "upsample_conv2d_weight_grad: gy is 12x10, but x 6x5 with scale (2, 2), kernel (5, 3) and padding (1, 1) "
        "gives an output of 10x10",
    ),
    "images": (
        lambda: kernels.upsample_conv2d_weight_grad(X, GY[:1], (3, 3)),
        "upsample_conv2d_weight_grad: gy.shape[0]=1 but x.shape[0]=2",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name: str) -> None:
    call, message = MISTAKES[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_mixed_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="upsample_conv2d: w is float32 but x is float64"):
        kernels.upsample_conv2d(X, W.astype(np.float32))
