"""Check the gradients of an operator of yours: a function of scratchgan Tensors, an Op (any two callables), or a
suite() test, by its name in a Python file. Exit code 1 if a gradient is wrong or could not be checked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .errors import UsageError

SUMMARY = "check the gradients of your own operator"
EXAMPLES = """\
  scratchgan gradcheck my_ops.py:swish --shape 3,4
  scratchgan gradcheck my_ops.py:attention --shape 5,8 --shape 5,8 --order 2
  scratchgan gradcheck test_my_ops.py:test_conv
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("what", metavar="FILE.py:NAME", help="where the operator is")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="N,M,...", help="the shape of each argument, in order"
    )
    parser.add_argument("--order", type=int, default=1, help="2 checks the gradient's gradient too (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the arguments' values (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    from ..gradcheck.__main__ import check_named

    try:
        return check_named(arguments.what, arguments.shape, arguments.order, arguments.seed)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
