"""Bytes of files, and out of the middle of files; local paths and fsspec URLs alike."""

import os
from functools import lru_cache
from typing import IO, Any

from miner.engine import is_local
from miner.source.base import as_os_error, check_size
from miner.source.location import absolute, locate


def read_range(url: str, start: int, size_bytes: int) -> bytes:
    """Bytes out of the middle of a file.

    Raises:
        OSError: the file is gone, ends early, or the range is larger than any image may be.
    """
    check_size(size_bytes)
    files, path, local = _file_system(absolute(url))
    with as_os_error(url):
        if local:
            # Held by name: a file that another thread has pushed out of the cache must not close before it is read.
            file = _opened(path, os.stat(path).st_ino)  # noqa: PTH116
            data = os.pread(file.fileno(), size_bytes, start)
        else:
            data = files.cat_file(path, start=start, end=start + size_bytes)
    if len(data) != size_bytes:
        raise OSError(f"{url} ends early")
    return data


def read_local(path: str, size_bytes: int) -> bytes:
    """All bytes of a local file, in as few calls as possible.

    Args:
        size_bytes: the size of the file when it was listed; it may have changed since.
    Raises:
        OSError: the file is gone, or larger than any image may be.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, size_bytes + 1)
        if len(data) == size_bytes:
            return data
        parts = [data]
        while parts[-1]:
            parts.append(os.read(descriptor, 1 << 20))
            check_size(sum(map(len, parts)))
        return b"".join(parts)
    finally:
        os.close(descriptor)


@lru_cache(64)
def _opened(path: str, inode: int) -> IO[bytes]:
    """One of the files that were used last. Another file of the same name has another inode."""
    return open(path, "rb", buffering=0)  # noqa: PTH123


@lru_cache(4096)
def _file_system(url: str) -> tuple[Any, str, bool]:
    """File system and path of a URL, and whether it is local."""
    files, path = locate(url)
    return files, path, is_local(files)


def read_start(files: Any, path: str, size_bytes: int) -> bytes:
    """The first bytes of a file on a file system of fsspec; b"" if it cannot be read."""
    try:
        return bytes(files.cat_file(path, start=0, end=size_bytes))
    except Exception:  # a store may raise anything
        return b""
