"""Tiles of cosines on a CPU: which pairs of rows reach a floor, by a bound that skips most of the work.

A tile is first multiplied as short low-precision vectors that bound its cosines from above (`sketch.py`). The surviving
candidates are multiplied in float32 while their rows are in the cache; such a product lies within `float32_margin` of the true
cosine. Both bounds are proven, so no pair is lost. A small set is multiplied in float32 without sketches. The same holds on a
processor that breaks the bound of the sketches.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine.heap import give_back_memory
from miner.machine.device import has_native_bf16
from miner.pairs.arithmetic.cosine import check_lengths, float32_margin, row_lengths, scaled
from miner.pairs.arithmetic.products import product
from miner.pairs.arithmetic.sampled_products import products_at
from miner.pairs.arithmetic.threads import Buffer, Threads
from miner.pairs.engines.base import STRIP_ROWS, RowPairs
from miner.pairs.engines.cost_model import DENSE_SHARE, SHORTEST, Cascade, Costs, best_cascade
from miner.pairs.engines.sketch import PrincipalDirections, Sketch, SketchMaker

TILE_ROWS = 2048
LEAST_ROWS_TO_SKETCH = 8192
_SAMPLE_ROWS = 4096
_LOWEST_BITS = np.int16(-(1 << 15))
_TIMED_SHARE = 1e-3
_FEW = 5e-3  # of the entries of a mask: so few true ones are found faster by groups
# Of the memory for vectors; the rest is for arrays that are being built.
_SHARE_FOR_UNIT_VECTORS, _SHARE_FOR_SKETCHES = 3 / 4, 2 / 3

CPU = torch.device("cpu")

Floor = NDArray[np.float64]
Scores = NDArray[Any]


@dataclass(frozen=True)
class Tile:
    """Rows [top, bottom), whose unit vectors are `rows`, against rows [left, right)."""

    top: int
    rows: Tensor
    left: int
    right: int

    @property
    def bottom(self) -> int:
        return self.top + len(self.rows)

    def above_diagonal(self, rows: Rows, columns: Rows) -> RowPairs:
        """The positions with a < b."""
        if self.left >= self.bottom:
            return rows, columns
        above = columns + self.left > rows + self.top
        return rows[above], columns[above]


class TileSearch:
    """The rows of a search, ready to be multiplied tile by tile.

    Args:
        vectors: the vectors as stored.
        memory_bytes: most memory for this search; vectors that do not fit are read again for each tile that needs them.
        threads: that share the tiles.
        tile_rows: rows and columns of a tile; changes the speed and the memory only.

    Raises:
        MinerError: a vector is zero or not finite.
    """

    def __init__(self, vectors: Vectors, memory_bytes: float, threads: Threads, tile_rows: int) -> None:
        self.vectors = vectors
        self.threads = threads
        self.tile_rows = tile_rows
        self.dtype = torch.bfloat16 if has_native_bf16(CPU) else torch.float32
        self.lengths = np.empty(len(vectors), np.float64)
        self._sketched: set[tuple[int, int]] = set()
        self._scores, self._mask, self._other_mask = Buffer(), Buffer(), Buffer()
        self._room = memory_bytes - _working_bytes(len(vectors), vectors.dim, threads.count, tile_rows)
        all_bytes = len(vectors) * vectors.dim * 4
        fits = all_bytes <= _SHARE_FOR_UNIT_VECTORS * self._room
        self.unit_vectors = torch.empty(len(vectors), vectors.dim) if fits else None
        if fits:
            self._room -= all_bytes

    def load(self, planned: Future[list[SketchMaker]] | None = None) -> None:
        """Read all vectors for the first time: keep their lengths, and the unit vectors if they fit.

        Args:
            planned: the makers of the sketches, once they are known: from then on, rows are sketched while they are in the cache.
        """

        def load(block: tuple[int, int]) -> None:
            rows = self._load(*block)
            if planned is not None and planned.done() and planned.exception() is None:
                self._sketch(block, rows, planned.result())

        for _ in self.threads.map(load, blocks(len(self.vectors), self.tile_rows)):
            pass
        if self.unit_vectors is None:
            give_back_memory()

    def makers(self, cascade: Cascade | None) -> list[SketchMaker]:
        """What makes the sketches of each pass."""
        passes = [cascade.first, cascade.second] if cascade else []
        return [SketchMaker(some, len(self.vectors), self.vectors.dim) for some in passes if some is not None]

    @cached_property
    def sample(self) -> tuple[Rows, Tensor, PrincipalDirections]:
        """Numbers of random rows, ascending, these rows scaled to length 1, float32 (m, d), and their directions."""
        count = len(self.vectors)
        order = np.sort(np.random.default_rng(0).choice(count, min(_SAMPLE_ROWS, count), replace=False))
        stored = self.vectors.take(order)
        lengths = row_lengths(stored)
        check_lengths(lengths)
        rows = scaled(stored, lengths)
        return order, rows, PrincipalDirections(rows, self.dtype, self.threads)

    def plan(self, floor: Floor, pairs: float | None = None) -> Cascade | None:
        """The passes before the float32 product that promise the least time; None where there are none.

        Args:
            floor: the lowest cosine that matters, float64: (1,) for all pairs, or (n,) by row. A pair matters if it reaches
                the floor of either row.
            pairs: how many pairs of rows are searched; by default all.
        """
        count = len(self.vectors)
        order, sample, directions = self.sample
        shuffled = torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))
        row_bytes = _SHARE_FOR_SKETCHES * self._room / count
        costs = _measured_costs(sample[: self.tile_rows])
        floors = floor if len(floor) == 1 else floor[order][shuffled.numpy()]
        return best_cascade(
            sample[shuffled], count, floors, self.dtype, costs, self._count_candidates, row_bytes, directions, pairs
        )

    def prepare(self, floor: Floor, makers: list[SketchMaker]) -> None:
        """Sketch the rows that `load` did not, and find all that scores are compared with. For `floor` see `plan`.

        There are no sketches where the processor does not keep to their bounds.
        """
        rest = [block for block in blocks(len(self.vectors), self.tile_rows) if makers and block not in self._sketched]
        for _ in self.threads.map(lambda block: self._sketch(block, self.rows(*block), makers), rest):
            pass
        self.lowest = _rounded_down(floor - float32_margin(self.vectors.dim))
        # On a thread of the tiles, as the tiles will run.
        self.sketches = self.threads.start(lambda: _holding([maker.sketch() for maker in makers])).result()
        self._lowest_scores = [_comparable(sketch, floor) for sketch in self.sketches]

    def tiles(self, start: int, stop: int, min_b: int) -> list[Tile]:
        """The tiles that hold the pairs (a, b) with a in [start, stop), a < b and b >= min_b."""
        strip, tiles = self.rows(start, stop), []
        for low, high in blocks(stop - start, self.tile_rows):
            left = max(start + low, min_b)
            columns = blocks(len(self.vectors) - left, self.tile_rows)
            tiles += [Tile(start + low, strip[low:high], left + a, left + b) for a, b in columns]
        return tiles

    def reached(self, tile: Tile) -> tuple[Rows, Rows, NDArray[np.floating]]:
        """The positions of a tile with a < b whose cosine may reach a floor, and their float32 products, by row."""
        if not self.sketches:
            return self._dense(tile)
        short, *longer = self.sketches
        scores = short.scores(slice(tile.top, tile.bottom), slice(tile.left, tile.right), self._scores)
        mask = self._reach(scores, *_sides(self._lowest_scores[0], tile))
        if np.count_nonzero(mask) > DENSE_SHARE * mask.size:
            return self._dense(tile)
        rows, columns = tile.above_diagonal(*positions_in(mask))
        for sketch, lowest in zip(longer, self._lowest_scores[1:], strict=True):
            left, right = sketch.vectors[tile.top : tile.bottom], sketch.vectors[tile.left : tile.right]
            keep = products_at(left, right, rows, columns) >= _at(lowest, tile, rows, columns)
            rows, columns = rows[keep], columns[keep]
        products = self._products(tile, rows, columns)
        keep = products >= _at(self.lowest, tile, rows, columns)
        return rows[keep], columns[keep], products[keep]

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop), scaled to length 1: float32."""
        if self.unit_vectors is not None:
            return self.unit_vectors[start:stop]
        return scaled(self.vectors.read(start, stop), self.lengths[start:stop])

    def take(self, rows: Rows) -> Tensor:
        """Rows by ascending numbers, scaled to length 1: float32."""
        if self.unit_vectors is not None:
            return self.unit_vectors[rows]
        return scaled(self.vectors.take(rows), self.lengths[rows])

    def products(self, rows: Rows, others: Rows) -> NDArray[np.floating]:
        """Float32 products of pairs of rows, by their numbers (m,)."""
        if self.unit_vectors is not None:
            return products_at(self.unit_vectors, self.unit_vectors, rows, others)
        (left, places), (right, columns) = (np.unique(numbers, return_inverse=True) for numbers in (rows, others))
        return products_at(self.take(left), self.take(right), places, columns)

    def _load(self, start: int, stop: int) -> Tensor:
        """The rows, scaled to length 1: float32."""
        stored = self.vectors.read(start, stop)
        lengths = row_lengths(stored)
        check_lengths(lengths, start)
        self.lengths[start:stop] = lengths
        rows = scaled(stored, lengths)
        if self.unit_vectors is not None:
            self.unit_vectors[start:stop] = rows
        return rows

    def _sketch(self, block: tuple[int, int], unit_vectors: Tensor, makers: list[SketchMaker]) -> None:
        for maker in makers:
            maker.add(slice(*block), unit_vectors)
        self._sketched.add(block)

    def _reach(self, scores: Tensor, rows: Scores, columns: Scores | None) -> NDArray[np.bool_]:
        """Whether each score of a tile is at or above the value of its row, or that of its column: bool (m, n)."""
        numbers = (scores.view(torch.int16) if scores.dtype == torch.bfloat16 else scores).numpy()
        mask = np.greater_equal(numbers, rows, out=self._mask.of(numbers.shape, torch.bool).numpy())
        if columns is not None:
            other = np.greater_equal(numbers, columns, out=self._other_mask.of(numbers.shape, torch.bool).numpy())
            np.logical_or(mask, other, out=mask)
        return np.asarray(mask)

    def _products(self, tile: Tile, rows: Rows, columns: Rows) -> NDArray[np.floating]:
        """Float32 products at positions of a tile."""
        if self.unit_vectors is None:
            wanted, numbers = np.unique(columns, return_inverse=True)
            if len(wanted) * 4 < tile.right - tile.left:  # to read these few rows is faster than all rows of the tile
                return products_at(tile.rows, self.take(wanted + tile.left), rows, numbers)
        return products_at(tile.rows, self.rows(tile.left, tile.right), rows, columns)

    def _dense(self, tile: Tile) -> tuple[Rows, Rows, NDArray[np.floating]]:
        """As `reached`, by the whole float32 product of a tile."""
        scores = product(tile.rows, self.rows(tile.left, tile.right))
        rows, columns = tile.above_diagonal(*positions_in(self._reach(scores, *_sides(self.lowest, tile))))
        return rows, columns, scores.numpy()[rows, columns]

    def _count_candidates(self, sketch: Sketch, floor: Floor) -> int:
        """Candidates of the product of a sketch with itself; it does the work of a tile, so that its time can be measured."""
        count = len(sketch.vectors)
        lowest = _comparable(sketch, floor[:count])
        everything = slice(count)
        tile = Tile(0, sketch.vectors, 0, count)
        mask = self._reach(sketch.scores(everything, everything), *_sides(lowest, tile))
        found = int(np.count_nonzero(mask))
        if found <= DENSE_SHARE * mask.size:
            positions_in(mask)
        return found


