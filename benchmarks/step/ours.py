"""The step in this project's own networks, and where its time goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import workloads


def build(name: str) -> Callable[[], tuple[float, float]]:
    """Return a function that runs one step and returns both losses."""
    from scratchgan import Tensor, grad, ops
    from scratchgan.models.gan import gan28, gan64
    from scratchgan.optim import Adam

    rng = np.random.default_rng(0)
    g, d = {"G28": gan28, "G64": gan64}[name](generator=rng)
    latent, shape = workloads.LATENT[name], workloads.IMAGE[name]
    g_parameters, d_parameters = g.parameters(), d.parameters()
    g_adam, d_adam = (Adam(p, 2e-4, betas=(0.5, 0.999)) for p in (g_parameters, d_parameters))
    real = Tensor(rng.uniform(-1, 1, (workloads.BATCH, *shape)).astype(np.float32))
    bce = ops.binary_cross_entropy_with_logits

    def step() -> tuple[float, float]:
        fake = g(Tensor(rng.standard_normal((workloads.BATCH, latent), np.float32)))
        d_loss = bce(d(real), 1.0) + bce(d(fake.detach()), 0.0)
        d_adam.step(grad(d_loss, d_parameters, retain_graph=False))
        g_loss = bce(d(fake), 1.0)
        g_adam.step(grad(g_loss, g_parameters, retain_graph=False))
        return d_loss.item(), g_loss.item()

    return step


@dataclass
class Profile:
    """Seconds by (operator, shapes), and of the whole."""

    total: float = 0.0
    steps: int = 0
    operators: dict[tuple[str, str], float] = field(default_factory=dict)

    def lines(self, most: int = 15) -> list[str]:
        """The dearest operators, each with its part of the step, and what is not an operator."""
        ordered = sorted(self.operators.items(), key=lambda item: -item[1])
        named = sum(self.operators.values())
        lines = [
            f"  {seconds / self.total:6.1%}  {seconds / self.steps * 1e3:8.2f} ms  {operator} {shapes}"
            for (operator, shapes), seconds in ordered[:most]
        ]
        if len(ordered) > most:
            rest = sum(seconds for _, seconds in ordered[most:])
            lines.append(f"  {rest / self.total:6.1%}  {rest / self.steps * 1e3:8.2f} ms  {len(ordered) - most} others")
        between = self.total - named
        lines.append(
            f"  {between / self.total:6.1%}  {between / self.steps * 1e3:8.2f} ms  between operators (the autograd)"
        )
        return lines


def profile(step: Callable[[], Any], calls: int = 3, steps_a_call: int = 1) -> Profile:
    """Call ``step`` some times and return what each operator and each gradient took in the steps of that.

    A gradient is an operator too (ConvolveWeightGrad): backward passes are written with operators on Tensors. What a
    backward pass computes itself is its own part (BatchNorm.backward). Time is counted for the innermost, so the parts
    add up to the whole.
    """
    found = Profile(steps=calls * steps_a_call)
    step()
    with _timed_operators(found):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        found.total = time.perf_counter() - begin
    return found


@contextlib.contextmanager
def _timed_operators(found: Profile) -> Iterator[None]:
    """Within the block, each Function's forward and backward, and each optimiser's step, adds its time to ``found``."""
    from scratchgan import Function
    from scratchgan.optim import Optimizer

    inner = [0.0]  # seconds of operators inside the current one

    def timed(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapper(self: Any, *arguments: Any, **options: Any) -> Any:
            outer, inner[0] = inner[0], 0.0
            begin = time.perf_counter()
            try:
                return original(self, *arguments, **options)
            finally:
                spent = time.perf_counter() - begin
                shapes = " ".join("x".join(map(str, a.shape)) for a in arguments if hasattr(a, "shape") and a.ndim)
                key = name, shapes
                found.operators[key] = found.operators.get(key, 0.0) + spent - inner[0]
                inner[0] = outer + spent

        return wrapper

    # Another optimiser or Function that is defined later is timed as well: all that there are now are found.
    changed: list[tuple[type, str, Any]] = []
    for kind, method, suffix in (
        (Function, "forward", ""),
        (Function, "backward", ".backward"),
        (Optimizer, "step", ".step"),
    ):
        pending: list[type] = [kind]
        while pending:
            cls = pending.pop()
            pending += cls.__subclasses__()
            if method in cls.__dict__:
                changed.append((cls, method, cls.__dict__[method]))
                setattr(cls, method, timed(cls.__dict__[method], cls.__name__ + suffix))
    try:
        yield
    finally:
        for cls, method, original in changed:
            setattr(cls, method, original)
