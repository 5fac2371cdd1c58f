"""Limits of the process (`ulimit`), said as such where they stop a command."""

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from miner.errors import MinerError

_ANSWER_S = 30
_OUT_OF_MEMORY = ("cannot allocate memory", "can't allocate memory", "failed to map segment", "std::bad_alloc")


def explain_limit(error: BaseException, path: Path | None = None) -> MinerError | None:
    """The error for people if a limit of the process stopped it, while it wrote `path`; None if none did."""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if number in (errno.EMFILE, errno.ENFILE):
        return _stopped("too many files are open at once", "n", _limit(resource.RLIMIT_NOFILE))
    if number == errno.EFBIG:
        size = _limit(resource.RLIMIT_FSIZE)
        return _stopped(f"{path or 'a file'} would become larger than files may be", "f", size and f"{size:,} bytes")
    if "can't start new thread" in text:
        return _stopped("no more threads can be started", "u", _limit(resource.RLIMIT_NPROC))
    if isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        size = _limit(resource.RLIMIT_AS) or _limit(resource.RLIMIT_DATA)
        return _stopped("the memory is used up", "v", size and f"{size:,} bytes")
    return None


def _stopped(what: str, flag: str, limit: object) -> MinerError:
    allowed = f" (`ulimit -{flag}` allows {limit})" if limit else ""
    raised = f"Raise the limit with `ulimit -{flag}`" if limit else "Free some, or use a larger machine"
    return MinerError(
        f"Stopped: {what}{allowed}. Everything finished before is intact. {raised}, and run the same command again; it continues."
    )


def _limit(kind: int) -> int | None:
    soft = resource.getrlimit(kind)[0]
    return None if soft == resource.RLIM_INFINITY else soft


@contextmanager
def answers_in_time() -> Iterator[None]:
    """A context for downloads by libraries that wait for a silent server without end: it gives up after half a minute."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_ANSWER_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
