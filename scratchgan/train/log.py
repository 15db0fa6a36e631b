"""log.jsonl: one JSON object for each logged step.

Keys: ``step``; ``loss_d`` and ``loss_g``; ``d_real`` and ``d_fake``, D's mean answer for real and generated images
(probabilities for the bce losses, raw scores for the others); ``grad_d`` and ``grad_g``, the Euclidean norms of the
gradients; with a penalty, ``penalty`` or ``r1``; at an evaluation, ``fid`` and the judge's other scores, and
``evaluator``, the hash of what they were judged by; and ``images_per_second``, the one value that differs between two
runs of the same config.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

#: Values that depend on the machine's speed; everything else in the log is reproducible.
TIMING_KEYS = ("images_per_second",)


class RunLog:
    """Appends to a run's log.jsonl."""

    def __init__(self, path: Path):
        self.path = path
        # Without a buffer: after a failed write nothing is left over that closing would try to write again.
        self._stream = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)

    @classmethod
    def resume(cls, path: Path, step: int) -> RunLog:
        """Open a log to go on after ``step``: what a killed process logged beyond it, half a line even, is cut off."""
        keep = 0
        if path.exists():
            with open(path, "rb") as stream:
                for line in stream:
                    logged = _parse(line)
                    if logged is None or logged["step"] > step:
                        break
                    keep += len(line)
            os.truncate(path, keep)
        return cls(path)

    def write(self, metrics: dict[str, Any]) -> None:
        """Append one line. It is the operating system's when this returns, so killing the process loses none of it."""
        line = json.dumps(metrics).encode() + b"\n"
        while line:
            line = line[self._stream.write(line) :]

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; writing again is an error."""
        self._stream.close()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a log.jsonl as dictionaries; a last line that is still being written is left out."""
    if not Path(path).exists():
        return []
    with open(path, "rb") as stream:
        return [metrics for line in stream if (metrics := _parse(line)) is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a whole line's metrics, None for one that was cut short."""
    if not line.endswith(b"\n"):
        return None
    try:
        metrics = json.loads(line)
    except ValueError:
        return None
    return metrics if isinstance(metrics, dict) and isinstance(metrics.get("step"), int) else None
