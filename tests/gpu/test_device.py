"""On a real GPU: operators against the CPU, training, checkpoints, errors. Without one, skipped with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, OpCase
from train.tiny_run import step

from scratchgan import kernels
from scratchgan.autograd import grad
from scratchgan.cuda_graph import CapturedStep, GraphError
from scratchgan.data import ArrayDataset
from scratchgan.device import DeviceError, memory_error, require_cuda, to_device
from scratchgan.tensor import Tensor
from scratchgan.train import TrainConfig, Trainer
from scratchgan.train.game import Game

try:
    cupy: Any = require_cuda()
    REASON = ""
except DeviceError as error:
    cupy, REASON = None, str(error)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(cupy is None, reason=REASON)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator_agrees_with_the_cpu(case: OpCase, dtype: type) -> None:
    if case.operator == "to_device" or case.variant == "evaluation":
        pytest.skip("its case has arrays on the CPU")

    def everything(place: Any) -> list[np.ndarray]:
        rng = np.random.default_rng(3)
        tensors = [Tensor(place(a), requires_grad=True) for a in case.inputs(dtype)]
        y = case.function(*tensors, **case.params)
        gy = Tensor(place(rng.uniform(-1, 1, y.shape).astype(dtype)), requires_grad=True)
        first = grad(y, tensors, gy, create_graph=True)
        wanted = [g for g in first if g.requires_grad]
        ones = [Tensor(g.namespace.ones_like(g.data)) for g in wanted]
        second = grad(wanted, [gy, *tensors], ones, allow_unused=True)
        return [to_device(t.data, "cpu") for t in (y, *first, *second) if t is not None]

    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype is np.float32 else {"rtol": 1e-11, "atol": 1e-12}
    for got, want in zip(everything(cupy.asarray), everything(np.asarray), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, **tolerance)


def test_twice_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    x, w = (cupy.asarray(rng.standard_normal(s, np.float32)) for s in ((8, 16, 32, 32), (24, 16, 3, 3)))
    gy = kernels.conv2d(x, w, padding=1)
    for function in (
        lambda: kernels.conv2d(x, w, padding=1),
        lambda: kernels.conv2d_weight_grad(x, gy, (3, 3), padding=1),
        lambda: kernels.conv2d_input_grad(gy, w, (32, 32), padding=1),
        lambda: kernels.channel_sum(x),
    ):
        assert function().tobytes() == function().tobytes()


def test_more_elements_than_a_32_bit_index_reaches() -> None:
    count = 2**31 + 17
    if cupy.cuda.Device().mem_info[0] < 3 * 4 * count:
        pytest.skip("the GPU has too little free memory for two arrays of 8 GiB")
    x = cupy.full(count, -1, np.float32)
    y = kernels.leaky_relu(x, 0.5)
    assert float(y[-1]) == -0.5
    assert bool((y == -0.5).all())


def test_on_the_current_stream() -> None:
    with cupy.cuda.Stream(non_blocking=True) as stream:
        y = kernels.leaky_relu(cupy.full(1 << 20, -2, np.float32), 0.5)
        stream.synchronize()
    assert bool((y == -1).all())


def test_mixed_devices_and_numpy() -> None:
    x = cupy.ones((1, 1, 4, 4), np.float32)
    with pytest.raises(TypeError, match=r"conv2d: w is a NumPy array on the CPU but x is a GPU array on cuda:0"):
        kernels.conv2d(x, np.ones((1, 1, 3, 3), np.float32))
    with pytest.raises(TypeError, match=r"this Tensor is on cuda:0; copy it with .to\('cpu'\)"):
        Tensor(x).numpy()


def test_out_of_memory_says_what_is_free_and_leaves_nothing() -> None:
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    total = cupy.cuda.Device().mem_info[1]
    with pytest.raises(MemoryError) as caught:
        kernels.upsample_nearest2d(cupy.ones((1, 1, 1 << 10, 1 << 10), np.float32), 1 + int((total / 2**22) ** 0.5))
    assert "MiB are free; use a smaller --batch" in str(memory_error(caught.value))
    del caught
    assert pool.used_bytes() <= before + (1 << 23)


@pytest.mark.parametrize(
    "settings",
    [
        {"d_norm": "batch", "lr_end": "0.1"},
        {"loss": "hinge", "d_norm": "spectral", "r1": "0.1"},
        {"loss": "wgan-gp", "d_norm": "layer", "d_steps": "2", "betas": "0,0.9"},
    ],
    ids=["bce", "hinge", "wgan-gp"],
)
def test_a_captured_step_has_the_bits_of_a_plain_one(settings: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    data = ArrayDataset(np.zeros((8, 1, 8, 8), np.uint8), name="noise")
    batches = [rng.uniform(-1, 1, (8, 1, 8, 8)).astype(np.float32) for _ in range(12)]
    config = TrainConfig("gan", data="noise", latent=4, width=4, batch=8, device="cuda").with_overrides(settings)
    games, metrics = [], []
    for captured in ("false", "true"):
        game = Game(config.with_overrides({"cuda_graph": captured}).completed(data))
        feed = iter(batches)
        metrics.append([step(game, lambda feed=feed: next(feed).copy()) for _ in range(6)])
        games.append(game.arrays())
    assert metrics[0] == metrics[1]
    for name, array in games[0].items():
        np.testing.assert_array_equal(games[1][name], array, err_msg=name)


def test_no_number_of_a_captured_step_is_waited_for_inside() -> None:
    """What a step must not do while it is captured says so, and the device can be used afterwards."""
    x = cupy.ones((2, 2), np.float32)
    captured = CapturedStep(lambda: x * float(x.sum()), lambda: [])
    captured()
    with pytest.raises(GraphError, match="can't be captured"):
        captured()
    assert float((x * 2).sum()) == 8


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(64, 6272, 1), (64, 64, 6272), (6272, 64, 64), (1, 40, 17)], ids=str)
def test_products_of_matrices(shape: tuple[int, int, int], dtype: type) -> None:
    m, k, n = shape
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            got = kernels.matmul(cupy.asarray(left), cupy.asarray(right))
            eps = 8 * k**0.5 * np.finfo(dtype).eps
            np.testing.assert_allclose(cupy.asnumpy(got), a.astype(float) @ b.astype(float), rtol=eps, atol=eps * 8)


def test_a_run_moves_between_devices(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.integers(0, 255, (64, 1, 8, 8)).astype(np.uint8), name="noise")
    config = TrainConfig("gan", data="noise", latent=4, width=4, batch=8, steps=4, checkpoint_every=4, sample_every=4)
    with Trainer.start(config.with_overrides({"device": "cuda"}), tmp_path / "run", data) as trainer:
        trainer.run()
    with Trainer.resume(tmp_path / "run", data, settings={"device": "cpu", "steps": "6"}) as trainer:
        trainer.run()
        assert trainer.step == 6
