"""The exact engine on a CPU: all pairs a < b above a threshold, tile by tile."""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Vectors, blocks
from miner.engine.heap import give_back_memory
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import FloodError, RowPairs
from miner.pairs.engines.cost_model import Cascade
from miner.pairs.engines.tile_search import LEAST_ROWS_TO_SKETCH, TILE_ROWS, Tile, TileSearch


class ExactEngine:
    """Proposes every pair whose cosine may reach a threshold.

    Args:
        vectors: as stored.
        threshold: lowest cosine of a pair.
        memory_bytes: most memory for this engine; vectors that do not fit are read again for each tile that needs them.
        cascade: the passes before the float32 product; chosen by `cost_model.py` if not given.
        threads: that share the tiles.
        tile_rows: rows and columns of a tile; changes the speed and the memory only.
        least_rows_to_sketch: a search of no more pairs than so many rows have is done in float32, without sketches.
        pairs: how many pairs of rows are searched, for the plan; by default all.

    Raises:
        MinerError: a vector is zero or not finite.
    """

    def __init__(
        self,
        vectors: Vectors,
        threshold: float,
        memory_bytes: float = float("inf"),
        cascade: Cascade | None = None,
        threads: Threads | None = None,
        tile_rows: int = TILE_ROWS,
        least_rows_to_sketch: int = LEAST_ROWS_TO_SKETCH,
        pairs: float | None = None,
    ) -> None:
        self.search = TileSearch(vectors, memory_bytes, threads or Threads(), tile_rows)
        floor = np.array([threshold], np.float64)
        # A thread of the tiles makes the plan, so that it is measured as the tiles will run, and while other threads read.
        pairs = len(vectors) ** 2 / 2 if pairs is None else pairs
        plans = cascade is None and pairs >= least_rows_to_sketch**2 / 2
        planned = self.search.threads.start(
            lambda: self.search.makers(self.search.plan(floor, pairs) if plans else cascade)
        )
        self.search.load(planned)
        self.search.prepare(floor, planned.result())
        self._expected: tuple[int, int, int] | None = None
        self._coming: Iterator[NDArray[np.int64]] = iter(())

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        count = 0
        found: list[NDArray[np.int64]] = []
        try:
            for pairs in self._searched(start, stop, min_b):
                count += len(pairs)
                if count > limit:
                    raise FloodError
                found.append(pairs)
        except BaseException:
            self._expected, self._coming = None, iter(())  # no thread goes on
            raise
        pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return pairs[order, 0], pairs[order, 1]

    def _searched(self, start: int, stop: int, min_b: int) -> Iterator[NDArray[np.int64]]:
        """The pairs of each tile of a strip.

        The threads go on with the next strip of as many rows while the caller measures the pairs of this one.
        """
        search = self.search
        if search.unit_vectors is None:  # memory is short
            give_back_memory()
            return search.threads.map(self._pairs, search.tiles(start, stop, min_b))
        if self._expected != (start, stop, min_b):
            strips = ((a + start, b + start) for a, b in blocks(len(search.vectors) - start, stop - start))
            tiles = chain.from_iterable(search.tiles(*strip, min_b) for strip in strips)
            self._coming = search.threads.map(self._pairs, tiles)
        self._expected = stop, min(2 * stop - start, len(search.vectors)), min_b
        return islice(self._coming, len(search.tiles(start, stop, min_b)))

    def _pairs(self, tile: Tile) -> NDArray[np.int64]:
        """Row numbers (a, b) of the pairs of a tile that may reach the threshold: int64 (m, 2)."""
        rows, columns, _ = self.search.reached(tile)
        return np.stack([rows + tile.top, columns + tile.left], axis=1)
