"""The exact engine on a CPU: all pairs a < b above a threshold, by tiles and a bound that skips most of the work."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine.heap import give_back_memory
from miner.machine.device import has_native_bf16
from miner.pairs.arithmetic.cosine import check_lengths, float32_margin, row_lengths, scaled
from miner.pairs.arithmetic.sampled_products import products_at
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import STRIP_ROWS, FloodError, RowPairs
from miner.pairs.engines.cost_model import SHORTEST, Cascade, Costs, best_cascade
from miner.pairs.engines.sketch import Sketch, SketchMaker

TILE_ROWS = 2048
_SAMPLE_ROWS = 4096
_LEAST_ROWS_TO_SKETCH = 8192
_TIMED_SHARE = 1e-3
# A tile with a larger share of candidates is multiplied in float32: so many candidates take as much memory as the product.
_DENSE_SHARE = 1 / 16
# Of the memory for vectors; the rest is for arrays that are being built.
_SHARE_FOR_UNIT_VECTORS, _SHARE_FOR_SKETCHES = 3 / 4, 2 / 3

CPU = torch.device("cpu")


class _Buffer(threading.local):
    """Memory that a thread uses for all its tiles: to allocate memory costs as much as to fill it."""

    numbers: Tensor | None = None

    def of(self, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor of that shape."""
        count = shape[0] * shape[1]
        if self.numbers is None or len(self.numbers) < count or self.numbers.dtype != dtype:
            self.numbers = torch.empty(count, dtype=dtype)
        return self.numbers[:count].view(shape)


@dataclass(frozen=True)
class _Tile:
    """Rows [top, bottom), whose unit vectors are `rows`, against rows [left, right)."""

    top: int
    rows: Tensor
    left: int
    right: int

    @property
    def bottom(self) -> int:
        return self.top + len(self.rows)

    def above_diagonal(self, rows: Rows, columns: Rows) -> tuple[Rows, Rows]:
        """The positions with a < b."""
        if self.left >= self.bottom:
            return rows, columns
        above = columns + self.left > rows + self.top
        return rows[above], columns[above]

    def pairs(self, rows: Rows, columns: Rows) -> NDArray[np.int64]:
        """Row numbers (a, b) of positions in the tile: int64 (m, 2)."""
        return np.stack([rows + self.top, columns + self.left], axis=1)


