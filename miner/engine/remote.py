"""Files on any fsspec file system, with the methods of `pathlib.Path` that a stage needs, and errors of stores for people.

Object stores (s3, gs, az, hf and their like, and `memory`) show an object only after its upload. So files are uploaded under
their own names. On other stores (sftp, hdfs, smb, ...) a file is uploaded under a partial name and renamed. Renaming is one step
if the server can rename; otherwise fsspec copies and deletes.
"""

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from miner.engine.answers import client_options
from miner.errors import MinerError, UsageError

_OBJECT_STORES = frozenset(
    ["s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "b2", "hf", "memory"]
)


@contextmanager
def explained(explain: Callable[[Exception], Exception], *keep: type[Exception]) -> Iterator[None]:
    """Raise an error for people in place of what a store raises inside. Every store raises exceptions of its own.

    Args:
        explain: gives the error for people; an exception that it returns as it is passes.
        keep: kinds of exceptions that pass; a `MinerError` always does.
    """
    try:
        yield
    except Exception as error:
        message = error if isinstance(error, (MinerError, *keep)) else explain(error)
        if message is error:
            raise
        raise message from error


def one_line(error: Exception, length: int = 200) -> str:
    """Kind and message of an exception on one line: `TimeoutError: no answer`."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:length]}"


@dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URL with a protocol, without a slash at the end."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return posixpath.basename(self.url)

    def exists(self) -> bool:
        with self._store("reached") as (files, path):
            return bool(files.exists(path))

    def open(self, mode: str = "rb") -> IO[bytes]:
        with self._store("read") as (files, path):
            return files.open(path, mode)  # type: ignore[no-any-return]

    def read_bytes(self) -> bytes:
        with self.open() as stream:
            return stream.read()

    def unlink(self, missing_ok: bool = False) -> None:
        with self._store("removed") as (files, path):
            if not missing_ok or files.exists(path):
                files.rm_file(path)

    def names(self) -> list[str]:
        """Paths of all files below this folder, relative to it, sorted."""
        with self._store("listed") as (files, root):
            files.invalidate_cache()
            found = files.find(root) if files.isdir(root) else []
        return sorted(path[len(root.rstrip("/")) + 1 :] for path in found)

    def receive(self, local: Path) -> None:
        """Upload a file to this path; see the top of this file for how atomic that is."""
        with self._store("written") as (files, path):
            folder, name = posixpath.split(path)
            partial = path if self.shows_only_whole_files else posixpath.join(folder, f".{name}.partial")
            files.makedirs(folder, exist_ok=True)
            files.put_file(str(local), partial)
            if partial != path:
                files.mv(partial, path)
            files.invalidate_cache()
            if files.size(path) != local.stat().st_size:
                raise OSError("it arrived with another size")

    @property
    def protocol(self) -> str:
        return self.url.partition("://")[0]

    @property
    def shows_only_whole_files(self) -> bool:
        """Whether the store itself makes a file appear only when it is complete."""
        return self.protocol in _OBJECT_STORES

    @contextmanager
    def _store(self, verb: str) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it; its errors say that this path could not be `verb`."""

        def explain(error: Exception) -> MinerError:
            return MinerError(
                f"{self} could not be {verb} ({one_line(error)}). What was finished is kept; the same command continues."
            )

        with explained(explain, FileNotFoundError):
            yield file_system(self.url)


AnyPath = Path | RemotePath


def local_or_remote(where: str) -> AnyPath:
    """The local path or the remote path that a text names.

    Raises:
        UsageError: fsspec knows no such file system, or the package for it is missing.
    """
    if "://" not in where:
        return Path(where)
    files, path = file_system(where)
    return Path(path) if is_local(files) else RemotePath(where.rstrip("/"))


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it.

    Raises:
        UsageError: fsspec knows no such file system, or the package for it is missing.
    """
    import fsspec

    if "://" not in url:  # in a local path, `::` and other signs mean nothing
        return fsspec.filesystem("file"), str(Path(url).expanduser().absolute())
    return _of_url(url)


@cache
def _of_url(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url, **bounded_options(url))
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url} cannot be opened: {error}") from error
    return files, path


def bounded_options(url: str) -> dict[str, Any]:
    """Arguments of `fsspec.core.url_to_fs`, with which no web server sends without end; `simplecache::https://...` too."""
    return {name: {"client_kwargs": client_options()} for name in ("http", "https") if f"{name}://" in url}


def is_local(files: Any) -> bool:
    """Whether a file system of fsspec is that of this machine."""
    import fsspec

    return isinstance(files, fsspec.get_filesystem_class("file"))
