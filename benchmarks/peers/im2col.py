"""Columns and a matrix product of NumPy's BLAS, image by image: what most textbooks do. And plain NumPy for `ip`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..descriptor import Problem
from ..problem import Arrays
from ..reference import weighted
from . import Implementation, Unimplemented


class Im2col(Implementation):
    name = "im2col"

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        if problem.op not in ("conv", "deconv", "upconv", "ip"):
            raise Unimplemented(f"{problem.op} is no matrix product")
        return lambda: weighted(problem, arrays)


IMPLEMENTATIONS = [Im2col()]