class ExactEngine:
    """Proposes every pair whose cosine may reach a threshold.

    A tile is first multiplied as short low-precision vectors that bound its cosines from above (`sketch.py`). The surviving
    candidates are multiplied in float32 while their rows are in the cache; such a product lies within `float32_margin` of the
    true cosine. Both bounds are proven, so no pair is lost. Few rows are multiplied in float32 at once.
    So is everything on a processor whose products do not keep to the bound of the sketches.

    Args:
        vectors: as stored.
        threshold: lowest cosine of a pair.
        memory_bytes: most memory for this engine; vectors that do not fit are read again for each tile that needs them.
        cascade: the passes before the float32 product; chosen by `cost_model.py` if not given.
        threads: that share the tiles.
        tile_rows: rows and columns of a tile; changes the speed and the memory only.
        least_rows_to_sketch: fewer rows are multiplied in float32 at once.

    Raises:
        MinerError: a vector is zero or not finite.
    """

    def __init__(
        self,
        vectors: Vectors,
        threshold: float,
        memory_bytes: float = float("inf"),
        cascade: Cascade | None = None,
        threads: Threads | None = None,
        tile_rows: int = TILE_ROWS,
        least_rows_to_sketch: int = _LEAST_ROWS_TO_SKETCH,
    ) -> None:
        self.vectors = vectors
        self.threshold = threshold
        self.lowest_score = threshold - float32_margin(vectors.dim)
        self.threads = threads or Threads()
        self.tile_rows = tile_rows
        self.lengths = np.empty(len(vectors), np.float64)
        self._scores, self._mask = _Buffer(), _Buffer()
        room = memory_bytes - _working_bytes(len(vectors), vectors.dim, self.threads.count, tile_rows)
        all_bytes = len(vectors) * vectors.dim * 4
        fits = all_bytes <= _SHARE_FOR_UNIT_VECTORS * room
        self.unit_vectors = torch.empty(len(vectors), vectors.dim) if fits else None
        if fits:
            room -= all_bytes
        # A thread of the tiles makes the plan, so that it is measured as the tiles will run, and while other threads read.
        plan = (
            partial(self._plan, room) if cascade is None and len(vectors) >= least_rows_to_sketch else lambda: cascade
        )
        planned = self.threads.start(plan)
        for _ in self.threads.map(self._load, blocks(len(vectors), tile_rows)):
            pass
        cascade = planned.result()
        if self.unit_vectors is None:
            give_back_memory()
        self.first_sketch, self.second_sketch = self._sketches(cascade)

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        if self.unit_vectors is None:  # memory is short
            give_back_memory()
        strip = self._rows(start, stop)
        count = 0
        found: list[NDArray[np.int64]] = []
        tiles = []
        for low, high in blocks(stop - start, self.tile_rows):
            left = max(start + low, min_b)
            columns = blocks(len(self.vectors) - left, self.tile_rows)
            tiles += [_Tile(start + low, strip[low:high], left + a, left + b) for a, b in columns]
        for pairs in self.threads.map(self._tile, tiles):
            count += len(pairs)
            if count > limit:
                raise FloodError
            found.append(pairs)
        pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return pairs[order, 0], pairs[order, 1]

    def _load(self, block: tuple[int, int]) -> None:
        """Read some vectors for the first time: keep their lengths, and the unit vectors if they fit."""
        start, stop = block
        stored = self.vectors.read(start, stop)
        lengths = row_lengths(stored)
        check_lengths(lengths, start)
        self.lengths[start:stop] = lengths
        if self.unit_vectors is not None:
            self.unit_vectors[start:stop] = scaled(stored, lengths)

    def _sketches(self, cascade: Cascade | None) -> tuple[Sketch | None, Sketch | None]:
        """The sketches of all vectors for each pass; none where the processor does not keep to their bounds."""
        projections = [cascade.first, cascade.second] if cascade else []
        makers = [
            SketchMaker(projection, len(self.vectors), self.vectors.dim)
            for projection in projections
            if projection is not None
        ]

        def sketch(block: tuple[int, int]) -> None:
            unit_vectors = self._rows(*block)
            for maker in makers:
                maker.add(slice(*block), unit_vectors)

        for _ in self.threads.map(sketch, blocks(len(self.vectors), self.tile_rows) if makers else []):
            pass
        sketches = [maker.sketch() for maker in makers]
        if not sketches or not sketches[0].holds():
            return None, None
        return sketches[0], sketches[1] if len(sketches) > 1 else None

    def _plan(self, room: float) -> Cascade | None:
        """The passes that promise the least time."""
        count = len(self.vectors)
        dtype = torch.bfloat16 if has_native_bf16(CPU) else torch.float32
        order = np.sort(np.random.default_rng(0).choice(count, min(_SAMPLE_ROWS, count), replace=False))
        stored = self.vectors.take(order)
        lengths = row_lengths(stored)
        check_lengths(lengths)
        sample = scaled(stored, lengths)
        shuffled = sample[torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))]
        row_bytes = _SHARE_FOR_SKETCHES * room / count
        costs = _measured_costs(sample[: self.tile_rows])
        return best_cascade(shuffled, count, self.threshold, dtype, costs, _count_candidates, row_bytes)

    def _rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop), scaled to length 1: float32."""
        if self.unit_vectors is not None:
            return self.unit_vectors[start:stop]
        return scaled(self.vectors.read(start, stop), self.lengths[start:stop])

    def _tile(self, tile: _Tile) -> NDArray[np.int64]:
        """Pairs of a tile that may reach the threshold: int64 (m, 2), sorted."""
        if self.first_sketch is None:
            return self._dense(tile)
        shape = (len(tile.rows), tile.right - tile.left)
        short = self.first_sketch.vectors
        scores = self._scores.of(shape, short.dtype)
        torch.mm(short[tile.top : tile.bottom], short[tile.left : tile.right].T, out=scores)
        lowest_score = self.first_sketch.lowest_score(self.threshold)
        mask = at_least(scores, lowest_score, self._mask.of(shape, torch.bool).numpy())
        if np.count_nonzero(mask) > _DENSE_SHARE * mask.size:
            return self._dense(tile)
        rows, columns = tile.above_diagonal(*positions_in(mask))
        if self.second_sketch is not None:
            longer = self.second_sketch.vectors
            scored = products_at(longer[tile.top : tile.bottom], longer[tile.left : tile.right], rows, columns)
            keep = scored >= self.second_sketch.lowest_score(self.threshold)
            rows, columns = rows[keep], columns[keep]
        if not len(rows):
            return np.empty((0, 2), np.int64)
        keep = self._products(tile, rows, columns) >= self.lowest_score
        return tile.pairs(rows[keep], columns[keep])

    def _products(self, tile: _Tile, rows: Rows, columns: Rows) -> NDArray[np.floating]:
        """Float32 products at positions of a tile."""
        if self.unit_vectors is None:
            wanted, numbers = np.unique(columns, return_inverse=True)
            if (
                len(wanted) * 4 < tile.right - tile.left
            ):  # reading these few rows is faster than reading all rows of the tile
                wanted += tile.left
                return products_at(tile.rows, scaled(self.vectors.take(wanted), self.lengths[wanted]), rows, numbers)
        return products_at(tile.rows, self._rows(tile.left, tile.right), rows, columns)

    def _dense(self, tile: _Tile) -> NDArray[np.int64]:
        """Pairs of a tile by its whole float32 product: int64 (m, 2), sorted."""
        scores = tile.rows @ self._rows(tile.left, tile.right).T
        return tile.pairs(*tile.above_diagonal(*positions_in(at_least(scores, self.lowest_score))))


def least_bytes(count: int, dim: int) -> int:
    """The least memory with which the exact engine can search so many vectors: its tiles, and the shortest sketches."""
    shortest = min(SHORTEST, dim) * 2
    return _working_bytes(count, dim, torch.get_num_threads()) + math.ceil(count * shortest / _SHARE_FOR_SKETCHES)


def _working_bytes(count: int, dim: int, threads: int, tile_rows: int = TILE_ROWS) -> int:
    """Bytes of the tiles in work, of the rows of a strip, and of the lengths.

    A tile takes its rows and columns in float32, its scores in float32, a mask, and the candidates.
    """
    return threads * 8 * tile_rows * (tile_rows + dim) + 4 * dim * STRIP_ROWS + 8 * count


def at_least(scores: Tensor, lowest: float, mask: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Whether each score of a tile is at or above a value: bool (m, n).

    Args:
        scores: bfloat16 or float32 (m, n), without NaN.
        lowest: the value.
        mask: where to write the answer, bool (m, n); a new array if not given.
    """
    if scores.dtype == torch.bfloat16 and lowest > 0:
        # The bits of positive floats rise with their value, and negative floats are negative as integers. numpy compares and
        # scans 16-bit integers twenty times faster than torch does bfloat16.
        bits = scores.view(torch.int16).numpy()
        return np.asarray(np.greater_equal(bits, _bits_from(lowest), out=mask))
    numbers = (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy()
    return np.asarray(np.greater_equal(numbers, lowest, out=mask))


def positions_in(mask: NDArray[np.bool_]) -> RowPairs:
    """Rows and columns of the true entries, by row."""
    flat = np.flatnonzero(mask)
    rows = flat // mask.shape[1]
    return rows, flat - rows * mask.shape[1]


def _bits_from(lowest: float) -> np.int16:
    """The bits of the smallest bfloat16 at or above a positive value."""
    value = torch.tensor(lowest, dtype=torch.float64).bfloat16()
    bits = int(value.view(torch.int16))
    return np.int16(bits if float(value) >= lowest else bits + 1)


def _count_candidates(sketch: Sketch, lowest_score: float) -> int:
    """Candidates of the product of a sketch with itself; it does the work of a tile, so that its time can be measured."""
    everything = slice(len(sketch.vectors))
    mask = at_least(sketch.scores(everything, everything), lowest_score)
    found = int(np.count_nonzero(mask))
    if found <= _DENSE_SHARE * mask.size:
        positions_in(mask)
    return found


def _measured_costs(unit_vectors: Tensor) -> Costs:
    """Costs in a tile of these rows (m, d), of which one position in a thousand is a candidate."""
    count, dim = unit_vectors.shape
    generator = np.random.default_rng(1)
    rows, columns = np.divmod(
        np.sort(generator.choice(count**2, int(_TIMED_SHARE * count**2), replace=False, shuffle=False)), count
    )
    short = max(dim // 8, 1)
    whole_s, short_s = (
        _seconds(partial(products_at, part, part, rows, columns)) / max(len(rows), 1)
        for part in (unit_vectors, unit_vectors[:, :short].contiguous())
    )
    candidate_dim_s = max(whole_s - short_s, 0.0) / max(dim - short, 1)
    project_s = _seconds(lambda: unit_vectors @ unit_vectors[:short].T)
    return Costs(max(short_s - candidate_dim_s * short, 0.0), candidate_dim_s, project_s / count / min(short, count))


def _seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread for the work: the shorter of two runs."""
    seconds = []
    for _ in range(2):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return min(seconds)
