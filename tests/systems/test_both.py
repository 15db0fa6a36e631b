"""What holds for every system: a resumed run has the bits of one that never stopped, a seed gives one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from train.tiny_run import BIGGAN, STYLEGAN, shades

from scratchgan.train import ConfigError, TrainConfig, Trainer, TrainError, load_run
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint

CONFIGS = {"stylegan": STYLEGAN, "biggan": BIGGAN}


class Stop(Exception):
    pass


@pytest.fixture(scope="module", params=CONFIGS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / request.param
    with Trainer.start(CONFIGS[request.param], out, shades()) as trainer:
        trainer.run()
    return out


@pytest.mark.parametrize("stop", [3, 6])  # before a checkpoint, and beyond one
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(config: TrainConfig, stop: int, tmp_path: Path) -> None:
    config = config.with_overrides({"steps": "8", "lr_steps": "8"})
    with Trainer.start(config, tmp_path / "whole", shades()) as trainer:
        trainer.run()

    def on_step(step: int, metrics: dict[str, float]) -> None:
        if step == stop:
            raise Stop

    with Trainer.start(config, tmp_path / "broken", shades()) as trainer, pytest.raises(Stop):
        trainer.run(on_step)
    with Trainer.resume(tmp_path / "broken", shades(), on_notice=lambda text: None) as trainer:
        trainer.run()
    whole, broken = (load_checkpoint(checkpoint_path(tmp_path / n / "checkpoints", 8)) for n in ("whole", "broken"))
    assert whole.arrays.keys() == broken.arrays.keys()
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(broken.arrays[name], array, err_msg=name)
    assert whole.state["random"] == broken.state["random"]
    assert whole.state["system"] == broken.state["system"]


def test_a_seed_gives_a_picture_and_another_another(finished: Path) -> None:
    run = load_run(finished)
    images = run.sample(5, seed=1)
    assert (images.dtype, images.shape) == (np.uint8, (5, 8, 8, 3))
    np.testing.assert_array_equal(images, load_run(finished).sample(5, seed=1))
    assert not np.array_equal(images, run.sample(5, seed=2))
    spread = [run.sample(16, 1, psi).std(0).mean() for psi in (0.0, 0.3, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_a_walk_is_closed_and_even(finished: Path) -> None:
    run = load_run(finished)
    stops = run.inputs(3, seed=0)
    images = run.draw(run.system.walk(stops, 12)).astype(int)
    np.testing.assert_array_equal(images[0], run.draw({name: array[:1] for name, array in stops.items()})[0])
    moves = [np.abs(images[i] - images[i - 1]).mean() for i in range(12)]  # the first: from the last to the first
    assert moves[0] < 4 * np.mean(moves[1:]) + 1


def test_pictures_and_curves_are_written(finished: Path) -> None:
    assert {"curves.png", "real.png", "log.jsonl"} <= {path.name for path in finished.iterdir()}
    assert list((finished / "samples").glob("step-*.png"))


def test_settings_of_another_system_are_refused() -> None:
    with pytest.raises(ConfigError, match="gradient_penalty is a setting of system gan and points, not of stylegan"):
        TrainConfig("stylegan", gradient_penalty=1.0)
    with pytest.raises(ConfigError, match="path_length is a setting of system stylegan, not of biggan"):
        TrainConfig("biggan").with_overrides({"path_length": "1"})
    with pytest.raises(ConfigError, match=r"no system is named 'bigan' \(did you mean 'biggan'\?\)"):
        TrainConfig("bigan")


def test_a_run_of_another_system_does_not_go_on_as_this_one(finished: Path) -> None:
    with pytest.raises((ConfigError, TrainError)):
        Trainer.resume(finished, shades(), settings={"width": "6"})
