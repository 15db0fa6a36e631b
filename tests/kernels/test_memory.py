"""Memory for large results: no two live arrays overlap, what is freed is used again, and nothing else is kept."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import kernels
from scratchgan.kernels import memory
from scratchgan.kernels.conv.memory import workspace
from scratchgan.kernels.memory import HEAP, SMALLEST, Heap

MIB = 1 << 20


def bounds(array: np.ndarray) -> tuple[int, int]:
    start = array.__array_interface__["data"][0]
    return start, start + array.nbytes


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=60))
@settings(deadline=None)
def test_live_arrays_never_overlap_and_all_memory_comes_back(requests: list[tuple[int, int]]) -> None:
    heap, alive = Heap(), {}
    for size, key in requests:  # a key that is taken frees its array
        alive.pop(key, None)
        alive[key] = heap.empty((size * 1000, 700), np.dtype(np.float32))
        ends = sorted(bounds(array) for array in alive.values())
        assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    del alive
    heap._collect()
    assert all(region.unused for region in heap._regions)
    heap.release()
    assert heap.held() == 0


def test_what_is_freed_is_used_again_even_for_two_smaller_ones() -> None:
    heap = Heap()
    a = heap.empty((8 * MIB,), np.dtype(np.float64))
    start, end = bounds(a)
    del a
    b = heap.empty((3 * MIB,), np.dtype(np.float64))
    c = heap.empty((5 * MIB,), np.dtype(np.float64))
    assert {*bounds(b), *bounds(c)} == {start, start + 24 * MIB, end}
    assert heap.held() == 64 * MIB


def test_an_unused_region_that_is_too_small_is_handed_back() -> None:
    heap = Heap()
    heap.empty((70 * MIB,), np.dtype(np.uint8))  # and freed at once
    larger = heap.empty((100 * MIB,), np.dtype(np.uint8))
    assert heap.held() == larger.nbytes


def test_a_view_keeps_the_memory_and_a_part_that_is_in_use_is_not_released() -> None:
    heap = Heap()
    a = heap.empty((4, MIB), np.dtype(np.float32))
    a[...] = 7
    view = a[1:3, ::5].T
    del a
    heap.release()
    other = heap.empty((4, MIB), np.dtype(np.float32))
    other[...] = 8
    assert (view == 7).all()


def test_the_array_is_an_ordinary_one() -> None:
    a = memory.empty((3, 5, SMALLEST // 4), np.float32)
    assert type(a) is np.ndarray
    assert (a.shape, a.dtype) == ((3, 5, SMALLEST // 4), np.float32)
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert a.ctypes.data % 64 == 0
    assert memory.empty((0, 7), np.float64).shape == (0, 7)
    assert memory.empty((), np.float64).shape == ()


def test_threads_get_memory_of_their_own() -> None:
    heap, wrong = Heap(), []

    def work(mark: int) -> None:
        for round_ in range(50):
            a = heap.empty((MIB // 4,), np.dtype(np.int64))
            a[:] = mark * 1000 + round_
            b = heap.empty((MIB // 8,), np.dtype(np.int64))
            b[:] = -1
            if not (a == mark * 1000 + round_).all():
                wrong.append((mark, round_))

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_of_kernels_use_it() -> None:
    x = np.ones((2, MIB), np.float32)
    y = kernels.leaky_relu(x, 0.5)
    start, _ = bounds(y)
    assert any(region.address <= start < region.address + region.size for region in HEAP._regions)
    del y
    assert bounds(kernels.leaky_relu(x, 0.5))[0] == start
    kernels.release_memory()
    np.testing.assert_array_equal(kernels.leaky_relu(x, 0.5), x)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.filterwarnings(r"ignore:os\.fork")  # JAX, if another test has loaded it
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_has_a_copy() -> None:
    a = Heap().empty((MIB,), np.dtype(np.uint8))
    a[:] = 1
    child = os.fork()
    if child == 0:
        a[:] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert (a == 1).all()


def test_a_convolutions_memory_begins_as_zeros_and_holds_one_dtype() -> None:
    """What an uninitialised float32 is can be denormal, and a register with one takes 150 cycles to multiply."""
    found: dict[type, np.ndarray] = {}

    def in_a_new_thread() -> None:
        for dtype in (np.float64, np.float32):
            memory = workspace(1000, np.dtype(dtype))
            assert memory.dtype == dtype
            assert memory.size >= 1000
            assert not memory.any()
            assert bounds(memory)[0] % 64 == 0, "a register would lie in two cache lines"
            memory[:] = np.pi
            found[dtype] = memory
        assert np.shares_memory(workspace(500, np.dtype(np.float32)), found[np.float32])
        assert not np.shares_memory(found[np.float32], found[np.float64])

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_a_new_thread).result()
