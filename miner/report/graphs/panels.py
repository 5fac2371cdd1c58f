"""Charts and numbers of the neighbour graphs of runs: purity by epoch, homophily, in-degrees."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup

from miner.artifacts.embeddings.vectors import Rows
from miner.report.charts.curves import Curve, curve_chart
from miner.report.charts.degree import degree_chart
from miner.report.findings import Run, number
from miner.report.graphs.run_graphs import RunGraphs, chance, homophily
from miner.report.text import percent
from miner.statistics import skewness

_PURITY = {"teacher": "purity", "student": "student_purity"}


@dataclass(frozen=True)
class EpochRow:
    """The lists that a run has kept of one epoch, or of all epochs together.

    Attributes:
        epoch: number of the epoch, from 1; None for all epochs together.
        images: number of images with a list of this epoch.
        shares: homophily and logged purity of the teacher, then of the student; None where unknown.
    """

    epoch: int | None
    images: int
    shares: list[float | None]


@dataclass(frozen=True)
class Hubness:
    """In-degrees in the graph of one stream: the largest, their skewness, and the share of images in no list."""

    stream: str
    largest: int
    skewness: float
    unlisted: float


@dataclass(frozen=True)
class GraphPanel:
    """The graphs of one run.

    Attributes:
        purity: chart over the epochs; None if the run has not measured it.
        chance: purity of neighbours drawn at random; None if labels are unknown.
        epochs: empty if labels are unknown.
        hubness: one entry per stream; empty while the run is not finished.
        in_degree: chart of the teacher's graph; None while the run is not finished.
    """

    run: str
    purity: Markup | None
    chance: float | None
    epochs: list[EpochRow]
    hubness: list[Hubness]
    in_degree: Markup | None


def graph_panel(run: Run, graphs: RunGraphs | None, labels: Rows) -> GraphPanel:
    """The panel of one run.

    Args:
        run: records of the run.
        graphs: its graphs; None while the run is not finished.
        labels: labels of the embedded images, -1 where unknown.
    """
    if graphs is None:
        return GraphPanel(run.name, _purity_chart(run, None), None, [], [], None)
    run_labels = graphs.labels(labels)
    by_chance = chance(run_labels)
    return GraphPanel(
        run.name,
        _purity_chart(run, by_chance),
        by_chance,
        [] if by_chance is None else _epoch_rows(run, graphs, run_labels),
        [_hubness(stream, graphs) for stream in graphs.edges],
        degree_chart(graphs.in_degrees("teacher"), "lists"),
    )


def _epoch_rows(run: Run, graphs: RunGraphs, labels: Rows) -> list[EpochRow]:
    logged = {stream: dict(_curve(run, name)) for stream, name in _PURITY.items()}
    kept = sorted(set(graphs.edges["teacher"]["epoch"].to_pylist()))

    def row(epoch: int | None) -> EpochRow:
        shares: list[float | None] = []
        for stream, edges in graphs.edges.items():
            some = edges if epoch is None else edges.filter(pc.equal(edges["epoch"], epoch))
            shares += [homophily(some, labels), None if epoch is None else logged[stream].get(epoch + 1)]
        return EpochRow(None if epoch is None else epoch + 1, len(some["node"].unique()), shares)

    return [row(epoch) for epoch in (*kept, None)]


def _hubness(stream: str, graphs: RunGraphs) -> Hubness:
    in_degree = graphs.in_degrees(stream)
    return Hubness(stream, int(in_degree.max()), skewness(in_degree), float(np.mean(in_degree == 0)))


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
