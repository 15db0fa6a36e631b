"""Which rows of local Jacobians a page comes with, and how they are written down.

A page cannot run the program's Functions, so what a click shows was computed before: all elements of a small gradient,
and of a large one those of a coarse grid on its last two axes, at the first index of the others. The centre comes
first, where no border cuts a convolution's window.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .costs import pullback_costs
from .events import Application
from .replay import Replay, ReplayError, Row

if TYPE_CHECKING:
    from .tape import Tape

#: Elements of a gradient, and of its gy, up to which every row is here; elements of a larger one; FLOPs of an edge's
#: rows together, of which there is always one; vjps of one recording that have rows.
_SMALL, _SMALL_GY, _SPREAD, _FLOPS, _VJPS = 36, 256, 16, 4e9, 400
#: Products of one row that are listed; the others are added up.
_LISTED = 64


def rows(tape: Tape, full: bool = False) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Return {"pullback:input": rows}, and how many vjps have none. ``full``: four times as many."""
    found: dict[str, list[dict[str, Any]]] = {}
    costs, left, done = pullback_costs(tape), 0, 0
    for pull in tape.pullbacks:
        if done >= _VJPS * (4 if full else 1):
            left += 1
            continue
        try:
            replay = Replay(tape, pull)
            for i, g in enumerate(pull.gxs):
                if g is None:
                    continue
                shape, gy = tape.store.values[g].shape, replay.gy
                affordable = int(_FLOPS // max(costs[pull.index].flops or 1, 1))
                elements = chosen(shape, gy.size, max(affordable, 1) * (4 if full else 1))
                forward = tape.application(pull.of)
                found[f"{pull.index}:{i}"] = [
                    written(replay.row(i, e), forward, i, tape.store.values[forward.inputs[1].value].array
                            if len(forward.inputs) > 1 else None)
                    for e in elements
                ]  # fmt: skip
            done += 1
        except ReplayError:
            left += 1
    return found, left


def chosen(shape: tuple[int, ...], outputs: int, most: int) -> list[tuple[int, ...]]:
    """Return the elements of a gradient of this shape that get a row, at most ``most``."""
    size = math.prod(shape)
    if size == 0:
        return []
    if size <= _SMALL and outputs <= _SMALL_GY:
        return list(itertools.islice(np.ndindex(shape), most))
    spread = [np.unique(np.linspace(0, n - 1, 4).round().astype(int)).tolist() for n in shape[-2:]]
    first = (0,) * (len(shape) - len(spread))
    points = [(*first, *point) for point in itertools.product(*spread)][:_SPREAD]
    middle = [n // 2 for n in shape[-2:]]
    points.sort(key=lambda p: sum(abs(a - b) for a, b in zip(p[-2:], middle, strict=False)))
    return sorted(points[:most])


def written(row: Row, forward: Application, of: int, weights: np.ndarray | None) -> dict[str, Any]:
    """Return a row as JSON. e: element; gx: its recorded value; t: what the products add up to; n: how many are not 0.

    For a gy of four axes, plane: [image, channel] that is shown, box: [top, left, height, width] of the window in it,
    and p and g: partials and gy there. For another gy, j: flat indices, p, g. rest: [how many others, their sum]. w:
    the filter as it is stored, where the window shows it turned.
    """
    from .document import encoded

    partials, gy = row.partials, row.gy
    hit = np.flatnonzero(partials)
    data: dict[str, Any] = {"e": list(row.element), "gx": _number(row.gx), "t": _number(row.total), "n": int(hit.size)}
    if gy.ndim == 4 and hit.size:
        products = np.abs(row.products).sum((2, 3))
        seen = (partials != 0).any((2, 3))
        image, channel = (int(k) for k in np.unravel_index(np.where(seen, products, -1).argmax(), products.shape))
        if of == 1 and seen[0].any():  # a weight's window goes over every image: show the first
            image, channel = 0, int(seen[0].argmax())
        plane = partials[image, channel]
        lines, columns = np.flatnonzero((plane != 0).any(1)), np.flatnonzero((plane != 0).any(0))
        top, left = int(lines[0]), int(columns[0])
        box = np.s_[top : int(lines[-1]) + 1, left : int(columns[-1]) + 1]
        part = float(row.products[image, channel].sum())
        count = int(np.count_nonzero(plane))
        data |= {
            "plane": [image, channel], "size": list(gy.shape), "box": [top, left, *plane[box].shape],
            "p": encoded(plane[box]), "g": encoded(gy[image, channel][box]),
            "rest": [int(hit.size) - count, _number(row.total - part)], "d": str(gy.dtype),
        }  # fmt: skip
        if type(forward.function).__name__ == "Convolve" and of == 0 and weights is not None:
            group = row.element[1] % weights.shape[1]
            data["w"] = encoded(weights[channel, group])
            data["wsh"] = list(weights.shape[2:])
        return data
    order = hit[np.argsort(-np.abs(row.products.ravel()[hit]), kind="stable")]
    listed = np.sort(order[:_LISTED])
    p, g = partials.ravel()[listed], gy.ravel()[listed]
    total = float(row.products.ravel()[listed].sum())
    data |= {
        "size": list(gy.shape), "j": listed.tolist(), "p": encoded(p), "g": encoded(g), "d": str(gy.dtype),
        "rest": [int(hit.size - listed.size), _number(row.total - total if hit.size > listed.size else 0.0)],
    }  # fmt: skip
    return data


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
