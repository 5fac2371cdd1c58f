"""A change of images since their embedding is noticed by the sha256 of their bytes, and sooner by the versions of their files.

Versions differ between copies of a source, so they are no part of the embeddings: a hidden file of the workspace holds them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from miner.artifacts.parquet import load_table, save_table
from miner.artifacts.workspace import Workspace
from miner.engine import committed
from miner.errors import MinerError
from miner.source import Entry, Source

_VERSIONS = pa.schema([("key", pa.string()), ("version", pa.int64())])


class VerifiedSource:
    """A source whose bytes are checked against the sha256 of metadata tables.

    Args:
        source: opened anew.
        tables: with `key` and `sha256` of all images that will be read.
    """

    def __init__(self, source: Source, tables: Iterable[pa.Table]) -> None:
        self._source = source
        self.spec, self.classes, self.left_out = source.spec, source.classes, source.left_out
        self._sha256: dict[str, bytes] = {}
        for table in tables:
            sums = map(bytes.fromhex, table["sha256"].to_pylist())
            self._sha256 |= dict(zip(table["key"].to_pylist(), sums, strict=True))

    @property
    def entries(self) -> Sequence[Entry]:
        return self._source.entries

    def read(self, entry: Entry) -> bytes:
        """The encoded bytes of an image.

        Raises:
            OSError: the file is gone or unreadable.
            MinerError: the image has changed since it was embedded.
        """
        data = self._source.read(entry)
        check_unchanged(data, self._sha256[entry.key].hex(), entry.path, self.spec)
        return data


def check_unchanged(data: bytes, sha256: str, path: str, spec: str) -> None:
    """Compare the encoded bytes of an image of the source `spec` with the checksum of its embedding.

    Raises:
        MinerError: they differ.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise MinerError(
            f"The image {path} of {spec} has changed since it was embedded. "
            "Run `miner embed --force` and `miner pairs --force` again."
        )


def read_versions(workspace: Workspace) -> dict[str, int]:
    """The version of each image's file by key; empty if they are not known."""
    try:
        table = load_table(_path(workspace), schema=_VERSIONS)
    except (OSError, pa.ArrowException):  # at worst, images are read once more than needed
        return {}
    return dict(zip(table["key"].to_pylist(), table["version"].to_pylist(), strict=True))


def write_versions(workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Keep the versions of all images; nothing for a source whose file system states none."""
    versions = {entry.key: entry.version for entry in entries} if any(entry.version for entry in entries) else {}
    if versions and versions != read_versions(workspace):
        with committed(_path(workspace)) as partial:
            columns = {"key": list(versions), "version": list(versions.values())}
            save_table(pa.table(columns, _VERSIONS), partial)
    elif not versions:
        _path(workspace).unlink(missing_ok=True)


def _path(workspace: Workspace) -> Path:
    return workspace.root / ".source_versions.parquet"
