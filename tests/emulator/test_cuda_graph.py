"""A training step as a CUDA graph, on the stand-in: the same bits as the plain step, and clear errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train.tiny_run import CONFIG, blobs, step

from scratchgan import kernels, ops
from scratchgan.autograd import grad
from scratchgan.cuda_graph import CapturedStep, GraphError, from_host, is_recording, reread
from scratchgan.device import to_device
from scratchgan.nn import Linear
from scratchgan.optim import Adam
from scratchgan.systems.gan import Gan
from scratchgan.tensor import Tensor
from scratchgan.train import ConfigError, TrainConfig, Trainer
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint
from scratchgan.train.game import Game
from scratchgan.train.log import read_log

from .capture import Stream
from .loader import COMPILER
from .stand_in import DeviceArray, stand_in

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")

SETTINGS = {
    "bce, batch norm, falling rates": {"d_norm": "batch", "lr_end": "0.1", "lr_steps": "3"},
    "hinge, spectral norm, r1": {"loss": "hinge", "d_norm": "spectral", "r1": "0.1"},
    "wgan-gp, two updates of D": {"loss": "wgan-gp", "d_norm": "layer", "d_steps": "2", "betas": "0,0.9"},
}
STEPS = 4  # one as it is, one captured and launched, two launched


@pytest.fixture
def cupy() -> Iterator[Any]:
    with stand_in() as runner:
        Stream.graphs.clear()
        yield runner.module


def played(config: TrainConfig, steps: int = STEPS) -> tuple[Game, list[dict[str, float]]]:
    game = Game(config.completed(blobs()))
    batches = (blobs().images(np.arange(config.run.batch) + i) for i in range(100))
    return game, [step(game, lambda: next(batches)) for _ in range(steps)]


def assert_equal(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_captured_step_has_the_bits_of_a_plain_one(settings: dict[str, str], cupy: Any) -> None:
    config = CONFIG.with_overrides({**settings, "device": "cuda"})
    plain, wanted = played(config)
    captured, got = played(config.with_overrides({"cuda_graph": "true"}))
    assert got == wanted
    assert_equal(captured.arrays(), plain.arrays())
    assert captured.state() == plain.state()
    (graph,) = Stream.graphs
    assert graph.launches == STEPS - 1
    assert [n for n in graph.names if n == "optimizer.adam"] == ["optimizer.adam"] * (1 + config.own.d_steps)


def test_steps_of_two_kinds_are_two_graphs_of_the_same_arrays(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of a kind is a plain one: the graph of another kind must find what that step has changed."""
    monkeypatch.setattr(Gan, "phase", lambda self, step: "third" if step % 3 == 2 else "")
    config = CONFIG.with_overrides({"device": "cuda", "d_norm": "batch"})
    plain, wanted = played(config, 8)
    captured, got = played(config.with_overrides({"cuda_graph": "true"}), 8)
    assert got == wanted
    assert_equal(captured.arrays(), plain.arrays())
    assert [graph.launches for graph in Stream.graphs] == [5, 1]  # steps 1, 3, 4, 6 and 7; step 5


def two_layers() -> tuple[Callable[[], DeviceArray], list[Any], Adam]:
    """A step that fits two linear layers to noise; returns it, its layers and its optimiser."""
    rng = np.random.default_rng(0)
    layers = [Linear(6, 9, generator=rng).to("cuda"), Linear(9, 1, generator=rng).to("cuda")]
    optimizer = Adam([p for layer in layers for p in layer.parameters()], 1e-2)
    noise = np.random.default_rng(1)

    def step() -> DeviceArray:
        x = Tensor(from_host(lambda: noise.standard_normal((5, 6), np.float32), "cuda"))
        loss = ops.mean((layers[1](ops.relu(layers[0](x))) - 1.0) ** 2)
        optimizer.step(grad(loss, optimizer.parameters))
        return loss.data

    return step, layers, optimizer


def test_losses_and_weights_of_two_layers(cupy: Any) -> None:
    """Numbers that change (noise, Adam's corrections) are read anew, and weights written where they are read."""
    step, plain, _ = two_layers()
    wanted = [float(step()) for _ in range(6)]
    step, layers, optimizer = two_layers()
    captured = CapturedStep(step, lambda: [slot for layer in layers for slot in layer.slots()])
    before = DeviceArray.transfers
    got = []
    for n in range(6):
        loss = captured()
        assert DeviceArray.transfers == before + n, "a step waits for the GPU"
        got.append(float(loss))
    assert got == wanted
    assert len(set(got)) == 6
    assert optimizer._steps == [6] * 4
    assert "__setitem__" not in Stream.graphs[0].names  # new weights are not copied back
    for a, b in zip(layers, plain, strict=True):
        assert_equal(a.state_dict(), b.state_dict())


