"""Runs on points go through the same loop: pictures, the film, resuming, sampling; recipes; falling learning rates."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import point_dataset
from scratchgan.train import RECIPES, ConfigError, TrainConfig, Trainer, load_run, recipe
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint
from scratchgan.train.game import Game

SHORT = dataclasses.replace(
    recipe(None, "ring8"), width=16, batch=32, steps=12, sample_every=4, checkpoint_every=6, lr_steps=12
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ring"
    with Trainer(SHORT, out, point_dataset("ring8", 500)) as trainer:
        trainer.run()
    return out


def test_a_run_on_points_ends_with_a_film_of_its_pictures(finished):
    frames = sorted((finished / "samples").iterdir())
    assert [frame.stem for frame in frames] == ["step-000004", "step-000008", "step-000012"]
    with Image.open(finished / "film.gif") as film, Image.open(frames[-1]) as last:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        assert b"generated (synthetic) points" in film.info["comment"]
        assert "generated (synthetic) points" in last.text["Source"]
        film.seek(2)
        shown, drawn = np.asarray(film.convert("RGB"), float), np.asarray(last, float)
        assert np.abs(shown - drawn).mean() < 12  # 128 colours
    with Image.open(finished / "real.png") as picture:
        assert picture.text["Source"] == "real points of ring8"


def test_samples_are_points(finished):
    run = load_run(finished)
    assert not run.draws_images
    points = run.sample(100, seed=1)
    assert points.dtype == np.float32
    assert points.shape == (100, 2)
    assert np.array_equal(points, run.sample(100, seed=1))


def test_a_resumed_run_has_the_same_bits(finished, tmp_path):
    half = dataclasses.replace(SHORT, steps=6)
    with Trainer(half, tmp_path / "half", point_dataset("ring8", 500)) as trainer:
        trainer.run()
    with Trainer.resume(tmp_path / "half", point_dataset("ring8", 500), steps=12) as trainer:
        trainer.run()
    one, other = (load_checkpoint(checkpoint_path(out / "checkpoints", 12)) for out in (finished, tmp_path / "half"))
    assert all(np.array_equal(one.arrays[name], array) for name, array in other.arrays.items())


def test_learning_rates_fall_along_half_a_cosine_and_then_stay():
    config = dataclasses.replace(SHORT, lr_g=1.0, lr_d=0.5, lr_end=0.1, lr_steps=8).completed((2,))
    game = Game(config)
    seen = []
    for step in range(10):
        game.ema.updates = step
        game._set_learning_rates()
        seen.append(game.optimizer_g.lr)
        assert game.optimizer_d.lr == pytest.approx(0.5 * seen[-1])
    expected = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(step / 8, 1))) for step in range(10)]
    assert seen == pytest.approx(expected)


def test_lr_steps_are_those_of_the_run_as_started():
    started = TrainConfig(steps=500, lr_end=0.1).completed((3, 32, 32))
    assert started.lr_steps == 500
    assert dataclasses.replace(started, steps=900).completed((3, 32, 32)).lr_steps == 500
    assert TrainConfig(lr_end=1.0).completed((3, 32, 32)).lr_steps is None


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_config(name):
    config = recipe(name)
    shape = (2,) if name == "points" else (3, config.size or 32, config.size or 32)
    assert config.completed(shape).model == {"points": "mlp", "reference": "gan28"}.get(name, "gan")


def test_which_recipe_a_run_starts_from():
    assert recipe(None) == TrainConfig()
    assert recipe(None, "fashion-mnist") == TrainConfig(data="fashion-mnist")
    assert recipe(None, "grid25") == recipe("points", "grid25")
    assert recipe("faces64").data == "toyfaces"
    with pytest.raises(ConfigError, match="'faces'; there are: points, faces64, reference"):
        recipe("faces")


def test_label_smoothing_is_for_bce_without_r1():
    shape = (3, 32, 32)
    assert TrainConfig().completed(shape).label_smoothing == 0.0
    assert TrainConfig(r1=0.0).completed(shape).label_smoothing == 0.1
    assert TrainConfig(d_norm="batch").completed(shape).label_smoothing == 0.1
    assert TrainConfig(label_smoothing=0.0).completed(shape).label_smoothing == 0.0
    assert TrainConfig(r1=1.0).completed(shape).label_smoothing == 0.0
    assert TrainConfig(loss="hinge").completed(shape).label_smoothing == 0.0


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="size=32 is for images, and ring8 are points"):
        TrainConfig(data="ring8", size=32).completed((2,))
    with pytest.raises(ConfigError, match="width=8 is not for model=gan28"):
        TrainConfig(model="gan28", width=8).completed((1, 28, 28))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_ring_is_learnt(seed, tmp_path):
    """The default recipe finds 8 of 8 modes with 90% of its points within 3 sigma."""
    config = dataclasses.replace(recipe(None, "ring8"), seed=seed, sample_every=3000)
    data = point_dataset("ring8")
    with Trainer(config, tmp_path / "ring", data) as trainer:
        trainer.run()
    score = data.score(load_run(tmp_path / "ring").sample(5_000, seed=1))
    assert score.found == 8
    assert score.quality >= 0.9
