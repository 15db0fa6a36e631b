"""A recording as JSON: all that a page shows, and all that two recordings are compared by.

Arrays are base64 of their little-endian bytes, so NaN and the last bit survive. Keys of what comes once for each event
or value are short, and are explained where they are written. A page of a large program stays small because of what is
left out, and ``notices`` says in words what that was.
"""

from __future__ import annotations

import base64
import functools
import inspect as python
import linecache
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .costs import application_cost, ceilings, pullback_costs
from .events import Application, Event, Flow, Pullback, Source, Update, Walk
from .health import along_the_way, backward_trouble, forward_trouble
from .replay import terms
from .rows import rows
from .rules import key_of, rule
from .values import Store, Value, picture, sample

if TYPE_CHECKING:
    from .tape import Tape

FORMAT = 1
#: Bytes that samples and pictures of all arrays together take, unless all is asked for.
_SAMPLES, _PICTURES = 1_300_000, 900_000


def document(tape: Tape, *, full: bool, title: str) -> dict[str, Any]:
    """Return the whole page's data; see the fields' comments."""
    files: dict[str, dict[str, str]] = {}
    costs = pullback_costs(tape)
    events = [_event(tape, event, files, costs) for event in tape.events]
    functions = {key_of(a.function): a.function for a in tape.applications}
    found, left = rows(tape, full)
    live = live_bytes(tape)
    return {
        "format": FORMAT,
        "title": title,
        "about": {
            "scratchgan": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "machine": platform.machine(), "system": platform.system(),
        },
        "notices": _notices(tape, full, left),
        "error": None if tape.error is None else
            {"text": tape.error[0], "notes": tape.error[1], "event": tape.failed},
        "events": events,
        "values": _values(tape, full),
        "memories": [[m.nbytes, m.born, m.died] for m in tape.store.memories],
        "live": live,
        "calls": [list(call) for call in tape.calls],
        "leaves": [{"n": x.name, "v": x.value, "p": x.parameter, "e": x.first} for x in tape.leaves],
        "files": files,
        "rules": {key: rule(function) for key, function in functions.items()},
        "rows": found,
        "terms": {str(w.index): [{"a": t.application, "v": _number(t.value), "n": _number(t.norm)}
                                 for t in terms(tape, w)] for w in tape.walks if w.parent is None},
        "checks": _checks(tape),
        "health": [None if t is None else vars(t)
                   for t in (forward_trouble(tape), backward_trouble(tape), along_the_way(tape))],
        "ceilings": vars(ceilings()) if tape.events else None,
    }  # fmt: skip


def live_bytes(tape: Tape) -> list[int]:
    """Return the bytes of all arrays that were seen and are alive at each event."""
    change = [0] * (len(tape.events) + 1)
    for memory in tape.store.memories:
        change[max(memory.born, 0)] += memory.nbytes
        if memory.died is not None:
            change[memory.died + 1 if memory.died + 1 < len(change) else -1] -= memory.nbytes
    live, total = [], 0
    for step in change[:-1]:
        total += step
        live.append(total)
    return live or [0]


def _event(tape: Tape, event: Event, files: dict[str, dict[str, str]], costs: dict[int, Any]) -> dict[str, Any]:
    """k: kind; p: parent; t: ns, j: with compiling; q: part; m: module, z: its call; s: [file, line, function]."""
    data: dict[str, Any] = {"k": event.kind, "t": event.ns}
    if event.compiled:
        data["j"] = 1
    if event.parent is not None:
        data["p"] = event.parent
    if event.part:
        data["q"] = event.part
    if event.module:
        data |= {"m": event.module, "z": event.call}
    if event.source is not None:
        data["s"] = _place(event.source, files)
    if isinstance(event, Application):
        # n: name; r: key of the rule; i: inputs (v value, m maker, o its output, l leaf, f flows); o: output values;
        # g: left a Node; b: saved values; c: [FLOPs, bytes, part of the roofline]; h: settings
        cost = application_cost(tape, event)
        data |= {
            "n": event.name, "r": key_of(event.function), "o": event.outputs, "g": int(event.tracked),
            "i": [_input(x) for x in event.inputs], "b": event.saved,
            "c": [cost.flops, cost.moved, ceilings().share(cost, event.ns)],
        }  # fmt: skip
        settings = _settings(event.function)
        if settings:
            data["h"] = settings
        if event.earlier:
            data["e"] = 1
    elif isinstance(event, Pullback):
        cost = costs[event.index]
        data |= {
            "a": event.of, "gy": event.gys, "gx": event.gxs, "w": [[_flow(f) for f in part] for part in event.flows],
            "c": [cost.flops, cost.moved, ceilings().share(cost, event.ns)],
        }  # fmt: skip
    elif isinstance(event, Walk):
        data |= {
            "a": event.roots, "g": int(event.create_graph), "x": event.targets,
            "l": [{"l": a.leaf, "v": a.value, "w": [_flow(f) for f in a.flows]} for a in event.arrivals],
        }  # fmt: skip
    elif isinstance(event, Update):
        data |= {"n": event.optimizer, "d": [list(change) for change in event.changes]}
    return data


