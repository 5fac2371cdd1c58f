"""The exact engine on a GPU: from the sketch to the float64 cosine without leaving it."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import LONGEST_EXACT, check_lengths
from miner.pairs.arithmetic.sampled_products import products_at
from miner.pairs.engines.base import FloodError, RowPairs
from miner.pairs.engines.sketch import Projection, Sketch, SketchMaker, levelled, principal_directions
from miner.pairs.engines.tiles.base import Block, Tiles, TooManyPairsError, holds
from miner.pairs.engines.tiles.pytorch import tiles_for

_READ_ROWS = 16384
_SAMPLE_ROWS = 16384
_WIDTHS = (63, 127, 191, 255, 383, 511)
_TIMED_PAIRS = 1 << 18
_MOST_CANDIDATES = 1 << 24
_SPARE_BYTES = 3 << 30  # for these candidates, and for the marks of tiles
# As fast as bfloat16 and eight times as precise, but not below 2**-14: there the rests r of two rows, at most 1 and each
# rounded by 2**-25, may lower a product by `_SMALL_RESTS` in all.
_DTYPE = torch.float16
_SMALL_RESTS = 2.0**-23


class GpuSearch:
    """The rows of a search on a GPU, ready to be multiplied a strip at a time.

    Whole tiles are multiplied as sketches (`sketch.py`) in float16. If the stored vectors fit on the device, the candidates are
    measured there in float64, so that nearly every proposed pair is a pair. If they do not fit, the sketches alone decide.

    Args:
        vectors: the vectors as stored.
        tiles: how tiles are multiplied; the fastest way of the device if not given.
        memory_bytes: most device memory for the stored vectors; the free memory less a reserve if not given.
        most_candidates: that are measured at once.

    Raises:
        MinerError: a vector is zero or not finite.
    """

    def __init__(
        self,
        vectors: Vectors,
        device: torch.device,
        tiles: Tiles | None = None,
        memory_bytes: float | None = None,
        most_candidates: int = _MOST_CANDIDATES,
    ) -> None:
        self.vectors = vectors
        self.device = device
        self.tiles = tiles or tiles_for(device)
        self.most_candidates = most_candidates
        memory_bytes = _free_bytes(device) - _SPARE_BYTES if memory_bytes is None else memory_bytes
        held = len(vectors) * vectors.dim * vectors.dtype.itemsize <= memory_bytes
        dtype = torch.from_numpy(np.empty(0, vectors.dtype)).dtype
        self.stored = torch.empty(len(vectors), vectors.dim, dtype=dtype, device=device) if held else None
        self.lengths = torch.empty(len(vectors), dtype=torch.float64, device=device)
        for start, stop in blocks(len(vectors), _READ_ROWS):
            part, self.lengths[start:stop] = self._read(vectors.read(start, stop), start)
            if self.stored is not None:
                self.stored[start:stop] = part

    def prepare(self, floor: NDArray[np.float64], projection: Projection | None = None) -> None:
        """Make the sketches of all rows.

        Args:
            floor: the lowest cosine that matters: (1,) for all pairs, or (n,) by row. A pair matters if it reaches the floor of
                either row.
            projection: how rows become sketches, with its basis on the device; chosen by trial if not given.

        Raises:
            MinerError: the products of this device are not as precise as they must be.
        """
        maker = SketchMaker(projection or self._plan(floor), len(self.vectors), self.vectors.dim, self.device)
        for start, stop in blocks(len(self.vectors), _READ_ROWS):
            maker.add(slice(start, stop), self.units(np.arange(start, stop)))
        self.sketch = maker.sketch()
        if not holds(self.tiles, self.sketch.vectors, self.sketch.product_error):
            raise MinerError(f"Products on {self.device} are less precise than the search needs. Use --device cpu.")
        self.lowest_score, self._rows = _with_floors(self.sketch, floor)
        exact = self.vectors.dtype == np.float16 and float(self.lengths.max()) < LONGEST_EXACT
        # `rescore` rounds to 1 and -1, and sums that are not exact may differ from its sums in their last bits.
        lowest = floor - (1 if exact else self.vectors.dim) * 2.0**-51
        self._lowest_cosines = torch.from_numpy(lowest).to(self.device).expand(len(self.vectors))

    def units(self, rows: Rows) -> Tensor:
        """Rows by number, scaled to length 1: float32 on the device."""
        if self.stored is not None:
            numbers = torch.from_numpy(rows).to(self.device)
            return (self.stored[numbers].double() / self.lengths[numbers, None]).float()
        part, lengths = self._read(self.vectors.take(rows), None)
        return (part.double() / lengths[:, None]).float()

    def products(self, rows: Rows, others: Rows) -> NDArray[np.floating]:
        """Float32 products of pairs of rows, by their numbers (m,)."""
        (left, places), (right, columns) = (np.unique(numbers, return_inverse=True) for numbers in (rows, others))
        return products_at(self.units(left), self.units(right), places, columns)

    def reached(self, start: int, stop: int, min_b: int = 0) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The pairs a < b of a strip that may reach a floor, in parts; a strip with too many candidates is halved.

        Yields:
            row numbers int64 (m, 2), a in [start, stop), b >= min_b, and cosines float64 (m,) if the stored vectors fit.
        """
        left, right = self._rows.rows(start, stop), self._rows.rows(max(start, min_b), len(self.vectors))
        most = None if stop - start == 1 else self.most_candidates
        try:
            pairs = self.tiles.above(left, right, self.lowest_score, most)
        except TooManyPairsError:
            middle = (start + stop) // 2
            yield from self.reached(start, middle, min_b)
            yield from self.reached(middle, stop, min_b)
            return
        if self.stored is None:
            yield pairs, None
            return
        stored = Block(self.stored)
        cosines = self.tiles.measure(pairs, stored, stored)
        a, b = pairs.unbind(1)
        cosines /= self.lengths[a] * self.lengths[b]
        keep = cosines >= torch.minimum(self._lowest_cosines[a], self._lowest_cosines[b])
        yield pairs[keep], cosines[keep]

    def _read(self, rows: NDArray[np.floating], first_row: int | None) -> tuple[Tensor, Tensor]:
        """Stored rows on the device, and their lengths in float64."""
        part = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        # The lengths are those of numpy on the CPU, because the square root of another device may round differently.
        lengths = np.sqrt(part.double().square().sum(dim=1).cpu().numpy())
        check_lengths(lengths, first_row)
        return part, torch.from_numpy(lengths).to(self.device)

    def _plan(self, floor: NDArray[np.float64]) -> Projection:
        """The projection that promises the least time, for the tiles of a sample and for the candidates that they leave."""
        count = len(self.vectors)
        order = np.sort(np.random.default_rng(0).choice(count, min(_SAMPLE_ROWS, count), replace=False))
        stored, lengths = self._read(self.vectors.take(order), None)
        unit_vectors = (stored.double() / lengths[:, None]).float()
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(len(unit_vectors), (_TIMED_PAIRS, 2), generator=generator).to(self.device)
        pair_s = self._seconds(partial(self.tiles.measure, pairs, Block(stored), Block(stored))) / _TIMED_PAIRS
        best, least = Projection(None, _DTYPE), float("inf")
        for projection in _projections(unit_vectors):
            block = projection.block(unit_vectors)
            sketch = projection.sketch(block.vectors, [block])
            lowest_score, rows = _with_floors(sketch, floor if len(floor) == 1 else floor[order])
            search = partial(self.tiles.above, rows, rows, lowest_score, self.most_candidates)
            try:
                seconds = len(search()) * pair_s + self._seconds(search)
            except TooManyPairsError:
                continue
            if seconds < least:
                best, least = projection, seconds
        return best

    def _seconds(self, work: Callable[[], object]) -> float:
        """Seconds of the second call; the first call may compile."""
        for _ in range(2):
            _wait(self.device)
            started = time.perf_counter()
            work()
            _wait(self.device)
        return time.perf_counter() - started


