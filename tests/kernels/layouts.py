"""What every kernel is handed sooner or later: the same values in other memory, and other thread counts."""

from collections.abc import Callable, Iterator

import numpy as np

from scratchgan import kernels
from scratchgan.kernels import jit


def layouts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield arrays equal to ``array`` that are read-only, transposed, with gaps, and with negative strides."""
    frozen = array.copy()
    frozen.setflags(write=False)
    yield frozen
    yield np.asfortranarray(array)
    gaps = np.full([2 * n for n in array.shape], 77, array.dtype)
    every_second = (slice(None, None, 2),) * array.ndim
    gaps[every_second] = array
    yield gaps[every_second]
    yield np.flip(np.flip(array).copy())


def assert_any_layout(operator: Callable[..., object], *arrays: np.ndarray) -> None:
    """The operator must give the same bits whatever the layout of its arrays, and leave them as they were."""
    expected = _bits(operator(*arrays))
    for k, array in enumerate(arrays):
        for other in layouts(array):
            before = other.copy()
            assert _bits(operator(*arrays[:k], other, *arrays[k + 1 :])) == expected
            np.testing.assert_array_equal(other, before)


def assert_same_bits(operator: Callable[[], object]) -> None:
    """The operator must give the same bits when run again and on one thread; its arrays must be large."""
    threads = kernels.get_num_threads()
    expected = _bits(operator())
    try:
        for count in (threads, 1):
            kernels.set_num_threads(count)
            assert _bits(operator()) == expected
    finally:
        kernels.set_num_threads(threads)


LARGE = (4, 9, 48, 48)
assert np.prod(LARGE) > jit.SERIAL_BELOW, "LARGE must be large enough for more than one thread"


def _bits(result: object) -> list[bytes]:
    arrays = result if isinstance(result, tuple) else (result,)
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


def integers(seed: int, shape: tuple[int, ...], dtype: type, largest: int = 8) -> np.ndarray:
    """Return small integers: sums and products of them are exact, so any order of summation gives the same bits."""
    return np.random.default_rng(seed).integers(-largest, largest + 1, shape).astype(dtype)


def eps(dtype: type | np.dtype) -> float:
    """Return the distance from 1 to the next larger number of ``dtype``."""
    return float(np.finfo(dtype).eps)
