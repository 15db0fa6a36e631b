import pytest
from small import small_classifier, small_regressor

from scratchgan.metrics import Classifier, FactorRegressor


@pytest.fixture(scope="session")
def regressor() -> FactorRegressor:
    """A small trained factor regressor; tests only read it."""
    evaluator = small_regressor()
    evaluator.fit()
    return evaluator


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """A small trained classifier of two kinds of bars; tests only read it."""
    evaluator = small_classifier()
    evaluator.fit()
    return evaluator
