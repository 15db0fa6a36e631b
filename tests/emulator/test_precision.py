"""TF32 from the settings of a run down to the kernels, and where it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from train.tiny_run import CONFIG, blobs

from scratchgan import nn, ops
from scratchgan.autograd import grad
from scratchgan.device import DeviceError, require_tensor_cores, to_device
from scratchgan.tensor import Tensor
from scratchgan.train import ConfigError
from scratchgan.train.game import Game

from . import stand_in as module
from .loader import COMPILER
from .stand_in import stand_in

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")


@pytest.fixture
def cupy() -> Iterator[Any]:
    with stand_in() as runner:
        yield runner.module


def layers() -> list[nn.Module]:
    rng = np.random.default_rng(0)
    return [
        nn.Conv2d(9, 12, 3, padding=1, generator=rng),
        nn.ConvTranspose2d(9, 12, 4, stride=2, padding=1, generator=rng),
        nn.UpsampleConv2d(9, 12, 3, padding=1, generator=rng),
    ]


@pytest.mark.parametrize("layer", layers(), ids=lambda layer: type(layer).__name__)
def test_layers_round_their_inputs_and_their_gradients_do(layer: nn.Module, cupy: Any) -> None:
    x = np.random.default_rng(1).standard_normal((2, 9, 6, 6)).astype(np.float32)
    results = {}
    for precision in (None, "tf32"):
        nn.set_precision(layer.to("cuda"), precision)
        inputs = [Tensor(cupy.asarray(x), requires_grad=True), layer.weight]
        y = layer(inputs[0])
        results[precision] = [to_device(t.data, "cpu") for t in (y, *grad(ops.mean(y * y), inputs))]
    for exact, rounded in zip(results[None], results["tf32"], strict=True):
        error = np.abs(rounded - exact).max() / np.abs(exact).max()
        assert 1e-6 < error < 2**-9  # 10 bits of mantissa, and not float32


def test_a_runs_networks(cupy: Any) -> None:
    config = CONFIG.with_overrides({"device": "cuda", "precision": "tf32"}).completed(blobs())
    game = Game(config)
    convolutions = [
        layer
        for network in (*game.networks.values(), game.drawing()["generator"])
        for layer in network.modules()
        if hasattr(layer, "precision")
    ]
    assert len(convolutions) > 3
    assert {layer.precision for layer in convolutions} == {"tf32"}


def test_where_it_is_refused(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="precision=tf32 needs device=cuda"):
        CONFIG.with_overrides({"precision": "tf32"})
    with pytest.raises(ConfigError, match="precision=tf16 must be one of float32, tf32"):
        CONFIG.with_overrides({"precision": "tf16"})
    layer = layers()[0]
    with pytest.raises(ValueError, match=r"precision must be None or .*tf16"):
        nn.set_precision(layer, "tf16")
    nn.set_precision(layer, "tf32")
    with pytest.raises(ValueError, match="is for float32 arrays on a GPU; this is a NumPy array on the CPU, float32"):
        layer(np.ones((1, 9, 4, 4), np.float32))
    require_tensor_cores()
    monkeypatch.setattr(module._Device, "compute_capability", "75")
    with pytest.raises(DeviceError, match=r"compute capability 8.0 .* this GPU has 7.5"):
        require_tensor_cores()
    with pytest.raises(ValueError, match=r"needs a GPU of compute capability 8.0 or newer, this one has 75"):
        layer.to("cuda")(cupy.ones((1, 9, 4, 4), np.float32))
