"""Train a GAN, from the beginning or where a run stopped: `scratchgan train SYSTEM --help` lists its settings.

A run is a folder: its settings (config.json), a line for each step (log.jsonl), pictures of samples, the curves, and
checkpoints. Ctrl-C stops after the step with a checkpoint; a run that was killed goes on from its last one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import whole

if TYPE_CHECKING:
    import dataclasses

    from ..data import Dataset
    from ..train import Settings, System, TrainConfig, Trainer
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


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    import dataclasses

    from ..train import RunSettings, system_named, system_names

    system = named_system(words)
    run = parser.add_argument_group("the run")
    parser.add_argument("system", nargs="?", metavar="SYSTEM", help=_systems())
    run.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the run (default: runs/<data>)")
    run.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    run.add_argument("--threads", type=whole(1), metavar="N", help="for the kernels (default: every core)")
    run.add_argument("--quiet", action="store_true", help="show no progress")
    settings = parser.add_argument_group("its settings, kept in config.json")
    kind = system_named(system or system_names()[0])
    for group in (RunSettings, kind.Settings):
        for field in dataclasses.fields(group):
            if field.metadata["option"]:
                _add_setting(settings, group, field, kind.defaults.get(field.name, field.default))
    settings.add_argument(
        "--config", type=Path, metavar="FILE", help="take settings from a JSON file, such as a run's config.json"
    )
    recipes = ", ".join(kind.recipes) or "none"
    settings.add_argument("--recipe", metavar="NAME", help=f"start from measured settings; of {kind.name}: {recipes}")
    settings.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    settings.add_argument("--settings", action=_ListSettings, help="list all settings with their defaults, and exit")


def named_system(words: Sequence[str]) -> str | None:
    """Return the system that the words of a command line begin with, None if they do not begin with one."""
    from ..train import system_names

    return words[0] if words and words[0] in system_names() else None


def _systems() -> str:
    """Return the help of SYSTEM: what there is to train."""
    from ..train import system_named, system_names

    lines = "; ".join(f"{name}: {system_named(name).summary}" for name in system_names())
    return f"what to train, before any option (default: gan, or points for such data). {lines}"


def _add_setting(
    parser: argparse._ArgumentGroup, group: type[Settings], field: dataclasses.Field[Any], default: Any
) -> None:
    """Add the option of a setting. Its value reaches the settings as text, as --set's does, and is checked there."""
    from ..train.settings import as_text

    option = f"--{field.name.replace('_', '-')}"
    text = field.metadata["help"]
    if isinstance(default, bool):
        parser.add_argument(option, action="store_const", const="true", dest=field.name, help=text)
        return
    among = field.metadata["choices"]
    listed = f"; one of {', '.join(among)}" if len(among) > 2 else ""
    shown = "" if default is None else f" (default: {as_text(default)})"
    parser.add_argument(option, metavar=group.metavar(field), dest=field.name, help=f"{text}{listed}{shown}")


class _ListSettings(argparse.Action):
    """--settings: print every setting of the run's system and exit."""

    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any) -> None:
        import dataclasses

        from ..train import RunSettings, TrainConfig, system_names
        from ..train.settings import as_text

        config = TrainConfig(namespace.system or system_names()[0])
        values = config.as_dict()
        for group in (RunSettings, config.kind.Settings):
            for field in dataclasses.fields(group):
                choices = field.metadata["choices"]
                among = f" ({', '.join(choices)})" if choices else ""
                print(f"{f'{field.name}={as_text(values[field.name])}':<24} {field.metadata['help']}{among}")
        parser.exit()


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
    for field in _option_fields(arguments.system):
        name = field.name
        value = getattr(arguments, name, None)
        if value is None:
            continue
        if settings.setdefault(name, value) != value:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} {value} and --set {name}={settings[name]} differ: give one of them")
    return settings


