"""From what the user typed to a source."""

from pathlib import Path

import fsspec

from miner.errors import MinerError, UsageError
from miner.source.base import Source
from miner.source.builtin import BUILTIN, open_builtin
from miner.source.folder import FolderSource
from miner.source.shards import ShardSource, is_shards


def open_source(spec: str) -> Source:
    """Open SOURCE: a folder, WebDataset shards, or a name such as `sample` or `cifar10`.

    A local folder wins over a built-in name when it is written as a path (./sample).

    Raises:
        UsageError: it is none of these.
        MinerError: it is there, but holds no usable image.
    """
    if spec in BUILTIN:
        return open_builtin(spec)
    if is_shards(spec):
        return ShardSource(spec)
    try:
        files, path = fsspec.core.url_to_fs(spec)
    except (ImportError, ValueError) as error:
        raise MinerError(f"The source {spec} cannot be opened: {error}") from error
    if files.isdir(path):
        return _open_folder(spec)
    if files.exists(path):
        raise UsageError(f"{spec} is a file that miner cannot read. Name a folder of images or .tar shards.")
    raise UsageError(
        f"There is no source {spec!r}: no such folder or file, and not one of {', '.join(sorted(BUILTIN))}."
    )


def _open_folder(spec: str) -> Source:
    """A folder of images, or the shards in it when it holds tar files and nothing else."""
    local = Path(spec)
    if local.is_dir():
        tars = sorted(local.glob("*.tar"))
        if tars and not any(child.is_dir() for child in local.iterdir()):
            return ShardSource(str(local / "*.tar"))
    return FolderSource(spec)
