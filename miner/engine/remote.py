"""Files on any fsspec file system, with as much of `pathlib.Path` as a stage needs.

Whether a file appears only when it is whole depends on the store. Object stores (s3, gs, az, hf and their like, and `memory`) show
an object when its upload has ended, so files are uploaded under their own names. Everywhere else (sftp, hdfs, smb, ...) they
are uploaded aside and renamed, which is one step on a server that can rename; fsspec copies and deletes where it cannot.
"""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from miner.errors import MinerError, UsageError

_OBJECT_STORES = frozenset(
    ["s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2", "b2", "hf", "memory"]
)


@dataclass(frozen=True, order=True)
class RemotePath:
    """A file or folder behind a URL.

    Attributes:
        url: with its protocol, without a slash at the end.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return posixpath.basename(self.url)

    @property
    def parent(self) -> "RemotePath":
        return RemotePath(posixpath.dirname(self.url))

    def relative_to(self, folder: "RemotePath") -> str:
        return self.url.removeprefix(f"{folder.url}/")

    def exists(self) -> bool:
        files, path = _place(self.url)
        with _explained(self.url, "reached"):
            return bool(files.exists(path))

    def open(self) -> IO[bytes]:
        files, path = _place(self.url)
        with _explained(self.url, "read"):
            return files.open(path, "rb")  # type: ignore[no-any-return]

    def read_bytes(self) -> bytes:
        with self.open() as stream:
            return stream.read()

    def size_bytes(self) -> int:
        files, path = _place(self.url)
        with _explained(self.url, "read"):
            return int(files.size(path))

    def unlink(self) -> None:
        files, path = _place(self.url)
        with _explained(self.url, "removed"):
            if files.exists(path):
                files.rm_file(path)

    def files(self) -> "list[RemotePath]":
        """All files below this folder, sorted."""
        files, root = _place(self.url)
        root = root.rstrip("/")
        with _explained(self.url, "listed"):
            files.invalidate_cache()
            found = files.find(root) if files.isdir(root) else []
        return [self / path[len(root) + 1 :] for path in sorted(found)]

    def receive(self, local: Path) -> None:
        """Upload a file; it appears here whole wherever the store can do that."""
        files, path = _place(self.url)
        folder, name = posixpath.split(path)
        aside = path if self.shows_only_whole_files else posixpath.join(folder, f".{name}.partial")
        with _explained(self.url, "written"):
            files.makedirs(folder, exist_ok=True)
            files.put_file(str(local), aside)
            if aside != path:
                files.mv(aside, path)
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


def remote_or_local(place: str) -> Path | RemotePath:
    """A local path, or what is behind a URL.

    Raises:
        UsageError: fsspec knows no such file system, or the package for it is missing.
    """
    if "://" not in place:
        return Path(place)
    files, path = _place(place)
    if type(files).__name__ == "LocalFileSystem":
        return Path(path)
    return RemotePath(place.rstrip("/"))


@cache
def _place(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url} cannot be opened: {error}") from error
    return files, path


@contextmanager
def _explained(url: str, verb: str) -> Iterator[None]:
    """Turn what a store raises into an error for people."""
    try:
        yield
    except (MinerError, FileNotFoundError):
        raise
    except Exception as error:  # each store has its own
        reason = " ".join(str(error).split())[:200]
        raise MinerError(
            f"{url} could not be {verb} ({type(error).__name__}: {reason}). What was finished is kept; the same command continues."
        ) from error
