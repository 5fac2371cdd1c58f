"""The ivf engine: range search in the cells nearest to a row (an inverted file; Sivic and Zisserman 2003; FAISS IndexIVFFlat)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Record
from miner.pairs.arithmetic.cosine import float32_margin
from miner.pairs.engines.base import ApproximateEngine, RowPairs
from miner.pairs.engines.faiss_search import add_rows, range_search_pairs

_POINTS_PER_CELL = 39
_ADDED_ROWS = 16_384


class IvfEngine(ApproximateEngine):
    """Proposes the pairs whose second image lies in a cell near the first. The effort is the number of cells to search.

    The cells are those of spherical k-means. A search of all cells misses no pair.

    The same rows and seed give the same pairs whatever the number of threads: each score is summed by itself
    (`sums_one_by_one`), and FAISS sums centroids in the order of the rows.

    Args:
        unit_vectors: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine of a pair.
        cells: number of cells; 4 sqrt(n) by default.
        seed: of k-means.
    """

    def __init__(self, unit_vectors: NDArray[np.float32], threshold: float, cells: int | None, seed: int) -> None:
        images, dim = unit_vectors.shape
        self.vectors = unit_vectors
        self.lowest_score = threshold - float32_margin(dim)
        self.cells = min(cells or round(4 * math.sqrt(images)), images)
        self.effort = max(1, self.cells // 8)
        steps = {math.ceil(1.3**power) for power in range(64)}
        self.efforts = [*sorted(step for step in steps if step < self.cells), self.cells]
        self.index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, self.cells, faiss.METRIC_INNER_PRODUCT)
        self.index.cp.seed = seed
        self.index.cp.min_points_per_centroid = 1  # silences a warning; few images make few points
        self.index.cp.max_points_per_centroid = _POINTS_PER_CELL
        with sums_one_by_one():
            self.index.train(unit_vectors)
            add_rows(self.index, unit_vectors, _ADDED_ROWS)

    def search(self, rows: Rows, effort: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `ApproximateEngine.search`."""
        smallest_b = max(int(rows[0]) + 1, min_b) if len(rows) else 0
        later = faiss.IDSelectorRange(smallest_b, len(self.vectors))
        parameters = faiss.SearchParametersIVF(nprobe=effort, sel=later)  # type: ignore[call-arg]
        with sums_one_by_one():
            search = partial(self.index.range_search, params=parameters)
            return range_search_pairs(search, self.vectors, rows, self.lowest_score, limit, min_b)

    def record(self) -> Record:
        return {"nlist": self.cells, "nprobe": self.effort}


@contextmanager
def sums_one_by_one() -> Iterator[None]:
    """Make FAISS sum each inner product by itself. BLAS would round by the number of threads and the size of the batch."""
    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual
