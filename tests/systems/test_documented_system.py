"""The system of docs/systems.md, as a third party writes one: it trains, resumes, samples and says what is wrong."""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scratchgan.train import TrainConfig, Trainer, load_run, open_training_data, read_log, registry
from scratchgan.train.checkpoint import checkpoint_path, load_checkpoint

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"
SETTINGS = ("--batch", 8, "--steps", 6, "--width", 4, "--set", "latent=4", "--set", "checkpoint_every=2", "--mirror")


def source() -> str:
    found = re.search(r"<!-- file: conditional\.py -->\n```python\n(.*?)```\n", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's file, imported; its name is registered for one test."""
    (tmp_path / "conditional.py").write_text(source(), "utf-8")
    registry.system_names()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    spec = importlib.util.spec_from_file_location("conditional", tmp_path / "conditional.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "conditional", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scratchgan(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = module.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """40 grey images of 8 x 8 pixels: I, a bar that stands, and L, one that lies."""
    images, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) % 2
    images[labels == 0, :, 3:5] = 255
    images[labels == 1, 6:] = 255
    np.savez(tmp_path / "letters.npz", images=images, labels=labels, classes=np.array(["I", "L"]))
    return tmp_path / "letters.npz"


def test_it_is_small() -> None:
    assert len(source().splitlines()) < 120


def test_it_trains_resumes_and_samples_by_class(scratchgan, letters: Path, tmp_path: Path) -> None:
    assert registry.system_names()[0] == "gan"  # whoever names no system still gets the package's own
    out, whole = tmp_path / "run", tmp_path / "whole"
    code, _, err = scratchgan("train", "conditional", "--data", letters, "--out", whole, *SETTINGS)
    assert code == 0, err
    assert "letters.npz: 40 images, 1 x 8 x 8; weights: generator " in err
    assert "step 6/6  loss_d " in err
    assert load_run(whole).config.own.classes == "I,L"
    assert all(line.keys() > {"loss_d", "loss_g", "grad_d", "grad_g"} for line in read_log(whole / "log.jsonl"))
    assert {path.name for path in whole.iterdir()} > {"curves.png", "real.png", "samples"}

    stopped = (*SETTINGS, "--steps", 3, "--set", "lr_steps=6")
    assert scratchgan("train", "conditional", "--data", letters, "--out", out, *stopped)[0] == 0
    assert scratchgan("train", "--resume", out, "--steps", 6)[0] == 0
    ours, wanted = (load_checkpoint(checkpoint_path(run / "checkpoints", 6)) for run in (out, whole))
    assert ours.arrays.keys() == wanted.arrays.keys()
    assert all(np.array_equal(ours.arrays[name], array) for name, array in wanted.arrays.items())
    assert ours.state == wanted.state

    drawn = {}
    for label in ("I", "L", "all"):
        path = tmp_path / f"{label}.npz"
        code, _, err = scratchgan("sample", out, "--n", 4, "--class", label, "--out", path)
        assert code == 0, err
        with np.load(path) as archive:
            drawn[label] = archive["images"]
    assert drawn["I"].shape == (4, 8, 8, 1)
    assert (drawn["I"] != drawn["L"]).any()  # of the same latent vectors
    assert np.array_equal(drawn["all"][:2], drawn["I"][:2])
    assert np.array_equal(drawn["all"][2:], drawn["L"][2:])
    assert scratchgan("sample", out, "--out", tmp_path / "any.png")[0] == 0
    assert scratchgan("interpolate", out, "--frames", 4, "--points", 2, "--out", tmp_path / "walk.gif")[0] == 0


def test_it_learns_what_its_classes_look_like(module: ModuleType, letters: Path, tmp_path: Path) -> None:
    settings = {"width": 8, "latent": 4, "batch": 16, "steps": 120, "sample_every": 120, "lr_end": 1.0, "seed": 0}
    config = TrainConfig("conditional", data=str(letters), **settings)
    with Trainer.start(config, tmp_path / "run", open_training_data(config, quiet=True)) as trainer:
        trainer.run()
    run = load_run(tmp_path / "run")
    standing, lying = (run.sample(16, 0, label=label).astype(float).mean((0, 3)) for label in ("I", "L"))
    for image, bar in ((standing, np.s_[:5, 3:5]), (lying, np.s_[6:, :])):
        rest = np.ones((8, 8), bool)
        rest[bar] = False
        assert image[bar].mean() > image[rest].mean() + 100
    assert standing[:5, 3:5].mean() > lying[:5, 3:5].mean() + 100


def test_what_it_refuses(scratchgan, letters: Path, tmp_path: Path) -> None:
    def refusal(*arguments: object) -> str:
        code, _, err = scratchgan(*arguments)
        assert code == 2
        assert err.count("\n") == 1
        return err

    np.savez(tmp_path / "plain.npz", images=np.zeros((40, 8, 8, 1), np.uint8))
    train = ("train", "conditional", "--data")
    assert "plain.npz has no labels, and system conditional draws by class" in refusal(*train, tmp_path / "plain.npz")
    assert "loss is a setting of system gan" in refusal(*train, letters, "--set", "loss=hinge")
    out = tmp_path / "run"
    assert scratchgan(*train, letters, "--out", out, *SETTINGS, "--steps", 1)[0] == 0
    assert "there is no class 'T'; there are I, L" in refusal("sample", out, "--class", "T")
    assert not (tmp_path / "runs").exists()
