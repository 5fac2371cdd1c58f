"""The neighbour graphs that a graphnnclr run has kept, and the share of their edges that join equal labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.embeddings.vectors import ChosenVectors, MemoryVectors, Rows
from miner.artifacts.parquet import read_columns
from miner.artifacts.runs.files import GRAPH_FILES, NODES_FILE, STREAMS
from miner.errors import MinerError
from miner.report.findings import Run


class Neighbour(NamedTuple):
    """An entry of a list of neighbours: a row of the embeddings, and its cosine."""

    row: int
    cosine: float


@dataclass(frozen=True)
class RunGraphs:
    """The graphs of the teacher and the student of a run.

    Attributes:
        folder: folder of the run.
        rows: row in the embeddings of each node, int64 (nodes,), -1 for an image that is not embedded.
        edges: by stream, a table (node, neighbour, epoch, similarity), sorted by node, epoch and descending similarity.
    """

    folder: Path
    rows: Rows
    edges: dict[str, pa.Table]

    def labels(self, labels: Rows) -> Rows:
        """Labels of the nodes, -1 where unknown, from the labels of all embedded images."""
        return np.where(self.rows >= 0, labels[self.rows], -1)

    def embedded(self) -> bool:
        """Whether all images of the run are embedded."""
        return bool((self.rows >= 0).all())

    def in_degrees(self, stream: str) -> Rows:
        """Number of images that list each node, int64 (nodes,). An image counts once, even if it lists a node in several epochs."""
        edges = self.edges[stream]
        pairs = np.unique(np.stack([edges["node"].to_numpy(), edges["neighbour"].to_numpy()]), axis=1)
        return np.bincount(pairs[1], minlength=len(self.rows))

    def last_lists(self, stream: str, rows: Rows, most: int) -> list[list[Neighbour]]:
        """The newest lists of some images; images and neighbours are rows of the embeddings."""
        node, neighbour, epoch, cosine = (column.to_numpy() for column in self.edges[stream].columns)
        lists = []
        for row in rows:
            places = np.flatnonzero(self.rows[node] == row)
            newest = places[epoch[places] == epoch[places].max(initial=-1)][:most]
            lists.append([Neighbour(int(self.rows[neighbour[place]]), float(cosine[place])) for place in newest])
        return lists

    def bank(self, stream: str) -> ChosenVectors:
        """The features that a stream has kept, in the order of the embeddings. Both must have the same images.

        Raises:
            MinerError: the file is missing or damaged.
        """
        path = self.folder / "graph" / f"bank-{stream}.npy"
        try:
            stored = np.load(path, mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise MinerError(f"{path} is missing or damaged. Train again with --force.") from error
        return ChosenVectors(MemoryVectors(stored), np.argsort(self.rows))


def read_graphs(folder: Path, run: Run, keys: pa.ChunkedArray) -> RunGraphs | None:
    """The graphs of a finished run; None if the run is not finished or keeps no graphs.

    Args:
        folder: folder of the run.
        run: records of the run.
        keys: keys of the embedded images.
    Raises:
        MinerError: a file is missing or damaged.
    """
    if run.manifest is None or not set(GRAPH_FILES) <= run.manifest.files.keys():
        return None
    nodes = read_columns(folder / NODES_FILE, ["key"], "miner train")["key"]
    columns = ("node", "neighbour", "epoch", "similarity")
    edges = {
        stream: read_columns(folder / "graph" / f"graph-{stream}.parquet", columns, "miner train") for stream in STREAMS
    }
    found = pc.index_in(nodes.combine_chunks(), value_set=keys.combine_chunks())
    return RunGraphs(folder, np.asarray(found.fill_null(-1).to_numpy(), np.int64), edges)


def homophily(edges: pa.Table, labels: Rows) -> float | None:
    """Edge homophily: the share of the edges that join equal labels, among edges between known labels; None without any.

    Args:
        edges: columns node and neighbour.
        labels: labels of the nodes, -1 where unknown.
    """
    node, neighbour = (labels[edges[name].to_numpy()] for name in ("node", "neighbour"))
    known = (node >= 0) & (neighbour >= 0)
    return float((node == neighbour)[known].mean()) if known.any() else None


def chance(labels: Rows) -> float | None:
    """Share of all pairs of different images with known labels that have equal labels; None without a pair."""
    sizes = np.bincount(labels[labels >= 0])
    images = int(sizes.sum())
    return float((sizes * (sizes - 1)).sum() / (images * (images - 1))) if images > 1 else None
