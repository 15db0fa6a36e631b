"""The page as a file: one piece, nothing loaded, hostile names as data; comparing; the exercises' solutions."""

import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest

import scratchgan.inspect
from scratchgan import Tensor, grad, ops
from scratchgan.inspect import record
from scratchgan.inspect.compare import compared, summary
from scratchgan.inspect.exercises import COURSE, course
from scratchgan.inspect.page import SCRIPTS, PageError, page, read_page
from scratchgan.inspect.program import record_program

FOLDER = Path(scratchgan.inspect.__file__).parent / "page"
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.py"))


def small(seed=0, dtype=np.float32, steps=2):
    rng = np.random.default_rng(seed)
    x, w = (Tensor(rng.normal(size=(4, 4)).astype(dtype), requires_grad=True) for _ in range(2))
    with record() as tape:
        y = x
        for _ in range(steps):
            y = ops.tanh(y @ w)
        grad(y.sum(), [x, w])
    return tape


def test_every_script_of_the_page_is_in_it() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in FOLDER.glob("*.js"))
    for path in FOLDER.iterdir():
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


def test_the_page_loads_nothing() -> None:
    html = page(small().document(title="small"))
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", html)
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|import|eval|innerHTML|outerHTML|document\.write)\s*[(=]", html)
    assert "default-src 'none'" in html


def test_a_page_is_read_back(tmp_path) -> None:
    tape = small()
    path = tape.save(tmp_path / "a.html")
    document = tape.document(title="a")
    read = read_page(path)
    for key in ("events", "values", "leaves", "rows"):
        assert json.loads(json.dumps(document[key]))[0:1] == read[key][0:1] if key != "rows" else read[key]


HOSTILE = "</script><img src=x onerror=alert(1)>\u2028'\"&\ud800"


def test_hostile_names_are_data(tmp_path) -> None:
    x = Tensor(np.array([np.nan, np.inf, 1.0]), requires_grad=True)
    with np.errstate(all="ignore"), record(**{HOSTILE: x}) as tape, tape.part(HOSTILE):
        (x * Tensor(np.zeros((0, 3)))).sum()
        ops.exp(x)
        grad((x * 1.0).sum(), x)
        Tensor(np.array(2.0)).exp()
        ops.where(np.array([True, False, True]), x, 0.0)
    html = page(tape.document(title=HOSTILE))
    assert html.count("</script>") == page(small().document(title="t")).count("</script>")
    assert "<img" not in html
    path = tape.save(tmp_path / "ünïcode ☃.html", title=HOSTILE)
    assert read_page(path)["leaves"][0]["n"].startswith("</script>")


def test_complex_and_integer_constants_are_shown(tmp_path) -> None:
    class Rotated(scratchgan.Function):
        def forward(self, x):
            return x * 1j

    class Magnitude(scratchgan.Function):
        def forward(self, z, n):
            return np.abs(z) * n

    with record() as tape:
        Magnitude()(Rotated()(Tensor(np.array([3.0]))), Tensor(np.array([2], np.int64)))
    values = read_page(tape.save(tmp_path / "c.html"))["values"]
    assert [v["d"] for v in values] == ["float64", "complex128", "int64", "float64"]


def test_a_full_disk_leaves_the_old_page(tmp_path, monkeypatch) -> None:
    path = tmp_path / "old.html"
    path.write_text("before")

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space") as caught:
        small().save(path)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["old.html"]


def test_full_keeps_every_number(tmp_path) -> None:
    with record() as tape:
        ops.exp(Tensor(np.zeros((50, 60))))
    sampled, whole = (tape.document(full=full)["values"][0] for full in (False, True))
    assert np.prod(sampled["x"]) <= 1024
    assert whole["x"] == [50, 60]
    assert any("too large" in n for n in tape.document()["notices"])


def test_what_is_no_page(tmp_path) -> None:
    (tmp_path / "a.html").write_text("<p>hello")
    with pytest.raises(PageError, match="no page of a recording"):
        read_page(tmp_path / "a.html")
    text = page(small().document()).replace('"format":1', '"format":99')
    (tmp_path / "b.html").write_text(text)
    with pytest.raises(PageError, match="format 99"):
        read_page(tmp_path / "b.html")
    (tmp_path / "c.html").write_text('<script type="application/json" id="recording">{oh</script>')
    with pytest.raises(PageError, match="damaged"):
        read_page(tmp_path / "c.html")


class TestComparing:
    def test_the_same_program_is_exact(self) -> None:
        a, b = small().document(), small().document()
        verdicts = {v["v"] for v in compared(a, b)["compare"]["events"].values()}
        assert verdicts == {"exact"}

    def test_another_seed_is_wrong_from_the_first_step(self) -> None:
        result = compared(small().document(), small(1).document())
        assert result["compare"]["events"]["0"]["v"] == "wrong"
        assert "first wrong: event 0" in summary(result)

    def test_another_dtype_is_rounding(self) -> None:
        result = compared(small().document(), _rounded().document())["compare"]["events"]
        assert {v["v"] for v in result.values()} <= {"rounding", "exact"}
        assert "rounding" in {v["v"] for v in result.values()}

    def test_programs_that_part(self) -> None:
        result = compared(small(steps=3).document(), small(steps=2).document())["compare"]
        assert "part at event 4" in result["parted"]
        assert "missing" in {v["v"] for v in result["events"].values()}
        assert result["events"]["3"]["v"] == "exact"

    def test_one_that_ends_early(self) -> None:
        a, b = small().document(), small().document()
        b["events"] = b["events"][:-3]
        assert "one has ended" in compared(a, b)["compare"]["parted"]


def _rounded():
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.normal(size=(4, 4)).astype(np.float32).astype(np.float64), requires_grad=True) for _ in range(2))
    with record() as tape:
        y = ops.tanh(ops.tanh(x @ w) @ w)
        grad(y.sum(), [x, w])
    return tape


