"""How kernels are compiled: one set of Numba options, one cache, one place that knows about both.

Importing this module imports Numba. Only ``kernels/*/cpu.py`` and ``simd.py`` import it at their top; the
wrappers import it when a kernel is called.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, overload

# GNU OpenMP's idle threads spin by default, and so do OpenBLAS's, which NumPy's matrix product uses. With as
# many threads of each as there are cores, a kernel right after a matrix product waits for the other pool's time
# slice to end: 4 ms where it needs 2 us (measured on 2 cores). A waiting thread that sleeps costs about 10 us.
# The library reads this when it is loaded, which Numba does at the first parallel kernel.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import cgutils, event, sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.extending import intrinsic as _intrinsic

from .cache import cache_root, warn_uncached

config: Any = numba.core.config  # its attributes are made at run time
# Numba types an intrinsic by its typing function, which takes one argument more than its callers pass.
intrinsic: Any = _intrinsic

# `workqueue` aborts the process when two threads call kernels at once, so it comes last.
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

# `contract` allows fused multiply-add and `reassoc` lets sums be vectorised. Full fast-math would also assume
# that no value is NaN or infinite, and hide a diverging training run.
FASTMATH = {"contract", "reassoc"}

# Below this many elements one thread is done before a second one has woken up.
SERIAL_BELOW = 65_536

# Cache folders that are kept: this version of the sources and the few used last, such as other branches.
_KEPT_FOLDERS = 4

_Function = TypeVar("_Function", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Return the folder for compiled kernels: $SCRATCHGAN_CACHE_DIR or the user's cache, then a key.

    Numba's own cache notices an edit of the file a function is in, but not of a file that it calls into, and
    answers with the stale machine code. So the folder's name is a hash of every kernel source, of the versions
    and of the processor.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    processor = f"{platform.machine()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    forced_unit = os.environ.get("SCRATCHGAN_SIMD", "")  # simd.py builds other machine code for it
    for version in (sys.version, numba.__version__, llvmlite.__version__, np.__version__, processor, forced_unit):
        digest.update(f"{version}\0".encode())
    return cache_root() / "kernels" / digest.hexdigest()[:16]


def _usable_cache() -> Path | None:
    """Make the cache folder and mark it as used now; None, with a warning, if it cannot be written."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        os.utime(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home folder
        warn_uncached(error)
        return None
    _prune(folder)
    return folder


def _prune(current: Path) -> None:
    """Delete the cache folders of other source versions but for those used last.

    A process that still runs one of the deleted versions compiles again what it had not loaded yet.
    """
    with contextlib.suppress(OSError):  # another process may be pruning too
        others = [
            folder
            for folder in current.parent.iterdir()
            if folder != current and re.fullmatch("[0-9a-f]{16}", folder.name) and folder.is_dir()
        ]
        others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in others[_KEPT_FOLDERS - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)


_CACHE = _usable_cache()


def cache_is_empty() -> bool:
    """Whether there is a cache in which no kernel of these sources is yet."""
    return _CACHE is not None and next(_CACHE.glob("*.nbi"), None) is None


