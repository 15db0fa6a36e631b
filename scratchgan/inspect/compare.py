"""Two recordings beside each other: which steps agree to the last bit, which up to rounding, and which do not.

Steps are matched in order, as long as both did the same: the same Function or step, on the same shapes, in the same
network. Where they part, the first difference is named, and what comes after is not compared. Of two matching steps all
that the pages hold is compared: statistics of all elements, and the sampled numbers bit by bit.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

#: Rounding is what lies within this many units of the coarser dtype's eps, of the largest number of the array, for each
#: step that the numbers have come through.
ULPS = 64


def compared(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return document ``a`` with the field ``compare``: what is different in document ``b``.

    ``events``: by number of an event of a: {v: exact, rounding, wrong or missing, t: text}. ``parted``: where the two
    stop being the same program, or None.
    """
    found: dict[str, dict[str, str]] = {}
    pairs, parted = _matched(a, b)
    for depth, (i, j) in enumerate(pairs):
        verdict = _event(a, b, i, j, depth)
        if verdict is not None:
            found[str(i)] = verdict
    if parted is not None:
        for i in range(len(pairs), len(a["events"])):
            if _has_numbers(a["events"][i]):
                found[str(i)] = {"v": "missing", "t": "not compared: the programs have parted"}
    settings = [
        f"{key}: {a['about'].get(key)} here, {b['about'].get(key)} there"
        for key in sorted(a["about"].keys() | b["about"].keys())
        if a["about"].get(key) != b["about"].get(key)
    ]
    rule = (
        "exact: the statistics of all elements and every sampled number are the same bits. rounding: within "
        f"{ULPS} eps of the coarser dtype, of the array's largest number, times the square root of the step's number. "
        "wrong: beyond that, or NaN and inf in other places."
    )
    compare = {"title": b["title"], "events": found, "parted": parted, "about": settings, "rule": rule}
    return {**a, "compare": compare}


def summary(document: dict[str, Any]) -> str:
    """Return a comparison as a few lines of text."""
    compare, events = document["compare"], document["events"]
    counts: dict[str, int] = {}
    for verdict in compare["events"].values():
        counts[verdict["v"]] = counts.get(verdict["v"], 0) + 1
    lines = [f"{document['title']} beside {compare['title']}: "
             + (", ".join(f"{n} {v}" for v, n in counts.items()) or "no step has numbers to compare")]  # fmt: skip
    if compare["parted"]:
        lines.append(compare["parted"])
    first = next((k for k, v in compare["events"].items() if v["v"] == "wrong"), None)
    if first is not None:
        lines.append(
            f"first wrong: event {first}, {_name(document, events[int(first)])}: {compare['events'][first]['t']}"
        )
    return "\n".join(lines)


def _has_numbers(event: dict[str, Any]) -> bool:
    return event["k"] in ("apply", "pull", "update")


def _name(document: dict[str, Any], event: dict[str, Any]) -> str:
    if event["k"] == "pull":
        return f"vjp of {document['events'][event['a']]['n']}"
    return str(event.get("n", "grad"))


def _matched(a: dict[str, Any], b: dict[str, Any]) -> tuple[list[tuple[int, int]], str | None]:
    """Return pairs of events from the beginning on, and the first difference in words, or None."""
    pairs: list[tuple[int, int]] = []
    for i, (x, y) in enumerate(zip(a["events"], b["events"], strict=False)):
        one, other = _signature(a, x), _signature(b, y)
        if one != other:
            return pairs, f"The programs part at event {i}: {one} here, and {other} there."
        pairs.append((i, i))
    if len(a["events"]) != len(b["events"]):
        longer, more = ("here", a) if len(a["events"]) > len(b["events"]) else ("there", b)
        nexts = _signature(more, more["events"][len(pairs)])
        return pairs, f"The programs part at event {len(pairs)}: one has ended, and {longer} comes {nexts}."
    return pairs, None


def _signature(document: dict[str, Any], event: dict[str, Any]) -> str:
    shapes = [tuple(document["values"][x["v"]]["sh"]) for x in event.get("i", [])]
    return " ".join([_name(document, event), event.get("m", ""), *map(str, shapes)]).strip()


def _event(a: dict[str, Any], b: dict[str, Any], i: int, j: int, depth: int) -> dict[str, str] | None:
    x, y = a["events"][i], b["events"][j]
    if x["k"] == "apply":
        ends = list(zip(x["o"], y["o"], strict=False))
    elif x["k"] == "pull":
        ends = [(p, q) for p, q in zip(x["gx"], y["gx"], strict=False) if p is not None and q is not None]
    elif x["k"] == "update":
        ends = [(p[3], q[3]) for p, q in zip(x["d"], y["d"], strict=False)]
    else:
        return None
    verdicts = [_value(a["values"][p], b["values"][q], depth + 1) for p, q in ends]
    order = ["exact", "rounding", "wrong"]
    return max(verdicts, key=lambda v: order.index(v["v"]), default=None)


def _numbers(value: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(value["d"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(value["a"]), dtype).reshape(value["x"])


def _value(p: dict[str, Any], q: dict[str, Any], depth: int) -> dict[str, str]:
    if p["sh"] != q["sh"]:
        return {"v": "wrong", "t": f"shape {p['sh']} here, {q['sh']} there"}
    if p["d"] == q["d"] and p["a"] == q["a"] and p["f"] == q["f"] and p["x"] == q["x"]:
        return {"v": "exact", "t": ""}
    x, y = _numbers(p), _numbers(q)
    box = tuple(slice(min(n, m)) for n, m in zip(x.shape, y.shape, strict=True))
    x, y = x[box].astype(complex if p["d"].startswith("complex") else np.float64), y[box].astype(x.dtype)
    if p["f"][:2] != q["f"][:2] or (np.isfinite(x) != np.isfinite(y)).any():
        return {"v": "wrong", "t": f"{p['f'][0]} NaN and {p['f'][1]} inf here, {q['f'][0]} and {q['f'][1]} there"}
    with np.errstate(all="ignore"):
        gaps = np.where(np.isfinite(x), np.abs(x - y.astype(x.dtype)), 0)
    worst = float(gaps.max(initial=0))
    scale = max(abs(p["f"][3] or 0.0), abs(p["f"][4] or 0.0))
    eps = max(np.finfo(d).eps if np.dtype(d).kind in "fc" else 0.0 for d in (p["d"], q["d"]))
    allowed = ULPS * eps * scale * math.sqrt(depth)
    norms = (p["f"][7], q["f"][7])
    norm_gap = abs((norms[0] or 0.0) - (norms[1] or 0.0))
    text = f"largest gap {worst:.3g} of {scale:.3g}; norms {_shown(norms[0])} and {_shown(norms[1])}"
    bad = worst > allowed or norm_gap > ULPS * eps * max(norms[0] or 0.0, scale) * math.sqrt(depth)
    return {"v": "wrong" if bad else "rounding", "t": text}


def _shown(norm: float | None) -> str:
    return "none" if norm is None else f"{norm:.6g}"
