"""Adam, AdamW and the moving average in place, against float64 formulas over many steps."""

from typing import Any

import numpy as np
import pytest
from layouts import LARGE, eps, layouts

from scratchgan import kernels
from scratchgan.kernels.optimizer import cpu, reference

SETTINGS: list[dict[str, Any]] = [
    {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8},
    {"lr": 1e-2, "beta1": 0.0, "beta2": 0.99, "eps": 1e-8},
    {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "weight_decay": 0.1},
    {"lr": 1e-2, "beta1": 0.9, "beta2": 0.4, "eps": 1e-8, "weight_decay": 0.1, "decoupled": True},
]
settings = pytest.mark.parametrize("options", SETTINGS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
STEP: dict[str, Any] = {"step": 1, **SETTINGS[0]}


def state(shape: tuple[int, ...], dtype: type) -> list[np.ndarray]:
    """Return parameter, gradient, mean, square."""
    generator = np.random.default_rng(1)
    return [generator.standard_normal(shape).astype(dtype), *np.zeros((3, *shape), dtype)]


@dtypes
@settings
def test_adam_over_20_steps(options: dict[str, Any], dtype: type) -> None:
    parameter, gradient, mean, square = state((2, cpu._BLOCK // 2 + 7), dtype)
    expected = parameter, mean, square
    generator = np.random.default_rng(2)
    for step in range(1, 21):
        gradient[...] = generator.standard_normal(gradient.shape) * 10.0 ** generator.integers(-4, 2)
        expected = reference.adam_step(expected[0], gradient, *expected[1:], step=step, **options)
        kernels.adam_step(parameter, gradient, mean, square, step=step, **options, out=parameter)
    ulp = eps(dtype)
    np.testing.assert_allclose(square, expected[2], rtol=12 * ulp)
    np.testing.assert_allclose(mean, expected[1], rtol=12 * ulp, atol=12 * ulp * np.abs(expected[1]).max())
    np.testing.assert_allclose(parameter, expected[0], rtol=12 * ulp, atol=12 * ulp)


def test_float32_averages_do_not_drift() -> None:
    # beta2 and 1 - beta2 rounded to float32 add up to 1 + 1.3e-8, and a thousand steps' worth of that is 1.3e-5.
    parameter, gradient, mean, square = state((3,), np.float32)
    gradient += 3
    for step in range(1, 4001):
        parameter = kernels.adam_step(
            parameter, gradient, mean, square, step=step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8
        )
    np.testing.assert_allclose(square, 9 * (1 - 0.999**4000), rtol=3e-6)


@dtypes
@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999, 1.0])
def test_moving_average(decay: float, dtype: type) -> None:
    average, parameter, *_ = state((5, 7), dtype)
    parameter += 2
    start, expected = average.copy(), average.astype(np.float64)
    for _ in range(20):
        expected = reference.ema_update(expected, parameter, decay)
        average = kernels.ema_update(average, parameter, decay)
    np.testing.assert_allclose(average, expected, rtol=12 * eps(dtype), atol=12 * eps(dtype))
    if decay in (0, 1):
        np.testing.assert_array_equal(average, parameter if decay == 0 else start)


def test_any_layout_of_what_is_read() -> None:
    start = state((4, 6), np.float32)
    start[1] += np.arange(24).reshape(4, 6)
    expected = [array.copy() for array in start]
    kernels.adam_step(*expected, **STEP, out=expected[0])
    kernels.ema_update(expected[2], expected[1], 0.5, out=expected[2])
    for gradient in layouts(start[1]):
        parameter, _, mean, square = (array.copy() for array in start)
        kernels.adam_step(parameter, gradient, mean, square, **STEP, out=parameter)
        kernels.ema_update(mean, gradient, 0.5, out=mean)
        np.testing.assert_array_equal([parameter, mean, square], [expected[0], *expected[2:]])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_degenerate_shapes(shape: tuple[int, ...]) -> None:
    arrays = [np.ones(shape, np.float32) for _ in range(4)]
    kernels.adam_step(*arrays, **STEP, out=arrays[0])
    kernels.ema_update(arrays[0], arrays[1], 0.9, out=arrays[0])
    assert (arrays[0] < 1).all()
    assert [array.shape for array in arrays] == [shape] * 4


def test_nan_and_inf_stay() -> None:
    parameter, gradient, mean, square = state((4,), np.float32)
    gradient[:] = 1, np.nan, np.inf, -1
    kernels.adam_step(parameter, gradient, mean, square, **STEP, out=parameter)
    for array in (parameter, mean, square):
        np.testing.assert_array_equal(np.isfinite(array), [True, False, False, True])
    kernels.ema_update(parameter, gradient, 0.5, out=parameter)
    np.testing.assert_array_equal(np.isfinite(parameter), [True, False, False, True])


def test_the_same_bits_on_any_number_of_threads() -> None:
    results = []
    threads = kernels.get_num_threads()
    try:
        for count in (threads, threads, 1):
            kernels.set_num_threads(count)
            arrays = state(LARGE, np.float32)
            arrays[1] += arrays[0]
            kernels.adam_step(*arrays, **STEP, out=arrays[0])
            kernels.ema_update(arrays[2], arrays[0], 0.3, out=arrays[2])
            results.append([array.tobytes() for array in arrays])
    finally:
        kernels.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


def test_errors_change_nothing() -> None:
    good = state((2, 3), np.float32)
    before = [array.copy() for array in good]
    parameter, gradient, mean, square = good
    frozen = parameter.copy()
    frozen.setflags(write=False)
    refusals: list[tuple[type[Exception], str, list[np.ndarray], dict[str, Any]]] = [
        (
            ValueError,
            r"mean.shape=\(2, 2\) but parameter.shape=\(2, 3\)",
            [parameter, gradient, mean[:, :2], square],
            {},
        ),
        (ValueError, r"gradient.shape=\(3,\) but", [parameter, gradient[0], mean, square], {}),
        (ValueError, "out is changed in place, so it must be w", [frozen, gradient, mean, square], {"out": frozen}),
        (ValueError, "out shares memory with an input", good, {"out": gradient}),
        (ValueError, r"out must be float32 \(2, 3\)", good, {"out": np.zeros((3, 2), np.float32)}),
        (ValueError, "square is changed in place", [parameter, gradient, mean, np.zeros((3, 2), np.float32).T], {}),
        (ValueError, "mean and square share memory", [parameter, gradient, mean, mean], {}),
        (ValueError, "gradient shares memory", [parameter, mean, mean, square], {}),
        (TypeError, "gradient is float64 but parameter is float32", [parameter, np.zeros((2, 3)), mean, square], {}),
        (ValueError, "step must be an int that counts from 1, got 0", good, {"step": 0}),
        (ValueError, r"beta1 and beta2 must be in \[0, 1\), got 0.5 and 1.0", good, {"beta2": 1}),
        (ValueError, "lr must be finite, got nan", good, {"lr": np.nan}),
        (ValueError, "must not be negative, got -1.0 and 0.0", good, {"eps": -1}),
    ]
    for kind, message, arrays, options in refusals:
        with pytest.raises(kind, match=f"adam_step: .*{message}"):
            kernels.adam_step(*arrays, **{**STEP, **options})
    for kind, message, average, source, decay, out in [
        (ValueError, r"decay must be in \[0, 1\], got 1.5", mean, parameter, 1.5, None),
        (ValueError, r"average.shape=\(2, 3\) but parameter.shape=\(3,\)", mean, parameter[0], 0.5, None),
        (ValueError, "out shares memory", mean, parameter, 0.5, parameter),
        (ValueError, "out is changed in place", frozen, parameter, 0.5, frozen),
    ]:
        with pytest.raises(kind, match=f"ema_update: .*{message}"):
            kernels.ema_update(average, source, decay, out=out)
    np.testing.assert_array_equal(good, before)


@pytest.mark.peer
@settings
def test_against_pytorch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    parameter, gradient, mean, square = state((5, 7), np.float64)
    peer = torch.nn.Parameter(torch.from_numpy(parameter.copy()))
    kind = torch.optim.AdamW if options.get("decoupled") else torch.optim.Adam
    optimiser = kind(
        [peer],
        lr=options["lr"],
        betas=(options["beta1"], options["beta2"]),
        eps=options["eps"],
        weight_decay=options.get("weight_decay", 0),
    )
    for step in range(1, 6):
        gradient[...] = np.random.default_rng(step).standard_normal(gradient.shape)
        peer.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        kernels.adam_step(parameter, gradient, mean, square, step=step, **options, out=parameter)
    np.testing.assert_allclose(parameter, peer.detach().numpy(), rtol=1e-13, atol=1e-14)
