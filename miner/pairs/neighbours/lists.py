"""The neighbour lists of all rows as units of work: strips propose candidates, which are then ranked in float64."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.engine import Executor, Progress, Unit, committed, finished_items, run
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import STRIP_ROWS
from miner.pairs.neighbours.candidates import Candidates, ListRule, Lists, candidates, pruned, ranked_lists
from miner.pairs.neighbours.search import CandidateSearch, candidate_search

if TYPE_CHECKING:
    from miner.pairs.neighbours.search_gpu import GpuCandidateSearch

_RANKED_ROWS = 1024  # that a thread ranks at once


@dataclass(frozen=True)
class ListSearch:
    """The search for all lists of a rule.

    Attributes:
        memory_bytes: most memory for the rows of the search on a CPU.
        device: the value of --device.
        strip_rows: rows of a unit of work. These three change no byte.
    """

    rule: ListRule
    memory_bytes: float = float("inf")
    device: str = "cpu"
    strip_rows: int = STRIP_ROWS
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
        """Write the lists as two arrays of numpy: ids, int64 (n, k), and cosines of `dtype` (n, k).

        Args:
            parts: folder of finished strips, which are kept if the work is interrupted.
            executor: where the strips are searched; by default in this process.
        """
        images = len(self.rule.vectors)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(parts / f"candidates-{start:09d}.npy",),
                work=partial(_write_strip, self, start, stop),
                items=stop - start,
            )
            for start, stop in blocks(images, self.strip_rows)
        ]
        try:
            with Progress("neighbours", images, "rows", finished_items(units)) as progress:
                run(units, progress=progress, executor=executor)
        finally:
            _SEARCHES.clear()
        strips = [np.load(unit.files[0], mmap_mode="r") for unit in units]
        known = self.rule.known

        def ranked(block: tuple[int, int]) -> Lists:
            found = pruned((_rows_of(strip, *block) for strip in strips), self.rule, None)
            return ranked_lists(np.concatenate([found, _entries(known, *block)]), *block, self.rule, None)

        with committed(ids_path) as ids_part, committed(cosines_path) as cosines_part:
            ids = np.lib.format.open_memmap(ids_part, "w+", np.dtype(np.int64), (images, self.rule.k))
            cosines = np.lib.format.open_memmap(cosines_part, "w+", np.dtype(dtype), (images, self.rule.k))
            ranges = blocks(images, _RANKED_ROWS)
            for (start, stop), lists in zip(ranges, Threads().map(ranked, ranges), strict=True):
                ids[start:stop], cosines[start:stop] = lists


# The search that runs in this process: to make one reads all vectors, so it serves all strips.
_SEARCHES: dict[str, "CandidateSearch | GpuCandidateSearch"] = {}


def _write_strip(search: ListSearch, start: int, stop: int, path: Path) -> None:
    if search.name not in _SEARCHES:
        _SEARCHES.clear()
        _SEARCHES[search.name] = candidate_search(search.rule, search.device, search.memory_bytes, Threads())
    with path.open("wb") as stream:
        np.save(stream, _SEARCHES[search.name].candidates(start, stop))


def _entries(known: Rows, start: int, stop: int) -> Candidates:
    """The entries of known lists of the rows in [start, stop); their scores are not needed."""
    rows, places = np.nonzero(known[start:stop] >= 0)
    return candidates(rows + start, known[start:stop][rows, places], np.zeros(len(rows)))


def _rows_of(strip: Candidates, start: int, stop: int) -> Candidates:
    """The candidates of the rows in [start, stop), of candidates in ascending order of their rows."""
    low, high = np.searchsorted(strip["row"], [start, stop])
    return strip[low:high]
