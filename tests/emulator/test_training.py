"""The training loop on ``device="cuda"`` without a GPU: a stand-in for CuPy's arrays, the emulator for its kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import CASES, OpCase
from train.tiny_run import CONFIG, blobs, step

from scratchgan import kernels
from scratchgan.autograd import grad
from scratchgan.device import to_device
from scratchgan.tensor import Tensor
from scratchgan.train import Trainer
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint
from scratchgan.train.game import Game

from .loader import COMPILER
from .stand_in import DeviceArray, stand_in

FOLDER = Path(kernels.__file__).parent
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed"),
    pytest.mark.skipif(not (FOLDER / "conv" / "gpu.cu").is_file(), reason="convolution has no CUDA kernel yet"),
]

SETTINGS = {
    "bce, batch norm": {"d_norm": "batch", "label_smoothing": "0.1"},
    "hinge, spectral norm, r1": {"loss": "hinge", "d_norm": "spectral", "r1": "0.1"},
    "wgan-gp, two updates of D": {"loss": "wgan-gp", "d_norm": "layer", "d_steps": "2", "betas": "0,0.9"},
}
STEPS = 3


def parameters(game: Game) -> dict[str, np.ndarray]:
    return {
        name: array
        for name, array in game.arrays().items()
        if name.startswith(("generator.", "discriminator.", "ema."))
    }


def assert_close(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Equal but for rounding.

    The bias of a convolution before a batch norm is the exception: its gradient is nothing but rounding, which Adam
    brings up to steps as long as the learning rate, in either direction; the batch norm's mean follows it.
    """
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        free = name.endswith(("5.bias", "6.running_mean"))
        np.testing.assert_allclose(
            got[name], array, rtol=1e-5, atol=2 * STEPS * CONFIG.own.lr_g if free else 1e-6, err_msg=name
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operator_on_another_device(case: OpCase) -> None:
    """Values and gradients of first and second order stay on the device, and nothing is copied behind one's back."""
    if case.operator == "to_device" or case.variant == "evaluation":
        pytest.skip("its case has arrays on the CPU")
    with stand_in() as runner:
        tensors = [Tensor(runner.module.asarray(a), requires_grad=True) for a in case.inputs(np.float64)]
        y = case.function(*tensors, **case.params)
        gy = Tensor(runner.module.ones(y.shape), requires_grad=True)
        before = DeviceArray.transfers
        first = grad(y, tensors, gy, create_graph=True)
        wanted = [g for g in first if g.requires_grad]
        second = grad(
            wanted, [gy, *tensors], [Tensor(runner.module.ones_like(g.data)) for g in wanted], allow_unused=True
        )
        assert DeviceArray.transfers == before, "a gradient waits for the GPU"
        for result in (y, *first, *second):
            assert result is None or type(result.data) is DeviceArray
        np.testing.assert_allclose(
            to_device(y.data, "cpu"), case.reference(*case.inputs(np.float64), **case.params), rtol=1e-10, atol=1e-11
        )


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_training_is_the_same_on_both_devices(settings: dict[str, str]) -> None:
    config = CONFIG.with_overrides(settings).completed(blobs())
    batches = [blobs().images(np.arange(config.run.batch) + i) for i in range(STEPS * config.own.d_steps)]
    games, metrics = {}, {}
    with stand_in():
        for device in ("cpu", "cuda"):
            game = Game(config.with_overrides({"device": device}))
            feed = iter([b.copy() for b in batches])
            start = DeviceArray.transfers
            metrics[device] = [step(game, lambda feed=feed: next(feed)) for _ in range(STEPS)]
            assert DeviceArray.transfers - start == (STEPS if device == "cuda" else 0), "one copy to the host a step"
            games[device] = parameters(game)
    assert_close(games["cuda"], games["cpu"])
    for on_gpu, on_cpu in zip(metrics["cuda"], metrics["cpu"], strict=True):
        assert on_gpu.keys() == on_cpu.keys()
        for name, value in on_cpu.items():
            assert on_gpu[name] == pytest.approx(value, rel=1e-2, abs=1e-3), name


@pytest.mark.slow
def test_a_checkpoint_moves_between_devices(tmp_path: Path) -> None:
    """A run begun on one device and ended on the other is, but for rounding, the run of one device."""
    steps = {"steps": "4", "lr_steps": "4", "checkpoint_every": "2", "sample_every": "4"}
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    with Trainer.start(CONFIG.with_overrides(steps), whole, blobs()) as trainer:
        trainer.run()
    config = CONFIG.with_overrides(steps | {"steps": "2", "device": "cuda"})
    with stand_in(), Trainer.start(config, moved, blobs()) as trainer:
        trainer.run()
    with Trainer.resume(moved, blobs(), settings={"steps": "4", "device": "cpu"}) as trainer:
        assert trainer.step == 2
        trainer.run()
    wanted, got = (load_checkpoint(checkpoint_path(run / "checkpoints", 4)) for run in (whole, moved))
    assert_close(
        {name: a for name, a in got.arrays.items() if "optimizer" not in name},
        {name: a for name, a in wanted.arrays.items() if "optimizer" not in name},
    )
