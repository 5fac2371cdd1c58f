"""Where a source is: its file system, one spelling for all names of the same source, and the Hugging Face Hub."""

import os
import re
from typing import Any

from braceexpand import braceexpand

from miner.engine import bounded_options, is_local
from miner.errors import MinerError, install_extra

_LOCAL_PROTOCOLS = ("file://", "local://")
_HUB = "hf://"
_WILDCARD = re.compile(r"[*?\[{]")
_PART = re.compile(r"[^/.*?\[\]{}]+")
_FILES = (".tar", ".tar.gz", ".tgz", ".parquet")


def local_path(spec: str) -> str | None:
    """The path of a source on this machine, `~` expanded; None for any other URL."""
    for protocol in _LOCAL_PROTOCOLS:
        if spec.startswith(protocol):
            return spec.removeprefix(protocol)
    return None if "://" in spec and not os.path.lexists(spec) else os.path.expanduser(spec)


def locate(spec: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it. Any character may be part of a local path."""
    import fsspec

    path = local_path(spec)
    if path is None:
        files, path = fsspec.core.url_to_fs(spec, **bounded_options(spec))
        return files, path
    return fsspec.filesystem("file"), os.path.abspath(path)


def absolute(spec: str) -> str:
    """A local path from the root on, which does not change with the current folder; a URL as it is."""
    path = local_path(spec)
    return spec if path is None else os.path.abspath(path)


def url_of(files: Any, path: str) -> str:
    """The inverse of `locate`: a local path, or a URL."""
    return path if is_local(files) else str(files.unstrip_protocol(path))


def canonical(spec: str) -> str:
    """One spelling of a source: relative and absolute paths, `file://`, `~`, links and a slash at the end make no difference.

    Of a pattern, the folder before the first wildcard is resolved. A link to a file is kept if the file has another ending, as
    in the cache of the Hugging Face Hub.
    """
    path = local_path(spec)
    if path is None:
        return spec.rstrip("/")
    if os.path.lexists(path):
        real = os.path.realpath(path)
        if os.path.isdir(real) or os.path.splitext(real)[1] == os.path.splitext(path)[1]:
            return real
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    folder, pattern = split_pattern(path)
    if not folder and all(os.path.isabs(part) for part in braceexpand(pattern)):
        return pattern
    return os.path.join(os.path.realpath(folder), pattern)


def split_pattern(path: str) -> tuple[str, str]:
    """A local path as the longest folder that exists under this very name, and the rest, which may be a pattern."""
    parts = path.rstrip("/").split("/")
    for count in range(len(parts) - 1, 0, -1):
        folder = "/".join(parts[:count]) or "/"
        if os.path.isdir(folder):
            return folder, "/".join(parts[count:])
    return "", path


def is_local_folder(path: str) -> bool:
    """Whether a path is a folder on this machine."""
    return os.path.isdir(path)


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards or braces."""
    return _WILDCARD.search(text) is not None


def named_part(spec: str) -> tuple[str, str | None]:
    """A source, and the part of it that SOURCE:PART names; None where the whole text names something."""
    base, _, part = spec.rpartition(":")
    if not base or not _PART.fullmatch(part) or re.fullmatch("https?://[^/]*", base):
        return spec, None
    path = local_path(base)
    if path is None:
        files, whole = locate(spec)
        is_part = not files.exists(whole)
    else:
        is_files = is_pattern(path) and path.lower().endswith(_FILES)
        is_part = not os.path.lexists(spec) and (os.path.lexists(path) or is_files)
    return (base, part) if is_part else (spec, None)


def is_hub(spec: str) -> bool:
    """Whether a source is on the Hugging Face Hub."""
    return spec.startswith(_HUB)


def hub_error(spec: str, error: Exception) -> MinerError:
    """The error for people about a repository that cannot be opened."""
    if isinstance(error, ImportError):
        return MinerError(f"{spec} needs the package huggingface_hub. Install it with: {install_extra('hub')}")
    if isinstance(error, FileNotFoundError):
        return MinerError(
            f"There is no {spec} on the Hugging Face Hub, or it is private. Check the name (hf://datasets/ORG/NAME), or log "
            "in with `hf auth login`."
        )
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    repository = "/".join(spec.removeprefix(_HUB).removeprefix("datasets/").split("/")[:2])
    return MinerError(
        f"{spec} cannot be read from huggingface.co ({reason}). Check the network connection, or download it elsewhere with "
        f"`hf download --repo-type dataset {repository} --local-dir FOLDER` and name that folder."
    )
