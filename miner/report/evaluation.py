"""kNN results of the runs, as rows of one table."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from miner.report.findings import Run, number
from miner.report.text import count
from miner.workspace import Record

_SETTINGS = ("layer", "norm", "vote", "mode", "resize", "random_weights", "test_origin")


@dataclass(frozen=True)
class KnnRow:
    """One run under one protocol; accuracies are texts in percent, or a dash."""

    run: str
    protocol: str
    trained: str
    random: str
    majority: str


@dataclass(frozen=True)
class KnnSettings:
    """How the numbers of some runs were made, a sentence or two."""

    runs: str
    text: str


def knn_rows(runs: Iterable[Run]) -> list[KnnRow]:
    """A row for each run and protocol that has been evaluated."""
    return [
        KnnRow(
            run.name,
            _protocol(result),
            _accuracy(result.get("trained")),
            _accuracy(result.get("random")),
            _accuracy(record.get("majority")),
        )
        for run in runs
        if (record := run.evaluations.get("knn"))
        for result in record.get("results", [])
        if isinstance(result, dict)
    ]


def knn_settings(runs: Iterable[Run]) -> list[KnnSettings]:
    """The settings, once for all runs that share them."""
    names: dict[str, list[str]] = {}
    for run in runs:
        if record := run.evaluations.get("knn"):
            names.setdefault(_settings(record), []).append(run.name)
    return [KnnSettings(", ".join(group), text) for text, group in names.items()]


def _protocol(result: Record) -> str:
    parts = [("k", result.get("k")), ("T", result.get("temperature"))]
    return ", ".join(f"{name} = {value}" for name, value in parts if value is not None)


def _accuracy(value: Any) -> str:
    """Accuracies are stored in percent."""
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
