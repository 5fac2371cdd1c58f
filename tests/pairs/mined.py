"""What `miner pairs` has written into a workspace."""

import pyarrow.parquet as pq

from miner.artifacts.workspace import Workspace
from miner.pairs.run import pairs


def in_short_strips() -> None:
    """For a process that is killed: several strips of few images, each a file of its own."""
    pairs.__kwdefaults__["strip_rows"] = 100


def contents(workspace: Workspace) -> dict[str, bytes]:
    """Every file below `pairs/`, by its name."""
    return {path.name: path.read_bytes() for path in workspace.pairs.rglob("*") if path.is_file()}


def tables(workspace: Workspace) -> dict[str, bytes]:
    """Every file but the manifest."""
    return {name: data for name, data in contents(workspace).items() if name != "manifest.json"}


def row_pairs(workspace: Workspace, name: str = "pairs") -> list[tuple[int, int]]:
    """Row numbers of the pairs in a table."""
    table = pq.read_table(workspace.pairs / f"{name}.parquet")
    return list(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True))
