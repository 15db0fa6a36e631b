"""The training loop and the run folder: what is written, what is refused, and that it learns at a steady memory."""

import gc
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from tiny_run import CONFIG, blobs, step

from scratchgan import Tensor, grad
from scratchgan.data import DataError
from scratchgan.systems.gan import Gan
from scratchgan.systems.watch import GameWatch
from scratchgan.train import ConfigError, TrainConfig, Trainer, TrainError, load_run, read_log
from scratchgan.train.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from scratchgan.train.game import Game
from scratchgan.train.losses import r1_penalty


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 12 steps, with a checkpoint of 5, 10 and 12 of which two are kept, and pictures of 4, 8 and 12."""
    out = tmp_path_factory.mktemp("runs") / "blobs"
    seen = []
    with Trainer.start(CONFIG, out, blobs(channels=3)) as trainer:
        trainer.run(on_step=lambda step, metrics: seen.append((step, metrics)))
    return out, seen


def test_the_folder_of_a_run(finished):
    out, _ = finished
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        ".lock", "checkpoints/step-000010.safetensors", "checkpoints/step-000012.safetensors", "config.json",
        "curves.png", "log.jsonl", "real.png",
        "samples/step-000004.png", "samples/step-000008.png", "samples/step-000012.png",
    ]  # fmt: skip
    config = TrainConfig.from_json(out / "config.json")
    assert (config.run.size, config.run.channels) == (8, 3)


def test_the_log_and_the_callback_say_the_same(finished):
    out, seen = finished
    log = read_log(out / "log.jsonl")
    assert log == [{"step": step, **metrics} for step, metrics in seen]
    keys = {"step", "loss_d", "loss_g", "d_real", "d_fake", "r1", "grad_d", "grad_g", "images_per_second"}
    assert all(line.keys() == keys for line in log)
    assert all(0 < line["d_real"] < 1 and 0 < line["d_fake"] < 1 for line in log)


def test_the_pictures_say_what_they_are(finished):
    out, _ = finished
    with Image.open(out / "samples" / "step-000008.png") as picture:
        assert "generated (synthetic)" in picture.text["Source"]
        assert "run 'blobs' at step 8" in picture.text["Source"]
    with Image.open(out / "real.png") as picture:
        assert picture.text["Source"] == "real images of blobs"


def test_samples_of_a_finished_run(finished):
    out, _ = finished
    run = load_run(out)
    assert (run.step, run.inputs(5, 1)["z"].shape) == (12, (5, 4))
    images = run.sample(5, seed=1)
    assert images.dtype == np.uint8
    assert images.shape == (5, 8, 8, 3)
    assert np.array_equal(images, load_run(out).sample(5, seed=1))
    assert not np.array_equal(images, run.sample(5, seed=2))
    assert np.array_equal(run.inputs(5, 1, truncation=0.5)["z"], run.inputs(5, 1)["z"] * np.float32(0.5))
    assert not np.array_equal(images, load_run(out, "raw").sample(5, seed=1))
    assert load_run(out, checkpoint=10).step == 10


def test_bad_requests_for_samples(finished, tmp_path):
    out, _ = finished
    with pytest.raises(TrainError, match="has no checkpoint of step 11; it has 10, 12"):
        load_run(out, checkpoint=11)
    with pytest.raises(TrainError, match=r"holds no run \(there is no config\.json in it\)"):
        load_run(tmp_path)
    with pytest.raises(TrainError, match="is not a folder"):
        Trainer.resume(tmp_path / "absent")
    with pytest.raises(ValueError, match="which must be 'ema' or 'raw', got 'average'"):
        load_run(out, "average")


def test_a_folder_that_is_in_use(finished, tmp_path):
    out, _ = finished
    with pytest.raises(TrainError, match=f"{out} holds a run already: go on with it .scratchgan train --resume {out}."):
        Trainer.start(CONFIG, out, blobs())
    (tmp_path / "letter.txt").write_text("do not lose me")
    with pytest.raises(TrainError, match="is not empty, and holds no run"):
        Trainer.start(CONFIG, tmp_path, blobs())
    with pytest.raises(TrainError, match=r"cannot be written \(Not a directory"):
        Trainer.start(CONFIG, tmp_path / "letter.txt" / "run", blobs())
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_runs_in_one_folder(tmp_path):
    first = Trainer.start(CONFIG, tmp_path / "run", blobs())
    with pytest.raises(TrainError, match=f"is being trained in by process {os.getpid()}"):
        Trainer.resume(tmp_path / "run", blobs())
    first.close()
    Trainer.resume(tmp_path / "run", blobs(), on_notice=lambda notice: None).close()


@pytest.mark.parametrize(
    ("config", "dataset", "error", "message"),
    [
        (CONFIG, blobs(size=9), ConfigError, "size 9 .* nearest sizes are 8 and 10"),
        (CONFIG.with_overrides({"size": "16"}), blobs(), ConfigError, "size=16, but the images of blobs have size=8"),
        (CONFIG.with_overrides({"batch": "41"}), blobs(), DataError, "batch size 41 is larger than the data set"),
    ],
)
def test_what_cannot_start_leaves_no_folder(tmp_path, config, dataset, error, message):
    with pytest.raises(error, match=message):
        Trainer.start(config, tmp_path / "run", dataset)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_stops_with_its_last_good_checkpoint(tmp_path):
    out = tmp_path / "run"
    with Trainer.start(
        CONFIG.with_overrides({"lr_end": "1"}), out, blobs()
    ) as trainer:  # rates that stay as they are put

        def explode(step, metrics):
            if step == 7:
                trainer.game.optimizers["d"].lr = 1e30

        with pytest.raises(TrainError, match=r"step 8: .* is (nan|inf).* its last checkpoint is of step 5\. Try lower"):
            trainer.run(explode)
    assert checkpoint_steps(out / "checkpoints") == [5]
    arrays = load_checkpoint(checkpoint_path(out / "checkpoints", 5)).arrays
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert [line["step"] for line in read_log(out / "log.jsonl")] == [1, 2, 3, 4, 5, 6, 7]


def test_one_step_moves_each_network_along_its_own_gradient():
    """With Adam's first step, which is lr * sign(gradient), the step can be told from gradients made separately."""
    config = CONFIG.with_overrides({"size": "8", "channels": "1", "lr_d": "1e-3", "lr_g": "1e-2"}).completed(blobs())
    game, twin = Game(config), Game(config)
    batch = blobs().images(np.arange(8))
    g_of, d_of = (game.networks[name] for name in ("generator", "discriminator"))
    before_d = [p.data for p in d_of.parameters()]
    before_g = [p.data for p in g_of.parameters()]
    step(game, lambda: batch.copy())

    assert isinstance(twin.system, Gan)
    g, d, losses = twin.networks["generator"], twin.networks["discriminator"], twin.system.loss
    fake = g(twin.system._latents())
    real = Tensor(batch, requires_grad=True)
    logits = d(real)
    loss = losses.discriminator(logits, d(fake.detach())) + r1_penalty(logits, real) * config.own.r1
    g_d = grad(loss, d.parameters())
    for p, old, gradient in zip(d_of.parameters(), before_d, g_d, strict=True):
        np.testing.assert_allclose(p.data, old - 1e-3 * np.sign(gradient.data), atol=2e-4)
    d.load_state_dict(d_of.state_dict())  # G meets the updated D
    g_g = grad(losses.generator(d(fake)), g.parameters())
    for p, old, gradient in zip(g_of.parameters(), before_g, g_g, strict=True):
        clear = np.abs(gradient.data) > 1e-6  # the biases before a batch norm have no gradient but rounding errors
        np.testing.assert_allclose(p.data[clear], (old - 1e-2 * np.sign(gradient.data))[clear], atol=2e-4)


