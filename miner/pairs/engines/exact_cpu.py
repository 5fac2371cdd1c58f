"""The exact engine on a CPU: all pairs a < b above a threshold, by tiles and a bound that skips most of the work."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from miner.pairs.band_join import STRIP_ROWS, FloodError
from miner.pairs.engines.cost_model import SHORTEST, Cascade, Costs, best_cascade
from miner.pairs.engines.sketch import Projection, Sketch, SketchedBlock

TILE_ROWS = 2048
_SAMPLE_ROWS = 4096
_LEAST_ROWS_TO_SKETCH = 8192
_TIMED_SHARE = 1e-3
# From this share of a tile on, it is multiplied in float32: so many candidates take as much memory as a product.
_DENSE_SHARE = 1 / 16
# What a tile in work takes beside its rows: scores in float32, a mask, and the candidates.
_TILE_BYTES = TILE_ROWS * TILE_ROWS * 8
# Of the memory for vectors; the rest is for what is in the making.
_SHARE_FOR_UNITS, _SHARE_FOR_SKETCHES = 3 / 4, 2 / 3

CPU = torch.device("cpu")


class _Buffer(threading.local):
    """Memory that a thread uses again for each tile: new memory costs as much as filling it."""

    numbers: Tensor | None = None

    def of(self, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """A tensor of that shape, with anything in it."""
        count = shape[0] * shape[1]
        if self.numbers is None or len(self.numbers) < count or self.numbers.dtype != dtype:
            self.numbers = torch.empty(count, dtype=dtype)
        return self.numbers[:count].view(shape)


class _SketchMaker:
    """Fills the sketch of all rows block by block, on several threads."""

    def __init__(self, projection: Projection, vectors: Vectors) -> None:
        self.projection = projection
        self.rows = torch.empty(len(vectors), projection.width(vectors.dim), dtype=projection.dtype)
        self.blocks: list[SketchedBlock] = []

    def add(self, rows: slice, units: Tensor) -> None:
        block = self.projection.block(units)
        self.rows[rows] = block.vectors
        self.blocks.append(replace(block, vectors=block.vectors[:0]))

    def sketch(self) -> Sketch:
        return self.projection.sketch(self.rows, self.blocks)


@dataclass(frozen=True)
class _Tile:
    """Rows [top, bottom), which are at hand, against rows [left, right)."""

    top: int
    rows: Tensor
    left: int
    right: int

    @property
    def bottom(self) -> int:
        return self.top + len(self.rows)

    def above_diagonal(self, rows: Rows, columns: Rows) -> tuple[Rows, Rows]:
        """The places with a < b."""
        if self.left >= self.bottom:
            return rows, columns
        above = columns + self.left > rows + self.top
        return rows[above], columns[above]

    def pairs(self, rows: Rows, columns: Rows) -> NDArray[np.int64]:
        """Row numbers (a, b) of places: int64 (m, 2)."""
        return np.stack([rows + self.top, columns + self.left], axis=1)


class ExactEngine:
    """Proposes every pair whose cosine may reach a threshold, a strip of rows at a time.

    A tile is first multiplied as short low-precision vectors that bound its cosines from above (`miner.pairs.engines.sketch`); what
    survives is measured in float32 while its rows are in the cache, which lies within `float32_margin` of the true cosine.
    Either bound is proven, so no pair is lost. Few rows, or a processor whose products do not keep to the bound, are
    multiplied in float32 at once.

    Args:
        vectors: as stored.
        threshold: lowest cosine wanted.
        memory_bytes: what this engine may hold; vectors that do not fit are read again for each tile that needs them.
        cascade: the passes before the float32 product; chosen by a model of their cost if not given.
        threads: that share the tiles.

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
    ) -> None:
        self.vectors = vectors
        self.threshold = threshold
        self.lowest = threshold - float32_margin(vectors.dim)
        self.threads = threads or Threads()
        self.lengths = np.empty(len(vectors), np.float64)
        self._scores, self._mask = _Buffer(), _Buffer()
        room = memory_bytes - _working_bytes(len(vectors), vectors.dim, self.threads.count)
        unit_bytes = len(vectors) * vectors.dim * 4
        self.units = torch.empty(len(vectors), vectors.dim) if unit_bytes <= _SHARE_FOR_UNITS * room else None
        if self.units is not None:
            room -= unit_bytes
        # The plan is made on a thread of the tiles, so that it is measured as they will run, and while the others read.
        plan = (
            partial(self._plan, room) if cascade is None and len(vectors) >= _LEAST_ROWS_TO_SKETCH else lambda: cascade
        )
        planned = self.threads.start(plan)
        for _ in self.threads.map(self._load, blocks(len(vectors), TILE_ROWS)):
            pass
        cascade = planned.result()
        if self.units is None:
            give_back_memory()
        self.first, self.second = self._sketches(cascade)

    def candidates(self, start: int, stop: int, limit: int, first: int = 0) -> tuple[Rows, Rows]:
        """Row numbers a < b with a in [start, stop) and b >= first of all pairs that may reach the threshold, by (a, b).

        Raises:
            FloodError: there are more than `limit`.
        """
        if self.units is None:  # memory is short
            give_back_memory()
        strip = self._units(start, stop)
        count = 0
        found: list[NDArray[np.int64]] = []
        tiles = []
        for low, high in blocks(stop - start, TILE_ROWS):
            left = max(start + low, first)
            columns = blocks(len(self.vectors) - left, TILE_ROWS)
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
        """Look at some vectors for the first time: their lengths, and themselves if they are to be held."""
        start, stop = block
        stored = self.vectors.read(start, stop)
        lengths = row_lengths(stored)
        check_lengths(lengths, start)
        self.lengths[start:stop] = lengths
        if self.units is not None:
            self.units[start:stop] = scaled(stored, lengths)

    def _sketches(self, cascade: Cascade | None) -> tuple[Sketch | None, Sketch | None]:
        """The sketches of all vectors for each pass; none where the processor does not keep to their bounds."""
        projections = [cascade.first, cascade.second] if cascade else []
        makers = [_SketchMaker(projection, self.vectors) for projection in projections if projection is not None]

        def sketch(block: tuple[int, int]) -> None:
            units = self._units(*block)
            for maker in makers:
                maker.add(slice(*block), units)

        for _ in self.threads.map(sketch, blocks(len(self.vectors), TILE_ROWS) if makers else []):
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
        units = scaled(stored, lengths)
        shuffled = torch.randperm(len(units), generator=torch.Generator().manual_seed(0))
        row_bytes = _SHARE_FOR_SKETCHES * room / count
        costs = _measured_costs(units[:TILE_ROWS])
        return best_cascade(units[shuffled], count, self.threshold, dtype, costs, _count_hits, row_bytes)

    def _units(self, start: int, stop: int) -> Tensor:
        """A run of rows, of length 1: float32."""
        if self.units is not None:
            return self.units[start:stop]
        return scaled(self.vectors.read(start, stop), self.lengths[start:stop])

    def _tile(self, tile: _Tile) -> NDArray[np.int64]:
        """Pairs of a tile that may reach the threshold: (m, 2), sorted."""
        if self.first is None:
            return self._dense(tile)
        shape = (len(tile.rows), tile.right - tile.left)
        scores = self._scores.of(shape, self.first.vectors.dtype)
        torch.mm(self.first.vectors[tile.top : tile.bottom], self.first.vectors[tile.left : tile.right].T, out=scores)
        mask = at_least(scores, self.first.lowest_score(self.threshold), self._mask.of(shape, torch.bool).numpy())
        if np.count_nonzero(mask) > _DENSE_SHARE * mask.size:
            return self._dense(tile)
        rows, columns = tile.above_diagonal(*places_of(mask))
        if self.second is not None:
            longer = self.second.vectors
            scored = products_at(longer[tile.top : tile.bottom], longer[tile.left : tile.right], rows, columns)
            keep = scored >= self.second.lowest_score(self.threshold)
            rows, columns = rows[keep], columns[keep]
        if not len(rows):
            return np.empty((0, 2), np.int64)
        keep = self._products(tile, rows, columns) >= self.lowest
        return tile.pairs(rows[keep], columns[keep])

    def _products(self, tile: _Tile, rows: Rows, columns: Rows) -> NDArray[np.floating]:
        """Float32 products at places of a tile."""
        if self.units is None:
            wanted, places = np.unique(columns, return_inverse=True)
            if len(wanted) * 4 < tile.right - tile.left:
                wanted += tile.left
                units = scaled(self.vectors.take(wanted), self.lengths[wanted])
                return products_at(tile.rows, units, rows, places)
        return products_at(tile.rows, self._units(tile.left, tile.right), rows, columns)

    def _dense(self, tile: _Tile) -> NDArray[np.int64]:
        scores = tile.rows @ self._units(tile.left, tile.right).T
        return tile.pairs(*tile.above_diagonal(*places_of(at_least(scores, self.lowest))))


