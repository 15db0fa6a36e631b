"""How kernels are compiled and kept: a cache that is right, shared by processes, and never a reason to stop."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from scratchgan import kernels
from scratchgan.kernels import cache as kernel_cache
from scratchgan.kernels import jit


def run(program: str, **environment: str) -> str:
    """Run a Python program in a fresh process and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def double(x: np.ndarray) -> None:
    """A small function to compile."""
    for i in range(x.size):
        x[i] *= 2


def doubled(function: Callable[[np.ndarray], None], dtype: type = np.float32) -> list[float]:
    x: np.ndarray = np.arange(3, dtype=dtype)
    function(x)
    return x.tolist()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernels made in this test keep their code in an empty folder, and a warning has not been given."""
    monkeypatch.setattr(jit, "_CACHE", tmp_path)
    monkeypatch.setattr(kernel_cache, "_warned", False)
    return tmp_path


def test_importing_the_package_imports_no_compiler() -> None:
    program = (
        "import sys; from scratchgan import kernels; print([m for m in ('numba', 'llvmlite') if m in sys.modules])"
    )
    assert run(program).strip() == "[]"


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    program = """
import json, numpy as np
from scratchgan import kernels
compiled, x = [], np.zeros(3, np.float32)
with kernels.on_compile(compiled.append):
    kernels.ema_update(x, np.ones(3, np.float32), 0.75, out=x)
    kernels.ema_update(x, np.ones(3, np.float32), 0.75, out=x)
