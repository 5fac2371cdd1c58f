"""The hnsw engine: nearest neighbours in a navigable graph (Malkov and Yashunin, arXiv 1603.09320; FAISS IndexHNSWFlat)."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.engine.records import Record
from miner.pairs.arithmetic.cosine import float32_margin
from miner.pairs.engines.faiss_search import Pairs, neighbour_hits, range_hits, sorted_pairs

_MOST_NEIGHBOURS = 2048
_ADDED_ROWS = 65_536


class HnswEngine:
    """Proposes pairs from the nearest neighbours of each row, as many as it takes to leave the band.

    For a row that has more than 2,048 of them, the graph costs more than looking at everything, so everything is looked at.

    The same rows give the same graph whatever the number of threads. FAISS before 1.15.1 links rows in the order in which its
    threads come to them; there one thread builds the graph.

    Args:
        units: float32 (n, d), rows of length 1 (`unit_rows`).
        threshold: lowest cosine wanted.
        links: of a row in the graph (M).
        build_effort: candidates for the links of a row (efConstruction).
    """

    def __init__(self, units: NDArray[np.float32], threshold: float, links: int, build_effort: int) -> None:
        import faiss

        images, dim = units.shape
        self.vectors = units
        self.lowest = threshold - float32_margin(dim)
        self.links, self.build_effort = links, build_effort
        self.effort = 256
        self.index: Any = faiss.IndexHNSWFlat(dim, links, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = build_effort
        threads = faiss.omp_get_max_threads()
        if not _orders_links():
            faiss.omp_set_num_threads(1)
        try:
            with Progress("index", images, "rows") as progress:
                for start in range(0, images, _ADDED_ROWS):
                    rows = units[start : start + _ADDED_ROWS]
                    self.index.add(rows)
                    progress.advance(len(rows))
        finally:
            faiss.omp_set_num_threads(threads)
        self._flat = faiss.downcast_index(self.index.storage)

    @property
    def efforts(self) -> list[int]:
        """Lengths of the candidate list to choose from."""
        return [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]

    def search(self, rows: Rows, effort: int, limit: int, first: int = 0) -> Pairs:
        """Pairs a < b with a in `rows` and b >= first, with candidate lists of at least `effort` (efSearch), by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        import faiss

        parameters = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]
        search = partial(self.index.search, params=parameters)
        near, rest = neighbour_hits(search, self.vectors, rows, self.lowest, limit, _MOST_NEIGHBOURS, first)
        far = range_hits(self._flat.range_search, self.vectors, rest, self.lowest, limit - len(near[0]), first)
        return sorted_pairs(near, far)

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> Pairs:
        """Row numbers a < b with a in [start, stop) and b >= first of pairs that may reach the threshold, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        return self.search(np.arange(start, stop, dtype=np.int64), self.effort, limit, first)

    def record(self) -> Record:
        return {"links": self.links, "ef_construction": self.build_effort, "ef_search": self.effort}


def _orders_links() -> bool:
    """Whether this FAISS builds the same graph with any number of threads."""
    import faiss

    return tuple(int(part) for part in faiss.__version__.split(".")[:3]) >= (1, 15, 1)
