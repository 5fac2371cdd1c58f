"""The neighbour graphs of runs in charts and numbers: purity over epochs, homophily, in-degrees."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup

from miner.artifacts.embeddings.vectors import Rows
from miner.report.charts import curve_chart, degree_chart
from miner.report.charts.curves import Curve
from miner.report.findings import Run, number
from miner.report.graphs.run_graphs import RunGraphs, chance, homophily
from miner.report.text import percent
from miner.statistics import skewness

_PURITY = {"teacher": "purity", "student": "student_purity"}


@dataclass(frozen=True)
class EpochRow:
    """What is kept of an epoch, or of all of them.

    Attributes:
        epoch: from 1; None for all together.
        images: that have a list of it.
        shares: of teacher and student, homophily and then purity as the run logged it; None where unknown.
    """

    epoch: int | None
    images: int
    shares: list[float | None]


@dataclass(frozen=True)
class Hubness:
    """In-degrees of the graph of one stream."""

    stream: str
    largest: int
    skewness: float
    unlisted: float


@dataclass(frozen=True)
class GraphPanel:
    """The graphs of one run.

    Attributes:
        purity: over the epochs, None where it was not measured.
        chance: purity of neighbours drawn at random, None where labels are unknown.
        epochs: none where labels are unknown.
        hubness: by stream, none while the run is not finished.
        in_degree: of the teacher's graph.
    """

    run: str
    purity: Markup | None
    chance: float | None
    epochs: list[EpochRow]
    hubness: list[Hubness]
    in_degree: Markup | None


def graph_panel(run: Run, graphs: RunGraphs | None, labels: Rows) -> GraphPanel:
    """What is known of the graphs of a run.

    Args:
        run: its records.
        graphs: None while it is not finished.
        labels: of the embedded images, -1 where unknown.
    """
    if graphs is None:
        return GraphPanel(run.name, _purity_chart(run, None), None, [], [], None)
    own = graphs.labels(labels)
    by_chance = chance(own)
    return GraphPanel(
        run.name,
        _purity_chart(run, by_chance),
        by_chance,
        [] if by_chance is None else _epoch_rows(run, graphs, own),
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
    """Purity of both streams over the epochs; None where there are no labels."""
    curves = {place: _curve(run, name) for place, name in enumerate(_PURITY.values())}
    said = " ".join(
        f"{stream.capitalize()}: from {percent(known[0])} to {percent(known[-1])}."
        for stream, curve in zip(_PURITY, curves.values(), strict=True)
        if (known := [value for _, value in curve if value is not None])
    )
    return curve_chart(
        curves,
        f"Neighbour purity over the epochs of run {run.name}. {said}",
        from_zero=True,
        as_percent=True,
        over="epoch",
        chance=by_chance,
    )


def _curve(run: Run, name: str) -> Curve:
    return [(float(line["epoch"]), number(line[name])) for line in run.metrics if name in line and "epoch" in line]
