"""The chart of a calibration: all similarities, the band and, where labels exist, the label precision."""

from pathlib import Path

from miner.artifacts.pairs.band import Band
from miner.engine import Record, committed

_LEAST_PAIRS = 20  # sampled pairs that a point of the precision curve needs


def draw_calibration(path: Path, record: Record) -> None:
    """Draw all similarities on a logarithmic scale, the band, and label precision.

    Args:
        path: of the PNG file.
        record: of calibration.json; histogram and band are drawn.
    """
    from matplotlib.figure import Figure

    histogram, band = record["histogram"], Band.from_record(record["band"])
    counts = [count * histogram["pairs_per_count"] for count in histogram["counts"]]
    width = (histogram["high"] - histogram["low"]) / len(counts)
    edges = [histogram["low"] + number * width for number in range(len(counts))]
    curve = precision_curve(histogram, band.high)
    figure = Figure(figsize=(7, 5 if curve else 3.5), layout="constrained")
    panels = figure.subplots(
        2 if curve else 1, squeeze=False, sharex=True, height_ratios=[3, 2] if curve else [1]
    ).ravel()
    axes = panels[0]
    axes.bar(edges, counts, width=width, align="edge", color="#5b7c99")
    axes.set(yscale="log", ylabel="pairs", title="All pairs of different images (estimated)")
    label = f"band {band}"
    for panel in panels:
        panel.axvspan(band.low, band.high, color="#e8a33d", alpha=0.5, label=label)
        panel.axvline(band.high, color="#8a4b08", linestyle="--", label="half of the images are as close to themselves")
    if curve:
        panels[1].plot(*zip(*curve, strict=True), color="#3b3b3b")
        panels[1].set(ylabel="label precision above", ylim=(0, 1.02))
    panels[-1].set(xlabel="cosine similarity")
    axes.set_xlim(min(edge for edge, count in zip(edges, counts, strict=True) if count), 1.0)
    axes.legend(fontsize=8)
    with committed(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def precision_curve(histogram: Record, high: float) -> list[tuple[float, float]]:
    """Share of the sampled pairs from each similarity up to the upper end of the band whose labels agree; empty without labels."""
    if "same_label" not in histogram:
        return []
    bins = len(histogram["counts"])
    width = (histogram["high"] - histogram["low"]) / bins
    top = min(round((high - histogram["low"]) / width), bins)
    pairs = right = 0
    curve = []
    for number in range(top - 1, -1, -1):
        pairs += histogram["counts"][number]
        right += histogram["same_label"][number]
        if pairs >= _LEAST_PAIRS:
            curve.append((histogram["low"] + number * width, right / pairs))
    return curve[::-1]
