"""``python -m benchmarks accuracy``: how exact operators are, in units in the last place, beside NumPy and PyTorch.

Every elementwise operator and loss is computed at points over the whole range of its dtype, where its result is a
normal number and where it is subnormal, and compared with mpmath at 60 digits. One unit in the last place (ulp) is the
distance between a result and the next number of its dtype, so 0.5 is as exact as a rounded result can be. What a result
loses where it should be tiny shows as a number of many digits, which is printed as it is.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MARKS = "<!-- made by: python -m benchmarks accuracy --write docs/operators.md -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Subject:
    """A function of one number. ``gradient``: its derivative is meant. ``exact``: of mpmath's module and a number."""

    name: str
    exact: Callable[[Any, Any], Any]
    ours: Callable[[Any, Any], Any]  # (scratchgan.ops, a Tensor of many numbers) -> a Tensor of as many
    numpy: Callable[[Any], Any] | None
    torch: Callable[[Any, Any], Any] | None  # (torch, a tensor)
    gradient: bool = False
    positive: bool = False


def _logistic(mp: Any, z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _bce(ops: Any, z: Any) -> Any:
    return ops.binary_cross_entropy_with_logits(z, 1.0, reduction="none")


def _pairs(ops: Any, z: Any) -> Any:
    return ops.stack([z, z * 0.0], 1)


SUBJECTS = [
    Subject("exp", lambda mp, x: mp.exp(x), lambda o, x: o.exp(x), np.exp, lambda t, x: t.exp(x)),
    Subject("log", lambda mp, x: mp.log(x), lambda o, x: o.log(x), np.log, lambda t, x: t.log(x), positive=True),
    Subject("sqrt", lambda mp, x: mp.sqrt(x), lambda o, x: o.sqrt(x), np.sqrt, lambda t, x: t.sqrt(x), positive=True),
    Subject("tanh", lambda mp, x: mp.tanh(x), lambda o, x: o.tanh(x), np.tanh, lambda t, x: t.tanh(x)),
    Subject("sigmoid", _logistic, lambda o, x: o.sigmoid(x), lambda x: 1 / (1 + np.exp(-x)), lambda t, x: t.sigmoid(x)),
    Subject(
        "softplus",
        lambda mp, x: mp.log1p(mp.exp(x)),
        lambda o, x: o.softplus(x),
        lambda x: np.log1p(np.exp(x)),
        lambda t, x: t.nn.functional.softplus(x),
    ),
    Subject("leaky_relu", lambda mp, x: x if x > 0 else x / 4, lambda o, x: o.leaky_relu(x, 0.25), None, None),
    Subject(
        "log_softmax of (x, 0)",
        lambda mp, x: -mp.log1p(mp.exp(-x)),
        lambda o, x: o.log_softmax(_pairs(o, x), 1)[:, 0],
        lambda x: x - np.log(np.exp(x) + 1),
        lambda t, x: t.log_softmax(t.stack([x, x * 0], 1), 1)[:, 0],
    ),
    Subject(
        "softmax of (x, 0)",
        _logistic,
        lambda o, x: o.softmax(_pairs(o, x), 1)[:, 0],
        lambda x: np.exp(x) / (np.exp(x) + 1),
        lambda t, x: t.softmax(t.stack([x, x * 0], 1), 1)[:, 0],
    ),
    Subject(
        "cross_entropy of (x, 0), 0",
        lambda mp, x: mp.log1p(mp.exp(-x)),
        lambda o, x: o.cross_entropy(_pairs(o, x), np.zeros(x.size, int), reduction="none"),
        None,
        lambda t, x: t.nn.functional.cross_entropy(
            t.stack([x, x * 0], 1), t.zeros(len(x), dtype=t.long), reduction="none"
        ),
    ),
    Subject(
        "bce_with_logits(x, 1)",
        lambda mp, x: mp.log1p(mp.exp(-x)),
        _bce,
        lambda x: np.log1p(np.exp(-x)),
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(x, t.ones_like(x), reduction="none"),
    ),
    Subject(
        "gradient of tanh",
        lambda mp, x: mp.sech(x) ** 2,
        lambda o, x: o.tanh(x),
        lambda x: 1 - np.tanh(x) ** 2,
        lambda t, x: t.tanh(x),
        gradient=True,
    ),
    Subject(
        "gradient of sigmoid",
        lambda mp, x: _logistic(mp, x) * _logistic(mp, -x),
        lambda o, x: o.sigmoid(x),
        None,
        lambda t, x: t.sigmoid(x),
        gradient=True,
    ),
    Subject(
        "gradient of softplus",
        _logistic,
        lambda o, x: o.softplus(x),
        None,
        lambda t, x: t.nn.functional.softplus(x),
        gradient=True,
    ),
    Subject(
        "gradient of bce_with_logits(x, 1)",
        lambda mp, x: -_logistic(mp, -x),
        _bce,
        None,
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(x, t.ones_like(x), reduction="none"),
        gradient=True,
    ),
]


def points(dtype: Any, count: int, positive: bool) -> np.ndarray:
    """Return numbers whose logarithms are spread evenly, of both signs, and a fine row over the middle."""
    limit = 88.0 if dtype == np.float32 else 709.0  # where exp overflows
    sizes = np.geomspace(float(np.finfo(dtype).smallest_normal), limit, count)
    tails = np.linspace(limit, 1.18 * limit if dtype == np.float32 else 1.05 * limit, count // 4)  # subnormal exp(-x)
    middle = np.linspace(0.0, 30.0, count)
    if positive:
        return np.concatenate([sizes, np.geomspace(1.0, float(np.finfo(dtype).max) / 2, count), middle[1:]]).astype(
            dtype
        )
    return np.concatenate([sizes, -sizes, -tails, middle, -middle]).astype(dtype)


def worst(values: np.ndarray, exact: Sequence[Any], mp: Any) -> tuple[float, int]:
    """Return the largest distance in ulps, and where. An exact result beyond the dtype must have overflowed."""
    largest, at = 0.0, 0
    finfo = np.finfo(values.dtype)
    for i, (value, right) in enumerate(zip(values, exact, strict=True)):
        if abs(right) > float(finfo.max):
            distance = 0.0 if np.isinf(value) else float("inf")
        elif not np.isfinite(value):
            distance = float("inf")
        else:
            near = values.dtype.type(float(right)) if values.dtype == np.float64 else np.float32(float(right))
            unit = max(float(np.spacing(np.abs(near))), float(finfo.smallest_subnormal))
            distance = float(abs(mp.mpf(float(value)) - right) / unit)
        if distance > largest:
            largest, at = distance, i
    return largest, at


def measure(count: int, dtypes: Sequence[Any] = (np.float32, np.float64)) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (name, dtype, {who: (largest error in ulps, at which x)}) of every subject; None for who cannot."""
    import mpmath

    from scratchgan import Tensor, grad, ops

    torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    rows = []
    with mpmath.workdps(60), np.errstate(all="ignore"):
        for subject in SUBJECTS:
            for dtype in dtypes:
                x = points(dtype, count, subject.positive)
                exact = [subject.exact(mpmath, mpmath.mpf(float(v))) for v in x]
                who: dict[str, Any] = {}
                tensor = Tensor(x, requires_grad=True)
                y = subject.ours(ops, tensor)
                who["scratchgan"] = grad(y.sum(), tensor)[0].data if subject.gradient else y.data
                if subject.numpy is not None:
                    who["NumPy"] = subject.numpy(x)
                if torch is not None and subject.torch is not None:
                    theirs = torch.tensor(x, requires_grad=True)
                    result = subject.torch(torch, theirs)
                    if subject.gradient:
                        (result,) = torch.autograd.grad(result.sum(), theirs)
                    who["PyTorch"] = result.detach().numpy()
                errors = {name: worst(np.asarray(values), exact, mpmath) for name, values in who.items()}
                rows.append(
                    (subject.name, np.dtype(dtype).name, {n: (e, float(x[at])) for n, (e, at) in errors.items()})
                )
    return rows


def as_markdown(rows: list[tuple[str, str, dict[str, Any]]]) -> str:
    """Return the table: the largest error in ulps of each side."""
    lines = ["| | dtype | scratchgan | at x = | NumPy's formula | PyTorch |", "|---|---|--:|--:|--:|--:|"]
    for name, dtype, errors in rows:
        cells = [_text(errors[who][0]) if who in errors else "" for who in ("scratchgan", "NumPy", "PyTorch")]
        lines.append(f"| {name} | {dtype} | {cells[0]} | {errors['scratchgan'][1]:.4g} | {cells[1]} | {cells[2]} |")
    return "\n".join(lines)


def _text(ulps: float) -> str:
    if np.isinf(ulps):
        return "wrong"
    return f"{ulps:.1f}" if ulps < 1000 else f"{ulps:.0e}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--points", type=int, default=300, help="numbers of each kind (default: 300)")
    parser.add_argument("--write", type=Path, help="put the table between the marks of a Markdown file")


def command(options: argparse.Namespace) -> int:
    """Run the command."""
    if importlib.util.find_spec("mpmath") is None:
        raise ValueError("accuracy needs mpmath: pip install mpmath")
    table = as_markdown(measure(options.points))
    print(table)
    if options.write:
        text = options.write.read_text()
        before, mark, rest = text.partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if not (mark and end):
            raise ValueError(f"{options.write} has no place for the table: {MARKS[0]} and {MARKS[1]}")
        options.write.write_text(f"{before}{mark}\n{table}\n{end}{after}")
    return 0
