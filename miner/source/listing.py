"""All files below a folder, local or remote."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from miner.engine import is_local
from miner.source.location import locate

# What file systems call the version of a file, the most reliable name first.
_VERSION_FIELDS = ("ETag", "etag", "blob_id", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
# A version from here on is a time, in nanoseconds since 1970: all files on a disk are younger than 1973. Others are hashes.
LEAST_TIME = 1 << 56


class FileFacts(NamedTuple):
    """What a listing says about a file.

    Attributes:
        version: a number that changes when the file is written again; 0 if the file system states nothing that changes.
    """

    size_bytes: int
    version: int = 0


def list_files(spec: str) -> dict[str, FileFacts]:
    """Every file below a folder, by path below it, sorted, without hidden files and folders.

    In a local folder, links to files and folders are followed, but not a link to a folder above itself. A broken link is listed
    with size 0, so that it is reported as an unreadable image. Pipes, devices and workspaces of miner are left out.
    """
    files, root = locate(spec)
    if is_local(files):
        above = tuple((info.st_dev, info.st_ino) for info in map(Path.stat, Path(root).resolve().parents))
        return dict(sorted(_walk(root, "", above)))
    root = root.rstrip("/")
    found: dict[str, dict[str, Any]] = files.find(root, detail=True)
    listing = {path[len(root) + 1 :]: _remote_facts(info) for path, info in sorted(found.items())}
    return {path: facts for path, facts in listing.items() if not is_hidden(path)}


def file_facts(url: str) -> FileFacts:
    """Size and version of one file; a file that cannot be looked at has size 0, and reading it will say why."""
    try:
        files, path = locate(url)
        return _local_facts(os.stat(path)) if is_local(files) else _remote_facts(files.info(path))  # noqa: PTH116
    except Exception:  # a store may raise anything
        return FileFacts(0)


def is_hidden(path: str) -> bool:
    """Whether the name of a file, or of a folder in its path, starts with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, FileFacts]]:
    """Path below the root and facts of the files below a folder.

    Args:
        folder: the folder to list.
        prefix: path of the folder below the root, with a slash at the end.
        above: device and inode of all folders that contain this one.
    """
    try:
        with os.scandir(folder) as listing:
            children = list(listing)
        here = Path(folder).stat()
    except OSError as error:
        warn(f"{folder} cannot be listed ({error.strerror}); its images are left out")
        return
    identity = (here.st_dev, here.st_ino)
    if identity in above or (prefix and _is_workspace({child.name for child in children})):
        return
    for child in children:
        if child.name.startswith("."):
            continue
        try:
            info = child.stat()
        except OSError:
            yield prefix + child.name, FileFacts(0)
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(child.path, f"{prefix}{child.name}/", (*above, identity))
        elif stat.S_ISREG(info.st_mode):
            yield prefix + child.name, _local_facts(info)


def _local_facts(info: os.stat_result) -> FileFacts:
    # Some programs restore the modification time after a change; the change time always moves on.
    return FileFacts(info.st_size, max(info.st_mtime_ns, info.st_ctime_ns))


def _remote_facts(info: Mapping[str, Any]) -> FileFacts:
    version = next((str(info[name]) for name in _VERSION_FIELDS if info.get(name)), "")
    digest = hashlib.sha256(version.encode()).digest()
    return FileFacts(int(info.get("size") or 0), int.from_bytes(digest[:7], "big") if version else 0)


def _is_workspace(names: set[str]) -> bool:
    return ".lock" in names and not names.isdisjoint({"run.json", "embeddings"})


@cache
def warn(text: str) -> None:
    """Print a line for the user; the same line only once."""
    print(f"source: {text}", file=sys.stderr, flush=True)