def _projections(unit_vectors: Tensor) -> Iterator[Projection]:
    """Projections on the main directions of a sample (m, d), shortest first, and the one that keeps the rows whole."""
    widths = [width for width in _WIDTHS if width < unit_vectors.shape[1]]
    try:
        directions = principal_directions(unit_vectors, max(widths, default=1))
    except RuntimeError:  # the decomposition did not converge
        widths = []
    for width in widths:
        if bool(torch.isfinite(directions[:, :width]).all()):
            yield Projection(levelled(directions[:, :width]), _DTYPE)
    yield Projection(None, _DTYPE)


def _with_floors(sketch: Sketch, floor: NDArray[np.float64]) -> tuple[float | None, Block]:
    """The lowest product of two sketches whose rows matter, or None where each row of the block has its own."""
    lowest = floor - sketch.slack - sketch.product_error - _SMALL_RESTS
    if len(lowest) == 1:
        return float(lowest[0]), Block(sketch.vectors)
    below = np.nextafter(lowest.astype(np.float32), np.float32(-np.inf))
    return None, Block(sketch.vectors, floors=torch.from_numpy(below).to(sketch.vectors.device))


def _free_bytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class GpuEngine:
    """Proposes every pair whose cosine may reach a threshold.

    Args:
        vectors: the vectors as stored.
        threshold: lowest cosine of a pair.
        projection: see `GpuSearch.prepare`.
        settings: of `GpuSearch`.

    Raises:
        MinerError: as by `GpuSearch`.
    """

    def __init__(
        self,
        vectors: Vectors,
        threshold: float,
        device: torch.device,
        projection: Projection | None = None,
        **settings: Any,
    ) -> None:
        self.search = GpuSearch(vectors, device, **settings)
        self.search.prepare(np.array([threshold], np.float64), projection)

    def candidates(self, start: int, stop: int, limit: int, min_b: int = 0) -> RowPairs:
        """See `Engine.candidates`."""
        found, count = [torch.empty((0, 2), dtype=torch.int64)], 0
        for pairs, _ in self.search.reached(start, stop, min_b):
            count += len(pairs)
            if count > limit:
                raise FloodError
            found.append(pairs.cpu())
        a, b = torch.cat(found).numpy().T
        return np.ascontiguousarray(a), np.ascontiguousarray(b)
