"""The two graphs of a GraphNNCLR run, as files that a graph network and other tools read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from miner.artifacts.runs.graphs import NODES_FILE, STREAMS
from miner.engine import committed

if TYPE_CHECKING:  # readers of these files need no torch
    from miner.train.methods.graphnnclr import GraphNNCLR
    from miner.train.methods.parts.neighbour_bank import NeighbourBank


def save_graphs(run: Path, method: "GraphNNCLR", keys: Sequence[str]) -> None:
    """Write graph/ into the folder of a run: GRAPH_FILES.

    nodes.parquet has the `key` of each image, in the order of the rows that the rest speaks of. graph-STREAM.parquet has an edge in
    each row: `node`, its `neighbour`, the `epoch` (from 0) that found it, and their `similarity` then. An edge that several epochs
    found is there as often. bank-STREAM.npy has unit features, float32 (images, width).
    """
    (run / "graph").mkdir(exist_ok=True)
    with committed(run / NODES_FILE) as partial:
        pq.write_table(pa.table({"key": pa.array(keys, pa.string())}), partial)
    for stream, bank in zip(STREAMS, (method.teacher_bank, method.student_bank), strict=True):
        with committed(run / "graph" / f"graph-{stream}.parquet") as partial:
            pq.write_table(_edges(bank, method.graph_edges), partial)
        with committed(run / "graph" / f"bank-{stream}.npy") as partial, partial.open("wb") as file:
            np.save(file, bank.features.cpu().numpy())


def _edges(bank: "NeighbourBank", per_list: int) -> pa.Table:
    edges = [column.cpu().numpy() for column in bank.edges(per_list)]
    types = pa.int64(), pa.int64(), pa.int32(), pa.float32()
    names = "node", "neighbour", "epoch", "similarity"
    return pa.table({name: pa.array(edge).cast(kind) for name, edge, kind in zip(names, edges, types, strict=True)})
