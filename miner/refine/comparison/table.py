"""One table of all arms: means and 95 % intervals over seeds; as JSON, Markdown, CSV and a figure."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from miner.engine.records import Record
from miner.refine.comparison.controls import ARMS, Arm
from miner.statistics import mean_interval

CLASSIFIERS = ("linear", "knn")


def summary(values: Sequence[float]) -> Record:
    """Mean and half the width of the 95 % interval by Student's t; None for one value."""
    found = mean_interval(values)
    return {
        "mean": round(found.mean, 3),
        "half_width": None if found.half_width is None else round(found.half_width, 3),
    }


def table_rows(scores: dict[str, list[Record]]) -> list[Record]:
    """A row per arm.

    Args:
        scores: by `arm_key`, what `scores.score` said for each seed.
    """
    return [
        {
            "arm": arm.name,
            "mode": arm.mode if arm.kind != "raw" and arm.edges else None,
            **{name: summary([score[name]["test"] for score in scores[arm_key(arm)]]) for name in CLASSIFIERS},
        }
        for arm in ARMS
    ]


def arm_key(arm: Arm) -> str:
    """A name for files."""
    return f"{arm.name.replace(',', '').replace(' ', '-')}-{arm.mode}"


def verdict(scores: dict[str, list[Record]]) -> dict[str, Record]:
    """Graph network less the better smoothing, both inductive, test points paired by seed, for each classifier.

    Which smoothing is better is decided on held-out training images, seed by seed.
    """
    network = next(arm for arm in ARMS if arm.name == "graph network" and arm.mode == "inductive")
    smoothings = [scores[arm_key(arm)] for arm in ARMS if arm.kind == "smoothing"]
    answers = {}
    for name in CLASSIFIERS:
        best = [max(seed, key=lambda one: one[name]["validation"]) for seed in zip(*smoothings, strict=True)]
        pairs = zip(scores[arm_key(network)], best, strict=True)
        answers[name] = summary([ours[name]["test"] - other[name]["test"] for ours, other in pairs])
    return answers


def in_words(answers: dict[str, Record]) -> list[str]:
    """Whether the graph network beats smoothing without parameters, plainly."""
    lines = []
    for name, answer in answers.items():
        mean, half = answer["mean"], answer["half_width"]
        clear = half is not None and abs(mean) > half
        said = ("beats" if mean > 0 else "loses to") if clear else "neither beats nor loses to"
        found = f"{mean:+.2f} points, one seed" if half is None else f"{mean:+.2f} ± {half:.2f} points"
        lines.append(f"{name}: the graph network {said} smoothing without parameters ({found}, inductive)")
    return lines


def markdown(rows: list[Record]) -> str:
    """The table for people."""
    lines = ["| features | mode | linear | kNN |", "|---|---|---|---|"]
    for row in rows:
        cells = [row["arm"], row["mode"] or "", *(shown(row[name]) for name in CLASSIFIERS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(number: Record) -> str:
    """87.65 ± 0.12"""
    half = number["half_width"]
    return f"{number['mean']:.2f}" + ("" if half is None else f" ± {half:.2f}")


def row_name(row: Record) -> str:
    """Arm and mode."""
    return f"{row['arm']} ({row['mode']})" if row["mode"] else str(row["arm"])


def comma_separated(rows: list[Record]) -> str:
    """The table for programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "mode", *(f"{name}_{part}" for name in CLASSIFIERS for part in ("mean", "half_width"))])
    for row in rows:
        numbers = [row[name][part] for name in CLASSIFIERS for part in ("mean", "half_width")]
        writer.writerow([row["arm"], row["mode"], *numbers])
    return text.getvalue()


def draw(path: Path, rows: list[Record]) -> None:
    """The table as a figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(CLASSIFIERS), sharey=True)
    places = range(len(rows))[::-1]
    for panel, name, title in zip(panels, CLASSIFIERS, ("linear", "kNN"), strict=True):
        means = [row[name]["mean"] for row in rows]
        panel.errorbar(means, places, xerr=[row[name]["half_width"] or 0 for row in rows], fmt="o", color="#3b5b7c")
        panel.axvline(means[0], color="#e8a33d", linestyle="--", linewidth=1)
        panel.set(xlabel="test accuracy, %", title=title)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(places, [row_name(row) for row in rows])
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
