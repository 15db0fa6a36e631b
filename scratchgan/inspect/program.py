"""Running a Python file while it is recorded."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from .record import record
from .tape import Tape


def record_program(path: Path, arguments: list[str] | None = None, **options: Any) -> Tape:
    """Run a Python file as ``python FILE ARGUMENTS`` would, and return its recording.

    An exception of the program ends the recording, and is in ``tape.error``; `SystemExit` and Ctrl-C too. ``options``
    are those of `record`. Raises OSError if there is no such file.
    """
    with path.open("rb"):
        pass  # so that a file that is not there is an OSError of this program, and not of the other
    before, tape = (list(sys.argv), list(sys.path)), None
    sys.argv, sys.path[0:0] = [str(path), *(arguments or [])], [str(path.resolve().parent)]
    try:
        with record(**options) as tape:
            runpy.run_path(str(path), run_name="__main__")
    except BaseException as error:
        if tape is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            if tape is None:
                raise
            tape.error = None
    finally:
        sys.argv, sys.path[:] = before
    assert tape is not None
    return tape
