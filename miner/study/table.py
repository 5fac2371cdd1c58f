"""The results of a study for people: a table in Markdown with its notes, the same as CSV, and a figure."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record, committed
from miner.statistics import seeds_needed
from miner.study.plan import StudyPlan
from miner.study.summary import CONTROLS, FACTS
from miner.tables import csv_text, interval_text, markdown_lines, plot_intervals
from miner.text import counted

_SHOWN = 1  # digits after the point


def study_markdown(title: str, arms: Sequence[Record], notes: Sequence[str]) -> str:
    """A table with one row per arm of `summarise_cells`, and notes below it."""
    protocols = next(([(knn["k"], knn["temperature"]) for knn in arm["knn"]] for arm in arms if "knn" in arm), [])
    heads = ["arm", "seeds", "steps", "pairs", "pair precision", "images in pairs"]
    heads += [f"kNN, k = {k}, T = {temperature:g}" for k, temperature in protocols]
    heads += [f"gain over the best control, k = {k}" for k, _ in protocols]
    if has_linear := any("linear" in arm for arm in arms):
        heads += ["linear", "gain over the best control, linear"]
    rows = [heads, ["---"] * len(heads), *(_cells(arm, len(protocols), has_linear) for arm in arms)]
    return "\n\n".join([f"# {title}", "\n".join(markdown_lines(rows)), *notes]) + "\n"


def _cells(arm: Record, protocols: int, has_linear: bool) -> list[str]:
    if "knn" not in arm:
        return [arm["arm"], "failed", *["-"] * (4 + 2 * protocols + 2 * has_linear)]
    linear = [arm["linear"]] if has_linear else []
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
        *(text for found in linear for text in (interval_text(found["accuracy"], _SHOWN), _gain(found["gain"]))),
    ]


def _gain(found: Record | None) -> str:
    return "-" if found is None else f"{interval_text(found, _SHOWN, '+')} ({found['control']})"


def study_csv(arms: Sequence[Record]) -> str:
    """One line per arm. Accuracies in percent and gains in points, with half of their 95 % intervals; unknown values are empty."""
    facts = ["arm", "workspace", "pairs_arm", *FACTS]
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


def study_notes(plan: StudyPlan, arms: Sequence[Record], cells: Sequence[Record]) -> list[str]:
    """The paragraphs that stand below the table of `summarise_cells(cells)`."""
    known = [arm for arm in arms if "knn" in arm]
    first = next(cell for cell in cells if "error" not in cell)
    random = [arm["knn"][0]["random_weights"] for arm in known]
    counts = {len(arm["seeds"]) for arm in known}
    more = ["± is half of the 95 % interval over seeds (Student's t)."] if counts - {1} else []
    return [
        " ".join([*more, *(["One seed, no interval."] if 1 in counts else [])]),
        *_about_gains(known),
        *about_work(known),
        f"Top-1 accuracy in percent of nearest neighbours on frozen features: gallery {counted(first['n_gallery'], 'image')} of "
        f"{first['gallery']}, test {first['n_test']:,} of {first['test']}. The random weights that runs start "
        f"from: {sum(random) / len(random):.1f} (k = {known[0]['knn'][0]['k']}).",
        *_about_samplers(plan),
        *[f"Failed: {arm['arm']}, seed {cell['seed']}: {cell['error']}" for arm in arms for cell in arm["failed"]],
    ]


def _about_gains(arms: Sequence[Record]) -> list[str]:
    if not any(arm["knn"][0]["gain"] for arm in arms):
        return []
    controls = ", ".join(arm["arm"] for arm in arms if arm["pairs_arm"] in CONTROLS)
    return [
        f"The gain is over the best control ({controls}) of as many steps and no more work in them: "
        "the one with the highest mean, compared seed by seed.",
        *about_power(arms),
    ]


def about_power(arms: Sequence[Record]) -> list[str]:
    """How many seeds a gain of one point needs, from how much the gains of this study differ between seeds."""
    gains = [gain["by_seed"] for arm in arms if (gain := arm["knn"][0]["gain"]) and len(gain["by_seed"]) > 1]
    if not gains:
        return []
    deviation = math.sqrt(fmean(variance(by_seed) for by_seed in gains))
    return [
        f"Gains differ between seeds with a standard deviation of {deviation:.2f} points (k = {arms[0]['knn'][0]['k']}). "
        f"{counted(seeds_needed(deviation, 1), 'seed')} would show a true gain of one point in four of five such studies."
    ]


def about_work(arms: Sequence[Record]) -> list[str]:
    """The work of the arms beside their steps, if arms differ in it; arms of the same work stand together."""
    work: dict[float, list[str]] = {}
    for arm in arms:
        if arm.get("forward_passes"):
            work.setdefault(arm["forward_passes"], []).append(arm["arm"])
    if len(work) < 2:
        return []
    shown = "; ".join(f"{passes:,.0f} by {', '.join(names)}" for passes, names in work.items())
    return [f"Forward passes of an image (a backward pass counts as two): {shown}."]


def _about_samplers(plan: StudyPlan) -> list[str]:
    """The encoder that chose the pairs of each workspace, and the labels that it has seen."""
    lines = []
    for name in plan.workspaces:
        pairs = PairsManifest.find(Workspace(plan.root / name))
        if pairs is not None and pairs.encoder is not None:
            encoder = pairs.encoder.name
            lines.append(
                f"Pairs of `{name}`: {pairs.pairs:,} {pairs.described}, by "
                f"{Path(encoder).name if ':' in encoder else encoder}; labels that it has seen: {pairs.encoder.labels_seen}."
            )
    return lines


def plot_study(path: Path, title: str, arms: Sequence[Record]) -> None:
    """A PNG of means with their 95 % intervals: one row per arm that has a result, controls in grey, a line at the best control."""
    from matplotlib.figure import Figure

    known = [arm for arm in arms if "knn" in arm]
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(known)), layout="constrained")
    axes = figure.subplots()
    names, accuracies = [arm["arm"] for arm in known], [arm["knn"][0]["accuracy"] for arm in known]
    colours = ["#8a8a8a" if arm["pairs_arm"] in CONTROLS else "#1f5f99" for arm in known]
    plot_intervals(axes, names, accuracies, colours, capsize=4)
    for level, control in _best_controls(known):
        axes.axvline(level, color="#8a8a8a", linestyle="--", linewidth=1, label=f"best control: {control}")
        axes.legend(fontsize=8)
    first = known[0]["knn"][0]
    axes.set(title=title, xlabel=f"kNN accuracy in percent (k = {first['k']}, T = {first['temperature']:g})")
    axes.margins(y=0.15)
    with committed(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def _best_controls(arms: Sequence[Record]) -> list[tuple[float, str]]:
    """Mean and name of the control that half of the arms are compared with; empty if there is none, as among many methods."""
    named = [arm["knn"][0]["gain"]["control"] for arm in arms if arm["knn"][0]["gain"]]
    best = next((name for name in sorted(set(named)) if 2 * named.count(name) >= len(named)), None)
    return [(arm["knn"][0]["accuracy"]["mean"], arm["arm"]) for arm in arms if arm["arm"] == best]
