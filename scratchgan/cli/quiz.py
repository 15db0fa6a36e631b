"""Play "which are real?": pairs and grids of real and generated pictures, in the terminal or as files. A small network,
trained on a few hundred other pictures, answers beside you. At the end an exact test says whether you can tell them
apart. The real pictures are those that no training has seen, where the data has some."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import whole
from .errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from ..quiz import Fakes, Round, Tally
    from ..train import LoadedRun

SUMMARY = "which pictures are real? a game"
EXAMPLES = """\
  scratchgan quiz --fakes runs/fashion-mnist
  scratchgan quiz --fakes runs/a runs/b --data ./photos --rounds 40
  scratchgan quiz --fakes runs/toyfaces --show quiz      pictures as files
  scratchgan quiz --fakes runs/toyfaces --machine        the machine plays alone
"""

_LEARNT = 400  # pictures of each kind that the machine looks at before it plays
_LEAST_LEARNT = 50


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument(
        "--fakes", nargs="+", required=True, metavar="RUN", help="what draws the fakes: runs' folders, or zoo:NAME"
    )
    parser.add_argument("--data", metavar="NAME", help="the real pictures: a data set or a folder (default: the run's)")
    parser.add_argument("--rounds", type=whole(1), default=20, metavar="N", help="how many questions (default: 20)")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of pictures and order (default: 0)")
    parser.add_argument("--show", type=Path, metavar="DIR", help="write each round's pictures as a PNG in this folder")
    parser.add_argument("--machine", action="store_true", help="only the machine plays")
    parser.add_argument(
        "--scores",
        type=Path,
        default=Path("runs/quiz.json"),
        metavar="FILE",
        help="where games are kept (default: runs/quiz.json)",
    )


@dataclass(frozen=True)
class _Drawn:
    """A run as a source of fakes."""

    name: str
    loaded: LoadedRun

    @property
    def data(self) -> str:
        return self.loaded.config.run.data

    def images(self, n: int, seed: int) -> np.ndarray:
        return self.loaded.sample(n, seed)


def _open_fakes(name: str) -> _Drawn:
    from ..systems.zoo import load

    loaded = load(name)
    if loaded.system.kind != "images":
        raise UsageError(f"{name} was trained on {loaded.system.kind}: the quiz is about pictures")
    return _Drawn(name, loaded)


class _Stopped(Exception):
    """The person has had enough."""


def run(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from rich.console import Console

    from ..quiz import Game, ScoresError, Tally, add_game, make_rounds, read_games

    console = Console(highlight=False)
    if arguments.show is None and not arguments.machine and console.color_system is None:
        raise UsageError("pictures need a terminal with colours: give --show DIR, and they are written as files")
    fakes = [_open_fakes(name) for name in arguments.fakes]
    try:
        read_games(arguments.scores)  # before anybody plays for nothing
        real, learnt = _real_pictures(arguments, fakes)
        rounds = make_rounds(real, list(fakes), arguments.rounds, arguments.seed)
    except (ScoresError, ValueError) as error:
        raise UsageError(str(error)) from error
    machine = _machine(learnt, list(fakes), arguments.seed)
    try:
        answers = _play(arguments, console, rounds, machine)
    except _Stopped:
        print(f"scratchgan quiz: stopped before the end of {arguments.rounds} rounds: nothing is kept", file=sys.stderr)
        return 1
    tallies = {who: Tally.of(rounds, given) for who, given in answers.items()}
    game = Game(
        datetime.now(UTC).isoformat(timespec="seconds"),
        arguments.data or fakes[0].data,
        tuple(source.name for source in fakes),
        arguments.seed,
        arguments.rounds,
        tallies,
    )
    games = add_game(arguments.scores, game)
    for who, tally in tallies.items():
        console.print(describe(who, tally))
    earlier = [one.players["you"] for one in games if "you" in one.players and one.data == game.data]
    if "you" in tallies and len(earlier) > 1:
        console.print(f"All your {len(earlier)} games on {game.data}:")
        console.print(describe("you", sum(earlier, Tally())))
    print(f"{arguments.scores}: {len(games)} game{'s' * (len(games) > 1)}")
    return 0


def _real_pictures(arguments: argparse.Namespace, fakes: list[_Drawn]) -> tuple[np.ndarray, np.ndarray]:
    """Return real pictures to ask about, and others for the machine to learn from: uint8 (N,H,W,C)."""
    from ..data import open_dataset
    from ..data.mnist import NAMED_SETS
    from ..quiz.rounds import GRID

    height, width, channels = fakes[0].images(1, 0).shape[1:]
    if height != width:
        raise UsageError(f"{fakes[0].name} draws pictures of {height} x {width}, and data sets are squares")
    source = arguments.data or fakes[0].data
    asked = GRID * arguments.rounds
    options: dict[str, Any] = {"size": height, "channels": channels, "seed": arguments.seed, "quiet": True}
    if source == "toyfaces" or source in NAMED_SETS:
        shown = open_dataset(source, split="test", limit=asked, **options).pixels
        learnt = open_dataset(source, limit=_LEARNT, **options).pixels
    else:  # a folder or a file, which has one split
        import numpy as np

        pixels = open_dataset(source, limit=asked + _LEARNT, **options).pixels
        pixels = pixels[np.random.default_rng(arguments.seed).permutation(len(pixels))]
        shown, learnt = pixels[:asked], pixels[asked:]
    return shown.transpose(0, 2, 3, 1), learnt.transpose(0, 2, 3, 1)


def _machine(learnt: np.ndarray, fakes: list[Fakes], seed: int) -> Any:
    """Return a player that has looked at pictures of both kinds, none asked about later; None if there are too few."""
    import numpy as np

    from ..quiz import ScorePlayer, train_classifier

    if len(learnt) < _LEAST_LEARNT:
        print(
            f"scratchgan quiz: the machine does not play: only {len(learnt)} real pictures are left for it to learn "
            f"from, and it needs {_LEAST_LEARNT}",
            file=sys.stderr,
        )
        return None
    each = -(-len(learnt) // len(fakes))
    # Seeds of rounds are below 2^31, so these pictures are not asked about.
    drawn = [source.images(each, 2**31 + seed + i) for i, source in enumerate(fakes)]
    return ScorePlayer(train_classifier(learnt, np.concatenate(drawn), seed))


def _play(
    arguments: argparse.Namespace, console: Any, rounds: list[Round], machine: Any
) -> dict[str, list[np.ndarray]]:
    """Ask every round; returns each player's answers."""
    if arguments.machine and machine is None:
        raise UsageError("--machine: there are too few real pictures for it to learn from")
    answers: dict[str, list[np.ndarray]] = {} if arguments.machine else {"you": []}
    if machine is not None:
        answers["machine"] = []
    for number, question in enumerate(rounds, 1):
        if arguments.show is not None:
            _write(arguments.show, number, question)
        truth = _names(question.real)
        outcome = f"real: {truth}"
        if not arguments.machine:
            console.rule(f"round {number} of {len(rounds)}")
            answers["you"].append(_ask(arguments, console, number, question))
            outcome += f"   you: {_right(answers['you'][-1], question)}"
        if machine is not None:
            answers["machine"].append(machine.answer(question))
            outcome += f"   machine said {_names(answers['machine'][-1])}: {_right(answers['machine'][-1], question)}"
        if not arguments.machine:
            console.print(outcome)
    return answers


