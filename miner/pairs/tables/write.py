"""The files of `miner pairs`: pairs, duplicates, groups and the neighbour graph, and what the manifest says about them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.artifacts.pairs.statistics import label_statistics, pair_statistics
from miner.artifacts.pairs.table import DUPLICATE_IMAGES, write_pairs
from miner.artifacts.parquet import save_table
from miner.engine import Executor, Record, committed
from miner.pairs.constraints import Constraint
from miner.pairs.duplicates import file_numbers
from miner.pairs.filters import filters_of, kept_by
from miner.pairs.options import PairsOptions
from miner.pairs.tables.composition import composition, vector_clusters
from miner.pairs.tables.duplicate_images import write_duplicate_images
from miner.pairs.tables.found import FoundPairs, put_together, write_rows
from miner.pairs.tables.histogram import sample_histogram

DROPPED = "dropped.parquet"
_FLOOD_PER_IMAGE = 50
_HISTOGRAM_ANCHORS = 64  # enough for a chart; the calibration takes more


def write_tables(
    options: PairsOptions,
    store: EmbeddingStore,
    folder: Path,
    searched: Rows,
    vectors: Vectors,
    pairs: FoundPairs,
    duplicates: FoundPairs,
    constraints: Sequence[Constraint],
) -> tuple[list[Path], Record]:
    """Apply the options that choose pairs, and write the tables.

    Args:
        searched: row numbers of the images that were searched.
        vectors: of these images.
        pairs: that the rule has chosen.
        duplicates: pairs above the ceiling, or of equal files.
    """
    filters = filters_of(options, constraints, len(searched))
    keep = kept_by(filters, pairs)
    kept = pairs.select(keep)
    labels, keys = store.labels, store.metadata["key"].combine_chunks()
    paths = [folder / "pairs.parquet", folder / "duplicates.parquet"]
    for path, listed in zip(paths, (kept.in_both_orders() if options.both_orders else kept, duplicates), strict=True):
        with committed(path) as partial:
            write_pairs(partial, listed.a, listed.b, listed.similarity, listed.evidence, keys, labels)
    paths.append(folder / DUPLICATE_IMAGES)
    if filters:
        paths.append(folder / DROPPED)
        with committed(paths[-1]) as partial:
            write_rows(partial, pairs.a[~keep], pairs.b[~keep])
    degree = np.bincount(np.concatenate([kept.a, kept.b]), minlength=len(store))[searched]
    known = labels if labels is None else np.where(np.isin(np.arange(len(labels)), searched), labels, -1)
    record: Record = {
        "source": store.manifest.record["source"],
        "encoder": store.manifest.record["encoder"],
        "mutual_neighbours": options.mutual_neighbours,
        "mutual_pairs": int(kept.evidence["mutual"].sum()),
        **_votes(kept),
        "duplicates": len(duplicates),
        "duplicate_images": write_duplicate_images(
            folder / DUPLICATE_IMAGES, duplicates, store, options.keep, file_numbers(store)
        ),
        **_constrained(options, constraints, pairs, searched),
        "both_orders": options.both_orders,
        "labels": label_statistics(kept.a, kept.b, kept.similarity, known),
        **pair_statistics(kept.a, kept.b, len(searched)),
        "composition": composition(
            degree, vector_clusters(vectors, options.seed), None if labels is None else labels[searched]
        ),
    }
    if options.groups:
        paths.append(folder / "groups.parquet")
        record["groups"] = _write_groups(paths[-1], put_together([pairs, duplicates]), store, known)
    return paths, record


def _votes(kept: FoundPairs) -> Record:
    """How many pairs have how many votes, the most first; nothing where no embeddings vote."""
    if "votes" not in kept.evidence:
        return {}
    votes, counts = np.unique(kept.evidence["votes"], return_counts=True)
    return {"agreement": {"votes": [[int(one), int(count)] for one, count in zip(votes, counts, strict=True)][::-1]}}


def _constrained(options: PairsOptions, constraints: Sequence[Constraint], pairs: FoundPairs, searched: Rows) -> Record:
    table = {"metadata_table": options.metadata.name} if options.metadata else {}
    return {"constraints": [one.record(pairs, searched) for one in constraints], **table} if constraints else {}


def write_neighbours(
    options: PairsOptions,
    folder: Path,
    vectors: Vectors,
    keys: Sequence[str],
    memory_bytes: float,
    executor: Executor,
    known: Path | None,
) -> tuple[list[Path], Record]:
    """Write the exact neighbour graph of all images as two arrays (n, k); returns the files and the record of its hubs.

    Args:
        known: as of `NeighbourGraph.write`.
    """
    from miner.pairs.neighbours.graph import NeighbourGraph
    from miner.pairs.neighbours.hubs import hubness, in_degrees

    k = options.neighbors or 0
    files = NeighbourGraph(vectors, k).write(folder, folder / "parts", memory_bytes, options.device, executor, known)
    return files, hubness(in_degrees(np.load(files[0], mmap_mode="r")), k, keys)


def add_histogram(record: Record, vectors: Vectors, labels: NDArray[np.int64] | None, seed: int, propose: bool) -> None:
    """Add the histogram of similarities and, to `propose` if the band is empty or floods, a better band."""
    histogram = sample_histogram(vectors, labels, seed, _HISTOGRAM_ANCHORS)
    record["histogram"] = histogram.record()
    if propose and not 0 < record["pairs"] <= _FLOOD_PER_IMAGE * len(vectors):
        proposal = histogram.band_of(len(vectors), histogram.highest())
        if proposal is not None:
            record["proposal"] = proposal.record()


def _write_groups(path: Path, found: FoundPairs, store: EmbeddingStore, labels: NDArray[np.int64] | None) -> Record:
    from miner.pairs.tables.groups import find_groups, group_statistics

    groups = find_groups(found.a, found.b, found.similarity)
    with committed(path) as partial:
        save_table(groups.table(store.keys, labels), partial, "zstd")
    return group_statistics(groups, len(found), labels)
