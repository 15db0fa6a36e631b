"""The quiz as a command: a whole game by typed answers, the machine alone, scores, and what is refused."""

import io
import json

import numpy as np
import pytest
from PIL import Image


def play(monkeypatch, scratchgan, lines, *arguments):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return scratchgan("quiz", *arguments)


def test_a_game_by_typed_answers(finished, data, tmp_path, monkeypatch, scratchgan):
    scores, show = tmp_path / "scores.json", tmp_path / "show"
    arguments = ["--fakes", finished, "--data", data, "--rounds", 4, "--scores", scores, "--show", show]
    # Words, numbers that no picture has, and two of a pair are asked again; "1" is an answer to both kinds.
    result = play(monkeypatch, scratchgan, ["real", "9", "1", "1", "1", "1"], *arguments)
    assert result.code == 0, result.err
    assert "the machine does not play" in result.err
    assert result.out.count("Type ") == 2
    assert "you: " in result.out
    (game,) = json.loads(scores.read_text())["quiz"]
    assert game["rounds"] == 4
    assert list(game["players"]) == ["you"]
    with Image.open(show / "round_04.png") as picture:
        assert "synthetic" in picture.info["Source"]
    result = play(monkeypatch, scratchgan, ["1"] * 4, *arguments)
    assert "All your 2 games" in result.out
    assert len(json.loads(scores.read_text())["quiz"]) == 2


def test_stopping_keeps_nothing(finished, data, tmp_path, monkeypatch, scratchgan):
    arguments = ["--fakes", finished, "--data", data, "--rounds", 4, "--scores", tmp_path / "s.json"]
    result = play(monkeypatch, scratchgan, ["1", "1"], *arguments, "--show", tmp_path)
    assert result.code == 1
    assert "stopped before the end of 4 rounds: nothing is kept" in result.err
    assert not (tmp_path / "s.json").exists()


def test_the_machine_alone(finished, tmp_path, scratchgan):
    """Of a generator that has hardly been trained it tells the pictures."""
    draws = np.random.default_rng(0)
    path = tmp_path / "many.npz"
    images = np.zeros((140, 16, 16, 1), np.uint8)
    for image, (top, left) in zip(images, draws.integers(2, 8, (140, 2)), strict=True):
        image[top : top + 6, left : left + 6] = 255
    np.savez(path, images=images)
    scores = tmp_path / "scores.json"
    result = scratchgan("quiz", "--fakes", finished, "--data", path, "--machine", "--scores", scores)
    assert result.code == 0, result.err
    assert "it can tell" in result.out
    assert list(json.loads(scores.read_text())["quiz"][0]["players"]) == ["machine"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--rounds", "40"], 2, "40 rounds need 160 real pictures, and there are 64"),
        (["--data", "nothing"], 1, "nothing: no such file or folder"),
        ([], 2, "a terminal with colours: give --show DIR"),
        (["--machine", "--rounds", "16"], 2, "too few real pictures"),
    ],
)
def test_refusals(arguments, code, words, finished, data, tmp_path, scratchgan):
    show = [] if not arguments else ["--show", tmp_path]
    given = ["--fakes", finished, "--data", data, "--scores", tmp_path / "s.json", *show, *arguments]
    result = scratchgan("quiz", *given)
    assert result.code == code
    assert words in result.err
    assert not (tmp_path / "s.json").exists()


def test_a_foreign_file_of_scores(finished, data, tmp_path, failing):
    path = tmp_path / "notes.json"
    path.write_text("[1]")
    line = failing(2, "quiz", "--fakes", finished, "--data", data, "--scores", path, "--show", tmp_path)
    assert "holds no scores of the quiz" in line
    assert path.read_text() == "[1]"
