"""Runs of the version before systems had names go on, and those of a newer version are refused in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, make_old

from scratchgan.train import load_run
from scratchgan.train.checkpoint import Checkpoint, checkpoint_path, checkpoint_steps, load_checkpoint, save_checkpoint

POINTS = ("--data", "swiss-roll", "--limit", 100, "--batch", 16, "--set", "width=8", "--set", "checkpoint_every=2")


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.mark.parametrize("system", ["gan", "points"])
def test_a_run_of_the_version_before_goes_on_with_the_same_bits(system, data, finished, scratchgan, tmp_path):
    settings = ("--data", data, *TINY) if system == "gan" else (*POINTS, "--steps", 6)
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert scratchgan("train", *settings, "--out", whole, "--quiet").code == 0
    assert scratchgan("train", *settings, "--out", run, "--steps", 4, "--set", "lr_steps=6", "--quiet").code == 0
    expected = load_run(run).sample(5, seed=1)
    make_old(run)
    before = {path.name for path in run.rglob("*")}
    config = json.loads((run / "config.json").read_text())
    assert "system" not in config
    assert config["model"] == {"gan": "gan", "points": "mlp"}[system]

    assert scratchgan("sample", run, "--n", 5, "--seed", 1, "--out", tmp_path / "five.npz").code == 0
    with np.load(tmp_path / "five.npz") as archive:
        assert np.array_equal(archive["images" if system == "gan" else "points"], expected)
    if system == "points":
        assert "generated points: " in scratchgan("evaluate", run, "--n", 200).out
    assert {path.name for path in run.rglob("*")} == before

    assert scratchgan("train", "--resume", run, "--steps", 6, "--quiet") == (0, "", "")
    ours, wanted = (load_checkpoint(checkpoint_path(folder / "checkpoints", 6)) for folder in (run, whole))
    assert ours.arrays.keys() == wanted.arrays.keys()
    assert all(np.array_equal(ours.arrays[name], array) for name, array in wanted.arrays.items())
    assert ours.state == wanted.state
    assert (run / "config.json").read_bytes() == (whole / "config.json").read_bytes()  # it is of this version now
    again = tmp_path / "again"
    make_old(whole)  # an old config starts a new run as well
    assert scratchgan("train", "--config", whole / "config.json", "--out", again, "--quiet").code == 0
    anew = load_checkpoint(checkpoint_path(again / "checkpoints", 6))
    assert all(np.array_equal(anew.arrays[name], array) for name, array in wanted.arrays.items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"noise_schedule": "cosine"}, "unknown setting 'noise_schedule'"),
        ({"lr_ends": 0.5}, "unknown setting 'lr_ends'"),
        ({"system": "diffusion"}, "no system is named 'diffusion'"),
    ],
    ids=["setting", "like an old one", "system"],
)
def test_a_run_of_a_newer_version(change, says, run, failing, tmp_path):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    content = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    for command in (
        ("train", "--resume", run, "--steps", 8),
        ("sample", run, "--out", tmp_path / "x.png"),
        ("interpolate", run, "--out", tmp_path / "x.gif"),
        ("evaluate", run),
    ):
        line = failing(1, *command)
        assert f"{path}: {says}: config.json was written by a newer scratchgan than this one (" in line
        assert len(line) < 400
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == content
    assert [file.name for file in tmp_path.iterdir()] == ["copy"]


def test_a_newer_checkpoint_beside_an_old_config(run, failing):
    """Somebody's newer scratchgan went on with the run, and was killed before it wrote config.json."""
    path = checkpoint_path(run / "checkpoints", 6)
    saved = load_checkpoint(path)
    config = saved.state["config"] | {"noise_schedule": "cosine"}
    save_checkpoint(path, Checkpoint(saved.arrays, saved.state | {"config": config, "version": "9.0"}))
    line = failing(1, "train", "--resume", run, "--steps", 8)
    assert f"{run / 'checkpoints'} was written by scratchgan 9.0, and does not fit this one (" in line
    assert line.endswith("): unknown setting 'noise_schedule'\n")
    assert checkpoint_steps(run / "checkpoints") == [2, 4, 6]
