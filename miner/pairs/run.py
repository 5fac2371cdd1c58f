"""`miner pairs`: every pair of different images in a similarity band."""

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.engine import committed
from miner.errors import MinerError, UsageError
from miner.pairs.options import PairsOptions
from miner.workspace import Record, Result, Stage, Workspace, fingerprint, read_json, workspace_flag

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from miner.embeddings import EmbeddingStore
    from miner.pairs.join import Engine
    from miner.stored import Rows, Vectors

_MUTUAL_NEIGHBOURS = 5
_FLOOD_PER_IMAGE = 50
_HISTOGRAM_ANCHORS = 256  # for a picture; the calibration takes more


def pairs(options: PairsOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Mine the band into `pairs/`; finished strips of an interrupted run are kept.

    Raises:
        MinerError: no embeddings, no calibration for --auto, more pairs than --max-pairs, the disk is full, or the workspace
            holds the pairs of another request.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    low, high = _calibrated_band(workspace, embeddings) if options.auto else (options.min, options.max)
    stage = Stage(workspace.pairs, _request(options, embeddings, low, high))
    if not force and (manifest := stage.finished()):
        return _result(manifest, workspace, fresh=False)
    if not force:
        stage.refuse_another()
    return _mine(options, workspace, stage, low, high, force)


def _request(options: PairsOptions, embeddings: Record, low: float, high: float) -> Record:
    chosen = options.model_dump(mode="json", include={"sample", "top_k", "mutual", "neighbors", "seed"})
    chosen |= {name: True for name in ("groups", "both_orders") if getattr(options, name)}
    return {"embeddings": fingerprint(embeddings["files"]), "band": {"min": low, "max": high}, **chosen}


def _calibrated_band(workspace: Workspace, embeddings: Record) -> tuple[float, float]:
    calibration = read_json(workspace.calibration)
    if calibration is None:
        raise MinerError(f"--auto needs {workspace.calibration}. Run `miner calibrate` first, or give --min and --max.")
    if calibration["request"]["embeddings"] != fingerprint(embeddings["files"]):
        raise MinerError("The calibration belongs to other embeddings. Run `miner calibrate --force` first.")
    return calibration["band"]["min"], calibration["band"]["max"]


def _mine(options: PairsOptions, workspace: Workspace, stage: Stage, low: float, high: float, force: bool) -> Result:
    from miner.device import resolve_device
    from miner.embeddings import EmbeddingStore
    from miner.pairs.join import BandJoin, FloodError

    store = EmbeddingStore(workspace)
    rows = _sampled_rows(options, len(store))
    vectors = _vectors(store, rows)
    if options.neighbors is not None and options.neighbors >= len(store):
        raise UsageError(f"--neighbors {options.neighbors}: there are only {len(store) - 1} other images.")
    resolve_device(options.device)  # refuses one that is not there
    join = BandJoin(partial(_engine, options, vectors, low), vectors, low, options.max_pairs)
    # What can be refused has been by now; only then does an old result go.
    stage.begin(force)
    parts = stage.folder / "parts"
    try:
        a, b, similarity = join.run(parts)
    except FloodError as flood:
        stage.discard()
        keys = store.keys
        densest = ", ".join(f"{keys[rows[row]]} ({count:,})" for row, count in flood.densest)
        raise MinerError(f"{flood} The images with most partners there: {densest}.") from None
    files, record = _write_tables(options, store, stage, rows, (rows[a], rows[b], similarity), high)
    record["images"], record["engine"] = len(rows), options.engine
    _add_histogram(record, vectors, None if store.labels is None else store.labels[rows], options.seed)
    if options.neighbors is not None:
        graph_files, record["neighbours"] = _write_neighbours(stage.folder, parts, store, options.neighbors)
        files += graph_files
    manifest = stage.finish(record, files)
    shutil.rmtree(parts, ignore_errors=True)
    return _result(manifest, workspace)


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


def _vectors(store: "EmbeddingStore", rows: "Rows") -> "Vectors":
    """The vectors to search."""
    from miner.stored import ChosenVectors, MemoryVectors

    vectors = MemoryVectors(store.vectors)
    return vectors if len(rows) == len(store) else ChosenVectors(vectors, rows)


def _engine(options: PairsOptions, vectors: "Vectors", threshold: float) -> "Engine":
    if options.engine == "faiss":
        from miner.pairs.flat import FaissEngine
        from miner.pairs.similarity import unit_rows

        return FaissEngine(unit_rows(vectors.read(0, len(vectors))), threshold)
    from miner.pairs.exact import ExactEngine

    return ExactEngine(vectors, threshold)


def _write_tables(
    options: PairsOptions,
    store: "EmbeddingStore",
    stage: Stage,
    searched: "Rows",
    found: tuple["Rows", "Rows", "NDArray[np.float64]"],
    high: float,
) -> tuple[list[Path], Record]:
    """Split the found pairs into the band and the duplicates, apply --mutual and --top-k, and write the tables."""
    import numpy as np

    from miner.pairs.selection import capped, partner_ranks
    from miner.pairs.statistics import label_statistics, labels_of, pair_statistics
    from miner.pairs.table import both_orders, pair_table

    a, b, similarity = found
    hashes = np.asarray(store.metadata["sha256"].to_pylist())
    duplicate = (similarity > high) | (hashes[a] == hashes[b])
    rank_of_b, rank_of_a = partner_ranks(a, b, similarity)
    nearest = options.neighbors or _MUTUAL_NEIGHBOURS
    mutual = (rank_of_b < nearest) & (rank_of_a < nearest)
    keep = ~duplicate & mutual if options.mutual else ~duplicate
    if options.top_k is not None:
        chosen = np.flatnonzero(keep)
        keep[chosen] = capped(a[chosen], b[chosen], similarity[chosen], options.top_k)

    keys, labels = store.keys, store.labels
    tables = {
        name: pair_table(a[rows], b[rows], similarity[rows], mutual[rows], keys, labels)
        for name, rows in {"pairs.parquet": keep, "duplicates.parquet": duplicate}.items()
    }
    if options.both_orders:
        tables["pairs.parquet"] = both_orders(tables["pairs.parquet"])
    labels = labels_of(searched, labels)
    record: Record = {
        "exact": True,
        "source": store.manifest["source"],
        "encoder": store.manifest["encoder"],
        "mutual_neighbours": nearest,
        "mutual_pairs": int(mutual[keep].sum()),
        "duplicates": int(duplicate.sum()),
        "both_orders": options.both_orders,
        "labels": label_statistics(a[keep], b[keep], similarity[keep], labels),
        **pair_statistics(a[keep], b[keep], len(searched)),
    }
    if options.groups:
        from miner.pairs.groups import find_groups, group_statistics

        groups = find_groups(*found)
        tables["groups.parquet"] = groups.table(keys, labels)
        record["groups"] = group_statistics(groups, len(a), labels)
    for name, table in tables.items():
        _write_table(stage.folder / name, table)
    return [stage.folder / name for name in tables], record


def _write_table(path: Path, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    with committed(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _write_neighbours(folder: Path, parts: Path, store: "EmbeddingStore", k: int) -> tuple[list[Path], Record]:
    """The exact neighbour graph of all images, as two arrays (n, k), and what its hubs are."""
    import numpy as np

    from miner.pairs.graph import NeighbourGraph
    from miner.pairs.hubs import hubness, in_degrees
    from miner.pairs.similarity import unit_rows
    from miner.stored import MemoryVectors

    files = NeighbourGraph(MemoryVectors(store.vectors), unit_rows(store.vectors), k).write(folder, parts)
    return files, hubness(in_degrees(np.load(files[0], mmap_mode="r")), k, store.keys)


def _add_histogram(record: Record, vectors: "Vectors", labels: "NDArray[np.int64] | None", seed: int) -> None:
    """The spread of similarities and, where the band is empty or floods, a better band."""
    from miner.pairs.histogram import sample_histogram

    histogram = sample_histogram(vectors, labels, seed, _HISTOGRAM_ANCHORS)
    record["histogram"] = histogram.record()
    if record["pairs"] == 0 or record["pairs"] > _FLOOD_PER_IMAGE * len(vectors):
        top = histogram.highest()
        low = histogram.lowest_for(len(vectors), top)
        if low is not None:
            record["proposal"] = {"min": low, "max": top}


def _result(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    from miner.pairs.groups import group_line
    from miner.pairs.hubs import hub_line

    band = manifest["request"]["band"]
    lines = [
        f"pairs: {manifest['pairs']:,} pairs of {manifest['images_in_pairs']:,} different images with cosine in "
        f"[{band['min']:g}, {band['max']:g}] among {manifest['images']:,} images, exact, in {workspace.pairs}"
    ]
    if manifest["duplicates"]:
        lines.append(
            f"pairs: {manifest['duplicates']:,} near-identical pairs (above {band['max']:g}, or equal files) in duplicates.parquet"
        )
    headline = [("pairs", f"{manifest['pairs']:,} with cosine in [{band['min']:g}, {band['max']:g}]")]
    labels = manifest["labels"]
    if labels and labels["precision"] is not None:
        lines.append(
            f"pairs: label precision {labels['precision']:.1%} (random pairs: {labels['chance']:.1%}), "
            f"{manifest['image_coverage']:.1%} of the images are in a pair"
        )
        headline.append(
            ("label precision of the pairs", f"{labels['precision']:.1%} (random pairs {labels['chance']:.1%})")
        )
    if neighbours := manifest.get("neighbours"):
        lines.append(f"pairs: {hub_line(neighbours)}")
    if groups := manifest.get("groups"):
        lines.append(f"pairs: {group_line(groups)}")
    per_image = manifest["pairs"] / manifest["images"]
    if per_image == 0 or "proposal" in manifest:
        state = f"floods ({per_image:.0f} pairs per image)" if per_image else "is empty"
        warning = f"Warning: the band [{band['min']:g}, {band['max']:g}] {state}. "
        if proposal := manifest.get("proposal"):
            flag = workspace_flag(workspace)
            warning += (
                "A band that suits one encoder means little for another. About one pair per image lies in: miner pairs "
                f"--min {proposal['min']:g} --max {proposal['max']:g}{flag} --force (or run `miner calibrate{flag}`, then "
                f"`miner pairs --auto{flag} --force`)."
            )
        lines.append(warning.strip())
    return Result("pairs", manifest, lines, fresh, headline)
