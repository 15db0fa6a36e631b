"""What a person is told when a command fails: one line on stderr that says what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

_ADVICE = {
    errno.ENOSPC: "the disk is full: make room, or write to another disk",
    errno.EDQUOT: "your disk quota is used up: make room, or write to another disk",
    errno.EROFS: "that file system is read-only: write to another folder",
    errno.EACCES: "you may not read or write there: choose another folder, or change its permissions",
    errno.EPERM: "you may not read or write there: choose another folder, or change its permissions",
    errno.ENOENT: "no such file or folder: check the spelling",
    errno.ENOTDIR: "part of that path is a file and not a folder: choose another path",
    errno.EISDIR: "that is a folder: give the name of a file",
    errno.EEXIST: "that is in the way: choose another name",
    errno.ENAMETOOLONG: "that name is too long: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit with `ulimit -n`",
    errno.EIO: "the disk failed to read or write: check it, or use another",
}


class UsageError(ValueError):
    """What was asked for makes no sense; the message is one line that says why."""


def report(error: BaseException, *, program: str, debug: bool) -> int:
    """Print ``error`` to stderr as one line (as a traceback if ``debug``) and return the exit code."""
    if isinstance(error, BrokenPipeError):  # whoever read our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout once more at its exit
        return 0
    if debug:
        traceback.print_exception(error)
    message, code = describe(error)
    print(f"{program}: {message}", file=sys.stderr)
    return code


def describe(error: BaseException) -> tuple[str, int]:
    """Return what to say about ``error``, on one line, and the exit code: 2 where the request itself is at fault."""
    from ..cuda_graph import GraphError
    from ..data import DataError
    from ..device import DeviceError, memory_error
    from ..metrics import MetricError
    from ..train import ConfigError, TrainError

    if isinstance(error, (ConfigError, UsageError)):
        return _one_line(error), 2
    if isinstance(error, (DataError, TrainError, DeviceError, GraphError, MetricError)):
        return _one_line(error), 1
    if isinstance(error, KeyboardInterrupt):
        return "stopped", 130
    if isinstance(error, MemoryError):
        on_gpu = memory_error(error)
        if on_gpu is not None:
            return on_gpu, 1
        return "out of memory: use a smaller --batch, --size or --limit", 1
    if isinstance(error, OSError) and error.errno is not None:
        advice = _ADVICE.get(error.errno, error.strerror or "the system refused")
        return f"{error.filename}: {advice}" if error.filename else advice, 1
    return f"{type(error).__name__}: {_one_line(error)} (unexpected: run again with --debug to see where)", 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
