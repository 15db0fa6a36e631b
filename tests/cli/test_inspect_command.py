"""scratchgan inspect: programs, runs, pages; what it prints, its exit codes and its errors."""

import subprocess
import sys

PROGRAM = """
import numpy as np
from scratchgan import Tensor, grad
x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
grad((x * x).sum(), x)
"""


def test_a_program(scratchgan, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "square.py").write_text(PROGRAM)
    result = scratchgan("inspect", "square.py", "--check")
    assert result.code == 0, result
    assert result.out.splitlines()[-1] == "square.html"
    assert "vjp of Multiply" in result.out
    assert "PASS" in result.out
    assert (tmp_path / "square.html").stat().st_size > 50_000


def test_two_pages(scratchgan, tmp_path) -> None:
    (tmp_path / "a.py").write_text(PROGRAM)
    (tmp_path / "b.py").write_text(PROGRAM.replace("1.0", "1.5"))
    for name in "ab":
        assert scratchgan("inspect", tmp_path / f"{name}.py", "--quiet", "--out", tmp_path / f"{name}.html").code == 0
    out = tmp_path / "c.html"
    result = scratchgan("inspect", tmp_path / "a.html", "--compare", tmp_path / "b.html", "--out", out)
    assert result.code == 0
    assert "wrong" in result.out
    assert out.is_file()


def test_a_step_of_a_run_leaves_the_run_as_it_was(scratchgan, finished, tmp_path) -> None:
    before = {p: p.read_bytes() for p in sorted(finished.rglob("*")) if p.is_file() and p.name != ".lock"}
    out = tmp_path / "step.html"
    result = scratchgan("inspect", finished, "--out", out)
    assert result.code == 0, result
    assert "Adam.step" in result.out
    assert {p: p.read_bytes() for p in sorted(finished.rglob("*")) if p.is_file() and p.name != ".lock"} == before
    from scratchgan.inspect.page import read_page

    document = read_page(out)
    assert {e.get("q") for e in document["events"]} >= {"G", "D on real", "D on fake", "G through D"}
    assert sum(e["k"] == "update" for e in document["events"]) == 2


def test_a_step_that_was_not_kept(failing, finished) -> None:
    assert "has no checkpoint of step 999" in failing(1, "inspect", finished, "--step", 999)


def test_a_program_that_fails_still_has_its_page(scratchgan, tmp_path) -> None:
    (tmp_path / "p.py").write_text(PROGRAM + "raise ValueError('half-way')\n")
    result = scratchgan("inspect", tmp_path / "p.py", "--quiet", "--out", tmp_path / "p.html")
    assert result.code == 1
    assert "did not finish: ValueError: half-way" in result.err
    assert (tmp_path / "p.html").is_file()


def test_a_wrong_vjp_is_exit_code_1(scratchgan, tmp_path) -> None:
    (tmp_path / "p.py").write_text(
        "import numpy as np\nfrom scratchgan import Function, Tensor, grad\n"
        "class Twice(Function):\n    def forward(self, x):\n        return x * 2\n"
        "    def backward(self, needs, gy, y, x):\n        return gy * 3.0\n"
        "x = Tensor(np.ones(3), requires_grad=True)\ngrad(Twice()(x).sum(), x)\n"
    )
    result = scratchgan("inspect", tmp_path / "p.py", "--check", "--out", tmp_path / "p.html")
    assert result.code == 1
    assert "1 FAIL" in result.out


def test_nothing_recorded_writes_no_page(failing, tmp_path) -> None:
    (tmp_path / "p.py").write_text("pass\n")
    assert "recorded nothing" in failing(1, "inspect", tmp_path / "p.py", "--out", tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()


def test_what_makes_no_sense(failing, tmp_path) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    (tmp_path / "p.html").write_text("no page")
    assert "no such file" in failing(1, "inspect", tmp_path / "nothing.py")
    assert "--step is for the folder of a run" in failing(2, "inspect", tmp_path / "p.py", "--step", 3)
    assert "a page already" in failing(2, "inspect", tmp_path / "p.html")
    assert "no page of a recording" in failing(2, "inspect", tmp_path / "p.html", "--compare", tmp_path / "p.html")


def test_a_folder_that_is_no_run(failing, tmp_path) -> None:
    assert "holds no run" in failing(1, "inspect", tmp_path)


def test_the_command_line_does_not_import_the_inspector_to_parse() -> None:
    code = "import sys; from scratchgan.cli import build_parser as b; b(); print('scratchgan.inspect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
