"""The graphs of a GraphNNCLR run, as files that a graph network and other tools read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from miner.artifacts.npy import save_array
from miner.artifacts.parquet import save_table
from miner.artifacts.runs.manifest import GRAPH_FILES, NODES_FILE
from miner.engine import committed
from miner.train.methods.parts.neighbour_bank import NeighbourBank


def save_graphs(run: Path, keys: Sequence[str], banks: Mapping[str, NeighbourBank], per_list: int) -> list[Path]:
    """Write graph/ into the folder of a run: GRAPH_FILES.

    nodes.parquet has the `key` of each image, in the order of its row. graph-STREAM.parquet has an edge in each row: `node`, its
    `neighbour`, the `epoch` (from 0) that found it, and their `similarity` at that time. An edge that several epochs found has
    several rows. bank-STREAM.npy has features of length 1, float32 (images, width).

    Args:
        run: its folder.
        keys: the keys of the images, by row.
        banks: by stream, teacher and student.
        per_list: edges that each list of neighbours gives.
    """
    (run / "graph").mkdir(exist_ok=True)
    with committed(run / NODES_FILE) as partial:
        save_table(pa.table({"key": pa.array(keys, pa.string())}), partial)
    for stream, bank in banks.items():
        with committed(run / "graph" / f"graph-{stream}.parquet") as partial:
            save_table(_edges(bank, per_list), partial)
        with committed(run / "graph" / f"bank-{stream}.npy") as partial:
            save_array(partial, bank.features.cpu().numpy())
    return [run / name for name in GRAPH_FILES]


def _edges(bank: NeighbourBank, per_list: int) -> pa.Table:
    edges = [column.cpu().numpy() for column in bank.edges(per_list)]
    types = pa.int64(), pa.int64(), pa.int32(), pa.float32()
    names = "node", "neighbour", "epoch", "similarity"
    return pa.table({name: pa.array(edge).cast(kind) for name, edge, kind in zip(names, edges, types, strict=True)})
