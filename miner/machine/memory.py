"""Sizes in bytes: as options state them, and of this machine's memory."""

import os
import re
import resource
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

from miner.errors import MinerError

_UNITS = ("", "k", "m", "g", "t")
_one_large = threading.RLock()
# By limit of this process (`ulimit -v`, `ulimit -d`): the name of its usage in /proc/self/status.
_LIMITS = {resource.RLIMIT_AS: "VmSize:", resource.RLIMIT_DATA: "VmData:"}
_SHARE_OF_FREE = 0.6
# By controller ("" is version 2): the files of a control group that hold its limit and its usage, and the name in memory.stat of
# the part of the usage that is file cache, which the kernel drops when memory is wanted.
_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def parse_bytes(text: str) -> int:
    """A size such as 512MB, 8GB, 1.5g or 1000000; units are powers of 1,000, or of 1,024 with an i (GiB).

    Raises:
        ValueError: it is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size; write it like 512MB or 8GB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS.index(match[2]))


def format_bytes(size_bytes: int) -> str:
    """Bytes in decimal units: 1,234,567 is 1.2 MB."""
    amount, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def peak_bytes() -> int:
    """The most memory that this process held at once, in bytes."""
    # On Linux, getrusage would include the process that started this one.
    if (peak := _number(Path("/proc/self/status"), "VmHWM:")) is not None:
        return peak * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def default_bytes() -> int:
    """The memory that a stage may use if no option says how much: a share of the free memory."""
    return int(_SHARE_OF_FREE * free_bytes())


def free_bytes(root: Path = Path("/")) -> int:
    """Memory in bytes that this process may still take: of the machine, its control groups or its own limits, the least."""
    available = _number(root / "proc/meminfo", "MemAvailable:")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if available is None else available * 1024
    return min([machine, *_left_in_groups(root), *_left_of_limits(root)])


def refuse_large_network(path: Path, *others: Path) -> None:
    """Refuse the file of a network, and the files that it needs, before they are read.

    Raises:
        MinerError: they take more than half of the free memory; of a packed file the unpacked size counts.
    """
    size, free = sum(file.stat().st_size for file in (path, *others)), free_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > free // 2:
        raise MinerError(
            f"{path} takes {format_bytes(size)} of memory, and {format_bytes(free)} are free. A network may take half of that. "
            "Use a smaller network, or a larger machine."
        )


def alone_if_large(size_bytes: int) -> AbstractContextManager[object]:
    """A context for work that takes so many bytes of memory. One thread at a time does work that is large for this process."""
    return _one_large if size_bytes > _large_bytes() else nullcontext()


def _large_bytes() -> int:
    """What each core may take at the same time as the others."""
    return bytes_for_images() // (4 * (os.cpu_count() or 1))


@cache
def bytes_for_images() -> int:
    """The memory that was free when this process first asked, because freed memory of an image may stay with the process."""
    return free_bytes()


def _left_of_limits(root: Path) -> Iterator[int]:
    for limit, usage in _LIMITS.items():
        most, used_kb = resource.getrlimit(limit)[0], _number(root / "proc/self/status", usage)
        if most != resource.RLIM_INFINITY and used_kb is not None:
            yield max(0, most - used_kb * 1024)


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each memory control group of this process leaves free: its own group, and every group above it."""
    for line in ["0::/", "0:memory:/", *_text(root / "proc/self/cgroup").splitlines()]:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        for name in _FILES.keys() & controllers.split(","):
            mount = root / "sys/fs/cgroup" / name
            own = mount / group.lstrip("/")
            limit_name, usage_name, cache_name = _FILES[name]
            for folder in (own, *own.parents):
                limit, usage = _number(folder / limit_name), _number(folder / usage_name)
                if folder.is_relative_to(mount) and limit is not None and usage is not None:
                    yield max(0, limit - usage + (_number(folder / "memory.stat", cache_name) or 0))


def _number(path: Path, name: str | None = None) -> int | None:
    """The number behind a name in a file of Linux, or the first word if no name is given; None if there is no number."""
    words = _text(path).split()
    try:
        return int(words[0 if name is None else words.index(name) + 1])
    except (ValueError, IndexError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
