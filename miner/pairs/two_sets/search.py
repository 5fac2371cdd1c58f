"""The search of `miner pairs --against`: every pair between two sets in a band, or the nearest images of the other set."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.vectors import JoinedVectors
from miner.artifacts.pairs.band import Band
from miner.engine import Executor, LocalExecutor
from miner.pairs.band_join import BandJoin
from miner.pairs.embedding import fit_in_memory, most_pairs, search_bytes
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.select import engine_maker, memory_beside
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs
from miner.pairs.two_sets.other_set import VectorSet
from miner.text import counted

_WIDE_BAND = "the band floods. Raise --min, ask for --neighbors, or raise --max-pairs."


@dataclass(frozen=True)
class TwoSets:
    """Two sets to search. The larger one comes first in the rows of the search, because its strips are the units of work.

    Attributes:
        neighbors: nearest images there of each image here; None for all images of the band.
        strip_rows: rows of a unit of work; changes no pair.
    """

    options: PairsOptions
    here: VectorSet
    there: VectorSet
    band: Band
    neighbors: int | None
    executor: Executor
    strip_rows: int

    @property
    def ordered(self) -> tuple[VectorSet, VectorSet]:
        """The larger set, and the other one."""
        sets = self.here, self.there
        return sets if len(self.here) >= len(self.there) else sets[::-1]

    @cached_property
    def memory(self) -> int:
        """Bytes for the search itself; raises the error of `search_bytes`."""
        sets = self.here, self.there
        tables_bytes = 2 * sum(images.keys.nbytes for images in sets)
        return search_bytes(self.options, sum(map(len, sets)), self.here.vectors.dim, tables_bytes, remedy="")

    @cached_property
    def vectors(self) -> JoinedVectors:
        """In memory if they fit, as those of one set; else on disk."""
        stored = [images.vectors for images in self.ordered]
        memory = self.memory if self.executor == LocalExecutor() else 0
        fits = fit_in_memory(memory, *stored)
        return JoinedVectors(*(one.mapped() if fits else one for one in stored))

    @property
    def limit(self) -> int:
        """The most pairs to accept."""
        return most_pairs(self.options, self.memory)

    def pairs(self, parts: Path | None = None) -> FoundPairs:
        """All pairs, sorted: a is a row of this workspace, b of the other set. Those of nearest images have their `rank`, from 1.

        Args:
            parts: folder of finished strips; without it, nothing is kept.
        Raises:
            FloodError: there are more pairs than the limit.
        """
        found = self._in_band(parts) if self.neighbors is None else self._nearest(parts, self.neighbors)
        return found.select(np.lexsort((found.b, found.a)))

    def _in_band(self, parts: Path | None) -> FoundPairs:
        first = len(self.ordered[0])
        engine = engine_maker(self.options, self.vectors, self.band, self.memory, pairs=first * len(self.ordered[1]))
        join = BandJoin(engine, self.vectors, self.band, self.limit, first, self.strip_rows, _WIDE_BAND, end_a=first)
        try:
            found = join.run(parts, self.executor) if parts else join.run_in_memory()
        except FloodError as flood:
            densest = ", ".join(f"{self._key(row)} ({count:,})" for row, count in flood.densest)
            raise FloodError(
                f"{flood} The images with most partners there: {densest}." if densest else str(flood)
            ) from None
        found = found.select(self.band.contains(found.similarity))
        sides = found.a, found.b - first
        return FoundPairs(*(sides if self.ordered[0] is self.here else sides[::-1]), found.similarity)

    def _nearest(self, parts: Path | None, k: int) -> FoundPairs:
        here_first, total = self.ordered[0] is self.here, len(self.vectors)
        asking = range(len(self.here)) if here_first else range(len(self.there), total)
        high = self.band.high if self.band.high < 1 else float("inf")
        search = ListSearch(
            ListRule(self.vectors, k, high, asking=asking),
            memory_beside(self.vectors, self.memory),
            self.options.device,
            self.strip_rows,
        )
        ids, cosines = search.lists(parts, self.executor) if parts else search.in_memory()
        a, places = np.nonzero(cosines >= self.band.low)  # what ends a list early is no number
        if len(a) > self.limit:
            raise FloodError(
                f"{counted(len(a), 'image is', 'images are')} among the {k} nearest of others, more than "
                f"{self.limit:,}. Give fewer --neighbors, a "
                "higher --min, or raise --max-pairs, or --memory. Nothing was cut off."
            )
        b = ids[a, places] - (len(self.here) if here_first else 0)
        return FoundPairs(a, b, cosines[a, places]).with_evidence(rank=(places + 1).astype(np.int32))

    def _key(self, row: int) -> str:
        first, second = self.ordered
        images, row = (first, row) if row < len(first) else (second, row - len(first))
        return f"{images.keys[row].as_py()} of {images.name}"
