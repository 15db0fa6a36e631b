"""Leaky ReLU: every kind of value, slopes of 0 and not, and shapes around the threads' blocks."""

import numpy as np
import pytest
from layouts import LARGE, assert_any_layout, assert_same_bits

from scratchgan import kernels
from scratchgan.kernels.activation import cpu, reference

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
slopes = pytest.mark.parametrize("slope", [0, 0.2, -0.5, 1])
VALUES = [-np.inf, -3.5, -1e-42, -0.0, 0.0, 1e-42, 2.0, np.inf, np.nan]


@dtypes
@slopes
def test_every_kind_of_value(slope: float, dtype: type) -> None:
    x: np.ndarray = np.array(VALUES, dtype)
    y = kernels.leaky_relu(x, slope)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, reference.leaky_relu(x, slope))
    assert np.isnan(y[-1])
    gy, x = (a.ravel() for a in np.meshgrid(x, x))
    gx = kernels.leaky_relu_grad(gy, x, slope)
    assert gx.dtype == dtype
    np.testing.assert_array_equal(gx, reference.leaky_relu_grad(gy, x, slope))
    zero: np.ndarray = np.zeros(1, dtype)
    assert kernels.leaky_relu_grad(zero + 8, zero, slope) == 8 * dtype(slope)  # the subgradient at 0


@slopes
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 5, 7), (2 * cpu._BLOCK + 13,)])
def test_shapes(shape: tuple[int, ...], slope: float) -> None:
    gy, x = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    gy, x = np.asarray(gy), np.asarray(x)
    out = np.full_like(x, np.nan)
    assert kernels.leaky_relu(x, slope, out=out) is out
    np.testing.assert_array_equal(out, reference.leaky_relu(x, slope))
    np.testing.assert_array_equal(kernels.leaky_relu(x, slope), out)
    assert kernels.leaky_relu_grad(gy, x, slope, out=out) is out
    np.testing.assert_array_equal(out, reference.leaky_relu_grad(gy, x, slope))


def test_memory() -> None:
    gy, x = np.random.default_rng(2).standard_normal((2, 3, 4, 5))
    assert_any_layout(lambda x: kernels.leaky_relu(x, 0.1), x)
    assert_any_layout(lambda gy, x: kernels.leaky_relu_grad(gy, x, 0.1), gy, x)


def test_the_same_bits_every_time() -> None:
    gy, x = np.random.default_rng(3).standard_normal((2, *LARGE)).astype(np.float32)
    assert_same_bits(lambda: kernels.leaky_relu(x, 0.2))
    assert_same_bits(lambda: kernels.leaky_relu_grad(gy, x, 0.2))


def test_errors() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"leaky_relu: slope must be a number, got '0\.2'"):
        kernels.leaky_relu(x, "0.2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leaky_relu: slope must be finite, got nan"):
        kernels.leaky_relu(x, np.nan)
    with pytest.raises(ValueError, match=r"leaky_relu_grad: gy.shape=\(3,\) but x.shape=\(2, 3\)"):
        kernels.leaky_relu_grad(x[0], x, 0.2)
    with pytest.raises(ValueError, match="leaky_relu: out shares memory with an input"):
        kernels.leaky_relu(x, 0.2, out=x)


@pytest.mark.peer
@pytest.mark.parametrize("slope", [0, 0.2])
def test_against_pytorch(slope: float) -> None:
    torch = pytest.importorskip("torch")
    gy, x = (a.ravel() for a in np.meshgrid(np.array(VALUES), np.array(VALUES)))
    peer = torch.from_numpy(x).requires_grad_()
    functional = torch.nn.functional
    y = functional.leaky_relu(peer, slope) if slope else functional.relu(peer)
    np.testing.assert_array_equal(kernels.leaky_relu(x, slope), y.detach().numpy())
    y.backward(torch.from_numpy(gy))
    np.testing.assert_array_equal(kernels.leaky_relu_grad(gy, x, slope), peer.grad.numpy())
