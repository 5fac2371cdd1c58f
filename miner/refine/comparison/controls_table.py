"""The table of `miner eval graph`: a row per arm, means over seeds with 95 % intervals; as records, Markdown, CSV and a figure."""

from pathlib import Path

from miner.artifacts.manifests import CLASSIFIERS
from miner.engine import Record
from miner.refine.comparison.controls import GRAPH_ARMS, GraphArm
from miner.tables import csv_text, interval_record, interval_text, markdown_lines, plot_intervals

_DIGITS = 3  # of the records
_SHOWN = 2  # of the digits, to people


def control_rows(scores: dict[str, list[Record]]) -> list[Record]:
    """A row per arm, from the `scores.score` of each seed by `arm_key`."""
    return [
        {
            "arm": arm.name,
            "mode": arm.mode if arm.kind != "raw" and arm.edges else None,
            **{name: _interval([score[name]["test"] for score in scores[arm_key(arm)]]) for name in CLASSIFIERS},
        }
        for arm in GRAPH_ARMS
    ]


def arm_key(arm: GraphArm) -> str:
    """The name of an arm in files and records."""
    return f"{arm.name.replace(',', '').replace(' ', '-')}-{arm.mode}"


def verdict(scores: dict[str, list[Record]]) -> dict[str, Record]:
    """Gain of the graph network over the better smoothing by classifier, both inductive, test accuracies paired by seed.

    Held-out training images decide for each seed which smoothing is better.
    """
    network = next(arm for arm in GRAPH_ARMS if arm.name == "graph network" and arm.mode == "inductive")
    smoothings = [scores[arm_key(arm)] for arm in GRAPH_ARMS if arm.kind == "smoothing"]
    gains = {}
    for name in CLASSIFIERS:
        best = [max(seed, key=lambda one: one[name]["validation"]) for seed in zip(*smoothings, strict=True)]
        pairs = zip(scores[arm_key(network)], best, strict=True)
        gains[name] = _interval([ours[name]["test"] - other[name]["test"] for ours, other in pairs])
    return gains


def controls_markdown(rows: list[Record]) -> str:
    """The table for people."""
    cells = [
        [row["arm"], row["mode"] or "", *(interval_text(row[name], _SHOWN) for name in CLASSIFIERS)] for row in rows
    ]
    head, *lines = markdown_lines([["features", "mode", "linear", "kNN"], *cells])
    return "\n".join([head, "|---|---|---|---|", *lines]) + "\n"


def controls_csv(rows: list[Record]) -> str:
    """The table for programs."""
    parts = [(f"{name}_{part}", name, part) for name in CLASSIFIERS for part in ("mean", "half_width")]
    flat = [{**row, **{column: row[name][part] for column, name, part in parts}} for row in rows]
    return csv_text(["arm", "mode", *(column for column, _, _ in parts)], flat)


def row_name(row: Record) -> str:
    """Arm and mode."""
    return f"{row['arm']} ({row['mode']})" if row["mode"] else str(row["arm"])


def plot_controls(path: Path, rows: list[Record]) -> None:
    """Write the table as a figure; the line is at the raw features."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(CLASSIFIERS), sharey=True)
    for panel, name, title in zip(panels, CLASSIFIERS, ("linear", "kNN"), strict=True):
        plot_intervals(panel, [row_name(row) for row in rows], [row[name] for row in rows], ["#3b5b7c"] * len(rows))
        panel.axvline(rows[0][name]["mean"], color="#e8a33d", linestyle="--", linewidth=1)
        panel.set(xlabel="test accuracy, %", title=title)
        panel.grid(axis="x", alpha=0.3)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _interval(values: list[float]) -> Record:
    return interval_record(values, _DIGITS)
