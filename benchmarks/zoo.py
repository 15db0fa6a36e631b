"""Make entries of the zoo anew: train, score beside the floor, and pack.

    python -m benchmarks.zoo                        # the names, and how each is made
    python -m benchmarks.zoo gan-toyfaces           # into scratchgan/systems/zoo_files
    python -m benchmarks.zoo stylegan-toyfaces --bad-at "hats"

The run of an entry is kept in runs/zoo/NAME, and goes on where it stopped. What an entry is bad at is written by
whoever has looked at its samples; an entry that is made again keeps what its card says.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from scratchgan.systems import zoo
from scratchgan.train import Trainer, from_recipe, load_run, open_training_data
from scratchgan.train.system import Ask


@dataclass(frozen=True)
class Entry:
    """How an entry is made."""

    system: str
    settings: dict[str, str]
    recipe: str | None = None

    @property
    def command(self) -> str:
        """The command line that trains the same run."""
        options = [f"--recipe {self.recipe}"] if self.recipe else []
        options += [f"--set {name}={value}" for name, value in self.settings.items()]
        return " ".join(["scratchgan train", self.system, *options])


ENTRIES = {
    "gan-toyfaces": Entry("gan", {}),
    "gan-fashion": Entry("gan", {"data": "fashion-mnist", "steps": "3000"}),
    "stylegan-toyfaces": Entry("stylegan", {}, "zoo"),
    "biggan-fashion": Entry("biggan", {}, "zoo"),
}


def make(name: str, bad_at: str) -> None:
    """Train an entry, or go on with it, score it and pack it; ``bad_at`` says what whoever looks at it should know."""
    entry, out = ENTRIES[name], Path("runs/zoo") / name
    config = from_recipe(entry.system, entry.recipe, entry.settings.get("data")).with_overrides(entry.settings)
    start = time.perf_counter()
    data = open_training_data(config)
    resumed = (out / "config.json").exists()
    with Trainer.resume(out, data) if resumed else Trainer.start(config, out, data) as trainer:
        first = trainer.step
        trainer.run()
        done = trainer.step - first
    seconds = time.perf_counter() - start
    run = load_run(out)
    report = json.loads(run.system.report(run, data, Ask(5000)).to_json())
    scores, floor = report["scores"], report["real_against_real"]
    kept = [key for key, value in scores.items() if isinstance(value, (int, float))]
    what = f"{entry.system} on {config.run.data}, {run.config.run.size} px, {run.step:,} steps"
    figures = [f"{key} {scores[key]:.2f} (real images {floor[key]:.2f})" for key in ("fid", "recall")]
    summary = f"{what}; {', '.join(figures)}"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    card = {
        "summary": summary,
        "bad_at": bad_at,
        "system": entry.system,
        "command": entry.command,
        "settings": run.config.as_dict(),
        "step": run.step,
        "seed": run.config.run.seed,
        "commit": commit.stdout.strip(),
        "machine": f"{platform.processor() or platform.machine()}, {seconds:.0f} s for {done:,} steps",
        "evaluator": report["evaluator"]["hash"],
        "images": report["n"],
        "scores": {key: scores[key] for key in kept},
        "real_against_real": {key: floor[key] for key in kept},
    }
    zoo.pack(run, name, card)
    print(f"zoo:{name}: {summary}")


def main() -> None:
    """Make the entry that is named, or list them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=ENTRIES, metavar="NAME", help="the entry to make")
    parser.add_argument("--bad-at", metavar="TEXT", help="what it is bad at (default: as its card says)")
    options = parser.parse_args()
    if options.name is None:
        for name, entry in ENTRIES.items():
            print(f"{name:<20} {entry.command}")
        return
    bad_at = options.bad_at
    if bad_at is None and options.name in zoo.names():
        bad_at = zoo.card(options.name)["bad_at"]
    if bad_at is None:
        parser.error(
            f"{options.name} has no card yet: look at samples of its run, and say what it is bad at (--bad-at)"
        )
    make(options.name, bad_at)


if __name__ == "__main__":
    main()
