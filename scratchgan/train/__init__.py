"""Training: the config, the losses, the loop, and what a run leaves behind.

config = TrainConfig(data="fashion-mnist", steps=3000)
with Trainer(config, "runs/fashion", open_training_data(config)) as trainer:
    trainer.run(on_step=lambda step, metrics: print(step, metrics["loss_g"]))
images = load_run("runs/fashion").sample(64, seed=1)
"""

from .config import RESUMABLE, ConfigError, TrainConfig
from .folder import TrainError
from .loaded import LoadedRun, load_run
from .log import read_log
from .loop import Trainer, open_training_data
from .recipes import RECIPES, recipe

__all__ = [
    "RECIPES",
    "RESUMABLE",
    "ConfigError",
    "LoadedRun",
    "TrainConfig",
    "TrainError",
    "Trainer",
    "load_run",
    "open_training_data",
    "read_log",
    "recipe",
]
