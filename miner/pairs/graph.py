"""The exact graph of the k nearest neighbours, by blocks of rows: candidates from FAISS in float32, order from `rescore`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.engine import Progress, Unit, committed, finished_items, run
from miner.pairs.similarity import float32_margin, rescore
from miner.pairs.threads import Threads
from miner.stored import Rows, Vectors

_BLOCK_ROWS = 4096
_DENSE_SCORES = 1 << 25  # of one dense step, in float32: 128 MB


@dataclass
class NeighbourGraph:
    """The k most similar other rows of each row: by similarity, most similar first, then by row number.

    FAISS ranks float32 scores, whose last bits depend on block sizes and threads, and cuts ties as it likes. A score lies
    within `float32_margin` of the true cosine, so whatever belongs to the k nearest scores at least the k-th best score less
    two margins. Everything above that floor is measured by `rescore`, which decides. Rows whose floor lies below what FAISS
    returned are multiplied with all rows. So the graph does not depend on blocks, threads or the machine.

    Attributes:
        vectors: as stored; they define the truth.
        units: float32 (n, d), their `unit_rows`.
        k: neighbours per row, 0 < k < n.
    """

    vectors: Vectors
    units: NDArray[np.float32]
    k: int
    threads: Threads = field(default_factory=Threads, init=False)

    def write(self, folder: Path, parts: Path) -> list[Path]:
        """`knn_ids.npy`, int64 (n, k), and `knn_sims.npy`, float32 (n, k), in `folder`; finished blocks in `parts` are kept."""
        images = len(self.units)
        units = [
            Unit(
                id=f"{start:09d}",
                outputs=(parts / f"ids-{start:09d}.npy", parts / f"sims-{start:09d}.npy"),
                work=partial(self._write_block, start, min(start + _BLOCK_ROWS, images)),
                items=min(_BLOCK_ROWS, images - start),
            )
            for start in range(0, images, _BLOCK_ROWS)
        ]
        with Progress("neighbours", images, "rows", finished_items(units)) as progress:
            run(units, progress=progress)
        paths = [folder / "knn_ids.npy", folder / "knn_sims.npy"]
        for number, path in enumerate(paths):
            with committed(path) as unfinished:
                _join_blocks([unit.outputs[number] for unit in units], unfinished, (images, self.k))
        return paths

    def nearest(self, start: int, stop: int) -> tuple[Rows, NDArray[np.float64]]:
        """Neighbours of the rows in [start, stop): ids int64 (m, k) and cosines float64 (m, k)."""
        import faiss

        width = min(2 * self.k + 16, len(self.units))
        rows = np.arange(start, stop)
        scores, ids = faiss.knn(self.units[start:stop], self.units, width, metric=faiss.METRIC_INNER_PRODUCT)
        ids = ids.astype(np.int64, copy=False)
        floors = self._floors(np.where(ids == rows[:, None], -np.inf, scores))
        complete = (scores[:, -1] < floors) | (width == len(self.units))
        found = np.empty((len(rows), self.k), np.int64)
        similarities = np.empty((len(rows), self.k), np.float64)
        places, columns = np.nonzero((scores >= floors[:, None]) & complete[:, None])
        found[complete], similarities[complete] = self._ranked(rows[places], ids[places, columns])
        for some in _steps(np.flatnonzero(~complete), len(self.units)):
            found[some], similarities[some] = self._among_all(rows[some])
        return found, similarities

    def _among_all(self, rows: Rows) -> tuple[Rows, NDArray[np.float64]]:
        scores = self.units[rows] @ self.units.T
        scores[np.arange(len(rows)), rows] = -np.inf
        places, ids = np.nonzero(scores >= self._floors(scores)[:, None])
        return self._ranked(rows[places], ids)

    def _floors(self, others: NDArray[np.float32]) -> NDArray[np.float64]:
        """Lowest score that one of the k nearest can have, float64 (m,), from scores without those of the rows themselves."""
        kth = np.partition(others, -self.k, axis=1)[:, -self.k]
        return kth.astype(np.float64) - 2 * float32_margin(self.units.shape[1])

    def _ranked(self, rows: Rows, ids: Rows) -> tuple[Rows, NDArray[np.float64]]:
        """The k best of each row among candidates, which are grouped by row, at least k others for each."""
        rows, ids = rows[rows != ids], ids[rows != ids]
        similarity = rescore(self.vectors, rows, ids, self.threads)
        order = np.lexsort((ids, -similarity, rows))
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        best = order[first[:, None] + np.arange(self.k)]
        return ids[best], similarity[best]

    def _write_block(self, start: int, stop: int, ids_path: Path, similarities_path: Path) -> None:
        ids, similarities = self.nearest(start, stop)
        arrays: list[tuple[Path, NDArray[np.generic]]] = [(ids_path, ids), (similarities_path, similarities)]
        for path, array in arrays:
            with path.open("wb") as stream:
                np.save(stream, array.astype(np.float32) if array.dtype == np.float64 else array)


def _steps(rows: Rows, images: int) -> Iterator[Rows]:
    """Rows in steps whose scores against all images fit in memory."""
    step = max(1, _DENSE_SCORES // images)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _join_blocks(blocks: list[Path], path: Path, shape: tuple[int, int]) -> None:
    whole: NDArray[np.generic] | None = None
    start = 0
    for block in blocks:
        part = np.load(block)
        if whole is None:
            whole = np.lib.format.open_memmap(path, "w+", part.dtype, shape)
        whole[start : start + len(part)] = part
        start += len(part)
