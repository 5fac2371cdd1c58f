"""Pairs out of a FAISS index: by range search, or by nearest neighbours where an index has no range search."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.pairs.engines.base import FloodError, RowPairs

RangeSearch = Callable[[NDArray[np.float32], float], tuple[NDArray[Any], NDArray[np.float32], Rows]]
NeighbourSearch = Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], Rows]]

_SMALLEST_K = 32


def range_search_pairs(
    search: RangeSearch,
    unit_vectors: NDArray[np.float32],
    rows: Rows,
    lowest_score: float,
    limit: int,
    min_b: int = 0,
    batch_rows: int = 512,
) -> RowPairs:
    """Pairs a < b with a in `rows` and b >= min_b whose score is at least `lowest_score`, sorted by (a, b).

    Args:
        search: `range_search` of an index of `unit_vectors` by inner product.
        unit_vectors: float32 (n, d).
        batch_rows: rows per call of `search`; changes the memory only.
    Raises:
        FloodError: there are more than `limit`.
    """
    # range_search keeps the scores strictly above its radius, so the radius lies one step below the lowest score.
    radius = float(np.nextafter(np.float32(lowest_score), np.float32(-2)))
    found = _Found(limit, min_b)
    for batch in _batches(rows, batch_rows):
        limits, _, ids = search(unit_vectors[batch], radius)
        counts = (limits[1:] - limits[:-1]).astype(np.int64)
        found.add(np.repeat(batch, counts), ids)
    return found.pairs()


def knn_pairs(
    search: NeighbourSearch,
    unit_vectors: NDArray[np.float32],
    rows: Rows,
    lowest_score: float,
    limit: int,
    largest_k: int,
    min_b: int = 0,
    batch_scores: int = 1 << 22,
) -> tuple[RowPairs, Rows]:
    """Pairs a < b with a in `rows` and b >= min_b whose score is at least `lowest_score`, from k nearest neighbours.

    k grows until the k-th neighbour of a row is below the score. Nothing is cut off: a row is handed back, for another kind
    of search, if its neighbour number `largest_k` still reaches the score.

    Args:
        search: nearest neighbours in an index of `unit_vectors` by inner product, best first; -1 where it finds no more.
        unit_vectors: float32 (n, d).
        largest_k: that the index answers.
        batch_scores: scores per call of `search`; changes the memory only.
    Returns:
        The pairs of the complete rows, sorted by (a, b), and the other rows.
    Raises:
        FloodError: there are more than `limit`.
    """
    found = _Found(limit, min_b)
    largest_k = min(largest_k, len(unit_vectors))
    k = min(_SMALLEST_K, largest_k)
    while True:
        incomplete, waiting = [rows[:0]], 0
        for batch in _batches(rows, max(1, batch_scores // k)):
            scores, ids = search(unit_vectors[batch], k)
            complete = (scores[:, -1] < lowest_score) | (ids[:, -1] < 0) | (k == len(unit_vectors))
            wanted = (scores >= lowest_score) & (ids > batch[:, None]) & (ids >= min_b)
            waiting += int(wanted[~complete].sum())
            row, column = np.nonzero(wanted & complete[:, None])
            found.add(batch[row], ids[row, column], waiting)
            incomplete.append(batch[~complete])
        rows = np.concatenate(incomplete)
        if not len(rows) or k == largest_k:
            return found.pairs(), rows
        k = min(4 * k, largest_k)


def add_rows(index: Any, unit_vectors: NDArray[np.float32], step: int) -> None:
    """Add rows to an index, `step` at a time, and show the progress."""
    with Progress("index", len(unit_vectors), "rows") as progress:
        for batch in _batches(unit_vectors, step):
            index.add(batch)
            progress.advance(len(batch))


def sorted_pairs(*parts: RowPairs) -> RowPairs:
    """All parts as one, sorted by (a, b)."""
    a, b = (np.concatenate(side) for side in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    return a[order], b[order]


class _Found:
    """Collects pairs a < b. More than the limit raise FloodError before they fill the memory."""

    def __init__(self, limit: int, min_b: int) -> None:
        self.limit, self.min_b, self.count = limit, min_b, 0
        self.parts: list[RowPairs] = [(np.empty(0, np.int64), np.empty(0, np.int64))]

    def add(self, a: Rows, b: Rows, waiting: int = 0) -> None:
        """Add candidates; `waiting` more are known, but their rows are not complete yet."""
        wanted = (b > a) & (b >= self.min_b)
        self.parts.append((a[wanted], b[wanted].astype(np.int64)))
        self.count += int(wanted.sum())
        if self.count + waiting > self.limit:
            raise FloodError

    def pairs(self) -> RowPairs:
        return sorted_pairs(*self.parts)


def _batches(rows: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
