"""The exact search for neighbours on a GPU: tiles of sketches, and for each row a floor that few of its others reach."""

from typing import Any

import numpy as np
import torch

from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.exact_gpu import GpuSearch
from miner.pairs.engines.sketch import Projection, principal_directions
from miner.pairs.neighbours.candidates import Candidates, ListRule, both_ways, pruned
from miner.pairs.neighbours.floors import SKETCH_DIMS, row_floors

_SAMPLE_ROWS = 4096


class GpuCandidateSearch:
    """Proposes candidates for the lists of all rows, as `CandidateSearch` does.

    Args:
        rule: what the lists are.
        threads: that share the work of the processor.
        projection: see `GpuSearch.prepare`.
        settings: of `GpuSearch`.

    Raises:
        MinerError: as by `GpuSearch`.
    """

    def __init__(
        self,
        rule: ListRule,
        device: torch.device,
        threads: Threads | None = None,
        projection: Projection | None = None,
        **settings: Any,
    ) -> None:
        self.rule = rule
        self.threads = threads or Threads()
        self.search = GpuSearch(rule.vectors, device, **settings)
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        search, count = self.search, len(rule.vectors)
        sample = search.units(np.sort(np.random.default_rng(0).choice(count, min(_SAMPLE_ROWS, count), replace=False)))
        directions = principal_directions(sample, min(SKETCH_DIMS, rule.vectors.dim))
        floors, self.cells = row_floors(rule, search.units, search.products, directions, dtype, self.threads)
        self.lowest = floors - rule.margin
        self.search.prepare(floors, projection)

    def candidates(self, start: int, stop: int) -> Candidates:
        """See `CandidateSearch.candidates`."""
        found: list[Candidates] = []
        for pairs, cosines in self.search.reached(start, stop, self.rule.min_b):
            a, b = (np.ascontiguousarray(side) for side in pairs.cpu().numpy().T)
            scores = rescore(self.rule.vectors, a, b, self.threads) if cosines is None else cosines.cpu().numpy()
            found.append(pruned(both_ways(self.rule, self.lowest, a, b, scores), self.rule, self.threads))
        return pruned(found, self.rule, self.threads)
