"""The process that compiles kernels beside a first training."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scratchgan import kernels
from scratchgan.kernels import jit


class FakeProcess:
    """Notes what would have been started, and how it ended."""

    started: list[list[str]]
    ended: int

    def __init__(self, command: list[str], **streams: Any):
        FakeProcess.started.append(command)

    def terminate(self) -> None:
        FakeProcess.ended += 1

    def wait(self) -> None:
        pass


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    FakeProcess.started, FakeProcess.ended = [], 0
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    return FakeProcess


def test_it_runs_beside_a_first_start_and_ends_with_it(
    processes: type[FakeProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_CACHE", tmp_path)

    def interrupted() -> None:
        with kernels.compile_ahead():
            assert processes.started == [[sys.executable, "-m", "scratchgan.kernels.ahead"]]
            assert not processes.ended
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert processes.ended == 1


@pytest.mark.parametrize("why", ["kernels are there", "no cache", "one core"])
def test_it_does_not_run_in_vain(
    why: str, processes: type[FakeProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_CACHE", None if why == "no cache" else tmp_path)
    if why == "kernels are there":
        (tmp_path / "norm-cpu.channel_sum-86.py311.nbi").touch()
    if why == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    with kernels.compile_ahead():
        pass
    assert not processes.started


@pytest.mark.slow
def test_a_step_compiles_nothing_more_than_the_tiles(tmp_path: Path) -> None:
    """What it compiles has the argument types of a training step: a step after it leaves only what it leaves out."""
    environment = {**os.environ, "SCRATCHGAN_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "scratchgan.kernels.ahead"], env=environment, check=True, timeout=300)
    step = """
from scratchgan import kernels
from scratchgan.data import ArrayDataset
from scratchgan.train import Game, TrainConfig
import numpy as np
rng = np.random.default_rng(0)
data = ArrayDataset(rng.integers(0, 256, (32, 3, 32, 32), np.uint8))
with kernels.on_compile(print):
    Game(TrainConfig("gan").completed(data)).advance(lambda: data.fields(np.arange(32)))
"""
    run = subprocess.run(
        [sys.executable, "-c", step], env=environment, check=True, timeout=300, capture_output=True, text=True
    )
    compiled = set(run.stdout.split())
    assert "conv.tile_tasks.run_tasks" in compiled
    others = {name for name in compiled if not name.startswith(("conv.tile", "conv.lanes", "simd"))}
    assert not others
