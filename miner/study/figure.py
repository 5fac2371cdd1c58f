"""The figure of a study: the accuracy of every arm and seed, controls in grey."""

from collections.abc import Sequence
from pathlib import Path

from miner.engine import Record, committed
from miner.study.summary import CONTROLS
from miner.tables import plot_intervals


def plot_study(path: Path, title: str, arms: Sequence[Record]) -> None:
    """Means with their 95 % intervals, one row per arm, and a line at the best control.

    Args:
        path: PNG to write.
        title: above the figure.
        arms: of `summarise_cells`; those without a result are left out.
    """
    from matplotlib.figure import Figure

    known = [arm for arm in arms if "knn" in arm]
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(known)), layout="constrained")
    axes = figure.subplots()
    colours = ["#8a8a8a" if arm["pairs_arm"] in CONTROLS else "#1f5f99" for arm in known]
    plot_intervals(
        axes, [arm["arm"] for arm in known], [arm["knn"][0]["accuracy"] for arm in known], colours, capsize=4
    )
    for level, control in _best_controls(known):
        axes.axvline(level, color="#8a8a8a", linestyle="--", linewidth=1, label=f"best control: {control}")
        axes.legend(fontsize=8)
    first = known[0]["knn"][0]
    axes.set(title=title, xlabel=f"kNN accuracy in percent (k = {first['k']}, T = {first['temperature']:g})")
    axes.margins(y=0.15)
    with committed(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def _best_controls(arms: Sequence[Record]) -> list[tuple[float, str]]:
    """Mean and name of the control that most arms are compared with; empty if there is none."""
    named = [arm["knn"][0]["gain"]["control"] for arm in arms if arm["knn"][0]["gain"]]
    best = max(sorted(set(named)), key=named.count, default=None)
    return [(arm["knn"][0]["accuracy"]["mean"], arm["arm"]) for arm in arms if arm["arm"] == best]
