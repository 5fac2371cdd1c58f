"""Files that appear only when they are complete: write aside, fsync, rename."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from miner.engine.limits import explain_limit
from miner.engine.remote import AnyPath, RemotePath
from miner.errors import MinerError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL_BYTES = 1 << 20


def partial_path(path: Path) -> Path:
    """The path for the unfinished bytes of `path`. The name is fixed, so a rerun overwrites what a killed run left."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def committed(path: AnyPath) -> Iterator[Path]:
    """Yield a path to write to. On success its file becomes `path` in one step; on failure nothing remains.

    For a remote path the file is temporary and uploaded at the end; see `miner/engine/remote.py` for how atomic that is.

    Raises:
        MinerError: the disk is full, or the folder cannot be written. What was committed before is untouched.
    """
    if isinstance(path, RemotePath):
        with tempfile.TemporaryDirectory(prefix="miner-") as scratch:
            local = Path(scratch) / path.name
            with committed(local) as partial:
                yield partial
            path.receive(local)
        return
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except BaseException as error:
        explained = explain_write_error(error, path)
        partial.unlink(missing_ok=True)
        if explained is not error:
            raise explained from error
        raise


def explain_write_error(error: BaseException, path: Path) -> BaseException:
    """The error for people if `path` could not be written; other errors come back as they are.

    Some writers (numpy, torch) raise errors of their own on a full disk, so the free space is checked as well.
    """
    if isinstance(error, Exception) and (stopped := explain_limit(error, path)):
        return stopped
    if not isinstance(error, OSError | RuntimeError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    free_bytes = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    if number in _NO_SPACE or (number is None and free_bytes < _FULL_BYTES):
        free_mb = free_bytes / 1e6
        return MinerError(
            f"The disk is full: {path} could not be written ({free_mb:.0f} MB free there). Everything finished before is "
            "intact and nothing half-written remains. Free some space and run the same command again; it continues."
        )
    if number in _REFUSED:
        return MinerError(f"No permission to write {path}. Choose another workspace with -w, or fix its permissions.")
    return error


def cannot_write(what: str, path: Path, error: OSError, advice: str) -> MinerError:
    """The error for people if `path` cannot be made: a full disk and limits as everywhere, anything else with `advice`."""
    known = explain_write_error(error, path)
    if isinstance(known, MinerError) and error.errno not in _REFUSED:
        return known
    return MinerError(f"{what} cannot be written: {error.strerror}. {advice}")


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with committed(path) as partial:
        partial.write_bytes(data)


def write_json(path: AnyPath, record: Any) -> None:
    """Write a record atomically as `json_bytes`."""
    write_bytes(path, json_bytes(record))


def json_bytes(record: Any) -> bytes:
    """A record as sorted, indented JSON; the same record gives the same bytes."""
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # Half of a surrogate pair, which stands for a byte of a path that is not UTF-8, becomes an escape of JSON.
    return (text + "\n").encode("utf-8", "backslashreplace")


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
