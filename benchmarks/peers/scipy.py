"""SciPy's direct correlation, channel by channel: one thread, a baseline and not a rival."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptor import Problem
from ..problem import Arrays
from . import Implementation, Unimplemented


class SciPy(Implementation):
    name = "scipy"
    requires = "scipy>=1.8"
    slow = True
    most_flops = 1e8  # a second

    def build(self, problem: Problem, arrays: Arrays) -> Callable[[], Any]:
        if problem.op != "conv" or not problem.direction.startswith("FWD") or problem.groups > 1:
            raise Unimplemented("only forward convolutions of one group")
        if problem.dilation != (1, 1):
            raise Unimplemented("no dilation")
        from scipy.signal import correlate

        (ph, pw), (sh, sw) = problem.padding, problem.stride
        w, bias = arrays["w"], arrays.get("bias")

        def run() -> np.ndarray:
            padded = np.pad(arrays["x"], ((0, 0), (0, 0), (ph, ph), (pw, pw)))
            y = np.empty((problem.mb, problem.oc, *problem.output), padded.dtype)
            for n in range(problem.mb):
                for o in range(problem.oc):
                    y[n, o] = correlate(padded[n], w[o], "valid", "direct")[0, ::sh, ::sw]
            return y if bias is None else y + bias[:, None, None]

        return run


IMPLEMENTATIONS = [SciPy()]
