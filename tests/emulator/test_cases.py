"""Every case of an operator with a CUDA kernel, through the emulator: the wrapper's whole path on the kernel's source.

The same checks as tests/test_operators.py makes on the CPU: forward against the reference, gradients of first and
second order, and the exact adjoint where the operator is linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, OpCase

from scratchgan import kernels
from scratchgan.autograd import grad
from scratchgan.tensor import Tensor

from .loader import COMPILER, Emulator, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")

FOLDER = Path(kernels.__file__).parent
FAMILIES = sorted(path.parent.name for path in FOLDER.glob("*/gpu.cu"))

# Which kernels an operator's case must run, by the beginnings of their names: forward and gradients.
EXPECTED = {
    "conv2d": ["conv."],
    "conv_transpose2d": ["conv."],
    "upsample_conv2d": ["upsample_conv."],
    "leaky_relu": ["activation.leaky_relu", "activation.leaky_relu_grad"],
    "relu": ["activation.leaky_relu", "activation.leaky_relu_grad"],
    "upsample_nearest2d": ["upsample.nearest", "upsample.nearest_grad"],
    "upsample_bilinear2d": ["upsample.bilinear", "upsample.bilinear_grad"],
    "grid_sample": ["sampling.sample", "sampling.sample_input_grad"],
    "interpolate": ["resampling.resample"],
    "adaptive_avg_pool2d": ["resampling.resample"],
    "upfirdn2d": ["upfirdn.upfirdn"],
    "upsample_fir2d": ["upfirdn.upfirdn"],
    "downsample_fir2d": ["upfirdn.upfirdn"],
    "max_pool2d": ["pool.max_pool", "pool.max_pool_grad"],
    "avg_pool2d": ["pool.avg_pool", "pool.avg_pool_grad"],
    "batch_norm": ["norm.batch_norm"],
    "scale_shift": ["modulation.scale_shift"],
    "linear": ["conv."],
    "matmul": ["conv."],
}
# Tables and coordinates are made on the host: one case of each kind runs all of their kernels.
ONLY = {"interpolate": "bilinear", "grid_sample": "bilinear-zeros"}
WITH_KERNELS = [
    case
    for case in CASES
    if case.operator in EXPECTED
    and case.variant == ONLY.get(case.operator, case.variant)
    # batch_norm with given statistics is elementwise, and products of more than two axes are CuPy's
    and case.variant not in ("evaluation", "batched", "vector-left")
    and all(name.split(".")[0] in FAMILIES for name in EXPECTED[case.operator])
]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulated() as running:
        yield running


def test_every_family_has_both_kinds_of_kernels() -> None:
    """A family's gpu.py has the functions of its cpu.py that the wrappers call."""
    for family in FAMILIES:
        gpu = import_module(f"scratchgan.kernels.{family}.gpu")
        cpu = import_module(f"scratchgan.kernels.{family}.cpu")
        names = {name for name, value in vars(gpu).items() if callable(value) and value.__module__ == gpu.__name__}
        missing = {name for name in names if not name.startswith("_")} - set(vars(cpu))
        assert not missing, f"{family}/gpu.py has {missing}, which cpu.py does not"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", WITH_KERNELS, ids=lambda case: case.name)
def test_forward_and_gradients(case: OpCase, dtype: type, emulator: Emulator) -> None:
    """Against the CPU's kernels, which test_operators.py holds against the references and finite differences."""
    rng = np.random.default_rng(3)

    def everything() -> list[np.ndarray]:
        tensors = [Tensor(a, requires_grad=True) for a in case.inputs(dtype)]
        y = case.function(*tensors, **case.params)
        gy = Tensor(weights(y.shape), requires_grad=True)
        first = grad(y, tensors, gy, create_graph=True)
        wanted = [g for g in first if g.requires_grad]
        second = grad(wanted, [gy, *tensors], [Tensor(weights(g.shape)) for g in wanted], allow_unused=True)
        return [t.numpy() for t in (y, *first, *second) if t is not None]

    def weights(shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(dtype)

    state = rng.bit_generator.state
    on_gpu = everything()
    names = set(emulator.launches)
    for expected in EXPECTED[case.operator]:
        assert any(name.startswith(expected) for name in names), (expected, names)
    np.testing.assert_allclose(on_gpu[0], case.reference(*case.inputs(dtype), **case.params), **tolerance(dtype))
    rng.bit_generator.state = state
    with emulated_off():
        on_cpu = everything()
    assert len(on_gpu) == len(on_cpu)
    for got, want in zip(on_gpu, on_cpu, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, **tolerance(dtype))


@pytest.mark.parametrize(
    ("case", "index"),
    [(case, index) for case in WITH_KERNELS for index in case.linear_in],
    ids=lambda value: value.name if isinstance(value, OpCase) else str(value),
)
def test_exact_adjoint(case: OpCase, index: int, emulator: Emulator) -> None:
    """<J v, w> == <v, J^T w> to the rounding of float64: the gradient is the forward's transpose, not nearly so."""
    arrays = case.inputs(np.float64)
    rng = np.random.default_rng(5)
    v = rng.standard_normal(arrays[index].shape)

    def forward(x: np.ndarray) -> np.ndarray:
        given = [Tensor(x if i == index else a) for i, a in enumerate(arrays)]
        return case.function(*given, **case.params).numpy()

    jv = forward(v) - forward(np.zeros_like(v))
    w = rng.standard_normal(jv.shape)
    tensors = [Tensor(a, requires_grad=i == index) for i, a in enumerate(arrays)]
    (back,) = grad(case.function(*tensors, **case.params), [tensors[index]], Tensor(w))
    left, right = float(np.vdot(jv, w)), float(np.vdot(v, back.numpy()))
    scale = np.abs(jv * w).sum() + np.abs(v * back.numpy()).sum()
    assert abs(left - right) <= 1e-13 * scale


def tolerance(dtype: type) -> dict[str, float]:
    return {"rtol": 2e-5, "atol": 2e-5} if dtype is np.float32 else {"rtol": 1e-11, "atol": 1e-12}


def emulated_off():
    """Back to the CPU's kernels, within `emulated`."""
    from scratchgan.kernels import launch

    return launch.replaced_by(None)  # type: ignore[arg-type]
