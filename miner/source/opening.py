"""From what the user typed to a source."""

from collections.abc import Iterable
from functools import partial

import fsspec

from miner.engine import explained
from miner.errors import MinerError, UsageError
from miner.source.base import Source
from miner.source.folder import FolderSource, is_image
from miner.source.hub import hub_error, is_hub
from miner.source.listing import list_files, warn
from miner.source.named.builtin import BUILTIN, open_builtin
from miner.source.parquet.reader import ParquetSource, is_parquet
from miner.source.patterns import expand
from miner.source.splits import one_split, refuse_mixed_splits
from miner.source.webdataset.shards import ShardSource, is_shards

# Beside shards or Parquet files that hold ten times as much, images are decoration: a logo, a sample.
_DECORATION = 10


def open_source(spec: str) -> Source:
    """Open SOURCE: a folder, WebDataset shards, Parquet files, or a name such as `sample` or `cifar10`.

    Paths may be local or any fsspec URL; `hf://datasets/ORG/NAME` is a repository of the Hugging Face Hub. A local folder
    wins over a built-in name when it is written as a path (./sample).

    Raises:
        UsageError: it is none of these, or a whole data set where one of its parts has to be named.
        MinerError: it is there, but holds no usable image; or it cannot be reached.
    """
    if spec in BUILTIN:
        return open_builtin(spec)
    with explained(partial(_cannot_open, spec)):
        if is_shards(spec):
            return ShardSource(spec)
        if is_parquet(spec):
            return ParquetSource(spec)
        if "*" in spec:
            return _open_files(spec, expand(spec, "file"))
        files, path = fsspec.core.url_to_fs(spec)
        if is_hub(spec) or files.isdir(path):
            return _open_folder(spec)
        if files.exists(path):
            raise UsageError(
                f"{spec} is a file that miner cannot read. Name a folder of images, or .tar shards, or .parquet files."
            )
    raise UsageError(
        f"There is no source {spec!r}: no such folder or file, and not one of {', '.join(sorted(BUILTIN))}."
    )


def _cannot_open(spec: str, error: Exception) -> Exception:
    if is_hub(spec):
        return hub_error(spec, error)
    if "://" not in spec and not isinstance(error, OSError | ImportError | ValueError):
        return error
    return MinerError(f"The source {spec} cannot be opened: {error or type(error).__name__}")


def _open_folder(spec: str) -> Source:
    """A folder of images; or the Parquet files or shards in it, when it holds no images that matter beside them."""
    listing = list_files(spec)
    if is_hub(spec) and not listing:
        raise FileNotFoundError(spec)
    shards = [path for path in listing if is_shards(path)]
    tables = [path for path in listing if is_parquet(path)]
    images = [path for path in listing if is_image(path)]
    tar_bytes, table_bytes, image_bytes = (sum(map(listing.__getitem__, paths)) for paths in (shards, tables, images))
    flat = not any("/" in path for path in listing)
    # Images beside archives of themselves are usual on a disk, but not in a repository.
    decoration = not images or (is_hub(spec) and image_bytes * _DECORATION < tar_bytes)
    if shards and (flat or (decoration and tar_bytes >= table_bytes)):
        return ShardSource(spec, urls=_below(spec, _without_pairs(shards)))
    if tables and image_bytes * _DECORATION < table_bytes:
        return ParquetSource(spec, urls=_below(spec, tables))
    refuse_mixed_splits(spec, images)
    return FolderSource(spec, listing)


def _open_files(spec: str, urls: list[str]) -> Source:
    """What a glob without an ending names."""
    if shards := [url for url in urls if is_shards(url)]:
        return ShardSource(spec, urls=shards)
    if tables := [url for url in urls if is_parquet(url)]:
        return ParquetSource(spec, urls=tables)
    raise UsageError(f"{spec} names {len(urls)} files, and none is a .tar shard or a .parquet file.")


def _below(spec: str, paths: Iterable[str]) -> list[str]:
    """URLs of the files of one split."""
    chosen, said = one_split(spec, paths)
    if said:
        warn(said)
    files, root = fsspec.core.url_to_fs(spec)
    return [files.unstrip_protocol(f"{root.rstrip('/')}/{path}") for path in chosen]


def _without_pairs(shards: list[str]) -> list[str]:
    """What miner itself exports holds each image once in `images-*.tar`, and again in `pairs-*.tar`."""
    images = [path for path in shards if path.startswith("images-")]
    return images if images and all(path.startswith(("images-", "pairs-")) for path in shards) else shards
