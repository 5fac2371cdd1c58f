"""What `miner eval graph` found: the manifest of `graph/`, and its verdict in words."""

from collections.abc import Mapping
from typing import ClassVar

from miner.artifacts.artifact import StageArtifact
from miner.engine import Record
from miner.tables import interval_text

CLASSIFIERS = ("linear", "knn")


class GraphManifest(StageArtifact):
    """What is in `graph/`.

    Attributes:
        rows: the table of arms.
        verdict: gain of the graph network over smoothing, by classifier.
        n_train, n_test: numbers of images.
    """

    command: ClassVar = "miner eval graph"
    folder: ClassVar = "graph"

    rows: list[Record]
    verdict: dict[str, Record]
    n_train: int
    n_test: int


def verdict_sentences(verdict: Mapping[str, Record]) -> list[str]:
    """Whether the graph network beats smoothing without parameters, by classifier.

    Args:
        verdict: `interval_record` of the difference in percentage points, by classifier.
    """
    lines = []
    for name, gain in verdict.items():
        mean, half_width = gain["mean"], gain["half_width"]
        clear = half_width is not None and abs(mean) > half_width
        relation = ("beats" if mean > 0 else "loses to") if clear else "neither beats nor loses to"
        points = interval_text(gain, 2, "+") + (" points, one seed" if half_width is None else " points")
        lines.append(f"{name}: the graph network {relation} smoothing without parameters ({points}, inductive)")
    return lines
