"""`miner calibrate`: a similarity band for this encoder and these images, without labels.

The band 0.97 to 0.99 of SePP-ID belongs to one encoder; a shared offset of the vectors alone moves all cosines. Two
quantities carry over. The ceiling: pairs more similar than an image is to itself under mild augmentation are duplicates for
this encoder. The budget: the lower end is where the band holds a wanted number of pairs per image.
"""

from typing import TYPE_CHECKING

from miner.artifacts.calibration import CalibrationRecord
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.stage import finished_file
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine.digest import file_record
from miner.engine.records import Record, write_signed
from miner.engine.result import Result
from miner.errors import MinerError
from miner.pairs.options import CalibrateOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.pairs.calibration.histogram import SimilarityHistogram
    from miner.source import Entry, Source

_ROUNDING = 3
_TOO_MANY_ABOVE = 1.0  # pairs per image above the band


def calibrate(options: CalibrateOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `calibration.json` and `calibration.png` with a proposed band. Labels, if there are any, are reported, not used.

    Raises:
        MinerError: no embeddings, or too few readable images.
    """
    request = {"embeddings": EmbeddingsManifest.read(workspace).identity, **options.request()}
    if record := finished_file(workspace.calibration, request, force):
        return Result("calibrate", record, _lines(record, options, workspace), fresh=False)

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.pairs.calibration.chart import draw_calibration
    from miner.pairs.calibration.histogram import sample_histogram

    store = EmbeddingStore(workspace)
    similarity = _self_similarity(options, store)
    high = _upper_end(similarity)
    histogram = sample_histogram(MemoryVectors(store.vectors), store.labels, options.seed)
    band = histogram.band_of(options.budget * len(store), high)
    if band is None:
        most = histogram.pairs_in(Band(-1.0, high)) / len(store)
        raise MinerError(
            f"There are only {most:.2g} pairs per image below {high:g}, where duplicates begin for this encoder; --budget "
            f"{options.budget:g} cannot be met. Use a lower --budget, or more images."
        )
    record = {
        "request": request,
        "band": Band(round(band.low, _ROUNDING), high).record(),
        "images": len(store),
        "estimated_pairs": round(histogram.pairs_in(band)),
        "estimated_pairs_above": round(histogram.pairs_in(Band(high, 1.0))),
        "self_similarity": _quantiles(similarity),
        "histogram": histogram.record(),
        "labels": _label_precision(histogram, band),
    }
    plot = workspace.root / "calibration.png"
    draw_calibration(plot, record)
    record = write_signed(workspace.calibration, {**record, "files": {plot.name: file_record(plot)}})
    return Result("calibrate", record, _lines(record, options, workspace))


def _self_similarity(options: CalibrateOptions, store: "EmbeddingStore") -> "NDArray[np.float64]":
    """Cosine of two mild augmentations of the same image, for a sample of images, ascending."""
    import numpy as np

    from miner.embed.encoders import load_encoder
    from miner.machine.device import resolve_device, resolve_precision
    from miner.pairs.calibration.self_similarity import self_similarity
    from miner.source import open_source

    embeddings, request = store.manifest, store.manifest.request
    if request.encoder is None:
        raise MinerError(
            f"{store.folder} holds refined embeddings. No encoder computes them from an image, which calibration needs. Run "
            "`miner pairs` with --min and --max."
        )
    device = resolve_device(options.device)
    encoder = load_encoder(request.encoder, device, request.layer, request.pool)
    if embeddings.encoder.weights_sha256 not in (None, encoder.record()["weights_sha256"]):
        raise MinerError(
            f"The encoder {encoder.name} has other weights than when the images were embedded. Embed again with --force."
        )
    source = open_source(embeddings.source.spec)
    keys = set(store.keys)
    entries = [entry for entry in source.entries if entry.key in keys]
    if len(entries) < 2:
        raise MinerError(
            f"The images of {embeddings.source.spec} are gone since they were embedded. Embed again with --force."
        )
    rng = np.random.default_rng(options.seed)
    chosen = np.sort(rng.permutation(len(entries))[: options.images])
    return self_similarity(
        encoder,
        (_decoded(source, entries[row]) for row in chosen),
        rng,
        options.batch_size,
        device,
        resolve_precision(request.precision, device),
    )


def _decoded(source: "Source", entry: "Entry") -> "Image":
    """An embedded image, decoded again.

    Raises:
        MinerError: it has changed since.
    """
    from miner.images.decode import UnreadableImageError, decode_image

    try:
        return decode_image(source.read(entry))
    except (OSError, UnreadableImageError) as error:
        raise MinerError(
            f"The image {entry.path} of {source.spec} has changed since it was embedded ({error})."
        ) from error


def _upper_end(similarity: "NDArray[np.float64]") -> float:
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


def _label_precision(histogram: "SimilarityHistogram", band: Band) -> Record | None:
    """Label precision of the proposed band on the sampled pairs, for the record only."""
    precision = histogram.precision_in(band)
    return None if precision is None else {"precision": precision, "used_for_the_band": False}


def _lines(record: Record, options: CalibrateOptions, workspace: Workspace) -> list[str]:
    made = CalibrationRecord.of(record, workspace.calibration)
    band = made.band
    lines = [
        f"calibrate: proposed band [{band.low:g}, {band.high:g}], about {made.estimated_pairs:,} pairs of "
        f"{made.images:,} images (duplicates begin at {band.high:g}, where an image is as close to itself)"
    ]
    above = made.estimated_pairs_above / made.images
    if above > _TOO_MANY_ABOVE:
        lines.append(
            f"Warning: about {above:.2g} pairs per image are above the band, as close as an image is to itself: this encoder "
            "hardly tells these images apart. Look at the pairs before you train on them, or use another encoder."
        )
    if made.labels:
        lines.append(f"calibrate: label precision there about {made.labels.precision:.1%} (reported, not used)")
    return [
        *lines,
        f"calibrate: next, {_next_command(made, options, workspace)}  "
        f"(the same as --min {band.low:g} --max {band.high:g})",
    ]


def _next_command(made: CalibrationRecord, options: CalibrateOptions, workspace: Workspace) -> str:
    """As it can be pasted: this workspace, this device, and --force where other pairs are in the way."""
    device = "" if options.device == "auto" else f" --device {options.device}"
    pairs = PairsManifest.find(workspace)
    wanted = (made.asked["embeddings"], made.band)
    in_the_way = pairs is not None and (pairs.request.embeddings, pairs.request.band) != wanted
    return f"miner pairs --auto{workspace_flag(workspace)}{device}{' --force' if in_the_way else ''}"
