"""List the networks that come with the package: what they draw, how good they are, and what they are bad at. Each can
be used wherever the folder of a run can, as zoo:NAME."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

SUMMARY = "list the trained networks that come with the package"
EXAMPLES = """\
  scratchgan zoo
  scratchgan zoo gan-toyfaces   all that is known of it
"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="show all that is known of one")


def run(arguments: argparse.Namespace) -> int:
    import json

    from ..systems import zoo

    if arguments.name is not None:
        print(json.dumps(zoo.card(arguments.name.removeprefix(zoo.PREFIX)), indent=1, ensure_ascii=False))
        return 0
    for name in zoo.names():
        card = zoo.card(name)
        print(f"{zoo.PREFIX}{name}\n    {card['summary']}\n    bad at: {card['bad_at']}")
    return 0
