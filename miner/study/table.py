"""The table of a study, in Markdown for people and in CSV for programs."""

from collections.abc import Sequence
from typing import Any

from miner.engine import Record
from miner.tables import csv_text, interval_text, markdown_lines

_SHOWN = 1  # digits after the point


def study_markdown(title: str, arms: Sequence[Record], notes: Sequence[str]) -> str:
    """A table with one row per arm, and notes below it.

    Args:
        title: above the table.
        arms: of `summarise_cells`.
        notes: paragraphs below the table.
    """
    protocols = _protocols(arms)
    heads = ["arm", "seeds", "steps", "pairs", "pair precision", "images in pairs"]
    heads += [f"kNN, k = {k}, T = {temperature:g}" for k, temperature in protocols]
    heads += [f"gain over the best control, k = {k}" for k, _ in protocols]
    rows = [heads, ["---"] * len(heads), *(_cells(arm, len(protocols)) for arm in arms)]
    return "\n\n".join([f"# {title}", "\n".join(markdown_lines(rows)), *notes]) + "\n"


def _cells(arm: Record, protocols: int) -> list[str]:
    if "knn" not in arm:
        return [arm["arm"], "failed", *["-"] * (4 + 2 * protocols)]
    precision = arm["pair_label_precision"]
    paired = arm["pairs"] > 0
    return [
        arm["arm"],
        str(len(arm["seeds"])),
        f"{arm['steps']:,}",
        f"{arm['pairs']:,}" if paired else "-",
        f"{100 * precision:.1f} %" if precision is not None else "-",
        f"{arm['pair_images']:,.0f}" if paired and arm["pair_images"] is not None else "-",
        *(interval_text(result["accuracy"], _SHOWN) for result in arm["knn"]),
        *(_gain(result["gain"]) for result in arm["knn"]),
    ]


def _gain(found: Record | None) -> str:
    return "-" if found is None else f"{interval_text(found, _SHOWN, '+')} ({found['control']})"


def study_csv(arms: Sequence[Record]) -> str:
    """One line per arm. Accuracies in percent and gains in points, with half of their 95 % intervals; unknown values are empty."""
    facts = ["arm", "workspace", "pairs_arm", "steps", "pairs", "pair_label_precision", "pair_images"]
    rows: list[dict[str, Any]] = []
    for arm in arms:
        row = {"seeds": len(arm["seeds"]), "failed": len(arm["failed"]), **{name: arm.get(name) for name in facts}}
        for result in arm.get("knn", []):
            for what in ("accuracy", "gain"):
                found = result[what] or {}
                row |= {f"{_column(result)}_{what}_{part}": found.get(part) for part in ("mean", "half_width")}
            row[f"{_column(result)}_control"] = (result["gain"] or {}).get("control")
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: facts.index(name) if name in facts else len(facts))
    return csv_text(names, rows)


def _column(result: Record) -> str:
    return f"knn_k{result['k']}_T{result['temperature']:g}"


def _protocols(arms: Sequence[Record]) -> list[tuple[int, float]]:
    for arm in arms:
        if "knn" in arm:
            return [(result["k"], result["temperature"]) for result in arm["knn"]]
    return []
