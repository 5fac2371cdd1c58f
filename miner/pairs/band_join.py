"""The band join as units of work: per strip of rows, an engine proposes candidates and `rescore` measures their cosines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.artifacts.pairs.band import Band
from miner.artifacts.parquet import count_rows
from miner.engine import Executor, Progress, Unit, finished_items, run
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import STRIP_ROWS, Engine, FloodError
from miner.pairs.tables.found import FoundPairs, put_together, read_rows, read_strips, write_strip

_SHOWN_ROWS = 5  # of a flood
WIDE_BAND = (
    "the band floods. Raise --min, let `miner calibrate` propose a band, search a part with --sample, take copies of one image out "
    "of the source, or raise --max-pairs (with --top-k, to keep only the most similar partners of each image)."
)


@dataclass
class BandJoin:
    """All pairs at or above the lower end of a band: the pairs in the band, and the near-duplicates above it.

    Attributes:
        engine: makes the engine, once in each process that searches.
        vectors: the vectors as stored; they define the truth.
        limit: most pairs to accept in all.
        min_b: smallest b of a pair. Pairs with a smaller b are known already, or lie within the first of two sets.
        end_a: the rows that can be a lie below it; by default all can. For two sets, it and `min_b` are the rows of the first.
        strip_rows: rows of a unit of work; changes no pair.
        remedy: what a flood means, and what to do about it.
    """

    engine: Callable[[], Engine]
    vectors: Vectors
    band: Band
    limit: int
    min_b: int = 0
    strip_rows: int = STRIP_ROWS
    remedy: str = WIDE_BAND
    end_a: int | None = None
    found: int = field(default=0, init=False)
    name: str = field(default_factory=lambda: uuid4().hex, init=False)

    def run(self, folder: Path, executor: Executor | None = None) -> FoundPairs:
        """All pairs. Strips that `folder` holds already are not searched again.

        Raises:
            FloodError: there are more pairs than the limit.
        """
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(folder / f"strip-{start:09d}.parquet",),
                work=partial(_search, self, start, stop),
                items=stop - start,
            )
            for start, stop in self._strips()
        ]
        strips = [unit.files[0] for unit in units]
        self.found = sum(_pairs_in(unit) for unit in units if unit.done)
        try:
            with Progress("pairs", sum(unit.items for unit in units), "rows", finished_items(units)) as progress:
                run(units, progress=progress, executor=executor, after=self._count)
        except FloodError as flood:
            ends = [*flood.ends, *(rows for strip in strips if strip.exists() for rows in read_rows(strip))]
            flood.densest = self._densest(ends)
            raise
        finally:
            _ENGINES.clear()
        return read_strips(strips)

    def run_in_memory(self) -> FoundPairs:
        """All pairs, without files.

        Raises:
            FloodError: there are more pairs than the limit.
        """
        engine, threads = self.engine(), Threads()
        found = []
        for start, stop in self._strips():
            found.append(self.search(engine, threads, start, stop))
            self.found += len(found[-1])
            if self.found > self.limit:
                raise self._flood()
        return put_together(found)

    def search(self, engine: Engine, threads: Threads, start: int, stop: int) -> FoundPairs:
        """The pairs of one strip; FloodError if the strip alone has more pairs than the limit."""
        try:
            a, b = engine.candidates(start, stop, self.limit, self.min_b)
        except FloodError:
            flood = self._flood()
            flood.ends = tuple(self._some_ends(engine, start, stop))
            raise flood from None
        similarity = rescore(self.vectors, a, b, threads)
        keep = similarity >= self.band.low
        return FoundPairs(a[keep], b[keep], similarity[keep])

    def _strips(self) -> Sequence[tuple[int, int]]:
        return blocks(len(self.vectors) if self.end_a is None else self.end_a, self.strip_rows)

    def _count(self, unit: Unit) -> None:
        self.found += _pairs_in(unit)
        if self.found > self.limit:
            raise self._flood()

    def _flood(self) -> FloodError:
        return FloodError(
            f"More than {self.limit:,} pairs have a cosine of at least {self.band.low}: {self.remedy} Nothing was cut off."
        )

    def _some_ends(self, engine: Engine, start: int, stop: int) -> list[Rows]:
        """Both rows of the first candidates of a strip, below the limit; or the one row that has too many candidates."""
        ends: list[Rows] = []
        step = stop - start
        while start < stop and sum(map(len, ends)) < self.limit:
            try:
                ends += engine.candidates(start, min(start + step, stop), self.limit, self.min_b)
                start += step
            except FloodError:
                if step == 1:
                    return [np.array([start])]
                step //= 2
        return ends

    def _densest(self, ends: Iterable[Rows]) -> tuple[tuple[int, int], ...]:
        """The rows that occur most often among the ends of the pairs found so far, and how many partners they have, most first."""
        occurrences = np.zeros(len(self.vectors), np.int64)
        for rows in ends:
            occurrences += np.bincount(rows, minlength=len(self.vectors))
        most_frequent = np.argsort(-occurrences, kind="stable")[: min(_SHOWN_ROWS, np.count_nonzero(occurrences))]
        counted = []
        for row in most_frequent.tolist():
            others = self._possible_partners(row)
            cosines = rescore(self.vectors, np.full_like(others, row), others)
            counted.append((row, int((cosines >= self.band.low).sum())))
        return tuple(sorted(counted, key=lambda pair: -pair[1]))

    def _possible_partners(self, row: int) -> Rows:
        if self.end_a is None:
            return np.delete(np.arange(len(self.vectors)), row)
        return np.arange(self.min_b, len(self.vectors)) if row < self.end_a else np.arange(self.end_a)


# The engine of the join that runs in this process: to make one reads all vectors, so it serves all strips of a join.
_ENGINES: dict[str, tuple[Engine, Threads]] = {}


def _search(join: BandJoin, start: int, stop: int, path: Path) -> None:
    if join.name not in _ENGINES:
        _ENGINES.clear()
        _ENGINES[join.name] = join.engine(), Threads()
    write_strip(path, join.search(*_ENGINES[join.name], start, stop))


def _pairs_in(unit: Unit) -> int:
    return count_rows(unit.files[0])
