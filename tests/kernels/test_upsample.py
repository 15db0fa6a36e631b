"""Nearest and bilinear upsampling against their definitions, and their gradients as exact transposes."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits, eps, integers

from scratchgan import kernels
from scratchgan.kernels.upsample import reference

PAIRS = [("upsample_nearest2d", "upsample_nearest2d_grad"), ("upsample_bilinear2d", "upsample_bilinear2d_grad")]
SCALES = [(1, 1), (2, 2), (2, 4), (4, 1), (3, 2), (5, 3)]
SHAPES = [(2, 3, 5, 7), (1, 2, 1, 1), (1, 1, 4, 17), (2, 1, 3, 1)]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
pairs = pytest.mark.parametrize(("forward", "gradient"), PAIRS)


def assert_close(actual: np.ndarray, expected: np.ndarray, exact: bool) -> None:
    assert actual.dtype == expected.dtype
    if exact:
        np.testing.assert_array_equal(actual, expected)
    else:
        # up to 5 x 3 = 15 values of at most 8, and as many roundings of their sum
        np.testing.assert_allclose(actual, expected, rtol=0, atol=15 * 15 * 8 / 2 * eps(actual.dtype))


@dtypes
@pairs
@pytest.mark.parametrize("scale", SCALES)
def test_values(forward: str, gradient: str, scale: tuple[int, int], dtype: type) -> None:
    dyadic = all(s & (s - 1) == 0 for s in scale)  # then all the weights are sums of powers of two
    exact = dyadic or "nearest" in forward
    for shape in SHAPES:
        x = integers(1, shape, dtype)
        y = getattr(kernels, forward)(x, scale)
        assert_close(y, getattr(reference, forward)(x, scale), exact)
        gy = integers(2, y.shape, dtype)
        assert_close(getattr(kernels, gradient)(gy, scale), getattr(reference, gradient)(gy, scale), exact)


@dtypes
@pairs
@pytest.mark.parametrize("scale", [(2, 2), (4, 2)])
def test_the_gradient_is_the_exact_transpose(forward: str, gradient: str, scale: tuple[int, int], dtype: type) -> None:
    x = integers(3, (2, 3, 6, 5), dtype)
    y = getattr(kernels, forward)(x, scale)
    gy = integers(4, y.shape, dtype)
    assert np.vdot(y, gy) == np.vdot(x, getattr(kernels, gradient)(gy, scale))


@pairs
@pytest.mark.parametrize("scale", [2, 3])
def test_nan_and_inf_stay_where_the_reference_has_them(forward: str, gradient: str, scale: int) -> None:
    x = integers(5, (1, 1, 6, 7), np.float32)
    x[0, 0, 1, 2], x[0, 0, 4, 0], x[0, 0, 3, 6] = np.nan, np.inf, -np.inf
    y = getattr(kernels, forward)(x, scale)
    np.testing.assert_allclose(y, getattr(reference, forward)(x, (scale, scale)), rtol=1e-6, atol=1e-5)
    gy = integers(6, y.shape, np.float32)
    gy[0, 0, 5, 5], gy[0, 0, 0, 0] = np.nan, np.inf
    gx = getattr(kernels, gradient)(gy, scale)
    np.testing.assert_allclose(gx, getattr(reference, gradient)(gy, (scale, scale)), rtol=1e-6, atol=1e-5)


@pairs
def test_memory(forward: str, gradient: str) -> None:
    x, gy = integers(7, (2, 3, 4, 5), np.float32), integers(8, (2, 3, 8, 10), np.float32)
    assert_any_layout(lambda x: getattr(kernels, forward)(x, 2), x)
    assert_any_layout(lambda gy: getattr(kernels, gradient)(gy, 2), gy)
    for name, array in ((forward, x), (gradient, gy)):
        operator = getattr(kernels, name)
        out = np.full_like(operator(array, 2), np.nan)
        assert operator(array, 2, out=out) is out
        np.testing.assert_array_equal(out, operator(array, 2))
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)):
        empty = np.empty(shape, np.float32)
        assert getattr(kernels, forward)(empty, 2).shape == (*shape[:2], 2 * shape[2], 2 * shape[3])
        assert getattr(kernels, gradient)(empty, 2).shape == (*shape[:2], shape[2] // 2, shape[3] // 2)


@pairs
def test_the_same_bits_every_time(forward: str, gradient: str) -> None:
    x = np.random.default_rng(9).standard_normal(LARGE, np.float32)
    assert_same_bits(lambda: getattr(kernels, forward)(x, 2))
    assert_same_bits(lambda: getattr(kernels, gradient)(x, 2))


@pairs
def test_errors(forward: str, gradient: str) -> None:
    x = np.zeros((1, 1, 3, 4), np.float32)
    with pytest.raises(ValueError, match=f"{forward}: scale must be at least 1, got 0"):
        getattr(kernels, forward)(x, 0)
    with pytest.raises(ValueError, match=r"x must have 4 axes \(N,C,H,W\), got shape \(3, 4\)"):
        getattr(kernels, forward)(x[0, 0], 2)
    with pytest.raises(ValueError, match=rf"{gradient}: gy is 3x4, which is not a multiple of scale=\(2, 2\)"):
        getattr(kernels, gradient)(x, 2)
    with pytest.raises(ValueError, match=rf"{forward}: out must be float32 \(1, 1, 6, 8\), got float32 \(1, 1, 3, 4\)"):
        getattr(kernels, forward)(x, 2, out=np.zeros_like(x))
    with pytest.raises(ValueError, match=f"{forward}: out shares memory"):
        getattr(kernels, forward)(x, 1, out=x)


@pytest.mark.peer
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_against_pytorch(scale: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(10).standard_normal((2, 3, 5, 7))
    for mode, forward, gradient in (("nearest", *PAIRS[0]), ("bilinear", *PAIRS[1])):
        peer = torch.from_numpy(x).requires_grad_()
        y = torch.nn.functional.interpolate(peer, scale_factor=scale, mode=mode)
        np.testing.assert_allclose(getattr(kernels, forward)(x, scale), y.detach().numpy(), atol=1e-14)
        gy = np.random.default_rng(11).standard_normal(y.shape)
        y.backward(torch.from_numpy(gy))
        np.testing.assert_allclose(getattr(kernels, gradient)(gy, scale), peer.grad.numpy(), atol=1e-13)
