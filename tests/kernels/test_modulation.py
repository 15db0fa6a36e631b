"""Scaling and shifting planes: against the reference, shapes around the threads' blocks, memory, errors."""

import numpy as np
import pytest
from layouts import assert_any_layout, assert_same_bits

from scratchgan import kernels
from scratchgan.kernels.modulation import reference

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def inputs(shape, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in (shape, shape, shape[:2], shape[:2])]


@dtypes
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1, 1), (2, 3, 5), (3, 2, 4, 7), (1, 2, 130, 129), (65, 5, 7, 7)])
def test_against_the_reference(shape, slope, dtype):
    gy, x, scale, shift = inputs(shape, dtype)
    tolerance = {"rtol": 20 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps}
    y = kernels.scale_shift(x, scale, shift, slope)
    np.testing.assert_allclose(y, reference.scale_shift(x, scale, shift, slope), **tolerance)
    results = kernels.scale_shift_grad(gy, x, scale, shift, slope)
    for got, expected in zip(results, reference.scale_shift_grad(gy, x, scale, shift, slope), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, **tolerance)


@pytest.mark.parametrize("shape", [(0, 3, 2, 2), (2, 0, 3), (2, 3, 0)])
def test_nothing(shape):
    gy, x, scale, shift = inputs(shape)
    assert kernels.scale_shift(x, scale, shift).shape == shape
    gx, gscale, gshift = kernels.scale_shift_grad(gy, x, scale, shift)
    assert gx.shape == shape
    assert gscale.shape == shape[:2]
    assert not gscale.any()
    assert not gshift.any()


def test_memory():
    gy, x, scale, shift = inputs((3, 2, 4, 5), np.float64)
    assert_any_layout(lambda x, scale, shift: kernels.scale_shift(x, scale, shift, 0.1), x, scale, shift)
    gradients = [(lambda *a, i=i: kernels.scale_shift_grad(*a, 0.1)[i]) for i in range(3)]
    for gradient in gradients:
        assert_any_layout(gradient, gy, x, scale, shift)


def test_the_same_bits_every_time():
    gy, x, scale, shift = inputs((8, 16, 33, 33))
    assert_same_bits(lambda: kernels.scale_shift(x, scale, shift, 0.2))
    for i in range(3):
        assert_same_bits(lambda i=i: kernels.scale_shift_grad(gy, x, scale, shift, 0.2)[i])


def test_errors():
    gy, x, scale, shift = inputs((2, 3, 4))
    with pytest.raises(ValueError, match=r"scale_shift: scale.shape=\(3,\) but x is \(2, 3, 4\)"):
        kernels.scale_shift(x, scale[0], shift)
    with pytest.raises(ValueError, match="slope must be at least 0, got -1"):
        kernels.scale_shift(x, scale, shift, -1)
    with pytest.raises(ValueError, match=r"at least 2 axes \(N,C,...\), got shape \(3,\)"):
        kernels.scale_shift(x[0, :, 0], scale, shift)
    with pytest.raises(TypeError, match="shift is float64 but x is float32"):
        kernels.scale_shift(x, scale, shift.astype(np.float64))
    with pytest.raises(ValueError, match=r"scale_shift_grad: gy.shape=\(2, 3\)"):
        kernels.scale_shift_grad(gy[:, :, 0], x, scale, shift)
