"""The C library's allocator: large blocks that are freed and asked for again with every batch. Nothing where it is not glibc."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = (1 << 31) - 1


def share_one_heap() -> None:
    """Have all threads allocate from the heap of the process; to be called before any thread is started.

    By default each thread gets heaps of its own of at most 64 MB, which go back to the system whenever they are empty, whatever
    `keep_freed_memory` asks for.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Have the heap of the process keep what is freed, for the next batch.

    By default blocks of more than 32 MB go back to the system at once, so that every layer of every batch has the system
    clear fresh pages, which costs as much time as the arithmetic. Peak memory stays the same.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def give_back_memory() -> None:
    """Return what is kept and unused to the system."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
