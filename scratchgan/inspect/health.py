"""Where did it go wrong: the first event, in the order of the program, with a number that is no number any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .events import Application, Pullback
from .values import Facts

if TYPE_CHECKING:
    from .tape import Tape

#: A gradient has vanished below this part of what it was computed from, and exploded above one over it.
VANISHED = 1e-7


@dataclass(frozen=True)
class Trouble:
    """``what``: "NaN", "inf", "vanished", "exploded", or "vanished along the way", of the gradient of input ``input``
    (for an Application, of that output)."""

    event: int
    what: str
    input: int
    text: str


def _broken(facts: Facts) -> str | None:
    return "NaN" if facts.nan else "inf" if facts.inf else None


def forward_trouble(tape: Tape) -> Trouble | None:
    """Return the first application whose output has NaN or inf."""
    for event in tape.applications:
        if event.parent is not None and not event.tracked:
            continue
        for i, y in enumerate(event.outputs):
            what = _broken(tape.store.values[y].facts)
            if what:
                given = [_broken(tape.store.values[x.value].facts) for x in event.inputs]
                clean = "its inputs are all finite" if not any(given) else "an input of it has them already"
                return Trouble(event.index, what, i, f"{event.name} is the first whose output has {what}; {clean}")
    return None


def backward_trouble(tape: Tape) -> Trouble | None:
    """Return the first vjp, in the order of the walks, that made NaN or inf, or whose gradient vanished or exploded.

    NaN and inf go before the others, for they are never meant.
    """
    troubles = [t for pull in tape.pullbacks for t in _of_pullback(tape, pull)]
    broken = [t for t in troubles if t.what in ("NaN", "inf")]
    return next(iter(broken or troubles), None)


def _of_pullback(tape: Tape, pull: Pullback) -> list[Trouble]:
    values = tape.store.values
    gy = next((values[g].facts for g in pull.gys if g is not None), None)
    forward = tape.events[pull.of]
    name = forward.name if isinstance(forward, Application) else "?"
    found = []
    for i, g in enumerate(pull.gxs):
        if g is None or gy is None:
            continue
        gx = values[g].facts
        what = _broken(gx)
        if what:
            found.append(Trouble(pull.index, what, i, f"the vjp of {name} is the first whose gradient has {what}"))
        elif gy.norm and gx.norm is not None and gx.norm < VANISHED * gy.norm:
            text = f"the gradient vanished in the vjp of {name}: its norm fell from {gy.norm:.3g} to {gx.norm:.3g}"
            found.append(Trouble(pull.index, "vanished", i, text))
        elif gy.norm and gx.norm is not None and gx.norm > gy.norm / VANISHED:
            text = f"the gradient exploded in the vjp of {name}: its norm rose from {gy.norm:.3g} to {gx.norm:.3g}"
            found.append(Trouble(pull.index, "exploded", i, text))
    return found


def along_the_way(tape: Tape) -> Trouble | None:
    """Return the first vjp after which the gradient is below `VANISHED` of the largest that its walk has had."""
    largest: dict[int | None, float] = {}
    for pull in tape.pullbacks:
        norms = [tape.store.values[g].facts.norm for g in pull.gxs if g is not None]
        given = [tape.store.values[g].facts.norm or 0.0 for g in pull.gys if g is not None]
        largest[pull.parent] = max([largest.get(pull.parent, 0.0), *given])
        best = max((n for n in norms if n is not None), default=None)
        if best is not None and best < VANISHED * largest[pull.parent]:
            text = f"by here the gradient has fallen from {largest[pull.parent]:.3g} to {best:.3g} along the way"
            return Trouble(pull.index, "vanished along the way", 0, text)
    return None