def _input(x: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"v": x.value}
    if x.maker is not None:
        data["m"] = x.maker
        if x.output:
            data["o"] = x.output
    if x.leaf is not None:
        data["l"] = x.leaf
    if x.flows:
        data["f"] = 1
    return data


def _flow(flow: Flow) -> list[Any]:
    """[value, consumer, its input, share]"""
    return [flow.value, flow.consumer, flow.input, None if flow.share is None else float(f"{flow.share:.6g}")]


def _settings(function: Any) -> str:
    """Return the constants of a Function (stride, slope, axes, ...) as text."""
    parts = []
    kind: Any = type(function)
    given = _parameters(kind)  # what forward remembers is no setting
    for name, value in vars(function).items():
        if name not in given:
            continue
        if hasattr(value, "settings"):
            parts += [f"{k}={v}" for k, v in value.settings.items() if v is not None]
        elif not hasattr(value, "dtype"):
            parts.append(f"{name}={value!r}"[:80])
    return ", ".join(parts)[:300]


@functools.cache
def _parameters(kind: Callable[..., Any]) -> frozenset[str]:
    return frozenset(python.signature(kind).parameters)


def _place(source: Source, files: dict[str, dict[str, str]], around: int = 4) -> list[Any]:
    lines, name = linecache.getlines(source.file), _shown_path(source.file)
    shown = files.setdefault(name, {})
    for n in range(max(source.line - around, 1), min(source.line + around, len(lines)) + 1):
        shown[str(n)] = lines[n - 1].rstrip("\n")[:300]
    return [name, source.line, source.function]


@functools.cache
def _shown_path(file: str) -> str:
    """Return a path as a reader knows it: from the folder that the program runs in, or from the package's name on."""
    for root in (Path.cwd(), Path(__file__).parents[2]):
        try:
            return Path(file).relative_to(root).as_posix()
        except ValueError:
            continue
    return file


def _values(tape: Tape, full: bool) -> list[dict[str, Any]]:
    store, inner = tape.store, _inner_values(tape)
    outer = max(len(store.values) - len(inner), 1)
    most = int(min(max(_SAMPLES * 0.75 / 4 / outer, 8), store.elements))
    tiles = int(min(max(_PICTURES * 0.75 / 784 / max(_pictured(store, inner), 1), 1), 16))
    return [
        _value(v, 8 if v.index in inner and not full else most, tiles, v.index in inner, full) for v in store.values
    ]


def _inner_values(tape: Tape) -> set[int]:
    """Return the values that only the operators inside of a vjp saw, which are shown only as its steps."""
    inner: set[int] = set()
    outer: set[int] = set()
    for event in tape.events:
        if isinstance(event, Application):
            used = {x.value for x in event.inputs} | set(event.outputs)
            (inner if event.parent is not None and not event.tracked else outer).update(used)
        elif isinstance(event, Pullback):
            outer.update(v for v in (*event.gys, *event.gxs) if v is not None)
            outer.update(f.value for part in event.flows for f in part)
        elif isinstance(event, Walk):
            outer.update(a.value for a in event.arrivals)
        elif isinstance(event, Update):
            outer.update(v for change in event.changes for v in change[1:] if v is not None)
    return inner - outer


