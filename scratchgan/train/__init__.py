"""Training: the settings, what a system is, the loop, and what a run leaves behind.

config = TrainConfig("gan", data="fashion-mnist", steps=3000)
with Trainer.start(config, "runs/fashion", open_training_data(config)) as trainer:
    trainer.run(on_step=lambda step, metrics: print(step, metrics["loss_g"]))
images = load_run("runs/fashion").sample(64, seed=1)
"""

from .config import RunSettings, TrainConfig, from_recipe
from .curves import Panel
from .folder import TrainError
from .game import Batches, Game, Update
from .loaded import LoadedRun, load_run
from .log import read_log
from .loop import Trainer, open_training_data
from .registry import register, system_for, system_named, system_names
from .settings import ConfigError, Settings, setting
from .system import Inputs, Networks, System, Watch, Wish, random_streams

__all__ = [
    "Batches",
    "ConfigError",
    "Game",
    "Inputs",
    "LoadedRun",
    "Networks",
    "Panel",
    "RunSettings",
    "Settings",
    "System",
    "TrainConfig",
    "TrainError",
    "Trainer",
    "Update",
    "Watch",
    "Wish",
    "from_recipe",
    "load_run",
    "open_training_data",
    "random_streams",
    "read_log",
    "register",
    "setting",
    "system_for",
    "system_named",
    "system_names",
]
