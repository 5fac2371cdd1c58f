"""The versions of a source's files when they were embedded, to notice a file that was written again with the same size.

They differ between copies of a source, so they are no part of the embeddings: a hidden file of the workspace holds them.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from miner.artifacts.workspace import Workspace
from miner.engine import committed
from miner.source import Entry

_SCHEMA = pa.schema([("key", pa.string()), ("version", pa.int64())])


def read_versions(workspace: Workspace) -> dict[str, int]:
    """The version of each image's file by key; empty if they are not known."""
    try:
        table = pq.read_table(_path(workspace), schema=_SCHEMA)
    except (OSError, pa.ArrowException):  # at worst, images are read once more than needed
        return {}
    return dict(zip(table["key"].to_pylist(), table["version"].to_pylist(), strict=True))


def write_versions(workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Keep the versions of all images; nothing for a source whose file system states none."""
    versions = {entry.key: entry.version for entry in entries} if any(entry.version for entry in entries) else {}
    if versions and versions != read_versions(workspace):
        with committed(_path(workspace)) as partial:
            columns = {"key": list(versions), "version": list(versions.values())}
            pq.write_table(pa.table(columns, _SCHEMA), partial)
    elif not versions:
        _path(workspace).unlink(missing_ok=True)


def _path(workspace: Workspace) -> Path:
    return workspace.root / ".source_versions.parquet"
