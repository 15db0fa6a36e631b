"""scratchgan data: sheets that show what was asked for, archives that hold all that is known, and clear refusals."""

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import toyfaces


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_sheet_of_faces_shows_the_faces(scratchgan, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    result = scratchgan("data", "toyfaces", "--n", 4, "--size", 64, "--seed", 3, "--out", out)
    assert result.code == 0
    assert "4 faces of 64 px" in result.out
    sheet = pixels(out)
    assert sheet.shape == (2 * 66 + 2, 2 * 66 + 2, 3)
    faces = toyfaces.render(toyfaces.sample_factors(4, 3, portrait=True), 64).image
    assert np.array_equal(sheet[2:66, 68:132], faces[1].transpose(1, 2, 0))
    with Image.open(out) as picture:
        assert f"renderer version {toyfaces.RENDERER_VERSION}" in picture.text["Source"]


def test_one_factor_a_row(scratchgan, tmp_path):
    out = tmp_path / "sheet.png"
    result = scratchgan(
        "data", "toyfaces", "--vary", "accessories", "--vary", "yaw", "--set", "hair_style=curly", "--set",
        "smile=1", "--size", 32, "--columns", 3, "--out", out,
    )  # fmt: skip
    assert result.code == 0
    members = [f.name for f in toyfaces.FACTORS if f.group == "accessories"]
    assert pixels(out).shape[0] == (len(members) + 1) * 32
    fixed = {"hair_style": "curly", "smile": 1.0}
    turned = toyfaces.render({**fixed, "yaw": np.array([-35.0, 0.0, 35.0])}, 32).image
    assert np.array_equal(pixels(out)[-32:, -32:], turned[2].transpose(1, 2, 0))


def test_truth_and_columns(scratchgan, tmp_path):
    out = tmp_path / "truth.png"
    assert scratchgan("data", "toyfaces", "--n", 2, "--size", 32, "--truth", "--out", out).code == 0
    assert pixels(out).shape == (6 * 32, 2 * 32, 3)


def test_the_archive_holds_all_that_is_known(scratchgan, tmp_path):
    out = tmp_path / "faces.npz"
    options = ("--n", 5, "--size", 16, "--split", "test", "--set", "hat_present=yes", "--out", out)
    assert scratchgan("data", "toyfaces", *options).code == 0
    with np.load(out) as archive:
        assert archive["images"].shape == (5, 16, 16, 3)
        assert (archive["factor_hat_present"] == 1).all()
        factors = {f.name: archive[f"factor_{f.name}"] for f in toyfaces.FACTORS}
        faces = toyfaces.render(factors, 16)
        assert np.array_equal(archive["images"], faces.image.transpose(0, 2, 3, 1))
        for name in ("alpha", "mask", "depth", "landmarks", "visibility"):
            assert np.array_equal(archive[name], getattr(faces, name)), name
        assert set(archive["identity"]) <= set(range(1000, 1100))


def test_any_other_data_set_is_shown_too(scratchgan, tmp_path, data):
    out = tmp_path / "squares.png"
    result = scratchgan("data", data, "--n", 9, "--out", out)
    assert result.code == 0
    assert "9 of 64 images of squares" in result.out
    assert pixels(out).shape[0] == 3 * (64 + 2) + 2
    assert scratchgan("data", data, "--n", 9, "--out", tmp_path / "some.npz").code == 0
    with np.load(tmp_path / "some.npz") as some, np.load(data) as whole:
        assert np.array_equal(some["images"], whole["images"][:9])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--vary", "hats"], 2, "--vary hats: no factor or group has that name; there are: all, identity, head_width"),
        (["--set", "hat"], 2, "write it as FACTOR=VALUE"),
        (["--set", "hat=bowler"], 1, "'hat' is 'bowler' but its values are beanie, cap, straw, party"),
        (["--set", "yaw=36"], 1, "'yaw' is 36.0 but its range is -35 to 35"),
        (["--set", "yawn=3"], 1, "no factor is named 'yawn'"),
        (["--size", "129"], 1, "16 to 128"),
        (["--split", "dev"], 1, "no split is named 'dev'"),
        (["--truth", "--out", "truth.npz"], 2, "give --out a .png"),
    ],
)
def test_bad_requests_of_faces(failing, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    assert words in failing(code, "data", "toyfaces", *options)
    assert not list(tmp_path.iterdir())


def test_what_only_faces_have_is_refused_for_other_data(failing, data, tmp_path):
    for option in (["--vary", "yaw"], ["--set", "yaw=3"], ["--truth"]):
        assert "is for toyfaces" in failing(2, "data", data, *option, "--out", tmp_path / "x.png")


def test_points_are_drawn_and_saved(scratchgan, tmp_path):
    out = tmp_path / "ring.png"
    assert scratchgan("data", "ring8", "--n", 100, "--out", out).code == 0
    assert pixels(out).shape[1] == 480
    assert scratchgan("data", "ring8", "--n", 100, "--out", tmp_path / "ring.npz").code == 0
    with np.load(tmp_path / "ring.npz") as archive:
        assert archive["points"].shape == (100, 2)


def test_a_run_on_points_from_the_command_line(scratchgan, failing, tmp_path):
    run = tmp_path / "roll"
    short = ("--set", "width=8", "--batch", 16, "--steps", 4, "--limit", 100)
    result = scratchgan("train", "--data", "swiss-roll", *short, "--out", run)
    assert result.code == 0
    assert "100 points" in result.err
    assert "film.gif" in result.out
    result = scratchgan("evaluate", run, "--n", 500, "--json", tmp_path / "scores.json")
    assert result.code == 0
    assert "real points:      20 of 20 modes" in result.out
    assert (tmp_path / "scores.json").exists()
    assert scratchgan("sample", run, "--n", 30, "--out", tmp_path / "points.npz").code == 0
    with np.load(tmp_path / "points.npz") as archive:
        assert archive["points"].shape == (30, 2)
    assert scratchgan("sample", run, "--out", tmp_path / "points.png").code == 0
    assert "was trained on points" in failing(2, "interpolate", run)
    assert "two places to start from" in failing(2, "train", "--recipe", "points", "--config", run / "config.json")
