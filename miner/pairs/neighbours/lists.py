"""The neighbour lists of all rows as units of work: strips propose candidates, which are then ranked in float64."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.artifacts.npy import create_array, save_array
from miner.engine import Executor, Progress, Unit, committed, finished_items, run
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import STRIP_ROWS
from miner.pairs.neighbours.candidates import Candidates, ListRule, Lists, candidates, pruned, ranked_lists
from miner.pairs.neighbours.search import CandidateSource, candidate_search

_RANKED_ROWS = 512  # that a thread ranks at once


@dataclass(frozen=True)
class ListSearch:
    """The search for all lists of a rule.

    Attributes:
        memory_bytes: most memory for the rows of the search on a CPU.
        device: the value of --device.
        strip_rows: rows of a unit of work. These three change no byte.
        source: makes what proposes candidates, once in each process that searches; by default the exact search.
    """

    rule: ListRule
    memory_bytes: float = float("inf")
    device: str = "cpu"
    strip_rows: int = STRIP_ROWS
    source: Callable[[], CandidateSource] | None = None
    name: str = field(default_factory=lambda: uuid4().hex)

    def lists(self, parts: Path, executor: Executor | None = None) -> Lists:
        """The lists as `ranked_lists` gives them, in files of the folder `parts`."""
        paths = parts / "ids.npy", parts / "cosines.npy"
        self.write(*paths, parts, np.float64, executor)
        ids, cosines = (np.load(path, mmap_mode="r") for path in paths)
        return ids, cosines

    def write(
        self, ids_path: Path, cosines_path: Path, parts: Path, dtype: type, executor: Executor | None = None
    ) -> None:
        """Write the lists as two arrays of numpy: ids, int64 (n, k), and cosines of `dtype` (n, k), for the n rows with lists.

        Args:
            parts: folder of finished strips, which are kept if the work is interrupted.
            executor: where the strips are searched; by default in this process.
        """
        rows, shape = self.rule.end_a, (len(self.rule.listed), self.rule.k)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(parts / f"cells-{start:09d}.npy", parts / f"strip-{start:09d}.npy"),
                work=partial(_write_strip, self, start, stop),
                items=stop - start,
            )
            for start, stop in blocks(rows, self.strip_rows)
        ]
        try:
            with Progress("neighbours", rows, "rows", finished_items(units)) as progress:
                run(units, progress=progress, executor=executor)
        finally:
            _SEARCHES.clear()
        cells, strips = ([np.load(unit.files[part], mmap_mode="r") for unit in units] for part in range(2))
        with committed(ids_path) as ids_part, committed(cosines_path) as cosines_part:
            into = create_array(ids_part, np.int64, shape), create_array(cosines_part, dtype, shape)
            self._rank(strips, np.concatenate(cells), into, Threads())

    def in_memory(self) -> Lists:
        """The lists, without files."""
        rows, shape, threads = self.rule.end_a, (len(self.rule.listed), self.rule.k), Threads()
        search = self.opened(threads)
        strips = [search.candidates(start, stop) for start, stop in blocks(rows, self.strip_rows)]
        into = np.empty(shape, np.int64), np.empty(shape)
        self._rank(strips, search.cells[:rows], into, threads)
        return into

    def opened(self, threads: Threads) -> CandidateSource:
        """What proposes candidates in this process."""
        return self.source() if self.source else candidate_search(self.rule, self.device, self.memory_bytes, threads)

    def _rank(self, strips: Sequence[Candidates], cells: NDArray[np.int32], into: Lists, threads: Threads) -> None:
        # Rows of the second of two sets are in no strip, and are ranked in their own order.
        listed = self.rule.listed
        numbers = np.zeros(len(listed), np.int32) if listed.start else cells
        for some, lists in ranked(strips, numbers, self.rule, threads):
            for array, part in zip(into, lists, strict=True):
                array[some] = part


def ranked(
    strips: Sequence[Candidates], cells: NDArray[np.int32], rule: ListRule, threads: Threads
) -> Iterator[tuple[Rows, Lists]]:
    """Some lists after the other, with their numbers; rows of one cell come together, because they share most of their others.

    Args:
        strips: all candidates, each strip by row.
        cells: a number for each row that has a list, (n,).
    """
    order, known = np.argsort(cells, kind="stable"), rule.known
    some = [np.sort(order[start:stop]) for start, stop in blocks(len(order), _RANKED_ROWS)]

    def rank(numbers: Rows) -> Lists:
        rows = numbers + rule.listed.start
        found = pruned((_of_rows(strip, rows) for strip in strips), rule, None)
        return ranked_lists(np.concatenate([found, _entries(known, rows)]), rows, rule)

    yield from zip(some, threads.map(rank, some), strict=True)


# The search that runs in this process: to make one reads all vectors, so it serves all strips.
_SEARCHES: dict[str, CandidateSource] = {}


def _write_strip(search: ListSearch, start: int, stop: int, cells: Path, strip: Path) -> None:
    if search.name not in _SEARCHES:
        _SEARCHES.clear()
        _SEARCHES[search.name] = search.opened(Threads())
    made = _SEARCHES[search.name]
    for path, array in ((cells, made.cells[start:stop]), (strip, made.candidates(start, stop))):
        save_array(path, array)


def _entries(known: Rows, rows: Rows) -> Candidates:
    """The entries of known lists of some rows, which ascend; their scores are not needed."""
    lists = known[rows[rows < len(known)]]
    numbers, places = np.nonzero(lists >= 0)
    return candidates(rows[numbers], lists[numbers, places], np.zeros(len(numbers)))


def _of_rows(strip: Candidates, rows: Rows) -> Candidates:
    """The candidates of some rows, of candidates in ascending order of their rows."""
    found, wanted = strip["row"], rows.astype(strip["row"].dtype)
    starts, stops = (np.searchsorted(found, wanted, side) for side in ("left", "right"))
    counts = stops - starts
    return strip[np.repeat(stops - np.cumsum(counts), counts) + np.arange(counts.sum())]
