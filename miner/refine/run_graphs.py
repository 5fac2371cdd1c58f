"""The two views in the files of a GraphNNCLR run: features and graph of its teacher and of its student."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.runs.files import GRAPH_FILES, NODES_FILE, STREAMS
from miner.artifacts.runs.manifest import RunManifest
from miner.errors import UsageError
from miner.refine.graph.graph import from_edges
from miner.refine.graph.neighbours import edge_weights
from miner.refine.network.nodes import Nodes, standardised
from miner.refine.options import RefineStageOptions


def check_graphs(run: Path, made: RunManifest) -> None:
    """Check that a finished run has graphs, and that its files are whole.

    Raises:
        UsageError: the run is of another method.
        MinerError: a file is missing or damaged.
    """
    if not set(GRAPH_FILES) <= made.files.keys():
        raise UsageError(f"--run {run.name} is of {made.method}, which keeps no graphs; graphnnclr does.")
    for name in GRAPH_FILES:
        made.checked(run, name)


def read_views(run: Path, keys: Sequence[str], options: RefineStageOptions) -> tuple[Nodes, Nodes]:
    """Teacher and student of a run, in the order of the embeddings.

    Args:
        run: its folder.
        keys: of the embedded images.
        options: kind and weights of the edges.
    Raises:
        UsageError: the run was on other images.
    """
    of_run = pq.read_table(run / NODES_FILE)["key"].combine_chunks()
    position = pc.index_in(of_run, value_set=pa.array(keys, pa.string()))
    if position.null_count or len(position) != len(keys):
        raise UsageError(
            f"--run {run.name} was on {len(position):,} images, {len(position) - position.null_count:,} of which are among the "
            f"{len(keys):,} in embeddings/. Embed the images of the run, all of them and no others."
        )
    rows = position.to_numpy().astype(np.int64)
    teacher, student = (_view(run, stream, rows, options) for stream in STREAMS)
    return teacher, student


def _view(run: Path, stream: str, rows: Rows, options: RefineStageOptions) -> Nodes:
    bank = np.load(run / "graph" / f"bank-{stream}.npy")
    features = np.empty_like(bank)
    features[rows] = bank
    edges = pq.read_table(run / "graph" / f"graph-{stream}.parquet")
    node, neighbour, cosines = (edges[name].to_numpy() for name in ("node", "neighbour", "similarity"))
    weights = edge_weights(cosines, options.cosine_weights)
    graph = from_edges(len(rows), rows[node], rows[neighbour], weights, options.graph)
    return Nodes(standardised(features, len(features)), graph)
