"""The system stylegan: its lazy penalties, the augmentation's strength, mixing, projection and directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from train.tiny_run import STYLEGAN, shades

from scratchgan.systems.style_editing import (
    along,
    directions,
    layers_named,
    mixed,
    project,
    read_projection,
    styles_of,
)
from scratchgan.train import ConfigError, Game, LoadedRun, TrainConfig, Trainer, load_run, read_log


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "style"
    with Trainer.start(STYLEGAN, out, shades()) as trainer:
        trainer.run()
    return out


@pytest.fixture(scope="module")
def run(out: Path) -> LoadedRun:
    return load_run(out)


def test_penalties_come_when_they_are_due(out: Path) -> None:
    log = read_log(out / "log.jsonl")
    assert [line["step"] for line in log if "r1" in line] == [1, 5, 9]
    assert [line["step"] for line in log if "path_length" in line] == [1, 4, 7]


def test_the_strength_follows_the_signs_of_d_and_is_logged(out: Path) -> None:
    log = read_log(out / "log.jsonl")
    means = [np.mean([line["sign_real"] for line in log[i : i + 4]]) for i in (0, 4)]
    p = 0.0
    for mean in means:  # 32 images of the 60 in which p may go from 0 to 1
        p = min(max(p + (1 if mean > 0.6 else -1) * 32 / 60, 0.0), 0.8)
    game = Game(load_run(out).config.completed(shades()))
    from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint

    game.load(load_checkpoint(checkpoint_path(out / "checkpoints", 9)))
    assert game.system.numbers["p"] == pytest.approx(p)
    assert game.steps == 9


def test_a_mixture_of_no_layers_is_a_and_of_all_is_b_but_for_the_noise(run: LoadedRun) -> None:
    a, b = run.inputs(2, seed=0), run.inputs(3, seed=5)
    none, every = np.zeros(4, bool), np.ones(4, bool)
    np.testing.assert_array_equal(mixed(run, a, b, none)[:, 0], run.draw(a))
    of_b = run.draw(
        {"ws": np.repeat(styles_of(run, b)[None], 2, 0).reshape(6, 4, -1), "noise": a["noise"].repeat(3, 0)}
    )
    np.testing.assert_array_equal(mixed(run, a, b, every).reshape(of_b.shape), of_b)
    coarse = mixed(run, a, b, layers_named(run, "coarse"))
    assert coarse.shape == (2, 3, 8, 8, 3)
    assert not np.array_equal(coarse[:, 0], run.draw(a))


@pytest.mark.parametrize(("text", "layers"), [("coarse", [0]), ("fine", [2, 3]), ("1-2", [1, 2]), ("3", [3])])
def test_layers_by_name_and_number(run: LoadedRun, text: str, layers: list[int]) -> None:
    assert np.flatnonzero(layers_named(run, text)).tolist() == layers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rough", "must be coarse, middle, fine, a number"),
        ("2-1", "layers 0 to 3"),
        ("4", "layers 0 to 3"),
        ("1-", "a number"),
    ],
)
def test_layers_that_do_not_exist(run: LoadedRun, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        layers_named(run, text)


def test_projection_finds_a_picture_of_the_networks_own_and_can_be_mixed(run: LoadedRun, tmp_path: Path) -> None:
    target = run.system.generate(run.networks, run.inputs(1, seed=9))[0].clip(-1, 1)
    seen: list[tuple[int, int]] = []
    found = project(run, target, steps=80, on_step=lambda done, total: seen.append((done, total)))
    start = ((run.system.generate(run.networks, run.inputs(1, 9, truncation=0.0))[0] - target) ** 2).mean()
    assert found.psnr > found.psnr_w - 0.5
    assert found.psnr > 10 * np.log10(4 / start) + 3
    assert seen[-1] == (80, 80)
    assert found.film.dtype == np.uint8
    again = project(run, target, steps=80)
    np.testing.assert_array_equal(again.ws, found.ws)
    np.savez(tmp_path / "w.npz", w=found.w, ws=found.ws, noise=found.noise)
    source = read_projection(run, tmp_path / "w.npz")
    assert mixed(run, source, run.inputs(1, 0), layers_named(run, "fine")).shape == (1, 1, 8, 8, 3)


def test_what_cannot_be_projected(run: LoadedRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the image is \(1, 8, 8\), and the run draws \(3, 8, 8\)"):
        project(run, np.zeros((1, 8, 8), np.float32))
    (tmp_path / "no.npz").write_text("no")
    with pytest.raises(ConfigError, match="not a file that scratchgan project wrote"):
        read_projection(run, tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", ws=np.zeros((6, 6)), noise=np.zeros(80))
    with pytest.raises(ConfigError, match="of another run"):
        read_projection(run, tmp_path / "other.npz")


def test_directions_change_the_styles_more_than_others(run: LoadedRun) -> None:
    found, sizes = directions(run, 3)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-5)
    assert (np.diff(sizes) <= 0).all()
    g = run.networks["generator"]
    maps = np.concatenate([m.style.weight.data for m in [*g.synthesis.convolutions, *g.synthesis.to_image]])
    other = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    assert np.linalg.norm(maps @ found[0]) >= np.linalg.norm(maps @ other.T, axis=0).max()
    pictures = along(run, run.inputs(2, seed=0), found[0], 5)
    np.testing.assert_array_equal(pictures[:, 2], run.draw(run.inputs(2, seed=0)))  # the middle is the picture itself
    with pytest.raises(ConfigError, match="there are 1 to 6"):
        directions(run, 7)


def test_what_makes_no_sense(run: LoadedRun) -> None:
    with pytest.raises(ConfigError, match=r"batch=6 can't be divided into groups of 4"):
        Game(STYLEGAN.replace(batch=6).completed(shades()))
    with pytest.raises(ConfigError, match="have no classes"):
        run.inputs(1, 0, label="shade 0")
    with pytest.raises(ConfigError, match="augment=some must be one of"):
        TrainConfig("stylegan", augment="some")
