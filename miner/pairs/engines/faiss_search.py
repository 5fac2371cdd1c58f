"""What a FAISS index finds for some rows, as pairs: by range search, or by nearest neighbours where an index has no ranges."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.pairs.band_join import FloodError

Pairs = tuple[Rows, Rows]
RangeSearch = Callable[[NDArray[np.float32], float], tuple[NDArray[Any], NDArray[np.float32], Rows]]
NeighbourSearch = Callable[[NDArray[np.float32], int], tuple[NDArray[np.float32], Rows]]

_RANGE_ROWS = 512
_FIRST_NEIGHBOURS = 32
_HELD_SCORES = 1 << 22


def range_hits(
    search: RangeSearch, units: NDArray[np.float32], rows: Rows, lowest: float, limit: int, first: int = 0
) -> Pairs:
    """Pairs a < b, a in `rows` and b >= first, that `search` puts at or above a score.

    Args:
        search: `range_search` of an index of `units` by inner product.
        units: float32 (n, d).
        rows: row numbers to search for.
        lowest: lowest score wanted.
        limit: most pairs to hold.
        first: lowest b.
    Raises:
        FloodError: there are more than `limit`.
    """
    # range_search keeps what is strictly above its radius, so the radius is one step below the lowest score wanted.
    radius = float(np.nextafter(np.float32(lowest), np.float32(-2)))
    found = _Found(limit, first)
    for block in _blocks(rows, _RANGE_ROWS):
        limits, _, ids = search(units[block], radius)
        counts = (limits[1:] - limits[:-1]).astype(np.int64)
        found.add(np.repeat(block, counts), ids)
    return found.pairs()


def neighbour_hits(
    search: NeighbourSearch,
    units: NDArray[np.float32],
    rows: Rows,
    lowest: float,
    limit: int,
    most: int,
    first: int = 0,
) -> tuple[Pairs, Rows]:
    """Pairs a < b, a in `rows` and b >= first, at or above a score, from k nearest neighbours.

    k grows until the k-th neighbour is below the score. Nothing is cut off: rows whose k-th neighbour is still at or above it
    when k cannot grow any more are returned, for another kind of search.

    Args:
        search: nearest neighbours in an index of `units` by inner product, best first; -1 where it finds no more.
        units: float32 (n, d).
        rows: row numbers to search for.
        lowest: lowest score wanted.
        limit: most pairs to hold.
        most: highest k that the index answers.
        first: lowest b.
    Returns:
        The pairs of the rows that are complete, and the rows that are not.
    Raises:
        FloodError: there are more than `limit`.
    """
    found = _Found(limit, first)
    most = min(most, len(units))
    k = min(_FIRST_NEIGHBOURS, most)
    while True:
        incomplete = [rows[:0]]
        waiting = 0
        for block in _blocks(rows, max(1, _HELD_SCORES // k)):
            scores, ids = search(units[block], k)
            complete = (scores[:, -1] < lowest) | (ids[:, -1] < 0) | (k == len(units))
            inside = (scores >= lowest) & (ids > block[:, None]) & (ids >= first)
            waiting += int(inside[~complete].sum())
            row, place = np.nonzero(inside & complete[:, None])
            found.add(block[row], ids[row, place], waiting)
            incomplete.append(block[~complete])
        rows = np.concatenate(incomplete)
        if not len(rows) or k == most:
            return found.pairs(), rows
        k = min(4 * k, most)


def sorted_pairs(*parts: Pairs) -> Pairs:
    """All parts together, sorted by (a, b)."""
    a, b = (np.concatenate(side) for side in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    return a[order], b[order]


class _Found:
    """Pairs a < b so far; too many are noticed before they fill the memory."""

    def __init__(self, limit: int, first: int) -> None:
        self.limit, self.first, self.count = limit, first, 0
        self.parts: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64))]

    def add(self, a: Rows, b: Rows, waiting: int = 0) -> None:
        above = (b > a) & (b >= self.first)
        self.parts.append((a[above], b[above].astype(np.int64)))
        self.count += int(above.sum())
        if self.count + waiting > self.limit:
            raise FloodError

    def pairs(self) -> Pairs:
        return sorted_pairs(*self.parts)


def _blocks(rows: Rows, size: int) -> Iterator[Rows]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
