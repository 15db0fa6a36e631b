"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SUFFIX = ".partial"


def write_atomically(path: Path, data: bytes | bytearray) -> None:
    """Write ``data`` to ``path``, replacing what was there in one instant. Raises OSError, and then changes nothing.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name; then the folder's own
    entry reaches the disk. A process killed, or a machine switched off, in between leaves the old file or the new one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # the file that was asked for; a full disk's error names none at all
        raise
    if os.name != "nt":  # Windows cannot open a folder to flush it
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_partial(folder: Path) -> None:
    """Delete what a killed process left half-written below ``folder``."""
    for leftover in folder.rglob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()
