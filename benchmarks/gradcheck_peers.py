"""The same planted bugs under scratchgan.gradcheck, torch.autograd.gradcheck and JAX's gradient checks.

    python benchmarks/gradcheck_peers.py --results benchmarks/results/gradcheck_peers.json

Every checker is given the same operators, through NumPy, on the same cases: those the catalogue draws, in float64
(JAX also in float32, its default dtype). A bug is killed if any case is refused. A checker's seconds are those of
running all the right operators on all the cases, which are drawn before: the best of several rounds, in which the
checkers take turns in one process, after a round that compiles. Bugs that a checker has no way to be asked about count
as not killed; there is one column for all of them, so the reader can see what is left to other tests.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchgan.gradcheck import Op
from scratchgan.gradcheck.checker import check_dtypes
from scratchgan.gradcheck.graph_programs import graphs
from scratchgan.gradcheck.layers.double import arguments_of, derivative_of
from scratchgan.gradcheck.policy import Policy
from scratchgan.gradcheck.report import Verdict
from scratchgan.gradcheck.selftest.catalogue import plants
from scratchgan.gradcheck.selftest.planting import Plant, planted
from scratchgan.gradcheck.selftest.targets import EngineTarget, all_targets, reverse_mode, run
from scratchgan.gradcheck.suites import draw
from scratchgan.gradcheck.trial import Trial

Call = tuple[Op, tuple[Any, ...], dict[str, Any]]
PeerCheck = Callable[[Op, tuple[Any, ...], dict[str, Any]], None]


def calls(target: Any, dtype: str) -> Iterator[Call]:
    """The target's cases as operator, arrays, parameters; and the vjp as an operator, where order 2 is wanted."""
    if isinstance(target, EngineTarget):
        # A detached branch has no derivative by differences, so the programs have none.
        for k, graph in enumerate(draw(graphs(detached=False), target.programs)):
            values = [np.random.default_rng([k, i]).standard_normal((2, 2)).astype(dtype) for i in range(graph.leaves)]
            yield (
                Op(
                    lambda *v, graph=graph: graph.evaluate(v),
                    lambda gy, *v, graph=graph: tuple(reverse_mode(graph, v, gy)),
                    name="autograd",
                ),
                tuple(values),
                {},
            )
        return
    for case in target.cases(0):
        args = case.args(dtype)
        if any(a.size == 0 for a in args):
            continue  # torch refuses empty inputs, right or wrong
        yield target.op, args, dict(case.params)
        if target.order > 1:
            trial = Trial(target.op, args, case.params, case.seed, Policy())
            second = derivative_of(target.op, trial.names, len(trial.outputs))
            assert second is not None
            yield second, arguments_of(trial), dict(case.params)


