"""Memory for large results, used again instead of being handed back to the operating system.

Fresh memory is not there yet: the system finds and clears every page when it is first written to. For an array of
64 MiB that takes longer than most kernels need to fill it, and the C library gives such an array back as soon as it
is freed, so that the next one starts over. A training step asks for the same sizes in every round. So large results
live in regions that are kept. A region is divided as the requests come; a part that is freed is joined with the free
parts beside it, and the next request takes the smallest part that it fits into:

        region   | in use | free      | in use | free |
                            ^ a request for this much or less; what is left over stays free

A part is freed when the last array that uses it is gone: every array made here, and every view of one, refers to a
`_Part`, whose end Python's reference counting reports. An array that is alive never shares memory with another.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

# Smaller arrays come from NumPy: the C library keeps their memory by itself.
SMALLEST = 1 << 20

# Parts begin at multiples of this, and whole regions have at least so many bytes.
_ALIGNMENT = 4096
_REGION = 64 << 20


class _Part:
    """Bytes of a region that arrays use, for NumPy's array interface; its end gives them back."""

    __slots__ = ("__array_interface__", "_place", "_returned")

    def __init__(self, interface: dict[str, Any], place: tuple[_Region, int, int], returned: deque[Any]):
        self.__array_interface__, self._place, self._returned = interface, place, returned

    def __del__(self) -> None:
        # This runs wherever the last reference is dropped, perhaps in the middle of `Heap.empty`. Appending to a
        # deque is one indivisible step, so it needs no lock.
        self._returned.append(self._place)


def is_ours(owner: Any) -> bool:
    """Whether memory, the last ``base`` of an array, was handed out here."""
    return isinstance(owner, _Part)


class _Region:
    """A piece of memory from the operating system, and its free parts: the size by the offset, in order of offset."""

    __slots__ = ("address", "free", "memory", "size")

    def __init__(self, size: int):
        # Private: a child process gets a copy. By itself Python would share the pages with it, and Linux makes no large
        # ones for those.
        private: dict[str, int] = (
            {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        )
        pages = mmap.mmap(-1, size, **private)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux: pages of 2 MiB cost fewer faults, and fewer look-ups of addresses
            pages.madvise(mmap.MADV_HUGEPAGE)
        self.memory = np.frombuffer(pages, np.uint8)
        self.address: int = self.memory.__array_interface__["data"][0]
        self.size = size
        self.free: list[tuple[int, int]] = [(0, size)]  # (offset, size), ordered; no two touch

    def give(self, index: int, size: int) -> int:
        """Take ``size`` bytes from the start of free part ``index``, and return their offset."""
        offset, available = self.free[index]
        if available == size:
            del self.free[index]
        else:
            self.free[index] = offset + size, available - size
        return offset

    def take_back(self, offset: int, size: int) -> None:
        """Make a part free, joined with its free neighbours."""
        index = next((i for i, (o, _) in enumerate(self.free) if o > offset), len(self.free))
        if index < len(self.free) and self.free[index][0] == offset + size:
            size += self.free.pop(index)[1]
        if index > 0 and sum(self.free[index - 1]) == offset:
            offset, before = self.free.pop(index - 1)
            size += before
            index -= 1
        self.free.insert(index, (offset, size))

    @property
    def unused(self) -> bool:
        return self.free == [(0, self.size)]


class Heap:
    """Regions, and who uses which part of them; any thread may ask and free."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []
        self._returned: deque[tuple[_Region, int, int]] = deque()
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
        """Return an array in C order whose values are whatever was there before."""
        count = 1
        for n in shape:
            count *= n
        size = -(-count * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        with self._lock:
            region, offset = self._find(size)
        interface = {
            "version": 3,
            "shape": tuple(shape),
            "typestr": dtype.str,
            "data": (region.address + offset, False),
        }
        return np.asarray(_Part(interface, (region, offset, size), self._returned))

    def _find(self, size: int) -> tuple[_Region, int]:
        self._collect()
        best: tuple[int, _Region, int] | None = None
        for region in self._regions:
            for index, (_, available) in enumerate(region.free):
                if available >= size and (best is None or available < best[0]):
                    best = available, region, index
        if best is None:
            # What is unused is too small for this request, and goes: all regions together stay near what was in
            # use at one time.
            self._regions = [region for region in self._regions if not region.unused]
            region = _Region(max(size, _REGION))
            self._regions.append(region)
            return region, region.give(0, size)
        return best[1], best[1].give(best[2], size)

    def _collect(self) -> None:
        while self._returned:
            region, offset, size = self._returned.popleft()
            region.take_back(offset, size)

    def release(self) -> None:
        """Hand every region that no array uses back to the operating system."""
        with self._lock:
            self._collect()
            self._regions = [region for region in self._regions if not region.unused]

    def held(self) -> int:
        """Return the number of bytes in all regions."""
        with self._lock:
            return sum(region.size for region in self._regions)


HEAP = Heap()


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Return an uninitialised array in C order, as ``np.empty`` does; a large one in memory that is used again."""
    dtype = np.dtype(dtype)
    count = dtype.itemsize
    for n in shape:
        count *= n
    return np.empty(shape, dtype) if count < SMALLEST else HEAP.empty(shape, dtype)
