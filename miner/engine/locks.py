"""Folders for one process at a time."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from miner.engine.atomic import cannot_write
from miner.engine.remote import AnyPath
from miner.errors import MinerError

# What file systems answer that have no such locks: Lustre without the option flock, NFS without a lock service, NFS for folders.
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL}


def take_lock(handle: IO[bytes] | IO[str] | int, kind: int, folder: Path) -> None:
    """`fcntl.flock`, without which a command goes on where the file system has no locks; it says so once.

    Args:
        handle: an open file, or its descriptor.
        kind: `fcntl.LOCK_EX` or `fcntl.LOCK_SH`, with `fcntl.LOCK_NB` for not waiting.
        folder: what the lock is for.
    Raises:
        OSError: another process has it.
    """
    try:
        fcntl.flock(handle, kind)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _say_that_nothing_locks(folder, error.strerror)


@cache
def _say_that_nothing_locks(folder: Path, reason: str) -> None:
    print(
        f"The file system of {folder} has no locks ({reason}), so nothing stops a second miner command there. Run one at a time.",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def cache_lock(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache, which is made for that: one process at a time fills it, and others say that they wait.

    Raises:
        MinerError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(f"The cache {folder}", folder, error, "Set MINER_CACHE to a folder.") from error
    with handle:
        try:
            take_lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, folder)
        except BlockingIOError:
            print(f"waiting for another miner command, which fills {folder}", file=sys.stderr, flush=True)
            take_lock(handle, fcntl.LOCK_EX, folder)
        yield


@contextmanager
def folder_lock(folder: AnyPath) -> Iterator[None]:
    """Lock a local folder without a file in it. It is made for that, and goes again if it is still empty. No store can be locked.

    Raises:
        MinerError: another process has locked it, or it cannot be made.
    """
    if not isinstance(folder, Path):
        yield
        return
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise cannot_write(f"The folder {folder}", folder, error, "Choose another with --to.") from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)
        if not existed:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _lock(descriptor: int, folder: Path) -> None:
    try:
        take_lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, folder)
    except OSError as error:
        raise MinerError(
            f"Another miner command is writing {folder}. Wait for it, or choose another with --to."
        ) from error
