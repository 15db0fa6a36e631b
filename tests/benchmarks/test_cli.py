"""The command line, in processes of its own: pinning happens before NumPy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planted import Right

from benchmarks import peers, results, runner, scaling, steps, targets
from benchmarks.ceilings import Ceilings
from benchmarks.ci import cases
from benchmarks.descriptor import parse
from benchmarks.results import load
from benchmarks.sampling import Settings

ROOT = Path(__file__).parent.parent.parent


def benchmarks(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=250
    )


def test_a_run_from_the_command_line(tmp_path):
    files = [tmp_path / name for name in ("r.json", "r.html", "r.md", "g.json")]
    done = benchmarks(
        "run", 'conv --dir=FWD_B mb2ic3ih8oc4kh3ph1 n"small"', "--impl", "ours", "--threads", 1, "--rounds", 7,
        "--json", files[0], "--html", files[1], "--markdown", files[2], "--google-benchmark", files[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PASSED" in done.stdout
    assert "ceilings, measured" in done.stdout
    results = load(files[0])
    (record, *_) = results.records
    assert (record.implementation, record.name, record.visits) == ("ours", "small", [7] * 5)
    assert len(record.anchors) == 5
    assert results.provenance["threads"] == 1
    assert results.ceilings.gflops > 1
    assert all(path.stat().st_size for path in files)
    same = benchmarks("compare", files[0], files[0], "--fail-slower", "10%")
    assert same.returncode == 0, same.stderr
    broken = json.loads(files[0].read_text("utf-8"))
    for path, seconds in ((files[0], 1e-3), (files[3], 2e-3)):  # whatever this machine is doing now
        for entry in broken["records"]:
            entry["samples"] = [seconds for _ in entry["samples"]]
            entry["anchors"] = [[1e-3, 1e-3] for _ in entry["anchors"]]
        path.write_text(json.dumps(broken), "utf-8")
    slower = benchmarks("compare", files[0], files[3], "--fail-slower", "10%")
    assert slower.returncode == 1
    assert "slower by 100%: small forward ours" in slower.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "conv ic4ih9oc6kh3zz2"], "^ column 18"),
        (["run", "@nothing.txt"], "no shape file"),
        (["run", "--mode", "fast"], "--mode must be one of"),
        (["run", "--impl", "fastest", "ip ic3oc4"], "no implementation 'fastest'"),
        (["run", "--threads", "1000"], "--threads must be between 1 and"),
        (["compare", "missing.json", "missing.json"], "No such file"),
        (["step", "G99"], "no step 'G99'"),
    ],
)
def test_bad_input_is_explained(words, message):
    done = benchmarks(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_peer_that_is_missing_or_too_old_is_skipped_once(monkeypatch):
    class Old(Right):
        requires = "numpy>=99.1"

    class Missing(Right):
        requires = "no-such-package"

    found = [Old(), Missing(), Missing()]
    for implementation, name in zip(found, ("old", "missing:a", "missing:b"), strict=True):
        implementation.name = name
    monkeypatch.setattr(peers, "discover", lambda: found)
    chosen, skipped = peers.choose([])
    assert chosen == []
    assert len(skipped) == 2
    assert "99.1 or newer is needed" in skipped[0]
    assert skipped[1] == "missing is skipped: no-such-package is not installed"


def test_a_shape_that_does_not_fit_in_memory_is_skipped_with_the_figure():
    lines = []
    problem = parse("conv mb512ic512ih512oc512kh3ph1")
    assert runner.run([problem], [Right()], "both", Settings(), 1, memory_limit=10**9, skipped=lines.append) == []
    assert "GB of memory, and 1 GB are free" in lines[0]


def test_cases_for_pytest_benchmark():
    found = cases('conv mb2ic3ih8oc4kh3ph1 n"small"')
    found = [case for case in found if case.implementation.name == "ours"]  # its paths have cases too
    assert [str(case) for case in found] == ["small-FWD_B-ours", "small-BWD_D-ours", "small-BWD_W-ours"]
    found[0].check()
    assert found[0].prepared()().shape == (2, 4, 8, 8)
    assert found[0].time(0.05).samples


def test_scaling_recomputes_the_sizes():
    problem = parse("conv mb64ic64ih32oc128kh4sh2ph1")
    found = scaling.variants(problem, [1, 4], [8, 16])
    assert [(p.mb, p.image, p.output) for p in found] == [
        (1, (32, 32), (16, 16)), (4, (32, 32), (16, 16)), (64, (8, 8), (4, 4)), (64, (16, 16), (8, 8)),
    ]  # fmt: skip
    assert scaling.variants(parse("pool mb2ic3ih8kh2sh2"), [], [16])[0].output == (8, 8)
    with pytest.raises(ValueError, match="--batch must be numbers"):
        scaling.counts("1,x", "batch")


def test_the_profile_of_a_step_adds_up():
    from benchmarks.step import ours
    from scratchgan import Tensor, grad, ops

    x = Tensor([[1.0, 2.0]], requires_grad=True)
    profile = ours.profile(lambda: grad(ops.tanh(x * 2.0).sum(), x), calls=2)
    assert profile.total > sum(profile.operators.values()) > 0
    assert any(name == "Multiply" for name, _ in profile.operators)
    text = "\n".join(profile.lines())
    assert "between operators" in text


@pytest.mark.peer
def test_the_steps_of_all_sides_are_one_network():
    torch = pytest.importorskip("torch")
    import numpy as np

    from benchmarks.step import pytorch
    from scratchgan.models.gan import gan28, gan64

    for name, make in (("G28", gan28), ("G64", gan64)):
        for mine, theirs in zip(make(generator=np.random.default_rng(0)), pytorch.networks(torch, name), strict=True):
            own = {key: tuple(value.shape) for key, value in mine.state_dict().items()}
            other = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
            assert own == other


def test_targets_are_judged(tmp_path):
    def write(name, document):
        (tmp_path / name).write_text(json.dumps(document), "utf-8")

    write(
        "step-G28-2.json",
        {"steps": {"G28": {"ours": [0.1] * 9, "pytorch:nchw": [0.3] * 9, "pytorch:nhwc": [0.25] * 9}}},
    )
    write("memory-G64-2.json", {"memory": {"G64 ours": {"peak_mib": 70}, "G64 pytorch:nchw": {"peak_mib": 100}}})
    write(
        "overhead-1.json",
        {"operators": 10, "seconds": {"ours": [2e-5] * 9, "PyTorch": [1e-5] * 9, "MyGrad": [4e-5] * 9}},
    )
    times = {"D28.1": 0.2, "D28.1.f64": 0.4, "R1": 0.2, "R1.f64": 0.8}
    records = [
        runner.Record(f'conv n"{name}"', name, "FWD_B", "ours", 1, 1, samples=[seconds] * 9)
        for name, seconds in times.items()
    ]
    results.save(tmp_path / "float64-2.json", results.Results({}, records))
    sides = {"ours": 0.2, "pytorch:nchw": 0.3, "pytorch:nhwc": 0.4}
    records = [
        runner.Record('deconv n"T64.4"', "T64.4", "FWD_B", side, 50_000_000, 1, samples=[seconds] * 9)
        for side, seconds in sides.items()
    ]
    results.save(tmp_path / "deconv-2.json", results.Results({}, records, Ceilings(1.0, 1.0, "float32", 2)))
    rows = {row.work: row for row in targets.table(tmp_path)}
    assert rows["transposed convolution"].mean == pytest.approx(1.5)
    assert "at the roofline 6.00" in rows["transposed convolution"].note  # 0.05 s of arithmetic against 0.3
    assert rows["speed in float64 / in float32"].mean == pytest.approx(0.125**0.5)
    assert rows["speed in float64 / in float32"].least == pytest.approx(0.25)
    assert not rows["speed in float64 / in float32"].reached
    assert rows["G28 step"].mean == pytest.approx(2.5)
    assert rows["G28 step"].reached
    assert rows["peak memory of the G64 step / PyTorch's"].reached
    assert not rows["autograd overhead / PyTorch's"].reached
    assert rows["autograd overhead / MyGrad's"].reached
    assert "2.00 us" in rows["autograd overhead / PyTorch's"].note


@pytest.mark.slow
def test_peak_memory_of_a_step():
    large = np.ones(2**30, np.uint8)  # a peak of ours, which a process that we start must not report as its own
    found = steps.peak_memory("G28", "ours", 1)
    assert found["before_mib"] < found["peak_mib"] < large.nbytes / 2**20


def test_a_run_that_is_cut_reports_what_it_has():
    problems = [parse("ip --dir=FWD_D mb3ic4oc5"), parse("ip --dir=FWD_D mb4ic4oc5")]
    lines, seen = [], []
    settings = Settings(0.05, visits=3)

    class Interrupts(Right):
        builds = 0

        def build(self, problem, arrays):
            self.builds += 1
            if self.builds == 3:  # the second visit begins
                raise KeyboardInterrupt
            return super().build(problem, arrays)

    runner.run(problems, [Interrupts()], "performance", settings, 1, seen=seen.append, skipped=lines.append)
    assert len(seen) == 2
    assert all(len(records[0].visits) == 1 and records[0].samples for records in seen)
    assert "2 of 2 passes, in visit 2 of 3" in lines[0]
    seen.clear()
    assert runner.run(problems, [Right()], "performance", settings, 1, seen=seen.append, limit=-1) == []
