"""The checker's own score: every bug of the catalogue, planted in the project's code, is killed as meant."""

from __future__ import annotations

import numpy as np
import pytest

from scratchgan import ops
from scratchgan.gradcheck.__main__ import main
from scratchgan.gradcheck.selftest.catalogue import plants
from scratchgan.gradcheck.selftest.planting import Plant, PlantError, planted
from scratchgan.gradcheck.selftest.scoring import score_catalogue


def test_every_planted_bug_is_killed_as_meant_and_the_right_code_passes() -> None:
    card = score_catalogue()
    assert card.perfect, str(card)
    assert len(card.rows) == len(plants())


def test_a_plant_is_there_only_within_its_block() -> None:
    plant = Plant("half", "test", "", (), "scratchgan.ops.reduce:_mean", (("return Sum", "return 0.5 * Sum"),))
    with planted(plant):
        assert ops.mean(np.ones(4)).item() == 0.5
    assert ops.mean(np.ones(4)).item() == 1.0


def test_a_plant_that_the_code_has_outgrown_is_an_error() -> None:
    plant = Plant("gone", "test", "", (), "scratchgan.ops.reduce:_mean", (("return Product", "return Sum"),))
    with pytest.raises(PlantError, match="0 places that read 'return Product'"), planted(plant):
        pass


def test_the_doctor_is_content(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "negative control: tanh, sign: refused" in out
    assert "The checker works here." in out


def test_check_reads_an_operator_from_a_file(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from scratchgan import ops\n"
        "from scratchgan.gradcheck import Op, arrays, suite\n"
        "def right(x):\n    return ops.tanh(x)\n"
        "wrong = Op(lambda x: x * x, lambda gy, x: gy * x, name='square')\n"
        "test_wrong = suite(wrong, arrays())\n"
    )
    assert main(["check", f"{path}:right", "--shape", "2,3", "--order", "2"]) == 0
    assert main(["check", f"{path}:wrong", "--shape", "2,3"]) == 1
    assert main(["check", f"{path}:test_wrong"]) == 1
    assert "pattern: scaled by 0.5" in capsys.readouterr().out
    for arguments, message in (
        ([f"{path}:absent", "--shape", "2"], "has no 'absent'"),
        ([f"{path}:right"], "say the shape"),
        ([f"{path}:right", "--shape", "two"], "expected integers"),
        (["nowhere.py:right"], "no such file"),
        (["right"], "expected FILE.py:NAME"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["check", *arguments])
        assert message in capsys.readouterr().err
