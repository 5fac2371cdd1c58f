"""The neighbour graphs that a graphnnclr run has kept, and how many of their edges join one class."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from miner.artifacts.embeddings.vectors import ChosenVectors, MemoryVectors, Rows
from miner.artifacts.runs.graphs import GRAPH_FILES, NODES_FILE, STREAMS
from miner.errors import MinerError
from miner.report.findings import Run


class Neighbour(NamedTuple):
    """One place of a list of neighbours."""

    row: int
    cosine: float


@dataclass(frozen=True)
class RunGraphs:
    """Both graphs of a run.

    Attributes:
        folder: of the run.
        rows: of its images in the embeddings, int64 (nodes,), -1 where they are not among them.
        edges: by stream: node, neighbour, epoch, similarity; ascending by node, then by epoch, then from the most similar on.
    """

    folder: Path
    rows: Rows
    edges: dict[str, pa.Table]

    def labels(self, labels: Rows) -> Rows:
        """Of the images of the run, -1 where unknown, from those of the embeddings."""
        return np.where(self.rows >= 0, labels[self.rows], -1)

    def embedded(self) -> bool:
        """Whether all images of the run are among the embeddings."""
        return bool((self.rows >= 0).all())

    def in_degrees(self, stream: str) -> Rows:
        """How many images list each, an image that does so in several epochs once: int64 (nodes,)."""
        edges = self.edges[stream]
        pairs = np.unique(np.stack([edges["node"].to_numpy(), edges["neighbour"].to_numpy()]), axis=1)
        return np.bincount(pairs[1], minlength=len(self.rows))

    def last_lists(self, stream: str, rows: Rows, most: int) -> list[list[Neighbour]]:
        """The newest list of some images, given and answered by rows of the embeddings."""
        node, neighbour, epoch, cosine = (column.to_numpy() for column in self.edges[stream].columns)
        lists = []
        for own in rows:
            places = np.flatnonzero(self.rows[node] == own)
            newest = places[epoch[places] == epoch[places].max(initial=-1)][:most]
            lists.append([Neighbour(int(self.rows[neighbour[place]]), float(cosine[place])) for place in newest])
        return lists

    def bank(self, stream: str) -> ChosenVectors:
        """The features that a stream has kept, in the order of the embeddings; all images of both must be the same.

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
    """The graphs of a finished run; None where it keeps none.

    Args:
        folder: of the run.
        run: its records.
        keys: of the embedded images.
    Raises:
        MinerError: a file is missing or damaged.
    """
    if run.manifest is None or not set(GRAPH_FILES) <= run.manifest["files"].keys():
        return None
    columns = ["node", "neighbour", "epoch", "similarity"]
    try:
        nodes = pq.read_table(folder / NODES_FILE, columns=["key"])["key"]
        edges = {
            stream: pq.read_table(folder / "graph" / f"graph-{stream}.parquet", columns=columns) for stream in STREAMS
        }
    except (OSError, pa.ArrowException) as error:
        raise MinerError(f"A graph in {folder / 'graph'} is missing or damaged. Train again with --force.") from error
    found = pc.index_in(nodes.combine_chunks(), value_set=keys.combine_chunks())
    return RunGraphs(folder, np.asarray(found.fill_null(-1).to_numpy(), np.int64), edges)


def homophily(edges: pa.Table, labels: Rows) -> float | None:
    """Share of the edges that join one class, among those between images with known labels; None without any.

    Args:
        edges: node and neighbour.
        labels: by node, -1 where unknown.
    """
    ours, theirs = (labels[edges[name].to_numpy()] for name in ("node", "neighbour"))
    known = (ours >= 0) & (theirs >= 0)
    return float((ours == theirs)[known].mean()) if known.any() else None


def chance(labels: Rows) -> float | None:
    """Share of the pairs of different images that are of one class, among images with known labels; None without a pair."""
    sizes = np.bincount(labels[labels >= 0])
    images = int(sizes.sum())
    return float((sizes * (sizes - 1)).sum() / (images * (images - 1))) if images > 1 else None
