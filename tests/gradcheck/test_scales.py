"""No step, tolerance or scale to choose: arguments from 1e-6 to 1e6, right gradients and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratchgan.gradcheck import Op, Policy, Verdict, check


def layer_norm_vjp(gy: Any, x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    std = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    h = centred / std
    return (gy - gy.mean(-1, keepdims=True) - h * (gy * h).mean(-1, keepdims=True)) / std


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log": (lambda x: np.log(np.abs(x)), lambda gy, x: gy / x),
    "inverse": (lambda x: 1 / x, lambda gy, x: -gy / (x * x)),
    "cube": (lambda x: x**3, lambda gy, x: 3 * gy * x * x),
    "sine": (lambda x: np.sin(x), lambda gy, x: gy * np.cos(x)),  # at 1e6 it wriggles between two steps
    "relu": (lambda x: np.maximum(x, 0), lambda gy, x: gy * (x > 0)),
    "absolute": (lambda x: np.abs(x), lambda gy, x: gy * np.sign(x)),
    "maximum": (lambda x: x.max(-1), lambda gy, x: gy[:, None] * (x == x.max(-1, keepdims=True))),
    "gram": (lambda x: x @ x.T, lambda gy, x: (gy + gy.T) @ x),
    "layer norm": (layer_norm, layer_norm_vjp),
}


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_gradients_pass_and_wrong_ones_do_not(name: str, scale: float) -> None:
    forward, vjp = FUNCTIONS[name]
    x = np.random.default_rng(0).standard_normal((5, 6)) * scale
    for dtype in (np.float32, np.float64):
        report = check(Op(forward, vjp, name=name), x.astype(dtype))
        assert report.verdict is Verdict.PASS, str(report)
    for wrong in (
        lambda gy, x: -vjp(gy, x),
        lambda gy, x: vjp(gy, x) * 0,
        lambda gy, x: vjp(gy, x) * 1.001,
    ):
        report = check(Op(forward, wrong, name=name), x, policy=Policy(locate_limit=8))
        assert report.verdict is Verdict.FAIL, str(report)


def test_a_step_out_of_the_domain_is_not_held_against_the_operator() -> None:
    def strict(x: Any) -> Any:
        if np.any(x <= 0):
            raise ValueError("x must be positive")
        return np.sqrt(x)

    x = np.array([1e-3, 1.0, 50.0])
    assert check(Op(strict, lambda gy, x: gy / (2 * np.sqrt(x)), name="strict square root"), x)
