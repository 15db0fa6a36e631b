"""Is it right? Every recorded vjp against `scratchgan.gradcheck`, at the arrays that the program used.

A verdict belongs to an edge: to one input of one vjp. It is PASS, FAIL, or INCONCLUSIVE with the reason, as the checker
gives it; an edge that was not checked has no verdict at all. A convolution's vjp is also computed on the plain path of
matrix products, where the recorded one may have taken fewer multiplications.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..recording import recording
from ..tensor import Tensor
from .events import Application, Pullback
from .replay import Replay, ReplayError

if TYPE_CHECKING:
    from .tape import Tape

#: Functions that compute each image of a batch, or each element, alone (or, normalisation, over any batch): a slice of
#: a large batch is as good a case. Which of the inputs have the batch as their first axis.
_BATCHED: dict[str, tuple[int, ...]] = {
    "Convolve": (0,), "ConvolveInputGrad": (0,), "ConvolveWeightGrad": (0, 1), "ConvTranspose2d": (0,),
    "BatchNorm": (0,), "Linear": (0,), "Tanh": (0,), "TanhGrad": (0, 1), "LeakyRelu": (0,), "LeakyReluGrad": (0, 1),
    "Sigmoid": (0,), "Softplus": (0,), "Exp": (0,), "Log": (0,), "Sqrt": (0,),
}  # fmt: skip
#: Elements of inputs and output above which a slice is taken.
_ENOUGH = 20_000

#: Where an operator has a kink (`scratchgan.gradcheck.Kinks`), and in which arguments it is linear.
_KINKS: dict[str, dict[str, Any]] = {
    "LeakyRelu": {"at": (0.0,)}, "Abs": {"at": (0.0,)}, "Max": {"ties": True}, "Maximum": {"ties": True},
    "MaxPool2d": {"ties": True},
}  # fmt: skip
_LINEAR: dict[str, tuple[int, ...]] = {
    "Add": (0, 1), "Subtract": (0, 1), "Multiply": (0, 1), "Divide": (0,), "Negative": (0,), "Matmul": (0, 1),
    "Linear": (0, 1, 2), "Sum": (0,), "SumTo": (0,), "BroadcastTo": (0,), "Reshape": (0,), "Transpose": (0,),
    "GetItem": (0,), "PutItem": (0,), "Pad": (0,), "Flip": (0,), "ConvolveInputGrad": (0, 1),
    "ConvolveWeightGrad": (0, 1), "ConvTranspose2d": (0, 1, 2), "UpsampleNearest2d": (0,), "UpsampleBilinear2d": (0,),
    "AvgPool2d": (0,), "TanhGrad": (0,), "LeakyReluGrad": (0,),
}  # fmt: skip
#: Inputs that an operator is flat in: their gradient is zero by definition, and jumps where a sign does.
_FLAT: dict[str, tuple[int, ...]] = {"LeakyReluGrad": (1,)}


@dataclass(frozen=True)
class Verdict:
    """What was found of one edge: input ``input`` of the vjp ``pullback``. ``text`` is the checker's own report."""

    pullback: int
    input: int
    name: str
    verdict: str
    reason: str
    text: str
    note: str = ""


@dataclass
class Verdicts:
    """Every edge that was checked, and why some vjps were not."""

    edges: list[Verdict] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[Verdict]:
        return [v for v in self.edges if v.verdict == "FAIL"]

    def __bool__(self) -> bool:
        """Whether something was checked, and nothing failed."""
        return bool(self.edges) and not self.failures

    def __str__(self) -> str:
        counts = Counter(v.verdict for v in self.edges)
        head = ", ".join(f"{counts[k]} {k}" for k in ("PASS", "FAIL", "INCONCLUSIVE") if counts[k]) or "nothing checked"
        lines = [f"{head}; {len(self.skipped)} vjps not checked" if self.skipped else head]
        lines += [f"vjp {v.pullback}, input {v.input}:\n{v.text}" for v in self.failures]
        return "\n".join(lines)


def check(tape: Tape, *, pullbacks: list[int] | None = None, quick: bool = True, seed: int = 0) -> Verdicts:
    """Check the vjps of a recording (those with these numbers, or all), each at its own inputs.

    ``quick``: by the checker's one equation first (`gradcheck.Policy.quick`), which asks every layer only where it does
    not hold; False asks every layer. Of a batch that is large a slice is checked, and the verdict says so.
    """
    found = Verdicts()
    for pull in tape.pullbacks:
        if pullbacks is None or pull.index in pullbacks:
            try:
                found.edges += _edges(tape, pull, quick, seed)
            except ReplayError as error:
                found.skipped[pull.index] = str(error)
    return found


