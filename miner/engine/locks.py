"""A folder for one process at a time, without a file in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from miner.engine.atomic import cannot_write
from miner.engine.remote import AnyPath
from miner.errors import MinerError


@contextmanager
def folder_lock(folder: AnyPath) -> Iterator[None]:
    """Lock a local folder, which is made for that; one that is still empty afterwards goes again. No store can be locked.

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
