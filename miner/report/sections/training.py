"""Training runs: a table of their settings and results, and curves of their metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from miner.report.charts.curves import Curve, curve_chart
from miner.report.findings import Run, number
from miner.report.text import count, percent

_MARKS = ("loss", "accuracy", "acc", "std", "spread", "rankme", "knn")
_NEVER = {"step", "epoch"}
_KNOWN = {
    "loss": ("Loss", ""),
    "accuracy": ("Contrastive accuracy", "share of the queries whose own key is the nearest key"),
    "spread": ("Feature spread", "1: spread over the sphere, 0: collapsed"),
    "rankme": ("RankMe", "effective number of dimensions of the features of the backbone"),
    "knn": ("kNN accuracy", "in percent, measured during training; the best of several values is optimistic"),
}
_MOST_COLOURS = 6


@dataclass(frozen=True)
class Panel:
    """The curves of one metric over the steps."""

    title: str
    note: str
    chart: Markup


@dataclass(frozen=True)
class RunRow:
    """A run in the table.

    Attributes:
        colour: number of the colour of its curves.
        cells: texts by column.
    """

    name: str
    colour: int
    cells: dict[str, str]


@dataclass(frozen=True)
class MethodCurves:
    """The curves of the runs of one method: only losses of one method can be compared."""

    name: str
    panels: list[Panel]


def run_rows(runs: Iterable[Run]) -> list[RunRow]:
    """A row for each run, without the columns that are empty in all rows."""
    cells = {run.name: _cells(run) for run in runs}
    filled = {column for row in cells.values() for column, cell in row.items() if cell}
    return [
        RunRow(name, index % _MOST_COLOURS, {column: row[column] for column in row if column in filled})
        for index, (name, row) in enumerate(cells.items())
    ]


def curves_by_method(runs: list[Run]) -> list[MethodCurves]:
    """The curves of all runs with metrics, grouped by method."""
    by_method: dict[str, dict[int, Run]] = {}
    for index, run in enumerate(runs):
        if run.metrics:
            by_method.setdefault(method_of(run), {})[index] = run
    return [MethodCurves(name, _panels(group)) for name, group in by_method.items()]


def method_of(run: Run) -> str:
    """The method of a run, or the name of the run where its record names no method."""
    return str(run.request.get("method") or run.name)


def series_names(runs: Iterable[Run]) -> list[str]:
    """Names of the metrics to draw, the known ones first."""
    names = {name: None for run in runs for line in run.metrics for name in line}
    usable = [name for name in names if name not in _NEVER and any(mark in name.lower() for mark in _MARKS)]
    return [*(name for name in _KNOWN if name in usable), *(name for name in usable if name not in _KNOWN)]


def _panels(runs: Mapping[int, Run]) -> list[Panel]:
    panels = []
    for name in series_names(runs.values()):
        title, note = _KNOWN.get(name, (name.replace("_", " ").capitalize(), ""))
        curves = {index: curve for index, run in runs.items() if (curve := _curve(run, name))}
        chart = curve_chart(
            curves,
            f"{title} over the steps of training. {_ends(runs, curves)}",
            from_zero="loss" not in name.lower(),
            as_percent="acc" in name.lower() and _are_shares(curves.values()),
        )
        if chart is not None:
            panels.append(Panel(title, note, chart))
    return panels


def _curve(run: Run, name: str) -> Curve:
    points = [(number(line.get("step")), number(line.get(name))) for line in run.metrics if name in line]
    return [(step, value) for step, value in points if step is not None]


def _ends(runs: Mapping[int, Run], curves: Mapping[int, Curve]) -> str:
    known = {index: [value for _, value in curve if value is not None] for index, curve in curves.items()}
    return " ".join(
        f"Run {runs[index].name}: from {values[0]:.3g} to {values[-1]:.3g}."
        for index, values in known.items()
        if values
    )


def _are_shares(curves: Iterable[Curve]) -> bool:
    return all(value is None or 0 <= value <= 1 for curve in curves for _, value in curve)


def _cells(run: Run) -> dict[str, str]:
    made, request = run.manifest, run.request
    accuracy = made.final_accuracy if made else None
    return {
        "Method": str(request.get("method", "")),
        "Trained on": _trained_on(str(request.get("pairs_arm", ""))),
        "Backbone": str(request.get("backbone", "")),
        "Images": count(made.images) if made else "",
        "Pairs": count(made.pairs) if made else "",
        "Epochs": str(request.get("epochs", "")),
        "Steps": count(made.steps) if made else "",
        "Final loss": f"{made.final_loss:.3f}" if made else "",
        "Final accuracy": "" if accuracy is None else percent(accuracy),
        "State": "" if made else "not finished",
    }


def _trained_on(arm: str) -> str:
    """The arm of a run in words; a control goes by its name."""
    return {"semantic": "semantic pairs", "none": "own views only"}.get(arm, arm)
