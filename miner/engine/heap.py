"""Settings of glibc's allocator for programs that free and allocate large blocks with every batch. No effect elsewhere."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST = (1 << 31) - 1


def share_one_heap() -> None:
    """Let all threads allocate from the heap of the process. Call it before any thread starts.

    By default each thread has heaps of its own of at most 64 MB. An empty one goes back to the system, also after
    `keep_freed_memory`.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Let the heap of the process keep freed memory for the next batch.

    By default blocks of more than 32 MB go back to the system at once. The system then clears fresh pages for every layer of
    every batch, which takes as much time as the arithmetic. Peak memory stays the same.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def give_back_memory() -> None:
    """Return memory that the heap keeps but does not use to the system."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
