"""Record one real step, forward and backward, and write it as a page: one HTML file, to open in a browser.

A Python file is run, and all that it computes with Tensors is recorded. Of a run's folder, the training step after its
newest checkpoint (or --step) is taken and recorded, on a copy. Two pages are compared with --compare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .arguments import file_of, whole

SUMMARY = "look at one step, forward and backward, to the last element"
EXAMPLES = """\
  scratchgan inspect docs/examples/two_layers.py
  scratchgan inspect docs/examples/convolution.py --check --out convolution.html
  scratchgan inspect runs/toyfaces --step 500
  scratchgan inspect before.html --compare after.html --out difference.html
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "what", type=Path, metavar="PROGRAM.py|RUN|PAGE.html", help="what to record, or a page to compare"
    )
    parser.add_argument("--step", type=whole(0), metavar="N", help="of a run: take the step after checkpoint N")
    parser.add_argument(
        "--out", type=file_of(".html"), metavar="FILE", help="the page to write (default: named for what was recorded)"
    )
    parser.add_argument("--check", action="store_true", help="hold every vjp against the gradient checker")
    parser.add_argument("--full", action="store_true", help="keep every number of every array in the page")
    parser.add_argument(
        "--limit", type=whole(1), default=20_000, metavar="N", help="operators in full (default: 20000)"
    )
    parser.add_argument("--compare", type=Path, metavar="PAGE.html", help="mark what is different in this other page")
    parser.add_argument("--quiet", action="store_true", help="print only the name of the page")


def run(arguments: argparse.Namespace) -> int:
    from ..inspect.page import PageError, read_page, write_page
    from .errors import UsageError

    what: Path = arguments.what
    if arguments.compare is not None:
        from ..inspect.compare import compared, summary

        try:
            document = compared(read_page(what), read_page(arguments.compare))
        except PageError as error:
            raise UsageError(str(error)) from error
        if not arguments.quiet:
            print(summary(document))
        print(write_page(arguments.out or Path(f"{what.stem}-{arguments.compare.stem}.html"), document))
        return 0
    if what.is_dir():
        from ..inspect.run_step import record_run_step

        tape = record_run_step(what, arguments.step, _notice, limit=arguments.limit)
        name = what.resolve().name + ("" if arguments.step is None else f"-{arguments.step}")
    else:
        if arguments.step is not None:
            raise UsageError(f"--step is for the folder of a run, and {what} is none")
        if what.suffix.lower() in (".html", ".htm"):
            raise UsageError(f"{what} is a page already: open it in a browser, or give another with --compare")
        from ..inspect.program import record_program

        tape = record_program(what, limit=arguments.limit)
        name = what.stem
    if not tape.events:
        problem = f"; it ended with {tape.error[0]}" if tape.error else ""
        print(
            f"scratchgan inspect: {what} recorded nothing: it applied no operator to a Tensor{problem}", file=sys.stderr
        )
        return 1
    if arguments.check:
        tape.check()
    if not arguments.quiet:
        print(tape.summary())
    print(tape.save(arguments.out or Path(f"{name}.html"), full=arguments.full, title=name))
    if tape.error is not None:
        print(f"scratchgan inspect: {what} did not finish: {tape.error[0]}", file=sys.stderr)
        return 1
    return 1 if tape.verdicts is not None and tape.verdicts.failures else 0


def _notice(text: str) -> None:
    print(f"scratchgan inspect: {text}", file=sys.stderr)
