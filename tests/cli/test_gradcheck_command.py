"""scratchgan gradcheck FILE.py:NAME"""

from pathlib import Path

import pytest

from scratchgan.cli import main

OPERATORS = """
from scratchgan import Function, ops

def swish(x):
    return x * ops.sigmoid(x)

class Cube(Function):
    def forward(self, x):
        return x * x * x
    def backward(self, needs, gy, y, x):
        return gy * x * x * 2.0

def cube(x):
    return Cube()(x)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_ops.py"
    path.write_text(OPERATORS)
    return path


def test_a_right_operator_passes_to_second_order(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", f"{file}:swish", "--shape", "3,4", "--order", "2"]) == 0
    assert "PASS" in capsys.readouterr().out


def test_a_wrong_one_fails_and_the_report_says_how(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", f"{file}:cube", "--shape", "5"]) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out
    assert "cube" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{file}:nothing", "--shape", "3"], "has no 'nothing'"),
        (["{file}:swish"], "--shape"),
        (["{file}:swish", "--shape", "a"], "integers"),
        (["missing.py:f", "--shape", "3"], "no such file"),
        (["{file}"], "FILE.py:NAME"),
    ],
)
def test_bad_requests(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["gradcheck", *(a.format(file=file) for a in arguments)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
