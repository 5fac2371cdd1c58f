"""The engines ivf and hnsw: FAISS indexes that find most of the pairs."""

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
from miner.pairs.engines.faiss_search import add_rows, knn_pairs, range_search_pairs, sorted_pairs

_POINTS_PER_CELL = 39


class IvfEngine(ApproximateEngine):
    """Proposes the pairs whose second image lies in a cell near the first. The effort is the number of cells to search.

    An inverted file (Sivic and Zisserman 2003; FAISS IndexIVFFlat). The cells are those of spherical k-means. A search of all
    cells misses no pair. The same rows and seed give the same pairs whatever the number of threads: each score is summed by itself
    (`sums_one_by_one`), and FAISS sums centroids in the order of the rows.

    Args:
        unit_vectors: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine of a pair.
        cells: number of cells; 4 sqrt(n) by default.
        seed: the seed of k-means.
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
            add_rows(self.index, unit_vectors, 16_384)

    def search(self, rows: Rows, effort: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `ApproximateEngine.search`."""
        smallest_b = max(int(rows[0]) + 1, min_b) if len(rows) else 0
        later = faiss.IDSelectorRange(smallest_b, len(self.vectors))
        parameters = faiss.SearchParametersIVF(nprobe=effort, sel=later)  # type: ignore[call-arg]
        with sums_one_by_one():
            search = partial(self.index.range_search, params=parameters)
            return range_search_pairs(search, self.vectors, rows, self.lowest_score, limit, min_b)

    def nearest(self, rows: Rows, count: int) -> tuple[NDArray[np.float32], Rows]:
        """See `ApproximateEngine.nearest`."""
        parameters = faiss.SearchParametersIVF(nprobe=self.effort)  # type: ignore[call-arg]
        with sums_one_by_one():
            scores, ids = self.index.search(self.vectors[rows], count, params=parameters)
        return scores, ids

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


class HnswEngine(ApproximateEngine):
    """Proposes pairs from the nearest neighbours of each row. The effort is the length of the candidate list (efSearch).

    A navigable graph (Malkov and Yashunin, arXiv 1603.09320; FAISS IndexHNSWFlat). A row whose neighbour number `largest_k`
    still reaches the threshold is compared with all rows: the graph would cost more. The same rows give the same graph whatever
    the number of threads. FAISS before 1.15.1 links rows in the order in which its threads reach them, so one thread builds the
    graph there.

    Args:
        unit_vectors: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine of a pair.
        links: the links of a row in the graph (M).
        build_effort: candidates for the links of a row (efConstruction).
        largest_k: most neighbours of a row that the graph is asked for.
    """

    def __init__(
        self, unit_vectors: NDArray[np.float32], threshold: float, links: int, build_effort: int, largest_k: int = 2048
    ) -> None:
        dim = unit_vectors.shape[1]
        self.vectors = unit_vectors
        self.lowest_score = threshold - float32_margin(dim)
        self.links, self.build_effort, self.largest_k = links, build_effort, largest_k
        self.effort, self.efforts = 256, [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
        self.index: Any = faiss.IndexHNSWFlat(dim, links, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = build_effort
        threads = faiss.omp_get_max_threads()
        if tuple(int(part) for part in faiss.__version__.split(".")[:3]) < (1, 15, 1):
            faiss.omp_set_num_threads(1)
        try:
            add_rows(self.index, unit_vectors, 65_536)
        finally:
            faiss.omp_set_num_threads(threads)
        self._flat = faiss.downcast_index(self.index.storage)

    def search(self, rows: Rows, effort: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `ApproximateEngine.search`."""
        parameters = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
        search = partial(self.index.search, params=parameters)
        near, rows = knn_pairs(search, self.vectors, rows, self.lowest_score, limit, self.largest_k, min_b)
        remaining = limit - len(near[0])
        far = range_search_pairs(self._flat.range_search, self.vectors, rows, self.lowest_score, remaining, min_b)
        return sorted_pairs(near, far)

    def nearest(self, rows: Rows, count: int) -> tuple[NDArray[np.float32], Rows]:
        """See `ApproximateEngine.nearest`."""
        parameters = faiss.SearchParametersHNSW(efSearch=self.effort)  # type: ignore[attr-defined]
        scores, ids = self.index.search(self.vectors[rows], count, params=parameters)
        return scores, ids

    def record(self) -> Record:
        return {"links": self.links, "ef_construction": self.build_effort, "ef_search": self.effort}
