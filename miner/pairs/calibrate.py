"""`miner calibrate`: a similarity band for this encoder and these images, without labels.

The band 0.97 to 0.99 of SePP-ID belongs to one encoder; a shared offset of the vectors alone moves all cosines. Two
quantities carry over. The ceiling: pairs more similar than an image is to itself under mild augmentation are duplicates for
this encoder. The budget: the lower end is where the band holds a wanted number of pairs per image.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from miner.engine import committed
from miner.errors import MinerError
from miner.pairs.options import CalibrateOptions
from miner.workspace import (
    Record,
    Result,
    Workspace,
    file_record,
    fingerprint,
    finished_file,
    workspace_flag,
    write_signed,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from miner.embeddings import EmbeddingStore
    from miner.pairs.histogram import SimilarityHistogram
    from miner.source import Entry, Source

_ROUNDING = 3


def calibrate(options: CalibrateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `calibration.json` and `calibration.png` with a proposed band. Labels, if there are any, are reported, not used.

    Raises:
        MinerError: no embeddings, or too few readable images.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    request = {"embeddings": fingerprint(embeddings["files"]), **options.plain()}
    request = {name: value for name, value in request.items() if name not in ("device", "batch_size")}
    if record := finished_file(workspace.calibration, request, force):
        return Result("calibrate", record, _lines(record, workspace), fresh=False)

    from miner.embeddings import EmbeddingStore
    from miner.pairs.histogram import sample_histogram
    from miner.pairs.similarity import unit_rows

    store = EmbeddingStore(workspace)
    similarity = _self_similarity(options, store)
    ceiling = _ceiling(similarity)
    histogram = sample_histogram(unit_rows(store.vectors), store.labels, options.seed)
    low = histogram.lowest_for(options.budget * len(store), ceiling)
    if low is None:
        most = histogram.pairs_between(-1.0, ceiling) / len(store)
        raise MinerError(
            f"There are only {most:.2g} pairs per image below {ceiling:g}, where duplicates begin for this encoder; --budget "
            f"{options.budget:g} cannot be met. Use a lower --budget, or more images."
        )
    record = {
        "request": request,
        "band": {"min": round(low, _ROUNDING), "max": ceiling},
        "images": len(store),
        "estimated_pairs": round(histogram.pairs_between(low, ceiling)),
        "self_similarity": _quantiles(similarity),
        "histogram": histogram.record(),
        "labels": _label_curve(histogram, low, ceiling),
    }
    plot = _plot(workspace, record)
    record = write_signed(workspace.calibration, {**record, "files": {plot.name: file_record(plot)}})
    return Result("calibrate", record, _lines(record, workspace))


def _self_similarity(options: CalibrateOptions, store: "EmbeddingStore") -> "NDArray[np.float64]":
    """Cosine of two mild augmentations of the same image, for a sample of images, ascending."""
    import numpy as np
    import torch

    from miner.device import resolve_device, resolve_precision
    from miner.embed.encoders import load_encoder
    from miner.pairs.augment import mild_augmentation
    from miner.source import open_source

    request = store.manifest["request"]
    device = resolve_device(options.device)
    encoder = load_encoder(request["encoder"], device, request.get("layer", "backbone"), request.get("pool", "auto"))
    if store.manifest["encoder"].get("weights_sha256") not in (None, encoder.record()["weights_sha256"]):
        raise MinerError(
            f"The encoder {encoder.name} has other weights than when the images were embedded. Embed again with --force."
        )
    source = open_source(request["source"])
    keys = set(store.keys)
    entries = [entry for entry in source.entries if entry.key in keys]
    if len(entries) < 2:
        raise MinerError(
            f"The images of {request['source']} are gone since they were embedded. Embed again with --force."
        )
    rng = np.random.default_rng(options.seed)
    chosen = np.sort(rng.permutation(len(entries))[: options.images])
    vectors = []
    for start in range(0, len(chosen), options.batch_size):
        images = [_decoded(source, entries[row]) for row in chosen[start : start + options.batch_size]]
        views = [encoder.preprocess.pixels(mild_augmentation(image, rng)) for image in images for _ in range(2)]
        batch = torch.from_numpy(np.stack(views)).to(device)
        vectors.append(encoder.encode(batch, resolve_precision(request["precision"], device)).cpu().numpy())
    both = np.concatenate(vectors).astype(np.float64)
    return np.sort((both[0::2] * both[1::2]).sum(axis=1))


def _decoded(source: "Source", entry: "Entry") -> "Image":
    """An embedded image, decoded again.

    Raises:
        MinerError: it has changed since.
    """
    from miner.source.decode import UnreadableImageError, decode_image

    try:
        return decode_image(source.read(entry))
    except (OSError, UnreadableImageError) as error:
        raise MinerError(
            f"The image {entry.path} of {source.spec} has changed since it was embedded ({error})."
        ) from error


def _ceiling(similarity: "NDArray[np.float64]") -> float:
    """The median: as close as the image is to itself, half of the time."""
    import numpy as np

    return round(float(np.median(similarity)), _ROUNDING)


def _quantiles(similarity: "NDArray[np.float64]") -> Record:
    import numpy as np

    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        "images": len(similarity),
        **{f"q{round(level * 100):02d}": float(np.quantile(similarity, level)) for level in levels},
    }


def _label_curve(histogram: "SimilarityHistogram", low: float, ceiling: float) -> Record | None:
    """Label precision of the proposed band on the sampled pairs, for the record only."""
    precision = histogram.precision_between(low, ceiling)
    return None if precision is None else {"precision": precision, "used_for_the_band": False}


def _plot(workspace: Workspace, record: Record) -> Path:
    """All similarities, on a logarithmic scale, with the proposed band: calibration.png."""
    from matplotlib.figure import Figure

    histogram, band = record["histogram"], record["band"]
    counts = [count * histogram["pairs_per_count"] for count in histogram["counts"]]
    width = (histogram["high"] - histogram["low"]) / len(counts)
    edges = [histogram["low"] + number * width for number in range(len(counts))]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(edges, counts, width=width, align="edge", color="#5b7c99")
    axes.axvspan(band["min"], band["max"], color="#e8a33d", alpha=0.5, label=f"band {band['min']:g} to {band['max']:g}")
    axes.set(
        yscale="log", xlabel="cosine similarity", ylabel="pairs", title="All pairs of different images (estimated)"
    )
    axes.set_xlim(min(edge for edge, count in zip(edges, counts, strict=True) if count), 1.0)
    axes.legend()
    path = workspace.root / "calibration.png"
    with committed(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def _lines(record: Record, workspace: Workspace) -> list[str]:
    band, labels = record["band"], record["labels"]
    flag = workspace_flag(workspace)
    lines = [
        f"calibrate: proposed band [{band['min']:g}, {band['max']:g}], about {record['estimated_pairs']:,} pairs of "
        f"{record['images']:,} images (duplicates begin at {band['max']:g}, where an image is as close to itself)"
    ]
    if labels:
        lines.append(f"calibrate: label precision there about {labels['precision']:.1%} (reported, not used)")
    return [
        *lines,
        f"calibrate: next, miner pairs --auto{flag}  (the same as --min {band['min']:g} --max {band['max']:g})",
    ]
