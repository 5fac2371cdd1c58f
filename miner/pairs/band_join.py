"""The band join as units of work: one strip of rows each, candidates from an engine, similarities from `rescore`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.artifacts.pairs.band import Band
from miner.engine import Executor, Progress, Unit, finished_items, run
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.densest_rows import densest
from miner.pairs.tables.found import FoundPairs, read_rows, read_strips, write_strip

STRIP_ROWS = 8192


class FloodError(MinerError):
    """There are more pairs than the limit; the message is for people.

    Attributes:
        ends: both rows of the pairs of the strip that passed the limit by itself, or part of them.
        densest: rows that are in very many pairs, and in how many, most first.
    """

    ends: tuple[Rows, ...] = ()
    densest: tuple[tuple[int, int], ...] = ()


class Engine(Protocol):
    """Proposes candidates at or above a threshold. It may propose too many; unless it says so, it never misses a pair."""

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> tuple[Rows, Rows]:
        """Row numbers a < b of pairs that may reach the threshold, with a in [start, stop) and b >= first, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        ...


@dataclass
class BandJoin:
    """All pairs at or above the lower end of a band.

    Attributes:
        engine: makes the engine, once in each process that searches.
        vectors: as stored; they define the truth.
        band: its lower end decides what is found; pairs above its upper end are found too.
        limit: most pairs to accept in all.
        first: only pairs with b >= first are searched; the others are known already.
    """

    engine: Callable[[], Engine]
    vectors: Vectors
    band: Band
    limit: int
    first: int = 0
    found: int = field(default=0, init=False)
    name: str = field(default_factory=lambda: uuid4().hex, init=False)

    def run(self, folder: Path, executor: Executor | None = None) -> FoundPairs:
        """All pairs. Strips found in `folder` are not searched again.

        Raises:
            FloodError: more pairs than the limit.
        """
        images = len(self.vectors)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(folder / f"strip-{start:09d}.parquet",),
                work=partial(_search, self, start, stop),
                items=stop - start,
            )
            for start, stop in blocks(images, STRIP_ROWS)
        ]
        parts = [unit.files[0] for unit in units]
        self.found = sum(_rows_of(unit) for unit in units if unit.done)
        try:
            with Progress("pairs", images, "rows", finished_items(units)) as progress:
                run(units, progress=progress, executor=executor, after=self._count)
        except FloodError as flood:
            ends = [*flood.ends, *(rows for part in parts if part.exists() for rows in read_rows(part))]
            flood.densest = densest(ends, self.vectors, self.band.low)
            raise
        finally:
            _ENGINES.clear()
        return read_strips(parts)

    def search(self, engine: Engine, threads: Threads, start: int, stop: int) -> FoundPairs:
        """The pairs of one strip.

        Raises:
            FloodError: the strip alone has more pairs than the limit.
        """
        try:
            a, b = engine.candidates(start, stop, self.limit, self.first)
        except FloodError:
            flood = self._flood()
            flood.ends = tuple(self._first_ends(engine, start, stop))
            raise flood from None
        similarity = rescore(self.vectors, a, b, threads)
        keep = similarity >= self.band.low
        return FoundPairs(a[keep], b[keep], similarity[keep])

    def _count(self, unit: Unit) -> None:
        self.found += _rows_of(unit)
        if self.found > self.limit:
            raise self._flood()

    def _flood(self) -> FloodError:
        return FloodError(
            f"More than {self.limit:,} pairs have a cosine of at least {self.band.low}: the band floods. Raise "
            "--min, let `miner calibrate` propose a band, search a part with --sample, take copies of one image out of the "
            "source, or raise --max-pairs (with --top-k, to keep only the most similar partners of each image). Nothing was "
            "cut off."
        )

    def _first_ends(self, engine: Engine, start: int, stop: int) -> list[Rows]:
        """Both rows of the candidates of a strip, as far as they stay below the limit, or the one row that alone passes it."""
        ends: list[Rows] = []
        step = stop - start
        while start < stop and sum(map(len, ends)) < self.limit:
            try:
                ends += engine.candidates(start, min(start + step, stop), self.limit, self.first)
                start += step
            except FloodError:
                if step == 1:
                    return [np.array([start])]
                step //= 2
        return ends


# Of this process: making one reads all vectors, so it serves all strips of a join.
_ENGINES: dict[str, tuple[Engine, Threads]] = {}


def _search(join: BandJoin, start: int, stop: int, part: Path) -> None:
    if join.name not in _ENGINES:
        _ENGINES.clear()
        _ENGINES[join.name] = join.engine(), Threads()
    write_strip(part, join.search(*_ENGINES[join.name], start, stop))


def _rows_of(unit: Unit) -> int:
    return int(pq.read_metadata(unit.files[0]).num_rows)
