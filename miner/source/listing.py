"""All files below a folder, local or remote."""

import os
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec


def list_files(spec: str) -> dict[str, int]:
    """Size in bytes of every file below a folder, by path below it, sorted, without hidden files and folders.

    In a local folder, links to files and folders are followed, but not a link to a folder above itself. A broken link is listed
    with size 0, so that it is reported as an unreadable image. Pipes, devices and workspaces of miner are left out.
    """
    files, root = fsspec.core.url_to_fs(spec)
    if isinstance(files, fsspec.get_filesystem_class("file")):
        return dict(sorted(_walk(root, "", ())))
    root = root.rstrip("/")
    found: dict[str, dict[str, Any]] = files.find(root, detail=True)
    listing = {path[len(root) + 1 :]: int(info.get("size") or 0) for path, info in sorted(found.items())}
    return {path: size for path, size in listing.items() if not is_hidden(path)}


def is_hidden(path: str) -> bool:
    """Whether the name of a file, or of a folder in its path, starts with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, int]]:
    """(path below the root, size in bytes) of the files below a folder.

    Args:
        folder: to list.
        prefix: path of the folder below the root, with a slash at the end.
        above: device and inode of the folders that contain this one.
    """
    try:
        with os.scandir(folder) as listing:
            children = list(listing)
        here = Path(folder).stat()
    except OSError as error:
        warn(f"{folder} cannot be listed ({error.strerror}); its images are left out")
        return
    identity = (here.st_dev, here.st_ino)
    if identity in above or (above and _is_workspace({child.name for child in children})):
        return
    for child in children:
        if child.name.startswith("."):
            continue
        try:
            info = child.stat()
        except OSError:
            yield prefix + child.name, 0
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(child.path, f"{prefix}{child.name}/", (*above, identity))
        elif stat.S_ISREG(info.st_mode):
            yield prefix + child.name, info.st_size


def _is_workspace(names: set[str]) -> bool:
    return ".lock" in names and not names.isdisjoint({"run.json", "embeddings"})


@cache
def warn(text: str) -> None:
    """Print a line for the user; the same line only once."""
    print(f"source: {text}", file=sys.stderr, flush=True)
