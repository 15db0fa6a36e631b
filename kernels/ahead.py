"""Compile kernels in a second process, so that two cores share the wait at the first start of all.

Numba compiles one function at a time in a process, for it holds Python's lock, and all that a convolutional GAN needs
takes 30 to 75 s. So while a training starts, a process beside it compiles the same kernels into the same cache, **the
last needed first**: the two meet in the middle, and what one has compiled the other reads. Neither waits for the other,
and if the second fails, all is as it would be without it.

    python -m scratchgan.kernels.ahead      what that process runs
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np

import scratchgan.kernels as kernels


def usable_cores() -> int:
    """Return the number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Start that process, if nothing was compiled yet and there is a second core; it ends with the block."""
    from . import jit

    if usable_cores() < 2 or not sys.executable or not jit.cache_is_empty():
        yield
        return
    quiet = subprocess.DEVNULL
    helper = subprocess.Popen([sys.executable, "-m", __name__], stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def _calls() -> list[Callable[[], object]]:
    """The kernels of a training step from its end to its beginning, but for the tiles, with which a step begins."""
    pixels = np.ones((2, 16, 8, 8), np.float32)
    one = np.ones((2, 1, 8, 8), np.float32)
    wide, to_one, from_one = (np.ones((o, c, 3, 3), np.float32) for o, c in ((16, 16), (1, 16), (16, 1)))
    channel = np.ones(16, np.float32)
    four = [[channel.copy()] for _ in range(4)]
    return [
        lambda: kernels.foreach_adam_step(*four, step=1, lr=1e-3, beta1=0.0, beta2=0.99, eps=1e-8),
        lambda: kernels.foreach_square_sum([channel]),
        lambda: kernels.foreach_ema_update([channel], [channel], 0.9),
        lambda: kernels.conv2d_weight_grad(pixels, pixels, (3, 3), padding=1),
        lambda: kernels.channel_sum(pixels),
        lambda: kernels.batch_norm_grad(pixels, pixels, channel, channel, channel, channel),
        lambda: kernels.leaky_relu_grad(pixels, pixels, 0.2),
        lambda: kernels.conv2d(pixels, to_one, padding=1),
        lambda: kernels.conv2d(pixels, wide, padding=1),
        lambda: kernels.conv2d(one, from_one, padding=1),
        lambda: kernels.leaky_relu(pixels, 0.2),
        lambda: kernels.batch_norm(pixels, channel, channel, 1e-5),
    ]


if __name__ == "__main__":
    for call in _calls():
        call()