def conv2d(x, w, padding=0):
    from scratchgan import kernels

    return kernels.conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w), padding=padding)


@pytest.mark.parametrize("exercise", course(), ids=lambda e: e["title"])
def test_the_solutions_are_right_in_numpy(exercise) -> None:
    names = {name: np.array(a["a"]).reshape(a["sh"]) for name, a in exercise["arrays"].items()}
    names |= {"np": np, "conv2d": conv2d}
    *lines, last = exercise["solution"].split("\n")
    exec("\n".join(lines), names)
    got = eval(last, names)
    np.testing.assert_allclose(got, np.array(exercise["answer"]["a"]).reshape(exercise["answer"]["sh"]), rtol=1e-9)


def test_there_are_at_least_twelve_exercises() -> None:
    assert len(COURSE) >= 12
    assert len({e.title for e in COURSE}) == len(COURSE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_examples_run_and_are_recorded(path, capsys) -> None:
    with np.errstate(all="ignore"):
        tape = record_program(path)
    assert tape.error is None
    assert tape.pullbacks
    assert (path.parent / "pages" / f"{path.stem}.html").is_file()
    assert capsys.readouterr().out


class TestPrograms:
    def test_a_program_that_raises(self, tmp_path) -> None:
        (tmp_path / "p.py").write_text(
            "from scratchgan import Tensor\nx = Tensor([1.0, 2.0], requires_grad=True)\n"
            "y = x * 2.0\nraise KeyError('half-way')\n"
        )
        tape = record_program(tmp_path / "p.py")
        assert tape.error[0] == "KeyError: 'half-way'"
        assert len(tape.applications) == 1

    def test_its_arguments_and_its_exit(self, tmp_path) -> None:
        (tmp_path / "p.py").write_text("import sys\nassert sys.argv[1:] == ['a']\nsys.exit(0)\n")
        tape = record_program(tmp_path / "p.py", ["a"])
        assert tape.error is None
        assert not tape.events

    def test_no_such_file(self, tmp_path) -> None:
        with pytest.raises(FileNotFoundError):
            record_program(tmp_path / "p.py")