def least_bytes(count: int, dim: int) -> int:
    """The least memory with which the exact engine can search so many vectors: its tiles, and the shortest sketches."""
    shortest = min(SHORTEST, dim) * 2
    return _working_bytes(count, dim, torch.get_num_threads()) + math.ceil(count * shortest / _SHARE_FOR_SKETCHES)


def _working_bytes(count: int, dim: int, threads: int) -> int:
    """What the tiles in work, the rows of a strip, and the lengths take."""
    return threads * (_TILE_BYTES + 8 * dim * TILE_ROWS) + 4 * dim * STRIP_ROWS + 8 * count


def at_least(scores: Tensor, lowest: float, mask: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which values of a tile are at or above a value: bool (m, n).

    Args:
        scores: bfloat16 or float32 (m, n), without NaN.
        lowest: the value.
        mask: where to write the answer, bool (m, n); a new array if not given.
    """
    if scores.dtype == torch.bfloat16 and lowest > 0:
        # Bits of positive floats rise with the value, and negative ones are negative as integers. numpy compares and scans
        # 16-bit integers twenty times faster than torch does bfloat16.
        bits = scores.view(torch.int16).numpy()
        return np.asarray(np.greater_equal(bits, _first_bfloat16(lowest), out=mask))
    numbers = (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy()
    return np.asarray(np.greater_equal(numbers, lowest, out=mask))


def places_of(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Rows and columns of what is set, in row order."""
    flat = np.flatnonzero(mask)
    rows = flat // mask.shape[1]
    return rows, flat - rows * mask.shape[1]


def _first_bfloat16(lowest: float) -> np.int16:
    """Bits of the least bfloat16 at or above a positive value."""
    value = torch.tensor(lowest, dtype=torch.float64).bfloat16()
    bits = int(value.view(torch.int16))
    return np.int16(bits if float(value) >= lowest else bits + 1)


def _count_hits(sketch: Sketch, lowest: float) -> int:
    everything = slice(len(sketch.vectors))
    mask = at_least(sketch.scores(everything, everything), lowest)
    found = int(np.count_nonzero(mask))
    if found <= _DENSE_SHARE * mask.size:
        places_of(mask)
    return found


def _measured_costs(units: Tensor) -> Costs:
    """Of a tile of these rows (m, d) with one candidate in a thousand places."""
    count, dim = units.shape
    draw = np.random.default_rng(1)
    rows, columns = np.divmod(
        np.sort(draw.choice(count**2, int(_TIMED_SHARE * count**2), replace=False, shuffle=False)), count
    )
    short = max(dim // 8, 1)
    whole_s, short_s = (
        _seconds(partial(products_at, part, part, rows, columns)) / max(len(rows), 1)
        for part in (units, units[:, :short].contiguous())
    )
    place_dim_s = max(whole_s - short_s, 0.0) / max(dim - short, 1)
    project_s = _seconds(lambda: units @ units[:short].T)
    return Costs(max(short_s - place_dim_s * short, 0.0), place_dim_s, project_s / count / min(short, count))


def _seconds(work: Callable[[], object]) -> float:
    """Of this thread's processor time, the less of two."""
    seconds = []
    for _ in range(2):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return min(seconds)
