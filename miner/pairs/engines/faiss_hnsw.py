"""The hnsw engine: nearest neighbours in a navigable graph (Malkov and Yashunin, arXiv 1603.09320; FAISS IndexHNSWFlat)."""

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

_ADDED_ROWS = 65_536


class HnswEngine(ApproximateEngine):
    """Proposes pairs from the nearest neighbours of each row. The effort is the length of the candidate list (efSearch).

    A row whose neighbour number `largest_k` still reaches the threshold is compared with all rows: the graph would cost more.

    The same rows give the same graph whatever the number of threads. FAISS before 1.15.1 links rows in the order in which its
    threads reach them, so one thread builds the graph there.

    Args:
        unit_vectors: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine of a pair.
        links: of a row in the graph (M).
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
        if not _graph_ignores_threads():
            faiss.omp_set_num_threads(1)
        try:
            add_rows(self.index, unit_vectors, _ADDED_ROWS)
        finally:
            faiss.omp_set_num_threads(threads)
        self._flat = faiss.downcast_index(self.index.storage)

    def search(self, rows: Rows, effort: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `ApproximateEngine.search`."""
        parameters = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
        search = partial(self.index.search, params=parameters)
        near, rows = knn_pairs(search, self.vectors, rows, self.lowest_score, limit, self.largest_k, min_b)
        rest = limit - len(near[0])
        far = range_search_pairs(self._flat.range_search, self.vectors, rows, self.lowest_score, rest, min_b)
        return sorted_pairs(near, far)

    def record(self) -> Record:
        return {"links": self.links, "ef_construction": self.build_effort, "ef_search": self.effort}


def _graph_ignores_threads() -> bool:
    """Whether the installed FAISS builds the same graph with any number of threads."""
    return tuple(int(part) for part in faiss.__version__.split(".")[:3]) >= (1, 15, 1)
