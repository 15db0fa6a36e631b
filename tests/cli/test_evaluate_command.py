"""`scratchgan evaluate`: a table and JSON, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, make_old

from scratchgan.metrics.evaluators import store


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """1,200 grey images of 16 x 16 pixels: a bar that lies, or one that stands."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 60, (1200, 16, 16, 1)).astype(np.uint8), rng.integers(0, 2, 1200)
    for image, label, place in zip(images, labels, rng.integers(1, 14, 1200), strict=True):
        image[(slice(None), slice(place, place + 2)) if label else slice(place, place + 2)] = 255
    np.savez(tmp_path / "bars.npz", images=images, labels=labels, classes=np.array(["lying", "standing"]))
    return tmp_path / "bars.npz"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache folder for evaluators alone: that of compiled kernels stays."""
    monkeypatch.setattr(store, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_a_labelled_run(labelled: Path, tmp_path: Path, scratchgan) -> None:
    run, out = tmp_path / "run", tmp_path / "deep" / "scores.json"
    assert scratchgan("train", "--data", labelled, "--out", run, *TINY).code == 0
    first = scratchgan("evaluate", run, "--n", 300, "--json", out)
    assert first.code == 0, first.err
    assert "training a classifier of bars" in first.err
    assert "Frechet distance (FID)" in first.out
    assert "copies of training images" not in first.out  # all images are trained on, so it can't be told
    scores = json.loads(out.read_text())
    assert scores["n"] == 300
    assert scores["scores"]["fid"] > 3 * scores["real_against_real"]["fid"]  # six steps are not enough
    assert scores["evaluator"]["hash"] in first.out
    again = scratchgan("evaluate", run, "--n", 300)
    assert again.out == first.out
    assert again.err == ""  # the evaluator was kept


def test_what_can_not_be_evaluated(finished: Path, tmp_path: Path, failing) -> None:
    assert "squares.npz has no labels" in failing(1, "evaluate", finished)
    assert "is not a folder" in failing(1, "evaluate", tmp_path / "nothing")
    assert "no checkpoint of step 5" in failing(1, "evaluate", finished, "--checkpoint", 5)
    assert "must end in .json" in failing(2, "evaluate", finished, "--json", "scores.txt")
    assert "0 must be at least 1" in failing(2, "evaluate", finished, "--n", 0)


def test_wrong_numbers_are_refused_before_anything_is_trained(
    labelled: Path, cache: Path, tmp_path: Path, scratchgan, failing
) -> None:
    run = tmp_path / "run"
    assert scratchgan("train", "--data", labelled, "--out", run, *TINY).code == 0
    assert "n=50 images are too few: the metrics need at least 200" in failing(1, "evaluate", run, "--n", 50)
    assert "there are only 600 real images to compare with" in failing(1, "evaluate", run, "--n", 5000)
    assert not cache.exists()


def test_evaluations_during_training(labelled: Path, tmp_path: Path, scratchgan) -> None:
    run = tmp_path / "run"
    settings = ("--eval-every", 4, "--set", "eval_images=300")
    result = scratchgan("train", "--data", labelled, "--out", run, *TINY, *settings)
    assert result.code == 0, result.err
    assert result.err.count("  FID ") == 2  # at step 4, and at the last
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    judged = {line["step"]: line["fid"] for line in log if "fid" in line}
    assert list(judged) == [4, 6]
    done = scratchgan("sample", run, "--checkpoint", "best", "--out", tmp_path / "best.png")
    assert f"images from step {min(judged, key=judged.__getitem__)}" in done.out
    make_old(run)  # a judged run of the version before goes on, too
    assert scratchgan("train", "--resume", run, "--steps", 8).code == 0
    assert scratchgan("evaluate", run, "--n", 300, "--checkpoint", "best").code == 0


def test_a_run_that_can_not_be_evaluated_does_not_start(data: Path, tmp_path: Path, failing) -> None:
    message = failing(1, "train", "--data", data, "--out", tmp_path / "run", *TINY, "--quiet", "--eval-every", 4)
    assert "has no labels, so there is no evaluator for it" in message
    assert not (tmp_path / "run").exists()