def _option_fields(system: str | None) -> list[dataclasses.Field[Any]]:
    """Return the settings that the command line has options for."""
    import dataclasses

    from ..train import RunSettings, system_named, system_names

    groups = (RunSettings, system_named(system or system_names()[0]).Settings)
    return [field for group in groups for field in dataclasses.fields(group) if field.metadata["option"]]


def _started(arguments: argparse.Namespace, settings: dict[str, str]) -> Trainer:
    """Return the trainer of a new run, or of the one to resume."""
    from ..device import require_cuda
    from ..train import ConfigError, TrainConfig, Trainer, from_recipe, open_training_data

    if arguments.resume is not None:
        for option in ("system", "out", "config", "recipe"):
            if getattr(arguments, option) is not None:
                name = option if option == "system" else f"--{option}"
                raise ConfigError(f"{name} is for a new run, --resume for an old one: give one of them")
        return Trainer.resume(
            arguments.resume,
            settings=settings,
            quiet=arguments.quiet,
            open_judge=_judge_opener(arguments.quiet),
            on_notice=_notice,
        )
    if arguments.config is None:
        config = from_recipe(arguments.system, arguments.recipe, settings.get("data"))
    elif arguments.recipe is None:
        config = TrainConfig.from_json(arguments.config)
        if arguments.system not in (None, config.system):
            raise ConfigError(
                f"{arguments.config} is of system {config.system}, not {arguments.system}: leave {arguments.system} out"
            )
    else:
        raise ConfigError("--config and --recipe are two places to start from: give one of them")
    config = config.with_overrides(settings)
    if config.run.device == "cuda":
        require_cuda()  # before the data, which may be a download
    dataset = open_training_data(config, quiet=arguments.quiet)
    return Trainer.start(
        config,
        arguments.out or _fresh_folder(config),
        dataset,
        open_judge=_judge_opener(arguments.quiet),
        on_notice=_notice,
    )


def _judge_opener(quiet: bool) -> OpenJudge:
    """Return what the trainer calls if the run is to be judged: an evaluator may have to be trained first."""

    def open_it(system: System, dataset: Dataset, n: int) -> Judge:
        from .progress import stages

        with stages(quiet=quiet) as progress:
            return system.judge(dataset, n, on_progress=progress, on_notice=_notice)

    return open_it


def _fresh_folder(config: TrainConfig) -> Path:
    """Return runs/<data>, or runs/<system>-<data> where another system learns from it by default; numbered if taken."""
    from ..train import system_for

    data = config.run.data
    name = Path(data).resolve().name.split(".")[0] or "run"
    if config.system != system_for(data):
        name = f"{config.system}-{name}"
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

    run, first = trainer.config.run, trainer.step
    if first == run.steps:
        print(f"{trainer.out} is at step {first:,} already: give more --steps to go on with it")
        return 0
    if not quiet:
        print(_introduction(trainer), file=sys.stderr)
    try:
        with display(run.steps, first, run.batch, trainer.game.system.status, quiet=quiet) as shown:
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
    dataset, system = trainer.dataset, trainer.game.system
    sizes = f", {' x '.join(map(str, dataset.shape))}" if len(dataset.shape) > 1 else ""
    weights = ", ".join(
        f"{name} {sum(parameter.size for parameter in network.parameters()):,}"
        for name, network in system.networks.items()
    )
    return f"{dataset.name}: {len(dataset):,} {system.kind}{sizes}; weights: {weights}; run {trainer.out}"


def _conclusion(trainer: Trainer) -> str:
    out, system = trainer.out, trainer.game.system
    files = {"samples": out / "samples" / f"step-{trainer.step:06d}.png", "curves": out / "curves.png"}
    lines = [f"{f'{name}:':<8} {path}" for name, path in (files | system.files(out)).items()]
    first, *more = system.next_commands(out)
    lines += [f"quality: scratchgan evaluate {out}", f"more:    {first}"]
    return "\n".join(lines + [f"         {command}" for command in more])


def _notice(text: str) -> None:
    print(f"scratchgan train: {text}", file=sys.stderr)
