"""Hand-written array kernels: arrays in, arrays out, no autograd.

Every public function takes NumPy arrays (C order is arranged here, never assumed of the caller), checks them
once, allocates the result unless ``out=`` is given, and runs a Numba kernel. Images are N,C,H,W; convolution
weights O,C/groups,kH,kW. float32 and float64 come back as they went in, and mixing them raises.

One folder holds one family of operators: ``reference.py`` (loops that are obviously right), ``cpu.py`` (the
Numba kernel) and ``__init__.py`` (validation, allocation, launch). Importing this package imports no Numba:
a kernel is loaded, and compiled or read from the cache, the first time that it is called.
"""

if __name__ != "scratchgan.kernels":
    raise ImportError(
        f"this package was imported as {__name__!r}, but it is scratchgan.kernels: install the checkout "
        "(pip install -e .) and write `from scratchgan import kernels`"
    )

from collections.abc import Callable
from contextlib import AbstractContextManager

from . import memory
from .activation import leaky_relu, leaky_relu_grad
from .conv import conv2d, conv2d_input_grad, conv2d_weight_grad, conv_transpose2d
from .linalg import matmul
from .loss import bce_with_logits
from .modulation import scale_shift, scale_shift_grad
from .norm import batch_norm, batch_norm_grad, channel_sum
from .optimizer import adam_numbers, adam_step, ema_update, foreach_adam_step, foreach_ema_update, foreach_square_sum
from .pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_gather, max_pool2d_grad
from .resampling import resample_axis
from .sampling import sample_pixels, sample_pixels_input_grad, sample_pixels_weight_grad
from .segment import segment_sum
from .upfirdn import upfirdn2d, upfirdn2d_grad
from .upsample import (
    upsample_bilinear2d,
    upsample_bilinear2d_grad,
    upsample_nearest2d,
    upsample_nearest2d_grad,
)
from .upsample_conv import upsample_conv2d, upsample_conv2d_input_grad, upsample_conv2d_weight_grad


def set_num_threads(count: int) -> None:
    """Run the kernels that this thread calls on ``count`` threads, 1 to the number of cores (or NUMBA_NUM_THREADS).

    Raises TypeError or ValueError for anything else. Results have the same bits at a given count.
    """
    from . import jit

    jit.set_num_threads(count)


def get_num_threads() -> int:
    """Return the number of threads for the kernels that this thread calls; at first all cores."""
    from . import jit

    return jit.get_num_threads()


def release_memory() -> None:
    """Hand memory that is kept for the results to come, and in use by no array, back to the operating system.

    Large results use the memory of earlier ones that are gone (``memory.py`` says why). It is never more than was in
    use at one time, but for what lies unused between parts that are.
    """
    memory.HEAP.release()


def on_compile(callback: Callable[[str], None]) -> AbstractContextManager[None]:
    """Call ``callback`` with a kernel's name, such as "norm.batch_norm", whenever its compilation starts.

    A kernel is compiled at its first call with new argument types and then read from the cache, which calls nothing.
    Compiling takes a second or so, and the callback is there to tell the user. It is active within the block::

        with kernels.on_compile(lambda name: print(f"compiling {name}")):
            train()
    """
    from . import jit

    return jit.on_compile(callback)


def compile_ahead() -> AbstractContextManager[None]:
    """Within the block, let a second process compile what a float32 GAN needs, if nothing was compiled yet.

    A first training on two cores then waits for the compiler for two thirds of the time; later ones are not affected.
    """
    from . import ahead

    return ahead.compiling()


__all__ = [
    "adam_numbers",
    "adam_step",
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_norm",
    "batch_norm_grad",
    "bce_with_logits",
    "channel_sum",
    "compile_ahead",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "ema_update",
    "foreach_adam_step",
    "foreach_ema_update",
    "foreach_square_sum",
    "get_num_threads",
    "leaky_relu",
    "leaky_relu_grad",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_grad",
    "on_compile",
    "release_memory",
    "resample_axis",
    "sample_pixels",
    "sample_pixels_input_grad",
    "sample_pixels_weight_grad",
    "scale_shift",
    "scale_shift_grad",
    "segment_sum",
    "set_num_threads",
    "upfirdn2d",
    "upfirdn2d_grad",
    "upsample_bilinear2d",
    "upsample_bilinear2d_grad",
    "upsample_conv2d",
    "upsample_conv2d_input_grad",
    "upsample_conv2d_weight_grad",
    "upsample_nearest2d",
    "upsample_nearest2d_grad",
]
