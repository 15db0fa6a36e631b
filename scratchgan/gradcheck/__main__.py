"""python -m scratchgan.gradcheck: `score` the checker, ask the `doctor`, or `check` an operator in a file."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import GradcheckError, Op, check
from .selftest.doctor import examine


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if all is well, 1 if a gradient or the checker is not, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m scratchgan.gradcheck", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="plant the catalogue's bugs in scratchgan, and count the kills")
    score.add_argument("--seed", type=int, default=0, help="which cases to draw (default 0)")
    score.add_argument("--only", default="", metavar="TEXT", help="only the bugs whose name contains TEXT")
    score.add_argument("--json", type=Path, metavar="FILE", help="also write the scorecard there")
    commands.add_parser("doctor", help="negative controls, then positive ones")
    one = commands.add_parser("check", help="check one operator: FILE.py:NAME")
    one.add_argument("what", metavar="FILE.py:NAME", help="an Op, a suite() test, or a function of scratchgan Tensors")
    one.add_argument(
        "--shape", action="append", default=[], metavar="N,M,...", help="the shape of each argument, in order"
    )
    one.add_argument("--order", type=int, default=1, help="2 also checks the gradient's gradient (default 1)")
    one.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.command == "score":
        return _score(options.seed, options.only, options.json)
    if options.command == "doctor":
        return _doctor()
    try:
        return check_named(options.what, options.shape, options.order, options.seed)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _score(seed: int, only: str, path: Path | None) -> int:
    from .selftest.scoring import score_catalogue

    card = score_catalogue(seed, only, progress=lambda line: print(line, file=sys.stderr, flush=True))
    print(card)
    if path is not None:
        temporary = path.with_suffix(path.suffix + ".part")
        temporary.write_text(card.to_json() + "\n", encoding="utf-8")
        temporary.replace(path)
    return 0 if card.perfect else 1


def _doctor() -> int:
    ill = 0
    for healthy, line in examine():
        print(f"{'ok  ' if healthy else 'ILL '} {line}")
        ill += not healthy
    print("The checker works here." if not ill else f"{ill} findings: do not trust this checker here.")
    return 1 if ill else 0


def check_named(what: str, shapes: Sequence[str], order: int = 1, seed: int = 0) -> int:
    """Check the operator ``what``, "FILE.py:NAME", print the report and return 0 if it passed, 1 if not.

    ``shapes``: "3,4" for each argument; a suite() test draws its own. Raises ValueError or OSError for what cannot be
    found or made sense of.
    """
    subject = _loaded(what)
    if hasattr(subject, "suite"):
        try:
            subject()
        except GradcheckError as error:
            print(error)
            return 1
        print(f"PASS {subject.suite.op.name}")
        return 0
    op = subject if isinstance(subject, Op) else Op.from_function(subject)
    if not shapes:
        raise ValueError(f"{what} is no suite() test, so say the shape of each argument: --shape 3,4 --shape 4,2")
    rng = np.random.default_rng(seed)
    args = [rng.standard_normal(_shape(text)) for text in shapes]
    report = check(op, *args, order=order, seed=seed)
    print(report)
    return 0 if report else 1


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        raise ValueError(f"--shape {text}: expected integers separated by commas") from None


def _loaded(what: str) -> Any:
    path, _, name = what.rpartition(":")
    if not path or not name:
        raise ValueError(f"expected FILE.py:NAME, got {what!r}")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    found = runpy.run_path(path)
    if name not in found:
        raise ValueError(f"{path} has no {name!r}")
    return found[name]


if __name__ == "__main__":
    sys.exit(main())
