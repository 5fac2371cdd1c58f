"""The table of accuracies on frozen features, and the settings behind them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from miner.engine import Record
from miner.report.findings import Run, number
from miner.report.text import count

_SETTINGS = (
    "classifier",
    "layer",
    "norm",
    "vote",
    "mode",
    "train_crops",
    "resize",
    "chosen_by",
    "random_weights",
    "test_origin",
)


@dataclass(frozen=True)
class AccuracyRow:
    """One run under one protocol. Accuracies are texts in percent; an unknown one is a dash."""

    run: str
    protocol: str
    trained: str
    random: str
    majority: str


def accuracy_rows(runs: Iterable[Run]) -> list[AccuracyRow]:
    """A row for each evaluated run and protocol."""
    return [
        AccuracyRow(run.name, protocol, _accuracy(trained), _accuracy(random), _accuracy(record.get("majority")))
        for run in runs
        for record in run.evaluations.values()
        for protocol, trained, random in _results(record)
    ]


def evaluation_settings(runs: Iterable[Run]) -> dict[str, str]:
    """The settings of all evaluations in one or two sentences, by the names of the evaluations that share them."""
    names: dict[str, list[str]] = {}
    for run in runs:
        for name, record in run.evaluations.items():
            if any(_results(record)):
                names.setdefault(_settings(record), []).append(f"{run.name} ({name})")
    return {", ".join(group): text for text, group in names.items()}


def _results(record: Record) -> Iterator[tuple[str, Any, Any]]:
    """Protocol, accuracy of the trained weights, accuracy of the initial random weights."""
    results = record.get("results")
    best = ", best weights" if record.get("weights") == "best" else ""
    if isinstance(results, list):  # of kNN: a list by k and temperature
        for result in results:
            if isinstance(result, dict):
                yield _protocol(result) + best, result.get("trained"), result.get("random")
    elif isinstance(results, dict) and "protocol" in record:  # of a linear classifier: a record by weights
        trained, random = (results.get(name, {}).get("test") for name in ("trained", "random"))
        yield f"linear, {record['protocol']}{best}", trained, random


def _protocol(result: Record) -> str:
    parts = [("k", result.get("k")), ("T", result.get("temperature"))]
    return ", ".join(f"{name} = {value}" for name, value in parts if value is not None)


def _accuracy(value: Any) -> str:
    """An accuracy in percent as text."""
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
