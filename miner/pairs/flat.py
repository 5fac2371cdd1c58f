"""The FAISS engine: range search in a flat index, exact up to float32 rounding, which the margin takes care of."""

import numpy as np
from numpy.typing import NDArray

from miner.pairs.join import FloodError
from miner.pairs.similarity import Rows, float32_margin


class FaissEngine:
    """Proposes every pair whose cosine may reach a threshold, by `IndexFlatIP.range_search`.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine wanted.
    """

    def __init__(self, units: NDArray[np.float32], threshold: float) -> None:
        import faiss

        self.vectors = units
        self.threshold = threshold
        self.margin = float32_margin(units.shape[1])
        self.index = faiss.IndexFlatIP(units.shape[1])
        self.index.add(units)

    def candidates(self, start: int, stop: int, limit: int) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) of all pairs that may reach the threshold, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        # range_search keeps what is strictly above its radius, so the radius is one step below the lowest score wanted.
        radius = float(np.nextafter(np.float32(self.threshold - self.margin), np.float32(-2)))
        limits, _, neighbours = self.index.range_search(self.vectors[start:stop], radius)
        a = np.repeat(
            np.arange(start, stop, dtype=np.int64), limits[1:].astype(np.int64) - limits[:-1].astype(np.int64)
        )
        b = neighbours.astype(np.int64)
        above = b > a
        a, b = a[above], b[above]
        if len(a) > limit:
            raise FloodError
        order = np.lexsort((b, a))
        return a[order], b[order]


def nearest_neighbours(units: NDArray[np.float32], k: int) -> tuple[Rows, NDArray[np.float32]]:
    """The k most similar other rows of each row; equal similarities are ordered by row number.

    Args:
        units: float32 (n, d), rows of length 1.
        k: neighbours per row, below n.
    Returns:
        ids int64 (n, k) and inner products float32 (n, k), most similar first.
    """
    import faiss

    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    ids = np.empty((len(units), k), np.int64)
    similarities = np.empty((len(units), k), np.float32)
    for start in range(0, len(units), 4096):
        rows = np.arange(start, min(start + 4096, len(units)))
        found_similarities, found_ids = index.search(units[rows], k + 1)
        found_similarities[found_ids == rows[:, None]] = -np.inf  # the row itself, wherever it stands among its equals
        order = np.lexsort((found_ids, -found_similarities), axis=1)[:, :k]
        ids[rows] = np.take_along_axis(found_ids, order, axis=1)
        similarities[rows] = np.take_along_axis(found_similarities, order, axis=1)
    return ids, similarities
