"""The exact graph of the k nearest neighbours: candidates in float32, which `rescore` ranks in float64."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine import Executor
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import STRIP_ROWS
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.lists import ListSearch


@dataclass
class NeighbourGraph:
    """The k most similar other rows of each row, most similar first; equal similarities are ordered by row number.

    `write` makes the whole graph by `ListSearch`. `nearest` makes the lists of some rows by FAISS, as follows.

    FAISS ranks float32 scores, whose last bits depend on block sizes and threads, and it cuts ties anywhere. A score lies within
    `float32_margin` of the true cosine. So each of the k nearest rows has a score of at least the floor: the k-th best score less
    two margins. `rescore` measures every row at or above the floor and decides. If all scores that FAISS returned for a row
    reach its floor, candidates may be missing: then the row is compared with the whole gallery. So the graph does not depend
    on blocks, threads or the machine.

    Attributes:
        vectors: the vectors as stored; they define the truth. They are read by blocks.
        k: neighbours per row; 0 < k < n, and at most `gallery_rows` for rows outside the gallery.
        gallery_rows: only the first `gallery_rows` rows can be neighbours; all rows, if not given.
        strip_rows: rows of a unit of work.
        gallery_block_rows: rows of the gallery that are compared at once.
        dense_scores: most scores of rows that are compared with the whole gallery at once. These three change no byte.
    """

    vectors: Vectors
    k: int
    gallery_rows: int | None = None
    strip_rows: int = STRIP_ROWS
    gallery_block_rows: int = 1 << 15
    dense_scores: int = 1 << 22
    threads: Threads = field(default_factory=Threads, init=False)

    def __post_init__(self) -> None:
        self.gallery_size = len(self.vectors) if self.gallery_rows is None else self.gallery_rows

    def write(
        self,
        folder: Path,
        parts: Path,
        memory_bytes: float = float("inf"),
        device: str = "cpu",
        executor: Executor | None = None,
        known: Path | None = None,
    ) -> list[Path]:
        """Write `knn_ids.npy`, int64 (n, k), and `knn_sims.npy`, float32 (n, k), into `folder`; the arguments as of `ListSearch`.

        Args:
            folder: the folder of the two files.
            parts: folder of finished strips, which are kept if the work is interrupted.
            known: the ids of the graph of the first rows.
        """
        ids, similarities = folder / "knn_ids.npy", folder / "knn_sims.npy"
        search = ListSearch(ListRule(self.vectors, self.k, known_path=known), memory_bytes, device, self.strip_rows)
        search.write(ids, similarities, parts, np.float32, executor)
        return [ids, similarities]

    def nearest(self, start: int, stop: int) -> tuple[Rows, NDArray[np.float64]]:
        """Neighbours of the rows in [start, stop): ids int64 (m, k) and cosines float64 (m, k)."""
        rows = np.arange(start, stop)
        scores, ids = self._best_scores(start, stop)
        others = np.where(ids == rows[:, None], -np.inf, scores)
        floors = np.partition(others, -self.k, axis=1)[:, -self.k] - 2 * float32_margin(self.vectors.dim)
        complete = (scores.min(axis=1) < floors) | (scores.shape[1] == self.gallery_size)
        found = np.empty((len(rows), self.k), np.int64)
        similarities = np.empty((len(rows), self.k), np.float64)
        numbers, columns = np.nonzero((scores >= floors[:, None]) & complete[:, None])
        found[complete], similarities[complete] = self._ranked(rows[numbers], ids[numbers, columns])
        incomplete = np.flatnonzero(~complete)
        for low, high in blocks(len(incomplete), max(1, self.dense_scores // self.gallery_size)):
            some = incomplete[low:high]
            found[some], similarities[some] = self._ranked(*self._at_least(rows[some], floors[some]))
        return found, similarities

    def _best_scores(self, start: int, stop: int) -> tuple[NDArray[np.float64], Rows]:
        """For each row in [start, stop), more of its highest float32 scores than are wanted, and their rows; in no order."""
        import faiss

        queries = unit_rows(self.vectors.read(start, stop))
        width = min(2 * self.k + 16, self.gallery_size)
        scores, ids = np.empty((stop - start, 0)), np.empty((stop - start, 0), np.int64)
        for first_row, block in self._gallery_blocks():
            new_scores, columns = faiss.knn(queries, block, min(width, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
            scores, ids = np.hstack([scores, new_scores]), np.hstack([ids, columns.astype(np.int64) + first_row])
            if scores.shape[1] > width:
                best = np.argpartition(scores, -width, axis=1)[:, -width:]
                scores, ids = np.take_along_axis(scores, best, axis=1), np.take_along_axis(ids, best, axis=1)
        return scores, ids

    def _at_least(self, rows: Rows, floors: NDArray[np.float64]) -> tuple[Rows, Rows]:
        """All pairs of a row and a gallery row whose float32 score reaches the floor of the row."""
        queries = unit_rows(self.vectors.take(rows))
        found = [
            (np.nonzero(queries @ block.T >= floors[:, None]), first_row) for first_row, block in self._gallery_blocks()
        ]
        return (
            np.concatenate([rows[numbers] for (numbers, _), _ in found]),
            np.concatenate([columns + first_row for (_, columns), first_row in found]),
        )

    def _gallery_blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The gallery as unit rows in float32, one block at a time, each with its first row number."""
        for start, stop in blocks(self.gallery_size, self.gallery_block_rows):
            yield start, unit_rows(self.vectors.read(start, stop))

    def _ranked(self, rows: Rows, ids: Rows) -> tuple[Rows, NDArray[np.float64]]:
        """The k best candidates of each row, rows ascending; each row needs at least k candidates beside itself."""
        rows, ids = rows[rows != ids], ids[rows != ids]
        similarity = rescore(self.vectors, rows, ids, self.threads)
        order = np.lexsort((ids, -similarity, rows))
        starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
        best = order[starts[:, None] + np.arange(self.k)]
        return ids[best], similarity[best]
