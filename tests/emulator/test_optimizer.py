"""Adam and the moving average over lists of arrays, on the emulator, against the CPU's kernels one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from scratchgan import kernels
from scratchgan.kernels.launch import THREADS, Kernel
from scratchgan.kernels.optimizer import reference

from .loader import COMPILER, Emulator, Fault, emulated
from .test_cases import emulated_off
from .test_faults import spoiled

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")

RULE: dict[str, Any] = {"lr": 1e-2, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1}
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulated() as running:
        yield running


def arrays(dtype: type, kinds: int, sizes: list[int]) -> list[list[np.ndarray]]:
    """Lists of arrays whose sizes fall beside, on and across a block's part (4,096 floats); some are not aligned."""
    rng = np.random.default_rng(0)
    return [[rng.uniform(0.1, 1, size + n % 2).astype(dtype)[n % 2 :] for n, size in enumerate(sizes)]] + [
        [rng.uniform(0.1, 1, size).astype(dtype) for size in sizes] for _ in range(kinds - 1)
    ]


SIZES = [1, 5, 4096, 3, 4097, 0, 8192, 2047]


@dtypes
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(dtype: type, decoupled: bool, emulator: Emulator) -> None:
    parameters, gradients, means, squares = arrays(dtype, 4, SIZES)
    start = [[array.copy() for array in kind] for kind in (means, squares)]
    got = kernels.foreach_adam_step(parameters, gradients, means, squares, step=3, **RULE, decoupled=decoupled)
    assert emulator.launches == ["optimizer.adam"]
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        wanted = reference.adam_step(p, g, start[0][i], start[1][i], step=3, **RULE, decoupled=decoupled)
        for result, want in zip((got[i], means[i], squares[i]), wanted, strict=True):
            assert result.dtype == dtype
            eps = 8 * np.finfo(dtype).eps
            np.testing.assert_allclose(result, want, rtol=eps, atol=eps)


@dtypes
def test_numbers_that_a_graph_reads(dtype: type, emulator: Emulator) -> None:
    """``live`` counts, not what came by value; and results may be where the parameters were."""
    plain, graph = arrays(dtype, 4, [7, 300]), arrays(dtype, 4, [7, 300])
    wanted = kernels.foreach_adam_step(*plain, step=5, **RULE, decoupled=True)
    rule = {name: value for name, value in RULE.items() if name != "eps"}
    live = kernels.adam_numbers(dtype, 5, **rule, decoupled=True)
    got = kernels.foreach_adam_step(*graph, step=1, **{**RULE, "lr": 9.0}, decoupled=True, live=live, out=graph[0])
    for a, b, c in zip(got, graph[0], wanted, strict=True):
        assert a is b
        np.testing.assert_array_equal(a, c)
    averages, parameters = arrays(dtype, 2, [7, 300])
    wanted = kernels.foreach_ema_update(averages, parameters, 0.75)
    live = np.array([0.75, 0.25], dtype)
    got = kernels.foreach_ema_update(averages, parameters, 0.0, live=live, out=averages)
    for a, c in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, c)


@dtypes
def test_more_arrays_than_one_launch_takes(dtype: type, emulator: Emulator) -> None:
    averages, parameters = arrays(dtype, 2, [3] * 130)
    got = kernels.foreach_ema_update(averages, parameters, 0.9)
    assert emulator.launches == ["optimizer.ema"] * 3
    for new, average, parameter in zip(got, averages, parameters, strict=True):
        eps = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(new, reference.ema_update(average, parameter, 0.9), rtol=eps)


@dtypes
def test_square_sum(dtype: type, emulator: Emulator) -> None:
    (xs,) = arrays(dtype, 1, [*SIZES, *[2] * 70])
    got = kernels.foreach_square_sum(xs)
    assert (got.shape, got.dtype) == ((), np.float64)
    wanted = sum(float((x.astype(np.float64) ** 2).sum()) for x in xs)
    assert float(got) == pytest.approx(wanted, rel=1e-14)
    with emulated_off():
        assert float(kernels.foreach_square_sum(xs)) == pytest.approx(wanted, rel=1e-6)
    assert kernels.foreach_square_sum([np.zeros((2, 0), dtype)]) == 0


def test_what_does_not_fit(emulator: Emulator) -> None:
    a, b = arrays(np.float32, 2, [3, 4])
    with pytest.raises(ValueError, match=r"parameters has 1 arrays but averages has 2"):
        kernels.foreach_ema_update(a, b[:1], 0.5)
    with pytest.raises(TypeError, match="all parameters must have one dtype"):
        kernels.foreach_ema_update([a[0], a[0].astype(float)], [b[0], b[0].astype(float)], 0.5)
    with pytest.raises(ValueError, match=r"live must be float32 \(2,\) on a GPU"):
        kernels.foreach_ema_update(a, b, 0.5, live=np.zeros(2))
    with emulated_off(), pytest.raises(ValueError, match=r"live must be float32 \(2,\) on a GPU"):
        kernels.foreach_ema_update(a, b, 0.5, live=np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("first + PART < end ? first + PART : end", "first + PART"),
        ("part.last / PACK * PACK", "part.last / PACK * PACK + 8 * PACK"),
        ("for (;; array++) {", "for (;; array += 2) {"),
    ],
    ids=["a part past the end", "packs past the end", "an array that is not there"],
)
def test_a_planted_access_outside(tmp_path: Any, old: str, new: str) -> None:
    averages, parameters = arrays(np.float32, 2, [9000, 4097])
    module = spoiled(tmp_path, "optimizer", (old, new))
    with emulated(), pytest.raises(Fault) as caught:
        Kernel(module, "ema")((3 + 2,), (THREADS,), averages, parameters, averages, [9000, 4097], 0.5, 0.5, None)
    assert caught.value.kind == "memory"


def test_a_planted_race_between_blocks(tmp_path: Any) -> None:
    (xs,) = arrays(np.float32, 1, [9000])
    module = spoiled(tmp_path, "optimizer", ("partial[blockIdx.x] = sum", "partial[0] = sum"))
    with emulated(), pytest.raises(Fault) as caught:
        Kernel(module, "square_sums")((3,), (THREADS,), xs, [9000], np.zeros(3))
    assert caught.value.kind == "order"
