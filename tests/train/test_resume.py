"""A run that is stopped, killed, or finds its disk full goes on as if nothing had happened: the same bits."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_run import CONFIG, SYSTEMS, blobs

from scratchgan.train import ConfigError, TrainConfig, Trainer, TrainError, system_names
from scratchgan.train.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from scratchgan.train.log import TIMING_KEYS, read_log


def outcome(out: Path) -> dict:
    """Everything that a run left: the newest checkpoint's bytes, the log without times, every picture's bytes."""
    newest = checkpoint_path(out / "checkpoints", checkpoint_steps(out / "checkpoints")[-1])
    log = [
        {key: value for key, value in line.items() if key not in TIMING_KEYS} for line in read_log(out / "log.jsonl")
    ]
    pictures = {path.name: path.read_bytes() for path in sorted((out / "samples").iterdir())}
    return {
        "checkpoint": (newest.name, newest.read_bytes()),
        "log": log,
        "pictures": pictures,
        "curves": (out / "curves.png").read_bytes(),
    }


def assert_same(first: dict, second: dict) -> None:
    assert first["log"] == second["log"]
    assert first["pictures"].keys() == second["pictures"].keys()
    assert first == second


def whole_run(config: TrainConfig, out: Path) -> Path:
    with Trainer.start(config, out, blobs()) as trainer:
        trainer.run()
    return out


class Stop(Exception):
    pass


def run_until(trainer: Trainer, stop: int) -> None:
    """Train, and abandon the run without a word after a step, as a killed process does."""

    def on_step(step, metrics):
        if step == stop:
            raise Stop

    with trainer, pytest.raises(Stop):
        trainer.run(on_step)


CONFIGS = {
    "bce, batch norm": {"d_norm": "batch", "label_smoothing": "0.1"},
    "hinge, spectral norm, r1": {"loss": "hinge", "d_norm": "spectral", "r1": "0.1"},
    "wgan-gp, two updates of D": {"loss": "wgan-gp", "d_norm": "layer", "d_steps": "2", "betas": "0,0.9"},
}


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_a_resumed_run_is_bit_identical(tmp_path, settings):
    config = CONFIG.with_overrides(settings)
    expected = outcome(whole_run(config, tmp_path / "whole" / "run"))
    notices: list[str] = []
    out = tmp_path / "broken" / "run"
    run_until(Trainer.start(config, out, blobs()), 3)  # before the first checkpoint
    run_until(Trainer.resume(out, blobs(), on_notice=notices.append), 8)  # 3 steps past a checkpoint
    run_until(Trainer.resume(out, blobs(), on_notice=notices.append), 11)
    with Trainer.resume(out, blobs(), on_notice=notices.append) as trainer:
        assert trainer.step == 10
        trainer.run()
    assert_same(outcome(out), expected)
    assert notices == [f"{out} has no checkpoint yet: starting again from step 0"]
    assert len(expected["log"]) == 12


def test_a_longer_run_is_the_same_as_a_shorter_one_that_was_extended(tmp_path):
    expected = outcome(whole_run(CONFIG, tmp_path / "whole" / "run"))
    out = whole_run(CONFIG.with_overrides({"steps": "8", "lr_steps": "12"}), tmp_path / "extended" / "run")
    with Trainer.resume(out, blobs(), steps=12) as trainer:
        trainer.run()
    assert_same(outcome(out), expected)


def kill_repeatedly(system: str, tmp_path: Path, kills: int, steps: int) -> None:
    program = [sys.executable, str(Path(__file__).with_name("tiny_run.py")), system]
    whole, out = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    subprocess.run([*program, str(whole), str(steps)], check=True, stdout=subprocess.DEVNULL)
    rng = np.random.default_rng()
    for _ in range(kills):
        process = subprocess.Popen([*program, str(out), str(steps)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        started = process.stdout.readline()
        assert started, "the run ended before it could be killed: give it more steps"
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.stdout.read()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed: give it more steps"
    subprocess.run([*program, str(out), str(steps)], check=True, stdout=subprocess.DEVNULL)
    assert_same(outcome(out), outcome(whole))
    assert not list(out.rglob("*.partial"))


def test_kill_9_at_random_moments(tmp_path):
    kill_repeatedly("gan", tmp_path, kills=3, steps=150)


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_kill_9_ten_times_in_a_row(system, tmp_path):
    kill_repeatedly(system, tmp_path, kills=10, steps=400)


def test_every_system_is_killed():
    assert list(SYSTEMS) == system_names()


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    notices: list[str] = []
    with Trainer.start(CONFIG, tmp_path / "run", blobs(), on_notice=notices.append) as trainer:
        with pytest.raises(KeyboardInterrupt):
            trainer.run(lambda step, metrics: os.kill(os.getpid(), signal.SIGINT) if step == 3 else None)
        assert trainer.step == 3
    assert checkpoint_steps(tmp_path / "run" / "checkpoints") == [3]
    assert notices == ["stopping after this step, with a checkpoint; press Ctrl-C again to stop at once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_damaged_checkpoint_costs_some_steps_and_not_the_run(tmp_path):
    expected = outcome(whole_run(CONFIG, tmp_path / "whole" / "run"))
    out = whole_run(CONFIG, tmp_path / "damaged" / "run")
    path = checkpoint_path(out / "checkpoints", 12)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    notices: list[str] = []
    with Trainer.resume(out, blobs(), on_notice=notices.append) as trainer:
        assert trainer.step == 10
        trainer.run()
    assert len(notices) == 1
    assert "step-000012.safetensors: damaged or cut short" in notices[0]
    assert_same(outcome(out), expected)


def test_all_checkpoints_damaged(tmp_path):
    out = whole_run(CONFIG, tmp_path / "run")
    for path in (out / "checkpoints").iterdir():
        os.truncate(path, 1000)
    with pytest.raises(TrainError, match="none of the 2 checkpoints can be read"):
        Trainer.resume(out, blobs(), on_notice=lambda notice: None)
    with pytest.raises(TrainError, match="none of the 2 checkpoints can be read"):  # and the lock was released
        Trainer.resume(out, blobs(), on_notice=lambda notice: None)


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path):
    expected = outcome(whole_run(CONFIG, tmp_path / "whole" / "run"))
    out = tmp_path / "full" / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step, metrics):
        if step == 9:  # from here on no file may have more than a few bytes, so the checkpoint of step 10 fails
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(out / "log.jsonl") + 400, hard))

    try:
        with Trainer.start(CONFIG, out, blobs()) as trainer, pytest.raises(TrainError) as caught:
            trainer.run(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(caught.value)
    assert "cannot be written (File too large)" in message
    assert "its last checkpoint is of step 5" in message
    assert f"scratchgan train --resume {out}" in message
    assert checkpoint_steps(out / "checkpoints") == [5]
    assert not list(out.rglob("*.partial"))
    with Trainer.resume(out, blobs()) as trainer:
        trainer.run()
    assert_same(outcome(out), expected)


def test_what_may_not_change_on_resume(tmp_path):
    out = whole_run(CONFIG, tmp_path / "run")
    with pytest.raises(ConfigError, match="was started with width=4, and width=8 would make it another run"):
        Trainer.resume(out, blobs(), settings={"width": "8"})
    with pytest.raises(TrainError, match="at step 12 already, beyond steps=6"):
        Trainer.resume(out, blobs(), steps=6)
    with pytest.raises(ConfigError, match="the images of blobs have size=16"):
        Trainer.resume(out, blobs(size=16))
    edited = json.loads((out / "config.json").read_text()) | {"lr_d": 0.5}
    (out / "config.json").write_text(json.dumps(edited))
    with pytest.raises(ConfigError, match=r"was written with lr_d=0\.002, and lr_d=0\.5 would make it another run"):
        Trainer.resume(out, blobs())


def test_other_data_on_resume(tmp_path):
    from scratchgan.data import DataError

    out = whole_run(CONFIG, tmp_path / "run")
    with pytest.raises(DataError, match="the run was trained on other data"):
        Trainer.resume(out, blobs(count=41), steps=20)


def test_intervals_may_change_on_resume(tmp_path):
    out = whole_run(CONFIG, tmp_path / "run")
    with Trainer.resume(out, blobs(), steps=14, settings={"checkpoint_every": "1", "keep_checkpoints": "3"}) as trainer:
        trainer.run()
    assert checkpoint_steps(out / "checkpoints") == [12, 13, 14]
    assert TrainConfig.from_json(out / "config.json").run.checkpoint_every == 1


def test_the_checkpoint_holds_no_clock_and_no_path(tmp_path):
    out = whole_run(CONFIG, tmp_path / "run")
    state = load_checkpoint(checkpoint_path(out / "checkpoints", 12)).state
    assert state.keys() == {"step", "version", "config", "loader", "numbers", "random", "system"}
    assert str(tmp_path) not in json.dumps(state)
