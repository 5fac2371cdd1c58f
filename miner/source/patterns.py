"""Patterns that name files and folders: braces and wildcards, local paths and URLs alike; and a short name for each file."""

import glob
import os
import posixpath
from collections.abc import Iterator, Sequence

from braceexpand import braceexpand

from miner.errors import MinerError
from miner.source.location import is_pattern, local_path, locate, split_pattern, url_of


def expand(spec: str, kind: str) -> list[str]:
    """What a spec names: the file or folder of this very name, or what its braces (`{000..009}`) and wildcards match.

    Args:
        spec: a path or URL.
        kind: what it should name, for the error.
    Returns:
        Local paths, or URLs; in the order of the braces, sorted within a wildcard.
    Raises:
        MinerError: one of the patterns in braces matches nothing.
    """
    found: dict[str, None] = {}
    for pattern, matches in _matches(spec):
        if not matches:
            raise MinerError(f"There is no {kind} {pattern}. Check the path and the range in {spec}.")
        found |= dict.fromkeys(matches)
    return list(found)


def _matches(spec: str) -> Iterator[tuple[str, list[str]]]:
    """The patterns in the braces of a spec, each with what it matches."""
    path = local_path(spec)
    if path is None:
        for pattern in braceexpand(spec):
            files, place = locate(pattern)
            names = sorted(files.glob(place)) if is_pattern(place) else []
            yield pattern, [url_of(files, name) for name in names or [place] * files.exists(place)]
    elif os.path.lexists(path):
        yield path, [path]
    else:
        folder, rest = split_pattern(path)
        for part in braceexpand(rest):
            pattern = os.path.join(folder, part)
            escaped = os.path.join(glob.escape(folder), part)
            yield pattern, [pattern] if os.path.lexists(pattern) else sorted(glob.glob(escaped, recursive=True))


def short_names(urls: Sequence[str]) -> list[str]:
    """A unique name for each file: its file name, or its path below the common folder if two file names are equal.

    The names do not depend on the order of the files.
    """
    names = [url.rpartition("/")[2] for url in urls]
    if len(set(names)) == len(names):
        return names
    # commonpath drops slashes after the protocol, so a name begins one or two characters early. Keys of finished embeddings
    # depend on these names, so they stay.
    urls = [url if "://" in url else f"file://{url}" for url in urls]
    shared = len(posixpath.commonpath([url.rpartition("/")[0] for url in urls])) + 1
    return [url[shared:] for url in urls]
