"""Training runs: their settings and results, curves of their metrics, and accuracies on frozen features."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from miner.engine import Record
from miner.report.charts.curves import Curve, curve_chart
from miner.report.findings import Run, number
from miner.report.text import percent
from miner.text import count

_MARKS = ("loss", "accuracy", "acc", "std", "spread", "rankme", "knn")
_NEVER = {"step", "epoch"}
_KNOWN = {
    "loss": ("Loss", ""),
    "accuracy": ("Contrastive accuracy", "share of the queries whose own key is the nearest key"),
    "spread": ("Feature spread", "1: spread over the sphere, 0: collapsed"),
    "rankme": ("RankMe", "effective number of dimensions of the features of the backbone"),
    "knn": ("kNN accuracy", "in percent, measured during training; the best of several values is optimistic"),
}
_ARMS = {"semantic": "semantic pairs", "none": "own views only"}  # a control goes by its name
_MOST_COLOURS = 6
_SETTINGS = (
    *("classifier", "layer", "norm", "vote", "mode", "train_crops", "resize"),
    *("chosen_by", "random_weights", "test_origin"),
)


def run_rows(runs: Iterable[Run]) -> list[Record]:
    """A row for each run, with the number of its colour, and without the columns that are empty in all rows."""
    cells = {run.name: _cells(run) for run in runs}
    filled = {column for row in cells.values() for column, cell in row.items() if cell}
    return [
        {
            "name": name,
            "colour": index % _MOST_COLOURS,
            "cells": {column: row[column] for column in row if column in filled},
        }
        for index, (name, row) in enumerate(cells.items())
    ]


def curves_by_method(runs: list[Run]) -> dict[str, list[Record]]:
    """Charts of the metrics of all runs, by method: only losses of one method can be compared.

    A run whose record names no method stands under its own name.
    """
    by_method: dict[str, dict[int, Run]] = {}
    for index, run in enumerate(runs):
        if run.metrics:
            by_method.setdefault(str(run.request.get("method") or run.name), {})[index] = run
    return {name: _panels(group) for name, group in by_method.items()}


def _series_names(runs: Iterable[Run]) -> list[str]:
    """Names of the metrics to draw, the known ones first."""
    names = {name: None for run in runs for line in run.metrics for name in line}
    usable = [name for name in names if name not in _NEVER and any(mark in name.lower() for mark in _MARKS)]
    return [*(name for name in _KNOWN if name in usable), *(name for name in usable if name not in _KNOWN)]


def _panels(runs: Mapping[int, Run]) -> list[Record]:
    panels = []
    for name in _series_names(runs.values()):
        title, note = _KNOWN.get(name, (name.replace("_", " ").capitalize(), ""))
        curves = {index: curve for index, run in runs.items() if (curve := _curve(run, name))}
        chart = curve_chart(
            curves,
            f"{title} over the steps of training. {_ends(runs, curves)}",
            from_zero="loss" not in name.lower(),
            as_percent="acc" in name.lower() and _are_shares(curves.values()),
        )
        if chart is not None:
            panels.append({"title": title, "note": note, "chart": chart})
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
    arm = str(request.get("pairs_arm", ""))
    return {
        "Method": str(request.get("method", "")),
        "Trained on": _ARMS.get(arm, arm),
        "Backbone": str(request.get("backbone", "")),
        "Images": count(made.images_shown) if made else "",
        "Pairs": count(made.pairs) if made else "",
        "Epochs": str(request.get("epochs", "")),
        "Steps": count(made.steps) if made else "",
        "Final loss": f"{made.final_loss:.3f}" if made else "",
        "Contrastive accuracy": "" if accuracy is None else percent(accuracy),
        "State": "" if made else "not finished",
    }


def accuracy_rows(runs: Iterable[Run]) -> list[tuple[str, str, list[str]]]:
    """For the encoder and each evaluated run, by protocol: accuracies of trained weights, encoder, random weights and one class."""
    return [
        (run.name, protocol, [_accuracy(value) for value in (*accuracies, record.get("majority"))])
        for run in runs
        for record in run.evaluations.values()
        for protocol, *accuracies in _results(record)
    ]


def run_verdicts(runs: Iterable[Run]) -> dict[str, list[str]]:
    """What the evaluations of the encoder and of each run have shown, in sentences by the name of the run."""
    sentences = {run.name: [text for record in run.evaluations.values() for text in _verdict(record)] for run in runs}
    return {name: [f"{text[0].upper()}{text[1:]}." for text in texts] for name, texts in sentences.items() if texts}


def _verdict(record: Record) -> list[str]:
    verdict = record.get("verdict") or []
    return [verdict] if isinstance(verdict, str) else verdict


def evaluation_settings(runs: Iterable[Run]) -> dict[str, str]:
    """The settings of all evaluations in one or two sentences, by the names of the evaluations that share them."""
    names: dict[str, list[str]] = {}
    for run in runs:
        for name, record in run.evaluations.items():
            if any(_results(record)):
                names.setdefault(_settings(record), []).append(f"{run.name} ({name})")
    return {", ".join(group): text for text, group in names.items()}


def _results(record: Record) -> Iterator[tuple[str, Any, Any, Any]]:
    """Protocol, and the accuracies of the trained weights, of the encoder and of the initial random weights."""
    results = record.get("results")
    weights = record.get("weights", "last")
    what = "" if weights == "last" else f", {weights} weights"
    what += ", projector" if str(record.get("layer")).startswith("projector") else ""
    if isinstance(results, list):  # of kNN: a list by k and temperature
        for result in results:
            if isinstance(result, dict):
                parts = [("k", result.get("k")), ("T", result.get("temperature"))]
                protocol = ", ".join(f"{name} = {value}" for name, value in parts if value is not None)
                encoder = result.get("encoder", result.get("embeddings"))
                yield protocol + what, result.get("trained"), encoder, result.get("random")
    elif isinstance(results, dict) and "protocol" in record:  # of a linear classifier: a record by weights
        encoder = results.get("encoder") or results.get("embeddings") or {}
        trained, random = (results.get(name, {}).get("test") for name in ("trained", "random"))
        yield f"linear, {record['protocol']}{what}", trained, encoder.get("test"), random


def _accuracy(value: Any) -> str:
    known = number(value)
    return "–" if known is None else f"{known:.1f}%"  # noqa: RUF001  a dash, as an empty cell of a table


def _settings(record: Record) -> str:
    sizes = [
        f"{count(size)} {what}"
        for key, what in (("n_gallery", "gallery images"), ("n_test", "test images"), ("classes", "classes"))
        if (size := number(record.get(key))) is not None
    ]
    details = [f"{name.replace('_', ' ')}: {record[name]}" for name in _SETTINGS if record.get(name)]
    sentences = [", ".join(sizes), "; ".join(details)]
    if record.get("queries_seen_unlabelled"):
        sentences.append("The test images were among the images trained on, without their labels")
    return "".join(f"{sentence[0].upper()}{sentence[1:]}. " for sentence in sentences if sentence).strip()
