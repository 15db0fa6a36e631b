"""Runs on points go through the same loop: pictures, the film, resuming, sampling; recipes; falling learning rates."""

import math

import numpy as np
import pytest
from PIL import Image
from tiny_run import blobs

from scratchgan.data import point_dataset
from scratchgan.train import ConfigError, TrainConfig, Trainer, from_recipe, load_run, system_named, system_names
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint
from scratchgan.train.game import Game

SHORT = from_recipe(data="ring8").replace(width=16, batch=32, steps=12, sample_every=4, checkpoint_every=6, lr_steps=12)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ring"
    with Trainer.start(SHORT, out, point_dataset("ring8", 500)) as trainer:
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
    assert run.system.kind == "points"
    points = run.sample(100, seed=1)
    assert points.dtype == np.float32
    assert points.shape == (100, 2)
    assert np.array_equal(points, run.sample(100, seed=1))


def test_a_resumed_run_has_the_same_bits(finished, tmp_path):
    half = SHORT.replace(steps=6)
    with Trainer.start(half, tmp_path / "half", point_dataset("ring8", 500)) as trainer:
        trainer.run()
    with Trainer.resume(tmp_path / "half", point_dataset("ring8", 500), steps=12) as trainer:
        trainer.run()
    one, other = (load_checkpoint(checkpoint_path(out / "checkpoints", 12)) for out in (finished, tmp_path / "half"))
    assert all(np.array_equal(one.arrays[name], array) for name, array in other.arrays.items())


def test_learning_rates_fall_along_half_a_cosine_and_then_stay():
    config = SHORT.replace(lr_g=1.0, lr_d=0.5, lr_end=0.1, lr_steps=8).completed(point_dataset("ring8", 500))
    game = Game(config)
    seen = []
    for step in range(10):
        game.steps = step
        game._set_learning_rates()
        seen.append(game.optimizers["g"].lr)
        assert game.optimizers["d"].lr == pytest.approx(0.5 * seen[-1])
    expected = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(step / 8, 1))) for step in range(10)]
    assert seen == pytest.approx(expected)


def test_lr_steps_are_those_of_the_run_as_started():
    faces = blobs(32, 3)
    started = TrainConfig("gan", steps=500, lr_end=0.1).completed(faces)
    assert started.run.lr_steps == 500
    assert started.replace(steps=900).completed(faces).run.lr_steps == 500
    assert TrainConfig("gan", lr_end=1.0).completed(faces).run.lr_steps is None


@pytest.mark.parametrize(
    ("system", "name"), [(system, name) for system in system_names() for name in system_named(system).recipes]
)
def test_every_recipe_is_a_config(system, name):
    config = from_recipe(system, name)
    having = [other for other in system_names() if name in system_named(other).recipes]
    assert from_recipe(None, name).system == having[0]  # a name alone finds the first that has it
    assert config.as_dict().items() >= system_named(system).recipes[name].items()
    if system in ("gan", "points"):
        data = point_dataset("ring8", 500) if system == "points" else blobs(config.run.size or 32, 3)
        networks = Game(config.completed(data)).networks
        assert networks["discriminator"](data.images([0, 1])).shape == (2, 1)


def test_which_recipe_a_run_starts_from():
    assert from_recipe() == TrainConfig("gan")
    assert from_recipe(data="fashion-mnist") == TrainConfig("gan", data="fashion-mnist")
    assert (
        from_recipe(data="grid25")
        == from_recipe(recipe="points", data="grid25")
        == TrainConfig("points", data="grid25")
    )
    assert from_recipe(recipe="faces64").run.data == "toyfaces"
    assert from_recipe("gan", "reference").own.model == "gan28"
    with pytest.raises(ConfigError, match=r"no recipe is named 'faces'; there are: .*faces64, reference.*points"):
        from_recipe(recipe="faces")
    with pytest.raises(ConfigError, match="no recipe of system points is named 'faces64'; there are: points"):
        from_recipe("points", "faces64")


def test_settings_of_a_run_on_points():
    run, own = (TrainConfig("points").run, TrainConfig("points").own)
    assert (run.data, run.batch, run.steps, run.lr_end, run.checkpoint_every) == ("ring8", 256, 3000, 0.02, 500)
    assert (own.latent, own.width, own.r1, own.lr_g, own.lr_d) == (2, 128, 0.1, 2e-3, 2e-3)
    assert (own.betas, own.ema_decay) == ((0.0, 0.99), 0.995)


def test_label_smoothing_is_for_bce_without_r1():
    def smoothing(**settings):
        return TrainConfig("gan", **settings).completed(blobs(32, 3)).own.label_smoothing

    assert smoothing() == 0.0
    assert smoothing(r1=0.0) == 0.1
    assert smoothing(d_norm="batch") == 0.1
    assert smoothing(label_smoothing=0.0) == 0.0
    assert smoothing(r1=1.0) == 0.0
    assert smoothing(loss="hinge") == 0.0


def test_what_makes_no_sense_is_refused():
    points = point_dataset("ring8", 500)
    with pytest.raises(ConfigError, match="size=32 is for images, and ring8 are points"):
        TrainConfig("points", data="ring8", size=32).completed(points)
    with pytest.raises(ConfigError, match="width=8 is not for model=gan28"):
        TrainConfig("gan", model="gan28", width=8).completed(blobs(28))
    with pytest.raises(ConfigError, match="ring8 are points, and system gan is for images"):
        TrainConfig("gan", data="ring8").completed(points)
    with pytest.raises(ConfigError, match="blobs are images, and system points is for points"):
        TrainConfig("points").completed(blobs())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_ring_is_learnt(seed, tmp_path):
    """The default recipe finds 8 of 8 modes with 90% of its points within 3 sigma."""
    config = from_recipe(data="ring8").replace(seed=seed, sample_every=3000)
    data = point_dataset("ring8")
    with Trainer.start(config, tmp_path / "ring", data) as trainer:
        trainer.run()
    score = data.score(load_run(tmp_path / "ring").sample(5_000, seed=1))
    assert score.found == 8
    assert score.quality >= 0.9