class _Locator(UserProvidedCacheLocator):
    """Puts a function's cache files below our folder, whatever NUMBA_CACHE_DIR says for other functions."""

    def __init__(self, py_func: Any, py_file: str):
        super().__init__(py_func, py_file)
        self._cache_path = str(_CACHE)
        self._constants = getattr(py_func, "_constants", "")

    def get_disambiguator(self) -> str:
        # Family folders repeat file names (cpu.py), so the family is part of the cache file's name; and what Numba
        # would not see change is, too.
        return f"{Path(self._py_file).parent.name}-{self._lineno}{self._constants and '-'}{self._constants}"

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func, py_file)


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (Numba's attribute)


class _KernelCache(FunctionCache):
    """Numba's function cache, for which a full disk or a damaged file is no reason to stop."""

    _impl_class = _CacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            result = super().load_overload(sig, target_context)
        except Exception:  # a damaged file can raise anything
            with contextlib.suppress(OSError):
                self.flush()  # an index that cannot be read could not be added to either
            return None
        # Two processes that save different argument types at once can leave the index naming one and the
        # data file holding the other. Numba would run that machine code on the wrong types.
        wanted, _ = sigutils.normalize_signature(sig)
        if result is not None and tuple(result.signature.args) != tuple(wanted):
            return None
        return result

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_uncached(error)


@overload
def kernel(function: _Function) -> _Function: ...
@overload
def kernel(
    function: None = None, *, parallel: bool = False, exact: bool = False, constants_from: Sequence[ModuleType] = ()
) -> Callable[[_Function], _Function]: ...
def kernel(
    function: Any = None, *, parallel: bool = False, exact: bool = False, constants_from: Sequence[ModuleType] = ()
) -> Any:
    """Compile a function with the options that all kernels share; a decorator, with or without arguments.

    ``parallel`` turns its ``prange`` loops into threads (without it they silently run as plain loops). ``exact``
    compiles without `FASTMATH`: every operation is rounded as it is written, so the result has the same bits on every
    processor. ``constants_from``: modules outside this package whose constants the function uses; an edit of theirs
    is then an edit of the function.
    """
    if function is None:
        return lambda f: _compile(f, parallel, exact, constants_from)
    return _compile(function, parallel, exact, constants_from)


def _compile(function: Any, parallel: bool, exact: bool, constants_from: Sequence[ModuleType]) -> Any:
    dispatcher: Any = numba.njit(
        parallel=parallel,
        fastmath=False if exact else FASTMATH,
        error_model="numpy",
        nogil=True,
    )(function)
    sources = b"\0".join(Path(str(module.__file__)).read_bytes() for module in constants_from)
    function._constants = hashlib.sha256(sources).hexdigest()[:16] if sources else ""
    if _CACHE is not None and not config.DISABLE_JIT:  # NUMBA_DISABLE_JIT=1 leaves the function as it is
        dispatcher._cache = _KernelCache(function)
    return dispatcher


@intrinsic
def unowned(typing_context: Any, array: Any) -> Any:
    """Return the same array without its owner; the caller must keep the array alive.

    Numba counts references to an array's memory with an atomic operation for every slice taken and another for every
    slice dropped: a third of the time of a kernel that works through small slices. Only for arguments of the kernel,
    which its caller owns: a local array would be freed at once.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), build


def launch(compiled: Callable[..., Any], elements: int, *arguments: Any) -> Any:
    """Call a parallel kernel, on one thread when it has so few ``elements`` that a second would not help.

    The kernels give each output to one iteration of their ``prange``, so the bits are the same either way.
    """
    threads = numba.get_num_threads()
    if threads == 1 or elements >= SERIAL_BELOW:
        return compiled(*arguments)
    numba.set_num_threads(1)
    try:
        return compiled(*arguments)
    finally:
        numba.set_num_threads(threads)


class _CompileListener(event.Listener):
    """Passes on the names of our kernels, and of no other Numba function, as their compilation starts."""

    def __init__(self, callback: Callable[[str], None]):
        self.callback = callback

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        package = __name__.rpartition(".")[0] + "."
        if function.__module__.startswith(package):
            module = function.__module__.removeprefix(package).removesuffix(".cpu")
            self.callback(f"{module}.{function.__name__.strip('_')}")

    def on_end(self, event: Any) -> None:
        pass


@contextlib.contextmanager
def on_compile(callback: Callable[[str], None]) -> Iterator[None]:
    """Within the block, call ``callback`` with a kernel's name whenever one is about to be compiled."""
    with event.install_listener("numba:compile", _CompileListener(callback)):
        yield


def set_num_threads(count: int) -> None:
    """Run this thread's kernels on ``count`` threads."""
    most = config.NUMBA_NUM_THREADS
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: count must be an int, got {count!r}")
    if not 1 <= count <= most:
        raise ValueError(
            f"set_num_threads: count must be between 1 and {most}, got {count}; "
            "the upper limit is the number of cores, or NUMBA_NUM_THREADS if that is set before the start"
        )
    numba.set_num_threads(int(count))


def get_num_threads() -> int:
    """Return how many threads this thread's kernels run on."""
    return int(numba.get_num_threads())
