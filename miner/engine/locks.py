"""Folders for one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from miner.engine.atomic import cannot_write
from miner.engine.remote import AnyPath
from miner.errors import MinerError


@contextmanager
def cache_lock(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache, which is made for that: one process at a time fills it, and others wait.

    Raises:
        MinerError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(f"The cache {folder}", folder, error, "Set MINER_CACHE to a folder.") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
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
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise MinerError(
            f"Another miner command is writing {folder}. Wait for it, or choose another with --to."
        ) from error