print(json.dumps([compiled, x.tolist()]))
"""
    first, second = (json.loads(run(program, SCRATCHGAN_CACHE_DIR=str(tmp_path))) for _ in range(2))
    assert first == [["optimizer.ema", "optimizer.mix"], [0.4375] * 3]
    assert second == [[], [0.4375] * 3]


def test_on_compile_is_silent_about_other_functions(cache: Path) -> None:
    compiled: list[str] = []
    with kernels.on_compile(compiled.append):
        assert doubled(numba.njit(double)) == [0, 2, 4]
    assert compiled == []


def test_an_edit_of_any_source_changes_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jit.cache_folder()
    copy = tmp_path / "kernels"
    shutil.copytree(Path(jit.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jit, "__file__", str(copy / "jit.py"))
    assert jit.cache_folder() == before
    source = copy / "norm" / "cpu.py"
    source.write_text(source.read_text() + "\n")
    assert jit.cache_folder() != before
    assert jit.cache_folder().parent == before.parent


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SCRATCHGAN_CACHE_DIR", raising=False)
    assert jit.cache_folder().parent == tmp_path / "xdg" / "scratchgan" / "kernels"
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(tmp_path / "own"))
    assert jit.cache_folder().parent == tmp_path / "own" / "kernels"


def test_old_folders_are_deleted_but_for_the_last_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(tmp_path))
    root = tmp_path / "kernels"
    for age in range(8):
        folder = root / f"{age:016x}"
        folder.mkdir(parents=True)
        (folder / "code.nbc").touch()
        os.utime(folder, (1000 - age, 1000 - age))
    (root / "notes").mkdir()
    current = jit._usable_cache()
    assert current is not None
    kept = {current.name, "notes", *(f"{age:016x}" for age in range(3))}
    assert {folder.name for folder in root.iterdir()} == kept


def test_a_cache_that_cannot_be_written_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(occupied))
    monkeypatch.setattr(kernel_cache, "_warned", False)
    with pytest.warns(RuntimeWarning, match="compiled kernels cannot be kept .*SCRATCHGAN_CACHE_DIR"):
        assert jit._usable_cache() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jit._usable_cache() is None
    monkeypatch.setattr(jit, "_CACHE", None)
    assert doubled(jit.kernel(double)) == [0, 2, 4]


def test_a_full_disk_warns_once_and_the_kernel_runs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    compiled = jit.kernel(double)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert doubled(compiled) == [0, 2, 4]
    assert doubled(compiled, np.float64) == [0, 2, 4]  # a second warning would be an error


def test_a_damaged_cache_file_is_compiled_again(cache: Path) -> None:
    assert doubled(jit.kernel(double)) == [0, 2, 4]
    files = sorted(cache.iterdir())
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    for file in files:
        intact = file.read_bytes()
        file.write_bytes(intact[: len(intact) // 2])
        assert doubled(jit.kernel(double)) == [0, 2, 4]
        file.write_bytes(b"")
        assert doubled(jit.kernel(double)) == [0, 2, 4]


def test_code_for_other_types_is_not_run(cache: Path) -> None:
    # Two processes that save at once can leave float32's code in the file that the index names for float64.
    compiled = jit.kernel(double)
    doubled(compiled, np.float32)
    doubled(compiled, np.float64)
    one, two = sorted(cache.glob("*.nbc"))
    shutil.copy(one, two)
    assert doubled(jit.kernel(double), np.float64) == [0, 2, 4]
    assert doubled(jit.kernel(double), np.float32) == [0, 2, 4]


def test_kernels_of_one_name_in_two_families_do_not_share_a_file(cache: Path) -> None:
    names = [
        jit._Locator(double, str(Path(jit.__file__).parent / family / "cpu.py")).get_disambiguator()
        for family in ("norm", "pool")
    ]
    assert len(set(names)) == 2


def product_plus(x: np.ndarray) -> None:
    """x[0] = x[0] * x[1] + x[2]: one operation where fused multiply-add is allowed, two where it is not."""
    for i in range(1):
        x[i] = x[i] * x[i + 1] + x[i + 2]


@pytest.mark.parametrize("exact", [True, False])
def test_exact_kernels_round_every_operation(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_CACHE", None)  # both would be kept under the same name
    x = np.array([1 + 2**-12, 1 + 2**-12, -(1 + 2**-11)], np.float32)  # the product is 1 + 2^-11 + 2^-24
    jit.kernel(exact=exact)(product_plus)(x)
    fused = not exact and "+fma" in jit.llvm.get_host_cpu_features().flatten().split(",")
    assert x[0] == (2**-24 if fused else 0)


def test_an_edit_of_the_module_that_constants_come_from_compiles_again(cache: Path, tmp_path: Path) -> None:
    constants = ModuleType("constants")
    constants.__file__ = str(tmp_path / "constants.py")
    names = []
    for text in ("TWO = 2", "TWO = 2.0"):
        Path(constants.__file__).write_text(text)
        assert doubled(jit.kernel(constants_from=[constants])(double)) == [0, 2, 4]
        names.append({file.name for file in cache.glob("*.nbi")})
    assert names[0] < names[1]


def test_threads() -> None:
    threads = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        assert kernels.get_num_threads() == 1
    finally:
        kernels.set_num_threads(threads)
    for wrong in (0, -1, 10**6):
        with pytest.raises(ValueError, match=f"set_num_threads: count must be between 1 and .*, got {wrong}"):
            kernels.set_num_threads(wrong)
    for other in (1.0, "2", True):
        with pytest.raises(TypeError, match="set_num_threads: count must be an int"):
            kernels.set_num_threads(other)  # type: ignore[arg-type]
    assert kernels.get_num_threads() == threads


def test_launch_uses_one_thread_for_little_work_and_restores_the_count() -> None:
    threads = kernels.get_num_threads()
    assert jit.launch(kernels.get_num_threads, 10) == 1
    assert jit.launch(kernels.get_num_threads, jit.SERIAL_BELOW) == threads
    with pytest.raises(ZeroDivisionError):
        jit.launch(lambda: 1 // 0, 10)
    assert kernels.get_num_threads() == threads


def test_an_unowned_array_is_the_same_memory() -> None:
    from scratchgan.kernels import jit

    @jit.kernel
    def double_rows(a):
        a = jit.unowned(a)
        for i in range(a.shape[0]):
            row = a[i, 1:]
            for j in range(row.size):
                row[j] *= 2

    a = np.arange(6.0).reshape(2, 3)
    double_rows(a)
    np.testing.assert_array_equal(a, [[0, 2, 4], [3, 8, 10]])