def torch_checker(fast: bool) -> PeerCheck:
    import torch

    def refuses(op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> None:
        class Wrapped(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                ctx.save_for_backward(*tensors)
                outputs, _ = op.apply([t.numpy() for t in tensors], params)
                made = tuple(torch.from_numpy(np.array(y)) for y in outputs)
                return made if len(made) > 1 else made[0]

            @staticmethod
            def backward(ctx: Any, *gys: Any) -> Any:
                arrays = [t.detach().numpy() for t in ctx.saved_tensors]
                outputs = [np.asarray(g.detach().numpy()) for g in gys]
                found = op.pullback(outputs, arrays, params, len(outputs) > 1)
                return tuple(None if g is None else torch.from_numpy(np.array(g)) for g in found)

        tensors = [torch.from_numpy(np.array(a)).requires_grad_(True) for a in args]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.autograd.gradcheck(Wrapped.apply, tensors, fast_mode=fast)

    return refuses


def jax_checker() -> PeerCheck:
    import jax
    from jax.test_util import check_vjp

    jax.config.update("jax_enable_x64", True)

    def refuses(op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> None:
        def forward(*arrays: Any) -> Any:
            outputs, _ = op.apply([np.asarray(a) for a in arrays], params)
            return outputs if len(outputs) > 1 else outputs[0]

        def forward_and_vjp(*arrays: Any) -> Any:
            y = forward(*arrays)

            def pull(gy: Any) -> Any:
                gys = [np.asarray(g) for g in (gy if isinstance(gy, tuple) else (gy,))]
                found = op.pullback(gys, [np.asarray(a) for a in arrays], params, len(gys) > 1)
                return tuple(np.zeros_like(a) if g is None else g for g, a in zip(found, arrays, strict=True))

            return y, pull

        check_vjp(forward, forward_and_vjp, args)

    return refuses


#: What the peers do: the vjp against the forward, one probe, and nothing else.
DERIVATIVES = Policy(layers=("exact adjoint", "random adjoint", "differences"), probes=1)


@dataclass(frozen=True)
class Checker:
    """One row: a round of all right operators on cases drawn before, which returns its false alarms; and the kills."""

    round: Callable[[], list[str]]
    kills: Callable[[list[str]], list[str]]


def peer(check: PeerCheck, dtype: str) -> Checker:
    """A peer's check, on the calls of every target."""
    targets = all_targets()
    drawn = [(name, call) for name, target in targets.items() for call in calls(target, dtype)]

    def run_all() -> list[str]:
        alarms = []
        for name, (op, args, params) in drawn:
            try:
                check(op, args, params)
            except Exception as error:
                alarms.append(f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        return alarms

    def refuses(plant: Plant) -> bool:
        with planted(plant):
            for op, args, params in calls(targets[plant.target], dtype):
                try:
                    check(op, args, params)
                except Exception:
                    return True
        return False

    def kills(alarms: list[str]) -> list[str]:
        # An operator that is refused when it is right is no evidence when it is wrong.
        refused = {alarm.split(":")[0] for alarm in alarms}
        return [plant.name for plant in plants() if plant.target not in refused and refuses(plant)]

    return Checker(run_all, kills)


def ours(dtypes: tuple[str, ...], policy: Policy) -> Checker:
    """The same for scratchgan.gradcheck."""
    policy = replace(policy, locate_limit=64)
    targets = {
        name: t
        if isinstance(t, EngineTarget)
        else replace(t, dtypes=tuple(d for d in dtypes if d in t.dtypes), policy=policy)
        for name, t in all_targets().items()
    }
    drawn = [
        (t, case, {dtype: case.args(dtype) for dtype in t.dtypes})
        for t in targets.values()
        if not isinstance(t, EngineTarget)
        for case in t.cases(0)
    ]

    def run_all() -> list[str]:
        alarms = [name for name, t in targets.items() if isinstance(t, EngineTarget) and run(t).layers]
        for t, case, args in drawn:
            options = {"params": case.params, "order": t.order, "seed": case.seed}
            reports = check_dtypes(t.op, args.__getitem__, t.dtypes, policy=policy, **options)
            alarms += [t.op.name for report in reports if report.verdict is Verdict.FAIL]
        return alarms

    def refuses(plant: Plant) -> bool:
        with planted(plant):
            return bool(run(targets[plant.target], until=plant.layers).layers)

    return Checker(run_all, lambda alarms: [plant.name for plant in plants() if refuses(plant)])


def measure(checkers: dict[str, Checker], rounds: int, patience: float = 10.0) -> dict[str, Any]:
    """Kills, false alarms and the best seconds of each. The rounds alternate, so that all see the same machine; a
    checker whose round takes longer than `patience` seconds has one."""
    times: dict[str, list[float]] = {name: [] for name in checkers}
    alarms: dict[str, list[str]] = {}
    for k in range(rounds + 1):  # the first compiles whatever there is to compile
        for name, checker in checkers.items():
            if k and times[name][0] > patience:
                continue
            start = time.perf_counter()
            alarms[name] = checker.round()
            times[name].append(time.perf_counter() - start)
    return {
        name: {
            "killed": checker.kills(alarms[name]),
            "of": len(plants()),
            "false_alarms": alarms[name],
            "seconds": round(min(times[name][1:] or times[name]), 3),
            "rounds": [round(seconds, 3) for seconds in times[name]],
        }
        for name, checker in checkers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkers", default="ours,torch,jax", help="of ours, torch, torch-fast, jax; by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/gradcheck_peers.json"))
    options = parser.parse_args()
    checkers: dict[str, Checker] = {}
    for checker in options.checkers.split(","):
        if checker == "ours":
            checkers["scratchgan.gradcheck, float64 and float32"] = ours(("f8", "f4"), Policy())
            checkers["scratchgan.gradcheck, float64"] = ours(("f8",), Policy())
            checkers["scratchgan.gradcheck, Policy.quick(), float64 and float32"] = ours(("f8", "f4"), Policy.quick())
            checkers["scratchgan.gradcheck, Policy.quick(), float64"] = ours(("f8",), Policy.quick())
            checkers["scratchgan.gradcheck, derivatives only, float64"] = ours(("f8",), DERIVATIVES)
        elif checker in ("torch", "torch-fast"):
            if checker == "torch":
                checkers["torch.autograd.gradcheck, default"] = peer(torch_checker(False), "f8")
            checkers["torch.autograd.gradcheck, fast"] = peer(torch_checker(True), "f8")
        elif checker == "jax":
            checkers["jax.test_util.check_vjp, float64"] = peer(jax_checker(), "f8")
            checkers["jax.test_util.check_vjp, float32"] = peer(jax_checker(), "f4")
        else:
            parser.error(f"no checker {checker!r}; there are ours, torch, torch-fast and jax")
    for target in all_targets().values():  # compiles the kernels, which is nobody's time
        run(target)
    results = measure(checkers, options.rounds)
    for name, found in results.items():
        print(
            f"{name:60s} {len(found['killed']):2d} of {found['of']} killed, "
            f"{len(found['false_alarms'])} false alarms, {found['seconds']:.3f} s"
        )
    options.results.parent.mkdir(parents=True, exist_ok=True)
    part = options.results.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    part.replace(options.results)


if __name__ == "__main__":
    main()
