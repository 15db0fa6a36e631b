"""How many examples a suite runs, and what the pytest plugin has been told.

`default` is derandomised: the same examples every time, so that a red build is red for everyone. `thorough` draws
anew on every run, many more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .cases import Case


@dataclass(frozen=True)
class Profile:
    """max_examples: examples per suite where the suite does not say. factor: multiplies what it does say.
    seeds: how many sets of values a check at fixed shapes is run on.
    """

    name: str
    max_examples: int
    factor: int
    derandomize: bool
    seeds: int


PROFILES = {
    "default": Profile("default", 25, 1, True, 1),
    "thorough": Profile("thorough", 250, 10, False, 20),
}


@dataclass
class Session:
    """The state of one test run: set by the plugin, read by suites, reported at the end."""

    profile: Profile = PROFILES["default"]
    case: Case | None = None
    comparisons: int = 0
    inconclusive: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, set[str]] = field(default_factory=dict)

    def note_inconclusive(self, operator: str, reason: str) -> None:
        reasons = self.inconclusive.setdefault(operator, {})
        reasons[reason] = reasons.get(reason, 0) + 1

    def note_skipped(self, operator: str, layer: str, reason: str) -> None:
        self.skipped.setdefault(f"{layer}: {reason}", set()).add(operator)


session = Session()
