"""python -m scratchgan.gradcheck.selftest: the checker's score on operators and bugs that are drawn anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import generated


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if at least 98 % of the bugs were killed under both policies and no right operator was refused."""
    parser = argparse.ArgumentParser(prog="python -m scratchgan.gradcheck.selftest", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first set to draw (default 0)")
    parser.add_argument("--seeds", type=int, default=1, help="how many sets (default 1)")
    parser.add_argument("--right-only", action="store_true", help="only look for false alarms")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.seed < 0:
        parser.error("--seeds must be at least 1 and --seed at least 0")
    good = True
    for policy in generated.POLICIES:
        seeds = range(options.seed, options.seed + options.seeds)
        card = generated.total([generated.score(s, policy, bugs=not options.right_only) for s in seeds])
        print(card)
        good &= not card.false_alarms and (options.right_only or card.kill_rate >= 0.98)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
