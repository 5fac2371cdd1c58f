"""Duplicates: pairs above the ceiling, and pairs of files with the same bytes."""

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.artifacts.pairs.selection import partner_ranks
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.tables.found import FoundPairs, put_together


def file_numbers(store: EmbeddingStore) -> Rows:
    """A number for each image, the same for files with the same bytes, int64 (n,). Where bytes are not known, each has its own."""
    found = pc.dictionary_encode(store.metadata["sha256"].combine_chunks())
    numbers = np.asarray(found.indices.fill_null(-1).to_numpy(), np.int64)
    return np.where(numbers < 0, len(found.dictionary) + np.arange(len(numbers)), numbers)


def with_ranks(found: FoundPairs, k: int) -> FoundPairs:
    """The pairs with `mutual`: each image is among the k most similar listed partners of the other."""
    return found.with_evidence(mutual=np.maximum(*partner_ranks(found.a, found.b, found.similarity)) < k)


def are_duplicates(found: FoundPairs, high: float, files: Rows) -> NDArray[np.bool_]:
    """Whether each pair lies above the ceiling or is of two files with the same bytes, bool (m,).

    Args:
        files: as of `file_numbers`.
    """
    return np.asarray((found.similarity > high) | (files[found.a] == files[found.b]), bool)


def all_duplicates(above: FoundPairs, high: float, files: Rows, vectors: Vectors) -> FoundPairs:
    """All duplicates, sorted.

    Args:
        above: all pairs at or above the ceiling.
    """
    a, b = _equal_files(files)
    similarity = rescore(vectors, a, b)
    below = FoundPairs(a, b, similarity).select(similarity < high)
    found = put_together([above.select(are_duplicates(above, high, files)), below])
    return found.select(np.lexsort((found.b, found.a)))


def _equal_files(files: Rows) -> tuple[Rows, Rows]:
    """All pairs a < b of equal files."""
    order = np.argsort(files, kind="stable")
    ends = np.cumsum(np.bincount(files))
    groups = [order[stop - count : stop] for stop, count in zip(ends, np.bincount(files), strict=True) if count > 1]
    found = [group[np.stack(np.triu_indices(len(group), 1))] for group in groups]
    a, b = np.concatenate([np.empty((2, 0), np.int64), *found], axis=1)
    return a, b
