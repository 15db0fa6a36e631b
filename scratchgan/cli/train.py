"""Train a generator and a discriminator on images, from the beginning or where a run stopped.

A run is a folder: its settings (config.json), a line for each step (log.jsonl), pictures of samples, the curves, and
checkpoints. Ctrl-C stops after the step with a checkpoint; a run that was killed goes on from its last one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import whole

if TYPE_CHECKING:
    from ..data import Dataset
    from ..train import TrainConfig, Trainer
    from ..train.evaluation import Judge, OpenJudge

SUMMARY = "train a GAN, or go on with a run"
EXAMPLES = """\
  scratchgan train
  scratchgan train --data fashion-mnist --out runs/fashion --steps 3000
  scratchgan train --data photos/ --size 64 --skip-bad
  scratchgan train --data fashion-mnist --loss hinge --set d_norm=spectral --set lr_d=4e-4
  scratchgan train --eval-every 200
  scratchgan train --data ring8
  scratchgan train --recipe faces64 --out runs/large
  scratchgan train --resume runs/fashion --steps 6000
"""

# The options that are settings of TrainConfig. It checks their values; they reach it as text, as --set's do.
_SETTINGS = {
    "data": (
        "NAME|PATH",
        "toyfaces (default), fashion-mnist, mnist, ring8, grid25, swiss-roll; a folder of images, an .npz or IDX file",
    ),
    "steps": ("N", "training steps in all (default: 2500)"),
    "batch": ("N", "images in a batch (default: 32)"),
    "size": ("PX", "make images PX x PX: 16, 24, 28, 32, 48, 64, 96 or 128 suit (default: the data's own)"),
    "seed": ("N", "of everything random (default: 0)"),
    "device": ("cpu|cuda", "where to compute (default: cpu)"),
    "precision": ("float32|tf32", "of convolutions; tf32: on a GPU's tensor cores (default: float32)"),
    "loss": ("NAME", "bce (default), bce-saturating, hinge, lsgan or wgan-gp"),
    "data-dir": ("DIR", "where to look for the files of fashion-mnist and mnist first"),
    "limit": ("N", "use at most N images"),
    "eval-every": ("N", "measure FID and more every N steps, and keep the best checkpoint (default: never)"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("the run")
    run.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the run (default: runs/<data>)")
    run.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    run.add_argument("--threads", type=whole(1), metavar="N", help="for the kernels (default: every core)")
    run.add_argument("--quiet", action="store_true", help="show no progress")
    settings = parser.add_argument_group("its settings, kept in config.json")
    for name, (metavar, text) in _SETTINGS.items():
        settings.add_argument(f"--{name}", metavar=metavar, help=text)
    settings.add_argument(
        "--cuda-graph", action="store_true", help="device cuda: launch a step as one CUDA graph, faster if it is small"
    )
    settings.add_argument("--skip-bad", action="store_true", help="leave out images that can't be read")
    settings.add_argument(
        "--config", type=Path, metavar="FILE", help="take settings from a JSON file, such as a run's config.json"
    )
    settings.add_argument("--recipe", metavar="NAME", help="start from these settings: points, faces64 or reference")
    settings.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    settings.add_argument("--settings", action=_ListSettings, help="list all settings with their defaults, and exit")


class _ListSettings(argparse.Action):
    """--settings: print TrainConfig's fields and exit."""

    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import dataclasses

        from ..train import TrainConfig

        for field in dataclasses.fields(TrainConfig):
            choices = field.metadata["choices"]
            among = f" ({', '.join(choices)})" if choices else ""
            print(f"{f'{field.name}={_written(field.default)}':<24} {field.metadata['help']}{among}")
        parser.exit()


def _written(value: Any) -> str:
    """Return a setting's value as --set takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def run(arguments: argparse.Namespace) -> int:
    settings = _given_settings(arguments)
    if arguments.threads is not None:
        _use_threads(arguments.threads)
    with _started(arguments, settings) as trainer:
        return _train(trainer, arguments.quiet)


def _given_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the settings that the command line names, as text. Raises ConfigError."""
    from ..train import ConfigError

    settings = {}
    for item in arguments.set:
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write it as KEY=VALUE, such as --set width=64")
        settings[key] = value
    for option in _SETTINGS:
        name = option.replace("-", "_")
        value = getattr(arguments, name)
        if value is None:
            continue
        if settings.setdefault(name, value) != value:
            raise ConfigError(f"--{option} {value} and --set {name}={settings[name]} differ: give one of them")
    settings |= {name: "true" for name in ("skip_bad", "cuda_graph") if getattr(arguments, name)}
    return settings


