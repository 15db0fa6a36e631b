"""The same callables on other hardware give the same numbers: bitwise on integers where the operator is linear."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from .. import probes
from ..calls import Array, OperatorError
from ..op import Backend
from ..report import Finding, Verdict, compare
from ..trial import Trial
from .layer import Layer

NAME = "backends"


def resolve(backend: str | Backend) -> Backend | str:
    """A backend by name, or why it is not there. "numpy" is where every check begins."""
    if isinstance(backend, Backend):
        return backend
    if backend != "cupy":
        return f"no backend named {backend!r}: pass a Backend(name, put, get)"
    try:
        cupy = importlib.import_module("cupy")
        if cupy.cuda.runtime.getDeviceCount() < 1:
            return "cupy finds no device"
    except Exception as error:
        return f"cupy is not usable here ({type(error).__name__})"
    return Backend("cupy", cupy.asarray, cupy.asnumpy)


def run(trial: Trial) -> list[Finding]:
    others = [b for b in trial.op.backends if b != "numpy"]
    if not others:
        return trial.skip(NAME, "one backend only")
    findings: list[Finding] = []
    for wanted in others:
        backend = resolve(wanted)
        if isinstance(backend, str):
            trial.skip(NAME, backend)
            continue
        findings += _held_against(trial, backend, exact=False)
        if trial.linear == trial.wanted:
            findings += _held_against(trial, backend, exact=True)
    return findings


def _held_against(trial: Trial, backend: Backend, exact: bool) -> list[Finding]:
    rng = probes.stream(trial.seed, NAME, backend.name)

    def draw(shape: tuple[int, ...], dtype: Any) -> Array:
        return probes.integers(rng, shape, (1, 3), dtype) if exact else probes.probe(rng, shape, dtype)

    args = list(trial.args)
    if exact:
        for i in trial.linear:
            args[i] = draw(args[i].shape, args[i].dtype)
    gy = trial.cotangents(draw)
    there = trial.op.but(
        forward=_moved(trial.op.forward, backend),
        vjp=_moved(trial.op.vjp, backend),
        arguments=tuple(trial.names),
        derivative=None,
    )
    moved = Trial(there, tuple(args), trial.params, trial.seed, trial.policy)
    sides = f"got is on {backend.name}, expected on numpy; both are the operator's"
    try:
        pairs: list[tuple[str, int | None, Array, Array]] = [
            ("forward", None, a, b) for a, b in zip(moved.outputs, trial.apply(args), strict=True)
        ]
        on_device, on_host = moved.gradients(gy, args), trial.gradients(gy, args)
    except OperatorError as error:
        return [trial.finding(NAME, Verdict.FAIL, reason=f"on {backend.name}: {error}", argument="forward")]
    pairs += [("", i, on_device[i], on_host[i]) for i in trial.wanted]
    findings = []
    for argument, position, got, expected in pairs:
        terms = max(got.size, *(args[i].size for i in trial.wanted), 1)
        scale = float(np.max(np.abs(expected), initial=0.0))
        room = 0.0 if exact else trial.policy.ulps * trial.eps * math.sqrt(terms) * scale
        mismatch = compare(got, expected, room, sides)
        same_dtype = got.dtype == expected.dtype
        verdict = Verdict.FAIL if mismatch or not same_dtype else Verdict.PASS
        reason = "" if verdict is Verdict.PASS else f"{backend.name} differs from numpy"
        if not same_dtype:
            reason += f": {got.dtype} against {expected.dtype}"
        findings.append(trial.finding(NAME, verdict, position, reason=reason, mismatch=mismatch, argument=argument))
    return findings


def _moved(function: Any, backend: Backend) -> Any:
    """The callable with its arrays put on the backend, and its results brought back."""

    def put(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(put(v) for v in value)
        return backend.put(value) if isinstance(value, np.ndarray) else value

    def get(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(get(v) for v in value)
        return None if value is None else np.asarray(backend.get(value))

    def call(*arrays: Any, **params: Any) -> Any:
        return get(function(*(put(a) for a in arrays), **params))

    return call


LAYER = Layer(NAME, run)
