"""The fused loss and the sums of rows, on the emulator, against their references; and faults planted in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scratchgan import kernels, ops
from scratchgan.autograd import grad
from scratchgan.device import to_device
from scratchgan.kernels.launch import THREADS, Kernel
from scratchgan.kernels.loss import reference as loss_reference
from scratchgan.kernels.segment import reference as segment_reference
from scratchgan.tensor import Tensor

from .loader import COMPILER, Fault, emulated
from .stand_in import stand_in
from .test_faults import spoiled

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@dtypes
@pytest.mark.parametrize("count", [1, 64, 4096, 9001])
def test_binary_cross_entropy(count: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    z = (rng.standard_normal((count, 1)) * 4).astype(dtype)
    for target in (0.0, 0.9, rng.uniform(0, 1, z.shape).astype(dtype)):
        wanted, slope = loss_reference.bce_with_logits(z, target)
        for emulating in (False, True):
            with emulated() if emulating else np.errstate() as emulator:
                loss, gradient = kernels.bce_with_logits(z, target)
            if emulating:
                assert emulator.launches == ["loss.bce"] + ["loss.mean_of"] * (count > 4096)
            assert (loss.shape, loss.dtype, gradient.dtype) == ((), dtype, dtype)
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(loss, wanted, rtol=50 * eps)
            np.testing.assert_allclose(gradient, slope, rtol=20 * eps, atol=eps / count)


@dtypes
def test_logits_at_which_the_book_overflows(dtype: type) -> None:
    z = np.array([-1e4, -100, 0, 100, 1e4, np.inf, -np.inf, np.nan], dtype)
    with emulated():
        for target in (0.0, 1.0):
            losses = np.array([kernels.bce_with_logits(z[i : i + 1], target)[0] for i in range(len(z))])
            slopes = np.array([kernels.bce_with_logits(z[i : i + 1], target)[1][0] for i in range(len(z))])
            assert np.isfinite(losses[:5]).all()
            np.testing.assert_allclose(slopes[:7], np.array([0, 0, 0.5, 1, 1, 1, 0]) - target, atol=1e-40)
            assert np.isnan([losses[7], slopes[7]]).all()


def test_what_a_loss_is_not_of() -> None:
    z = np.zeros((2, 1), np.float32)
    with pytest.raises(ValueError, match=r"target.shape=\(2,\) but logits.shape=\(2, 1\)"):
        kernels.bce_with_logits(z, np.zeros(2, np.float32))
    with pytest.raises(TypeError, match="target is float64 but logits is float32"):
        kernels.bce_with_logits(z, np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"nothing to take the mean of in logits \(0, 1\)"):
        kernels.bce_with_logits(z[:0], 1.0)


@dtypes
@pytest.mark.parametrize(("rows", "columns", "count"), [(9, 5, 4), (300, 1, 7), (0, 3, 2), (2, 3, 600)], ids=str)
def test_sums_of_rows(rows: int, columns: int, count: int, dtype: type) -> None:
    rng = np.random.default_rng(1)
    x, ids = rng.standard_normal((rows, columns)).astype(dtype), rng.integers(0, count, rows)
    wanted = segment_reference.segment_sum(x, ids, count)
    np.testing.assert_array_equal(kernels.segment_sum(x, ids, count), wanted)
    with emulated():
        np.testing.assert_array_equal(kernels.segment_sum(x, ids, count), wanted)


def test_gradients_of_indices_are_gathered() -> None:
    """Rows, pairs, negative numbers and indices on the device: the bits of adding up in order."""
    rows, pairs = np.array([[1, -1], [1, 3]]), (np.array([0, 2, 0]), np.array([1, 1, 1]))
    x = np.random.default_rng(2).standard_normal((4, 5)).astype(np.float32)
    for index in (rows, pairs, (slice(None), np.array([4, 4, 0]))):
        (wanted,) = grad((ops.getitem(t := Tensor(x, requires_grad=True), index) ** 2).sum(), t)
        with stand_in() as runner:
            cupy = runner.module
            for where in (lambda part: part, cupy.asarray) if index is rows else (lambda part: part,):
                t = Tensor(cupy.asarray(x), requires_grad=True)
                (got,) = grad((ops.getitem(t, where(index)) ** 2).sum(), t)
                np.testing.assert_array_equal(to_device(got.data, "cpu"), wanted.data)
            assert "segment.segment_sum" in runner.launches


def test_planted_faults(tmp_path: Path) -> None:
    z, gradient = np.zeros(600, np.float32), np.zeros(600, np.float32)

    def fault(name: str, old: str, new: str) -> str:
        module = spoiled(tmp_path / name, "loss", (old, new))
        loss, partial = np.zeros((), np.float32), np.zeros(2)
        with pytest.raises(Fault) as caught:
            Kernel(module, "bce")((2,), (THREADS,), z + np.float32(1), None, 0.5, 1.0, gradient, partial, loss, 600)
        return caught.value.kind

    with emulated():
        assert fault("race", "partial[blockIdx.x] = sum", "partial[0] = sum + blockIdx.x") == "order"
        assert fault("write", "partial[blockIdx.x] = sum", "partial[blockIdx.x + 1] = sum") == "memory"
        module = spoiled(tmp_path / "segment", "segment", ("i < start[segment + 1]", "i < start[segment + 1] + 8"))
        order, start = np.arange(4), np.array([0, 4])
        with pytest.raises(Fault) as caught:
            Kernel(module, "segment_sum")((1,), (THREADS,), np.ones((4, 1)), order, start, np.zeros((1, 1)), 1, 1)
        assert caught.value.kind == "memory"