def _holding(sketches: list[Sketch]) -> list[Sketch]:
    return sketches if sketches and sketches[0].holds() else []


def least_bytes(count: int, dim: int) -> int:
    """The least memory with which the exact engine can search so many vectors: its tiles, and the shortest sketches."""
    shortest = min(SHORTEST, dim) * 2
    return _working_bytes(count, dim, torch.get_num_threads()) + math.ceil(count * shortest / _SHARE_FOR_SKETCHES)


def _working_bytes(count: int, dim: int, threads: int, tile_rows: int = TILE_ROWS) -> int:
    """Bytes of the tiles in work, of the rows of a strip, and of the lengths.

    A tile takes its rows and columns in float32, its scores in float32, a mask, and the candidates.
    """
    return threads * 8 * tile_rows * (tile_rows + dim) + 4 * dim * STRIP_ROWS + 8 * count


def positions_in(mask: NDArray[np.bool_]) -> RowPairs:
    """Rows and columns of the true entries, by row."""
    flat = mask.reshape(-1)
    if flat.size % 8 or np.count_nonzero(flat) > _FEW * flat.size:
        places = np.flatnonzero(flat)
    else:  # most groups of eight hold none
        groups = np.flatnonzero(flat.view(np.uint64) != 0)
        inside = np.flatnonzero(flat.reshape(-1, 8)[groups])
        places = groups[inside >> 3] * 8 + (inside & 7)
    rows = places // mask.shape[1]
    return rows, places - rows * mask.shape[1]


