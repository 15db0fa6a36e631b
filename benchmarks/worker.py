"""A process that times one version's kernels when it is told to: `compare` keeps two and takes turns between them.

It reads a line of JSON and answers with one: ``{"build": descriptor}`` makes a pass ready and answers how many calls a
sample should have, ``{"sample": calls}`` answers the seconds per call. Between its turns it waits for the next line,
and its threads sleep.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .machine import pin

# Seconds that a sample should last here. This process slept during the other's turn: the processor takes some
# milliseconds to be as fast again, and the threads to be where they were, and not alike in each process.
SHORTEST = 10e-3


def serve(threads: int) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a kernel prints must not be read as an answer

    from scratchgan import kernels

    from .descriptor import parse
    from .peers.ours import Ours
    from .problem import inputs
    from .sampling import WallClock

    kernels.set_num_threads(threads)
    clock = WallClock(SHORTEST)
    run: Callable[[], Any] | None = None
    answer: Any = {"kernels": str(Path(kernels.__file__).parent)}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            if "build" in request:
                run = None  # the last pass's arrays go first
                problem = parse(request["build"])
                run = Ours().build(problem, inputs(problem, "normal"))
                run()
                usual = min(clock.sample(run, 1, False) for _ in range(3))
                answer = {"calls": clock.calls_for(usual, False)}
            elif run is not None:
                answer = {"seconds": clock.sample(run, request["sample"], False)}
            else:
                answer = {"error": "nothing is built"}
        except Exception as error:  # this version may not have the kernel: the other side goes on
            answer = {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    serve(int(sys.argv[1]))
