"""check(): every layer that applies, cheapest first; and one function per layer for use by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .calls import FOREIGN, OperatorError
from .layers import double, screen
from .layers.layer import Layer
from .layers.order import DIAGNOSES, ORDER
from .op import Op
from .policy import LAYERS, Policy
from .report import Finding, Report, Verdict
from .trial import Trial, restore
from .written import written


def check(
    op: Op,
    *args: Any,
    params: Mapping[str, Any] | None = None,
    order: int = 1,
    seed: int = 0,
    policy: Policy = Policy(),  # noqa: B008 (frozen)
) -> Report:
    """Runs every layer that applies to `op` at `args`.

    args: NumPy arrays (floating-point ones are differentiated), or whatever else the forward takes.
    params: keyword arguments of the forward and the vjp (stride, padding, ...).
    order: 2 also checks the derivative of the vjp, 3 the derivative of that, and so on.

    float32 arguments are checked in float32 where that can be exact, against float64 where it cannot. Bad
    operators and bad input give a verdict with a reason; only a programming error in the call raises.
    """
    return _check(op, args, params or {}, order, seed, policy, policy.layers)


def _own(layers: Sequence[str]) -> tuple[str, ...]:
    """Of these layers, those that look at the operator in the dtype of its arguments."""
    return tuple(layer.name for layer in ORDER if layer.name in layers and not layer.float64)


def check_dtypes(
    op: Op, args: Callable[[str], tuple[Any, ...]], dtypes: Sequence[str], *, policy: Policy, **options: Any
) -> list[Report]:
    """One report per dtype, of the same case: ``args(dtype)``; the other options are those of :func:`check`.

    The layers that would look at the operator in float64 anyway do so once: where float64 is among the dtypes and
    passes, the others are asked only what is their own.
    """
    done: dict[str, Report] = {}
    for dtype in sorted(dtypes, key=lambda d: np.dtype(d) != np.float64):
        if done and np.dtype(next(iter(done))) == np.float64 and next(iter(done.values())).verdict is Verdict.PASS:
            policy = replace(policy, layers=_own(policy.layers))
        done[dtype] = check(op, *args(dtype), policy=policy, **options)
    return [done[dtype] for dtype in dtypes]


def check_contract(op: Op, *args: Any, **options: Any) -> Report:
    """Shapes, dtypes, purity, determinism, memory layouts. Options as for :func:`check`."""
    return _layer("contract", op, args, options)


def check_adjoint(op: Op, *args: Any, **options: Any) -> Report:
    """<A v, gy> = <v, A^T gy>, bitwise on integers and to 64 ulp on full mantissas. Options as for :func:`check`."""
    return _layer("exact adjoint", op, args, options, "random adjoint")


def check_fd(op: Op, *args: Any, **options: Any) -> Report:
    """Central differences with a measured error bar, and the convention at kinks. Options as for :func:`check`."""
    return _layer("differences", op, args, options, "kinks")


def check_complex_step(op: Op, *args: Any, **options: Any) -> Report:
    """The complex step, for forwards that take complex arrays. Options as for :func:`check`."""
    return _layer("complex step", op, args, options)


def check_taylor(op: Op, *args: Any, **options: Any) -> Report:
    """The slope of the Taylor remainder. Options as for :func:`check`."""
    return _layer("taylor", op, args, options)


def check_precision(op: Op, *args: Any, **options: Any) -> Report:
    """float32 against float64, and float64 against itself. Options as for :func:`check`."""
    return _layer("precision", op, args, options)


def check_oracle(op: Op, *args: Any, **options: Any) -> Report:
    """The forward against `op.reference`. Options as for :func:`check`."""
    return _layer("oracle", op, args, options)


def check_backends(op: Op, *args: Any, **options: Any) -> Report:
    """The operator on its other backends against NumPy. Options as for :func:`check`."""
    return _layer("backends", op, args, options)


def check_double(op: Op, *args: Any, order: int = 2, **options: Any) -> Report:
    """Only the derivatives of the vjp, up to `order`. Options as for :func:`check`."""
    if order < 2:
        raise ValueError(f"check_double: order={order}, but the derivative of the vjp begins at order 2")
    report = check(op, *args, order=order, **options)
    prefix = f"{op.name}: order "
    own = tuple(f for f in report.findings if f.operator.startswith(prefix) or f.layer == double.NAME)
    return replace(report, findings=own)


def _layer(name: str, op: Op, args: tuple[Any, ...], options: dict[str, Any], *more: str) -> Report:
    params = options.pop("params", None) or {}
    seed, policy, order = options.pop("seed", 0), options.pop("policy", Policy()), options.pop("order", 1)
    if options:
        raise TypeError(f"check: unknown option {next(iter(options))!r}; options are params, order, seed, policy")
    return _check(op, args, params, order, seed, policy, (name, *more))


def _check(
    op: Op,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    order: int,
    seed: int,
    policy: Policy,
    layers: tuple[str, ...],
) -> Report:
    if not isinstance(op, Op):
        raise TypeError(f"check: the first argument must be an Op, got {type(op).__name__}")
    if order < 1:
        raise ValueError(f"check: order={order}, but orders begin at 1")
    trial = Trial(op, tuple(_as_argument(a) for a in args), params, seed, policy)
    report = Report(op.name, trial.describe())
    with np.errstate(all="ignore"):  # a step may overflow; what comes of it is looked at, not warned about
        report = _to_order(trial, report, op, order, layers)
    return replace(report, findings=tuple(_with_reproduction(f, op, args, params, seed) for f in report.findings))


def _to_order(trial: Trial, report: Report, op: Op, order: int, layers: tuple[str, ...]) -> Report:
    """The layers on the operator, then on its vjp, and so on."""
    for depth in range(1, order + 1):
        findings = _run_layers(trial, layers)
        report = report.merged([Report(op.name, "", tuple(findings), tuple(trial.skipped), tuple(trial.notes))])
        if depth == order or report.verdict is Verdict.FAIL:
            break
        following = _differentiated(trial, op.name, depth + 1)
        if isinstance(following, Finding):
            report = report.merged([Report(op.name, "", (following,))])
            break
        report = report.merged([Report(op.name, "", tuple(_same_vjp(trial, following)))])
        trial = following
    return report


def _as_argument(value: Any) -> Any:
    """Lists and floats become arrays; other objects (None, sizes, flags) are passed through as they are."""
    if isinstance(value, (np.generic, float)) and not isinstance(value, np.ndarray):
        return np.asarray(value)
    if isinstance(value, list):
        with contextlib.suppress(ValueError):  # rows of different lengths are no array
            return np.asarray(value)
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    return value


def _differentiated(trial: Trial, name: str, order: int) -> Trial | Finding:
    try:
        second = double.derivative_of(trial.op, trial.names, len(trial.outputs))
        if second is None:
            reason = f"order {order} was asked for, but the vjp has no derivative: pass an Op as `vjp`"
            return trial.finding(double.NAME, Verdict.INCONCLUSIVE, reason=reason, comparisons=0)
        args = double.arguments_of(trial)
    except OperatorError as error:
        return trial.finding(double.NAME, Verdict.FAIL, reason=str(error))
    return Trial(second.but(name=f"{name}: order {order}"), args, trial.params, trial.seed, trial.policy)


def _same_vjp(trial: Trial, following: Trial) -> list[Finding]:
    try:
        return double.same_vjp(trial, following) if trial.wanted else []
    except OperatorError as error:
        return [trial.finding(double.NAME, Verdict.FAIL, reason=str(error))]


def _run_layers(trial: Trial, names: tuple[str, ...]) -> list[Finding]:
    bad = _unusable(trial)
    if bad is not None:
        return [bad]
    findings: list[Finding] = []
    suspected = False
    if trial.policy.screened and set(_own(LAYERS)) <= set(names):
        names = _left_by_the_screen(trial, names, findings)
        suspected = not findings and "differences" in names
    layers = [layer for layer in (*ORDER, *DIAGNOSES) if layer.name in names]
    before = [a.copy() if isinstance(a, np.ndarray) and layers else None for a in trial.args]
    for layer in layers:
        if layer.repeats and any(f.verdict is Verdict.FAIL for f in findings):
            continue
        found = _asked(layer, trial)
        findings += found
        restore(trial.args, before)
        if layer.stops and any(f.verdict is not Verdict.PASS for f in found) and _hopeless(trial, found):
            break
        if layer.settles:
            trial.settled.update(_settled(trial, layer, findings))
    if all(f.verdict is Verdict.PASS for f in findings) and not any(trial.args[i].size for i in trial.wanted):
        reason = "every argument is empty: there is no element to differentiate"
        findings.append(trial.finding("contract", Verdict.INCONCLUSIVE, reason=reason, comparisons=0))
    if suspected and not any(f.verdict is Verdict.FAIL for f in findings):
        if all(f.verdict is Verdict.PASS for f in findings) and screen.acquits(trial.wide):
            reason = "the screen's equation failed at first and now it holds: not deterministic, or it keeps state"
            findings.append(trial.finding("contract", Verdict.FAIL, reason=reason))
        elif not screen.steady(trial):
            reason = "the same call gives now this and now that: it is not deterministic, or keeps state between calls"
            findings.append(trial.finding("contract", Verdict.FAIL, reason=reason))
    return findings


def _asked(layer: Layer, trial: Trial) -> list[Finding]:
    try:
        return layer.run(trial)
    except OperatorError as error:
        return [trial.finding(layer.name, Verdict.FAIL, reason=str(error), argument="")]


def _left_by_the_screen(trial: Trial, layers: tuple[str, ...], findings: list[Finding]) -> tuple[str, ...]:
    """The layers that are still to be asked, once the screen was; what it passed is added to `findings`."""
    if "differences" not in layers:  # float64 has been asked, for another dtype of the same case
        return layers
    try:
        wide = trial.wide
    except OperatorError:
        return layers
    if wide.dtype != np.float64 or not screen.acquits(wide):
        return layers
    findings += [wide.finding(screen.NAME, Verdict.PASS, i) for i in wide.wanted]
    if trial is wide:
        return ("backends",) if set(trial.op.backends) - {"numpy"} and "backends" in layers else ()
    return _own(layers)


def _settled(trial: Trial, layer: Layer, findings: list[Finding]) -> set[int]:
    """Linear arguments that passed an adjoint test: it proves what differences would only estimate."""
    passed = {f.argument for f in findings if f.layer == layer.name and f.verdict is Verdict.PASS}
    failed = {f.argument for f in findings if f.verdict is Verdict.FAIL}
    return {i for i in trial.linear if f"gradient of {trial.names[i]}" in passed - failed}


def _hopeless(trial: Trial, found: list[Finding]) -> bool:
    """The later layers would repeat this finding: there is no gradient to compare, or no point to do it at."""
    return (
        any(f.argument == "" and f.verdict is Verdict.FAIL for f in found)
        or any(f.argument == "forward" and f.verdict is Verdict.INCONCLUSIVE for f in found)
        or not any(y.size for y in trial.outputs)
    )


def _unusable(trial: Trial) -> Finding | None:
    """Why these arguments cannot be checked at all."""
    if not trial.wanted:
        kinds = ", ".join(
            f"{n} is {a.dtype if isinstance(a, np.ndarray) else type(a).__name__}"
            for n, a in zip(trial.names, trial.args, strict=True)
        )
        reason = f"no floating-point argument to differentiate ({kinds or 'no arguments'})"
        return Finding("contract", Verdict.INCONCLUSIVE, reason=reason, operator=trial.op.name)
    for i in trial.wanted:
        a = trial.args[i]
        reason = ""
        if isinstance(a, FOREIGN):
            reason = f"{trial.names[i]} is a {type(a).__name__}, not a plain NumPy array"
        elif a.dtype.itemsize > 8:
            reason = f"{trial.names[i]} is {a.dtype}: nothing wider than float64 can be checked"
        if reason:
            return trial.finding("contract", Verdict.INCONCLUSIVE, i, reason=reason, comparisons=0)
        if not np.isfinite(a).all():
            index = np.argwhere(~np.isfinite(a))[0].tolist()
            reason = f"{trial.names[i]}{index} is {a[tuple(index)]}: no derivative is defined there"
            return trial.finding("contract", Verdict.INCONCLUSIVE, i, reason=reason, comparisons=0)
    return None


def _with_reproduction(
    finding: Finding, op: Op, args: tuple[Any, ...], params: Mapping[str, Any], seed: int
) -> Finding:
    """The call that repeats the finding: a line to be pasted where the operator is known."""
    if finding.verdict is Verdict.PASS:
        return finding
    options = [f"params={dict(params)!r}"] if params else []
    if finding.operator.startswith(f"{op.name}: order "):
        options.append(f"order={finding.operator.rsplit(' ', 1)[1]}")
    elif finding.layer == double.NAME:
        options.append("order=2")
    name = op.name if op.name.isidentifier() else "op"
    return replace(finding, reproduce=f"check({', '.join([name, *map(written, args), *options, f'seed={seed}'])})")