def _pictured(store: Store, inner: set[int]) -> int:
    return sum(v.picture is not None and v.index not in inner for v in store.values)


def _value(value: Value, most: int, tiles: int, inner: bool, full: bool) -> dict[str, Any]:
    """sh: shape; d: dtype; dev: device; y: memory; f: [NaN, inf, zeros, min, max, mean, std, norm]; c: histogram;
    x: shape of the sample, a: its bytes; pic: tiles as bytes from lo to hi."""
    facts = value.facts
    numbers = (facts.zeros, facts.low, facts.high, facts.mean, facts.std, facts.norm)
    data: dict[str, Any] = {
        "sh": list(value.shape), "d": value.dtype, "y": value.memory,
        "f": [facts.nan, facts.inf, *[None if n is None else float(f"{n:.9g}") for n in numbers]],
    }  # fmt: skip
    if value.device != "cpu":
        data["dev"] = value.device
    if len(facts.counts) > 1 and not inner and math.prod(value.shape) > 4:
        data["c"] = facts.counts
    whole = value.array if full and value.array is not None else None
    part = whole if whole is not None else sample(value.sample if value.array is None else value.array, most)
    data |= {"x": list(part.shape), "a": encoded(part)}
    shown = picture(value.array, tiles) if value.array is not None else value.picture
    if shown is not None and not inner:
        data["pic"] = _tiles(shown[:tiles])
    return data


def _tiles(tiles: np.ndarray) -> dict[str, Any]:
    finite = tiles[np.isfinite(tiles)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    with np.errstate(all="ignore"):
        level = np.nan_to_num((tiles - low) / (high - low) if high > low else tiles * 0, nan=0, posinf=1, neginf=0)
    data = (np.clip(level, 0, 1) * 255).round().astype(np.uint8)
    return {"sh": list(tiles.shape), "lo": low, "hi": high, "a": base64.b64encode(data.tobytes()).decode()}


def encoded(array: np.ndarray) -> str:
    """Return an array's little-endian bytes in base64; complex and integer ones as they are, too."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little.tobytes()).decode()


def _number(value: float) -> float | str:
    """Return a number that JSON can hold, or its name."""
    return value if math.isfinite(value) else str(value)


def _checks(tape: Tape) -> dict[str, Any] | None:
    if tape.verdicts is None:
        return None
    edges = [
        {"p": v.pullback, "i": v.input, "v": v.verdict, "r": v.reason[:400], "x": v.text[:1500], "n": v.note}
        for v in tape.verdicts.edges
    ]
    return {"edges": edges, "skipped": {str(k): v for k, v in tape.verdicts.skipped.items()}}


def _notices(tape: Tape, full: bool, left: int) -> list[str]:
    notices, store = [], tape.store
    if not tape.events:
        notices.append(
            "Nothing was recorded: no operator was applied to a Tensor inside the block, on the thread that recorded."
        )
    if tape.skipped:
        first = ", ".join(f"{count:,} {name}" for name, count in tape.skipped.most_common(4))
        notices.append(
            f"Sampled: the first {len(tape.applications):,} applications are here. {sum(tape.skipped.values()):,} "
            f"applications and vjps after them were only counted ({first}, ...). record(limit=...) keeps more."
        )
    lost = sum(v.array is None for v in store.values)
    if lost:
        notices.append(
            f"{lost:,} arrays were not copied: {store.kept / 2**20:.0f} MiB were full. They have their statistics and "
            "a sample, but no rows and no checks. record(keep=...) keeps more."
        )
    if not full and any(math.prod(v.shape) > store.elements for v in store.values):
        notices.append(
            "Of arrays that are too large the first numbers along each axis are here, and statistics of all. "
            "`tape.save(path, full=True)`, or `scratchgan inspect --full`, keeps every number."
        )
    if left:
        notices.append(
            f"Rows of the Jacobian are here for some elements of each gradient (marked); for {left:,} vjps there are "
            "none. tape.row(pullback, input, element) computes any other."
        )
    return notices
