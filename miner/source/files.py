"""Which files a pattern names, what to call them, and bytes out of their middle; local paths and fsspec URLs alike."""

import os
import posixpath
from collections.abc import Sequence
from functools import lru_cache
from typing import IO, Any

import braceexpand
import fsspec

from miner.errors import MinerError
from miner.source.base import as_os_error, check_size


def expand(spec: str, kind: str) -> list[str]:
    """URLs of the files that braces (`{000..009}`) and globs name: in the order of the braces, sorted within a glob.

    Args:
        spec: a path or URL.
        kind: what the files are, for the error.
    Raises:
        MinerError: one of the patterns names no file.
    """
    urls: dict[str, None] = {}
    for pattern in braceexpand.braceexpand(spec):
        files, path = fsspec.core.url_to_fs(pattern)
        found = sorted(files.glob(path)) if "*" in path or "?" in path else [path] * files.exists(path)
        if not found:
            raise MinerError(f"There is no {kind} {pattern}. Check the path and the range in {spec}.")
        urls |= dict.fromkeys(files.unstrip_protocol(item) for item in found)
    return list(urls)


def short_names(urls: Sequence[str]) -> list[str]:
    """A name for each file that no other has: its own, or its path below the folder that all share if two are called alike.

    The names do not depend on the order of the files.
    """
    names = [url.rpartition("/")[2] for url in urls]
    if len(set(names)) == len(names):
        return names
    shared = len(posixpath.commonpath([url.rpartition("/")[0] for url in urls])) + 1
    return [url[shared:] for url in urls]


def read_range(url: str, start: int, size_bytes: int) -> bytes:
    """Bytes out of the middle of a file.

    Raises:
        OSError: the file is gone, ends early, or the range is larger than any image may be.
    """
    check_size(size_bytes)
    files, path, local = _place(url)
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
    """All bytes of a local file, with as few calls as can be.

    Args:
        path: of the file.
        size_bytes: that it had when it was listed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, size_bytes + 1)
        if len(data) == size_bytes:
            return data
        parts = [data]
        while parts[-1]:
            parts.append(os.read(descriptor, 1 << 20))
        return b"".join(parts)
    finally:
        os.close(descriptor)


@lru_cache(64)
def _opened(path: str, inode: int) -> IO[bytes]:
    """A file that was used lately; another file under the same name has another inode."""
    return open(path, "rb", buffering=0)  # noqa: PTH123


@lru_cache(4096)
def _place(url: str) -> tuple[Any, str, bool]:
    """File system and path of a URL, and whether it is local."""
    files, path = fsspec.core.url_to_fs(url)
    return files, path, isinstance(files, fsspec.get_filesystem_class("file"))
