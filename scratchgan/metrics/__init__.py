"""Numbers that say how good generated images are, in the feature space of a network trained here."""

from .classifier import Classifier, train_classifier
from .frechet import frechet_distance

__all__ = ["Classifier", "frechet_distance", "train_classifier"]
