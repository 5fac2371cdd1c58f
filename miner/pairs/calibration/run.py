"""`miner calibrate`: a similarity band for this encoder and these images, without labels.

The band 0.97 to 0.99 of SePP-ID belongs to one encoder: an offset that all vectors share already moves all cosines. Two
quantities carry over to other encoders. The upper end of the band is the median cosine of two mild augmentations of one image:
an encoder that finds two images more similar takes them for duplicates. The lower end follows from a budget of pairs per image.
"""

from pathlib import Path
from statistics import median

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.stage_folder import finished_file
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, committed, file_record, write_signed
from miner.errors import MinerError
from miner.pairs.options import CalibrateOptions

_ROUNDING = 3
_TOO_MANY_ABOVE = 1.0  # pairs per image above the band
_LEAST_PAIRS = 20  # sampled pairs that a point of the precision curve needs


def calibrate(options: CalibrateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `calibration.json` and `calibration.png` with a proposed band. Labels are reported where they exist, but not used.

    Raises:
        MinerError: there are no embeddings or too few readable images, or no band holds the budget.
    """
    request = {"embeddings": EmbeddingsManifest.read(workspace).identity, **options.request()}
    if record := finished_file(workspace.calibration, request, force):
        return _result(record, options, workspace, fresh=False)

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.pairs.calibration.histogram import sample_histogram
    from miner.pairs.calibration.self_similarity import measure_self_similarity, quantiles

    store = EmbeddingStore(workspace)
    similarity = measure_self_similarity(options, store)
    high = round(float(median(similarity)), _ROUNDING)
    histogram = sample_histogram(MemoryVectors(store.vectors), store.labels, options.seed)
    band = histogram.band_of(options.budget * len(store), high)
    if band is None:
        most = histogram.pairs_in(Band(-1.0, high)) / len(store)
        raise MinerError(
            f"There are only {most:.2g} pairs per image below {high:g}, where duplicates begin for this encoder, so --budget "
            f"{options.budget:g} cannot be met. Use a lower --budget, or more images."
        )
    precision = histogram.precision_in(band)
    record = {
        "request": request,
        "band": Band(round(band.low, _ROUNDING), high).record(),
        "images": len(store),
        "estimated_pairs": round(histogram.pairs_in(band)),
        "estimated_pairs_above": round(histogram.pairs_in(Band(high, 1.0))),
        "self_similarity": {"images": len(similarity), **quantiles(similarity)},
        "histogram": histogram.record(),
        "labels": None if precision is None else {"precision": precision, "used_for_the_band": False},
    }
    plot = workspace.root / "calibration.png"
    _draw(plot, record)
    record = write_signed(workspace.calibration, {**record, "files": {plot.name: file_record(plot)}})
    return _result(record, options, workspace)


def _result(record: Record, options: CalibrateOptions, workspace: Workspace, fresh: bool = True) -> Result:
    made = CalibrationRecord.of(record, workspace.calibration)
    band = made.band
    lines = [
        f"calibrate: proposed band [{band.low:g}, {band.high:g}], about {made.estimated_pairs:,} pairs of "
        f"{made.images:,} images (duplicates begin at {band.high:g}, the median cosine of two augmentations of one image)"
    ]
    above = made.estimated_pairs_above / made.images
    if above > _TOO_MANY_ABOVE:
        lines.append(
            f"Warning: about {above:.2g} pairs per image are above the band, as similar as two augmentations of one image. This "
            "encoder hardly tells these images apart. Look at the pairs before you train on them, or use another encoder."
        )
    if made.labels:
        lines.append(
            f"calibrate: label precision in the band about {made.labels['precision']:.1%} (reported, not used)"
        )
    lines.append(
        f"calibrate: next, {_next_command(made, options, workspace)}  (the same as --min {band.low:g} --max {band.high:g})"
    )
    return Result("calibrate", record, lines, fresh, path=workspace.calibration)


def _next_command(made: CalibrationRecord, options: CalibrateOptions, workspace: Workspace) -> str:
    """The command that mines the band, with this workspace, this device, and --force if there are other pairs."""
    device = "" if options.device == "auto" else f" --device {options.device}"
    pairs = PairsManifest.find(workspace)
    wanted = (made.asked["embeddings"], made.band)
    replaces = pairs is not None and (pairs.request.embeddings, pairs.request.band) != wanted
    return f"miner pairs --auto{workspace_flag(workspace)}{device}{' --force' if replaces else ''}"


def _draw(path: Path, record: Record) -> None:
    """Draw all similarities of calibration.json on a logarithmic scale, the band and, where labels exist, their precision."""
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
