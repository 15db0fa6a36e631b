"""The zoo: every entry is what its sheet shows, small, and described; a damaged one says how to make it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from train.tiny_run import BIGGAN, shades

from scratchgan.systems import zoo
from scratchgan.train import Trainer, TrainError, load_run


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_draws_its_sheet(name: str) -> None:
    with Image.open(zoo.FOLDER / f"{name}.png") as picture:
        assert "generated (synthetic)" in picture.text["Source"]
        kept = np.asarray(picture).astype(int)
    drawn = zoo.sheet(zoo.load(f"zoo:{name}")).astype(int).reshape(kept.shape)
    # Other vector units round otherwise: a few pixels by a level or two.
    assert np.abs(drawn - kept).max() <= 8
    assert np.abs(drawn - kept).mean() < 0.05


def test_entries_are_small_and_described() -> None:
    files = list(zoo.FOLDER.glob("*.safetensors"))
    assert len(files) >= 2
    assert all(file.stat().st_size <= 4_000_000 for file in files)
    assert sum(file.stat().st_size for file in zoo.FOLDER.iterdir()) <= 20_000_000
    for name in zoo.names():
        card = zoo.card(name)
        assert {"summary", "bad_at", "system", "command", "settings", "step", "seed", "commit", "scores"} <= card.keys()
        assert card["scores"]["fid"] > card["real_against_real"]["fid"] > 0


@pytest.fixture
def own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with Trainer.start(BIGGAN, tmp_path / "run", shades()) as trainer:
        trainer.run()
    folder = tmp_path / "zoo"
    monkeypatch.setattr(zoo, "FOLDER", folder)
    zoo.pack(load_run(tmp_path / "run"), "blobs", {"command": "scratchgan train biggan --data blobs"}, folder)
    return folder


def test_a_packed_run_draws_nearly_what_it_drew(own_zoo: Path) -> None:
    run, packed = load_run(own_zoo.parent / "run"), zoo.load("zoo:blobs")
    difference = np.abs(run.sample(8, seed=2).astype(int) - packed.sample(8, seed=2))
    assert difference.mean() < 1
    assert packed.networks.keys() == {"generator"}
    assert json.loads((own_zoo / "blobs.json").read_text())["command"].startswith("scratchgan train")


def test_a_damaged_entry_says_how_it_is_made_again(own_zoo: Path) -> None:
    path = own_zoo / "blobs.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainError, match=r"zoo:blobs is damaged .*SHA-256.*make it anew: scratchgan train biggan"):
        zoo.load("zoo:blobs")


def test_what_is_not_there(own_zoo: Path) -> None:
    with pytest.raises(TrainError, match=r"the zoo has no 'blob' \(did you mean zoo:blobs\?\); it has blobs"):
        zoo.load("zoo:blob")
    with pytest.raises(TrainError, match="--raw and --checkpoint are for runs' folders"):
        zoo.load("zoo:blobs", "raw")
