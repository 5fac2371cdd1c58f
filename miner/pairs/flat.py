"""The FAISS engine: range search in a flat index, exact up to float32 rounding, which the margin takes care of."""

import numpy as np
from numpy.typing import NDArray

from miner.pairs.join import FloodError
from miner.pairs.similarity import float32_margin
from miner.stored import Rows


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

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) and b >= first of all pairs that may reach the threshold, by (a, b).

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
        above = (b > a) & (b >= first)
        a, b = a[above], b[above]
        if len(a) > limit:
            raise FloodError
        order = np.lexsort((b, a))
        return a[order], b[order]
