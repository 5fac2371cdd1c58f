"""The C library's allocator: large blocks that are freed and asked for again with every batch."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next batch; nothing where there is another C library.

    By default it gives blocks of more than 32 MB back to the system at once, so that every layer of every batch has the system
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
