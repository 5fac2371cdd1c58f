"""`miner calibrate`: a similarity band for this encoder and these images, without labels.

The band 0.97 to 0.99 of SePP-ID belongs to one encoder: an offset that all vectors share already moves all cosines. Two
quantities carry over to other encoders. The upper end of the band is the median cosine of two mild augmentations of one image:
an encoder that finds two images more similar takes them for duplicates. The lower end follows from a budget of pairs per image.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median

from miner.artifacts.differences import differences
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.band import Band
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, committed, file_record, read_json, write_signed
from miner.errors import MinerError
from miner.pairs.calibration.summary import calibration_lines, next_command
from miner.pairs.options import CalibrateOptions

ROUNDING = 3
_LEAST_PAIRS = 20  # sampled pairs that a point of the precision curve needs


def calibrate(options: CalibrateOptions, workspace: Workspace, *, force: bool = False, compare: bool = True) -> Result:
    """Write `calibration.json` and its pictures: a proposed band, and the rules side by side. Labels are reported, but not used.

    A calibration by another request is replaced. What a stage has computed from it stays as it is.

    Args:
        compare: whether to compare rules. A calibration without that is completed by the next call that compares.
    Raises:
        MinerError: there are no embeddings or too few readable images, or no band holds the budget.
    """
    request = {"embeddings": EmbeddingsManifest.read(workspace).identity, **options.request()}
    old = None if force else read_json(workspace.calibration)
    asked = old.get("request", {}) if old else {}
    lines: list[str] = []
    if old and asked == request:
        # A record of an older version has no such key, and is complete.
        if not compare or old.get("comparison", {}) is not None:
            return _result(old, options, workspace, fresh=False)
    elif old:
        lines.append(f"calibrate: replaces the calibration of another request ({differences(asked, request)})")

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.pairs.calibration.comparison import compare_rules
    from miner.pairs.calibration.contact_sheet import draw_sheets, sheet_rows
    from miner.pairs.calibration.images import ReadImages
    from miner.pairs.calibration.self_similarity import UNMEASURED, measure_self_similarity, quantiles
    from miner.pairs.tables.histogram import sample_histogram

    store = EmbeddingStore(workspace)
    images = ReadImages(store)
    if old and {**asked, "budget": options.budget} == request:
        high, quantiles_of = Band.from_record(old["band"]).high, old["self_similarity"]
    elif store.manifest.request.vectors_files is not None:
        high, quantiles_of = UNMEASURED, {"images": 0}
    else:
        similarity = measure_self_similarity(options, images)
        high = round(float(median(similarity)), ROUNDING)
        quantiles_of = {"images": len(similarity), **quantiles(similarity)}
    histogram = sample_histogram(MemoryVectors(store.vectors), store.labels, options.seed)
    band = histogram.band_of(options.budget * len(store), high)
    if band is None:
        most = histogram.pairs_in(Band(-1.0, high)) / len(store)
        raise MinerError(
            f"There are only {most:.2g} pairs per image below {high:g}, where duplicates begin for this encoder, so --budget "
            f"{options.budget:g} cannot be met. Use a lower --budget, or more images."
        )
    precision = histogram.precision_in(band)
    plot, sheets = workspace.root / "calibration.png", workspace.root / "calibration_pairs.png"
    record = {
        "request": request,
        "band": Band(round(band.low, ROUNDING), high).record(),
        "images": len(store),
        "estimated_pairs": round(histogram.pairs_in(band)),
        "estimated_pairs_above": round(histogram.pairs_in(Band(high, 1.0))),
        "self_similarity": quantiles_of,
        "histogram": histogram.record(),
        "labels": None if precision is None else {"precision": precision, "used_for_the_band": False},
        "comparison": None,
    }
    _draw(plot, record)
    if not compare:
        sheets.unlink(missing_ok=True)
    else:
        compared = compare_rules(options, store, high, histogram)
        record["comparison"] = compared.record
        if not store.manifest.source.without_images:
            draw_sheets(sheets, sheet_rows(compared.near, compared.band, compared.recommended, options.seed), images)
    files = {path.name: file_record(path) for path in (plot, sheets) if path.exists()}
    result = _result(write_signed(workspace.calibration, {**record, "files": files}), options, workspace)
    return replace(result, lines=[*lines, *result.lines])


def _result(record: Record, options: CalibrateOptions, workspace: Workspace, fresh: bool = True) -> Result:
    made = CalibrationRecord.of(record, workspace.calibration)
    lines, pictures = calibration_lines(made, workspace), [workspace.root / name for name in sorted(made.files)]
    page, command = pictures[-1] if pictures else None, next_command(made, options, workspace)
    path, verdict = workspace.calibration, made.verdict
    return Result("calibrate", record, lines, fresh, path=path, page=page, verdict=verdict, next_command=command)


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
    measured = record["self_similarity"]["images"] > 0
    ceiling = "half of the images are as close to themselves" if measured else "duplicates, not measured"
    for panel in panels:
        panel.axvspan(band.low, band.high, color="#e8a33d", alpha=0.5, label=label)
        panel.axvline(band.high, color="#8a4b08", linestyle="--", label=ceiling)
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
