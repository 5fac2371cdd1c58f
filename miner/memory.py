"""Sizes in bytes, as people write them and as the machine has them."""

import ctypes
import os
import re
import sys
from pathlib import Path

_UNITS = ("", "k", "m", "g", "t")
_SHARE_OF_FREE = 0.6


def parse_bytes(text: str) -> int:
    """A size such as 512MB, 8GB, 1.5g or 1000000; units are powers of 1,000, or of 1,024 with an i (GiB).

    Raises:
        ValueError: it is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size; write it like 512MB or 8GB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS.index(match[2]))


def give_back_freed() -> None:
    """Hand memory that was freed, but kept for later by the C library, back to the system. Does nothing where that is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def default_bytes() -> int:
    """What a stage may use if nothing is said: a share of the memory that is free now."""
    return int(_SHARE_OF_FREE * _available_bytes())


def _available_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