def _edges(tape: Tape, pull: Pullback, quick: bool, seed: int) -> list[Verdict]:
    from ..gradcheck import Kinks, Op, Policy
    from ..gradcheck import check as checked

    replay = Replay(tape, pull)  # raises where the arrays are not there
    forward = tape.application(pull.of)
    arrays, note = _case(forward, [tape.store.values[x.value].array for x in forward.inputs])
    names = [f"input {i}" for i in range(len(arrays))]
    wanted = [i for i, need in enumerate(replay.needs) if need]
    flat = _FLAT.get(forward.name, ())

    def call(*tensors: Any) -> Any:
        with recording(True):
            return copy.copy(forward.function)(*tensors)

    kinks = _KINKS.get(forward.name)
    if forward.name == "Clip":
        bounds = (forward.function.minimum, forward.function.maximum)
        kinks = {"at": tuple(float(b) for b in bounds if b is not None)}
    linear = [i for i in _LINEAR.get(forward.name, ()) if i < len(arrays)]
    op = Op.from_function(
        call,
        name=forward.name,
        arguments=tuple(names),
        linear_in=linear,
        kinks=None if kinks is None else Kinks(**kinks),
        constant=[i for i in range(len(arrays)) if i not in wanted or i in flat],
    )
    policy = Policy.quick() if quick else Policy()
    report = checked(op, *arrays, seed=seed, policy=policy)
    verdicts = []
    for i in wanted:
        if i in flat:
            continue
        own = [f for f in report.findings if f.argument in ("", "forward", f"gradient of {names[i]}")]
        kinds = [f.verdict.value for f in own]
        worst = next((k for k in ("FAIL", "INCONCLUSIVE") if k in kinds), "PASS" if kinds else "INCONCLUSIVE")
        decisive = next((f for f in own if f.verdict.value == worst), None)
        reason = "" if worst == "PASS" else (decisive.reason or str(decisive)) if decisive else "nothing was compared"
        verdicts.append(Verdict(pull.index, i, forward.name, worst, reason, str(decisive or report), note))
    return [_on_the_plain_path(forward, arrays, v, seed) for v in verdicts]


def _case(forward: Application, arrays: list[Any]) -> tuple[list[np.ndarray], str]:
    """Return the arrays to check at: the recorded ones, or the first images of them if they are large."""
    batched = _BATCHED.get(forward.name, ())
    size = sum(a.size for a in arrays)
    if size <= _ENOUGH or not batched or any(i >= len(arrays) or arrays[i].ndim < 2 for i in batched):
        return [np.array(a) for a in arrays], ""
    count = len(arrays[batched[0]])
    fixed = sum(a.size for i, a in enumerate(arrays) if i not in batched)
    each = (size - fixed) // max(count, 1)
    few = min(max(2, (_ENOUGH - fixed) // max(each, 1)), count)
    cut = [np.array(a[:few]) if i in batched else np.array(a) for i, a in enumerate(arrays)]
    return cut, f"on the first {few} of {count} of the batch" if few < count else ""


def _on_the_plain_path(forward: Application, arrays: list[np.ndarray], verdict: Verdict, seed: int) -> Verdict:
    """Hold the vjp of a plain convolution against the other path of its kernels, if it passed everything else."""
    geometry: Any = getattr(forward.function, "geometry", None)
    if forward.name != "Convolve" or not hasattr(geometry, "stride") or verdict.verdict != "PASS" or verdict.input > 1:
        return verdict
    from ..kernels.conv.paths import PATHS  # with Numba

    x, w = arrays[:2]
    function = copy.copy(forward.function)
    with recording(True):
        y = function(*[Tensor(a, requires_grad=True) for a in arrays])
    gy = np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype)
    with recording(False):
        needs = tuple(i == verdict.input for i in range(len(arrays)))
        got = y._node.backward(needs, [Tensor(gy)], False)[verdict.input].data
    if function.slope != 1:
        gy = np.where(y.data > 0, gy, gy.dtype.type(function.slope) * gy)
    pairs = [(v, v) if isinstance(v, int) else tuple(v) for v in (geometry.stride, geometry.padding, geometry.dilation)]
    plain = np.empty_like(got)
    if verdict.input == 0:
        PATHS["conv2d_input_grad"]["gemm"](gy, w, np.empty(0, x.dtype), plain, *pairs, geometry.groups)
    else:
        PATHS["conv2d_weight_grad"]["gemm"](x, gy, plain, *pairs, geometry.groups)
    allowed = 64 * math.sqrt(max(gy[0].size, 1)) * np.finfo(x.dtype).eps * float(np.abs(plain).max(initial=0))
    worst = float(np.abs(got - plain).max(initial=0))
    if worst <= allowed:
        return Verdict(**{**vars(verdict), "text": f"{verdict.text}\nthe plain kernel path agrees to {worst:.2g}"})
    text = f"the kernel paths differ by {worst:.3g}, where {allowed:.3g} is rounding"
    return Verdict(**{**vars(verdict), "verdict": "FAIL", "reason": text, "text": f"FAIL {forward.name}: {text}"})
