"""`miner pairs`: every pair of different images in a similarity band."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from miner.artifacts.calibration import CalibrationRecord
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.stage import GrowingStage
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine.records import Record
from miner.engine.result import Result
from miner.errors import MinerError, UsageError
from miner.machine.executor import executor_for
from miner.machine.memory import default_bytes, parse_bytes
from miner.pairs.options import PairsOptions

if TYPE_CHECKING:
    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.embeddings.vectors import Rows, Vectors
    from miner.pairs.band_join import Engine
    from miner.pairs.tables.found import FoundPairs

# What the tables of found pairs take while they are written, and what the process takes for this and that.
_PAIR_BYTES = 200
_SPARE_BYTES = 160 << 20


def pairs(options: PairsOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Mine the band into `pairs/`; finished strips of an interrupted run are kept.

    Raises:
        MinerError: no embeddings, no calibration for --auto, more pairs than --max-pairs, the disk is full, or the workspace
            holds the pairs of another request.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    band = _calibrated_band(workspace, embeddings) if options.auto else options.band
    stage = GrowingStage(workspace.pairs, _request(options, embeddings, band))
    if not force and (manifest := stage.finished()):
        return _result(manifest, workspace, fresh=False)
    base = None
    if options.append and not force:
        from miner.pairs.append import continued

        base = continued(stage, embeddings)
    if not force and base is None:
        stage.refuse_another()
    return _mine(options, workspace, stage, band, force, base)


def _request(options: PairsOptions, embeddings: EmbeddingsManifest, band: Band) -> Record:
    return {**options.request(), "embeddings": embeddings.identity, "band": band.record()}


def _calibrated_band(workspace: Workspace, embeddings: EmbeddingsManifest) -> Band:
    if not workspace.calibration.exists():
        raise MinerError(f"--auto needs {workspace.calibration}. Run `miner calibrate` first, or give --min and --max.")
    return CalibrationRecord.read(workspace, of=embeddings).band


def _mine(
    options: PairsOptions,
    workspace: Workspace,
    stage: GrowingStage,
    band: Band,
    force: bool,
    base: PairsManifest | None,
) -> Result:
    """Search, write, and finish.

    Args:
        base: manifest of the pairs to continue, or None.
    """
    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.engine import LocalExecutor
    from miner.pairs import append
    from miner.pairs.band_join import BandJoin, FloodError
    from miner.pairs.tables.write import add_histogram, write_neighbours, write_tables

    store = EmbeddingStore(workspace)
    rows = _sampled_rows(options, len(store))
    memory = _memory(options, store, len(rows))
    # An approximate engine runs on the processor, where FAISS uses all cores by itself.
    executor = executor_for(options.engine_address, options.device, process_per_device=not options.approximation())
    vectors = _vectors(store, rows, memory if executor == LocalExecutor() else 0)
    if options.neighbors is not None and options.neighbors >= len(store):
        raise UsageError(f"--neighbors {options.neighbors}: there are only {len(store) - 1} other images.")
    limit = min(options.max_pairs, max(int(memory / _PAIR_BYTES), 1))
    old_images = base.vectors["count"] if base and base.vectors else 0
    make_engine = _engine_maker(options, vectors, band, memory)
    join = BandJoin(make_engine, vectors, band, limit, first=old_images)
    # What can be refused has been by now; only then does an old result go.
    parts = stage.folder / "parts"
    if base is None:
        stage.begin(force)
    else:
        stage.begin_growth(base.record, partial(shutil.rmtree, parts, ignore_errors=True))
    try:
        found = join.run(parts, executor)
    except FloodError as flood:
        if base is None:
            stage.discard()
        else:
            shutil.rmtree(parts, ignore_errors=True)
            stage.give_up_growth(base.record)
        keys = store.keys
        densest = ", ".join(f"{keys[rows[row]]} ({count:,})" for row, count in flood.densest)
        raise MinerError(f"{flood} The images with most partners there: {densest}.") from None
    if base is not None:
        found = append.with_known(stage.folder, vectors, old_images, found)
    completeness = _completeness(make_engine, found)
    found = replace(found, a=rows[found.a], b=rows[found.b])
    files, record = write_tables(options, store, stage.folder, rows, found, band)
    record |= {"images": len(rows), "engine": options.engine, "vectors": append.vectors_seen(store.manifest)}
    record |= completeness
    add_histogram(record, vectors, None if store.labels is None else store.labels[rows], options.seed)
    if options.neighbors is not None:
        whole = vectors if len(rows) == len(store) else store.stored
        graph_files, record["neighbours"] = write_neighbours(stage.folder, parts, whole, store.keys, options.neighbors)
        files += graph_files
    manifest = stage.finish(record, files)
    shutil.rmtree(parts, ignore_errors=True)
    return _result(manifest, workspace)


def _memory(options: PairsOptions, store: "EmbeddingStore", images: int) -> int:
    """Bytes for the search itself.

    Raises:
        MinerError: --memory is too small for so many images.
    """
    from miner.pairs.engines.exact_cpu import least_bytes

    beside: int = _SPARE_BYTES + 2 * store.metadata.nbytes
    wanted = default_bytes() if options.memory is None else parse_bytes(options.memory)
    least: int = beside + least_bytes(images, store.stored.dim)
    if options.engine == "exact" and wanted < least:
        raise MinerError(
            f"{'The free memory' if options.memory is None else f'--memory {options.memory}'} is too small to search "
            f"{images:,} vectors of {store.stored.dim} dimensions: that takes at least {-(-least // 10**6):,} MB. Give more, or "
            "mine a part with --sample."
        )
    return wanted - beside


def _sampled_rows(options: PairsOptions, images: int) -> "Rows":
    """Rows to mine among, in ascending order.

    Raises:
        MinerError: the sample has fewer than two images.
    """
    import numpy as np

    if options.sample is None:
        return np.arange(images)
    if options.sample > 1 and options.sample != round(options.sample):
        raise UsageError(f"--sample {options.sample}: give a fraction up to 1, or a whole number of images.")
    count = round(options.sample * images) if options.sample <= 1 else round(options.sample)
    if min(count, images) < 2:
        raise MinerError(f"--sample {options.sample} of {images:,} images leaves {count}; a pair needs two.")
    return np.sort(np.random.default_rng(options.seed).permutation(images)[:count])


def _vectors(store: "EmbeddingStore", rows: "Rows", memory: float) -> "Vectors":
    """The vectors to search: as memory if they fit there, as stored and in float32 with a quarter to spare; else on disk."""
    from miner.artifacts.embeddings.vectors import ChosenVectors

    stored = store.stored
    row_bytes = stored.dim * (stored.dtype.itemsize + 4) * 5 // 4
    whole = stored.mapped() if len(stored) * row_bytes < memory else stored
    return whole if len(rows) == len(store) else ChosenVectors(whole, rows)


def _engine_maker(options: PairsOptions, vectors: "Vectors", band: Band, memory: float) -> "Callable[[], Engine]":
    """What makes the engine, in each process that searches."""
    if options.approximation():
        from miner.pairs.engines.approximate import ApproximateSearch

        return ApproximateSearch(options, vectors, band)
    if options.engine == "faiss":
        from miner.pairs.engines.faiss_flat import faiss_engine

        return partial(faiss_engine, vectors, band.low, options.device)
    from miner.pairs.engines.select import exact_engine

    held = vectors.dim * vectors.dtype.itemsize * len(vectors) if vectors.in_memory else 0
    return partial(exact_engine, vectors, band.low, options.device, memory - held)


def _completeness(make_engine: "Callable[[], Engine]", found: "FoundPairs") -> Record:
    """Whether these are all pairs of the band, and if not, what share of them."""
    from miner.pairs.engines.approximate import ApproximateSearch

    if isinstance(make_engine, ApproximateSearch):
        return {"exact": False, **make_engine.measured((found.a, found.b))}
    return {"exact": True}


def _result(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    from miner.pairs.neighbours.hubs import hub_line
    from miner.pairs.tables.groups import group_line

    made = PairsManifest.of(manifest, PairsManifest.path(workspace))
    band = made.request.band
    lines = [
        f"pairs: {made.pairs:,} pairs of {made.images_in_pairs:,} different images with cosine in "
        f"[{band.low:g}, {band.high:g}] among {made.images:,} images, {_how_complete(made)}, in {workspace.pairs}"
    ]
    if made.duplicates:
        lines.append(
            f"pairs: {made.duplicates:,} near-identical pairs (above {band.high:g}, or equal files) in duplicates.parquet"
        )
    headline = [("pairs", f"{made.pairs:,} with cosine in [{band.low:g}, {band.high:g}]")]
    labels = made.labels
    if labels and labels.precision is not None:
        lines.append(
            f"pairs: label precision {labels.precision:.1%} (random pairs: {labels.chance:.1%}), "
            f"{made.image_coverage:.1%} of the images are in a pair"
        )
        headline.append(("label precision of the pairs", f"{labels.precision:.1%} (random pairs {labels.chance:.1%})"))
    if made.neighbours:
        lines.append(f"pairs: {hub_line(made.neighbours)}")
    if made.groups:
        lines.append(f"pairs: {group_line(made.groups)}")
    per_image = made.pairs / made.images
    if per_image == 0 or "proposal" in manifest:
        state = f"floods ({per_image:.0f} pairs per image)" if per_image else "is empty"
        warning = f"Warning: the band [{band.low:g}, {band.high:g}] {state}. "
        if proposal := made.proposal:
            flag = workspace_flag(workspace)
            warning += (
                "A band that suits one encoder means little for another. About one pair per image lies in: miner pairs "
                f"--min {proposal.low:g} --max {proposal.high:g}{flag} --force (or run `miner calibrate{flag}`, then "
                f"`miner pairs --auto{flag} --force`)."
            )
        lines.append(warning.strip())
    return Result("pairs", manifest, lines, fresh, headline)


def _how_complete(made: PairsManifest) -> str:
    if made.exact:
        return "exact"
    from miner.pairs.engines.recall import recall_in_words

    return recall_in_words(made.record["recall"])
