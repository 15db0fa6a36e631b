"""Evaluations during training: they change nothing in it, they are logged and drawn, and the best step is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_resume import Stop, assert_same, outcome
from tiny_run import CONFIG, POINTS, blobs

from scratchgan.data import Dataset, point_dataset
from scratchgan.metrics import MetricError
from scratchgan.systems.images import FID_PANEL
from scratchgan.systems.two_player import game_panels
from scratchgan.train import ConfigError, System, TrainConfig, Trainer, TrainError, load_run, read_log
from scratchgan.train.checkpoint import best_path, checkpoint_path, load_checkpoint
from scratchgan.train.curves import draw_curves
from scratchgan.train.log import TIMING_KEYS
from scratchgan.train.losses import LOSSES

EVALUATED = CONFIG.with_overrides({"eval_every": "3", "eval_images": "10"})


class MeanJudge:
    """Compares the mean image with that of the real ones."""

    best_by = "fid"
    higher_is_better = False

    def __init__(self, system: System, dataset: Dataset, n: int, hash: str = "mean"):
        self.n, self.hash = n, hash
        self.mean = dataset.images(np.arange(len(dataset))).mean(0)
        self.calls = 0

    def quick(self, images: np.ndarray) -> dict[str, float]:
        assert images.shape == (self.n, 1, 8, 8)
        assert images.dtype == np.float32
        np.random.standard_normal(3)  # noqa: NPY002 (even the global generator may be used)
        return {"fid": float(((images.mean(0) - self.mean) ** 2).sum()), "recall": 0.5}


def run(out: Path, config: TrainConfig = EVALUATED) -> Path:
    with Trainer.start(config, out, blobs(), open_judge=MeanJudge) as trainer:
        trainer.run()
    return out


def evaluations(out: Path) -> dict[int, float]:
    return {line["step"]: line["fid"] for line in read_log(out / "log.jsonl") if "fid" in line}


def test_evaluations_are_logged_and_the_best_step_is_kept(tmp_path: Path) -> None:
    out = run(tmp_path / "run")
    fid = evaluations(out)
    assert list(fid) == [3, 6, 9, 12]
    lines = [line for line in read_log(out / "log.jsonl") if "fid" in line]
    assert all(line["evaluator"] == "mean" and line["recall"] == 0.5 and "loss_g" in line for line in lines)
    best = load_run(out, checkpoint="best")
    assert best.step == min(fid, key=fid.__getitem__)
    judge = MeanJudge(best.system, blobs(), 10)
    latents = np.random.default_rng([EVALUATED.run.seed, 0xE7A1]).standard_normal((10, 4), np.float32)
    images = best.draw({"z": latents}).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(judge.quick(images)["fid"], fid[best.step], rtol=0.05)  # rounded to bytes


def test_the_training_is_the_same_with_and_without_evaluations(tmp_path: Path) -> None:
    with Trainer.start(CONFIG, tmp_path / "plain" / "run", blobs()) as trainer:
        trainer.run()
    out = run(tmp_path / "evaluated" / "run")
    plain, evaluated = (
        load_checkpoint(checkpoint_path(folder / "checkpoints", 12)) for folder in (tmp_path / "plain" / "run", out)
    )
    assert plain.arrays.keys() == evaluated.arrays.keys()
    assert all(np.array_equal(plain.arrays[name], evaluated.arrays[name]) for name in plain.arrays)
    assert plain.state["random"] == evaluated.state["random"]
    for without, line in zip(
        read_log(tmp_path / "plain" / "run" / "log.jsonl"), read_log(out / "log.jsonl"), strict=True
    ):
        assert all(line[key] == value for key, value in without.items() if key not in TIMING_KEYS)


@pytest.mark.parametrize("stop", [4, 9, 11])
def test_a_resumed_run_is_bit_identical_with_its_evaluations(tmp_path: Path, stop: int) -> None:
    whole = run(tmp_path / "whole" / "run")
    out = tmp_path / "broken" / "run"

    def on_step(step: int, metrics: dict[str, float]) -> None:
        if step == stop:
            raise Stop

    with Trainer.start(EVALUATED, out, blobs(), open_judge=MeanJudge) as trainer, pytest.raises(Stop):
        trainer.run(on_step)
    with Trainer.resume(out, blobs(), open_judge=MeanJudge, on_notice=lambda notice: None) as trainer:
        trainer.run()
    assert_same(outcome(out), outcome(whole))
    assert best_path(out / "checkpoints").read_bytes() == best_path(whole / "checkpoints").read_bytes()


def test_scores_of_another_evaluator_do_not_count(tmp_path: Path) -> None:
    out = run(tmp_path / "run", EVALUATED.with_overrides({"steps": "6"}))
    log = out / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "fid" in line:
            line["fid"] = 0.0  # which none of the coming ones is as low as
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    notices: list[str] = []

    def other(system: System, dataset: Dataset, n: int) -> MeanJudge:
        return MeanJudge(system, dataset, n, hash="other")

    with Trainer.resume(out, blobs(), steps=12, open_judge=other, on_notice=notices.append) as trainer:
        trainer.run()
    assert notices == [
        "2 earlier evaluations were by another evaluator than other: their scores can't be compared with the coming "
        "ones, and the best is looked for anew"
    ]
    assert load_run(out, checkpoint="best").step in (9, 12)


def test_a_judge_is_needed_and_nothing_is_written_without(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="blobs has no labels, so there is no evaluator for it"):
        Trainer.start(EVALUATED, tmp_path / "run", blobs())
    with pytest.raises(ConfigError, match="runs of system points can't be judged as they go on: leave eval_every=0"):
        Trainer.start(POINTS.replace(eval_every=3), tmp_path / "run", point_dataset("ring8", 500))
    assert not (tmp_path / "run").exists()


class BrightJudge(MeanJudge):
    """The brighter, the better."""

    best_by = "brightness"
    higher_is_better = True

    def quick(self, images: np.ndarray) -> dict[str, float]:
        return {"brightness": float(images.mean())}


@pytest.mark.parametrize("resumed", [False, True])
def test_a_judge_says_which_score_is_best_and_which_way(tmp_path: Path, resumed: bool) -> None:
    out = tmp_path / "run"
    settings = {"eval_every": "1", "lr_g": "0.05", "ema_decay": "0.1", "lr_steps": "12"}
    config = EVALUATED.with_overrides(settings | ({"steps": "7"} if resumed else {}))
    with Trainer.start(config, out, blobs(), open_judge=BrightJudge) as trainer:
        trainer.run()
    if resumed:
        with Trainer.resume(out, blobs(), steps=12, open_judge=BrightJudge) as trainer:
            trainer.run()
    brightness = {line["step"]: line["brightness"] for line in read_log(out / "log.jsonl")}
    assert len(set(brightness.values())) == 12
    best = max(brightness, key=brightness.__getitem__)
    assert load_run(out, checkpoint="best").step == best != min(brightness, key=brightness.__getitem__)


def test_there_is_no_best_checkpoint_without_evaluations(tmp_path: Path) -> None:
    with Trainer.start(CONFIG, tmp_path / "run", blobs()) as trainer:
        trainer.run()
    with pytest.raises(TrainError, match="no best checkpoint: its run was not evaluated"):
        load_run(tmp_path / "run", checkpoint="best")


def test_the_curves_have_a_panel_for_fid() -> None:
    log = [{"step": i, "loss_d": 1.0, "loss_g": 2.0, "d_real": 0.6, "d_fake": 0.4} for i in range(1, 41)]
    panels = [*game_panels(LOSSES["bce"]), FID_PANEL]
    plain = draw_curves(log, "run", panels)
    judged = [line | ({"fid": 100.0 / line["step"]} if line["step"] % 10 == 0 else {}) for line in log]
    drawn = draw_curves(judged, "run", panels)
    assert drawn.shape[0] > plain.shape[0] * 1.4
    np.testing.assert_array_equal(drawn[: plain.shape[0] - 40], plain[:-40])
    blue = (np.abs(drawn[plain.shape[0] :].astype(int) - (31, 107, 176)).sum(-1) < 60).sum()
    assert blue > 200
