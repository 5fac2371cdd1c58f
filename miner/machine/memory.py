"""Sizes in bytes, as people write them and as the machine has them."""

import os
import re
import resource
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


def peak_bytes() -> int:
    """The most memory that this process had at once. On Linux, `getrusage` would count that of the process which started it."""
    if (peak := _kilobytes(Path("/proc/self/status"), "VmHWM")) is not None:
        return peak * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def default_bytes() -> int:
    """What a stage may use if nothing is said: a share of the memory that is free now."""
    return int(_SHARE_OF_FREE * _available_bytes())


def _available_bytes() -> int:
    available = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if available is None else available * 1024


def _kilobytes(path: Path, name: str) -> int | None:
    """A line such as `name:  123 kB` of a file of Linux; None where there is no such file or line."""
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return None


def free_memory_bytes() -> int:
    """Memory that this process may still take: of the machine, or of its control group if that is less."""
    limits = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        limits = [int(fields["MemAvailable"].split()[0]) * 1024]
    group, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if group.exists() and used.exists() and (limit := group.read_text().strip()) != "max":
        limits.append(max(0, int(limit) - int(used.read_text())))
    return min(limits)
