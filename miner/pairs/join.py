"""The band join as units of work: one strip of rows each, candidates from an engine, similarities from `rescore`."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.engine import Progress, Unit, finished_items, run
from miner.pairs.crowds import densest
from miner.pairs.similarity import Rows, Vectors, rescore, row_lengths
from miner.pairs.table import read_ends, read_parts, write_part

_STRIP_ROWS = 2048


class FloodError(Exception):
    """There are more pairs than the limit; the message is for people.

    Attributes:
        densest: rows that are in very many pairs, and in how many, most first.
    """

    densest: tuple[tuple[int, int], ...] = ()


class Engine(Protocol):
    """Proposes candidates at or above a threshold. It may propose too many; it must never miss a pair.

    Attributes:
        threshold: lowest cosine wanted.
    """

    threshold: float

    def candidates(self, start: int, stop: int, limit: int) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) of all pairs that may reach the threshold, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        ...


@dataclass
class BandJoin:
    """All pairs at or above a threshold.

    Attributes:
        engine: proposes candidates.
        vectors: (n, d) as stored; they define the truth.
        limit: most pairs to accept in all.
    """

    engine: Engine
    vectors: Vectors
    limit: int
    lengths: NDArray[np.float64] = field(init=False)
    found: int = 0

    def __post_init__(self) -> None:
        self.lengths = row_lengths(self.vectors)

    def run(self, folder: Path) -> tuple[Rows, Rows, NDArray[np.float64]]:
        """Row numbers a < b and cosines of all pairs, sorted by (a, b). Strips found in `folder` are not searched again.

        Raises:
            FloodError: more pairs than the limit.
        """
        images = len(self.vectors)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(folder / f"strip-{start:09d}.parquet",),
                work=partial(self._strip, start, min(start + _STRIP_ROWS, images)),
                items=min(_STRIP_ROWS, images - start),
            )
            for start in range(0, images, _STRIP_ROWS)
        ]
        parts = [unit.outputs[0] for unit in units]
        self.found = sum(pq.read_metadata(part).num_rows for part in parts if part.exists())
        with Progress("pairs", images, "rows", finished_items(units)) as progress:
            run(units, progress=progress)
        return read_parts(parts)

    def _strip(self, start: int, stop: int, part: Path) -> None:
        try:
            a, b = self.engine.candidates(start, stop, self.limit)
            similarity = rescore(self.vectors, self.lengths, a, b)
            keep = similarity >= self.engine.threshold
            self.found += int(keep.sum())
            if self.found > self.limit:
                raise FloodError
        except FloodError:
            flood = FloodError(
                f"More than {self.limit:,} pairs have a cosine of at least {self.engine.threshold}: the band floods. Raise "
                "--min, let `miner calibrate` propose a band, search a part with --sample, take copies of one image out of the "
                "source, or raise --max-pairs (with --top-k, to keep only the most similar partners of each image). Nothing was "
                "cut off."
            )
            ends = [*self._first_ends(start, stop), *read_ends(sorted(part.parent.glob("strip-*.parquet")))]
            flood.densest = densest(ends, self.vectors, self.lengths, self.engine.threshold)
            raise flood from None
        write_part(part, a[keep], b[keep], similarity[keep])

    def _first_ends(self, start: int, stop: int) -> list[Rows]:
        """Both rows of the candidates of a strip, as far as they stay below the limit, or the one row that alone passes it."""
        ends: list[Rows] = []
        step = stop - start
        while start < stop and sum(map(len, ends)) < self.limit:
            try:
                ends += self.engine.candidates(start, min(start + step, stop), self.limit)
                start += step
            except FloodError:
                if step == 1:
                    return [np.array([start])]
                step //= 2
        return ends