def test_what_a_step_binds_anew_is_copied_back(cupy: Any) -> None:
    class Counter:
        array = cupy.zeros(3)

    counter = Counter()
    home = counter.array

    def step() -> Any:
        counter.array = counter.array + 1.0
        return counter.array * 2.0

    captured = CapturedStep(step, lambda: [(counter, "array")])
    assert [captured().get()[0] for _ in range(4)] == [2, 4, 6, 8]
    assert counter.array is home  # after the plain step too: another graph may read there
    assert home.get()[0] == 4


def test_reread_and_is_recording_in_a_plain_step(cupy: Any) -> None:
    called = []
    assert reread(lambda: called.append(1) or np.zeros(1)) is None
    assert called == [1]
    assert not is_recording()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda x: x @ x, "cuBLAS"),
        (lambda x: float(x.sum()) + x, "a copy to the host"),
        (lambda x: x + to_device(np.ones((2, 2)), "cuda"), "a copy from the host"),
        (lambda x: x[np.array([0, 1])], "an array as an index"),
    ],
    ids=["cuBLAS", "to the host", "from the host", "index"],
)
def test_what_cannot_be_captured(step: Any, reason: str, cupy: Any) -> None:
    x = cupy.ones((2, 2))
    captured = CapturedStep(lambda: step(x), lambda: [])
    captured()
    with pytest.raises(GraphError, match=rf"can't be captured .*{reason}.*cuda_graph=false"):
        captured()
    assert float((x * 2).sum()) == 8  # the stream is usable again


def test_inputs_keep_their_shape(cupy: Any) -> None:
    lengths = iter([3, 3, 3, 4])
    captured = CapturedStep(lambda: from_host(lambda: np.ones(next(lengths)), "cuda") * 2.0, lambda: [])
    for _ in range(3):
        captured()
    with pytest.raises(GraphError, match=r"was given float64 \(4,\) where it was recorded with float64 \(3,\)"):
        captured()


def test_a_gpu_is_needed() -> None:
    with pytest.raises(ConfigError, match="cuda_graph=true needs device=cuda"):
        CONFIG.with_overrides({"cuda_graph": "true"})


def test_a_run_that_is_resumed_has_the_same_bits(tmp_path: Path, cupy: Any) -> None:
    steps = {"device": "cuda", "cuda_graph": "true", "checkpoint_every": "3", "sample_every": "6", "lr_steps": "6"}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    with Trainer.start(CONFIG.with_overrides(steps | {"steps": "6"}), whole, blobs()) as trainer:
        trainer.run()
    with Trainer.start(CONFIG.with_overrides(steps | {"steps": "3"}), stopped, blobs()) as trainer:
        trainer.run()
    with Trainer.resume(stopped, blobs(), steps=6) as trainer:
        trainer.run()
    wanted, got = (load_checkpoint(checkpoint_path(run / "checkpoints", 6)) for run in (whole, stopped))
    assert_equal(got.arrays, wanted.arrays)


@pytest.mark.parametrize("captured", ["false", "true"])
def test_numbers_are_read_where_they_are_shown(tmp_path: Path, captured: str, cupy: Any) -> None:
    settings = {"device": "cuda", "cuda_graph": captured, "steps": "7", "log_every": "3", "checkpoint_every": "100"}
    with Trainer.start(
        CONFIG.with_overrides({**settings, "sample_every": "100"}), tmp_path / "run", blobs()
    ) as trainer:
        reads = []
        trainer.run(lambda step, metrics: reads.append((step, DeviceArray.transfers, metrics["loss_d"])))
    transfers = [after - before for (_, before, _), (_, after, _) in itertools.pairwise(reads[:6])]
    assert transfers == [0, 1, 0, 0, 1]  # from step 2 to 6
    assert reads[3][2] == reads[2][2] != reads[5][2]
    assert [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl")] == [3, 6, 7]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7, 3), (20, 33, 1), (1, 40, 17), (3, 1, 4), (0, 2, 3), (12, 0, 3)], ids=str)
def test_products_of_matrices(shape: tuple[int, int, int], dtype: type, cupy: Any) -> None:
    """Each way that a matrix can lie in memory, against NumPy."""
    m, k, n = shape
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            got = kernels.matmul(cupy.asarray(left), cupy.asarray(right))
            assert got.dtype == dtype
            eps = 50 * np.finfo(dtype).eps
            np.testing.assert_allclose(to_device(got, "cpu"), a @ b, rtol=eps, atol=eps * 10)
