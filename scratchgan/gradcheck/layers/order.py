"""Every layer, cheapest first: each catches what the ones before it cannot."""

from __future__ import annotations

from . import (
    another_point,
    backends,
    complex_step,
    contract,
    differences,
    exact_adjoint,
    kinks,
    oracle,
    precision,
    random_adjoint,
    taylor,
)
from .layer import Layer

ORDER: tuple[Layer, ...] = (
    contract.LAYER,
    exact_adjoint.LAYER,
    random_adjoint.LAYER,
    precision.LAYER,
    differences.LAYER,
    kinks.LAYER,
    complex_step.LAYER,
    another_point.LAYER,
    oracle.LAYER,
    backends.LAYER,
)
#: Run only where it is asked for by name: it says what kind of error there is, but cannot see a small one.
DIAGNOSES: tuple[Layer, ...] = (taylor.LAYER,)
