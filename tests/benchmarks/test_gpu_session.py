"""The GPU session without a GPU: every part on the stand-in, what is kept of parts that fail, and the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from emulator.loader import COMPILER  # noqa: E402
from emulator.stand_in import stand_in  # noqa: E402

from benchmarks import gpu_session  # noqa: E402
from benchmarks.correctness import PASSED  # noqa: E402
from benchmarks.descriptor import parse  # noqa: E402
from benchmarks.gpu import EventClock  # noqa: E402
from benchmarks.gpu_report import markdown  # noqa: E402
from benchmarks.peers.ours import OursOnCuda  # noqa: E402
from benchmarks.runner import run_pass  # noqa: E402
from benchmarks.sampling import Settings  # noqa: E402

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++, which is not installed")
HEAD = {"device": "a GPU", "versions": {"cupy": "0"}, "commit": "abc"}


@pytest.fixture
def cupy():
    with stand_in() as runner:
        yield runner.module


@pytest.fixture
def no_peer(monkeypatch):
    monkeypatch.setattr(gpu_session, "open_peer", lambda cupy: None)


def test_steps_and_table(cupy, no_peer, capsys):
    parts = {name: gpu_session.PARTS[name] for name in ("compile", "steps", "table")}
    report = {name: gpu_session.run_part(part, cupy, True, 60) for name, part in parts.items()}
    assert report["compile"]["programs"] > 30
    steps, table = report["steps"], report["table"]
    assert [record["network"] for record in steps["gan_step"]] == ["G28", "G64"]
    assert all(record[how] > 0 for record in steps["gan_step"] for how in ("plain", "cuda graph"))
    assert len(table["convolution"]) == 3 * 3 * 2
    assert {record["kernel"] for record in table["memory"]} >= {"adam_step", "leaky_relu", "batch_norm_grad"}
    page = markdown({**HEAD, **report})
    assert "| G28 | 2 |" in page
    assert "| tiny.up | weight_grad | tf32 |" in page
    assert "GAN step G64, CUDA graph over eager PyTorch | >= 1.5 | - |" in page
    assert "cuda graph" in capsys.readouterr().out


def test_no_time_left(cupy, no_peer, capsys):
    assert gpu_session.run_part(gpu_session.table, cupy, False, 3)["outcome"] == "skipped: out of time"
    assert gpu_session.gan_steps(cupy, True, -1)["gan_step"] == []
    assert "G64: skipped, out of time" in capsys.readouterr().out


def test_a_part_that_fails_does_not_take_the_others_with_it(cupy, capsys):
    def broken(cupy, dry, limit):
        raise RuntimeError("no such thing")

    record = gpu_session.run_part(broken, cupy, False, 60)
    assert record["outcome"] == "failed: RuntimeError: no such thing"
    assert "in broken" in record["traceback"]
    page = markdown(
        {**HEAD, "steps": record, "tests": {"outcome": "finished", "output": "5 passed", "wall_seconds": 1}}
    )
    assert "## steps: failed: RuntimeError: no such thing, 0 s" in page
    assert "5 passed" in page


def test_the_same_quality_on_both_devices():
    def lines(rate: float, fids: dict[int, float], last: int) -> list[dict[str, float]]:
        return [
            {"step": n, "images_per_second": rate, **({"fid": fids[n]} if n in fids else {})}
            for n in range(1, last + 1)
        ]

    fast = {"curve": gpu_session.quality_curve(lines(3200.0, {2: 90, 4: 50, 6: 20}, 6), 32)}
    slow = {"curve": gpu_session.quality_curve(lines(32.0, {2: 91, 4: 52}, 5), 32)}
    found = gpu_session.same_quality(fast, slow)
    assert found["speedup"] == pytest.approx(100)
    assert found["same_quality"] == {"fid": 52, "cpu_seconds": 4, "cuda_seconds": pytest.approx(0.04)}
    assert gpu_session.same_quality({"curve": []}, slow) == {"speedup": None}
    slow["curve"][0]["fid"] = 1
    assert gpu_session.same_quality(fast, slow)["same_quality"]["cuda_seconds"] is None


@pytest.mark.slow
def test_the_whole_session(tmp_path, monkeypatch, capsys):
    out = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["gpu_session", "--dry-run", "--out", str(out)])
    gpu_session.main()
    report = json.loads(out.read_text())
    assert set(gpu_session.PARTS) <= set(report)
    assert report["train"]["cuda"]["steps"] == 2
    assert "## sanitizer" in out.with_suffix(".md").read_text()


def test_our_cuda_kernels_in_the_benchmark(cupy):
    """``python -m benchmarks --device cuda``: arrays go to the device, results come back and are right, events time."""
    cases = ["conv --dir=FWD_B mb2ic3ih6oc4kh3ph1", "conv --dir=BWD_W mb1ic2ih5oc3kh3ph1"]
    mode = "both"
    for case in cases:
        (record,) = run_pass(parse(case), [OursOnCuda()], mode, Settings(0.01), 1, EventClock(cupy))
        assert record.verdict == PASSED, record.reason
        assert record.summary.median > 0
