"""What an engine does: it proposes pairs of rows whose cosine may reach a threshold."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Record
from miner.errors import MinerError

STRIP_ROWS = 8192  # rows that a join asks an engine for at once
RowPairs = tuple[Rows, Rows]  # row numbers a and b of candidates, int64 (m,) each


class FloodError(MinerError):
    """There are more pairs than the limit.

    Attributes:
        ends: row numbers of both images of the pairs in the strip that passed the limit by itself, or of some of them.
        densest: the rows with the most partners and the number of partners, most first.
    """

    ends: tuple[Rows, ...] = ()
    densest: tuple[tuple[int, int], ...] = ()


class Engine(Protocol):
    """Proposes candidates. It may propose too many; unless its description says so, it misses no pair."""

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """Row pairs a < b that may reach the threshold, with a in [start, stop) and b >= min_b, sorted by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        ...


class ApproximateEngine(ABC):
    """Proposes most of the pairs: the higher the effort, the more of them.

    Attributes:
        effort: the effort of `candidates`.
        efforts: to choose from, ascending.
    """

    effort: int
    efforts: list[int]

    @abstractmethod
    def search(self, rows: Rows, effort: int, limit: int, min_b: int = 0) -> RowPairs:
        """Row pairs a < b with a in ascending `rows` and b >= min_b, sorted by (a, b); FloodError as in `Engine`."""

    @abstractmethod
    def nearest(self, rows: Rows, count: int) -> tuple[NDArray[np.float32], Rows]:
        """Scores (m, count) of the nearest rows, themselves included, best first, and their numbers; -1 where no more are found."""

    @abstractmethod
    def record(self) -> Record:
        """The settings of the index, as JSON values."""

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        return self.search(np.arange(start, stop, dtype=np.int64), self.effort, limit, min_b)