def test_a_field_that_the_data_does_not_have():
    game = Game(CONFIG.completed(blobs()))
    with pytest.raises(ConfigError, match="system gan takes 'image' of a batch, which has index, photo"):
        game.advance(lambda: {"index": np.arange(8), "photo": blobs().images(np.arange(8))})


def test_g_learns_the_brightness_of_the_data():
    config = CONFIG.with_overrides(
        {"size": "8", "channels": "1", "lr_g": "2e-3", "lr_d": "2e-3", "batch": "16"}
    ).completed(blobs())
    game, dataset, rng = Game(config), blobs(), np.random.default_rng(0)

    def distance():
        real, fake = dataset.images(np.arange(40)), game.drawing()["generator"](Tensor(game.system.shown()["z"])).data
        return np.abs(real.mean(axis=0) - fake.mean(axis=0)).mean()

    step(game, lambda: dataset.images(rng.integers(0, 40, 16)))
    start = distance()
    for _ in range(150):
        step(game, lambda: dataset.images(rng.integers(0, 40, 16)))
    assert distance() < start / 2


def test_the_memory_of_arrays_is_flat_without_the_garbage_collector(tmp_path):
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    used = {}

    def measure(step, metrics):
        if step == 10:  # kernels are loaded, perhaps compiled, by now
            gc.disable()
            tracemalloc.start()
        if step in (20, 40, 59):
            used[step] = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)

    config = CONFIG.with_overrides({"steps": "60", "sample_every": "15"})
    with Trainer.start(config, tmp_path / "run", blobs()) as trainer:
        try:
            trainer.run(measure)
        finally:
            tracemalloc.stop()
            gc.enable()
    assert used[20] > 4000  # the weights, which are new arrays after each step
    assert used[40] <= used[20] + 1000  # the images of one batch alone have 2,048 bytes
    assert used[59] <= used[20] + 1000


def test_watch_for_a_discriminator_that_has_won():
    watch = GameWatch(np.zeros((4, 8, 8, 1), np.uint8), probability=True)
    won, fair = {"d_real": 0.999, "d_fake": 0.001}, {"d_real": 0.6, "d_fake": 0.4}
    said = [watch.metrics(m) for m in [won] * 150 + [fair] + [won] * 300]
    assert [i for i, text in enumerate(said) if text] == [350]
    assert "try a lower lr_d" in said[350]


def test_watch_for_samples_that_are_all_alike():
    real = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    watch = GameWatch(real, probability=True)
    said = [watch.samples(step, real if step == 500 else real // 50) for step in range(100, 1100, 100)]
    assert [i for i, text in enumerate(said) if text] == [7]  # from step 300 on, with those of step 500 in between