def _write(folder: Path, number: int, question: Round) -> None:
    from ..train.pictures import image_grid, save_png

    folder.mkdir(parents=True, exist_ok=True)
    text = {"Source": f"a round of scratchgan quiz: real pictures, and generated (synthetic) ones by {question.source}"}
    scale = max(1, 256 // max(question.images.shape[1:3]))
    save_png(folder / f"round_{number:02}.png", image_grid(question.images, len(question.images), scale), text)


def _ask(arguments: argparse.Namespace, console: Any, number: int, question: Round) -> np.ndarray:
    """Show a round and read which pictures are called real, until the answer is one."""
    import numpy as np

    from ..quiz import side_by_side

    if arguments.show is not None:
        console.print(f"{arguments.show / f'round_{number:02}.png'}, from left to right")
    else:
        for line in side_by_side(question.images, console.width):
            console.print(line)
    count = len(question.images)
    pair = question.kind == "pair"
    ask = "One is real. Which? " if pair else f"Which are real? (numbers of 1 to {count}, 0 for none) "
    while True:
        console.print(ask, end="")
        text = sys.stdin.readline()
        if not text:
            raise _Stopped
        try:
            numbers = {int(part) for part in text.replace(",", " ").split()}
        except ValueError:
            numbers = set()
        if numbers == {0} and not pair:
            numbers = set()
        elif not numbers or not numbers <= set(range(1, count + 1)) or (pair and len(numbers) != 1):
            console.print("Type 1 or 2." if pair else "Type numbers with blanks between them, such as 1 3, or 0.")
            continue
        return np.isin(np.arange(1, count + 1), list(numbers))


def _names(real: np.ndarray) -> str:
    return " ".join(str(i + 1) for i, one in enumerate(real) if one) or "none of them"


def _right(answer: np.ndarray, question: Round) -> str:
    right = int((answer == question.real).sum())
    if question.kind == "pair":
        return "right" if right == 2 else "wrong"
    return f"{right} of {len(answer)} right"


def describe(who: str, tally: Tally) -> str:
    """Return what a tally proves, in sentences."""
    verdict = tally.verdict()
    low, high = verdict.interval
    person = who == "you"
    says = {
        "tells": "you can tell." if person else "it can tell.",
        "fooled": "you are fooled: what you take for real is generated."
        if person
        else "it is fooled: what it takes for real is generated.",
        "cannot tell": "you can't tell." if person else "it can't tell.",
        "says all are real": "you call every picture real: that is no answer."
        if person
        else "it calls every picture real.",
        "says all are fake": "you call no picture real: that is no answer." if person else "it calls no picture real.",
    }[verdict.kind]
    share = tally.right / tally.trials if tally.trials else 0.0
    text = (
        f"{who}: {tally.right} of {tally.trials} right, {share:.0%} (95 % interval {low:.0%} to {high:.0%}; "
        f"a coin is as far off with a chance of {verdict.p_value:.2g}): {says}"
    )
    if tally.all_fake:
        text += f"\n  rounds with nothing real: {tally.surprises} of {tally.all_fake} pictures called real"
    return text
