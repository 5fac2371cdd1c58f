"""The exact search for neighbours on a CPU: tiles of rows, and for each row a floor that few of its others reach.

A pair of rows (x, y) matters if its cosine reaches the floor of x or that of y (`floors.py`). Every tile is multiplied once, for
the rows on both of its sides. A pair becomes a candidate of each row whose floor the pair reaches.
"""

from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from miner.machine.device import worker_device
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.cost_model import LONGEST, Cascade
from miner.pairs.engines.tile_search import LEAST_ROWS_TO_SKETCH, TILE_ROWS, Tile, TileSearch
from miner.pairs.neighbours.candidates import Candidates, ListRule, both_ways, pruned
from miner.pairs.neighbours.floors import SKETCH_DIMS, row_floors

# Candidates of a tile beyond this many per row are pruned at once.
_MOST_PER_ROW = 128


class CandidateSource(Protocol):
    """Proposes candidates for the lists of all rows.

    Attributes:
        cells: a number for each row, int32 (n,); rows of one number share most of their candidates.
    """

    cells: NDArray[np.int32]

    def candidates(self, start: int, stop: int) -> Candidates:
        """The candidates that the strip of rows [start, stop) has to propose, by row."""
        ...


class CandidateSearch:
    """Proposes candidates for the lists of all rows.

    Args:
        rule: what the lists are.
        memory_bytes, cascade, threads, tile_rows, least_rows_to_sketch: as of `ExactEngine`.

    Raises:
        MinerError: a vector is zero or not finite.
    """

    def __init__(
        self,
        rule: ListRule,
        memory_bytes: float = float("inf"),
        cascade: Cascade | None = None,
        threads: Threads | None = None,
        tile_rows: int = TILE_ROWS,
        least_rows_to_sketch: int = LEAST_ROWS_TO_SKETCH,
    ) -> None:
        self.rule = rule
        self.search = TileSearch(rule.vectors, memory_bytes, threads or Threads(), tile_rows)
        search, width = self.search, min(SKETCH_DIMS, rule.vectors.dim)
        directions = search.threads.start(lambda: search.sample[2].first(width))  # while other threads read
        search.load()
        few = directions.result()
        plans: list[Future[Cascade | None]] = []
        planned = cascade is None and rule.pairs >= least_rows_to_sketch**2 / 2
        if planned:  # what the plan will need, while rows are put into cells
            search.threads.start(lambda: search.sample[2].first(min(LONGEST, rule.vectors.dim)))

        def plan(floors: NDArray[np.float64]) -> None:
            if planned:
                plans.append(search.threads.start(lambda: search.plan(floors, rule.pairs)))

        floors, self.cells = row_floors(rule, search.take, search.products, few, search.dtype, search.threads, plan)
        search.prepare(floors, search.makers(plans[0].result() if plans else cascade))

    def candidates(self, start: int, stop: int) -> Candidates:
        """The candidates that the unknown pairs (a, b) with a in [start, stop) and a < b make, for both rows, by row."""
        tiles = self.search.tiles(start, stop, self.rule.min_b)
        return pruned(self.search.threads.map(self._candidates, tiles), self.rule, self.search.threads)

    def _candidates(self, tile: Tile) -> Candidates:
        rows, columns, scores = self.search.reached(tile)
        found = both_ways(self.rule, self.search.lowest, rows + tile.top, columns + tile.left, scores)
        many = len(rows) > _MOST_PER_ROW * self.search.tile_rows
        return pruned(found, self.rule, None) if many else np.concatenate(found)


def candidate_search(rule: ListRule, device: str, memory_bytes: float, threads: Threads) -> CandidateSource:
    """The search of this process: on its GPU if it has one, else on the CPU.

    Args:
        device: the value of --device.
        memory_bytes: for the search on the CPU; a GPU uses the free memory of its own.
    """
    chosen = worker_device(device)
    if chosen.type != "cuda":
        return CandidateSearch(rule, memory_bytes, threads=threads)
    from miner.pairs.neighbours.search_gpu import GpuCandidateSearch

    return GpuCandidateSearch(rule, chosen, threads)