def _started(arguments: argparse.Namespace, settings: dict[str, str]) -> Trainer:
    """Return the trainer of a new run, or of the one to resume."""
    from ..device import require_cuda
    from ..train import ConfigError, TrainConfig, Trainer, open_training_data, recipe

    if arguments.resume is not None:
        for option in ("out", "config", "recipe"):
            if getattr(arguments, option) is not None:
                raise ConfigError(f"--{option} is for a new run, --resume for an old one: give one of them")
        return Trainer.resume(
            arguments.resume,
            settings=settings,
            quiet=arguments.quiet,
            open_judge=_judge_opener(arguments.quiet),
            on_notice=_notice,
        )
    if arguments.config is None:
        config = recipe(arguments.recipe, settings.get("data"))
    elif arguments.recipe is None:
        config = TrainConfig.from_json(arguments.config)
    else:
        raise ConfigError("--config and --recipe are two places to start from: give one of them")
    config = config.with_overrides(settings)
    if config.device == "cuda":
        require_cuda()  # before the data, which may be a download
    dataset = open_training_data(config, quiet=arguments.quiet)
    return Trainer(
        config,
        arguments.out or _fresh_folder(config),
        dataset,
        open_judge=_judge_opener(arguments.quiet),
        on_notice=_notice,
    )


def _judge_opener(quiet: bool) -> OpenJudge:
    """Return what the trainer calls if the run is to be evaluated: it may have to train the evaluator first."""

    def open_it(config: TrainConfig, dataset: Dataset) -> Judge:
        from ..metrics import open_judge
        from .progress import stages

        with stages(quiet=quiet) as progress:
            return open_judge(config, dataset, on_progress=progress, on_notice=_notice)

    return open_it


def _fresh_folder(config: TrainConfig) -> Path:
    """Return runs/<data>, or with a number after it if that is taken."""
    name = Path(config.data).resolve().name.split(".")[0] or "run"
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def _use_threads(count: int) -> None:
    from .. import kernels
    from ..train import ConfigError

    try:
        kernels.set_num_threads(count)
    except ValueError as error:
        raise ConfigError(f"--threads {count}: {error}") from None


def _train(trainer: Trainer, quiet: bool) -> int:
    from .progress import display

    config, first = trainer.config, trainer.step
    if first == config.steps:
        print(f"{trainer.out} is at step {first:,} already: give more --steps to go on with it")
        return 0
    if not quiet:
        print(_introduction(trainer), file=sys.stderr)
    try:
        with display(config.steps, first, config.batch, quiet=quiet) as shown:
            trainer.run(on_step=shown.step, on_compile=shown.compiling)
    except KeyboardInterrupt:
        from ..train.checkpoint import checkpoint_steps

        kept = checkpoint_steps(trainer.out / "checkpoints")
        where = f"its checkpoint is of step {kept[-1]:,}" if kept else "it has no checkpoint yet"
        print(f"stopped at step {trainer.step:,}; {where}. Go on: scratchgan train --resume {trainer.out}")
        return 130
    if not quiet:
        print(_conclusion(trainer))
    return 0


def _introduction(trainer: Trainer) -> str:
    shape = trainer.dataset.shape
    what = f"images, {' x '.join(map(str, shape))}" if len(shape) == 3 else "points"
    g, d = (
        sum(parameter.size for parameter in network.parameters())
        for network in (trainer.game.generator, trainer.game.discriminator)
    )
    return f"{trainer.dataset.name}: {len(trainer.dataset):,} {what}; G has {g:,} weights, D {d:,}; run {trainer.out}"


def _conclusion(trainer: Trainer) -> str:
    out = trainer.out
    lines = [f"samples: {out / 'samples' / f'step-{trainer.step:06d}.png'}", f"curves:  {out / 'curves.png'}"]
    if len(trainer.dataset.shape) == 3:
        more = [f"scratchgan sample {out} --n 64 --out grid.png", f"scratchgan interpolate {out} --out walk.gif"]
    else:
        lines.append(f"film:    {out / 'film.gif'}")
        more = [f"scratchgan sample {out} --n 5000 --out points.npz"]
    lines += [f"quality: scratchgan evaluate {out}", f"more:    {more[0]}"]
    return "\n".join(lines + [f"         {line}" for line in more[1:]])


def _notice(text: str) -> None:
    print(f"scratchgan train: {text}", file=sys.stderr)
