"""Games that were played, in a JSON file that is replaced in one instant."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..train.atomic import write_atomically
from .tally import Tally


class ScoresError(Exception):
    """A file of scores that can't be used; the message is one line that says what to do."""


@dataclass(frozen=True)
class Game:
    """One game: ``when`` (ISO 8601, UTC), names of the data and the fakes, the seed, and each player's tally."""

    when: str
    data: str
    fakes: tuple[str, ...]
    seed: int
    rounds: int
    players: dict[str, Tally]


def read_games(path: Path) -> list[Game]:
    """Return the games in a file, none if there is no file. Raises ScoresError for a file that is no quiz's."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise ScoresError(_foreign(path, "it is no text")) from error
    try:
        document = json.loads(text)
        return [
            Game(
                str(game["when"]),
                str(game["data"]),
                tuple(map(str, game["fakes"])),
                int(game["seed"]),
                int(game["rounds"]),
                {str(name): Tally(**tally) for name, tally in game["players"].items()},
            )
            for game in document["quiz"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScoresError(_foreign(path, f"{type(error).__name__}: {error}")) from error


def add_game(path: Path, game: Game) -> list[Game]:
    """Add a game to a file, which is made if it is missing, and return all. Raises ScoresError or OSError."""
    games = [*read_games(path), game]
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"quiz": [asdict(one) for one in games]}
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    return games


def _foreign(path: Path, why: str) -> str:
    return f"{path} holds no scores of the quiz ({why}): move it away, or give another file with --scores"
