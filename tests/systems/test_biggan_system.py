"""The system biggan: classes asked for and refused, standing statistics, accumulation, truncation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from train.tiny_run import BIGGAN, shades

from scratchgan.data import ArrayDataset
from scratchgan.train import ConfigError, Game, LoadedRun, Trainer, load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    out: Path = tmp_path_factory.mktemp("runs") / "big"
    with Trainer.start(BIGGAN, out, shades()) as trainer:
        trainer.run()
    return load_run(out)


def test_the_classes_are_those_of_the_data(run: LoadedRun) -> None:
    assert run.config.own.classes == "shade 0; shade 1"
    assert run.inputs(4, 0, label="SHADE 1")["label"].tolist() == [1, 1, 1, 1]
    assert run.inputs(6, 0, label="all")["label"].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_class_that_does_not_exist_is_refused_with_the_list(run: LoadedRun) -> None:
    with pytest.raises(
        ConfigError, match=r"no class 'shade1' \(did you mean 'shade 1'\?\); the classes are shade 0, sh"
    ):
        run.inputs(1, 0, label="shade1")


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        (None, (), "has no labels"),
        ([0, 0, 0, 1], ("many", "one"), "too few are of one"),
        ([0, 0, 0, 0], ("only",), "there is only only"),
    ],
)
def test_data_that_has_no_classes_to_learn(labels: list[int] | None, classes: tuple[str, ...], says: str) -> None:
    dataset = ArrayDataset(np.zeros((4, 3, 8, 8), np.uint8), labels, classes)
    with pytest.raises(ConfigError, match=says):
        BIGGAN.completed(dataset)


def test_truncation_redraws_what_lies_far_out(run: LoadedRun) -> None:
    assert np.abs(run.inputs(200, 0, truncation=0.3)["z"]).max() <= 0.6
    assert np.abs(run.inputs(200, 0)["z"]).max() > 2
    assert not run.inputs(3, 0, truncation=0.0)["z"].any()


def test_standing_statistics_are_not_those_of_the_last_steps_and_change_no_network(run: LoadedRun) -> None:
    game = Game(BIGGAN.completed(shades()))
    batch = shades().fields(np.arange(8))
    game.advance(lambda: {name: array.copy() for name, array in batch.items()})
    before = {name: array.copy() for name, array in game.drawing()["generator"].state_dict().items()}
    settled = game.system.settled(game.drawing())["generator"].state_dict()
    after = game.drawing()["generator"].state_dict()
    assert all(np.array_equal(before[name], array) for name, array in after.items())
    changed = {name.rpartition(".")[2] for name, array in settled.items() if not np.array_equal(before[name], array)}
    assert {"running_mean", "running_var"} <= changed <= {"running_mean", "running_var", "num_batches_tracked"}


def test_accumulated_batches_make_one_update() -> None:
    taken = []

    def draw() -> dict[str, np.ndarray]:
        taken.append(1)
        return {name: array.copy() for name, array in shades().fields(np.arange(8)).items()}

    game = Game(BIGGAN.completed(shades()))
    game.advance(draw)
    assert len(taken) == 4  # two updates of D, of two batches each
    assert set(game.metrics()) == {"loss_d", "d_real", "d_fake", "grad_d", "loss_g", "grad_g"}
