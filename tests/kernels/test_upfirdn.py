"""upfirdn2d against its definition, over many geometries, and its gradient as the exact transpose."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits, integers

from scratchgan import kernels
from scratchgan.kernels.upfirdn import reference

SEPARABLE = np.array([2.0, -1.0, 3.0, 1.0])
LONG = np.arange(1.0, 8.0)
FULL = np.arange(1.0, 7.0).reshape(2, 3) - 3

# filter, up, down, ((top, bottom), (left, right))
GEOMETRIES = [
    (SEPARABLE, (1, 1), (1, 1), ((1, 2), (2, 1))),
    (SEPARABLE, (2, 2), (1, 1), ((2, 1), (2, 1))),
    (SEPARABLE, (1, 1), (2, 2), ((1, 1), (1, 1))),
    (SEPARABLE, (2, 3), (3, 2), ((5, 0), (0, 4))),
    (SEPARABLE, (4, 2), (6, 4), ((3, 3), (4, 5))),
    (LONG, (3, 1), (1, 4), ((8, 9), (7, 6))),
    (LONG, (4, 4), (2, 2), ((-1, 2), (-3, 1))),
    (np.array([3.0]), (3, 2), (2, 3), ((0, 0), (1, -1))),
    (np.array([1.0, 2.0]), (5, 4), (3, 1), ((2, 2), (9, 11))),
    (FULL, (1, 1), (1, 1), ((0, 0), (0, 0))),
    (FULL, (2, 1), (1, 2), ((1, -1), (-1, 2))),
    (FULL, (3, 4), (2, 6), ((2, 3), (3, 4))),
    (FULL[:1], (1, 2), (1, 1), ((0, 0), (1, 1))),
]
each = pytest.mark.parametrize(("f", "up", "down", "padding"), GEOMETRIES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@dtypes
@each
def test_values_and_the_exact_transpose(f, up, down, padding, dtype: type) -> None:
    for shape in ((2, 3, 5, 7), (1, 1, 12, 6), (1, 70, 6, 5)):
        x = integers(1, shape, dtype)
        y = kernels.upfirdn2d(x, f, up, down, padding)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, reference.upfirdn2d(x, f, up, down, padding))
        gy = integers(2, y.shape, dtype)
        gx = kernels.upfirdn2d_grad(gy, f, shape[2:], up, down, padding)
        np.testing.assert_array_equal(gx, reference.upfirdn2d_grad(gy, f, shape[2:], up, down, padding))
        assert np.vdot(y, gy) == np.vdot(x, gx)


@each
def test_nan_and_infinity_stay_where_the_filter_sees_them(f, up, down, padding) -> None:
    """And no further: the zeros between pixels, and what lies outside, are not multiplied by them."""
    for place, value in (((1, 2), np.nan), ((4, 0), np.inf), ((5, 6), -np.inf)):
        x, impulse = integers(3, (1, 1, 6, 7), np.float32), np.zeros((1, 1, 6, 7), np.float32)
        whole = kernels.upfirdn2d(x, f, up, down, padding)
        x[0, 0, place[0], place[1]] = value
        impulse[0, 0, place[0], place[1]] = 1
        seen = reference.upfirdn2d(impulse, np.ones_like(f), up, down, padding) != 0
        y = kernels.upfirdn2d(x, f, up, down, padding)
        np.testing.assert_array_equal(~np.isfinite(y), seen & (y != whole))
        np.testing.assert_array_equal(y[~seen], whole[~seen])


def test_memory() -> None:
    x, gy = integers(4, (2, 3, 5, 6), np.float32), integers(5, (2, 3, 10, 12), np.float32)
    options = (SEPARABLE, 2, 1, ((2, 1), (2, 1)))
    assert_any_layout(lambda x: kernels.upfirdn2d(x, *options), x)
    assert_any_layout(lambda gy: kernels.upfirdn2d_grad(gy, SEPARABLE, (5, 6), *options[1:]), gy)
    out = np.full((2, 3, 10, 12), np.nan, np.float32)
    assert kernels.upfirdn2d(x, *options, out=out) is out
    np.testing.assert_array_equal(out, kernels.upfirdn2d(x, *options))


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
def test_zero_sizes(shape: tuple[int, ...]) -> None:
    y = kernels.upfirdn2d(np.ones(shape, np.float32), SEPARABLE, 2, 1, ((4, 4), (4, 4)))
    assert y.shape == (*shape[:2], 2 * shape[2] + 5, 2 * shape[3] + 5)
    if shape[0] * shape[1]:
        assert not y.any()  # only padding was seen
    gx = kernels.upfirdn2d_grad(y, SEPARABLE, shape[2:], 2, 1, ((4, 4), (4, 4)))
    assert gx.shape == shape


def test_the_same_bits_every_time() -> None:
    x = np.random.default_rng(9).standard_normal(LARGE, np.float32)
    assert_same_bits(lambda: kernels.upfirdn2d(x, SEPARABLE, 2, 3, 2))
    assert_same_bits(lambda: kernels.upfirdn2d(x, FULL, 1, 2, 1))


def test_paddings_and_filters_that_mean_the_same() -> None:
    x = integers(6, (1, 2, 5, 6), np.float64)
    expected = kernels.upfirdn2d(x, SEPARABLE, 2, 3, ((2, 2), (1, 1)))
    np.testing.assert_array_equal(kernels.upfirdn2d(x, SEPARABLE.tolist(), (2, 2), 3, (2, 1)), expected)
    np.testing.assert_array_equal(kernels.upfirdn2d(x, np.outer(SEPARABLE, SEPARABLE), 2, 3, (2, 1)), expected)
    np.testing.assert_array_equal(kernels.upfirdn2d(x, [1], 1, 1, -1), x[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((3, 4), np.float32), [1]), ValueError, r"x must have 4 axes \(N,C,H,W\), got shape \(3, 4\)"),
        ((np.ones((1, 1, 3, 4), int), [1]), TypeError, "x must be float32 or float64, got int64"),
        ((np.ones((1, 1, 3, 4)), []), ValueError, r"filter must be \(taps,\) or \(rows, columns\) and not empty"),
        ((np.ones((1, 1, 3, 4)), np.ones((2, 2, 2))), ValueError, r"got \(2, 2, 2\)"),
        ((np.ones((1, 1, 3, 4)), [1.0, np.nan]), ValueError, "filter must be finite"),
        ((np.ones((1, 1, 3, 4)), "abc"), TypeError, "filter must be a NumPy array or a list of numbers, got str"),
        ((np.ones((1, 1, 3, 4)), [1], 0), ValueError, "up must be at least 1, got 0"),
        ((np.ones((1, 1, 3, 4)), [1], 1, (2, 0)), ValueError, "down must be at least 1"),
        ((np.ones((1, 1, 3, 4)), [1], 1, 1, (1, 2, 3, 4)), TypeError, "padding must be an int"),
        ((np.ones((1, 1, 3, 4)), [1, 3, 3, 1]), ValueError, "filter has 4x4 taps, more than an input of 3x4 has"),
        ((np.ones((1, 1, 3, 4)), [1], 1, 1, -2), ValueError, "pad more"),
    ],
)
def test_errors(arguments, error, message) -> None:
    with pytest.raises(error, match=f"upfirdn2d: .*{message}"):
        kernels.upfirdn2d(*arguments)


def test_errors_of_the_gradient() -> None:
    with pytest.raises(ValueError, match=r"gy is \(1, 1, 3, 4\), but an input of 5x6 has an output of 9x11"):
        kernels.upfirdn2d_grad(np.ones((1, 1, 3, 4)), [1, 1], (5, 6), 2)


@pytest.mark.peer
@each
def test_against_pytorch(f, up, down, padding) -> None:
    """The same in PyTorch's operators: a transposed convolution with the identity, padding, a grouped convolution."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = np.random.default_rng(10).standard_normal((2, 3, 7, 8))
    peer = torch.from_numpy(x).requires_grad_()
    spread = functional.conv_transpose2d(peer, torch.ones(3, 1, 1, 1, dtype=torch.float64), stride=up, groups=3)
    spread = functional.pad(spread, (0, up[1] - 1, 0, up[0] - 1))
    (top, bottom), (left, right) = padding
    whole = np.outer(f, f) if f.ndim == 1 else f
    weights = torch.from_numpy(whole[::-1, ::-1].copy()).expand(3, 1, *whole.shape)
    y = functional.conv2d(functional.pad(spread, (left, right, top, bottom)), weights, stride=down, groups=3)
    np.testing.assert_allclose(kernels.upfirdn2d(x, f, up, down, padding), y.detach().numpy(), atol=1e-12)
    gy = np.random.default_rng(11).standard_normal(y.shape)
    y.backward(torch.from_numpy(gy))
    gx = kernels.upfirdn2d_grad(gy, f, x.shape[2:], up, down, padding)
    np.testing.assert_allclose(gx, peer.grad.numpy(), atol=1e-12)
