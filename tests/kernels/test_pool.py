"""Max and average pooling against one window at a time, with ties, NaN, padding and dilation."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits, eps, integers

from scratchgan import kernels
from scratchgan.kernels.pool import reference

# kernel, stride, padding, dilation
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), (1, 1)),
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((4, 2), (1, 3), (2, 1), (1, 1)),
    ((1, 5), (1, 1), (0, 2), (1, 1)),
    ((3, 2), (2, 1), (1, 0), (2, 3)),
]
windows = pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), WINDOWS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
HW = (7, 10)


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@dtypes
@windows
def test_max_pool(kernel, stride, padding, dilation, dtype) -> None:
    x = integers(1, (2, 3, *HW), dtype, largest=2)  # five values only: nearly every window has a tie
    y, index = kernels.max_pool2d(x, kernel, stride=stride, padding=padding, dilation=dilation)
    expected_y, expected_index = reference.max_pool2d(x, kernel, stride, padding, dilation)
    assert_equal(y, expected_y)
    assert_equal(index, expected_index)
    assert_equal(kernels.max_pool2d_gather(x, index), y)
    gy = integers(2, y.shape, dtype)
    gx = kernels.max_pool2d_grad(gy, index, HW)
    assert_equal(gx, reference.max_pool2d_grad(gy, index, HW))
    # The gather is the transpose of the scatter, for any x and not only the one that chose the index.
    other = integers(3, x.shape, dtype)
    assert np.vdot(other, gx) == np.vdot(kernels.max_pool2d_gather(other, index), gy)
    assert_equal(kernels.max_pool2d_gather(other, index), reference.max_pool2d_gather(other, index))


@windows
def test_max_pool_of_nan_and_infinities(kernel, stride, padding, dilation) -> None:
    generator = np.random.default_rng(4)
    x = generator.choice(
        np.array([-np.inf, 0, 1, np.inf, np.nan], np.float32), (2, 2, *HW), p=[0.5, 0.2, 0.1, 0.1, 0.1]
    )
    x[0, 0] = -np.inf
    y, index = kernels.max_pool2d(x, kernel, stride=stride, padding=padding, dilation=dilation)
    expected_y, expected_index = reference.max_pool2d(x, kernel, stride, padding, dilation)
    assert_equal(y, expected_y)
    assert_equal(index, expected_index)


@dtypes
@windows
@pytest.mark.parametrize("include", [True, False])
def test_average_pool(kernel, stride, padding, dilation, include, dtype) -> None:
    x = integers(5, (2, 3, *HW), dtype)
    options = {"stride": stride, "padding": padding, "count_include_pad": include}
    y = kernels.avg_pool2d(x, kernel, **options)
    tolerance = 8 * eps(dtype)  # the sums are exact; the divisors need not be powers of two
    expected = reference.avg_pool2d(x, kernel, stride, padding, include)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=tolerance)
    gy = integers(6, y.shape, dtype)
    gx = kernels.avg_pool2d_grad(gy, HW, kernel, **options)
    expected = reference.avg_pool2d_grad(gy, HW, kernel, stride, padding, include)
    assert gx.dtype == expected.dtype
    np.testing.assert_allclose(gx, expected, rtol=tolerance, atol=10 * tolerance)


@dtypes
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (4, 1, 2), ((2, 4), (1, 3), (1, 0))])
def test_average_pool_gradient_is_the_exact_transpose(kernel, stride, padding, dtype) -> None:
    x = integers(7, (2, 3, 9, 10), dtype)
    y = kernels.avg_pool2d(x, kernel, stride=stride, padding=padding)
    gy = integers(8, y.shape, dtype)
    gx = kernels.avg_pool2d_grad(gy, (9, 10), kernel, stride=stride, padding=padding)
    assert np.vdot(y, gy) == np.vdot(x, gx)


def test_average_pool_of_nan_and_inf() -> None:
    x = integers(9, (1, 1, 8, 8), np.float32)
    x[0, 0, 1, 1], x[0, 0, 6, 4] = np.nan, np.inf
    assert_equal(kernels.avg_pool2d(x, 2), reference.avg_pool2d(x, (2, 2), (2, 2), (0, 0), True))


def test_memory() -> None:
    x = integers(10, (2, 3, 6, 8), np.float32)
    y, index = kernels.max_pool2d(x, 2)
    assert_any_layout(lambda x: kernels.max_pool2d(x, 3, stride=1, padding=1), x)
    assert_any_layout(lambda gy, index: kernels.max_pool2d_grad(gy, index, (6, 8)), y, index)
    assert_any_layout(kernels.max_pool2d_gather, x, index)
    assert_any_layout(lambda x: kernels.avg_pool2d(x, 2), x)
    assert_any_layout(lambda gy: kernels.avg_pool2d_grad(gy, (6, 8), 2), y)
    for operator in (
        lambda out: kernels.max_pool2d_grad(y, index, (6, 8), out=out),
        lambda out: kernels.max_pool2d_gather(x, index, out=out),
        lambda out: kernels.avg_pool2d(x, 2, out=out),
        lambda out: kernels.avg_pool2d_grad(y, (6, 8), 2, out=out),
    ):
        out = np.full_like(operator(None), np.nan)
        assert operator(out) is out
        assert_equal(out, operator(None))


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_empty_batches(shape: tuple[int, ...]) -> None:
    x = np.empty(shape, np.float32)
    y, index = kernels.max_pool2d(x, 2)
    assert y.shape == index.shape == kernels.avg_pool2d(x, 2).shape == (*shape[:2], 2, 2)
    assert kernels.max_pool2d_grad(y, index, (4, 4)).shape == shape
    assert kernels.max_pool2d_gather(x, index).shape == y.shape
    assert kernels.avg_pool2d_grad(y, (4, 4), 2).shape == shape


def test_the_same_bits_every_time() -> None:
    x = np.random.default_rng(11).standard_normal(LARGE, np.float32)
    y, index = kernels.max_pool2d(x, 3, stride=1, padding=1)
    assert_same_bits(lambda: kernels.max_pool2d(x, 3, stride=1, padding=1))
    assert_same_bits(lambda: kernels.max_pool2d_grad(y, index, LARGE[2:]))
    assert_same_bits(lambda: kernels.max_pool2d_gather(x, index))
    assert_same_bits(lambda: kernels.avg_pool2d(x, 3, stride=1, padding=1))
    assert_same_bits(lambda: kernels.avg_pool2d_grad(x, LARGE[2:], 3, stride=1, padding=1))


def test_errors() -> None:
    x = np.zeros((1, 2, 5, 6), np.float32)
    y, index = kernels.max_pool2d(x, 2)
    with pytest.raises(ValueError, match=r"max_pool2d: padding=\(2, 2\) is more than half of kernel=\(3, 3\)"):
        kernels.max_pool2d(x, 3, padding=2)
    with pytest.raises(ValueError, match=r"avg_pool2d: a window of 7 does not fit in an image of 5x6"):
        kernels.avg_pool2d(x, 7)
    with pytest.raises(
        ValueError, match=r"max_pool2d: with dilation=\(2, 2\) .* would hold no pixel of an image of 1x6"
    ):
        kernels.max_pool2d(x[:, :, :1], 2, padding=1, dilation=2)
    with pytest.raises(ValueError, match=r"max_pool2d: stride must be at least 1, got 0"):
        kernels.max_pool2d(x, 2, stride=0)
    with pytest.raises(TypeError, match=r"max_pool2d_grad: index must be int64 and a NumPy array.*got .*int32"):
        kernels.max_pool2d_grad(y, index.astype(np.int32), (5, 6))
    with pytest.raises(ValueError, match=r"max_pool2d_grad: index.shape=\(1, 2, 2, 2\) does not go with gy"):
        kernels.max_pool2d_grad(y, index[..., :2], (5, 6))
    with pytest.raises(ValueError, match=r"max_pool2d_gather: index.shape=\(1, 1, 2, 3\) does not go with x"):
        kernels.max_pool2d_gather(x, index[:, :1])
    with pytest.raises(ValueError, match=r"max_pool2d_gather: 1 values of index lie outside 0 .. 29"):
        kernels.max_pool2d_gather(x, np.array([[[[30]], [[29]]]]))
    with pytest.raises(ValueError, match=r"max_pool2d_grad: 2 values of index lie outside 0 .. 3, .* 2x2"):
        kernels.max_pool2d_grad(np.zeros((1, 1, 1, 3), np.float32), np.array([[[[4, 0, -1]]]]), 2)
    with pytest.raises(ValueError, match=r"avg_pool2d_grad: gy is 2x3, but pooling 5x8 .* gives 2x4"):
        kernels.avg_pool2d_grad(y, (5, 8), 2)


@pytest.mark.peer
@windows
def test_against_pytorch(kernel, stride, padding, dilation) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = integers(12, (2, 3, *HW), np.float32, largest=2)
    x[0, 0, 2, 3] = x[0, 0, 2, 4] = np.nan
    options = {"stride": stride, "padding": padding}
    y, index = functional.max_pool2d(torch.from_numpy(x), kernel, dilation=dilation, return_indices=True, **options)
    own_y, own_index = kernels.max_pool2d(x, kernel, dilation=dilation, **options)
    assert_equal(own_y, y.numpy())
    assert_equal(own_index, index.numpy())
    for include in (True, False):
        peer = torch.from_numpy(x).requires_grad_()
        y = functional.avg_pool2d(peer, kernel, count_include_pad=include, **options)
        own = kernels.avg_pool2d(x, kernel, count_include_pad=include, **options)
        np.testing.assert_allclose(own, y.detach().numpy(), rtol=1e-6)
        y.backward(torch.ones_like(y))
        own = kernels.avg_pool2d_grad(np.ones_like(own), HW, kernel, count_include_pad=include, **options)
        np.testing.assert_allclose(own, peer.grad.numpy(), rtol=1e-6)
