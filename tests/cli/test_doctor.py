"""`scratchgan doctor`: it passes here, and it notices what is broken."""

import json
import sys

import numpy as np
import pytest

from scratchgan import Tensor, ops
from scratchgan.cli import doctor
from scratchgan.kernels import jit


def findings(scratchgan):
    """The exit code, and the findings by name."""
    result = scratchgan("doctor", "--json")
    report = json.loads(result.out)
    assert report["ok"] == (result.code == 0)
    return result.code, {finding["name"]: finding for finding in report["findings"]}


def test_all_is_well_here(scratchgan):
    result = scratchgan("doctor")
    assert result.code == 0, result.out
    assert "broken" not in result.out
    assert result.out.endswith("Everything that training needs works.\n")


def test_json_says_everything_that_was_asked_of_it(scratchgan):
    code, found = findings(scratchgan)
    assert code == 0
    assert found.keys() >= {
        "scratchgan", "Python", "numpy", "numba", "Pillow", "safetensors", "rich", "vector unit", "gradient", "threads",
        "threading layer", "BLAS", "GPU", "kernel cache", "toyfaces", "fashion-mnist", "mnist",
    }  # fmt: skip
    assert found["numpy"]["value"] == np.__version__
    assert "GFLOP/s" in found["BLAS"]["value"]
    assert all(finding["advice"] for finding in found.values() if finding["status"] != "ok")


def test_a_wrong_gradient_is_broken(scratchgan, monkeypatch):
    right = ops.tanh
    # The same values, and a gradient that is 3% too large.
    monkeypatch.setattr(ops, "tanh", lambda x: right(x) + (x - x.detach()) * 0.03)
    code, found = findings(scratchgan)
    assert code == 1
    assert found["gradient"]["status"] == "broken"
    assert "delete the kernel cache" in found["gradient"]["advice"]


def test_the_broken_gradient_above_keeps_the_values():
    x = Tensor(np.linspace(-1, 1, 5, dtype=np.float32), requires_grad=True)
    assert ((x - x.detach()) * 0.03).data.any() == False  # noqa: E712 (a NumPy bool)


def test_a_missing_package_is_broken_and_the_rest_goes_on(scratchgan, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)  # importing it raises ImportError
    result = scratchgan("doctor")
    assert result.code == 1
    assert "broken   safetensors" in result.out
    assert "-> pip install --force-reinstall 'safetensors>=" in result.out
    assert "ok       rich" in result.out
    assert result.out.endswith("Broken: safetensors. The advice is above.\n")


def test_an_old_package_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "_least_versions", lambda: {"numpy": "99.1", "rich": "1.0"})
    found = {finding.name: finding for finding in doctor._versions()}
    assert found["numpy"].status == doctor.BROKEN
    assert found["numpy"].advice == "pip install --upgrade 'numpy>=99.1'"
    assert found["rich"].status == doctor.OK


def test_versions_are_compared_as_numbers():
    assert doctor._numbers("0.61") < doctor._numbers("0.100.2rc1")
    assert doctor._numbers("2.0") <= doctor._numbers("2.0.0")


def test_the_least_versions_are_those_of_the_distribution():
    least = doctor._least_versions()
    if not least:
        pytest.skip("scratchgan is not installed: this is a bare checkout")
    assert least.keys() >= {"numpy", "numba", "pillow", "safetensors", "rich"}


def test_a_check_that_fails_in_an_unforeseen_way_is_a_finding(monkeypatch):
    def crash():
        raise RuntimeError("no such\nregister")
        yield

    monkeypatch.setattr(doctor, "_vector_unit", crash)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["vector unit"].status == doctor.BROKEN
    assert found["vector unit"].value == "RuntimeError: no such register"
    assert found["BLAS"].status == doctor.OK


def test_a_cache_that_cannot_be_written_is_noted(isolated):
    script = """
        from scratchgan.cli import doctor
        mount("ro")
        say([[finding.status, finding.value, finding.advice] for finding in doctor._kernel_cache()])
        say([doctor._write_problem(Path("new/folder")), os.listdir()])
    """
    ((finding,), elsewhere) = isolated(script, SCRATCHGAN_CACHE_DIR="disk")
    assert finding[0] == "note"
    assert finding[1].startswith("disk/kernels/")
    assert finding[1].endswith(": read-only file system")
    assert "set SCRATCHGAN_CACHE_DIR" in finding[2]
    assert elsewhere == ["", ["disk"]]


def test_the_cache_that_is_reported_is_the_one_in_use(scratchgan):
    _, found = findings(scratchgan)
    assert str(jit.cache_folder().parent) in found["kernel cache"]["value"]


def test_a_container_with_less_time_than_cores_is_noted(monkeypatch):
    from scratchgan import kernels

    monkeypatch.setattr(kernels, "get_num_threads", lambda: 8)
    monkeypatch.setattr(doctor, "_cpu_quota", lambda: 1.5)
    kernels.leaky_relu(np.ones((1, 1, 2, 2), np.float32), 0.2)  # a threading layer is known after a kernel has run
    finding = next(doctor._threads())
    assert finding.status == doctor.NOTE
    assert "NUMBA_NUM_THREADS=1" in finding.advice
