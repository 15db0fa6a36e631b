"""The quiz "which are real?": rounds of real and generated pictures, players, and what their answers prove."""

from .drawing import half_blocks, side_by_side
from .players import Player, ScorePlayer, train_classifier
from .rounds import Fakes, Round, make_rounds
from .scores import Game, ScoresError, add_game, read_games
from .statistics import clopper_pearson, coin_p_value
from .tally import Tally, Verdict

__all__ = [
    "Fakes",
    "Game",
    "Player",
    "Round",
    "ScorePlayer",
    "ScoresError",
    "Tally",
    "Verdict",
    "add_game",
    "clopper_pearson",
    "coin_p_value",
    "half_blocks",
    "make_rounds",
    "read_games",
    "side_by_side",
    "train_classifier",
]
