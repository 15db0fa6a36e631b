"""Where in the user's program an operator was applied, so that an error in a gradient can name the line.

The gradient of an operator is computed long after the line that applied it. That line is found when it runs, which is
cheap, and read as ``file:line`` only when a message asks, which is not.
"""

from __future__ import annotations

import itertools
import os
import sys
from types import CodeType
from typing import TypeAlias

_PACKAGE = os.path.dirname(__file__) + os.sep

# A function's code, and the instruction that it was at.
Place: TypeAlias = "tuple[CodeType, int]"


class _Ours(dict[str, bool]):
    """Whether a source file is this package's; looked up for every operator."""

    def __missing__(self, file: str) -> bool:
        self[file] = file.startswith(_PACKAGE)
        return self[file]


_ours = _Ours()


def users_place(depth: int) -> Place:
    """Return the place of the nearest caller outside this package, of those at least ``depth`` calls up."""
    frame = sys._getframe(depth)
    while _ours[frame.f_code.co_filename]:
        caller = frame.f_back
        if caller is None:
            break
        frame = caller
    return frame.f_code, frame.f_lasti


def describe(place: Place) -> str:
    """Return ``file:line``."""
    code, instruction = place
    line = next(itertools.islice(code.co_positions(), instruction // 2, None))[0]
    return f"{code.co_filename}:{line}"
