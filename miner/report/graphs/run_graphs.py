"""The neighbour graphs of a graphnnclr run: purity by epoch, homophily, in-degrees, and the lists of some images."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from miner.artifacts.embeddings.vectors import ChosenVectors, MemoryVectors, Rows
from miner.artifacts.parquet import read_columns
from miner.artifacts.runs.manifest import GRAPH_FILES, NODES_FILE, STREAMS
from miner.engine import Record
from miner.errors import MinerError
from miner.report.charts.curves import Curve, curve_chart
from miner.report.charts.degree import degree_chart
from miner.report.findings import Run, number
from miner.report.text import percent
from miner.statistics import skewness

_PURITY = {"teacher": "purity", "student": "student_purity"}


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
        run: its records.
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


def graph_panel(run: Run, graphs: RunGraphs | None, labels: Rows) -> Record:
    """The variables of the graphs of one run.

    Args:
        run: its records.
        graphs: its graphs; None while the run is not finished.
        labels: labels of the embedded images, -1 where unknown.
    Returns:
        purity: a chart over the epochs; None if the run has not measured it.
        chance: the purity of neighbours drawn at random; None if labels are unknown.
        epochs: rows of a table; empty if labels are unknown.
        hubness: in-degrees by stream, their skewness, and the share of images in no list; empty while the run is not finished.
        in_degree: a chart of the teacher's graph; None while the run is not finished.
    """
    if graphs is None:
        unknown: Record = {"chance": None, "epochs": [], "hubness": [], "in_degree": None}
        return {"run": run.name, "purity": _purity_chart(run, None), **unknown}
    run_labels = graphs.labels(labels)
    by_chance = chance(run_labels)
    return {
        "run": run.name,
        "purity": _purity_chart(run, by_chance),
        "chance": by_chance,
        "epochs": [] if by_chance is None else _epoch_rows(run, graphs, run_labels),
        "hubness": [_hubness(stream, graphs) for stream in graphs.edges],
        "in_degree": degree_chart(graphs.in_degrees("teacher"), "lists"),
    }


def _epoch_rows(run: Run, graphs: RunGraphs, labels: Rows) -> list[Record]:
    """The lists that a run has kept of each epoch, and of all epochs together, whose number is None. Epochs count from 1.

    The shares are homophily and logged purity of the teacher, then of the student; None where unknown.
    """
    logged = {stream: dict(_curve(run, name)) for stream, name in _PURITY.items()}
    kept = sorted(set(graphs.edges["teacher"]["epoch"].to_pylist()))

    def row(epoch: int | None) -> Record:
        shares: list[float | None] = []
        for stream, edges in graphs.edges.items():
            some = edges if epoch is None else edges.filter(pc.equal(edges["epoch"], epoch))
            shares += [homophily(some, labels), None if epoch is None else logged[stream].get(epoch + 1)]
        number_from_1 = None if epoch is None else epoch + 1
        return {"epoch": number_from_1, "images": len(some["node"].unique()), "shares": shares}

    return [row(epoch) for epoch in (*kept, None)]


def _hubness(stream: str, graphs: RunGraphs) -> Record:
    in_degree = graphs.in_degrees(stream)
    return {
        "stream": stream,
        "largest": int(in_degree.max()),
        "skewness": skewness(in_degree),
        "unlisted": float(np.mean(in_degree == 0)),
    }


def _purity_chart(run: Run, by_chance: float | None) -> Markup | None:
    """Purity of both streams over the epochs; None without labels."""
    curves = {place: _curve(run, name) for place, name in enumerate(_PURITY.values())}
    ends = " ".join(
        f"{stream.capitalize()}: from {percent(known[0])} to {percent(known[-1])}."
        for stream, curve in zip(_PURITY, curves.values(), strict=True)
        if (known := [value for _, value in curve if value is not None])
    )
    return curve_chart(
        curves,
        f"Neighbour purity over the epochs of run {run.name}. {ends}",
        from_zero=True,
        as_percent=True,
        over="epoch",
        chance=by_chance,
    )


def _curve(run: Run, name: str) -> Curve:
    return [(float(line["epoch"]), number(line[name])) for line in run.metrics if name in line and "epoch" in line]
