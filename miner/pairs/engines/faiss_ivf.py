"""The ivf engine: range search in the cells nearest to a row (an inverted file; Sivic and Zisserman 2003; FAISS IndexIVFFlat)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.engine.records import Record
from miner.pairs.arithmetic.cosine import float32_margin
from miner.pairs.engines.faiss_search import Pairs, range_hits

_POINTS_PER_CELL = 39
_ADDED_ROWS = 16_384


class IvfEngine:
    """Proposes the pairs whose second image lies in one of the `effort` cells nearest to the first.

    Cells are those of spherical k-means. With as many cells searched as there are, it misses nothing.

    The same rows and seed give the same pairs whatever the number of threads: every score is summed on its own
    (`sums_one_by_one`), and FAISS adds up centroids in the order of the rows.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine wanted.
        cells: how many; 4 sqrt(n) by default.
        seed: of k-means.
    """

    def __init__(self, units: NDArray[np.float32], threshold: float, cells: int | None, seed: int) -> None:
        import faiss

        images, dim = units.shape
        self.vectors = units
        self.lowest = threshold - float32_margin(dim)
        self.cells = min(cells or round(4 * math.sqrt(images)), images)
        self.effort = max(1, self.cells // 8)
        self.index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, self.cells, faiss.METRIC_INNER_PRODUCT)
        self.index.cp.seed = seed
        self.index.cp.min_points_per_centroid = 1  # silences a warning; few images make few points
        self.index.cp.max_points_per_centroid = _POINTS_PER_CELL
        with sums_one_by_one(), Progress("index", images, "rows") as progress:
            self.index.train(units)
            for start in range(0, images, _ADDED_ROWS):
                rows = units[start : start + _ADDED_ROWS]
                self.index.add(rows)
                progress.advance(len(rows))

    @property
    def efforts(self) -> list[int]:
        """Numbers of cells to choose from, up to all."""
        steps = {math.ceil(1.3**power) for power in range(64)}
        return [*sorted(step for step in steps if step < self.cells), self.cells]

    def search(self, rows: Rows, effort: int, limit: int, first: int = 0) -> Pairs:
        """Pairs a < b with a in ascending `rows` and b >= first, looking at `effort` cells per row, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        import faiss

        lowest = max(int(rows[0]) + 1, first) if len(rows) else 0
        later = faiss.IDSelectorRange(lowest, len(self.vectors))
        parameters = faiss.SearchParametersIVF(nprobe=effort, sel=later)  # type: ignore[call-arg]
        with sums_one_by_one():
            search = partial(self.index.range_search, params=parameters)
            return range_hits(search, self.vectors, rows, self.lowest, limit, first)

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> Pairs:
        """Row numbers a < b with a in [start, stop) and b >= first of pairs that may reach the threshold, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        return self.search(np.arange(start, stop, dtype=np.int64), self.effort, limit, first)

    def record(self) -> Record:
        return {"nlist": self.cells, "nprobe": self.effort}


@contextmanager
def sums_one_by_one() -> Iterator[None]:
    """Make FAISS sum each inner product by itself, not by BLAS, whose rounding depends on the threads and the batch."""
    import faiss

    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual
