"""Batch normalisation and the bias gradient: values, accuracy where naive sums fail, and invariants."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits, eps, integers

from scratchgan import kernels
from scratchgan.kernels.norm import reference

SHAPES = [(6, 4), (5, 3, 7), (4, 3, 5, 6), (2, 3, 3, 2, 4), (1, 2, 9, 1)]
EPS = 1e-5
shapes = pytest.mark.parametrize("shape", SHAPES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(shape: tuple[int, ...], dtype: type) -> tuple[np.ndarray, ...]:
    """Return gy, x, weight, bias."""
    generator = np.random.default_rng(sum(shape))
    gy, x = generator.standard_normal((2, *shape)).astype(dtype)
    weight, bias = generator.standard_normal((2, shape[1])).astype(dtype)
    return gy, 3 * x + 2, weight, bias


def assert_close(actual: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...], ulp: float) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=ulp * eps(a.dtype), atol=ulp * eps(a.dtype))


@dtypes
@shapes
def test_values(shape: tuple[int, ...], dtype: type) -> None:
    gy, x, weight, bias = problem(shape, dtype)
    y, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    assert_close((y, mean, invstd), reference.batch_norm(x, weight, bias, EPS), ulp=8)
    gradients = kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd)
    assert_close(gradients, reference.batch_norm_grad(gy, x, weight, bias, mean, invstd), ulp=32)
    for slope in (0.0, 0.25):
        activated = kernels.batch_norm(x, weight, bias, EPS, slope)
        assert_close(activated, reference.batch_norm(x, weight, bias, EPS, slope), ulp=8)
        gradients = kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd, slope)
        expected = reference.batch_norm_grad(gy, x, weight, bias, mean, invstd, slope)
        assert_close(gradients, expected, ulp=32)
    whole = integers(1, shape, dtype)
    assert_close((kernels.channel_sum(whole),), (reference.channel_sum(whole),), ulp=0)


@dtypes
@pytest.mark.parametrize("shape", [(2, 71, 30, 30), (20, 100, 9, 9), (3, 70, 11), (1, 3, 5000)])
def test_channels_at_once(shape: tuple[int, ...], dtype: type) -> None:
    """How many are walked through together changes no bit of any: two or three and some that remain, or each alone."""
    gy, x, weight, bias = problem(shape, dtype)
    forward = kernels.batch_norm(x, weight, bias, EPS, 0.2)
    results = [*forward, *kernels.batch_norm_grad(gy, x, weight, bias, *forward[1:], 0.2), kernels.channel_sum(gy)]
    for c in range(shape[1]):
        own = slice(c, c + 1)
        alone = kernels.batch_norm(x[:, own], weight[own], bias[own], EPS, 0.2)
        alone += kernels.batch_norm_grad(gy[:, own], x[:, own], weight[own], bias[own], *alone[1:], 0.2)
        alone += (kernels.channel_sum(gy[:, own]),)
        for result, expected in zip(results, alone, strict=True):
            np.testing.assert_array_equal(result[:, own] if result.ndim > 1 else result[own], expected)


@dtypes
def test_a_large_mean_costs_no_accuracy(dtype: type) -> None:
    # In float32, E[x**2] - E[x]**2 has no correct digit left here. The planes' own means differ too.
    offset = 1e4 if dtype is np.float32 else 1e9
    x = np.random.default_rng(2).standard_normal((8, 2, 31, 29)) + np.arange(8)[:, None, None, None]
    x = (x + offset).astype(dtype)
    ones: np.ndarray = np.ones(2, dtype)
    y, mean, invstd = kernels.batch_norm(x, ones, 0 * ones, EPS)
    centred = (x - np.asarray(offset, dtype)).astype(np.float64)  # exact
    np.testing.assert_allclose(mean, (offset + centred.mean(axis=(0, 2, 3))), rtol=eps(dtype))
    variance = centred.var(axis=(0, 2, 3))
    tolerance = 1e-6 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(invstd, 1 / np.sqrt(variance + EPS), rtol=tolerance)
    expected = (centred - centred.mean(axis=(0, 2, 3), keepdims=True)) / np.sqrt(variance + EPS)[:, None, None]
    np.testing.assert_allclose(y, expected, atol=3e-6 if dtype is np.float32 else 3e-7)


@dtypes
def test_the_gradient_ignores_what_the_output_ignores(dtype: type) -> None:
    # y does not change when x is shifted or, but for eps, scaled: so gx is orthogonal to 1 and to x.
    gy, x, weight, bias = problem((16, 3, 9, 8), dtype)
    _, mean, invstd = kernels.batch_norm(x, weight, bias, 0.0)
    gx, _, _ = kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd)
    scale = np.abs(gx).sum(axis=(0, 2, 3))
    limit = 20 * eps(dtype) * scale
    assert (np.abs(gx.astype(np.float64).sum(axis=(0, 2, 3))) < limit).all()
    assert (np.abs((gx * x).astype(np.float64).sum(axis=(0, 2, 3))) < 20 * limit).all()


def test_sums_of_many_float32_values_are_rounded_once() -> None:
    gy = np.random.default_rng(3).standard_normal((40, 2, 50, 51), np.float32) + np.float32(100)
    np.testing.assert_array_max_ulp(kernels.channel_sum(gy), reference.channel_sum(gy), maxulp=1)
    columns = gy[:, :, 0].reshape(-1, 3)
    np.testing.assert_array_max_ulp(kernels.channel_sum(columns), reference.channel_sum(columns), maxulp=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_spoils_its_channel_and_no_other(bad: float) -> None:
    gy, x, weight, bias = problem((4, 3, 5, 6), np.float32)
    x[2, 1, 3, 3] = bad
    y, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    np.testing.assert_array_equal(np.isfinite(mean), [True, False, True])
    np.testing.assert_array_equal(np.isnan(invstd), [False, True, False])
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, [0, 2]]).all()
    gx, gweight, gbias = kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd)
    assert np.isnan(gx[:, 1]).all()
    assert np.isnan(gweight[1])
    assert np.isfinite(gx[:, [0, 2]]).all()
    assert np.isfinite(gbias).all()
    gy[0, 0, 0, 0] = bad
    np.testing.assert_array_equal(np.isfinite(kernels.channel_sum(gy)), [False, True, True])


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_the_activation_is_the_same_as_a_leaky_relu_of_its_own(slope: float) -> None:
    gy, x, weight, bias = problem(LARGE, np.float32)
    y, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    np.testing.assert_array_equal(kernels.batch_norm(x, weight, bias, EPS, slope)[0], kernels.leaky_relu(y, slope))
    apart = kernels.batch_norm_grad(kernels.leaky_relu_grad(gy, y, slope), x, weight, bias, mean, invstd)
    for own, expected in zip(kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd, slope), apart, strict=True):
        np.testing.assert_array_equal(own, expected)


@dtypes
def test_one_value_per_channel_becomes_the_bias(dtype: type) -> None:
    gy, x, weight, bias = problem((1, 5), dtype)
    y, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    np.testing.assert_array_equal(y[0], bias)
    np.testing.assert_array_equal(mean, x[0])
    gx, gweight, gbias = kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd)
    assert not gx.any()
    assert not gweight.any()
    np.testing.assert_array_equal(gbias, gy[0])


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5, 6)])
def test_memory(shape: tuple[int, ...]) -> None:
    gy, x, weight, bias = problem(shape, np.float32)
    _, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    assert_any_layout(lambda x, weight, bias: kernels.batch_norm(x, weight, bias, EPS), x, weight, bias)
    assert_any_layout(kernels.batch_norm_grad, gy, x, weight, bias, mean, invstd)
    assert_any_layout(kernels.channel_sum, gy)
    out = np.full(3, np.nan, np.float32)
    assert kernels.channel_sum(gy, out=out) is out
    np.testing.assert_array_equal(out, kernels.channel_sum(gy))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0)])
def test_empty_batches(shape: tuple[int, ...]) -> None:
    x, per_channel = np.empty(shape, np.float32), np.ones(shape[1], np.float32)
    y, mean, invstd = kernels.batch_norm(x, per_channel, per_channel, EPS)
    assert y.shape == shape
    assert np.isnan(mean).all()
    assert np.isnan(invstd).all()
    gx, gweight, gbias = kernels.batch_norm_grad(x, x, per_channel, per_channel, mean, invstd)
    assert gx.shape == shape
    for total in (gweight, gbias, kernels.channel_sum(x)):
        np.testing.assert_array_equal(total, np.zeros(shape[1], np.float32))


def test_the_same_bits_every_time() -> None:
    gy, x, weight, bias = problem(LARGE, np.float32)
    _, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    assert_same_bits(lambda: kernels.batch_norm(x, weight, bias, EPS))
    assert_same_bits(lambda: kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd))
    assert_same_bits(lambda: kernels.batch_norm(x, weight, bias, EPS, 0.25))
    assert_same_bits(lambda: kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd, 0.25))
    assert_same_bits(lambda: kernels.channel_sum(gy))


def test_errors() -> None:
    x, c = np.zeros((2, 3, 4, 4), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"batch_norm: x must have 2 to 5 axes \(N,C,...\), got shape \(3,\)"):
        kernels.batch_norm(c, c, c, EPS)
    with pytest.raises(ValueError, match=r"batch_norm: bias.shape=\(2,\) but x.shape\[1\]=3"):
        kernels.batch_norm(x, c, c[:2], EPS)
    with pytest.raises(ValueError, match=r"batch_norm: slope must be at least 0, got -0.5"):
        kernels.batch_norm(x, c, c, EPS, -0.5)
    with pytest.raises(ValueError, match=r"batch_norm: eps must not be negative, got -1.0"):
        kernels.batch_norm(x, c, c, -1.0)
    with pytest.raises(TypeError, match=r"batch_norm: weight is float64 but x is float32"):
        kernels.batch_norm(x, c.astype(np.float64), c, EPS)
    with pytest.raises(ValueError, match=r"batch_norm_grad: gy.shape=\(2, 3, 4, 3\) but x.shape=\(2, 3, 4, 4\)"):
        kernels.batch_norm_grad(x[..., :3], x, c, c, c, c)
    with pytest.raises(ValueError, match=r"batch_norm_grad: invstd.shape=\(3, 1\) but x.shape\[1\]=3"):
        kernels.batch_norm_grad(x, x, c, c, c, c[:, None])
    with pytest.raises(ValueError, match=r"channel_sum: gy must have 2 to 5 axes"):
        kernels.channel_sum(c)


@pytest.mark.peer
@shapes
def test_against_pytorch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    gy, x, weight, bias = problem(shape, np.float64)
    peers = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    y = torch.nn.functional.batch_norm(peers[0], None, None, peers[1], peers[2], training=True, eps=EPS)
    own_y, mean, invstd = kernels.batch_norm(x, weight, bias, EPS)
    np.testing.assert_allclose(own_y, y.detach().numpy(), atol=1e-13)
    y.backward(torch.from_numpy(gy))
    for own, peer in zip(kernels.batch_norm_grad(gy, x, weight, bias, mean, invstd), peers, strict=True):
        np.testing.assert_allclose(own, peer.grad.numpy(), atol=1e-12)
