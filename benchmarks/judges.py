"""Are the judges any good? ``python -m benchmarks.judges [--size 32] [--n 2000] [--only PART]``.

Prints the tables of docs/metrics.md: each evaluator of toy faces, with how long its training takes and its errors on
held-out faces beside its gates; the scores of real faces under known damage, which every metric is to put in order; and
what is said of two impostors, a collapsed generator and one that copies.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchgan.data import toyfaces
from scratchgan.metrics import FactorRegressor, damage, evaluate, open_evaluator
from scratchgan.metrics.evaluators import Evaluator, IdentityEmbedding, LandmarkRegressor, Segmenter, save_evaluator
from scratchgan.metrics.evaluators.factors import mode_numbers
from scratchgan.metrics.evaluators.store import evaluator_path
from scratchgan.metrics.open_judge import judge_of_faces

EVALUATORS: dict[str, type[Evaluator]] = {
    "factors": FactorRegressor,
    "landmarks": LandmarkRegressor,
    "identity": IdentityEmbedding,
    "segmenter": Segmenter,
}

DAMAGE: dict[str, tuple[str, Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "blur": ("px", damage.blur, (0.3, 0.5, 0.8, 1.2)),
    "noise": ("of the range", damage.noise, (0.02, 0.05, 0.1, 0.2)),
    "hue": ("degrees", damage.shift_palette, (10, 25, 60, 120)),
}
DROPPED = (6, 12, 24, 36)  # of 48 modes
PARTS = [*EVALUATORS, "damage", "impostors"]


def time_evaluators(names: list[str], size: int) -> None:
    """Train each evaluator anew, keep it in the cache, and print its errors."""
    with tempfile.TemporaryDirectory() as empty:
        for name in names:
            start = time.perf_counter()
            evaluator = open_evaluator(EVALUATORS[name](size), folder=Path(empty))  # type: ignore[call-arg, arg-type]
            seconds = time.perf_counter() - start
            path = evaluator_path(evaluator)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_evaluator(evaluator, path)
            errors = ", ".join(
                f"{key} {error:.3f}" + (f" (gate {evaluator.gates[key]:g})" if key in evaluator.gates else "")
                for key, error in evaluator.held_out.items()
            )
            print(f"{name}: {evaluator.hash}, {seconds:.0f} s: {errors}", flush=True)


def judge_damage(size: int, n: int) -> None:
    """Print the scores of real faces, damaged more and more."""
    judge = judge_of_faces(open_evaluator(FactorRegressor(size)), toyfaces.dataset(10_000, size, quiet=True), n)
    factors = toyfaces.sample_factors(6 * n, 77, portrait=True)
    modes = mode_numbers(factors)
    images = toyfaces.render(toyfaces.take(factors, slice(n)), size).image

    def show(name: str, damaged: np.ndarray) -> None:
        s = judge.full(damaged)
        print(
            f"| {name} | {s['fid']:.2f} | {s['kid']:.4f} | {s['precision']:.3f} | {s['recall']:.3f} | "
            f"{s['density']:.3f} | {s['coverage']:.3f} | {s['two_sample_accuracy']:.3f} | {s['modes']} |",
            flush=True,
        )

    print(f"n = {n:,}, evaluator {judge.hash}")
    print("| faces | FID | KID | precision | recall | density | coverage | two-sample | modes |")
    print("|---|---|---|---|---|---|---|---|---|")
    show("undamaged", images)
    for name, (unit, damage_it, strengths) in DAMAGE.items():
        for strength in strengths:
            show(f"{name}, {strength:g} {unit}", damage_it(images, strength))
    for dropped in DROPPED:
        kept = np.flatnonzero(modes >= dropped)[:n]
        show(f"{dropped} of 48 modes dropped", toyfaces.render(toyfaces.take(factors, kept), size).image)


def judge_impostors(size: int, n: int) -> None:
    """Print what is said of a collapsed generator and of one that copies: both are to be called by name."""
    training = toyfaces.dataset(10_000, size, quiet=True)
    judge = judge_of_faces(open_evaluator(FactorRegressor(size)), training, n)
    rng = np.random.default_rng(0)
    few, many = training.pixels[rng.integers(4, size=n)], training.pixels[rng.integers(len(training), size=n)]
    for name, images in (("four faces over and over, with noise of 0.02", few), ("training images", many)):
        images = damage.noise(images, 0.02) if images is few else images
        print(evaluate(judge, images, name).to_text(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    time_evaluators([name for name in options.only if name in EVALUATORS], options.size)
    if "damage" in options.only:
        judge_damage(options.size, options.n)
    if "impostors" in options.only:
        judge_impostors(options.size, options.n)


if __name__ == "__main__":
    main()
