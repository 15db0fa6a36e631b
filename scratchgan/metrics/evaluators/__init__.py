"""Networks that judge images: trained here, on this project's own autograd, and tested before they score anything."""

from .classifier import Classifier
from .evaluator import Evaluator, ModeEvaluator, OnProgress
from .factors import FactorRegressor
from .identity import IdentityEmbedding
from .landmarks import LandmarkRegressor
from .segmenter import Segmenter
from .store import cache_folder, load_evaluator, open_evaluator, save_evaluator

__all__ = [
    "Classifier",
    "Evaluator",
    "FactorRegressor",
    "IdentityEmbedding",
    "LandmarkRegressor",
    "ModeEvaluator",
    "OnProgress",
    "Segmenter",
    "cache_folder",
    "load_evaluator",
    "open_evaluator",
    "save_evaluator",
]
