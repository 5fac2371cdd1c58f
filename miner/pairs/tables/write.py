"""The files of `miner pairs`: pairs, duplicates, groups and the neighbour graph, and what the manifest says about them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.selection import capped, most_similar_first, partner_ranks
from miner.artifacts.pairs.statistics import label_statistics, pair_statistics
from miner.artifacts.pairs.table import DUPLICATE_IMAGES, write_pairs
from miner.artifacts.parquet import save_table
from miner.engine import Record, committed
from miner.pairs.calibration.histogram import sample_histogram
from miner.pairs.options import PairsOptions
from miner.pairs.tables.duplicate_images import write_duplicate_images
from miner.pairs.tables.found import FoundPairs, write_rows

DROPPED = "dropped.parquet"
_MUTUAL_NEIGHBOURS = 5
_FLOOD_PER_IMAGE = 50
_HISTOGRAM_ANCHORS = 64  # enough for a chart; the calibration takes more


def write_tables(
    options: PairsOptions, store: EmbeddingStore, folder: Path, searched: Rows, found: FoundPairs, band: Band
) -> tuple[list[Path], Record]:
    """Split the found pairs into the band and the duplicates, apply the options that choose pairs, and write the tables.

    Args:
        searched: row numbers of the images that were searched.
        found: all pairs at or above the lower end of the band.
    """
    files = _file_numbers(store)
    duplicate = (found.similarity > band.high) | (files[found.a] == files[found.b])
    nearest = options.neighbors or _MUTUAL_NEIGHBOURS
    mutual = np.maximum(*partner_ranks(found.a, found.b, found.similarity)) < nearest
    keep = ~duplicate & mutual if options.mutual else ~duplicate
    if options.top_k is not None:
        some = found.select(keep)
        keep[np.flatnonzero(keep)] = capped(some.a, some.b, some.similarity, options.top_k)
    if options.most_similar is not None:
        some = found.select(keep)
        order = most_similar_first(some.a, some.b, some.similarity)
        keep[np.flatnonzero(keep)[order[options.most_similar :]]] = False

    labels, keys = store.labels, store.metadata["key"].combine_chunks()
    kept, kept_mutual = found.select(keep), mutual[keep]
    paths = [folder / "pairs.parquet", folder / "duplicates.parquet"]
    listed, numbers = kept.in_both_orders() if options.both_orders else (kept, np.arange(len(kept)))
    duplicates = found.select(duplicate)
    for path, pairs, flags in zip(paths, (listed, duplicates), (kept_mutual[numbers], mutual[duplicate]), strict=True):
        with committed(path) as partial:
            write_pairs(partial, pairs.a, pairs.b, pairs.similarity, flags, keys, labels)
    paths.append(folder / DUPLICATE_IMAGES)
    if options.mutual or options.top_k is not None or options.most_similar is not None:
        paths.append(folder / DROPPED)
        with committed(paths[-1]) as partial:
            write_rows(partial, found.select(~keep & ~duplicate))
    known = labels if labels is None else np.where(np.isin(np.arange(len(labels)), searched), labels, -1)
    record: Record = {
        "source": store.manifest.record["source"],
        "encoder": store.manifest.record["encoder"],
        "mutual_neighbours": nearest,
        "mutual_pairs": int(kept_mutual.sum()),
        "duplicates": int(duplicate.sum()),
        "duplicate_images": write_duplicate_images(folder / DUPLICATE_IMAGES, duplicates, store, options.keep, files),
        "both_orders": options.both_orders,
        "labels": label_statistics(kept.a, kept.b, kept.similarity, known),
        **pair_statistics(kept.a, kept.b, len(searched)),
    }
    if options.groups:
        paths.append(folder / "groups.parquet")
        record["groups"] = _write_groups(paths[-1], found, store, known)
    return paths, record


def write_neighbours(
    folder: Path, parts: Path, vectors: Vectors, keys: Sequence[str], k: int
) -> tuple[list[Path], Record]:
    """Write the exact neighbour graph of all images as two arrays (n, k); returns the files and the record of its hubs."""
    from miner.pairs.neighbours.graph import NeighbourGraph
    from miner.pairs.neighbours.hubs import hubness, in_degrees

    files = NeighbourGraph(vectors, k).write(folder, parts)
    return files, hubness(in_degrees(np.load(files[0], mmap_mode="r")), k, keys)


def add_histogram(record: Record, vectors: Vectors, labels: NDArray[np.int64] | None, seed: int) -> None:
    """Add the histogram of similarities and, if the band is empty or floods, a better band."""
    histogram = sample_histogram(vectors, labels, seed, _HISTOGRAM_ANCHORS)
    record["histogram"] = histogram.record()
    if record["pairs"] == 0 or record["pairs"] > _FLOOD_PER_IMAGE * len(vectors):
        proposal = histogram.band_of(len(vectors), histogram.highest())
        if proposal is not None:
            record["proposal"] = proposal.record()


def _file_numbers(store: EmbeddingStore) -> Rows:
    """A number for each image, int64 (n,); files with the same bytes have the same number."""
    codes = pc.dictionary_encode(store.metadata["sha256"].combine_chunks()).indices.to_numpy()
    return np.asarray(codes, np.int64)


def _write_groups(path: Path, found: FoundPairs, store: EmbeddingStore, labels: NDArray[np.int64] | None) -> Record:
    from miner.pairs.tables.groups import find_groups, group_statistics

    groups = find_groups(found.a, found.b, found.similarity)
    with committed(path) as partial:
        save_table(groups.table(store.keys, labels), partial, "zstd")
    return group_statistics(groups, len(found), labels)
