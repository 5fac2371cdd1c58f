"""Patterns that name files: braces and globs, and a short name for each file; local paths and fsspec URLs alike."""

import posixpath
from collections.abc import Sequence

import braceexpand
import fsspec

from miner.errors import MinerError


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
    """A unique name for each file: its file name, or its path below the common folder if two file names are equal.

    The names do not depend on the order of the files.
    """
    names = [url.rpartition("/")[2] for url in urls]
    if len(set(names)) == len(names):
        return names
    shared = len(posixpath.commonpath([url.rpartition("/")[0] for url in urls])) + 1
    return [url[shared:] for url in urls]
