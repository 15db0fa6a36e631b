"""A recording as lines of text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .document import live_bytes
from .events import Application, Pullback, Update, Walk
from .health import along_the_way, backward_trouble, forward_trouble

if TYPE_CHECKING:
    from .tape import Tape

#: Lines of a long recording that are printed, at either end.
_SHOWN = 40


def summary(tape: Tape) -> str:
    """Return what was recorded: one line for each operator and each vjp, what it took, and what went wrong."""
    if not tape.events:
        return "nothing was recorded: no operator was applied to a Tensor inside the block, on this thread"
    lines = [line + ", with compiling" * event.compiled for event in tape.events if (line := _line(tape, event))]
    if len(lines) > 2 * _SHOWN:
        left = len(lines) - 2 * _SHOWN
        lines = [*lines[:_SHOWN], f"  ... {left} lines more ...", *lines[-_SHOWN:]]
    pulls = tape.pullbacks
    forward = [e for e in tape.applications if e.parent is None]
    head = (
        f"{len(forward)} operators forward ({sum(e.ns or 0 for e in forward) / 1e6:.3f} ms), {len(pulls)} vjps in "
        f"{len(tape.walks)} reverse passes ({sum(w.ns or 0 for w in tape.walks if w.parent is None) / 1e6:.3f} ms), "
        f"{len(tape.updates)} optimiser steps"
    )
    peak, at = max((live, -i) for i, live in enumerate(live_bytes(tape)))
    tail = [f"peak memory of arrays that were seen: {peak / 2**20:.2f} MiB, at event {-at}"]
    if tape.skipped:
        tail.append(f"not recorded in full, beyond the limit: {sum(tape.skipped.values()):,} applications and vjps")
    for trouble in (forward_trouble(tape), backward_trouble(tape), along_the_way(tape)):
        if trouble is not None:
            tail.append(f"event {trouble.event}: {trouble.text}")
    if tape.error is not None:
        tail.append(f"the program ended at event {tape.failed} with {tape.error[0]}")
    if tape.verdicts is not None:
        tail.append(f"checked: {str(tape.verdicts).splitlines()[0]}")
    return "\n".join([head, *lines, *tail])


def _line(tape: Tape, event: object) -> str | None:
    values = tape.store.values
    if isinstance(event, Application):
        if event.parent is not None and not event.tracked:
            return None
        shapes = ", ".join(str(values[x.value].shape) for x in event.inputs)
        made = ", ".join(f"{values[y].shape} {values[y].dtype}" for y in event.outputs)
        return f"{event.index:>6}  {event.module or '-':<18} {event.name:<20} {shapes} -> {made}{_us(event.ns)}"
    if isinstance(event, Pullback):
        norms = ", ".join("-" if g is None else _norm(values[g].facts.norm) for g in event.gxs)
        name = tape.application(event.of).name
        return f"{event.index:>6}  {event.module or '-':<18} vjp of {name:<13} |gradient| {norms}{_us(event.ns)}"
    if isinstance(event, Walk):
        kind = "grad, recorded (second order)" if event.create_graph else "grad"
        return f"{event.index:>6}  {kind} of {event.targets} inputs{_us(event.ns)}"
    if isinstance(event, Update):
        return f"{event.index:>6}  {event.optimizer}.step of {len(event.changes)} parameters{_us(event.ns)}"
    return None


def _us(ns: int | None) -> str:
    return "  did not finish" if ns is None else f"  {ns / 1e3:.1f} us"


def _norm(norm: float | None) -> str:
    return "not finite" if norm is None else f"{norm:.4g}"
