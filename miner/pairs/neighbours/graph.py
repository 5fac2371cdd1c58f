"""The exact graph of the k nearest neighbours, by blocks of rows: candidates from FAISS in float32, order from `rescore`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine import Progress, Unit, committed, finished_items, run
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from miner.pairs.arithmetic.threads import Threads

_BLOCK_ROWS = 4096
_BASE_ROWS = 1 << 15
_DENSE_CANDIDATES = 1 << 22


@dataclass
class NeighbourGraph:
    """The k most similar other rows of each row: by similarity, most similar first, then by row number.

    FAISS ranks float32 scores, whose last bits depend on block sizes and threads, and cuts ties as it likes. A score lies
    within `float32_margin` of the true cosine, so whatever belongs to the k nearest scores at least the k-th best score less
    two margins. Everything above that floor is measured by `rescore`, which decides. Rows whose floor lies below what FAISS
    returned are multiplied with all rows. So the graph does not depend on blocks, threads or the machine.

    Attributes:
        vectors: as stored; they define the truth. Read by blocks.
        k: neighbours per row; 0 < k < n, and k <= among where other rows ask.
        among: only the first so many rows can be neighbours; all, if not given.
    """

    vectors: Vectors
    k: int
    among: int | None = None
    threads: Threads = field(default_factory=Threads, init=False)

    @property
    def gallery(self) -> int:
        """How many rows can be neighbours."""
        return len(self.vectors) if self.among is None else self.among

    def write(self, folder: Path, parts: Path) -> list[Path]:
        """`knn_ids.npy`, int64 (n, k), and `knn_sims.npy`, float32 (n, k), in `folder`; finished blocks in `parts` are kept."""
        images = len(self.vectors)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(parts / f"ids-{start:09d}.npy", parts / f"sims-{start:09d}.npy"),
                work=partial(self._write_block, start, stop),
                items=stop - start,
            )
            for start, stop in blocks(images, _BLOCK_ROWS)
        ]
        with Progress("neighbours", images, "rows", finished_items(units)) as progress:
            run(units, progress=progress)
        paths = [folder / "knn_ids.npy", folder / "knn_sims.npy"]
        for number, path in enumerate(paths):
            with committed(path) as unfinished:
                _join_blocks([unit.files[number] for unit in units], unfinished, (images, self.k))
        return paths

    def nearest(self, start: int, stop: int) -> tuple[Rows, NDArray[np.float64]]:
        """Neighbours of the rows in [start, stop): ids int64 (m, k) and cosines float64 (m, k)."""
        rows = np.arange(start, stop)
        scores, ids = self._best_scores(start, stop)
        others = np.where(ids == rows[:, None], -np.inf, scores)
        floors = np.partition(others, -self.k, axis=1)[:, -self.k] - 2 * float32_margin(self.vectors.dim)
        complete = (scores.min(axis=1) < floors) | (scores.shape[1] == self.gallery)
        found = np.empty((len(rows), self.k), np.int64)
        similarities = np.empty((len(rows), self.k), np.float64)
        places, columns = np.nonzero((scores >= floors[:, None]) & complete[:, None])
        found[complete], similarities[complete] = self._ranked(rows[places], ids[places, columns])
        crowded = np.flatnonzero(~complete)
        for first, last in blocks(len(crowded), max(1, _DENSE_CANDIDATES // self.gallery)):
            some = crowded[first:last]
            found[some], similarities[some] = self._ranked(*self._at_least(rows[some], floors[some]))
        return found, similarities

    def _best_scores(self, start: int, stop: int) -> tuple[NDArray[np.float64], Rows]:
        """Of each row in [start, stop) more of its highest float32 scores than are wanted, and whose they are; in no order."""
        import faiss

        queries = unit_rows(self.vectors.read(start, stop))
        width = min(2 * self.k + 16, self.gallery)
        scores, ids = np.empty((stop - start, 0)), np.empty((stop - start, 0), np.int64)
        for first, base in self._bases():
            theirs, places = faiss.knn(queries, base, min(width, len(base)), metric=faiss.METRIC_INNER_PRODUCT)
            scores, ids = np.hstack([scores, theirs]), np.hstack([ids, places.astype(np.int64) + first])
            if scores.shape[1] > width:
                best = np.argpartition(scores, -width, axis=1)[:, -width:]
                scores, ids = np.take_along_axis(scores, best, axis=1), np.take_along_axis(ids, best, axis=1)
        return scores, ids

    def _at_least(self, rows: Rows, floors: NDArray[np.float64]) -> tuple[Rows, Rows]:
        """All pairs of a row and another whose float32 score reaches the floor of the row."""
        queries = unit_rows(self.vectors.take(rows))
        found = [(np.nonzero(queries @ base.T >= floors[:, None]), first) for first, base in self._bases()]
        return (
            np.concatenate([rows[places] for (places, _), _ in found]),
            np.concatenate([columns + first for (_, columns), first in found]),
        )

    def _bases(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The unit rows that can be neighbours in float32, a block at a time, with the number of its first."""
        for first, last in blocks(self.gallery, _BASE_ROWS):
            yield first, unit_rows(self.vectors.read(first, last))

    def _ranked(self, rows: Rows, ids: Rows) -> tuple[Rows, NDArray[np.float64]]:
        """The k best of each row, in ascending order of the rows, among candidates with at least k others for each."""
        rows, ids = rows[rows != ids], ids[rows != ids]
        similarity = rescore(self.vectors, rows, ids, self.threads)
        order = np.lexsort((ids, -similarity, rows))
        first = np.flatnonzero(np.diff(rows[order], prepend=-1))
        best = order[first[:, None] + np.arange(self.k)]
        return ids[best], similarity[best]

    def _write_block(self, start: int, stop: int, ids_path: Path, similarities_path: Path) -> None:
        ids, similarities = self.nearest(start, stop)
        arrays: list[tuple[Path, NDArray[np.generic]]] = [(ids_path, ids), (similarities_path, similarities)]
        for path, array in arrays:
            with path.open("wb") as stream:
                np.save(stream, array.astype(np.float32) if array.dtype == np.float64 else array)


def _join_blocks(blocks: list[Path], path: Path, shape: tuple[int, int]) -> None:
    whole: NDArray[np.generic] | None = None
    start = 0
    for block in blocks:
        part = np.load(block)
        if whole is None:
            whole = np.lib.format.open_memmap(path, "w+", part.dtype, shape)
        whole[start : start + len(part)] = part
        start += len(part)