def _comparable(sketch: Sketch, floor: Floor) -> Scores:
    """The lowest scores of a sketch for pairs that reach the floors, as what its scores are compared with.

    The bits of positive bfloat16 numbers, read as integers, rise with the number. Negative numbers are negative integers.
    NumPy compares and scans 16-bit integers twenty times faster than torch does bfloat16. Where the lowest score is not
    positive, all pass.
    """
    lowest = sketch.lowest_score(floor)
    if sketch.vectors.dtype == torch.uint8:
        return lowest.astype(np.uint8)
    if sketch.vectors.dtype != torch.bfloat16:
        return _rounded_down(lowest)
    bits = torch.from_numpy(lowest).bfloat16().view(torch.int16).numpy()
    return np.where(lowest > 0, bits, _LOWEST_BITS)


def _rounded_down(values: NDArray[np.float64]) -> Scores:
    """The greatest float32 numbers that are surely not above the values."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))


def _sides(lowest: Scores, tile: Tile) -> tuple[Scores, Scores | None]:
    """The lowest scores of the rows (m, 1) and of the columns (n,) of a tile; one for all has no columns."""
    if len(lowest) == 1:
        return lowest, None
    return lowest[tile.top : tile.bottom, None], lowest[tile.left : tile.right]


def _at(lowest: Scores, tile: Tile, rows: Rows, columns: Rows) -> Scores:
    """The lowest scores at positions of a tile."""
    if len(lowest) == 1:
        return lowest
    return np.asarray(np.minimum(lowest[rows + tile.top], lowest[columns + tile.left]))


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
    project_s = _seconds(partial(product, unit_vectors, unit_vectors[:short]))
    return Costs(max(short_s - candidate_dim_s * short, 0.0), candidate_dim_s, project_s / count / min(short, count))


def _seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread for the work: the shorter of two runs."""
    seconds = []
    for _ in range(2):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return min(seconds)
