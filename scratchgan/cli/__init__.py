"""The command line: ``scratchgan COMMAND ...``, one file per command.

A command is a module of this package that is named in `COMMANDS` and holds

    SUMMARY        one line for the list of commands
    EXAMPLES       lines for the end of its --help
    add_arguments  (parser, words) -> None; ``words`` is what follows the command
    run            (arguments) -> exit code; raises for anything that goes wrong

To list the commands every one is imported, so at its top a command imports the standard library only: NumPy arrives
with the package itself, but Numba, rich, Pillow and the rest of scratchgan are imported inside its functions. A
command's arguments are added when it is the one that was called.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

COMMANDS = (
    "train", "sample", "interpolate", "mix", "project", "directions", "evaluate", "zoo", "quiz", "data", "inspect",
    "gradcheck", "doctor",
)  # fmt: skip

_DESCRIPTION = """\
Train generative adversarial networks from scratch. The gradients, the kernels, the networks and the training loop
are all in this package; there is no deep learning framework below it."""

_EXAMPLES = """\
examples:
  scratchgan train                          draw faces; the data is built in, so this always works
  scratchgan train --data fashion-mnist     draw garments
  scratchgan sample runs/toyfaces --n 64 --out grid.png
  scratchgan interpolate runs/toyfaces --out walk.gif
  scratchgan evaluate runs/toyfaces         how good are its faces?
  scratchgan data toyfaces --out sheet.png  look at a data set
  scratchgan inspect runs/toyfaces         one step, forward and backward, in a page
  scratchgan doctor                         what is installed, and does it work?

`scratchgan COMMAND --help` explains a command."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Command(_Parser):
    """The parser of a command, which gets its arguments when it is used."""

    add: Callable[[argparse.ArgumentParser, Sequence[str]], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.add is not None:
            add, self.add = self.add, None
            add(self, list(args or ()))
        return super().parse_known_args(args, namespace)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples, and the names and explanations of options side by side."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28)

    def _split_lines(self, text: str, width: int) -> list[str]:
        # Names such as bce-saturating stay in one piece.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        # argparse forgets that commands are indented once more, and breaks the line of the longest.
        for command in self._iter_indented_subactions(action):
            length = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, length)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from .. import __version__

    # --debug may stand before or after the command. SUPPRESS: the command's default must not undo the main parser's.
    debug = _Command(add_help=False)
    debug.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    common: dict[str, Any] = {"formatter_class": _HelpFormatter, "allow_abbrev": False}
    parser = _Parser(prog="scratchgan", description=_DESCRIPTION, epilog=_EXAMPLES, parents=[debug], **common)
    parser.add_argument("--version", action="version", version=f"scratchgan {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=_Command)
    for name in COMMANDS:
        command = importlib.import_module(f"{__name__}.{name}")
        subparser = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=command.__doc__,
            epilog=f"examples:\n{command.EXAMPLES.rstrip()}",
            parents=[debug],
            **common,
        )
        subparser.add = command.add_arguments
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (``sys.argv[1:]`` if None) and return its exit code.

    0: done. 1: it could not be done. 2: what was asked for makes no sense. 130: stopped with Ctrl-C. Anything but
    0 comes with one line on stderr; with ``--debug``, with a traceback.
    """
    arguments = argparse.Namespace(command=None)
    with warnings.catch_warnings():
        warnings.showwarning = _one_line_warning  # type: ignore[assignment]  # put back by catch_warnings
        try:
            code = _run(build_parser(), argv, arguments)
            sys.stdout.flush()  # so that a closed pipe is noticed here
            return code
        except (Exception, KeyboardInterrupt) as error:
            from .errors import report

            program = f"scratchgan {arguments.command}" if arguments.command else "scratchgan"
            return report(error, program=program, debug="debug" in arguments)


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None, arguments: argparse.Namespace) -> int:
    """Parse ``argv`` into ``arguments``, and do what they say."""
    try:
        parser.parse_args(argv, arguments)
    except SystemExit as stop:  # --help, --version and usage errors
        return stop.code if isinstance(stop.code, int) else 1
    if arguments.command is None:
        parser.print_help()
        return 2
    code: int = arguments.run(arguments)
    return code


def _one_line_warning(message: Warning | str, *_: Any) -> None:
    print(f"scratchgan: warning: {message}", file=sys.stderr)
